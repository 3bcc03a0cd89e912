"""Minimum-norm fits and given designs without a verifier: printed values, identities, simulation."""

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import linear_regression as ols
from theory.workflows import linear_regression_minimum_norm as minimum_norm

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

# WORKFLOWS.md section 2, theory column; |truth|^2 = d; its k counts fits from 1. n, d, sigma, k, value
REPLACE_REUSED = [
    (10, 30, 1.0, 1, 20.526),
    (10, 20, 0.3, 3, 10.3),
    (32, 100, 1.0, 4, 69.91),
    (5, 12, 2.0, 6, 27.0),
]
REPLACE_FRESH = [
    (10, 30, 1.0, 1, 20.526),
    (10, 20, 0.3, 3, 17.675),
    (32, 100, 1.0, 4, 99.646),
    (5, 12, 2.0, 6, 17.622),
]
ACCUMULATE_REUSED = [
    (10, 30, 1.0, 1, 20.526),
    (10, 20, 0.3, 1, 10.1),
    (10, 20, 0.3, 4, 10.142),
    (5, 12, 2.0, 4, 11.745),
]


@pytest.mark.parametrize(
    ("design", "row"),
    [("reused", row) for row in REPLACE_REUSED] + [("gaussian", row) for row in REPLACE_FRESH],
)
def test_replace_printed(design, row):
    n, dim, sigma, k, value = row
    got = minimum_norm.replace_mse_exact(
        dim=dim, sigma=sigma, truth_norm=dim**0.5, n_real=n, n_per_round=n, rounds=k - 1, design=design
    )
    assert got[-1] == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize("row", ACCUMULATE_REUSED)
def test_accumulate_printed(row):
    n, dim, sigma, k, value = row
    got = minimum_norm.accumulate_reused_mse_exact(
        dim=dim, sigma=sigma, truth_norm=dim**0.5, n_per_round=n, rounds=k - 1
    )
    assert got[-1] == pytest.approx(value, rel=LAST_DIGIT)


def test_closed_form_for_equal_counts():
    n, dim, norm = 8, 20, 3.0
    got = minimum_norm.replace_mse_exact(
        dim=dim, sigma=0.5, truth_norm=norm, n_real=n, n_per_round=n, rounds=200
    )
    left = 1 - (n / dim) ** np.arange(1, 202)
    np.testing.assert_allclose(got, left * (norm**2 + 0.25 * n / (dim - n - 1) / (1 - n / dim)), rtol=1e-12)


@pytest.mark.parametrize("design", ["gaussian", "reused"])
def test_enough_rows_need_no_minimum_norm(design):
    later = [40, 40] if design == "reused" else [25, 60]
    arguments = dict(dim=5, sigma=1.5, n_real=40, n_per_round=later, rounds=2, design=design)
    got = minimum_norm.replace_mse_exact(**arguments, truth_norm=9.0)
    np.testing.assert_allclose(got, ols.replace_mse_exact(**arguments), rtol=1e-13)
    arguments = dict(dim=5, sigma=1.5, n_per_round=40, rounds=6)
    got = minimum_norm.accumulate_reused_mse_exact(**arguments, truth_norm=9.0)
    np.testing.assert_allclose(
        got, ols.accumulate_mse_exact(**arguments, n_real=40, design="reused"), rtol=1e-13
    )


def test_given_design():
    rng = np.random.default_rng(91)
    x, truth = rng.standard_normal((12, 4)), rng.standard_normal(4)
    trace = 0.49 * np.trace(np.linalg.inv(x.T @ x))
    arguments = dict(truth=truth, sigma=0.7, rounds=3)
    k = np.arange(1, 5)
    got = minimum_norm.replace_fixed_design_mse_exact(design=x, **arguments)
    np.testing.assert_allclose(got, k * trace, rtol=1e-12)
    got = minimum_norm.accumulate_fixed_design_mse_exact(design=x, **arguments)
    np.testing.assert_allclose(got, np.cumsum(1 / k**2) * trace, rtol=1e-12)
    repeated = np.vstack([x[:2], x[:2], x[:1]])  # rank 2 of 4
    inverse = np.linalg.pinv(repeated)
    unseen = truth - inverse @ repeated @ truth
    got = minimum_norm.replace_fixed_design_mse_exact(design=repeated, **arguments)
    np.testing.assert_allclose(got, unseen @ unseen + 0.49 * k * np.sum(inverse**2), rtol=1e-12)
    nothing = minimum_norm.replace_fixed_design_mse_exact(design=np.zeros((3, 4)), **arguments)
    np.testing.assert_allclose(nothing, np.full(4, truth @ truth), rtol=1e-14)


def test_changing_counts_match_simulation():
    """More and fewer rows than dimensions in turn; false-alarm rate 1e-6, sees 4 % of each round's error."""
    rng, chains, dim, counts = np.random.default_rng(92), 40_000, 6, [3, 14, 2, 3]
    truth = np.array([1.0, 2.0, 0.0, -1.0, 0.5, 0.0])
    fit, squared = np.tile(truth, (chains, 1)), []
    for rows in counts:
        x = rng.standard_normal((chains, rows, dim))
        y = x @ fit[..., None] + 0.6 * rng.standard_normal((chains, rows, 1))
        fit = (np.linalg.pinv(x) @ y)[..., 0]
        squared.append(np.sum((fit - truth) ** 2, axis=1))
    mse = minimum_norm.replace_mse_exact(
        dim=dim, sigma=0.6, truth_norm=6.25**0.5, n_real=3, n_per_round=counts[1:], rounds=3
    )
    assert_mean(np.array(squared).T, mse, 0.04 * mse)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_real": 4}, "rows per round must be < dim - 1 or > dim \\+ 1, dim = 5"),
        ({"n_per_round": [9, 6]}, "rows per round must be < dim - 1 or > dim \\+ 1, dim = 5"),
        ({"n_per_round": np.inf}, "n_per_round must be finite, got inf"),
        ({"design": "reused", "n_per_round": 9}, "n_per_round must be n_real for a reused design, got 9"),
        ({"design": "orthogonal"}, "design must be one of 'gaussian', 'reused', got 'orthogonal'"),
        ({"truth_norm": -1.0}, "truth_norm must be >= 0 and finite, got -1"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(dim=5, sigma=1.0, truth_norm=1.0, n_real=3, n_per_round=3, rounds=2)
    with pytest.raises(ValueError, match=message):
        minimum_norm.replace_mse_exact(**{**arguments, **changes})


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"design must be a matrix of shape \(N, D\)"):
        minimum_norm.replace_fixed_design_mse_exact(design=[1.0, 2.0], truth=[1.0], sigma=1.0, rounds=1)
    with pytest.raises(ValueError, match=r"truth must be a vector of shape \(2,\)"):
        minimum_norm.replace_fixed_design_mse_exact(design=[[1.0, 2.0]], truth=[1.0], sigma=1.0, rounds=1)
