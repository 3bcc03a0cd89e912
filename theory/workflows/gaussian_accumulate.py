"""Gaussian fits under `accumulate`, no verifier: exact moments, plateaus, determinant, W_2 in one dimension.

Conventions in `theory.workflows.gaussian`. Round k fits all rows so far, N_k = n_0 + ... + n_k, n_0 = n_real,
with the divisor N_k - delta, delta = 0 ("mle") or 1 ("unbiased"). From one round to the next

    Sigma_k = L F L',  L L' = Sigma_{k-1},  F = [(N_{k-1} - delta) I + W + (N_{k-1}/N_k) z z']/(N_k - delta),

W ~ Wishart(n_k - 1, I) and z ~ N(0, I) independent of the past (derived here, WORKFLOWS A11 with any sizes
and either divisor: joining two sets of rows adds up their scatter and that between their means). For equal
sizes the sums of E log F and Var log F converge, so for d = 1 the variance tends to a positive random limit:
no collapse. Results have shape (K+1,) for rounds 0..K unless said; n_real >= 2, n_per_round >= 1. ValueError
for an argument out of range, naming it.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, logsumexp

from theory.arguments import FloatArray, positive_scalar, whole
from theory.workflows import chi_squared
from theory.workflows.gaussian import TraceMoments, lost_rows, sample_sizes, trace_moments, wasserstein


def _covariance_ratio(sizes: FloatArray, lost: int) -> FloatArray:
    pool = np.cumsum(sizes)
    steps = 1 - sizes / (pool * (pool - lost))
    if lost:
        steps[0] = 1.0
    return np.cumprod(steps, dtype=np.float64)


def _mean_error(sizes: FloatArray, ratio: FloatArray) -> FloatArray:
    before = np.concatenate([[1.0], ratio[:-1]])
    return np.cumsum(sizes * before / np.cumsum(sizes) ** 2)


def covariance_ratio_exact(
    *, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact v_k of E Sigma_k = v_k Sigma_0: a product over j = 0..k, or 1..k for "unbiased".

    "mle" of 1 - n_j/N_j^2, which is 1 - 1/(n (j+1)^2) for equal sizes;
    "unbiased" of 1 - n_j/(N_j (N_j - 1)).
    Source: derived here, WORKFLOWS A9, A10, A18; for equal sizes and "mle" believed to be the theorem of
    [Kazdan24], not compared with its text.
    """
    return _covariance_ratio(sample_sizes(n_real, n_per_round, rounds, least=1), lost_rows(covariance))


def covariance_ratio_limit(*, n_real: int, n_per_round: int, covariance: str = "mle") -> float:
    """Limit of `covariance_ratio_exact` for k -> inf and equal sizes n after round 0: a plateau.

    With rho = n_real/n and r+- = (delta +- sqrt(delta + 4n))/(2n), delta = 0 ("mle") or 1 ("unbiased"):

        (1 - (1 - delta)/n_real) Gamma(rho+1) Gamma(rho+1-delta/n)/(Gamma(rho+1-r+) Gamma(rho+1-r-)).

    "mle" with n_real = n: sin(x)/x, x = pi/sqrt(n), about 1 - pi^2/(6n);  with n = 1: (n_real-1)/(n_real+1).
    Source: derived here, WORKFLOWS A9, A10, A18; sin(x)/x is believed to be the theorem of [Kazdan24], not
    compared with its text; n = 1 is the Polya urn.
    """
    real, n = whole("n_real", n_real, least=2), whole("n_per_round", n_per_round, least=1)
    lost = lost_rows(covariance)
    poles = (lost + np.sqrt(lost + 4 * n) * np.array([1, -1])) / (2 * n)
    above = gammaln(real / n + 1) + gammaln(real / n + 1 - lost / n)
    return float((1 - (1 - lost) / real) * np.exp(above - gammaln(real / n + 1 - poles).sum()))


