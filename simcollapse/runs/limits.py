"""Limits of z-scores of means that hold far out, where the mean of a skewed number is no normal variable yet."""

from typing import Any

import numpy as np
from scipy import optimize, stats
from scipy.special import betainc

_FURTHEST = 35.0  # the normal tail is 1e-268 there


def limit_of(alpha: float, chains: int, skewness: float) -> float:
    """Limit x of |z| that a studentised mean of so many independent numbers exceeds with probability <= alpha.

    2 P(T > x) with the upper tail 1 - Phi(x) times exp(g x^3 / (3 sqrt C)), g = |skewness|: its leading large
    deviation on the side where it is larger. NaN where no x will do: too few chains. For few chains more than
    this is allowed for by Student's t.
    Source: Wang 2005, Electron. J. Probab. 10 (limit theorems for self-normalized large deviation).
    """
    freedom, g = chains - 1, abs(skewness) / (3 * np.sqrt(chains))
    if chains < 2 or not np.isfinite(g):
        return np.nan

    def excess(x):
        tail = betainc(freedom / 2, 0.5, freedom / (freedom + x**2)) / 2  # Student's, with its digits far out
        return np.log(tail) + g * x**3 - np.log(alpha / 2)

    start = float(stats.t.isf(alpha / 2, freedom))
    if g == 0:
        return start
    furthest = min(1 / (3 * g), _FURTHEST)  # the bound grows again from 1 / (3 g) on
    if furthest <= start or excess(furthest) > 0:
        return np.nan
    found: Any = optimize.brentq(excess, start, furthest)
    return float(found)


def limit_of_bounded(alpha: float, chains: int, spread: float, error: float) -> float:
    """The same for numbers that lie in a range of this length, whatever their distribution; from the standard error.

    sqrt(2 L) + 7 R L / (3 (C - 1) error), L = log(4 / alpha).
    Source: Maurer and Pontil 2009, Theorem 4 (empirical Bernstein bound), for both sides.
    """
    if chains < 2:
        return np.nan
    log = np.log(4 / alpha)
    with np.errstate(divide="ignore"):
        return float(np.sqrt(2 * log) + 7 * spread * log / (3 * (chains - 1)) / np.float64(error))
