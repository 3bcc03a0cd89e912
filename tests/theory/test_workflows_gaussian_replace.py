"""Gaussian fits under replace: printed values, identities, limits, simulation of the actual data sets."""

import mpmath as mp
import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import chi_squared
from theory.workflows import gaussian_replace as replace

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

# WORKFLOWS.md 1.1, theory column; k counts fits from 1. covariance, n, (d or the spectrum of Sigma_0), k, value
STRETCHED = (4.0, 1.0, 0.25)  # "aniso"
TRACE = [
    ("mle", 10, 1, 1, 0.9),
    ("mle", 30, 2, 2, 1.8689),
    ("mle", 5, 8, 5, 2.6214),
    ("mle", 5, 8, 12, 0.54976),
    ("unbiased", 10, 3, 1, 3),
    ("unbiased", 20, STRETCHED, 12, 5.25),
]
MEAN_ERROR = [
    ("mle", 10, 1, 1, 0.1),
    ("mle", 30, 2, 2, 0.13111),
    ("mle", 5, 8, 12, 7.4502),
    ("unbiased", 8, 4, 5, 2.5),
    ("unbiased", 20, STRETCHED, 12, 3.15),
]
TRACE_OF_SQUARE = [
    ("mle", 10, 1, 1, 0.99),
    ("mle", 8, 4, 1, 5.25),
    ("unbiased", 10, 1, 1, 1.2222),
    ("unbiased", 30, 2, 5, 3.1627),
    ("unbiased", 20, STRETCHED, 5, 31.245),
]
SQUARE_OF_TRACE = [
    ("mle", 10, 1, 1, 0.99),
    ("mle", 5, 8, 1, 43.52),
    ("unbiased", 10, 3, 5, 15.857),
    ("unbiased", 20, STRETCHED, 5, 39.258),
]
THIRD_MOMENT = [
    ("mle", 10, 1, 1, 0.92275),
    ("mle", 10, 1, 5, 0.66898),
    ("unbiased", 10, 1, 1, 1.0807),
    ("unbiased", 10, 1, 5, 1.4743),
]
DETERMINANT = [
    ("mle", 10, 1, 1, 0.9),
    ("mle", 30, 2, 2, 0.814),
    ("unbiased", 30, 2, 1, 0.96552),
    ("unbiased", 20, 3, 2, 0.7185),
    ("mle", 10, 3, 8, 0.0041634),  # section 7, the reference implementation
]
MEAN_LOG_DETERMINANT = [
    ("mle", 10, 1, 1, -0.22057),
    ("mle", 30, 2, 5, -0.86956),
    ("unbiased", 10, 1, 1, -0.11521),
    ("unbiased", 30, 2, 2, -0.21222),
    ("unbiased", 20, 3, 12, -4.0249),
]
VARIANCE_LOG_DETERMINANT = [(10, 1, 1, 0.24873), (8, 4, 2, 3.7212), (10, 3, 5, 4.3145), (20, 3, 12, 4.2402)]
EXPONENTS = [
    ("mle", 8, 3, 1, -0.28314),
    ("unbiased", 8, 3, 1, -0.14961),
    ("mle", 20, 4, 1, -0.10485),
    ("unbiased", 6, 5, 1, -0.21313),
    ("unbiased", 6, 5, 4, -1.4935),
    ("mle", 40, 2, 2, -0.07784),
]
WASSERSTEIN = [
    ("mle", 10, 1, 1, 0.15451),
    ("mle", 10, 1, 2, 0.29708),
    ("mle", 10, 1, 12, 1.2379),
    ("unbiased", 10, 1, 1, 0.15468),
    ("unbiased", 10, 1, 5, 0.75886),
    ("unbiased", 10, 1, 12, 1.766),
]
KL = [
    ("mle", 10, 1, 1, 0.17543),
    ("mle", 10, 3, 2, 4.3198),
    ("mle", 30, 2, 5, 0.87174),
    ("unbiased", 10, 3, 2, 3.3519),
    ("unbiased", 30, 2, 5, 0.69509),
]


def chain(n, k, covariance):
    return dict(n_real=n, n_per_round=n, rounds=k - 1, covariance=covariance)


def spectrum(shape):
    return np.array(shape) if isinstance(shape, tuple) else np.ones(shape)


