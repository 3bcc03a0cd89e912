"""Least squares without a verifier: printed values, recursions, limits, simulation."""

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import linear_regression as ols

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

# WORKFLOWS.md section 2, theory column; its k counts fits from 1. T, d, sigma, design, k, value
REPLACE = [
    (20, 3, 1.0, "reused", 1, 0.1875),
    (40, 7, 0.5, "reused", 1, 0.054688),
    (30, 1, 2.0, "gaussian", 10, 1.4286),
    (25, 10, 1.0, "gaussian", 10, 7.1429),
]
ACCUMULATE = [
    (40, 7, 0.5, "reused", 2, 0.068359),
    (30, 1, 2.0, "reused", 5, 0.20909),
    (89, 7, 1.0, "reused", 10, 0.13393),
    (40, 7, 0.5, "gaussian", 2, 0.06684),
    (30, 1, 2.0, "gaussian", 5, 0.20637),
    (25, 10, 1.0, "gaussian", 5, 0.94021),
    (89, 7, 1.0, "gaussian", 10, 0.13111),
]
SUBSAMPLE_INTERCEPT = [(3, 1, 0.33333), (3, 20, 0.99842), (5, 5, 0.47784), (10, 3, 0.20702), (20, 20, 0.1408)]
SUBSAMPLE = [(200, 10, 2, 0.092593), (200, 40, 3, 0.52411), (100, 20, 4, 0.57489), (40, 4, 5, 0.27324)]


@pytest.mark.parametrize("row", REPLACE)
def test_replace_printed(row):
    rows, dim, sigma, design, k, value = row
    got = ols.replace_mse_exact(
        dim=dim, sigma=sigma, n_real=rows, n_per_round=rows, rounds=k - 1, design=design
    )
    assert got[k - 1] == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize("row", ACCUMULATE)
def test_accumulate_printed(row):
    rows, dim, sigma, design, k, value = row
    got = ols.accumulate_mse_exact(
        dim=dim, sigma=sigma, n_real=rows, n_per_round=rows, rounds=k - 1, design=design
    )
    assert got[k - 1] == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("rows", "k", "value"), SUBSAMPLE_INTERCEPT)
def test_subsample_intercept_printed(rows, k, value):
    got = ols.accumulate_subsample_intercept_exact(sigma=1.0, n_per_round=rows, rounds=k - 1)
    assert got[k - 1] == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("rows", "dim", "k", "value"), SUBSAMPLE)
def test_subsample_first_order_printed(rows, dim, k, value):
    got = ols.accumulate_subsample_mse_asymptotic(dim=dim, sigma=1.0, n_per_round=rows, rounds=k - 1)
    assert got[k - 1] == pytest.approx(value, rel=LAST_DIGIT)


def test_equal_counts_in_closed_form():
    arguments = dict(dim=5, sigma=1.5, n_real=40, n_per_round=40, rounds=8)
    k = np.arange(1, 10)
    np.testing.assert_allclose(ols.replace_mse_exact(**arguments), k * 2.25 * 5 / 34, rtol=1e-13)
    orthogonal = ols.replace_mse_exact(**arguments, design="orthogonal")
    np.testing.assert_allclose(orthogonal, k * 2.25 * 5 / 40, rtol=1e-13)
    harmonic = np.cumsum(1 / k**2)
    reused = ols.accumulate_mse_exact(**arguments, design="reused")
    np.testing.assert_allclose(reused, harmonic * 2.25 * 5 / 34, rtol=1e-13)
    pooled = ols.accumulate_mse_exact(**arguments, design="orthogonal")
    np.testing.assert_allclose(pooled, harmonic * 2.25 * 5 / 40, rtol=1e-13)
    fresh = ols.accumulate_mse_exact(**arguments)
    assert np.all(fresh[1:] < reused[1:])  # the page: strictly below from the second fit on


def test_real_rows_may_differ():
    got = ols.replace_mse_exact(dim=3, sigma=1, n_real=100, n_per_round=[20, 50], rounds=2)
    np.testing.assert_allclose(got, np.cumsum([3 / 96, 3 / 16, 3 / 46]), rtol=1e-13)
    got = ols.replace_mse_exact(
        dim=3, sigma=1, n_real=100, n_per_round=[20, 50], rounds=2, design="orthogonal"
    )
    np.testing.assert_allclose(got, np.cumsum([3 / 100, 3 / 20, 3 / 50]), rtol=1e-13)


@pytest.mark.parametrize("design", ["gaussian", "reused", "orthogonal"])
def test_accumulate_plateau(design):
    arguments = dict(dim=5, sigma=1.5, n_per_round=40, design=design)
    path = ols.accumulate_mse_exact(**arguments, n_real=40, rounds=20_000)
    limit = ols.accumulate_mse_limit(**arguments)
    # The tail of a sum of 1/i^2 beyond K is 1/K of the first term.
    assert path[-1] == pytest.approx(limit, rel=1e-4)
    assert path[-1] < limit


