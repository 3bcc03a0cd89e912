"""Gaussian fits under accumulate_subsample: printed values, recursion, plateau or growth, simulation."""

import numpy as np
import pytest
from scipy.special import gammaln

from tests.helpers import assert_mean
from theory.workflows import gaussian_accumulate as accumulate
from theory.workflows import gaussian_subsample as subsample

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

# WORKFLOWS.md 1.3, theory column (Sigma_0 = I); k counts fits from 1. covariance, n, d, k, value
TRACE = [
    ("mle", 10, 1, 1, 0.9),
    ("mle", 5, 2, 5, 1.1862),
    ("mle", 10, 3, 20, 2.2486),
    ("mle", 4, 6, 2, 3.6161),
    ("mle", 4, 1, 300, 0.45138),
    ("mle", 10, 1, 100, 0.74113),  # these two: quick reference
    ("unbiased", 10, 1, 100, 1.25561),
    ("unbiased", 10, 1, 10, 1.0273),
    ("unbiased", 10, 3, 1, 3),
    ("unbiased", 3, 2, 5, 1.8935),
    ("unbiased", 4, 6, 20, 7.3),
    ("unbiased", 4, 1, 100, 1.7605),
    ("unbiased", 8, 1, 50, 1.2237),
]
MEAN_ERROR = [
    ("mle", 10, 1, 1, 0.1),
    ("mle", 5, 2, 5, 0.81376),
    ("mle", 10, 3, 20, 0.75137),
    ("mle", 4, 6, 2, 2.3839),
    ("unbiased", 10, 1, 10, 0.26654),
    ("unbiased", 3, 2, 5, 1.5437),
    ("unbiased", 4, 6, 20, 4.4717),
    ("unbiased", 4, 1, 25, 0.76836),
    ("unbiased", 8, 1, 100, 0.40487),
]
# WORKFLOWS.md 1.4: n_real, n_per_round, size, d, k, E tr, E|mu - mu_0|^2
GENERAL = [
    (20, 5, 20, 1, 1, 0.95, 0.05),
    (10, 30, 8, 2, 2, 1.5607, 0.4393),
    (6, 1, np.inf, 1, 4, 0.79365, 0.20635),
    (50, 10, 10, 2, 4, 1.7664, 0.23361),
    (12, 24, np.inf, 3, 8, 2.6582, 0.34181),
    (10, 4, 25, 1, 15, 0.81878, 0.18122),
]


def printed(value):
    return pytest.approx(value, rel=LAST_DIGIT)


def test_first_moments_printed():
    for covariance, n, dim, k, value in TRACE:
        got = subsample.covariance_ratio_exact(n_per_round=n, rounds=k - 1, covariance=covariance)
        assert dim * got[k - 1] == printed(value)
    for covariance, n, dim, k, value in MEAN_ERROR:
        got = subsample.mean_error_ratio_exact(n_per_round=n, rounds=k - 1, covariance=covariance)
        assert dim * got[k - 1] == printed(value)


def test_general_sizes_printed():
    for real, new, size, dim, k, trace, error in GENERAL:
        got = subsample.ratios_recursion(n_real=real, n_per_round=new, size=size, rounds=k - 1)
        assert dim * got.covariance[k - 1] == printed(trace)
        assert dim * got.mean_error[k - 1] == printed(error)


@pytest.mark.parametrize(("n", "limit"), [(10, 0.73899), (32, 0.91161), (100, 0.97100), (1000, 0.99707)])
def test_limits_printed(n, limit):
    assert subsample.covariance_ratio_limit(n_per_round=n) == printed(limit)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_closed_form_solves_the_recursion(n, covariance):
    arguments = dict(n_per_round=n, rounds=300, covariance=covariance)
    got = subsample.ratios_recursion(n_real=n, size=n, **arguments)
    # 300 steps, each right to a few units in the last place
    np.testing.assert_allclose(got.covariance, subsample.covariance_ratio_exact(**arguments), rtol=1e-12)
    np.testing.assert_allclose(got.mean_error, subsample.mean_error_ratio_exact(**arguments), rtol=1e-11)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_whole_pool_is_accumulate(covariance):
    arguments = dict(n_real=6, n_per_round=[1, 30, 2, 11], rounds=4, covariance=covariance)
    got = subsample.ratios_recursion(size=np.inf, **arguments)
    np.testing.assert_allclose(got.covariance, accumulate.covariance_ratio_exact(**arguments), rtol=1e-13)
    np.testing.assert_allclose(got.mean_error, accumulate.mean_error_ratio_exact(**arguments), rtol=1e-13)
    enough = subsample.ratios_recursion(size=[6, 7, 37, 39, 50], **arguments)
    np.testing.assert_allclose(enough.covariance, got.covariance, rtol=1e-14)


def test_mean_of_second_moment_is_conserved():
    got = subsample.ratios_recursion(
        n_real=9, n_per_round=[1, 50, 10**6, 3], size=[5, 10, 2, 100, 7], rounds=4
    )
    np.testing.assert_allclose(got.covariance + got.mean_error, 1, rtol=1e-13)


