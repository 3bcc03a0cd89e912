"""Kernel density estimates whose bandwidth is a factor times the spread of their own training points: mean variance.

The textbook form of Scott's and Silverman's rules: h_k = f_k s_k with s_k^2 the variance of the points that model k is
fitted to (divisor: their number), averaged over coordinates. What a round smears out makes the next kernel wider, so
the effect compounds. Setting and rounds as in `kde`; results are E (model variance)/(variance of the real data), summed
over coordinates, shape (K+1,), for n_real = n_per_round = n and any real data.

factors: f_k >= 0, one number or one for each of rounds 0..K. ValueError for an argument out of range.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, whole
from theory.workflows.kde import kernel_widths


def scott_factors(*, dim: int, counts: ArrayLike) -> FloatArray:
    """Scott's factor N^(-1/(d+4)) for fits to N = counts points.

    Source: Scott, Multivariate Density Estimation (1992).
    """
    return np.asarray(counts, dtype=float) ** (-1 / (whole("dim", dim, least=1) + 4))


def replace_variance_exact(*, n_per_round: int, factors: ArrayLike, rounds: int) -> FloatArray:
    """Under `replace`: (1-1/n)^{k+1} prod_{j=0..k} (1 + f_j^2), exponential growth for a constant f^2 > 1/(n-1).

    Why: n points of a model of variance (1 + f^2) V have on average the variance (1-1/n) (1 + f^2) V.
    Source: derived here.
    """
    n = whole("n_per_round", n_per_round, least=1)
    steps = np.log1p(kernel_widths(factors, rounds) ** 2) + np.log1p(-1 / n) if n > 1 else None
    return np.zeros(whole("rounds", rounds) + 1) if steps is None else np.exp(np.cumsum(steps))


def accumulate_variance_exact(*, n_per_round: int, factors: ArrayLike, rounds: int) -> FloatArray:
    """Under `accumulate`: (1 + f_k^2) V_k with V_0 = 1-1/n and, i = k+1,

    V_{k+1} = V_k {1 - 1/(n (i+1)^2) + f_k^2 [1/(i+1) - 1/(n (i+1)^2)]}: bounded exactly if sum f_k^2/k is finite.

    Why: `kde.accumulate_moments_exact` given the pool, which is linear in its variance and in h_k^2.
    Source: derived here.
    """
    n, squares = whole("n_per_round", n_per_round, least=1), kernel_widths(factors, rounds) ** 2
    share = 1 / np.arange(2.0, len(squares) + 1)  # of the new batch in the pool
    growth = 1 - share**2 / n + squares[:-1] * (share - share**2 / n)
    return (1 + squares) * (1 - 1 / n) * np.concatenate([[1.0], np.cumprod(growth)])
