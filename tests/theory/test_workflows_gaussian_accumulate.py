"""Gaussian fits under accumulate: printed values, plateaus, quadrature, simulation of the actual data sets."""

import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import chi2, norm

from tests.helpers import assert_mean
from theory.workflows import gaussian_accumulate as accumulate

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

# WORKFLOWS.md 1.2, theory column (Sigma_0 = I); k counts fits from 1. covariance, n, d, k, value
TRACE = [
    ("mle", 10, 1, 1, 0.9),
    ("mle", 4, 6, 1, 4.5),
    ("mle", 10, 1, 8, 0.85341),  # section 7, the reference implementation
    ("unbiased", 10, 1, 20, 0.93972),
    ("unbiased", 10, 3, 20, 2.8192),
    ("unbiased", 4, 6, 20, 5.08),
]
MEAN_ERROR = [
    ("mle", 10, 3, 1, 0.3),
    ("mle", 10, 3, 2, 0.3675),  # these two: section 7
    ("mle", 10, 3, 8, 0.43978),
    ("mle", 4, 6, 1, 1.5),
    ("unbiased", 10, 1, 20, 0.15821),
    ("unbiased", 10, 3, 20, 0.47463),
    ("unbiased", 4, 6, 20, 2.3389),
]
TRACE_OF_SQUARE = [(10, 1, 1, 0.99), (5, 2, 10, 2.2742), (6, 4, 2, 5.7504), (4, 6, 20, 12.078)]
SQUARE_OF_TRACE = [(10, 1, 1, 0.99), (5, 2, 10, 2.9656), (6, 4, 2, 11.63), (4, 6, 20, 19.295)]
DETERMINANT = [
    (10, 1, 1, 0.9),
    (5, 2, 1, 0.48),
    (10, 3, 1, 0.504),
    (10, 3, 8, 0.36864),  # section 7
    (10, 3, 20, 0.35388),
    (6, 4, 20, 0.035548),
]
WASSERSTEIN = [(1, 0.15451), (2, 0.18823), (5, 0.21645), (10, 0.22777), (20, 0.23388)]  # mle, n = 10


def chain(n, k, covariance="mle"):
    return dict(n_real=n, n_per_round=n, rounds=k - 1, covariance=covariance)


def printed(value):
    return pytest.approx(value, rel=LAST_DIGIT)


def test_first_moments_printed():
    for covariance, n, dim, k, value in TRACE:
        assert dim * accumulate.covariance_ratio_exact(**chain(n, k, covariance))[k - 1] == printed(value)
    for covariance, n, dim, k, value in MEAN_ERROR:
        assert dim * accumulate.mean_error_ratio_exact(**chain(n, k, covariance))[k - 1] == printed(value)


def test_second_moments_and_determinant_printed():
    for n, dim, k, value in TRACE_OF_SQUARE:
        moments = accumulate.trace_moments_exact(eigenvalues=np.ones(dim), **chain(n, k))
        assert moments.trace_of_square[k - 1] == printed(value)
    for n, dim, k, value in SQUARE_OF_TRACE:
        moments = accumulate.trace_moments_exact(eigenvalues=np.ones(dim), **chain(n, k))
        assert moments.square_of_trace[k - 1] == printed(value)
    for n, dim, k, value in DETERMINANT:
        assert np.exp(accumulate.log_mean_det_exact(dim=dim, **chain(n, k))[k - 1]) == printed(value)


def test_wasserstein_printed():
    got = accumulate.wasserstein_exact(sigma=2, **chain(10, 20))
    for k, value in WASSERSTEIN:
        assert got[k - 1] == printed(4 * value)


@pytest.mark.parametrize(
    ("sizes", "value"),
    [([6, 12, 24, 48, 96, 192], 1.5672), ([20, 3, 9, 4, 30, 2], 1.8532), ([10, 5, 5, 5, 5, 5], None)],
)
def test_unequal_sizes_printed(sizes, value):
    got = accumulate.covariance_ratio_exact(n_real=sizes[0], n_per_round=sizes[1:], rounds=5)
    pool = np.cumsum(sizes)
    np.testing.assert_allclose(got, np.cumprod(1 - np.array(sizes) / pool**2), rtol=1e-14)
    if value is not None:
        assert 2 * got[5] == printed(value)


