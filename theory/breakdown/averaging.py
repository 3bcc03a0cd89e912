"""Averaging, w proportional to the mean of y'x, exactly at every number of rows and dimension.

Isotropic mixture x ~ N(y mu, I), labels and selection independent of x, any class balance. Given K right labels
of n, w along mu is N(s(2K/n - 1), 1/n) and |w across mu|^2 is chi-squared with d-1 degrees over n, independent,
with s = |mu|.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import gammaln, ndtr

from theory.arguments import FloatArray, nonnegative, nonnegative_scalar, positive, whole
from theory.breakdown.domains import probability_scalar, quality

_REACH = 9.0  # standard normals are followed this far: the density there is exp(-40) of its peak
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)  # per panel of width 1: exact for the normal density
_LEAST_CHANCE = 1e-18  # counts of right labels rarer than this are left out


def averaging_accuracy_exact(num_samples: int, dim: int, precision: float, separation: float) -> float:
    """Expected class accuracy of averaging on n kept rows in d dimensions, exactly.

    E[acc] = sum_K Bin(K; n, rho) E Phi(s W/sqrt(W^2 + chi2_{d-1}/n)), W = s(2K/n - 1) + Z/sqrt n; for d = 1
    the inner mean is Phi(s) r_K + Phi(-s)(1 - r_K), r_K = Phi(sqrt(n) s (2K/n - 1)). Exactly 1/2 at
    rho = 1/2, and E[acc](rho) = 1 - E[acc](1 - rho). num_samples n >= 1, dim d >= 1, precision rho in [0, 1],
    separation s >= 0 in standard deviations. Two-dimensional Gauss-Legendre quadrature, about 13 digits.
    Source: derived here.
    """
    n, d = whole("num_samples", num_samples, least=1), whole("dim", dim, least=1)
    rho, s = probability_scalar("precision", precision), nonnegative_scalar("separation", separation)
    count = np.arange(n + 1)
    chance = stats.binom.pmf(count, n, rho)
    kept = chance > _LEAST_CHANCE
    chance, centres = chance[kept], np.sqrt(n) * s * (2 * count[kept] / n - 1)
    if d == 1:
        right = ndtr(centres)
        return float(chance @ (ndtr(s) * right + ndtr(-s) * (1 - right)))
    along, along_weights = _rule(centres.min() - _REACH, centres.max() + _REACH, graded=True)
    density = np.zeros_like(along)
    for centre, share in zip(centres, chance, strict=True):
        density += share * np.exp(-((along - centre) ** 2) / 2)
    across, across_weights = _chi_rule(d - 1)
    ratio = along[:, None] / np.hypot(along[:, None], across)
    mean = ndtr(s * ratio) @ across_weights
    return float(mean @ (along_weights * density)) / np.sqrt(2 * np.pi)


def _rule(low: float, high: float, *, graded: bool) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre panels of width at most 1 on [low, high], halving towards 0 if graded."""
    edges = np.linspace(low, high, int(np.ceil(high - low)) + 1)
    if graded:  # the direction of (W, chi) turns ever faster towards the origin, and Phi(s .) is steep there
        near = 2.0 ** -np.arange(26)
        edges = np.concatenate([edges, [0.0], near, -near])
        edges = np.unique(edges[(edges >= low) & (edges <= high)])
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1, None] + half) + half * _NODES).ravel(), (half * _WEIGHTS).ravel()


def _chi_rule(degrees: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and probabilities of a chi variable (the root of a chi-squared one)."""
    centre = np.sqrt(degrees)
    nodes, weights = _rule(max(centre - _REACH, 0.0), centre + _REACH, graded=centre < _REACH)
    log_scale = (1 - degrees / 2) * np.log(2) - gammaln(degrees / 2)
    return nodes, weights * np.exp(log_scale + (degrees - 1) * np.log(nodes) - nodes**2 / 2)


def averaging_flip_chance_asymptotic(
    num_samples: ArrayLike, signed_quality: ArrayLike, separation: ArrayLike
) -> FloatArray:
    """Chance that averaging points away from mu, n large: Phi(-sqrt(n) s c/sqrt(1 + s^2(1-c^2))).

    Normal limit of the component along mu, whose variance per row is 1 + s^2(1-c^2). Broadcasts; n > 0,
    c in [-1, 1], s >= 0.
    Source: derived here.
    """
    n, s = positive("num_samples", num_samples), nonnegative("separation", separation)
    c = quality("signed_quality", signed_quality)
    return ndtr(-np.sqrt(n) * s * c / np.sqrt(1 + s**2 * (1 - c**2)))
