"""Noise that is refitted in every round collapses by itself, with a verifier fast, without one slowly."""

import functools

import numpy as np
from scipy.special import digamma

import theory
from simcollapse import engine
from simcollapse.tasks import linear_regression
from simcollapse.theorems.evidence import RATE, equal_means, within
from simcollapse.theorems.simulations import BLOCK, DIM, LEVEL, ROUNDS, TRUTH, as_float64, noted
from simcollapse.theorems.theorem import Theorem
from simcollapse.theorems.workflows import REPLACED, unverified
from simcollapse.verifiers import knowledge_ball
from simcollapse.workflows import replace


def _alone(planted):
    for engine_name, n_real, rows, chains in REPLACED:
        _, log_noise = unverified(
            engine_name=engine_name,
            workflow="replace",
            n_real=n_real,
            n_per_round=rows,
            chains=chains,
            seed=rows,
            estimate_noise=True,
        )
        freedom = np.array([n_real] + [rows] * ROUNDS) - (0 if planted else DIM)
        path = np.cumsum(digamma(freedom / 2) - np.log(freedom / 2)) / 2
        yield equal_means(f"{engine_name}, {n_real} then {rows} rows", log_noise, path)


ALONE = Theorem(
    name="noise-collapses-unverified",
    statement="Refitted without bias and without a verifier, the noise is a product of independent chi-squares: "
    "its log falls by [ln(nu/2) - digamma(nu/2)]/2 > 0 a round, nu = n - d, so it collapses almost surely while "
    "its mean square stays.",
    source="derived here: residual sums of squares are chi-square with n - d degrees of freedom",
    assumptions="Least squares, Gaussian noise, replace, no verifier.",
    strategy=f"simulate() in law and row by row: mean log noise of every round as z-scores; {RATE}.",
    planted="n degrees of freedom in place of n - d",
    check=_alone,
)


@functools.lru_cache(maxsize=4)
def _refitted(bias, radius, kept):
    """Deviation (C, K + 1, D) and noise (C, K + 1) of ball-verified chains that refit their noise."""
    dataset = engine.simulate(
        linear_regression(TRUTH, design="orthogonal", estimate_noise=True),
        knowledge_ball(bias=bias, direction=LEVEL, radius=radius),
        replace(),
        n_real=kept,
        n_per_round=kept,
        rounds=ROUNDS,
        chains=512,
        seed=int(10 * radius),
        rejected="resample",
        record_model=True,
        block_size=BLOCK,
        progress=False,
    )
    center = np.asarray(TRUTH) + bias * np.asarray(LEVEL)
    return as_float64(noted(dataset).model_coef) - center, np.exp(as_float64(dataset.log_noise))


def _verified(planted):
    kept = 100
    for bias, radius in ((0.0, 1.0), (0.6, 2.0)):
        deviation, noise = _refitted(bias, radius, kept)
        moments = theory.truncated_normal.moments(deviation[:, :-1], radius, noise[:, :-1, None])
        # between directions the residuals lose d of their n d degrees of freedom, as the fit's divisor says
        expected = moments[1].mean(axis=2)
        if planted:
            expected = theory.knowledge_center.contraction_rate(radius, 1.0) * noise[:, :-1] ** 2
        label = f"bias {bias:g}, bound {radius:g}"
        yield equal_means(f"one round, {label}", noise[:, 1:] ** 2 / expected, 1.0)
    path = [1.0]
    for _ in range(200):
        path.append(float(np.sqrt(theory.truncated_normal.moments(0.0, 1.0, path[-1])[1])))
    printed = np.array(path)[[1, 2, 200]]
    yield within(
        "limit path at b = 1: 0.54, 0.46, ... 0.24 at round 200", np.abs(printed - [0.54, 0.46, 0.24]), 0.005
    )
    _, noise = _refitted(0.0, 1.0, kept)
    limit = np.array(path[: ROUNDS + 1])
    # deviations and degrees of freedom lower the noise by O(1/n) of itself a round
    yield equal_means("limit path, bias 0, bound 1", noise, limit, limit * np.arange(ROUNDS + 1) / kept)


VERIFIED = Theorem(
    name="noise-collapses-verified",
    statement="Refitted under a verifier the noise variance becomes that of the truncated normal in every round: "
    "with b = sigma it falls to 0.54, 0.46, ... 0.24 of itself at round 200, and never settles.",
    source="derived here; theory.truncated_normal.moments iterated",
    assumptions="Orthogonal design, replace, unbiased variance, n rows kept per direction.",
    strategy="simulate(): fitted variance of every round over the truncated variance at its own last fit, and the "
    f"path against its n -> inf limit with 1/n a round; z-scores; {RATE}. The recursion against its printed values.",
    planted="the variance ratio stays at its first value",
    check=_verified,
)