def printed(value):
    return pytest.approx(value, rel=LAST_DIGIT)


def test_first_moments_printed():
    for covariance, n, shape, k, value in TRACE:
        ratio = replace.covariance_ratio_exact(**chain(n, k, covariance))
        assert spectrum(shape).sum() * ratio[k - 1] == printed(value)
    for covariance, n, shape, k, value in MEAN_ERROR:
        ratio = replace.mean_error_ratio_exact(**chain(n, k, covariance))
        assert spectrum(shape).sum() * ratio[k - 1] == printed(value)


def test_second_moments_printed():
    for covariance, n, shape, k, value in TRACE_OF_SQUARE:
        moments = replace.trace_moments_exact(eigenvalues=spectrum(shape), **chain(n, k, covariance))
        assert moments.trace_of_square[k - 1] == printed(value)
    for covariance, n, shape, k, value in SQUARE_OF_TRACE:
        moments = replace.trace_moments_exact(eigenvalues=spectrum(shape), **chain(n, k, covariance))
        assert moments.square_of_trace[k - 1] == printed(value)
    for covariance, n, _, k, value in THIRD_MOMENT:
        log = replace.log_moment_exact(order=1.5, **chain(n, k, covariance))
        assert np.exp(log[k - 1]) == printed(value)


def test_determinant_printed():
    for covariance, n, dim, k, value in DETERMINANT:
        assert np.exp(replace.log_mean_det_exact(dim=dim, **chain(n, k, covariance))[k - 1]) == printed(value)
    for covariance, n, dim, k, value in MEAN_LOG_DETERMINANT:
        assert replace.mean_log_det_exact(dim=dim, **chain(n, k, covariance))[k - 1] == printed(value)
    for n, dim, k, value in VARIANCE_LOG_DETERMINANT:
        got = replace.var_log_det_exact(dim=dim, n_real=n, n_per_round=n, rounds=k - 1)
        assert got[k - 1] == printed(value)


def test_exponents_printed():
    for covariance, n, dim, i, value in EXPONENTS:
        rates = replace.lyapunov_exponents_exact(dim=dim, n_per_round=n, covariance=covariance)
        assert rates.shape == (dim,)
        assert rates[i - 1] == printed(value)


def test_distances_printed():
    for covariance, n, _, k, value in WASSERSTEIN:
        assert replace.wasserstein_exact(sigma=1, **chain(n, k, covariance))[k - 1] == printed(value)
    for covariance, n, dim, k, value in KL:
        assert replace.kl_exact(dim=dim, **chain(n, k, covariance))[k - 1] == printed(value)


@pytest.mark.parametrize(
    ("n", "k", "value"), [(10, 10, 0.34868), (32, 10, 0.72798), (1000, 10, 0.99004), (316, 100, 0.72836)]
)
def test_quick_reference_printed(n, k, value):
    assert replace.covariance_ratio_exact(**chain(n, k, "mle"))[-1] == printed(value)


@pytest.mark.parametrize(
    ("sizes", "value"), [([6, 12, 24, 48, 96, 192], 1.4113), ([20, 3, 9, 4, 30, 2], 0.40815)]
)
def test_unequal_sizes_printed(sizes, value):
    got = replace.covariance_ratio_exact(n_real=sizes[0], n_per_round=sizes[1:], rounds=5)
    assert 2 * got[5] == printed(value)


def test_mean_of_second_moment_is_conserved():
    arguments = dict(n_real=9, n_per_round=[2, 50, 10**6, 3], rounds=4)
    kept = replace.covariance_ratio_exact(**arguments)
    np.testing.assert_allclose(kept + replace.mean_error_ratio_exact(**arguments), 1, rtol=1e-14)
    np.testing.assert_allclose(kept, np.cumprod(1 - 1 / np.array([9, 2, 50, 10**6, 3])), rtol=1e-14)
    unbiased = replace.mean_error_ratio_exact(**arguments, covariance="unbiased")
    np.testing.assert_allclose(unbiased, np.cumsum(1 / np.array([9, 2, 50, 10**6, 3])), rtol=1e-14)


