"""Retraining without a verifier: what replacing or keeping data does to the error."""

import functools
from typing import Any

import numpy as np

import theory
from simcollapse import engine
from simcollapse.tasks import linear_regression
from simcollapse.theorems.evidence import RATE, equal_means, within
from simcollapse.theorems.simulations import (
    BLOCK,
    DIM,
    ROUNDS,
    SUBSET_ROWS,
    TRUTH,
    WORKFLOWS,
    as_float64,
    noted,
    orthogonal_chains,
    subsampled_mean,
)
from simcollapse.theorems.theorem import Theorem
from simcollapse.verifiers import none

closed = theory.workflows.linear_regression

# (engine, n_real, rows of later rounds, chains) of unverified chains that refit their noise
REPLACED = [("law", 40, 25, 16384), ("law", 30, 60, 4096), ("sample", 40, 25, 2048), ("sample", 30, 60, 2048)]


@functools.lru_cache(maxsize=16)
def unverified(*, engine_name, workflow, n_real, n_per_round, chains, seed, estimate_noise):
    """Squared errors and log noise, both (C, K + 1), with fresh Gaussian rows and no verifier."""
    dataset = engine.simulate(
        linear_regression(TRUTH, estimate_noise=estimate_noise),
        none(),
        WORKFLOWS[workflow](),
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=ROUNDS,
        chains=chains,
        seed=seed,
        engine=engine_name,
        block_size=4 * BLOCK,
        progress=False,
    )
    noted(dataset)
    return as_float64(dataset.squared_error), as_float64(dataset.log_noise)


def _growth(planted):
    lost = DIM if planted else DIM + 1  # rows that the estimate of d coefficients costs
    for engine_name, n_real, rows, chains in REPLACED:
        errors, _ = unverified(
            engine_name=engine_name,
            workflow="replace",
            n_real=n_real,
            n_per_round=rows,
            chains=chains,
            seed=rows,
            estimate_noise=True,
        )
        expected = DIM * np.cumsum([1 / (n_real - lost), *[1 / (rows - lost)] * ROUNDS])
        if not planted:
            arguments: dict[str, Any] = dict(
                dim=DIM, sigma=1.0, n_real=n_real, n_per_round=rows, rounds=ROUNDS
            )
            expected = closed.replace_mse_exact(**arguments)
        yield equal_means(f"Gaussian rows, {engine_name}, {n_real} then {rows}", errors, expected)
    chains = orthogonal_chains(bias=1.0, radius=np.inf, n_real=50, n_per_round=100, chains=2048, seed=4)
    expected = closed.replace_mse_exact(
        dim=DIM, sigma=1.0, n_real=50, n_per_round=100, rounds=ROUNDS, design="orthogonal"
    )
    yield equal_means("orthogonal, infinite radius", chains.squared_error, expected)


GROWTH = Theorem(
    name="replace-linear-growth",
    statement="Without a verifier replace adds the same error each round, for ever: sigma^2 d/(n - d - 1) with "
    "fresh Gaussian rows, d sigma^2/n on the orthogonal design.",
    source="[Dohmatob24], [Gerstgrasser24]; unequal counts derived here; "
    "theory.workflows.linear_regression.replace_mse_exact",
    assumptions="Least squares, Gaussian noise, known or refitted without bias (then sigma is only its start).",
    strategy="simulate() in law and row by row, noise refitted each round; and the orthogonal design under a ball "
    f"of infinite radius; squared error per round as z-scores; {RATE}.",
    planted="n - d in place of n - d - 1",
    check=_growth,
)


def _plateau(planted):
    for rows in (50, 100):
        chains = orthogonal_chains(
            bias=0.0,
            radius=np.inf,
            n_real=rows,
            n_per_round=rows,
            chains=1024,
            seed=rows,
            workflow="accumulate",
            rounds=64,
        )
        errors = chains.squared_error * rows / DIM
        expected = closed.harmonic_squares(64)
        if planted:
            expected = 1 + np.concatenate([[0], closed.harmonic_squares(63)])
        yield equal_means(f"{rows} rows", errors, expected)
    far = closed.harmonic_squares(10_000)
    yield within("sum below pi^2/6 and within 1/k of it", not 0 < np.pi**2 / 6 - far[-1] < 1 / 10_000, 0)


