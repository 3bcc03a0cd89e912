"""Rates from sums, and how much less than independent equal rows the rows tell: design effects.

Every rate is a smooth function of the four cell sums W. Its first-order variance is the sum of squares of what
each independent unit adds: gradient times weight for a row, the sum of that for a cluster. The design effect is
this variance over that of independent rows of equal weight; counts divided by it are "effective counts", to
which the intervals of simple audits apply (Korn and Graubard 1998 do so with Clopper-Pearson).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from simcollapse.auditing.tally import Evidence
from theory.breakdown.intervals import p_star_variance_delta

NAMES = ("p", "phi", "psi", "keep_rate", "precision", "p_star")
# Cells [correct, kept] that a rate is a share of.
_WHOLE = {
    "p": np.ones((2, 2), bool),
    "keep_rate": np.ones((2, 2), bool),
    "phi": np.array([[False, False], [True, True]]),
    "psi": np.array([[True, True], [False, False]]),
    "precision": np.array([[False, True], [False, True]]),
}
_PART = {
    "p": np.array([[True, True], [False, False]]),
    "keep_rate": np.array([[False, True], [False, True]]),
    "phi": np.array([[False, False], [False, True]]),
    "psi": np.array([[False, True], [False, False]]),
    "precision": np.array([[False, False], [False, True]]),
}


class Rates(NamedTuple):
    """Weighted shares; NaN where there is nothing to divide by."""

    p: float
    phi: float
    psi: float
    keep_rate: float
    precision: float
    p_star: float


def rates(found: Evidence) -> Rates:
    """The estimates from cell sums."""
    shares = {name: _share(found, name) for name in _WHOLE}
    both = shares["phi"] + shares["psi"]
    return Rates(**shares, p_star=shares["phi"] / both if both > 0 else math.nan)


def count(found: Evidence, name: str) -> float:
    """Rows that the rate is a share of."""
    return float(found.n[_WHOLE[name]].sum())


def design_effect(found: Evidence, name: str, level: float) -> float:
    """Variance of a rate over that of equal independent rows, >= 1.

    Not below the effect of unequal weights alone (Kish), as few rows estimate a variance badly. With clusters,
    multiplied by (t/z)^2 at this level, t with one degree of freedom less than clusters. A rate of 0 or 1, whose
    variance cannot be seen, has the effect of clusters whose rows are all alike.
    """
    if found.simple:
        return 1.0
    estimates = rates(found)
    if name == "p_star":
        parts = ("phi", "psi")
        simple = float(
            p_star_variance_delta(estimates.phi, estimates.psi, *(count(found, part) for part in parts))
        )
    else:
        parts = (name,)
        theta = getattr(estimates, name)
        simple = theta * (1 - theta) / max(count(found, name), 1)
    inner = all(0 < getattr(estimates, part) < 1 for part in parts)  # NaN is not
    clusters = min(_clusters(found, part) for part in parts)
    if not inner or clusters < 2:
        return max(_alike(found, part) for part in parts)
    effect = variance(found, gradient(found, name)) / simple
    if found.clusters is not None:
        effect *= (stats.t.isf((1 - level) / 2, clusters - 1) / stats.norm.isf((1 - level) / 2)) ** 2
    return float(max(1.0, effect, *(_kish(found, part) for part in parts)))


def correlation(found: Evidence) -> float:
    """Of the estimates of p* and p; 0 where a variance vanishes, and for simple audits."""
    if found.simple or not math.isfinite(rates(found).p_star):
        return 0.0
    first, second = gradient(found, "p_star"), gradient(found, "p")
    spread = variance(found, first) * variance(found, second)
    return covariance(found, first, second) / math.sqrt(spread) if spread > 0 else 0.0


def variance(found: Evidence, slope: np.ndarray) -> float:
    """First-order variance of a function of the cell sums with this gradient, shape (2, 2)."""
    return covariance(found, slope, slope)


def covariance(found: Evidence, first: np.ndarray, second: np.ndarray) -> float:
    """First-order covariance of two functions of the cell sums with these gradients."""
    if found.clusters is None:
        return float(np.sum(first * second * found.w2))
    number = len(found.clusters)
    a, b = (np.tensordot(found.clusters, slope, axes=2) for slope in (first, second))
    return float(number / max(number - 1, 1) * np.sum(a * b))


def gradient(found: Evidence, name: str) -> np.ndarray:
    """Derivative of a rate by the four cell sums, shape (2, 2); its rate must exist."""
    if name == "p_star":
        phi, psi = _share(found, "phi"), _share(found, "psi")
        return (psi * gradient(found, "phi") - phi * gradient(found, "psi")) / (phi + psi) ** 2
    whole = _WHOLE[name]
    return np.where(whole, _PART[name] - _share(found, name), 0.0) / found.w[whole].sum()


def _share(found: Evidence, name: str) -> float:
    whole = found.w[_WHOLE[name]].sum()
    return float(found.w[_PART[name]].sum() / whole) if whole > 0 else math.nan


def _clusters(found: Evidence, name: str) -> int:
    """Independent units that the rate is a share of."""
    if found.clusters is None:
        return int(count(found, name))
    return int(np.sum(found.clusters[:, _WHOLE[name]].sum(axis=1) > 0))


def _kish(found: Evidence, name: str) -> float:
    """Rows over (sum w)^2 / sum w^2."""
    cells = _WHOLE[name]
    return count(found, name) * found.w2[cells].sum() / max(found.w[cells].sum() ** 2, 1e-300)


def _alike(found: Evidence, name: str) -> float:
    """The same with clusters as units: their rows are all alike."""
    if found.clusters is None:
        return max(1.0, _kish(found, name))
    sums = found.clusters[:, _WHOLE[name]].sum(axis=1)
    return max(1.0, count(found, name) * np.sum(sums**2) / max(sums.sum() ** 2, 1e-300))