def test_variance_survives_only_superlinear_growth():
    later = np.arange(2.0, 20_002)
    linear = replace.covariance_ratio_exact(n_real=2, n_per_round=later, rounds=20_000)
    np.testing.assert_allclose(linear[-1], 1 / 2 / 20_001, rtol=1e-11)  # telescopes: collapse
    squared = replace.covariance_ratio_exact(n_real=4, n_per_round=(later + 1) ** 2, rounds=20_000)
    # The product of 1 - 1/j^2 over j = 2..m is (m+1)/(2m): positive for ever.
    np.testing.assert_allclose(squared[-1], 20_003 / (2 * 20_002), rtol=1e-11)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_moments_of_one_variance_agree(covariance):
    """d = 1: the trace, its square, the determinant and powers of sigma are one thing."""
    arguments = dict(n_real=7, n_per_round=[4, 30, 2, 11], rounds=4, covariance=covariance)
    mean = replace.log_moment_exact(order=1, **arguments)
    np.testing.assert_allclose(np.exp(mean), replace.covariance_ratio_exact(**arguments), rtol=1e-13)
    np.testing.assert_allclose(mean, replace.log_mean_det_exact(dim=1, **arguments), atol=1e-14)
    moments = replace.trace_moments_exact(eigenvalues=[3], **arguments)
    np.testing.assert_allclose(moments.trace_of_square, moments.square_of_trace, rtol=1e-14)
    square = np.exp(replace.log_moment_exact(order=2, **arguments))
    np.testing.assert_allclose(moments.trace_of_square, 9 * square, rtol=1e-13)
    step = 1e-4  # a central difference of the cumulant function: error step^2
    up, down = (replace.log_moment_exact(order=order, **arguments) for order in (step, -step))
    sizes = dict(n_real=7, n_per_round=[4, 30, 2, 11], rounds=4)
    np.testing.assert_allclose(
        (up - down) / (2 * step), replace.mean_log_det_exact(dim=1, **arguments), rtol=1e-6
    )
    np.testing.assert_allclose((up + down) / step**2, replace.var_log_det_exact(dim=1, **sizes), rtol=1e-5)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_two_eigenvalues_give_the_determinant(covariance):
    """d = 2: 2 det = (tr)^2 - tr of the square."""
    arguments = dict(n_real=7, n_per_round=[4, 30, 3, 11], rounds=4, covariance=covariance)
    moments = replace.trace_moments_exact(eigenvalues=[5, 0.3], **arguments)
    det = 1.5 * np.exp(replace.log_mean_det_exact(dim=2, **arguments))
    np.testing.assert_allclose(moments.square_of_trace - moments.trace_of_square, 2 * det, rtol=1e-12)


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_equal_sizes_in_closed_form(covariance):
    n, dim, k = 12, 4, np.arange(1, 7)
    c, arguments = n - (covariance == "unbiased"), chain(n, 6, covariance)
    square = replace.log_moment_exact(order=2, **arguments)
    expected = (1 - 1 / n**2) if covariance == "mle" else (n + 1) / (n - 1)
    np.testing.assert_allclose(square, k * np.log(expected), atol=1e-14)  # rounding of terms up to 1
    rates = replace.lyapunov_exponents_exact(dim=dim, n_per_round=n, covariance=covariance)
    np.testing.assert_allclose(replace.mean_log_det_exact(dim=dim, **arguments), k * rates.sum(), rtol=1e-13)
    r = c / (n - dim - 2)
    mahalanobis = dim / n * np.cumsum(r**k)
    kl = (dim * r**k + mahalanobis - dim + k * rates.sum()) / 2
    np.testing.assert_allclose(replace.kl_exact(dim=dim, **arguments), kl, rtol=1e-13)
    values = np.array([1.0, 2.0, 3.0, 0.5])
    nll = replace.nll_exact(eigenvalues=values, **arguments)
    entropy = np.log((2 * np.pi * np.e) ** dim * values.prod()) / 2
    np.testing.assert_allclose(nll, kl + entropy, rtol=1e-13)


