"""simcollapse: will a model collapse when it is retrained on its own data, and is the verifier good enough?

import simcollapse as sc

task = sc.linear_regression(truth=[1.0, -1.0], noise=1.0, design="orthogonal")
verifier = sc.knowledge_ball(bias=0.1, radius=1.0)
result = sc.simulate(task, verifier, sc.replace(), n_real=50, n_per_round=200, rounds=20, chains=1000, seed=0)
print(result.squared_error.mean("chain"))
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcollapse.auditing import audit as audit
    from simcollapse.engine import simulate as simulate
    from simcollapse.engine import sweep as sweep
    from simcollapse.results import frozen as frozen
    from simcollapse.schedules import geometric_growth as geometric_growth
    from simcollapse.schedules import linear_growth as linear_growth
    from simcollapse.tasks import *  # noqa: F403
    from simcollapse.verifiers import *  # noqa: F403
    from simcollapse.workflows import *  # noqa: F403

# Imported at first use, so that the command line can print its help, and set up JAX, before JAX is imported.
_HOME = {
    "audit": "simcollapse.auditing",
    "frozen": "simcollapse.results",
    "geometric_growth": "simcollapse.schedules",
    "linear_growth": "simcollapse.schedules",
    "simulate": "simcollapse.engine",
    "sweep": "simcollapse.engine",
}
_CHOICES = (
    "simcollapse.tasks",
    "simcollapse.verifiers",
    "simcollapse.workflows",
)  # all that they list is here too


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    # `from simcollapse import chain` asks for an attribute first, and a module needs no search
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is None:
        for package in map(importlib.import_module, _CHOICES):
            if name in package.__all__ and not name.isupper():
                return getattr(package, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    listed = [name for package in map(importlib.import_module, _CHOICES) for name in package.__all__]
    return sorted({*globals(), *_HOME, *(name for name in listed if not name.isupper())})
