"""Gaussian fits under `replace`, no verifier: exact moments, log determinant, Lyapunov exponents, W_2 and KL.

Conventions in `theory.workflows.gaussian`. Round k fits n_k samples of model k-1 (n_0 = n_real); c_k = n_k
("mle") or n_k - 1 ("unbiased"), all n_k >= 2. Given the past c_k Sigma_k ~ Wishart(n_k - 1, Sigma_{k-1}),
independent of mu_k ~ N(mu_{k-1}, Sigma_{k-1}/n_k): moments are products over rounds, whatever the sizes.
Results have shape (K+1,) for rounds 0..K unless said. ValueError for an argument out of range, naming it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import polygamma

from theory.arguments import FloatArray, finite, positive_scalar, require, scalar, whole
from theory.workflows import chi_squared
from theory.workflows.gaussian import (
    TraceMoments,
    lost_rows,
    sample_sizes,
    spectrum,
    trace_moments,
    wasserstein,
)


def _log_kept(sizes: FloatArray, covariance: str) -> FloatArray:
    """log((n-1)/c), the log of the expected shrinkage in one fit."""
    return np.zeros(sizes.shape) if lost_rows(covariance) else np.log1p(-1 / sizes)


def _mean_error(sizes: FloatArray, covariance: str) -> FloatArray:
    if lost_rows(covariance):
        return np.cumsum(1 / sizes)
    return -np.expm1(np.cumsum(_log_kept(sizes, covariance)))


def _log_moment(order: float, sizes: FloatArray, covariance: str) -> FloatArray:
    return np.cumsum(order * _log_kept(sizes, covariance) + chi_squared.log_moment(sizes - 1, order))


def covariance_ratio_exact(
    *, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact v_k of E Sigma_k = v_k Sigma_0: the product of 1 - 1/n_j for j = 0..k ("mle"), or 1 ("unbiased").

    With equal sizes (1 - 1/n)^(k+1). It stays above a positive number if and only if sum 1/n_j is finite:
    superlinear growth of the sizes suffices, linear growth does not.
    Source: derived here, WORKFLOWS A1, A19; the condition agrees with arXiv:2505.13947.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    return np.exp(np.cumsum(_log_kept(sizes, covariance)))


def mean_error_ratio_exact(
    *, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact e_k of E (mu_k-mu_0)(mu_k-mu_0)' = e_k Sigma_0: the sum of v_{j-1}/n_j for j = 0..k; v_{-1} = 1.

    That is 1 - v_k ("mle", at most 1) or the sum of 1/n_j ("unbiased", unbounded).
    Source: derived here, WORKFLOWS A2; [Shumailov24] for the unbiased one.
    """
    return _mean_error(sample_sizes(n_real, n_per_round, rounds, least=2), covariance)


