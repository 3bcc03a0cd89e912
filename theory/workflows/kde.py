"""Gaussian kernel density estimate refitted to its own samples, without a verifier: mean density and moments.

Model k puts N(0, h_k^2 I) on each of its training points; a sample of it is one of these points, drawn at random,
plus such noise. Round 0 draws n real points from a density p_0 of variance sigma^2 per coordinate, each later round
n points of the previous model. Rounds count from 0; the pages count fits from 1, so their k is k + 1 here.

bandwidths: h_k >= 0, one number or one for each of rounds 0..K, in data units; results are per coordinate, in
squared data units. The data's dimension does not enter, nor does p_0 beyond its variance. See `kde_error` for
the errors of the density.

Inflation stays bounded under `replace` exactly if sum h_k^2 is finite, under the other two workflows exactly if
sum h_k^2/k is. ValueError for an argument out of range.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import zeta

from theory.arguments import (
    FloatArray,
    finite,
    nonnegative,
    nonnegative_scalar,
    positive_scalar,
    require,
    whole,
)

_HEAD = 10  # terms summed one by one before the expansion in 1/_HEAD
_ORDERS = 17  # of that expansion: 10^-17 is below rounding


class Moments(NamedTuple):
    """Expected moments of a model per coordinate, each shape (K+1,); they add up to its second moment."""

    variance: FloatArray
    mean_error: FloatArray  # E(mean - true mean)^2


def kernel_widths(bandwidths: ArrayLike, rounds: int) -> FloatArray:
    """Checked bandwidths of rounds 0..K, shape (K+1,)."""
    array, models = nonnegative("bandwidths", bandwidths), whole("rounds", rounds) + 1
    require(
        array.ndim == 0 or array.shape == (models,),
        "bandwidths",
        f"one number or one for each of {models} models",
        f"an array of shape {array.shape}",
    )
    return np.broadcast_to(array, (models,))


def _before(values: FloatArray) -> FloatArray:
    """Sums over earlier rounds, 0 at round 0."""
    return np.concatenate([[0.0], np.cumsum(values[:-1])])


def _pool_index(rounds: int) -> FloatArray:
    """Batches i = k+1 in the pool of round k, for rounds 0..K."""
    return np.arange(1.0, rounds + 2)


def kernel_count_exact(*, rounds: int) -> FloatArray:
    """Chances P(N = j) for the kernels inside a random pool point under accumulation, shape (K+1, K+1).

    Row k, column j: a point of the pool of round k carries the noise of j kernels, N = sum of independent
    Bernoulli(1/(i+1)), i = 1..k, so P(N = j) = [k+1 over j+1]/(k+1)! (unsigned Stirling numbers of the first kind).
    A sample of model k has one kernel more. With constant h the mean density is the mixture of p_0 * N(0, (j+1) h^2)
    with these weights. `accumulate` and `accumulate_subsample` alike.
    Source: derived here, WORKFLOWS C2.
    """
    size = whole("rounds", rounds) + 1
    table = np.zeros((size, size))
    table[0, 0] = 1
    for k in range(1, size):
        table[k] = table[k - 1] * (k / (k + 1))
        table[k, 1:] += table[k - 1, :-1] / (k + 1)
    return table


def _exponents(frequency: ArrayLike, bandwidths: ArrayLike, rounds: int) -> FloatArray:
    """-log g_k at each frequency, shape (K+1,) + frequency.shape."""
    return np.multiply.outer(kernel_widths(bandwidths, rounds), finite("frequency", frequency)) ** 2 / 2


def replace_mean_transform_exact(*, frequency: ArrayLike, bandwidths: ArrayLike, rounds: int) -> FloatArray:
    """Factor by which the Fourier transform of E p_k under `replace` differs from that of p_0.

    prod_{j=0..k} g_j, g_j = exp(-h_j^2 f^2/2), at |frequency| = f in radians per data unit; shape (K+1,) +
    frequency.shape. E p_k = p_0 * N(0, sum h_j^2), for every n.
    Source: derived here, WORKFLOWS C1.
    """
    return np.exp(-np.cumsum(_exponents(frequency, bandwidths, rounds), axis=0))


def accumulate_mean_transform_exact(
    *, frequency: ArrayLike, bandwidths: ArrayLike, rounds: int
) -> FloatArray:
    """As `replace_mean_transform_exact`, under `accumulate` and `accumulate_subsample` alike.

    g_k prod_{j=0..k-1} (j + 1 + g_j)/(j + 2).
    Source: derived here, WORKFLOWS C2.
    """
    exponents = _exponents(frequency, bandwidths, rounds)
    batches = _pool_index(rounds).reshape(-1, *[1] * (exponents.ndim - 1))
    log_pool = np.cumsum(np.log1p(np.expm1(-exponents) / (batches + 1)), axis=0)
    return np.exp(np.concatenate([np.zeros_like(exponents[:1]), log_pool[:-1]]) - exponents)


def replace_second_moment_exact(*, sigma: float, bandwidths: ArrayLike, rounds: int) -> FloatArray:
    """Second moment of E p_k about the true mean under `replace`, shape (K+1,): sigma^2 + sum_{j=0..k} h_j^2.

    Source: derived here, WORKFLOWS C3.
    """
    return positive_scalar("sigma", sigma) ** 2 + np.cumsum(kernel_widths(bandwidths, rounds) ** 2)


def accumulate_second_moment_exact(*, sigma: float, bandwidths: ArrayLike, rounds: int) -> FloatArray:
    """Second moment of E p_k about the true mean under `accumulate` and `accumulate_subsample`, shape (K+1,).

    sigma^2 + h_k^2 + sum_{j=0..k-1} h_j^2/(j+2): logarithmic growth for a constant h.
    Source: derived here, WORKFLOWS C3.
    """
    squares = kernel_widths(bandwidths, rounds) ** 2
    return positive_scalar("sigma", sigma) ** 2 + squares + _before(squares / (_pool_index(rounds) + 1))


def accumulate_scott_inflation_limit(*, dim: int, n_per_round: int) -> float:
    """Limit of `accumulate_second_moment_exact` - sigma^2 under `accumulate` for Scott's rule on the whole pool.

    h_k = (n (k+1))^(-1/(d+4)), data of unit scale: n^-e sum_{j>=1} j^-e/(j+1), e = 2/(d+4). Under
    `accumulate_subsample` the training set keeps n points, h stays constant and there is no limit.
    Source: derived here, WORKFLOWS C4.
    """
    exponent = 2 / (whole("dim", dim, least=1) + 4)
    head, order = np.arange(1.0, _HEAD), np.arange(_ORDERS)
    tail = np.sum((-1.0) ** order * zeta(exponent + 1 + order, _HEAD))
    total = np.sum(head**-exponent / (head + 1)) + tail
    return float(whole("n_per_round", n_per_round, least=1) ** -exponent * total)


def _moments(
    sigma: float, n: int, widths: FloatArray, share: FloatArray, moved: FloatArray, noise: FloatArray
) -> Moments:
    """Moments of the training pool: per round its mean moves by `moved` variance + `noise` h^2.

    share: of the pool that the new batch makes up; the pool's second moment grows by share h^2.
    """
    variance, error = (1 - 1 / n) * sigma**2, sigma**2 / n
    path = [(variance, error)]
    for square, s, m, e in zip(widths[:-1] ** 2, share, moved, noise, strict=False):
        step = m * variance + e * square
        variance, error = variance + s * square - step, error + step
        path.append((variance, error))
    return Moments(*np.array(path).T)


def _setting(
    sigma: float, n_per_round: int, bandwidths: ArrayLike, rounds: int
) -> tuple[float, int, FloatArray]:
    n = whole("n_per_round", n_per_round, least=1)
    return positive_scalar("sigma", sigma), n, kernel_widths(bandwidths, rounds)


def replace_moments_exact(*, sigma: float, n_per_round: int, bandwidths: ArrayLike, rounds: int) -> Moments:
    """Expected variance of model k and squared error of its mean under `replace`; n_real = n_per_round = n.

    V_k + h_k^2 and M_k with V_0 = (1-1/n) sigma^2, M_0 = sigma^2/n, V_{k+1} = (1-1/n) (V_k + h_k^2),
    M_{k+1} = M_k + (V_k + h_k^2)/n. With constant h the variance tends to n h^2 and the mean wanders.
    Source: derived here, WORKFLOWS C6.
    """
    scale, n, widths = _setting(sigma, n_per_round, bandwidths, rounds)
    every = np.full(len(widths), 1 / n)
    pool = _moments(scale, n, widths, np.ones(len(widths)), every, every)
    return Moments(pool.variance + widths**2, pool.mean_error)


def replace_variance_limit(*, n_per_round: int, bandwidth: float) -> float:
    """Limit n h^2 of the variance in `replace_moments_exact` for constant h, whatever the data were.

    Source: derived here, WORKFLOWS C6.
    """
    return whole("n_per_round", n_per_round, least=1) * nonnegative_scalar("bandwidth", bandwidth) ** 2


def accumulate_moments_exact(
    *, sigma: float, n_per_round: int, bandwidths: ArrayLike, rounds: int
) -> Moments:
    """As `replace_moments_exact`, under `accumulate`; with i = k+1,

    V_{k+1} = V_k [1 - 1/(n (i+1)^2)] + h_k^2 [1/(i+1) - 1/(n (i+1)^2)],  M_{k+1} = M_k + (V_k + h_k^2)/(n (i+1)^2).
    Source: derived here, WORKFLOWS C7.
    """
    scale, n, widths = _setting(sigma, n_per_round, bandwidths, rounds)
    share = 1 / (_pool_index(rounds) + 1)
    pool = _moments(scale, n, widths, share, share**2 / n, share**2 / n)
    return Moments(pool.variance + widths**2, pool.mean_error)


def accumulate_subsample_moments_exact(
    *, sigma: float, n_per_round: int, bandwidths: ArrayLike, rounds: int
) -> Moments:
    """As `replace_moments_exact`, under `accumulate_subsample`: fits on n points of the pool of n i, i = k+1.

    Pool: V_{k+1} = V_k [1 - c/(i+1)^2] + h_k^2 [1/(i+1) - 1/(n (i+1)^2)],  c = (2 n i - n - i)/[n (n i - 1)],
    M_{k+1} = M_k + (c V_k + h_k^2/n)/(i+1)^2. Model: V_k (n-1) i/(n i - 1) + h_k^2 and M_k + V_k (i-1)/(n i - 1).
    n >= 2.
    Source: derived here, WORKFLOWS C8.
    """
    scale, n, widths = _setting(sigma, whole("n_per_round", n_per_round, least=2), bandwidths, rounds)
    batches = _pool_index(rounds)
    share, others = 1 / (batches + 1), n * batches - 1
    moved = (2 * n * batches - n - batches) / (n * others) * share**2
    pool = _moments(scale, n, widths, share, moved, share**2 / n)
    left_out = (batches - 1) / others
    return Moments(
        pool.variance * (1 - left_out) + widths**2,
        pool.mean_error + pool.variance * left_out,
    )