def test_subsample_plateaus():
    intercept = ols.accumulate_subsample_intercept_exact(sigma=1.0, n_per_round=50, rounds=3000)
    assert intercept[0] == pytest.approx(1 / 50, rel=1e-14)
    many = ols.accumulate_subsample_intercept_exact(sigma=2.0, n_per_round=10**7, rounds=10)
    first_order = 4 / 10**7 * (3 * ols.harmonic_squares(10) - 2)
    np.testing.assert_allclose(many, first_order, rtol=1e-6)  # next order is 1/n
    steps = np.diff(intercept[1000:])
    assert np.all(steps > 0) and steps.max() < 1e-7  # rises to a plateau
    factor = ols.accumulate_subsample_mse_asymptotic(dim=1, sigma=1, n_per_round=3, rounds=10**5)[-1]
    assert factor == pytest.approx(np.pi**2 / 2 - 2, rel=1e-4)


def test_fresh_designs_match_simulation():
    """Unequal counts, replace and accumulate; false-alarm rate 1e-6, sees 8 % of each round's error."""
    rng, chains, dim, counts = np.random.default_rng(12), 40_000, 2, [14, 9, 20]
    fit = {"replace": np.zeros((chains, dim)), "accumulate": np.zeros((chains, dim))}
    gram, moment = np.zeros((chains, dim, dim)), np.zeros((chains, dim))
    squared = {"replace": [], "accumulate": []}
    for rows in counts:
        x, noise = rng.standard_normal((chains, rows, dim)), rng.standard_normal((chains, rows))
        own = np.einsum("cni,cnj->cij", x, x)
        y = np.einsum("cni,ci->cn", x, fit["replace"]) + noise
        fit["replace"] = np.linalg.solve(own, np.einsum("cni,cn->ci", x, y)[..., None])[..., 0]
        y = np.einsum("cni,ci->cn", x, fit["accumulate"]) + noise
        gram, moment = gram + own, moment + np.einsum("cni,cn->ci", x, y)
        fit["accumulate"] = np.linalg.solve(gram, moment[..., None])[..., 0]
        for name, path in squared.items():
            path.append(np.sum(fit[name] ** 2, axis=1))
    arguments = dict(dim=dim, sigma=1, n_real=14, n_per_round=[9, 20], rounds=2)
    for name, function in (("replace", ols.replace_mse_exact), ("accumulate", ols.accumulate_mse_exact)):
        mse = function(**arguments)
        assert_mean(np.array(squared[name]).T, mse, 0.08 * mse)


def test_intercept_subsample_matches_simulation():
    rng, chains, n = np.random.default_rng(13), 40_000, 4
    pool = rng.standard_normal((chains, n))
    squared = []
    for _ in range(4):
        fit = rng.permuted(pool, axis=1)[:, :n].mean(axis=1)
        squared.append(fit**2)
        pool = np.hstack([pool, fit[:, None] + rng.standard_normal((chains, n))])
    mse = ols.accumulate_subsample_intercept_exact(sigma=1.0, n_per_round=n, rounds=3)
    assert_mean(np.array(squared).T, mse, 0.08 * mse)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_real": 4}, "n_real must be > dim \\+ 1 = 4, got 4"),
        ({"n_per_round": [20, 4]}, "n_per_round must be > dim \\+ 1 = 4"),
        ({"n_per_round": np.inf}, "n_per_round must be finite, got inf"),
        ({"design": "reused", "n_per_round": 30}, "n_per_round must be n_real for a reused design"),
        ({"design": "fixed"}, "design must be one of 'gaussian', 'reused', 'orthogonal', got 'fixed'"),
        ({"sigma": -1}, "sigma must be > 0 and finite, got -1"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(dim=3, sigma=1.0, n_real=20, n_per_round=20, rounds=2)
    with pytest.raises(ValueError, match=message):
        ols.replace_mse_exact(**{**arguments, **changes})


def test_accumulate_needs_rows_for_the_first_fit_only():
    got = ols.accumulate_mse_exact(dim=3, sigma=1.0, n_real=20, n_per_round=1, rounds=2)
    np.testing.assert_allclose(got, 3 * np.cumsum([1 / 16, 1 / (21 * 17), 1 / (22 * 18)]), rtol=1e-13)
    with pytest.raises(ValueError, match="n_real must be > dim"):
        ols.accumulate_mse_exact(dim=3, sigma=1.0, n_real=4, n_per_round=20, rounds=2)
