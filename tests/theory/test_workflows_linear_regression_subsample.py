"""Least squares on subsamples in proportion: the page's equations, its tables, limits, simulation."""

import itertools

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import linear_regression
from theory.workflows import linear_regression_subsample as subsample

PAGE_ERROR = 0.015  # relative: the page's numerical solution is good to about 0.01 of r

# WORKFLOWS.md section 2, B7: ratio, design, then r_k at k = 2, 3, 4, 6, 8 (fits counted from 1)
GROWTH = [
    (0.05, "reused", (1.774, 2.117, 2.317, 2.532, 2.647)),
    (0.1, "reused", (1.796, 2.153, 2.365, 2.597, 2.724)),
    (0.2, "reused", (1.848, 2.241, 2.485, 2.766, 2.926)),
    (0.3, "reused", (1.921, 2.369, 2.666, 3.028, 3.246)),
    (0.5, "reused", (2.233, 3.007, 3.658, 4.689, 5.493)),
    (0.1, "gaussian", (1.74, 2.08, 2.28, 2.48, 2.62)),
    (0.3, "gaussian", (1.73, 2.09, 2.30, 2.55, 2.73)),
    (0.5, "gaussian", (1.71, 2.10, 2.37, 2.73, 3.04)),
]
# n, d, k, design, value
ERROR = [
    (200, 10, 2, "reused", 0.093407),
    (200, 40, 3, "reused", 0.56473),
    (200, 70, 5, "reused", 1.6427),
    (40, 4, 5, "reused", 0.2851),
    (25, 4, 6, "reused", 0.538),  # section 7
    (200, 10, 5, "gaussian", 0.12667),
    (200, 70, 5, "gaussian", 1.3392),
    (40, 4, 2, "gaussian", 0.1997),
]


@pytest.mark.parametrize(("ratio", "design", "values"), GROWTH)
def test_growth_printed(ratio, design, values):
    got = subsample.subsample_growth_asymptotic(ratio=ratio, rounds=7, design=design)
    assert got[0] == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(got[[1, 2, 3, 5, 7]], values, rtol=PAGE_ERROR)


@pytest.mark.parametrize(("n", "dim", "k", "design", "value"), ERROR)
def test_error_printed(n, dim, k, design, value):
    got = subsample.subsample_mse_asymptotic(dim=dim, sigma=1.0, n_per_round=n, rounds=k - 1, design=design)
    assert got[-1] == pytest.approx(value, rel=PAGE_ERROR)


def _solve_state_evolution(ratio, design, fits):
    """The page's matrix equations, solved by iteration over every pattern of copies of a row."""
    places = [(k, r) for k in range(fits) for r in range(k + 1)]
    rows = range(fits) if design == "gaussian" else [None]
    patterns, chances = [], []
    for row in rows:  # a fresh row is born in round `row` and occurs in that column only
        here = places if row is None else [place for place in places if place[1] == row]
        for bits in itertools.product((0, 1), repeat=len(here)):
            copies, chance = np.zeros((fits, fits)), 1.0
            for (k, r), bit in zip(here, bits, strict=True):
                copies[k, r] = bit
                chance *= 1 / (k + 1) if bit else k / (k + 1)
            patterns.append(copies)
            chances.append(chance)
    copies, chances = np.array(patterns), np.array(chances)
    down, eye = np.eye(fits, k=-1), np.eye(fits)
    labels = copies @ down - copies.sum(axis=2)[:, :, None] * eye
    gain, error = ratio * eye, ratio * eye
    for _ in range(400):
        solved = np.linalg.solve(eye - labels @ gain, np.concatenate([labels, copies], axis=2))
        from_error, from_noise = solved[..., :fits], solved[..., fits:]
        chi = np.einsum("b,bij->ij", chances, from_error)
        spread = from_error @ error @ np.swapaxes(from_error, 1, 2) + from_noise @ np.swapaxes(
            from_noise, 1, 2
        )
        inverse = np.linalg.inv(chi)
        gain = (gain - ratio * inverse) / 2  # damped
        error = ratio * inverse @ np.einsum("b,bij->ij", chances, spread) @ inverse.T
    return np.diag(error) * (1 - ratio) / ratio


