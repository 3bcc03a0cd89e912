"""Gaussian fits under `accumulate_subsample`, no verifier: exact first two moments, plateau or slow growth.

Conventions in `theory.workflows.gaussian`. The pool grows as under `accumulate`; each fit sees a fixed number
of its rows, drawn without replacement and afresh, and generates the next batch. Does it settle? With the
divisor n, yes, at a height known in closed form; with n - 1 the expected variance grows for ever as
(k+1)^(1/n), since every fit of a subsample raises the expected second moment of its batch and the pool never
averages that out. Results have shape (K+1,) for rounds 0..K unless said. ValueError for an argument out of
range, naming it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from theory.arguments import FloatArray, counts, require, whole
from theory.workflows.gaussian import lost_rows, sample_sizes


class Ratios(NamedTuple):
    """E Sigma_k and E (mu_k-mu_0)(mu_k-mu_0)' over Sigma_0, rounds 0..K, each of shape (K+1,)."""

    covariance: FloatArray
    mean_error: FloatArray


def _log_ratio(n_per_round: int, rounds: int, covariance: str) -> tuple[int, FloatArray, FloatArray]:
    """Checked n, the fits' numbers i = 1..K+1 of the papers, and log v_k."""
    n = whole("n_per_round", n_per_round, least=2)
    fit = np.arange(1.0, whole("rounds", rounds) + 2)
    rows = n * fit[1:]
    if lost_rows(covariance):
        first, later = 0.0, np.log1p(-3 / (rows * fit[1:])) - np.log1p(-1 / rows)
    else:
        first, later = np.log1p(-1 / n), np.log1p(-(3 * n - 1) / (rows * (rows - 1)))
    return n, fit, np.cumsum(np.concatenate([[first], later]))


def covariance_ratio_exact(*, n_per_round: int, rounds: int, covariance: str = "mle") -> FloatArray:
    """Exact v_k of E Sigma_k = v_k Sigma_0, n rows real, generated and fitted in every round.

    With i the fit's number from 1, products over i = 2..k+1: "mle" (1 - 1/n) times that of
    1 - (3n-1)/(n i (n i - 1));  "unbiased" that of (1 - 3/(n i^2))/(1 - 1/(n i)).
    Source: derived here, WORKFLOWS A15, A16: moments of a simple random sample, then of the pool with the
    batch.
    """
    return np.exp(_log_ratio(n_per_round, rounds, covariance)[2])


def mean_error_ratio_exact(*, n_per_round: int, rounds: int, covariance: str = "mle") -> FloatArray:
    """Exact e_k of E (mu_k-mu_0)(mu_k-mu_0)' = e_k Sigma_0, n rows real, generated and fitted in every round.

    "mle" 1 - v_k;  "unbiased", in numbers of the fit from 1, 1/n + v_i (i-1)/(n i) + the sum over j = 1..i-1
    of v_j (2j-1)/(n j (j+1)^2). Source: derived here, WORKFLOWS A15, A16.
    """
    n, fit, logs = _log_ratio(n_per_round, rounds, covariance)
    if not lost_rows(covariance):
        return -np.expm1(logs)
    ratio = np.exp(logs)
    moved = np.cumsum(ratio * (2 * fit - 1) / (n * fit * (fit + 1) ** 2))
    return 1 / n + ratio * (fit - 1) / (n * fit) + np.concatenate([[0.0], moved[:-1]])


def covariance_ratio_limit(*, n_per_round: int) -> float:
    """Limit of `covariance_ratio_exact` for k -> inf and "mle": a plateau, about 1 - (pi^2/2 - 2)/n.

    (1 - 1/n) Gamma(2 - 1/n)/(Gamma(2 - r+) Gamma(2 - r-)), r+- = (1 +- sqrt(12n - 3))/(2n). The mean error
    tends to one minus it. With "unbiased" there is no limit: `covariance_ratio_asymptotic`.
    Source: derived here, WORKFLOWS A15; the plateau was seen in [Kazdan24].
    """
    n = whole("n_per_round", n_per_round, least=2)
    poles = (1 + np.sqrt(12 * n - 3) * np.array([1, -1])) / (2 * n)
    return float((1 - 1 / n) * np.exp(gammaln(2 - 1 / n) - gammaln(2 - poles).sum()))


def covariance_ratio_asymptotic(*, n_per_round: int, rounds: int) -> FloatArray:
    """`covariance_ratio_exact` with "unbiased" for k -> inf: it diverges as (k+1)^(1/n).

    (k+1)^(1/n) Gamma(2 - 1/n)/(Gamma(2 - q) Gamma(2 + q)), q = sqrt(3/n); for k far below e^n the power reads
    1 + log(k+1)/n. The mean error over Sigma_0 is this over n, to leading order.
    Source: derived here, WORKFLOWS A16.
    """
    n = whole("n_per_round", n_per_round, least=2)
    fit = np.arange(1.0, whole("rounds", rounds) + 2)
    pole = np.sqrt(3 / n)
    return np.exp(np.log(fit) / n + gammaln(2 - 1 / n) - gammaln(2 - pole) - gammaln(2 + pole))


def ratios_recursion(
    *, n_real: int, n_per_round: ArrayLike, size: ArrayLike, rounds: int, covariance: str = "mle"
) -> Ratios:
    """Exact ratios for any sizes: n_per_round = b new rows join the pool, size = s of its rows are fitted.

    size is one number or one for each of rounds 0..K, >= 2; all rows of the pool where it holds fewer (inf:
    all, which is `accumulate`). One number applies to round 0 too; [inf, s, ..., s] fits all real rows first.
    Over Sigma_0, with N rows in the pool, P the squared error of their mean, V their variance, from
    P = 1/n_real and V = 1 - 1/n_real:

        g = V N/(N-1) for "unbiased", times (s-1)/s for "mle";  f = V (N-s)/(s (N-1));  results g and P + f;
        w = b/(N+b);  P' = P + w^2 (f + g/b);  V' = V + w (f + g - V) - w^2 (f + g/b).

    Source: derived here, WORKFLOWS 1.3 and A17, with any sizes and either divisor: f is the variance of a
    subsample's mean, g that of a generated row; P + V changes by w times (the batch's second moment - P - V).
    """
    sizes, lost = sample_sizes(n_real, n_per_round, rounds, least=1), lost_rows(covariance)
    wanted = counts("size", size, sizes.size, integer=True)
    require(wanted >= 2, "size", ">= 2", size)
    pool = np.cumsum(sizes)
    fitted = np.minimum(wanted, pool)
    generated = pool / (pool - 1) * (1 if lost else (fitted - 1) / fitted)  # g/V
    drawn = (pool - fitted) / (fitted * (pool - 1))  # f/V
    covariances, errors = [], []
    error, variance = 1 / sizes[0], 1 - 1 / sizes[0]
    for k in range(sizes.size):
        g, f = variance * generated[k], variance * drawn[k]
        covariances.append(g)
        errors.append(error + f)
        if k + 1 < sizes.size:
            share = sizes[k + 1] / pool[k + 1]
            moved = share**2 * (f + g / sizes[k + 1])
            error, variance = error + moved, variance + share * (f + g - variance) - moved
    return Ratios(covariance=np.array(covariances), mean_error=np.array(errors))