PLATEAU = Theorem(
    name="accumulate-plateau",
    statement="Without a verifier accumulate multiplies the first fit's error by sum_{i<=k+1} 1/i^2 when one "
    "design is reused: it never exceeds pi^2/6.",
    source="[Gerstgrasser24]; theory.workflows.linear_regression.accumulate_mse_exact, harmonic_squares",
    assumptions="The same design every round, as many rows a round as real ones, known noise.",
    strategy="simulate() on the orthogonal design under a ball of infinite radius, 64 rounds; squared error per "
    f"round as z-scores; {RATE}.",
    planted="the pool counted without its real rows",
    check=_plateau,
)


def _fresh(planted):
    for n_real, rows in ((20, 20), (40, 15)):
        errors, _ = unverified(
            engine_name="law",
            workflow="accumulate",
            n_real=n_real,
            n_per_round=rows,
            chains=16384,
            seed=n_real,
            estimate_noise=False,
        )
        expected = closed.accumulate_mse_exact(
            dim=DIM, sigma=1.0, n_real=n_real, n_per_round=rows, rounds=ROUNDS
        )
        if planted:
            pool = n_real + rows * np.arange(ROUNDS + 1)
            rest = pool[0] / (pool[0] - DIM - 1)  # the reused design's correction, the same every round
            expected = DIM * rest * np.cumsum(np.array([n_real] + [rows] * ROUNDS) / pool**2)
        yield equal_means(f"{n_real} real rows, {rows} a round", errors, expected)


FRESH = Theorem(
    name="accumulate-fresh-designs",
    statement="With fresh Gaussian rows in every round accumulate has error sigma^2 d sum_j n_j/(N_j (N_j - d - "
    "1)), less than when one design is reused.",
    source="derived here; theory.workflows.linear_regression.accumulate_mse_exact",
    assumptions="x ~ N(0, I) fresh in every round, known noise.",
    strategy=f"simulate() in law; squared error per round as z-scores; {RATE}.",
    planted="the correction for d/n of a reused design",
    check=_fresh,
)


def _subsample(planted):
    rows = SUBSET_ROWS
    errors = subsampled_mean(bias=0.0, radius=np.inf, chains=4096).squared_error
    expected = closed.accumulate_subsample_intercept_exact(sigma=1.0, n_per_round=rows, rounds=ROUNDS)
    harmonic = closed.harmonic_squares(ROUNDS)
    if planted:
        expected = harmonic / rows
    yield equal_means(f"a mean, {rows} rows", errors, expected)
    asymptotic = (harmonic if planted else 3 * harmonic - 2) / rows
    yield equal_means(f"asymptotic, {rows} rows", errors, asymptotic, 2 / rows * asymptotic)
    many = 10**6
    exact = closed.accumulate_subsample_intercept_exact(sigma=1.0, n_per_round=many, rounds=200)
    first_order = closed.accumulate_subsample_mse_asymptotic(dim=1, sigma=1.0, n_per_round=many, rounds=200)
    yield within("exact form tends to it, n = 10^6", np.abs(exact / first_order - 1), 1e-4)


SUBSAMPLE = Theorem(
    name="subsample-plateau",
    statement="Without a verifier accumulate-subsample has, to first order in d/n, 3 H - 2 times the first fit's "
    "error with H = sum_{i<=k+1} 1/i^2: a plateau at pi^2/2 - 2, above accumulate's.",
    source="derived here; theory.workflows.linear_regression.accumulate_subsample_mse_asymptotic and, for a mean, "
    "accumulate_subsample_intercept_exact",
    assumptions="As many rows in a subset as real ones, known noise; d/n -> 0, or d = 1 with x = 1 exactly.",
    strategy="simulate() of a mean with 40 rows: squared error per round against the exact recursion and, with 5 "
    f"%, against the first order; z-scores; {RATE}. The exact recursion at n = 10^6 against the first order.",
    planted="accumulate's H in place of 3 H - 2",
    check=_subsample,
)