def trace_moments_exact(
    *,
    eigenvalues: ArrayLike,
    n_real: int,
    n_per_round: ArrayLike,
    rounds: int,
    covariance: str = "mle",
) -> TraceMoments:
    """Exact E tr Sigma_k^2 and E (tr Sigma_k)^2, for the eigenvalues of Sigma_0, shape (d,).

    alpha L+ + beta L- and alpha L+ - 2 beta L-, with alpha = (2 T2 + T1^2)/3, beta = (T2 - T1^2)/3,
    T1 = tr Sigma_0, T2 = tr Sigma_0^2; L+ and L- are the products over rounds of (n-1)(n+1)/c^2 and
    (n-1)(n-2)/c^2. Heavy-tailed in a simulation; inf where it exceeds every float.
    Source: derived here, WORKFLOWS A3, from the second moments of the Wishart law.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    scale = (sizes - 1) / (sizes - lost_rows(covariance)) ** 2
    return trace_moments(eigenvalues, scale * (sizes + 1), scale * (sizes - 2))


def log_moment_exact(
    *, order: float, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact log E (sigma_k/sigma_0)^(2 order) for d = 1; 2 order > 1 - n for all sizes n.

    The sum over rounds of log[(2/c)^s Gamma((n-1)/2 + s)/Gamma((n-1)/2)], s = order.
    Source: derived here, WORKFLOWS A4: c sigma_k^2/sigma_{k-1}^2 is chi-squared with n - 1 degrees of
    freedom, given the past.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    order = scalar("order", finite("order", order))
    lowest = (1 - sizes.min()) / 2
    require(order > lowest, "order", f"> (1 - n)/2 = {lowest:g}", order)
    return _log_moment(order, sizes, covariance)


def _sum_over_axes(term: Callable[[FloatArray], FloatArray], dim: int, sizes: FloatArray) -> FloatArray:
    """The sum of term(n - i) for i = 1..d at each size n, computed once for equal sizes."""
    different, where = np.unique(sizes, return_inverse=True)
    return np.array([term(n - np.arange(1.0, dim + 1)).sum() for n in different])[where]


def _full_rank(dim: int, sizes: FloatArray, *, extra: int = 0) -> int:
    """Checked dimension where every fit has more than d + extra rows."""
    dim = whole("dim", dim, least=1)
    allowed = f"> dim{f' + {extra}' if extra else ''} = {dim + extra}"
    require(sizes[0] > dim + extra, "n_real", allowed, sizes[0])
    require(sizes > dim + extra, "n_per_round", allowed, sizes[1:])
    return dim


def log_mean_det_exact(
    *, dim: int, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact log(E det Sigma_k/det Sigma_0); -inf once a size n <= d.

    The sum over rounds and i = 1..d of log((n-i)/c).
    Source: derived here, WORKFLOWS A5: det Wishart is det Sigma times independent chi-squares.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    lost = lost_rows(covariance)
    with np.errstate(divide="ignore"):  # a singular fit: log 0
        one_fit = _sum_over_axes(lambda m: np.log(np.maximum(m, 0)), whole("dim", dim, least=1), sizes)
    return np.cumsum(one_fit - dim * np.log(sizes - lost))


def mean_log_det_exact(
    *, dim: int, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact E log(det Sigma_k/det Sigma_0); all sizes n > d.

    The sum over rounds of Lambda = sum of digamma((n-i)/2) + log(2/c) for i = 1..d. With equal sizes the log
    determinant is a random walk with drift Lambda < 0: the volume collapses almost surely, for both divisors,
    and log det is asymptotically normal. Lambda is about -d(d+3)/(2n) ("mle"), -d(d+1)/(2n) ("unbiased").
    Source: derived here, WORKFLOWS A6.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    dim, lost = _full_rank(dim, sizes), lost_rows(covariance)
    logs = _sum_over_axes(lambda m: chi_squared.mean_log(m) + np.log(m), dim, sizes)
    return np.cumsum(logs - dim * np.log(sizes - lost))


def var_log_det_exact(*, dim: int, n_real: int, n_per_round: ArrayLike, rounds: int) -> FloatArray:
    """Exact Var log det Sigma_k, either divisor; all sizes n > d.

    The sum over rounds and i = 1..d of trigamma((n-i)/2). Source: derived here, WORKFLOWS A6.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    return np.cumsum(_sum_over_axes(lambda m: polygamma(1, m / 2), _full_rank(dim, sizes), sizes))


def lyapunov_exponents_exact(*, dim: int, n_per_round: int, covariance: str = "mle") -> FloatArray:
    """Almost sure growth rate a round of the i-th largest eigenvalue of Sigma_k, shape (d,), nats; k -> inf.

    digamma((n-i)/2) + log(2/c), i = 1..d; -inf for i >= n, beyond the rank of Sigma_k. The largest one, hence
    tr Sigma_k, collapses although E tr Sigma_k may stay: rare chains carry the mean. The log condition number
    grows at the first rate less the last.
    Source: derived here, WORKFLOWS A6', from Newman's exponents of products of Gaussian matrices; for n <= d
    the same with n - 1 in the place of d, since later fits stay in the space of the first.
    """
    dim, n = whole("dim", dim, least=1), whole("n_per_round", n_per_round, least=2)
    rates = np.full(dim, -np.inf)
    freedom = n - np.arange(1.0, min(dim, n - 1) + 1)
    rates[: freedom.size] = chi_squared.mean_log(freedom) + np.log(freedom / (n - lost_rows(covariance)))
    return rates