@pytest.mark.parametrize(("n", "at_100", "limit"), [(10, 0.84428, 0.84344), (100, 0.98373, 0.98363)])
def test_quick_reference_printed(n, at_100, limit):
    assert accumulate.covariance_ratio_exact(**chain(n, 100))[-1] == printed(at_100)
    assert accumulate.covariance_ratio_limit(n_real=n, n_per_round=n) == printed(limit)


def test_equal_sizes_in_closed_form():
    """The Gamma products of (A9), and the sine as their limit."""
    n, k = 7, np.arange(1, 51)
    a = 1 / np.sqrt(n)
    log = gammaln(k + 1 + a) + gammaln(k + 1 - a) - 2 * gammaln(k + 1) - gammaln(1 + a) - gammaln(1 - a)
    got = accumulate.covariance_ratio_exact(**chain(n, 50))
    np.testing.assert_allclose(got, np.exp(log), rtol=1e-12)  # gammaln(50) to 1e-14 of 150
    limit = accumulate.covariance_ratio_limit(n_real=n, n_per_round=n)
    assert limit == pytest.approx(np.sinc(a), rel=1e-14)
    n = 10**7
    lost = 1 - accumulate.covariance_ratio_limit(n_real=n, n_per_round=n)
    assert lost == pytest.approx(np.pi**2 / (6 * n), rel=1e-6)  # next order 1/n; rounding 1e-16 n
    unbiased = accumulate.covariance_ratio_exact(**chain(7, 50, "unbiased"))
    np.testing.assert_allclose(
        unbiased, np.cumprod(np.where(k > 1, 1 - 1 / (k * (7 * k - 1)), 1)), rtol=1e-13
    )
    errors = accumulate.mean_error_ratio_exact(**chain(7, 50, "unbiased"))
    np.testing.assert_allclose(
        errors, (1 + np.concatenate([[0], np.cumsum(unbiased[:-1] / k[1:] ** 2)])) / 7, rtol=1e-13
    )


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
@pytest.mark.parametrize(("real", "new"), [(10, 10), (2, 1), (3, 2), (50, 7), (2, 40)])
def test_plateau(real, new, covariance):
    arguments = dict(n_real=real, n_per_round=new, covariance=covariance)
    path = accumulate.covariance_ratio_exact(**arguments, rounds=100_000)
    limit = accumulate.covariance_ratio_limit(**arguments)
    assert np.all(path > limit)
    assert path[-1] == pytest.approx(limit, rel=1.1 / (new * 100_000))  # the tail of sum n/N^2 is 1/N
    bound = accumulate.mean_error_ratio_bound(n_real=real)
    assert np.all(accumulate.mean_error_ratio_exact(**arguments, rounds=1000) <= bound)


def test_polya_urn():
    limit = accumulate.covariance_ratio_limit(n_real=6, n_per_round=1)
    assert limit == pytest.approx(5 / 7, rel=1e-14)


def test_mean_of_second_moment_is_conserved():
    arguments = dict(n_real=9, n_per_round=[1, 50, 10**6, 3], rounds=4)
    kept = accumulate.covariance_ratio_exact(**arguments)
    np.testing.assert_allclose(kept + accumulate.mean_error_ratio_exact(**arguments), 1, rtol=1e-14)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_moments_agree_in_one_and_two_dimensions(covariance):
    arguments = dict(n_real=4, n_per_round=[1, 30, 2, 11], rounds=4, covariance=covariance)
    log_det = accumulate.log_mean_det_exact(dim=1, **arguments)
    np.testing.assert_allclose(np.exp(log_det), accumulate.covariance_ratio_exact(**arguments), rtol=1e-13)
    one = accumulate.trace_moments_exact(eigenvalues=[3], **arguments)
    np.testing.assert_allclose(one.trace_of_square, one.square_of_trace, rtol=1e-14)
    two = accumulate.trace_moments_exact(eigenvalues=[5, 0.3], **arguments)
    det = 1.5 * np.exp(accumulate.log_mean_det_exact(dim=2, **arguments))
    np.testing.assert_allclose(two.square_of_trace - two.trace_of_square, 2 * det, rtol=1e-12)