def mean_error_ratio_exact(
    *, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact e_k of E (mu_k-mu_0)(mu_k-mu_0)' = e_k Sigma_0; for "mle" it is 1 - v_k.

    The sum of n_j v_{j-1}/N_j^2 for j = 0..k, v_{-1} = 1. Source: derived here, WORKFLOWS A9, A10, A18:
    round j moves the mean by n_j/N_j times the deviation of the new rows' mean.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=1)
    return _mean_error(sizes, _covariance_ratio(sizes, lost_rows(covariance)))


def mean_error_ratio_bound(*, n_real: int) -> float:
    """Upper bound 2/n_real on `mean_error_ratio_exact`, for all sizes, rounds and both divisors.

    Accumulation cannot collapse in mean. Source: derived here, WORKFLOWS A18: n_j/N_j^2 <= 1/N_{j-1} - 1/N_j,
    and v_j <= 1.
    """
    return 2 / whole("n_real", n_real, least=2)


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
    T1 = tr Sigma_0, T2 = tr Sigma_0^2; L+ and L- are the products of b + 2s and b - s over rounds, where
    b = (E F)^2 and s = [n_k - 1 + (N_{k-1}/N_k)^2]/(N_k - delta)^2; in round 0 b = ((n-1)/c)^2 and
    s = (n-1)/c^2, c = n - delta.
    Source: derived here, WORKFLOWS A12, with any sizes and either divisor.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=1)
    pool, lost = np.cumsum(sizes), lost_rows(covariance)
    before = pool - sizes
    start = np.where(before > 0, before - lost, 0)
    scatter = sizes - 1
    kept = ((start + scatter + before / pool) / (pool - lost)) ** 2
    spread = (scatter + (before / pool) ** 2) / (pool - lost) ** 2
    return trace_moments(eigenvalues, kept + 2 * spread, kept - spread)


