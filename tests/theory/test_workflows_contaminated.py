"""Strong collapse: printed values, limits, simulation."""

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import contaminated

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

# WORKFLOWS.md section 6, theory column. n1, n2, d, sigma, shift, exact, proportional
LEAST_SQUARES = [
    (20, 10, 3, 1.0, 2.0, 0.68391, 0.65432),
    (10, 20, 5, 0.5, 1.0, 0.54753, 0.53889),
    (50, 5, 10, 1.0, 3.0, 0.47999, 0.46189),
    (30, 30, 1, 1.0, 1.0, 0.27531, 0.27119),
    (12, 6, 12, 0.3, 1.0, 0.8411, 0.73556),
    (95, 5, 10, 0.0, 1.0, 0.0082357, 0.0077778),
]


def mixture(n1, n2, dim, sigma, shift):
    return dict(dim=dim, sigma=sigma, shift=shift, n_real=n1, n_synthetic=n2)


@pytest.mark.parametrize("row", LEAST_SQUARES)
def test_least_squares_printed(row):
    *setting, exact, proportional = row
    got = contaminated.least_squares_mse_exact(**mixture(*setting))
    assert got == pytest.approx(exact, rel=LAST_DIGIT)
    got = contaminated.least_squares_mse_asymptotic(**mixture(*setting))
    assert got == pytest.approx(proportional, rel=LAST_DIGIT)


def test_few_rows_per_share_printed():
    """The page's warning: the floor formula is 14 % low although d/N is 0.001."""
    exact = contaminated.least_squares_mse_exact(**mixture(2970, 30, 4, 0.1, 2.0))
    assert exact == pytest.approx(0.0004794, rel=LAST_DIGIT)
    floor = contaminated.mse_limit(shift=2.0, synthetic_share=0.01) + 0.1**2 * 4 / 3000
    assert floor == pytest.approx(0.00041333, rel=LAST_DIGIT)


def test_more_rows_tend_to_the_floor():
    few, many = (
        contaminated.least_squares_mse_exact(**mixture(9 * n, n, 7, 1.0, 3.0)) for n in (10**3, 10**8)
    )
    floor = contaminated.mse_limit(shift=3.0, synthetic_share=0.1)
    assert floor == pytest.approx(0.09, rel=1e-14)
    assert few > many > floor
    assert many == pytest.approx(floor, rel=1e-6)


def test_limits_of_the_exact_error():
    for dim, rows in ((1, 30), (5, 40)):
        real = contaminated.least_squares_mse_exact(**mixture(rows, 0, dim, 2.0, 3.0))
        assert real == pytest.approx(4 * dim / (rows - dim - 1), rel=1e-14)
        shifted = contaminated.least_squares_mse_exact(**mixture(0, rows, dim, 2.0, 3.0))
        assert shifted == pytest.approx(real + 9, rel=1e-14)
    exact = contaminated.least_squares_mse_exact(**mixture(70_000, 30_000, 40_000, 1.0, 2.0))
    limit = contaminated.least_squares_mse_asymptotic(**mixture(70_000, 30_000, 40_000, 1.0, 2.0))
    assert exact == pytest.approx(limit, rel=1e-4)  # off by O(1/N)


# WORKFLOWS.md section 6; sigma, shift and |truth| are not printed there: these alone of a grid of round numbers
# give its five digits. n1, n2, d, sigma, shift, |truth|, ridge, value
RIDGE = [
    (280, 120, 200, 0.5, 1.0, 1.0, 0.2, 0.32112),
    (270, 30, 60, 1.0, 2.0, 1.0, 0.05, 0.33303),
    (100, 100, 300, 0.3, 1.0, 2.0, 0.5, 2.021),
    (320, 80, 100, 0.5, 1.0, 1.0, 1.0, 0.3318),
]


@pytest.mark.parametrize("row", RIDGE)
def test_ridge_printed(row):
    *setting, truth_norm, ridge, value = row
    got = contaminated.ridge_mse_asymptotic(**mixture(*setting), truth_norm=truth_norm, ridge=ridge)
    assert got == pytest.approx(value, rel=LAST_DIGIT)


