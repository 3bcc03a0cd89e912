"""simcollapse: will a model collapse when it is retrained on its own data, and is the verifier good enough?

import simcollapse as sc

task = sc.linear_regression(truth=[1.0, -1.0], noise=1.0, design="orthogonal")
verifier = sc.knowledge_ball(bias=0.1, radius=1.0)
result = sc.simulate(task, verifier, sc.replace(), n_real=50, n_per_round=200, rounds=20, chains=1000, seed=0)
print(result.squared_error.mean("chain"))
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcollapse.auditing import audit
    from simcollapse.engine import simulate, sweep
    from simcollapse.results import frozen
    from simcollapse.schedules import geometric_growth, linear_growth
    from simcollapse.tasks import (
        Discrete,
        Gaussian,
        GaussianMixture,
        Kde,
        LinearRegression,
        discrete,
        fitted,
        flips,
        fresh_linear_labels,
        gaussian,
        gaussian_mixture,
        half_space,
        kde,
        linear_labels,
        linear_regression,
    )
    from simcollapse.verifiers import (
        bernoulli,
        confidence,
        discriminator,
        fresh_linear,
        from_function,
        knowledge_ball,
        likelihood,
        linear,
        none,
        oracle,
        random,
        region,
    )
    from simcollapse.workflows import (
        accumulate,
        accumulate_subsample,
        contaminated,
        delete_real,
        fresh_real,
        replace,
        sliding_window,
    )

__all__ = [
    "Discrete",
    "Gaussian",
    "GaussianMixture",
    "Kde",
    "LinearRegression",
    "accumulate",
    "accumulate_subsample",
    "audit",
    "bernoulli",
    "confidence",
    "contaminated",
    "delete_real",
    "discrete",
    "discriminator",
    "fitted",
    "flips",
    "fresh_linear",
    "fresh_linear_labels",
    "fresh_real",
    "from_function",
    "frozen",
    "gaussian",
    "gaussian_mixture",
    "geometric_growth",
    "half_space",
    "kde",
    "knowledge_ball",
    "likelihood",
    "linear",
    "linear_growth",
    "linear_labels",
    "linear_regression",
    "none",
    "oracle",
    "random",
    "region",
    "replace",
    "simulate",
    "sliding_window",
    "sweep",
]

# Imported at first use, so that the command line can print its help, and set up JAX, before JAX is imported.
_HOME = {
    "simcollapse.auditing": ("audit",),
    "simcollapse.engine": ("simulate", "sweep"),
    "simcollapse.results": ("frozen",),
    "simcollapse.schedules": ("geometric_growth", "linear_growth"),
    "simcollapse.tasks": (
        "Discrete",
        "Gaussian",
        "GaussianMixture",
        "Kde",
        "LinearRegression",
        "discrete",
        "fitted",
        "flips",
        "fresh_linear_labels",
        "gaussian",
        "gaussian_mixture",
        "half_space",
        "kde",
        "linear_labels",
        "linear_regression",
    ),
    "simcollapse.verifiers": (
        "bernoulli",
        "confidence",
        "discriminator",
        "fresh_linear",
        "from_function",
        "knowledge_ball",
        "likelihood",
        "linear",
        "none",
        "oracle",
        "random",
        "region",
    ),
    "simcollapse.workflows": (
        "accumulate",
        "accumulate_subsample",
        "contaminated",
        "delete_real",
        "fresh_real",
        "replace",
        "sliding_window",
    ),
}


def __getattr__(name: str):
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