def test_fewer_rows_than_dimensions():
    arguments = chain(5, 3, "mle")
    assert np.all(replace.log_mean_det_exact(dim=5, **arguments) == -np.inf)
    assert np.all(np.isfinite(replace.log_mean_det_exact(dim=4, **arguments)))
    rates = replace.lyapunov_exponents_exact(dim=8, n_per_round=5)
    assert np.all(np.isfinite(rates[:4])) and np.all(rates[4:] == -np.inf)
    # n = 2: Sigma_k has rank one, so the two second moments are the same, for any Sigma_0.
    moments = replace.trace_moments_exact(eigenvalues=STRETCHED, **chain(2, 4, "unbiased"))
    np.testing.assert_allclose(moments.trace_of_square, moments.square_of_trace, rtol=1e-13)


def test_many_rounds_do_not_underflow():
    arguments = chain(20, 100_001, "mle")
    assert replace.covariance_ratio_exact(**arguments)[-1] == 0
    assert replace.mean_error_ratio_exact(**arguments)[-1] == 1
    assert replace.wasserstein_exact(sigma=3, **arguments)[-1] == 18  # 2 sigma^2
    log_det = replace.mean_log_det_exact(dim=3, **arguments)
    rates = replace.lyapunov_exponents_exact(dim=3, n_per_round=20)
    assert log_det[-1] == pytest.approx(100_001 * rates.sum(), rel=1e-10)  # rounding of 1e5 terms
    assert replace.kl_exact(dim=3, **arguments)[-1] == np.inf
    moments = replace.trace_moments_exact(eigenvalues=[1, 1], **chain(20, 100_001, "unbiased"))
    assert moments.trace_of_square[-1] == np.inf


def test_large_samples_keep_their_digits():
    """Chi-squared moments against 40 digits, on both sides of the switch to Stirling's series."""
    with mp.workdps(40):
        for freedom in (1, 2, 5, 29, 30, 31, 6000, 2 * 10**9):
            x = mp.mpf(freedom) / 2
            for power in (0.5, 1.5, -0.4, 10):
                exact = mp.loggamma(x + power) - mp.loggamma(x) - power * mp.log(x)
                got = chi_squared.log_moment(freedom, power)
                assert abs(got - exact) < 1e-14  # rounding of terms up to about 10
            exact = mp.digamma(x) - mp.log(x)
            assert abs(chi_squared.mean_log(freedom) - exact) < 1e-14 * abs(exact)
    n = 10**7
    rates = replace.lyapunov_exponents_exact(dim=3, n_per_round=n)
    first_order = replace.lyapunov_exponents_asymptotic(dim=3, n_per_round=n)
    np.testing.assert_allclose(rates, first_order, rtol=10 / n)
    np.testing.assert_allclose(first_order.sum(), -3 * 6 / (2 * n), rtol=1e-14)  # -d(d+3)/(2n)
    unbiased = replace.lyapunov_exponents_asymptotic(dim=3, n_per_round=n, covariance="unbiased")
    np.testing.assert_allclose(unbiased.sum(), -3 * 4 / (2 * n), rtol=1e-14)  # -d(d+1)/(2n)


def draw(rng, mean, covariance, rows):
    """Rows of every chain's model, shape (C, rows, D)."""
    noise = rng.standard_normal((len(mean), rows, mean.shape[1]))
    return mean[:, None] + np.einsum("cij,cnj->cni", np.linalg.cholesky(covariance), noise)


def fit(x, divisor):
    centred = x - x.mean(axis=1, keepdims=True)
    return x.mean(axis=1), np.einsum("cni,cnj->cij", centred, centred) / divisor


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
def test_unequal_sizes_match_simulation(covariance):
    """Sees 12 % of each moment, 0.04 of E log det; false-alarm rate 1e-6."""
    rng, chains, values, sizes = np.random.default_rng(21), 60_000, np.array([2.0, 1.0]), [20, 30, 16]
    mean, sigma = np.zeros((chains, 2)), np.broadcast_to(np.diag(values), (chains, 2, 2))
    rows = []
    for n in sizes:
        mean, sigma = fit(draw(rng, mean, sigma, n), n - (covariance == "unbiased"))
        trace, log_det = np.trace(sigma, axis1=1, axis2=2), np.linalg.slogdet(sigma)[1]
        inverse = np.linalg.inv(sigma)
        kl = np.einsum("cii,i->c", inverse, values) + np.einsum("ci,cij,cj->c", mean, inverse, mean)
        kl = (kl - 2 + log_det - np.log(2)) / 2
        rows.append(
            [trace, np.sum(mean**2, axis=1), np.sum(sigma**2, axis=(1, 2)), trace**2, np.exp(log_det), kl]
        )
        rows[-1].append(log_det)
    arguments = dict(n_real=20, n_per_round=sizes[1:], rounds=2, covariance=covariance)
    moments = replace.trace_moments_exact(eigenvalues=values, **arguments)
    expected = np.array(
        [
            3 * replace.covariance_ratio_exact(**arguments),
            3 * replace.mean_error_ratio_exact(**arguments),
            moments.trace_of_square,
            moments.square_of_trace,
            2 * np.exp(replace.log_mean_det_exact(dim=2, **arguments)),
            replace.kl_exact(dim=2, **arguments),
            np.log(2) + replace.mean_log_det_exact(dim=2, **arguments),
        ]
    ).T
    resolution = 0.12 * expected
    resolution[:, -1] = 0.04
    assert_mean(np.moveaxis(np.array(rows), -1, 0), expected, resolution)