def log_mean_det_exact(
    *, dim: int, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact log(E det Sigma_k/det Sigma_0); -inf for n_real <= d.

    Round 0: the sum of log((n-i)/c) for i = 1..d; each later round adds log E det F, where with
    a = N_{k-1} - delta, q = N_{k-1}/N_k and binomials C

        (N_k - delta)^d E det F = sum over t = 0..d of C(d,t) a^(d-t) t! [C(n_k-1, t) + q C(n_k-1, t-1)].

    Source: derived here, WORKFLOWS A13 (Cauchy-Binet), with any sizes and either divisor.
    """
    sizes = sample_sizes(n_real, n_per_round, rounds, least=1)
    dim, lost = whole("dim", dim, least=1), lost_rows(covariance)
    pool = np.cumsum(sizes)
    with np.errstate(divide="ignore"):  # a singular fit: log 0
        logs = [np.log(np.maximum(sizes[0] - np.arange(1.0, dim + 1), 0)).sum()]
    picked = np.arange(dim + 1.0)
    log_ways = gammaln(dim + 1) - gammaln(dim - picked + 1)  # C(d,t) t!
    for size, before, after in zip(sizes[1:], pool[:-1], pool[1:], strict=True):
        minors = np.logaddexp(
            _log_binomial(size - 1, picked), np.log(before / after) + _log_binomial(size - 1, picked - 1)
        )
        logs.append(logsumexp(log_ways + (dim - picked) * np.log(before - lost) + minors))
    return np.cumsum(np.array(logs) - dim * np.log(pool - lost))


def _log_binomial(n: float, picked: FloatArray) -> FloatArray:
    """log C(n, t), -inf outside 0 <= t <= n."""
    inside = (picked >= 0) & (picked <= n)
    t = np.where(inside, picked, 0)
    return np.where(inside, gammaln(n + 1) - gammaln(t + 1) - gammaln(n - t + 1), -np.inf)


# E sqrt(F) = (2/sqrt(pi)) times the integral over u > 0 of E[F exp(-u^2 F)]: an even function, analytic for
# |Im u| < 1 at least, so trapezoids leave exp(-2 pi/step) = 2e-22; the last node leaves less than 1e-16.
_STEP, _LAST = 1 / 8, 16
_NODES = np.arange(0, _LAST, _STEP) ** 2
_WEIGHTS = np.where(_NODES == 0, 0.5, 1.0) * _STEP * 2 / np.sqrt(np.pi)


def _parts(sizes: FloatArray, lost: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """F = kept + chi-square(freedom)/after + between chi-square(1) of rounds 1..K for d = 1, each shape (K, 1)."""
    pool = np.cumsum(sizes)
    before, after = pool[:-1, None], pool[1:, None] - lost
    return (before - lost) / after, sizes[1:, None] - 1, after, before / (pool[1:, None] * after)


def _mean_root(sizes: FloatArray, lost: int) -> FloatArray:
    """E sqrt(F) of rounds 1..K for d = 1, shape (K,), by quadrature of the derivative of E exp(-t F)."""
    kept, freedom, after, between = _parts(sizes, lost)
    scatter_pole, between_pole = 1 + 2 * _NODES / after, 1 + 2 * _NODES * between
    log_transform = -_NODES * kept - freedom / 2 * np.log(scatter_pole) - np.log(between_pole) / 2
    slope = kept + freedom / (after * scatter_pole) + between / between_pole
    return (np.exp(log_transform) * slope) @ _WEIGHTS


# E log F = integral over s of e^-t - E exp(-t F), t = e^s (Frullani): analytic for |Im s| < pi/2, so trapezoids leave
# exp(-pi^2/step) = 7e-18; below s = -40 the integrand is less than 1e-17, beyond e^s kept = 60 less than e^-60.
_LOG_STEP, _FIRST, _GONE = 1 / 4, -40.0, 60.0


def _mean_log_growth(sizes: FloatArray, lost: int) -> FloatArray:
    """E log F of rounds 1..K for d = 1, shape (K,), by quadrature of its Laplace transform."""
    kept, freedom, after, between = _parts(sizes, lost)
    last = np.log(_GONE / min(1.0, kept.min(initial=1.0)))
    t = np.exp(np.arange(_FIRST, last, _LOG_STEP))
    # log E exp(-t F) + t, small where F is close to 1: no difference of near numbers
    log_ratio = t * (1 - kept) - freedom / 2 * np.log1p(2 * t / after) - np.log1p(2 * t * between) / 2
    near = np.exp(-t) * np.expm1(np.minimum(log_ratio, 1.0))
    above = np.where(log_ratio < 1, near, np.exp(log_ratio - t) - np.exp(-t))
    return -_LOG_STEP * np.sum(above, axis=1)


def mean_log_variance_exact(
    *, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact E log(sigma_k^2/sigma^2) for d = 1, rounds 0..K, shape (K+1,).

    psi((n-1)/2) + log(2/c) at n = n_real, and E log F of each later round (quadrature, to 1e-15). For equal sizes
    the sum converges: the variance tends to a positive random limit, a typical one exp of this, below the mean.
    Source: derived here, WORKFLOWS A11 (there without the quadrature).
    """
    sizes, lost = sample_sizes(n_real, n_per_round, rounds, least=1), lost_rows(covariance)
    freedom = sizes[:1] - 1
    first = chi_squared.mean_log(freedom) + np.log(freedom / (sizes[:1] - lost))
    return np.cumsum(np.concatenate([first, _mean_log_growth(sizes, lost)]))


def wasserstein_exact(
    *, sigma: float, n_real: int, n_per_round: ArrayLike, rounds: int, covariance: str = "mle"
) -> FloatArray:
    """Exact E W_2^2 between N(mu_0, sigma^2) and model k, d = 1, squared data units.

    sigma^2 (v_k + e_k + 1 - 2 A_k), for "mle" 2 sigma^2 (1 - A_k); A_k = E sigma_k/sigma is
    sqrt(2/c) Gamma(n/2)/Gamma((n-1)/2) at n = n_real, times E sqrt(F) of each later round (quadrature, to
    1e-15 each). First order for equal sizes: (3/2) H_{k+1}^(2) sigma^2/n, which tends to pi^2 sigma^2/(4n).
    Source: derived here, WORKFLOWS A14, with any sizes and either divisor.
    """
    sigma = positive_scalar("sigma", sigma)
    sizes, lost = sample_sizes(n_real, n_per_round, rounds, least=1), lost_rows(covariance)
    freedom = sizes[:1] - 1
    first = chi_squared.log_moment(freedom, 0.5) + np.log(freedom / (sizes[:1] - lost)) / 2
    later = np.log(_mean_root(sizes, lost))
    ratio = _covariance_ratio(sizes, lost)
    return wasserstein(sigma, ratio, _mean_error(sizes, ratio), np.cumsum(np.concatenate([first, later])))