def lyapunov_exponents_asymptotic(*, dim: int, n_per_round: int, covariance: str = "mle") -> FloatArray:
    """`lyapunov_exponents_exact` for n -> inf, shape (d,): -(i+1)/n ("mle") or -i/n ("unbiased"), i = 1..d.

    Source: derived here, WORKFLOWS A6'.
    """
    dim, n = whole("dim", dim, least=1), whole("n_per_round", n_per_round, least=2)
    return -(np.arange(1, dim + 1) + 1 - lost_rows(covariance)) / n


def wasserstein_exact(
    *, sigma: float, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact E W_2^2 between N(mu_0, sigma^2) and model k, d = 1, squared data units.

    With A_k = E sigma_k/sigma, the product over rounds of sqrt(2/c) Gamma(n/2)/Gamma((n-1)/2):
    "mle" 2 sigma^2 (1 - A_k), at most 2 sigma^2;  "unbiased" sigma^2 (sum 1/n_j + 2 - 2 A_k), unbounded.
    So "W_2 diverges" ([Shumailov24], [Kazdan24]) belongs to the unbiased divisor; with the other one and
    equal sizes it tends to 2 tr Sigma_0, in any dimension. Source: derived here, WORKFLOWS A7.
    """
    sigma = positive_scalar("sigma", sigma)
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    ratio = np.exp(np.cumsum(_log_kept(sizes, covariance)))
    return wasserstein(sigma, ratio, _mean_error(sizes, covariance), _log_moment(0.5, sizes, covariance))


def kl_exact(
    *, dim: int, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact E KL(N(mu_0, Sigma_0) || N(mu_k, Sigma_k)), in nats; all sizes n > d + 2.

    [d P_k + R_k - d + E log(det Sigma_k/det Sigma_0)]/2 with P_k the product of r = c/(n-d-2) over rounds and
    R_k = r_k (R_{k-1} + d/n_k), R_{-1} = 0. inf where it exceeds every float.
    Source: derived here, WORKFLOWS A8: E Sigma_k^-1 = P_k Sigma_0^-1, and R_k is the expectation of
    (mu_k-mu_0)' Sigma_k^-1 (mu_k-mu_0).
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=2)
    dim, lost = _full_rank(dim, sizes, extra=2), lost_rows(covariance)
    mean_log_det = mean_log_det_exact(
        dim=dim, n_real=n_real, n_per_round=n_per_round, rounds=rounds, covariance=covariance
    )
    inflation = (sizes - lost) / (sizes - dim - 2)
    errors, error = [], 0.0
    for r, n in zip(inflation.tolist(), sizes.tolist(), strict=True):
        error = r * (error + dim / n)
        errors.append(error)
    with np.errstate(over="ignore"):
        precision = dim * np.expm1(np.cumsum(np.log(inflation)))
        return (precision + np.array(errors) + mean_log_det) / 2


def nll_exact(
    *,
    eigenvalues: ArrayLike,
    n_real: int,
    n_per_round: ArrayLike,
    rounds: int,
    covariance: str = "mle",
) -> FloatArray:
    """Exact expected negative log-likelihood of a fresh real row under model k, in nats; all sizes n > d + 2.

    `kl_exact` + (d/2) log(2 pi e) + (1/2) log det Sigma_0, for the eigenvalues > 0 of Sigma_0, shape (d,).
    Source: derived here, WORKFLOWS A8.
    """
    values = spectrum(eigenvalues)
    require(values > 0, "eigenvalues", "> 0 and finite", eigenvalues)
    kl = kl_exact(
        dim=values.size, n_real=n_real, n_per_round=n_per_round, rounds=rounds, covariance=covariance
    )
    return kl + np.log(2 * np.pi * np.e * values).sum() / 2
