"""Logs of moments of chi^2_m/m, a fitted variance over the true one: accurate however many rows were fitted.

Differences of `gammaln` lose one digit for every factor 10 in m. Here the terms of Stirling's formula that
grow cancel by hand; what remains is J(x) = log Gamma(x) - (x - 1/2) log x + x - log(2 pi)/2, about 1/(12 x).
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bernoulli, digamma, gammaln

from theory.arguments import FloatArray

_SERIES_FROM = 15.0  # from here on the six terms below leave 3e-17
_ORDERS = np.arange(2, 13, 2)
_BERNOULLI = bernoulli(12)[_ORDERS]


def _stirling_remainder(x: FloatArray) -> FloatArray:
    """J(x) = sum over j = 2, 4, … of B_j/(j (j-1) x^(j-1)), for x > 0."""
    powers = np.maximum(x, _SERIES_FROM)[..., None] ** (1 - _ORDERS)
    series = (powers * (_BERNOULLI / (_ORDERS * (_ORDERS - 1)))).sum(axis=-1)
    small = np.minimum(x, _SERIES_FROM)
    direct = gammaln(small) - (small - 0.5) * np.log(small) + small - np.log(2 * np.pi) / 2
    return np.where(x < _SERIES_FROM, direct, series)


def log_moment(freedom: ArrayLike, power: float) -> FloatArray:
    """log E (chi^2_m/m)^power for m degrees of freedom > 0 and > -2 power; has the shape of `freedom`.

    With x = m/2 and s = power: log Gamma(x+s) - log Gamma(x) - s log x.
    Source: classical; Stirling's formula with its remainder.
    """
    x = np.asarray(freedom, dtype=np.float64) / 2
    main = (x + power - 0.5) * np.log1p(power / x) - power
    return main + _stirling_remainder(x + power) - _stirling_remainder(x)


def mean_log(freedom: ArrayLike) -> FloatArray:
    """E log(chi^2_m/m) = digamma(m/2) - log(m/2) for m degrees of freedom > 0, about -1/m.

    Source: classical; the digamma function's asymptotic series.
    """
    x = np.asarray(freedom, dtype=np.float64) / 2
    large = np.maximum(x, _SERIES_FROM)
    series = -0.5 / large - (large[..., None] ** -_ORDERS * (_BERNOULLI / _ORDERS)).sum(axis=-1)
    small = np.minimum(x, _SERIES_FROM)
    return np.where(x < _SERIES_FROM, digamma(small) - np.log(small), series)
