"""Designs whose rows see the verifier differently: fresh Gaussian rows, and any given rows."""

import functools
from typing import Any

import numpy as np

import theory
from simcollapse import engine
from simcollapse.tasks import linear_regression
from simcollapse.theorems.evidence import RATE, equal_means
from simcollapse.theorems.simulations import BLOCK, DIM, TRUTH, UNEVEN, Chains, as_float64, noted
from simcollapse.theorems.theorem import Theorem
from simcollapse.verifiers import knowledge_ball
from simcollapse.workflows import replace

kc = theory.knowledge_center

# The given rows of every check: two groups of unlike length, so that the verifier's bound varies fourfold.
ROWS = np.random.default_rng(5).normal(size=(12, 3)) * np.repeat([0.5, 2.0], 6)[:, None]
ALONG = (0.6, 0.0, 0.8)


def gaussian_chains(
    *, bias, radius, slack, rejected, n_real, n_per_round, chains, seed, direction=UNEVEN, noise=1.0
) -> Chains:
    """Two rounds (0 and 1) of ball-verified chains with fresh rows x ~ N(0, I)."""
    dataset = engine.simulate(
        linear_regression(TRUTH, noise=noise),
        knowledge_ball(bias=bias, direction=direction, radius=radius, slack=slack),
        replace(),
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=1,
        chains=chains,
        seed=seed,
        rejected=rejected,
        record_model=True,
        block_size=BLOCK,
        progress=False,
    )
    return _chains(dataset, np.asarray(TRUTH), bias * np.asarray(direction) / np.linalg.norm(direction))


@functools.lru_cache(maxsize=8)
def fixed_chains(*, bias, radius, slack, rejected, copies, chains, seed, real_copies=1, turned="") -> Chains:
    """Four rounds of ball-verified chains on ROWS.

    turned: "all" rotates the coordinates of rows, truth and center, "rows and truth" forgets the center.
    """
    turn = rotation() if turned else np.eye(3)
    to_center = bias * np.asarray(ALONG) @ (turn if turned != "rows and truth" else np.eye(3))
    dataset = engine.simulate(
        linear_regression(TRUTH[:3] @ turn, design="fixed", rows=ROWS @ turn),
        knowledge_ball(np.asarray(TRUTH[:3]) @ turn + to_center, radius=radius, slack=slack),
        replace(),
        n_real=len(ROWS) * real_copies,
        n_per_round=len(ROWS) * copies,
        rounds=4,
        chains=chains,
        seed=seed,
        rejected=rejected,
        record_model=True,
        block_size=BLOCK,
        progress=False,
    )
    return _chains(dataset, TRUTH[:3] @ turn, to_center)


def rotation() -> np.ndarray:
    """A rotation of three dimensions, shape (3, 3)."""
    return np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]


def _chains(dataset, truth, to_center):
    error = as_float64(noted(dataset).model_coef) - truth
    return Chains(error - to_center, -to_center, (error**2).sum(axis=-1))


def _population(planted):
    generated = 8000
    for bias, radius, slack in ((2.0, 0.2, 0.3), (1.0, 0.8, 0.0)):
        arguments: dict[str, Any] = dict(dim=DIM, radius=radius, slack=slack, sigma=1.0)
        acceptance = kc.population_acceptance(bias, **arguments)
        maps = {mode: kc.population_map(bias, **arguments, covariates=mode) for mode in ("drop", "resample")}
        for rejected in maps:
            chains = gaussian_chains(
                bias=bias,
                radius=radius,
                slack=slack,
                rejected=rejected,
                n_real=20_000,  # so that every chain starts from this bias
                n_per_round=generated,
                chains=256,
                seed=int(10 * bias),
            )
            g = maps[{"drop": "resample", "resample": "drop"}[rejected] if planted else rejected]
            # least squares on n rows is off its limit by less than (d + 1)/(n Z) of the way that a round moves
            rows = generated * (acceptance if rejected == "drop" else 1)
            allowance = (DIM + 1) / rows * (bias - g)
            unit = chains.deviation[:, 0] / np.linalg.norm(chains.deviation[:, 0], axis=1, keepdims=True)
            along = (chains.deviation[:, 1] * unit).sum(axis=1)
            label = f"{rejected}, distance {bias:g}, radius {radius:g}, slack {slack:g}"
            yield equal_means(label, along, g, allowance)
            across = chains.deviation[:, 1] - along[:, None] * unit
            yield equal_means(f"direction kept, {label}", across, 0.0)