def test_rank_of_the_first_fit_is_kept():
    arguments = dict(n_real=3, n_per_round=20, rounds=4)
    assert np.all(accumulate.log_mean_det_exact(dim=3, **arguments) == -np.inf)
    # n_real = 2: rank one in every round, so the two second moments are the same, for any Sigma_0.
    arguments["n_real"] = 2
    moments = accumulate.trace_moments_exact(eigenvalues=[4, 1, 0.25], **arguments)
    np.testing.assert_allclose(moments.trace_of_square, moments.square_of_trace, rtol=1e-13)
    assert np.isfinite(accumulate.log_mean_det_exact(dim=300, n_real=400, n_per_round=1, rounds=2)[-1])


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize(("before", "new"), [(2, 1), (2, 2), (2, 10), (3, 60), (40, 5), (10**6, 10**6)])
def test_expected_root_and_log_of_one_round(before, new, lost):
    """E sqrt(F) and E log F against Gauss-Legendre quadrature of their definition over W and z."""
    nodes, weights = np.polynomial.legendre.leggauss(150)
    z, z_weights = 5 * (nodes + 1), 10 * weights * norm.pdf(5 * (nodes + 1))  # |z| < 10
    scatter, w_weights = np.zeros(1), np.ones(1)
    if new > 1:
        # W = r^2: the density of r is smooth at 0. chi2.isf is the far end of what matters.
        low, high = np.sqrt(chi2.ppf(1e-18, new - 1)), np.sqrt(chi2.isf(1e-18, new - 1))
        r = low + (high - low) * (nodes + 1) / 2
        scatter, w_weights = r**2, (high - low) * r * weights * chi2.pdf(r**2, new - 1)
    after = before + new
    growth = before - lost + scatter[:, None] + before / after * z**2
    sizes = np.array([before, new], dtype=float)
    # SciPy's density is right to some 1e-14, and at 1e6 degrees of freedom to about 1e-10 only.
    tolerance = 1e-9 if new == 10**6 else 1e-13
    exact = w_weights @ np.sqrt(growth / (after - lost)) @ z_weights
    np.testing.assert_allclose(accumulate._mean_root(sizes, lost), [exact], rtol=tolerance)
    exact = w_weights @ np.log(growth / (after - lost)) @ z_weights
    np.testing.assert_allclose(accumulate._mean_log_growth(sizes, lost), [exact], atol=2 * tolerance)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_mean_log_variance(covariance):
    """Below the log of the mean (Jensen), at the digamma value in round 0, and convergent."""
    path = accumulate.mean_log_variance_exact(**chain(10, 401, covariance))
    ratio = accumulate.covariance_ratio_exact(**chain(10, 401, covariance))
    assert np.all(path < np.log(ratio))
    divisor = 10 if covariance == "mle" else 9
    assert path[0] == pytest.approx(digamma(4.5) + np.log(2 / divisor), rel=1e-14)
    # a later round takes 2/(n k^2) off, half of it the mean's and half the spread's: all of them less than 2/(n k)
    assert 0 < path[200] - path[400] < 2 / (200 * 10)


