"""Theory against simulation in five settings, each exact for every number of rows."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

import theory
from simcollapse import engine
from simcollapse.selftest.check import Check, Measurement, means
from simcollapse.tasks import discrete, flips, gaussian, gaussian_mixture, linear_regression
from simcollapse.verifiers import bernoulli, knowledge_ball, none
from simcollapse.workflows import replace

ROUNDS = 4
SHARES = (0.5, 0.2, 0.15, 0.1, 0.05)


@functools.lru_cache(maxsize=8)
def simulated(setting: str) -> Any:
    """Result variables of a setting, kept so that its planted error costs no second simulation."""
    return SIMULATED[setting]()


def _run(task, verifier, *, n_real, n_per_round, chains, rounds=ROUNDS, **options):
    result = engine.sweep(
        task,
        verifier,
        replace(),
        over=options.pop("over", {}),
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=rounds,
        chains=chains,
        seed=5,
        progress=False,
        **options,
    )
    if result.attrs["num_frozen"]:
        raise RuntimeError(f"{result.attrs['num_frozen']} chains froze, which is next to impossible here")
    return result


def _ball():
    return _run(
        linear_regression(3, design="orthogonal"),
        knowledge_ball([0.5, 0.0, -0.3], radius=1.0),
        n_real=50,
        n_per_round=100,
        chains=8192,
    ).squared_error.values


def _verified(planted: bool) -> Iterator[Measurement]:
    expected = theory.knowledge_center.mse_trajectory_exact(
        sigma=1.0,
        n_real=50,
        n_per_round=100,
        bound=1.05 if planted else 1.0,
        verifier_bias=[0.5, 0.0, -0.3],
        rounds=ROUNDS,
        rejected="drop",
    )
    yield means("verified regression, squared error", simulated("ball"), expected, ROUNDS + 1)


VERIFIED = Check("ball-verified regression", "a radius of 1.05 in place of 1 in the theory", True, _verified)


def _no_verifier():
    return _run(
        linear_regression(3), none(), n_real=30, n_per_round=30, chains=32768, engine="law"
    ).squared_error.values


def _unverified(planted: bool) -> Iterator[Measurement]:
    arguments: Any = {"sigma": 1.0, "n_real": 30, "n_per_round": 30, "rounds": ROUNDS}
    expected = theory.workflows.linear_regression.replace_mse_exact(dim=3, **arguments)
    expected = 3 * np.arange(1, ROUNDS + 2) / (30 - 3) if planted else expected
    yield means("regression in law, squared error", simulated("none"), expected, ROUNDS + 1)


UNVERIFIED = Check("unverified regression", "n - d in place of n - d - 1 in the theory", True, _unverified)


def _gaussian():
    return _run(gaussian(2), none(), n_real=12, n_per_round=12, chains=16384, engine="law").log_det.values


def _collapse(planted: bool) -> Iterator[Measurement]:
    arguments: Any = {"dim": 2, "n_real": 12, "n_per_round": 12, "rounds": ROUNDS}
    exact = theory.workflows.gaussian_replace
    log_det = simulated("gaussian")
    expected = exact.mean_log_det_exact(**arguments, covariance="unbiased" if planted else "mle")
    yield means("Gaussian, log variance", log_det, expected, 2 * (ROUNDS + 1))
    spread = (log_det - exact.mean_log_det_exact(**arguments)) ** 2
    yield means("Gaussian, spread of it", spread, exact.var_log_det_exact(**arguments), 2 * (ROUNDS + 1))


COLLAPSE = Check("collapse of a Gaussian", "the other divisor of the variance in the theory", True, _collapse)


def _discrete():
    return _run(discrete(SHARES), none(), n_real=12, n_per_round=12, chains=8192).heterozygosity.values


def _diversity(planted: bool) -> Iterator[Measurement]:
    expected = theory.workflows.discrete.replace_heterozygosity_exact(
        probabilities=SHARES, n_real=12, n_per_round=14 if planted else 12, rounds=ROUNDS
    )
    yield means("discrete, heterozygosity", simulated("discrete"), expected, ROUNDS + 1)


DIVERSITY = Check("loss of outcomes", "14 draws in place of 12 in the theory", True, _diversity)

PHI, PSI, ROWS, DIM, SEPARATION = 0.8, 0.4, 40, 4, 1.2


def _error_rates() -> dict[str, float]:
    """Below, at and beyond the breakdown point."""
    star = float(theory.breakdown.breakdown_point(PHI, PSI))
    return {"below p*": star - 0.15, "at p*": star, "beyond p*": star + 0.15}


def _mixture():
    task = gaussian_mixture(SEPARATION * np.eye(DIM)[0], generator=flips(0.5), learner="averaging")
    return _run(
        task,
        bernoulli(PHI, PSI),
        n_real=ROWS,
        n_per_round=ROWS,
        chains=4096,
        rounds=1,
        fixed="kept",
        over={"task.generator.p": list(_error_rates().values())},
    ).accuracy.values[:, :, 1]


def _step(planted: bool) -> Iterator[Measurement]:
    accuracy = simulated("mixture")
    for i, (where, p) in enumerate(_error_rates().items()):
        rates = (PSI, PHI) if planted else (PHI, PSI)
        precision = float(theory.breakdown.precision(p, *rates))
        expected = theory.breakdown.averaging_accuracy_exact(ROWS, DIM, precision, SEPARATION)
        yield means(f"mixture, accuracy {where}, {expected:.3f}", accuracy[i][:, None], expected, 3)


STEP = Check("step at the breakdown point", "phi and psi exchanged in the theory", True, _step)

SIMULATED = {
    "ball": _ball,
    "none": _no_verifier,
    "gaussian": _gaussian,
    "discrete": _discrete,
    "mixture": _mixture,
}
