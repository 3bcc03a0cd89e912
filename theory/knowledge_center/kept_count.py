"""How many of n generated rows are kept: K ~ Bin(n, Z), given that at least one is."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from theory.arguments import FloatArray, counts, positive, real, require


def inverse_moments(n: float, log_acceptance: FloatArray, highest: int) -> FloatArray:
    """E[K^-r | K >= 1] / E[1/K | K >= 1]^r for r = 0..highest, and E[1/K | K >= 1] itself as the last entry.

    Shape (..., highest + 2) for log acceptance of shape (...); n an integer >= 1. Exact sums for standard
    deviations of K up to 16; above, every h-th K is summed with h at most an eighth of it, which changes
    nothing in float64 (the trapezoidal rule on a bell curve).
    Source: derived here.
    """
    accept = np.exp(log_acceptance)
    deviation = np.sqrt(n * accept * (1 - accept))
    stride = np.maximum(np.floor(deviation / 8), 1.0)
    reach = np.ceil(10 * deviation + 40)  # + 40: the binomial's Poisson tail when n Z is small
    steps = np.arange(np.ceil(2 * reach / stride).max() + 1)
    first = np.maximum(np.rint(n * accept) - reach, 1.0)
    kept = first[..., None] + stride[..., None] * steps
    inside = kept <= n
    kept = np.minimum(kept, n)
    log_reject = np.log(-np.expm1(np.minimum(log_acceptance, -1e-300)))[..., None]
    log_weight = gammaln(n + 1) - gammaln(kept + 1) - gammaln(n - kept + 1)
    log_weight = log_weight + kept * log_acceptance[..., None] + (n - kept) * log_reject
    log_weight = np.where(inside, log_weight, -np.inf)
    weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
    weight = weight / weight.sum(axis=-1, keepdims=True)
    mean = (weight / kept).sum(axis=-1, keepdims=True)
    ratio = 1 / (mean * kept)
    moments = []
    for _ in range(highest + 1):
        moments.append(weight.sum(axis=-1))
        weight = weight * ratio
    return np.stack([*moments, mean[..., 0]], axis=-1)


def empty_chance(n: ArrayLike, log_acceptance: ArrayLike) -> FloatArray:
    """Probability (1 - Z)^n that none of n generated rows is kept, from log Z <= 0; n >= 1, inf allowed.

    Source: definition.
    """
    log_z, rows = real("log_acceptance", log_acceptance), positive("n", n, infinite=True)
    require(log_z <= 0, "log_acceptance", "<= 0", log_acceptance)
    with np.errstate(divide="ignore"):  # log Z = 0: nothing is ever rejected
        log_reject = np.log(-np.expm1(log_z))
    finite_rows = np.where(np.isinf(rows), 1.0, rows)
    return np.where(np.isinf(rows), 0.0, np.exp(finite_rows * log_reject))[()]


def inverse_kept_count(n: float, acceptance: ArrayLike) -> FloatArray:
    """E[1/K | K >= 1] for K ~ Bin(n, acceptance): variance of a mean of the kept rows, per unit variance.

    n an integer >= 1 (inf gives 0), acceptance in (0, 1], an array or a number. 1/(n acceptance) is lower: by
    18 % at n = 10 and acceptance 0.236. ValueError for an argument out of range.
    Source: derived here: exact sum over K.
    """
    number = float(counts("n", n, 1, integer=True)[0])
    chance = positive("acceptance", acceptance)
    require(chance <= 1, "acceptance", "in (0, 1]", acceptance)
    if np.isinf(number):
        return np.zeros_like(chance)[()]
    return inverse_moments(number, np.log(chance), 0)[..., -1]