def test_wasserstein_first_order():
    got = accumulate.wasserstein_exact(sigma=2, **chain(10**5, 30))
    squares = np.cumsum(1 / np.arange(1.0, 31) ** 2)
    np.testing.assert_allclose(got, 4 * 1.5 * squares / 10**5, rtol=1e-4)  # next order is 1/n


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_unequal_sizes_match_simulation(covariance):
    """d = 2, sees 12 % of each moment; false-alarm rate 1e-6. Each fit is made from the pooled rows."""
    rng, chains, values, sizes = np.random.default_rng(31), 80_000, np.array([2.0, 1.0]), [8, 4, 1, 12]
    pool, rows = rng.standard_normal((chains, 8, 2)) * np.sqrt(values), []
    for k in range(4):
        mean = pool.mean(axis=1)
        centred = pool - mean[:, None]
        divisor = pool.shape[1] - (covariance == "unbiased")
        sigma = np.einsum("cni,cnj->cij", centred, centred) / divisor
        trace = np.trace(sigma, axis1=1, axis2=2)
        rows.append(
            [trace, np.sum(mean**2, axis=1), np.sum(sigma**2, axis=(1, 2)), trace**2, np.linalg.det(sigma)]
        )
        if k < 3:
            noise = rng.standard_normal((chains, sizes[k + 1], 2))
            new = mean[:, None] + np.einsum("cij,cnj->cni", np.linalg.cholesky(sigma), noise)
            pool = np.concatenate([pool, new], axis=1)
    arguments = dict(n_real=8, n_per_round=sizes[1:], rounds=3, covariance=covariance)
    moments = accumulate.trace_moments_exact(eigenvalues=values, **arguments)
    expected = np.array(
        [
            3 * accumulate.covariance_ratio_exact(**arguments),
            3 * accumulate.mean_error_ratio_exact(**arguments),
            moments.trace_of_square,
            moments.square_of_trace,
            2 * np.exp(accumulate.log_mean_det_exact(dim=2, **arguments)),
        ]
    ).T
    assert_mean(np.moveaxis(np.array(rows), -1, 0), expected, 0.12 * expected)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_wasserstein_matches_simulation(covariance):
    rng, chains, sizes = np.random.default_rng(32), 60_000, [5, 3, 10]
    pool, squared = rng.standard_normal((chains, 5)), []
    for k in range(3):
        mean, spread = pool.mean(axis=1), pool.std(axis=1, ddof=int(covariance == "unbiased"))
        squared.append(mean**2 + (spread - 1) ** 2)
        if k < 2:
            new = mean[:, None] + spread[:, None] * rng.standard_normal((chains, sizes[k + 1]))
            pool = np.hstack([pool, new])
    expected = accumulate.wasserstein_exact(
        sigma=1, n_real=5, n_per_round=[3, 10], rounds=2, covariance=covariance
    )
    assert_mean(np.array(squared).T, expected, 0.1 * expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_real": 1}, "n_real must be an integer >= 2, got 1"),
        ({"n_per_round": 0}, "n_per_round must be > 0"),
        ({"n_per_round": np.inf}, "n_per_round must be finite and >= 1, got inf"),
        ({"n_per_round": [9, 9, 9]}, "n_per_round must be one number or one for each of 2 rounds"),
        ({"rounds": 1.5}, "rounds must be an integer >= 0, got 1.5"),
        ({"dim": 0}, "dim must be an integer >= 1, got 0"),
        ({"covariance": "ml"}, "covariance must be one of 'mle', 'unbiased', got 'ml'"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(dim=3, n_real=20, n_per_round=20, rounds=2)
    with pytest.raises(ValueError, match=message):
        accumulate.log_mean_det_exact(**{**arguments, **changes})


def test_other_arguments_out_of_range_are_named():
    with pytest.raises(ValueError, match="n_per_round must be an integer >= 1, got 0"):
        accumulate.covariance_ratio_limit(n_real=3, n_per_round=0)
    with pytest.raises(ValueError, match="n_real must be an integer >= 2, got 1"):
        accumulate.mean_error_ratio_bound(n_real=1)
    with pytest.raises(ValueError, match="sigma must be > 0 and finite, got nan"):
        accumulate.wasserstein_exact(sigma=np.nan, **chain(5, 2))