@pytest.mark.parametrize(("n", "dim", "first", "last"), [(6, 2, 15, 45), (3, 4, 5, 15)])
def test_exponents_match_simulation(n, dim, first, last):
    """Slopes of the log eigenvalues late in actual chains, with n > d and n <= d; sees an error of 0.1.

    The model is kept as a factor L of Sigma = L L', whose singular values spread by exp(-gap k/2) only: 1e-4
    at round 15 of the second case.
    """
    rng, chains = np.random.default_rng(22), 6000
    rank = min(dim, n - 1)
    factor = np.broadcast_to(np.eye(dim), (chains, dim, dim))
    logs = {}
    for k in range(last + 1):
        x = factor @ rng.standard_normal((chains, factor.shape[2], n))
        factor = (x - x.mean(axis=2, keepdims=True)) / np.sqrt(n)
        if k in (first, last):
            logs[k] = 2 * np.log(np.linalg.svd(factor, compute_uv=False)[:, :rank])
    rates = replace.lyapunov_exponents_exact(dim=dim, n_per_round=n)[:rank]
    assert_mean((logs[last] - logs[first]) / (last - first), rates, 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_real": 1}, "n_real must be an integer >= 2, got 1"),
        ({"n_real": 5}, "n_real must be > dim \\+ 2 = 5, got 5"),
        ({"n_per_round": [20, 5]}, "n_per_round must be > dim \\+ 2 = 5, got \\[20"),
        ({"n_per_round": 1}, "n_per_round must be finite and >= 2, got 1"),
        ({"n_per_round": np.inf}, "n_per_round must be finite and >= 2, got inf"),
        ({"n_per_round": 7.5}, "n_per_round must be an integer >= 1, or inf, got 7.5"),
        ({"n_per_round": [9, 9, 9]}, "n_per_round must be one number or one for each of 2 rounds"),
        ({"rounds": -1}, "rounds must be an integer >= 0, got -1"),
        ({"dim": 0}, "dim must be an integer >= 1, got 0"),
        ({"covariance": "ml"}, "covariance must be one of 'mle', 'unbiased', got 'ml'"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(dim=3, n_real=20, n_per_round=20, rounds=2)
    with pytest.raises(ValueError, match=message):
        replace.kl_exact(**{**arguments, **changes})


def test_other_arguments_out_of_range_are_named():
    arguments = chain(6, 2, "mle")
    with pytest.raises(ValueError, match=r"order must be > \(1 - n\)/2 = -2.5, got -2.5"):
        replace.log_moment_exact(order=-2.5, **arguments)
    with pytest.raises(ValueError, match="n_real must be > dim = 6, got 6"):
        replace.mean_log_det_exact(dim=6, **arguments)
    with pytest.raises(ValueError, match=r"eigenvalues must be > 0 and finite, got \[1, 0\]"):
        replace.nll_exact(eigenvalues=[1, 0], **arguments)
    with pytest.raises(ValueError, match="eigenvalues must be a sequence of d numbers, got 2"):
        replace.trace_moments_exact(eigenvalues=2, **arguments)
    with pytest.raises(ValueError, match="sigma must be > 0 and finite, got 0"):
        replace.wasserstein_exact(sigma=0, **arguments)