def test_plateau_with_the_divisor_n():
    for n in (2, 5, 50):
        path = subsample.covariance_ratio_exact(n_per_round=n, rounds=100_000)
        limit = subsample.covariance_ratio_limit(n_per_round=n)
        assert path[-1] == pytest.approx(limit, rel=4 / (n * 100_000))  # the tail of sum 3/(n i^2)
        assert np.all(path > limit)
    n = 10**7
    lost = 1 - subsample.covariance_ratio_limit(n_per_round=n)
    assert lost == pytest.approx((np.pi**2 / 2 - 2) / n, rel=1e-6)  # next order 1/n; rounding 1e-16 n


def test_equal_sizes_in_closed_form():
    """The Gamma products of (A15)."""
    n, k = 6, np.arange(1, 51)
    up, down = ((1 + sign * np.sqrt(12 * n - 3)) / (2 * n) for sign in (1, -1))
    log = gammaln(k + 1 - up) + gammaln(k + 1 - down) - gammaln(k + 1) - gammaln(k + 1 - 1 / n)
    log += gammaln(2 - 1 / n) - gammaln(2 - up) - gammaln(2 - down)
    got = subsample.covariance_ratio_exact(n_per_round=n, rounds=49)
    np.testing.assert_allclose(got, (1 - 1 / n) * np.exp(log), rtol=1e-12)


def test_growth_with_the_divisor_less_one():
    for n in (2, 5, 50):
        arguments = dict(n_per_round=n, rounds=100_000)
        path = subsample.covariance_ratio_exact(**arguments, covariance="unbiased")
        growth = subsample.covariance_ratio_asymptotic(**arguments)
        assert path[-1] == pytest.approx(growth[-1], rel=4 / 100_000)  # next order 1/k
        assert path[0] == 1
    assert growth[-1] / growth[9999] == pytest.approx(100_001 ** (1 / 50) / 10_000 ** (1 / 50), rel=1e-12)
    # The mean error approaches growth/n: what is left is a constant, so the ratio nears 1 as k^(-1/n).
    arguments = dict(n_per_round=2, rounds=1_000_000)
    error = subsample.mean_error_ratio_exact(**arguments, covariance="unbiased")
    left = error - subsample.covariance_ratio_asymptotic(**arguments) / 2
    assert abs(left[-1]) < 0.01 * error[-1]
    assert left[-1] == pytest.approx(left[250_000], abs=0.01)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_general_sizes_match_simulation(covariance):
    """Actual pools and draws without replacement; sees 6 % of each ratio, false-alarm rate 1e-6."""
    rng, chains, news, drawn = np.random.default_rng(41), 60_000, [5, 1, 8], [4, 9, 3, 12]
    pool = rng.standard_normal((chains, 7))
    rows = []
    for k in range(4):
        seen = rng.permuted(pool, axis=1)[:, : drawn[k]]
        mean, spread = seen.mean(axis=1), seen.std(axis=1, ddof=int(covariance == "unbiased"))
        rows.append([spread**2, mean**2])
        if k < 3:
            new = mean[:, None] + spread[:, None] * rng.standard_normal((chains, news[k]))
            pool = np.hstack([pool, new])
    got = subsample.ratios_recursion(n_real=7, n_per_round=news, size=drawn, rounds=3, covariance=covariance)
    expected = np.array([got.covariance, got.mean_error]).T
    assert_mean(np.moveaxis(np.array(rows), -1, 0), expected, 0.1 * expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_real": 1}, "n_real must be an integer >= 2, got 1"),
        ({"n_per_round": [9, np.inf]}, "n_per_round must be finite and >= 1, got"),
        ({"size": 1}, "size must be >= 2, got 1"),
        ({"size": 2.5}, "size must be an integer >= 1, or inf, got 2.5"),
        ({"size": [5, 5]}, "size must be one number or one for each of 3 rounds"),
        ({"rounds": -1}, "rounds must be an integer >= 0, got -1"),
        ({"covariance": "ml"}, "covariance must be one of 'mle', 'unbiased', got 'ml'"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(n_real=20, n_per_round=20, size=20, rounds=2)
    with pytest.raises(ValueError, match=message):
        subsample.ratios_recursion(**{**arguments, **changes})


def test_other_arguments_out_of_range_are_named():
    for function in (subsample.covariance_ratio_exact, subsample.mean_error_ratio_exact):
        with pytest.raises(ValueError, match="n_per_round must be an integer >= 2, got 1"):
            function(n_per_round=1, rounds=2)
        with pytest.raises(ValueError, match="covariance must be one of 'mle', 'unbiased', got 'no'"):
            function(n_per_round=5, rounds=2, covariance="no")
    with pytest.raises(ValueError, match="n_per_round must be an integer >= 2, got 1"):
        subsample.covariance_ratio_limit(n_per_round=1)
    with pytest.raises(ValueError, match="rounds must be an integer >= 0, got -1"):
        subsample.covariance_ratio_asymptotic(n_per_round=5, rounds=-1)