@pytest.mark.parametrize(
    ("ratio", "design"), [(0.1, "reused"), (0.35, "reused"), (0.2, "gaussian"), (0.6, "gaussian")]
)
def test_recursions_solve_the_page_equations(ratio, design):
    got = subsample.subsample_growth_asymptotic(ratio=ratio, rounds=3, design=design)
    np.testing.assert_allclose(got, _solve_state_evolution(ratio, design, 4), rtol=1e-9)


@pytest.mark.parametrize("design", ["gaussian", "reused"])
def test_few_dimensions(design):
    got = subsample.subsample_growth_asymptotic(ratio=1e-7, rounds=50, design=design)
    np.testing.assert_allclose(got, 3 * linear_regression.harmonic_squares(50) - 2, rtol=2e-6)


@pytest.mark.parametrize(("design", "dim", "chains"), [("gaussian", 40, 700), ("reused", 30, 900)])
def test_simulation(design, dim, chains):
    """n = 100: corrections are about 1 %; false-alarm rate 1e-6, sees 15 %."""
    rng, n, rounds = np.random.default_rng(81), 100, 4
    squared = np.empty((chains, rounds + 1))
    for chain in range(chains):
        first = rng.standard_normal((n, dim))
        x, y = first, rng.standard_normal(n)
        for k in range(rounds + 1):
            drawn = rng.permutation(len(y))[:n]
            fit = np.linalg.solve(x[drawn].T @ x[drawn], x[drawn].T @ y[drawn])
            squared[chain, k] = fit @ fit
            new = first if design == "reused" else rng.standard_normal((n, dim))
            x, y = np.vstack([x, new]), np.concatenate([y, new @ fit + rng.standard_normal(n)])
    mse = subsample.subsample_mse_asymptotic(dim=dim, sigma=1.0, n_per_round=n, rounds=rounds, design=design)
    assert_mean(squared, mse, 0.15 * mse)


def test_rank_deficient_fits_are_refused():
    assert subsample.subsample_growth_asymptotic(ratio=0.74, rounds=1, design="reused")[1] > 3
    with pytest.raises(
        ValueError, match=r"ratio must be < 0\.75, the share of distinct rows in the fit of round 1"
    ):
        subsample.subsample_growth_asymptotic(ratio=0.76, rounds=1, design="reused")


def test_plateau_below_a_half_only():
    low = subsample.subsample_growth_asymptotic(ratio=0.3, rounds=20_000)
    assert low[-1] < 1.01 * low[2000]
    high = subsample.subsample_growth_asymptotic(ratio=0.7, rounds=20_000)
    exponent = np.log(high[-1] / high[-2001]) / np.log(20_000 / 18_000)
    assert exponent == pytest.approx(0.4 / 0.3, rel=2e-3)  # 5e-4 off here, less for larger k
    reused = [
        subsample.subsample_growth_asymptotic(ratio=ratio, rounds=2000, design="reused")
        for ratio in (0.4, 0.5)
    ]
    assert reused[0][-1] < 1.1 * reused[0][500]
    assert reused[1][-1] > 1.5 * reused[1][500]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 19}, "n_per_round must be > dim \\+ 1 = 20, got 20"),
        ({"design": "orthogonal"}, "design must be one of 'gaussian', 'reused', got 'orthogonal'"),
        ({"sigma": 0.0}, "sigma must be > 0 and finite, got 0"),
        ({"n_per_round": 20.5}, "n_per_round must be an integer >= 1, got 20.5"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(dim=3, sigma=1.0, n_per_round=20, rounds=2)
    with pytest.raises(ValueError, match=message):
        subsample.subsample_mse_asymptotic(**{**arguments, **changes})


def test_ratio_is_below_one():
    with pytest.raises(ValueError, match=r"ratio must be in \(0, 1\), got 1.0"):
        subsample.subsample_growth_asymptotic(ratio=1.0, rounds=2)
