"""From samples to a Configuration: tests whose error rate is stated.

Correct code fails a configuration with probability at most FALSE_ALARM, Bonferroni over its entries. That a
check would also see an error is shown by its planted one. The unit of replication is the chain: samples
have shape (C, …), independent along axis 0 only.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from simcollapse.theorems.theorem import Configuration

FALSE_ALARM = 1e-6
RATE = "false alarms below 1e-6 per configuration"


def equal_means(
    label: str, samples: ArrayLike, expected: ArrayLike, allowance: ArrayLike = 0.0
) -> Configuration:
    """E[samples] = expected, entry by entry; deviation is the largest |z|.

    allowance: how far the expected value itself may be off, where it is the first order of an expansion;
    the part of a difference within it does not count.
    """
    mean, error, limit = _summary(samples, two_sided=True)
    gap = np.maximum(np.abs(mean - expected) - np.broadcast_to(allowance, mean.shape), 0)
    return Configuration(label, _largest(gap, error), limit, "z")


def at_most(label: str, samples: ArrayLike, ceiling: ArrayLike = 0.0) -> Configuration:
    """E[samples] <= ceiling, entry by entry: not refuted; deviation is the largest z."""
    mean, error, limit = _summary(samples, two_sided=False)
    return Configuration(label, _largest(mean - ceiling, error), limit, "z <=")


def below(label: str, samples: ArrayLike, ceiling: ArrayLike = 0.0) -> Configuration:
    """E[samples] < ceiling, entry by entry: established, each z must be under -limit; deviation is the largest z.

    Here FALSE_ALARM is the chance of passing when the statement is false.
    """
    mean, error, limit = _summary(samples, two_sided=False)
    return Configuration(label, _largest(mean - ceiling, error), -limit, "z <")


def within(label: str, deviation: ArrayLike, limit: float) -> Configuration:
    """Largest deviation <= limit, no randomness left: a margin of rounding or of a stated accuracy."""
    return Configuration(label, float(np.max(deviation)), float(limit), "margin")


def same_distribution(label: str, first: ArrayLike, second: ArrayLike) -> Configuration:
    """Two independent samples, shapes (C1,) and (C2,), have one law; deviation is the Kolmogorov–Smirnov gap.

    For one law P(gap >= t) <= e exp(-2 t^2 / (1/C1 + 1/C2)). Source: Wei and Dudley 2012.
    """
    first, second = np.asarray(first), np.asarray(second)
    limit = np.sqrt((1 - np.log(FALSE_ALARM)) / 2 * (1 / len(first) + 1 / len(second)))
    gap = stats.ks_2samp(first, second, method="asymp").statistic  # pyright: ignore[reportAttributeAccessIssue]
    return Configuration(label, float(gap), float(limit), "gap")


def _summary(samples, two_sided):
    """Mean and standard error over chains, and the limit of z by Student's t."""
    samples = np.asarray(samples, dtype=np.float64)
    mean, error = samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    sides = 2 if two_sided else 1
    return mean, error, float(stats.t.isf(FALSE_ALARM / (sides * mean.size), len(samples) - 1))


def _largest(gap, error):
    """Largest gap / error; a gap without any spread is infinitely far, no gap without spread is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(gap == 0, 0.0, gap / error)
    return float(np.max(z))  # NaN stays NaN, and fails
