import numpy as np
import pytest
from scipy import stats

from simcollapse.data import homoscedasticity, load_table

DIM, ROWS = 3, 300


def data(seed, *, slope):
    """A regression whose noise sd grows along the first covariate; constant for slope 0, and not normal."""
    random = np.random.default_rng([7, seed])
    X = random.normal(size=(ROWS, DIM))
    noise = random.uniform(-1, 1, size=ROWS) * np.exp(slope * X[:, 0])
    return X, X @ [1.0, -2.0, 0.5] + 3 + noise


def test_planted_heteroscedasticity_is_seen():
    assert all(homoscedasticity(*data(seed, slope=0.5)).p_value < 1e-3 for seed in range(20))
    found = homoscedasticity(*data(0, slope=0.5))
    assert not found.constant
    assert "the noise varies with X" in found.statement


def test_constant_noise_raises_no_more_alarms_than_stated():
    p = np.array([homoscedasticity(*data(seed, slope=0.0)).p_value for seed in range(400)])
    alarms = int((p < 0.05).sum())
    # exact binomial interval that holds 1 - 1e-6 of the law at a rate of 0.05
    low, high = stats.binom.interval(1 - 1e-6, len(p), 0.05)
    assert low <= alarms <= high
    assert homoscedasticity(*data(0, slope=0.0)).statement.endswith("no sign that the noise varies with X")


def test_the_statistic_is_koenkers():
    X, y = data(1, slope=0.2)
    design = np.column_stack([np.ones(ROWS), X])
    square = (y - design @ np.linalg.solve(design.T @ design, design.T @ y)) ** 2
    fitted = design @ np.linalg.solve(design.T @ design, design.T @ square)
    expected = ROWS * np.var(fitted) / np.var(square)
    found = homoscedasticity(X, y)
    np.testing.assert_allclose(found.statistic, expected, rtol=1e-9)  # normal equations against lstsq
    assert found.freedom == DIM
    np.testing.assert_allclose(found.p_value, stats.chi2.sf(expected, DIM), rtol=1e-8)


def test_scale_and_shift_change_nothing():
    X, y = data(2, slope=0.3)
    moved = homoscedasticity(5 - 2 * X, 100 + 7 * y)
    np.testing.assert_allclose(moved.statistic, homoscedasticity(X, y).statistic, rtol=1e-9)


def test_diabetes_noise_is_not_constant():
    table = load_table("diabetes")
    found = homoscedasticity(table.X, table.y)
    np.testing.assert_allclose(found.statistic, 26.1454, atol=1e-3)  # computed apart, with a standardised X


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (np.ones(5), np.ones(5), r"shapes \(N, D\) and \(N,\), got \(5,\)"),
        (np.ones((5, 2)), np.ones(4), r"got \(5, 2\) and \(4,\)"),
        (np.eye(4), np.ones(4), "at least D \\+ 3 = 7 rows, got 4"),
        (np.ones((9, 2)), np.arange(9.0), "full column rank 2 beside an intercept"),
        (np.arange(9.0)[:, None], np.arange(9.0), "exact linear function"),
    ],
)
def test_bad_input(X, y, words):
    with pytest.raises(ValueError, match=words):
        homoscedasticity(X, y)