def test_ridge_zero_is_least_squares():
    setting = mixture(60, 30, 40, 0.7, 2.0)
    ridge = contaminated.ridge_mse_asymptotic(**setting, truth_norm=5.0, ridge=0.0)
    assert ridge == pytest.approx(contaminated.least_squares_mse_asymptotic(**setting), rel=1e-13)
    tiny = contaminated.ridge_mse_asymptotic(**setting, truth_norm=5.0, ridge=1e-12)
    assert tiny == pytest.approx(ridge, rel=1e-9)


def test_ridge_far_ends():
    setting = mixture(60, 30, 40, 0.7, 2.0)
    strong = contaminated.ridge_mse_asymptotic(**setting, truth_norm=5.0, ridge=1e12)
    assert strong == pytest.approx(25, rel=1e-10)  # nothing is learned
    minimum_norm = contaminated.ridge_mse_asymptotic(
        **mixture(100, 0, 250, 1.5, 2.0), truth_norm=3.0, ridge=0
    )
    assert minimum_norm == pytest.approx(9 * (1 - 0.4) + 2.25 / 1.5, rel=1e-12)


def _draw(rng, chains, n1, n2, dim, sigma, shift):
    x = rng.standard_normal((chains, n1 + n2, dim))
    y = sigma * rng.standard_normal((chains, n1 + n2))
    y[:, n1:] += shift * x[:, n1:, 1 % dim]
    return x, y


def _squared_error(x, y, ridge, truth):
    across = np.swapaxes(x, 1, 2) / x.shape[1]
    gram, moment = across @ x + ridge * np.eye(x.shape[2]), across @ (y + x @ truth)[..., None]
    return np.sum((np.linalg.solve(gram, moment)[..., 0] - truth) ** 2, axis=1)


@pytest.mark.parametrize("setting", [(14, 6, 3, 0.5, 1.0), (4, 20, 6, 0.4, 1.5), (6, 12, 1, 0.3, 1.0)])
def test_exact_matches_simulation(setting):
    """Also fewer real rows than dimensions; false-alarm rate 1e-6, sees 6 %."""
    x, y = _draw(np.random.default_rng(61), 40_000, *setting)
    mse = contaminated.least_squares_mse_exact(**mixture(*setting))
    assert_mean(_squared_error(x, y, 0.0, np.zeros(setting[2]))[:, None], mse, 0.06 * mse)


@pytest.mark.parametrize(("n1", "n2", "dim", "ridge"), [(140, 60, 100, 0.2), (60, 60, 180, 0.5)])
def test_ridge_matches_simulation(n1, n2, dim, ridge):
    """Corrections are about 1/n; false-alarm rate 1e-6, sees 12 %."""
    setting = (n1, n2, dim, 0.5, 2.0)
    x, y = _draw(np.random.default_rng(62), 250, *setting)
    truth = np.zeros(dim)
    truth[0] = 1.5
    mse = contaminated.ridge_mse_asymptotic(**mixture(*setting), truth_norm=1.5, ridge=ridge)
    assert_mean(_squared_error(x, y, ridge, truth)[:, None], mse, 0.12 * mse)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_real": -1}, "n_real must be an integer >= 0, got -1"),
        ({"n_real": 1, "n_synthetic": 3}, "n_real \\+ n_synthetic must be > dim \\+ 1 = 4, got 4"),
        ({"n_real": 0, "n_synthetic": 0}, "n_real \\+ n_synthetic must be > 0, got 0"),
        ({"shift": -1.0}, "shift must be >= 0 and finite, got -1"),
        ({"dim": 0}, "dim must be an integer >= 1, got 0"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        contaminated.least_squares_mse_exact(**{**mixture(20, 10, 3, 1.0, 1.0), **changes})


def test_where_the_limits_do_not_exist():
    with pytest.raises(ValueError, match="n_real \\+ n_synthetic must be > dim = 30, got 30"):
        contaminated.least_squares_mse_asymptotic(**mixture(20, 10, 30, 1.0, 1.0))
    with pytest.raises(ValueError, match="ridge must be > 0 where dim = n_real \\+ n_synthetic"):
        contaminated.ridge_mse_asymptotic(**mixture(20, 10, 30, 1.0, 1.0), truth_norm=1.0, ridge=0.0)
    with pytest.raises(ValueError, match=r"synthetic_share must be in \[0, 1\], got 1.5"):
        contaminated.mse_limit(shift=1.0, synthetic_share=1.5)
