"""Gaussian kernel density estimate refitted to its own samples: errors of the density. Setting as in `kde`.

The truth is N(0, sigma^2 I_d), or the even mixture of N(c, sigma^2 I_d) over given `points` c: any density is near one.
Integrated squared error is E integral (p_k - p_0)^2, in 1/data units^d, exact for n points per round; negative
log-likelihood is the mean of -log p_k over p_0 (or over given held-out rows), in nats, in the limit n -> inf at fixed k
(at finite n it has no closed form). The first, and the second for one normal law, is one radial integral, by the
trapezoidal rule in the logarithm of the radius: its integrands are analytic and vanish at both ends, so it converges
geometrically. The squared transform of a mixture enters through its mean over directions, since all else is radial.

bandwidths: h_k > 0, one number or one for each of rounds 0..K. ValueError for an argument out of range.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainccinv, gammaincinv, gammaln, jv, logsumexp

from theory.arguments import FloatArray, finite, positive, positive_scalar, require, whole
from theory.workflows.kde import (
    accumulate_mean_transform_exact,
    kernel_count_exact,
    kernel_widths,
    replace_mean_transform_exact,
    replace_second_moment_exact,
)

_LOG_STEP = 1 / 16  # of the trapezoidal rule: its error is below e^-39 up to d = 100
_FLAT = 1e-6  # times 1/width: frequencies below see nothing, their integrand is below (1e-6)^3
_STEEP = 9.0  # times 1/width: a Gaussian has fallen to e^-81 there
_TURN = 0.4  # largest step of a phase, radians: trapezoids see analytic waves exactly up to some phase a step
_NEAR = 1e-3  # arguments below which a Bessel function is taken from its series
_TAIL = 1e-18  # mass of the chi-squared law left out at either end


def _frequencies(sigma: float, widths: FloatArray, extent: float) -> tuple[FloatArray, float]:
    """Radii of the integral, in equal steps of their logarithm, and the step.

    extent: largest distance of two centers, whose waves the steps must follow as far as the truth's transform reaches.
    """
    widest = np.sqrt(sigma**2 + extent**2 + np.sum(widths**2))
    low, high = np.log(_FLAT / widest), np.log(_STEEP / min(sigma, widths.min()))
    step = min(_LOG_STEP, _TURN * sigma / (_STEEP * extent)) if extent > 0 else _LOG_STEP
    return np.exp(np.arange(low, high, step)), step


def _centers(points: ArrayLike | None, dim: int) -> FloatArray:
    """Checked centers of the mixture, (M, D); the origin for None."""
    if points is None:
        return np.zeros((1, dim))
    centers = finite("points", points)
    shape = f"an array of shape {centers.shape}"
    require(
        centers.ndim == 2 and centers.shape[1] == dim and len(centers) > 0, "points", f"(M, {dim})", shape
    )
    return centers


def _mean_wave(dim: int, phase: FloatArray) -> FloatArray:
    """Mean of cos(phase u) over a coordinate u of the unit sphere in d dimensions: cos, J_0, sin(z)/z for d = 1, 2, 3.

    Gamma(d/2) (2/z)^(d/2 - 1) J_{d/2 - 1}(z). Source: classical.
    """
    if dim == 1:
        return np.cos(phase)
    order, far = dim / 2 - 1, np.maximum(phase, _NEAR)
    bessel = np.exp(gammaln(dim / 2) + order * np.log(2 / far)) * jv(order, far)
    return np.where(phase < _NEAR, 1 - phase**2 / (2 * dim), bessel)


def _squared_transform(dim: int, sigma: float, centers: FloatArray, radii: FloatArray) -> FloatArray:
    """|transform of p_0|^2 at each radius, averaged over directions."""
    first, second = np.triu_indices(len(centers), 1)
    apart = np.linalg.norm(centers[first] - centers[second], axis=1)
    waves = len(centers) + 2 * sum(_mean_wave(dim, radii * distance) for distance in apart)
    return np.exp(-((sigma * radii) ** 2)) * waves / len(centers) ** 2


def _mise(
    dim: int,
    sigma: float,
    n_per_round: int,
    bandwidths: ArrayLike,
    rounds: int,
    points: ArrayLike | None,
    *,
    accumulate: bool,
    subsample: bool = False,
) -> FloatArray:
    """The integral over frequencies of E |transform of p_k - p_0|^2, rounds 0..K, shape (K+1,)."""
    d, n = whole("dim", dim, least=1), whole("n_per_round", n_per_round, least=2 if subsample else 1)
    scale = positive_scalar("sigma", sigma)
    widths = kernel_widths(positive("bandwidths", bandwidths), rounds)
    centers = _centers(points, d)
    extent = max(float(np.linalg.norm(centers - c, axis=1).max()) for c in centers)
    radii, step = _frequencies(scale, widths, extent)
    log_sphere = (1 - d) * np.log(2) - d / 2 * np.log(np.pi) - gammaln(d / 2)  # its area over (2 pi)^d
    weights = step * np.exp(log_sphere + d * np.log(radii))
    transform = accumulate_mean_transform_exact if accumulate else replace_mean_transform_exact
    means = transform(frequency=radii, bandwidths=widths, rounds=rounds)
    truth = _squared_transform(d, scale, centers, radii)
    pool = (1 - 1 / n) * truth + 1 / n  # E of the squared empirical transform
    path = []
    for i, (width, mean) in enumerate(zip(widths, means, strict=True), start=1):
        fitted = 1 / n + (1 - 1 / n) * (n * i * pool - 1) / (n * i - 1) if subsample else pool
        kernel = np.exp(-((width * radii) ** 2) / 2)
        path.append(weights @ (kernel**2 * fitted - 2 * mean * truth + truth))
        batch = kernel**2 * (1 - 1 / n) * fitted + 1 / n
        pool = (i * (i + 2 * kernel) * pool + batch) / (i + 1) ** 2 if accumulate else batch
    return np.array(path)


def replace_mise_exact(
    *,
    dim: int,
    sigma: float,
    n_per_round: int,
    bandwidths: ArrayLike,
    rounds: int,
    points: ArrayLike | None = None,
) -> FloatArray:
    """Exact E integral (p_k - p_0)^2 under `replace`, rounds 0..K, shape (K+1,); n_real = n_per_round = n.

    (2 pi)^-d integral [g_k^2 Q_k - 2 g_k m_k |F|^2 + |F|^2] dw with F the transform of p_0, g_k and g_k m_k those of
    the kernel and of E p_k relative to F, and Q_k = E |empirical transform of the training set|^2:
    Q_0 = (1-1/n) |F|^2 + 1/n,  Q_{k+1} = g_k^2 (1-1/n) Q_k + 1/n.
    Source: derived here, WORKFLOWS C9.
    """
    return _mise(dim, sigma, n_per_round, bandwidths, rounds, points, accumulate=False)


def accumulate_mise_exact(
    *,
    dim: int,
    sigma: float,
    n_per_round: int,
    bandwidths: ArrayLike,
    rounds: int,
    points: ArrayLike | None = None,
) -> FloatArray:
    """As `replace_mise_exact`, under `accumulate`; with i = k+1,

    Q_{k+1} = {[i^2 + 2 i g_k + g_k^2 (1-1/n)] Q_k + 1/n}/(i+1)^2.
    Source: derived here, WORKFLOWS C9.
    """
    return _mise(dim, sigma, n_per_round, bandwidths, rounds, points, accumulate=True)


def accumulate_subsample_mise_exact(
    *,
    dim: int,
    sigma: float,
    n_per_round: int,
    bandwidths: ArrayLike,
    rounds: int,
    points: ArrayLike | None = None,
) -> FloatArray:
    """As `replace_mise_exact`, under `accumulate_subsample`: fits on n points of the pool of N = n i, i = k+1.

    Q_k of the subsample is 1/n + (1-1/n) (N P_k - 1)/(N-1), with P_k of the pool following
    P_{k+1} = [(i^2 + 2 i g_k) P_k + g_k^2 (1-1/n) Q_k + 1/n]/(i+1)^2. n >= 2.
    Source: derived here, WORKFLOWS C9.
    """
    return _mise(dim, sigma, n_per_round, bandwidths, rounds, points, accumulate=True, subsample=True)


def replace_held_out_nll_limit(
    *, test: ArrayLike, points: ArrayLike, sigma: float, bandwidths: ArrayLike, rounds: int
) -> FloatArray:
    """Negative log-likelihood of held-out rows (T, D) under `replace` for n -> inf, rounds 0..K, shape (K+1,), in nats.

    Mean of -log of the even mixture of N(x; c, v_k I) over `points` c (M, D), v_k = sigma^2 + sum_{j=0..k} h_j^2: the
    mean density itself, to which the estimate tends.
    Source: derived here, WORKFLOWS C1.
    """
    squares, dim = _distances(test, points)
    variance = replace_second_moment_exact(
        sigma=sigma, bandwidths=positive("bandwidths", bandwidths), rounds=rounds
    )
    return np.array([-np.mean(_log_mixture(squares, dim, v)) for v in variance], dtype=float)


def accumulate_held_out_nll_limit(
    *, test: ArrayLike, points: ArrayLike, sigma: float, bandwidth: float, rounds: int
) -> FloatArray:
    """As `replace_held_out_nll_limit`, under `accumulate` and `accumulate_subsample`, for a constant h.

    The mixture has N(x; c, v_j I) with weight P(N = j)/M, v_j = sigma^2 + (j+1) h^2, P as in `kde.kernel_count_exact`.
    Source: derived here, WORKFLOWS C2.
    """
    squares, dim = _distances(test, points)
    parts = np.array([_log_mixture(squares, dim, v) for v in _component_variances(sigma, bandwidth, rounds)])
    largest = parts.max(axis=0)
    return -np.mean(largest + np.log(kernel_count_exact(rounds=rounds) @ np.exp(parts - largest)), axis=1)


def _distances(test: ArrayLike, points: ArrayLike) -> tuple[FloatArray, int]:
    """Squared distances of held-out rows from the centers, (T, M), and the dimension."""
    rows = finite("test", test)
    require(
        rows.ndim == 2 and rows.size > 0, "test", "rows of shape (T, D)", f"an array of shape {rows.shape}"
    )
    centers = _centers(points, rows.shape[1])
    return ((rows[:, None] - centers[None]) ** 2).sum(axis=-1), rows.shape[1]


def _log_mixture(squares: FloatArray, dim: int, variance: float) -> FloatArray:
    """Log density of the even mixture at each row, (T,)."""
    logs = -squares / (2 * variance) - dim / 2 * np.log(2 * np.pi * variance)
    return logsumexp(logs, axis=1) - np.log(squares.shape[1])


def _gaussian_nll(dim: int, sigma: float, variance: FloatArray) -> FloatArray:
    """Mean of -log N(x; 0, variance I_d) over x ~ N(0, sigma^2 I_d), in nats."""
    return dim / 2 * (np.log(2 * np.pi * variance) + sigma**2 / variance)


def replace_nll_limit(*, dim: int, sigma: float, bandwidths: ArrayLike, rounds: int) -> FloatArray:
    """Negative log-likelihood under `replace` for n -> inf, rounds 0..K, shape (K+1,), in nats.

    (d/2) [log 2 pi v + sigma^2/v], v = sigma^2 + sum_{j=0..k} h_j^2: grows as (d/2) log k for constant h.
    Source: derived here, WORKFLOWS C10.
    """
    variance = replace_second_moment_exact(
        sigma=sigma, bandwidths=positive("bandwidths", bandwidths), rounds=rounds
    )
    return _gaussian_nll(whole("dim", dim, least=1), sigma, variance)


def accumulate_nll_bound(*, dim: int, sigma: float, bandwidth: float, rounds: int) -> FloatArray:
    """Upper bound (Jensen) of `accumulate_nll_limit`, in closed form: shape (K+1,), in nats.

    sum_j P(N=j) (d/2) [log 2 pi v_j + sigma^2/v_j], in that function's notation.
    Source: derived here, WORKFLOWS C11.
    """
    variance = _component_variances(sigma, bandwidth, rounds)
    return kernel_count_exact(rounds=rounds) @ _gaussian_nll(whole("dim", dim, least=1), sigma, variance)


def _component_variances(sigma: float, bandwidth: float, rounds: int) -> FloatArray:
    kernels = np.arange(1.0, whole("rounds", rounds) + 2)
    return positive_scalar("sigma", sigma) ** 2 + kernels * positive_scalar("bandwidth", bandwidth) ** 2


def accumulate_nll_limit(*, dim: int, sigma: float, bandwidth: float, rounds: int) -> FloatArray:
    """Negative log-likelihood under `accumulate` and `accumulate_subsample` for n -> inf, constant h, in nats.

    -E log sum_j P(N=j) N(x; 0, v_j I_d), x ~ N(0, sigma^2 I_d), v_j = sigma^2 + (j+1) h^2, P as in
    `kde.kernel_count_exact`; rounds 0..K, shape (K+1,). Grows as (d/2) log log k. Time and memory of order
    K^2; d up to about 1000.
    Source: derived here, WORKFLOWS C11.
    """
    shape = whole("dim", dim, least=1) / 2
    variance = _component_variances(sigma, bandwidth, rounds)
    low, high = np.log(gammaincinv(shape, _TAIL)), np.log(gammainccinv(shape, _TAIL))
    log_t = np.arange(low, high, _LOG_STEP)  # t = |x|^2/(2 sigma^2) has a gamma law
    t = np.exp(log_t)
    weights = _LOG_STEP * np.exp(shape * log_t - t - gammaln(shape))
    components = -shape * np.log(2 * np.pi * variance)[:, None] - np.outer(sigma**2 / variance, t)
    largest = components.max(axis=0)
    mixtures = kernel_count_exact(rounds=rounds) @ np.exp(components - largest)
    return -(largest + np.log(mixtures)) @ weights