POPULATION = Theorem(
    name="population-map",
    statement="With many fresh Gaussian rows a round keeps the direction of the deviation and maps its length D to "
    "g(D) = E[w t m(tD, b)]/E[w t^2]; dropping rejected rows tilts the covariates (w = Z), redrawing does not (w = 1).",
    source="derived here; theory.knowledge_center.population_map",
    assumptions="x ~ N(0, I), replace, known noise, n -> inf.",
    strategy="simulate() with 8000 rows: component of round 1 along the deviation of round 0 against g, with "
    "(d + 1)/(n Z) for finite n, and the components across it against 0; z-scores; " + RATE + ".",
    planted="the map of the other mode of rejection",
    check=_population,
)


def _fixed(planted):
    radius, slack, copies = 0.5, 0.2, 10
    limit = radius * np.linalg.norm(ROWS, axis=1) + slack
    limit = np.full_like(limit, limit.mean()) if planted else limit
    for bias in (0.0, 1.0):
        chains = fixed_chains(
            bias=bias, radius=radius, slack=slack, rejected="resample", copies=copies, chains=512, seed=2
        )
        surprise = _whitened(chains, limit, copies)
        yield equal_means(f"redrawn, mean, bias {bias:g}", surprise, 0.0)
        square = (surprise**2).mean(axis=(1, 2))
        yield equal_means(f"redrawn, covariance, bias {bias:g}", square, 1.0)
    copies = 100
    for bias in (0.3, 1.0):
        chains = fixed_chains(
            bias=bias,
            radius=radius,
            slack=slack,
            rejected="drop",
            copies=copies,
            chains=1024,
            seed=3,
            real_copies=copies,
        )
        mse = kc.fixed_design_trajectory_delta(
            ROWS,
            sigma=1.0,
            bounds=limit,
            verifier_bias=bias * np.asarray(ALONG),
            copies=copies,
            rounds=4,
            first_covariance=np.linalg.inv(ROWS.T @ ROWS) / copies,
            rejected="drop",
        )
        yield equal_means(f"dropped, squared error, bias {bias:g}", chains.squared_error, mse, 0.02 * mse)


def _whitened(chains, bounds, copies):
    """Surprise of each round given the last fit, standardised by its exact covariance; shape (C, K, D)."""
    before, after = chains.deviation[:, :-1], chains.deviation[:, 1:]
    mean, variance, _ = theory.truncated_normal.moments(before @ ROWS.T, bounds, 1.0)
    pull = np.linalg.inv(ROWS.T @ ROWS) @ ROWS.T
    covariance = np.einsum("in,...n,jn->...ij", pull, variance, pull) / copies
    root = np.linalg.cholesky(covariance)
    return np.linalg.solve(root, (after - mean @ pull.T)[..., None])[..., 0]


FIXED = Theorem(
    name="fixed-design",
    statement="On any given rows a round maps the deviation to (X'WX)^-1 X'W m(X delta) with noise covariance "
    "(X'WX)^-1 X' diag(v) X (X'WX)^-1 / copies; W = I when rejected rows are redrawn, diag(Z_i) when dropped.",
    source="derived here; theory.knowledge_center.fixed_design_step_exact, fixed_design_trajectory_delta",
    assumptions="The same rows every round, replace, known noise; with dropped rows to first order in 1/n.",
    strategy="simulate() on 12 rows whose bounds differ fourfold: redrawn, every round standardised by its exact "
    "conditional mean and covariance; dropped, squared error per round with 2 % for the first order; z-scores; "
    + RATE
    + ".",
    planted="one bound for all rows, the mean of theirs",
    check=_fixed,
)
