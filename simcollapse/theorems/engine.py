"""What must hold whatever the theory: engines agree; units, coordinates and an infinite radius do not matter."""

from typing import Any

import numpy as np

from simcollapse import engine
from simcollapse.tasks import linear_regression
from simcollapse.theorems.designs import fixed_chains, gaussian_chains
from simcollapse.theorems.evidence import RATE, same_distribution, within
from simcollapse.theorems.simulations import BLOCK, LEVEL, ROUNDS, TRUTH, as_float64, noted, orthogonal_chains
from simcollapse.theorems.theorem import Theorem
from simcollapse.theorems.workflows import unverified
from simcollapse.verifiers import none
from simcollapse.workflows import replace

# Equal up to rounding: a fit's last digits differ, and once in about 1e7 rows a row at the very edge is
# accepted in one arm only. The median over chains does not see such a row.
ROUNDING = 1e-4


def _apart(first, second):
    """Largest relative difference along a chain, median over chains; shapes (C, …)."""
    scale = np.abs(second).max(axis=0)
    return np.median((np.abs(first - second) / scale).reshape(len(first), -1).max(axis=1))


def _engines(planted):
    for workflow, estimate_noise in (("replace", True), ("accumulate", False)):
        settings = dict(workflow=workflow, n_real=40, chains=4096, estimate_noise=estimate_noise)
        law = unverified(engine_name="law", n_per_round=15 if planted else 20, seed=9, **settings)
        sample = unverified(engine_name="sample", n_per_round=20, seed=10, **settings)
        for k in (1, ROUNDS):
            label = f"Gaussian rows, {workflow}, round {k}"
            yield same_distribution(f"squared error, {label}", law[0][:, k], sample[0][:, k])
            if estimate_noise:
                yield same_distribution(f"log noise, {label}", law[1][:, k], sample[1][:, k])


ENGINES = Theorem(
    name="two-engines-agree",
    statement="Drawing a round's sufficient statistics from their law (Bartlett, Cochran) is the same random "
    "process as drawing its rows.",
    source="classical (Bartlett 1933, Cochran 1934); simcollapse.laws",
    assumptions="No verifier, Gaussian noise, at least d rows a round.",
    strategy="simulate() with engine='law' and engine='sample', different seeds: squared error and log noise of a "
    f"round by the two-sample Kolmogorov–Smirnov test; {RATE}.",
    planted="the law draws 15 rows where the other engine draws 20",
    check=_engines,
)


def _infinite(planted):
    radius = 3.0 if planted else np.inf
    settings = dict(bias=1.0, n_real=50, n_per_round=100, chains=512, seed=11)
    dropped = orthogonal_chains(radius=radius, **settings).squared_error
    redrawn = orthogonal_chains(radius=radius, rejected="resample", **settings).squared_error
    dataset = engine.simulate(
        linear_regression(TRUTH, design="orthogonal"),
        none(),
        replace(),
        n_real=50,
        n_per_round=100,
        rounds=ROUNDS,
        chains=512,
        seed=11,
        block_size=BLOCK,
        progress=False,
    )
    free = as_float64(noted(dataset).squared_error)
    yield within("rejected rows dropped", _apart(dropped, free), ROUNDING)
    yield within("rejected rows redrawn", _apart(redrawn, free), ROUNDING)


INFINITE = Theorem(
    name="infinite-radius",
    statement="A knowledge ball of infinite radius is no verifier, wherever its center, and then dropping and "
    "redrawing rejected rows are the same.",
    source="definition; [Yi26], Eq. 1 (arXiv v3)",
    assumptions="The three arms draw the same random numbers.",
    strategy="simulate() with the ball, rows dropped and redrawn, and with none() on common noise: relative "
    "difference of the squared errors, largest over rounds, median over chains; limit 1e-4 for float32 rounding.",
    planted="radius of 3 sigma in place of infinity",
    check=_infinite,
)


def _scale(planted):
    settings = dict(n_real=50, n_per_round=100, chains=512, seed=12)
    plain = orthogonal_chains(bias=1.0, radius=0.8, slack=0.4, **settings).squared_error
    for factor in (0.001, 37.0):
        scaled = orthogonal_chains(
            bias=factor,
            radius=0.8 * factor,
            slack=0.4 if planted else 0.4 * factor,
            noise=factor,
            truth=tuple(factor * t for t in TRUTH),
            **settings,
        ).squared_error
        yield within(f"unit changed by {factor:g}", _apart(scaled / factor**2, plain), 10 * ROUNDING)


SCALE = Theorem(
    name="scale-equivariance",
    statement="Multiplying noise, truth, bias, radius and slack by c multiplies every squared error by c^2.",
    source="dimensional analysis",
    assumptions="Both arms draw the same random numbers.",
    strategy="simulate() on the orthogonal design in two units on common noise: relative difference of the squared "
    "errors, largest over rounds, median over chains; limit 1e-3 is rounding in single precision.",
    planted="slack left in the old unit",
    check=_scale,
)


def _rotation(planted):
    settings = dict(bias=1.0, radius=0.5, slack=0.2, rejected="drop", copies=100, chains=512, seed=13)
    plain = fixed_chains(**settings).squared_error
    turned = fixed_chains(turned="rows and truth" if planted else "all", **settings).squared_error
    yield within("given rows turned, common noise", _apart(turned, plain), 10 * ROUNDING)
    fresh: dict[str, Any] = dict(
        bias=1.0, radius=0.2, slack=0.3, rejected="drop", n_real=60, n_per_round=120, chains=4096
    )
    first = gaussian_chains(direction=(1.0, 0.0, 0.0, 0.0), seed=14, **fresh)
    second = gaussian_chains(direction=LEVEL, seed=15, **(fresh | {"bias": 0.8} if planted else fresh))
    yield same_distribution(
        "Gaussian rows, bias in another direction", first.squared_error[:, 1], second.squared_error[:, 1]
    )


ROTATION = Theorem(
    name="rotation-equivariance",
    statement="Turning the coordinates of rows, truth and center changes no error; with Gaussian rows only the "
    "length of the bias matters.",
    source="definition",
    assumptions="Euclidean norm in the verifier's bound; x ~ N(0, I) for the second part.",
    strategy="simulate() on given rows and on the same rows turned, common noise: relative difference of the "
    "squared errors, median over chains, limit 1e-3 for rounding; Gaussian rows with two directions of bias and "
    f"different seeds: two-sample Kolmogorov–Smirnov test; {RATE}.",
    planted="the center is not turned with the rest; and a bias of 0.8 in place of 1",
    check=_rotation,
)
