"""Is p below p*? The exact sign test on kept rows, the same for looking after every label, and audit sizes.

p < p* exactly where the precision rho of the kept rows exceeds 1/2 (logit rho = logit p* - logit p, as rho/(1-rho) =
[(1-p)/p] phi/psi), so the decision needs labels of kept rows only: of m kept and labelled ones x are correct,
x ~ Bin(m, rho). Source: derived here, where not said otherwise.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from theory.arguments import FloatArray, nonnegative, positive, real, require
from theory.breakdown.intervals import p_star_variance_delta

_HALVINGS = 60


def sign_test(kept_correct: ArrayLike, kept: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """One-sided exact p-values: of rho <= 1/2 (small: more than half are correct), and of rho >= 1/2.

    P(X >= x) and P(X <= x) for X ~ Bin(m, 1/2), through the incomplete beta function, so that counts may be
    fractions (effective counts). The first is below a where Clopper-Pearson's low end at 1-2a exceeds 1/2.
    """
    x, m = nonnegative("kept_correct", kept_correct), nonnegative("kept", kept)
    require(x <= m, "kept_correct", "<= kept", kept_correct)
    at_least = np.where(x > 0, special.betainc(np.where(x > 0, x, 1.0), m - x + 1, 0.5), 1.0)
    at_most = np.where(x < m, special.betainc(np.where(x < m, m - x, 1.0), x + 1, 0.5), 1.0)
    return at_least[()], at_most[()]


def critical_count(kept: ArrayLike, *, alpha: float = 0.05) -> FloatArray:
    """Least k with P(X >= k) <= alpha for X ~ Bin(kept, 1/2); kept + 1 where none is that rare."""
    return stats.binom.isf(_share("alpha", alpha), kept, 0.5)[()] + 1


def sign_test_power(kept: ArrayLike, rho: ArrayLike, *, alpha: float = 0.05) -> FloatArray:
    """Chance that the one-sided test of rho <= 1/2 at alpha rejects, with `kept` rows of precision rho."""
    return stats.binom.sf(critical_count(kept, alpha=alpha) - 1, kept, rho)[()]


def sign_test_size(rho: float, *, alpha: float = 0.05, power: float = 0.9, continuity: bool = False) -> float:
    """Kept rows that the one-sided sign test at alpha needs for that power; normal approximation, not rounded.

    m0 = [(z_{1-alpha}/2 + z_power sqrt(rho(1-rho)))/(rho-1/2)]^2; continuity: m0/4 (1 + sqrt(1 + 2/(m0
    |rho-1/2|)))^2. inf at rho = 1/2; below it, the test of rho >= 1/2, which by symmetry needs as many.
    """
    alpha, power = _share("alpha", alpha), _share("power", power)
    require((rho >= 0) and (rho <= 1), "rho", "in [0, 1]", rho)
    away = abs(rho - 0.5)
    if away == 0:
        return math.inf
    root = (stats.norm.isf(alpha) / 2 + stats.norm.ppf(power) * math.sqrt(rho * (1 - rho))) / away
    size = float(root**2)
    return size / 4 * (1 + math.sqrt(1 + 2 / (size * away))) ** 2 if continuity else size


class ExactSize(NamedTuple):
    """Sizes at which the exact test has the power asked for."""

    first: int  # the smallest
    critical: int  # correct rows that reject at that size
    power: float  # at that size
    lasting: int  # from here on no larger size has less: power rises in a sawtooth


def sign_test_size_exact(rho: float, *, alpha: float = 0.05, power: float = 0.9) -> ExactSize:
    """Kept rows that the exact one-sided test at alpha needs; rho in (1/2, 1], to be mirrored below 1/2.

    Searched up to half as many again as the continuity-corrected size, and 60 more: the sawtooth is far lower.
    """
    require((rho > 0.5) and (rho <= 1), "rho", "in (1/2, 1]", rho)
    most = int(1.5 * sign_test_size(rho, alpha=alpha, power=power, continuity=True)) + 60
    sizes = np.arange(1, most + 1)
    reached = np.asarray(sign_test_power(sizes, rho, alpha=alpha))
    enough = reached >= power
    first = int(np.argmax(enough))
    lasting = int(np.flatnonzero(~enough).max(initial=-1)) + 1
    critical = int(critical_count(sizes[first], alpha=alpha))
    return ExactSize(int(sizes[first]), critical, float(reached[first]), int(sizes[lasting]))


def p_star_audit_size(half_width: float, *, p: float, phi: float, psi: float, level: float = 0.95) -> float:
    """Rows, drawn at random, for an interval p*^ +- half_width: (z/h)^2 M Var(p*^). Delta method, not rounded."""
    positive("half_width", half_width)
    return _z(level) ** 2 / half_width**2 * float(p_star_variance_delta(phi, psi, 1 - p, p))


def margin_audit_size(half_width: float, *, p: float, phi: float, psi: float, level: float = 0.95) -> float:
    """Rows, drawn at random, for an interval p*^ - p^ +- half_width. Delta method, not rounded."""
    more = _z(level) ** 2 / half_width**2 * p * (1 - p)
    return p_star_audit_size(half_width, p=p, phi=phi, psi=psi, level=level) + more


def stratified_ratio(phi: float, psi: float) -> float:
    """Wrong rows for each correct one that make Var(p*^) least: sqrt([(1-psi)/psi] / [(1-phi)/phi])."""
    for name, rate in (("phi", phi), ("psi", psi)):
        require((rate > 0) and (rate < 1), name, "in (0, 1)", rate)
    return math.sqrt(((1 - psi) / psi) / ((1 - phi) / phi))


def mixture_log_wealth(kept_correct: ArrayLike, kept: ArrayLike, rho: ArrayLike = 0.5) -> FloatArray:
    """Log of the bet against `rho` after these rows: the Beta(1/2, 1/2) mixture likelihood over that of rho.

    log B(x + 1/2, m - x + 1/2)/B(1/2, 1/2) - x log rho - (m-x) log(1-rho). At the true rho its exponential is
    a martingale from 1 (each row independent), so P(it ever reaches 1/a) <= a (Ville): one may look after every
    row, and stop when one likes.

    Source: Robbins, Ann. Math. Statist. 41 (1970); Ville, Étude critique de la notion de collectif (1939).
    """
    x, m = nonnegative("kept_correct", kept_correct), nonnegative("kept", kept)
    mixed = special.betaln(x + 0.5, m - x + 0.5) - special.betaln(0.5, 0.5)
    return (mixed - special.xlogy(x, rho) - special.xlog1py(m - x, -np.asarray(rho)))[()]


def confidence_sequence(
    kept_correct: ArrayLike, kept: ArrayLike, *, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Interval for rho that covers at all sample sizes at once with probability >= level.

    All rho whose `mixture_log_wealth` is below -log(1-level): convex in rho, least at x/m.
    """
    x, m = np.broadcast_arrays(nonnegative("kept_correct", kept_correct), nonnegative("kept", kept))
    limit = -math.log(1 - _share("level", level))
    best = np.where(m > 0, x / np.maximum(m, 1e-300), 0.5)

    def end(outside: float) -> FloatArray:
        out, inside = np.full_like(best, outside), best.copy()
        for _ in range(_HALVINGS):
            middle = (out + inside) / 2
            fits = mixture_log_wealth(x, m, middle) < limit
            inside, out = np.where(fits, middle, inside), np.where(fits, out, middle)
        return (out + inside) / 2

    return np.where(x > 0, end(0.0), 0.0)[()], np.where(x < m, end(1.0), 1.0)[()]


def sequential_size(rho: float, *, alpha: float = 0.05) -> float:
    """Kept rows at which the bet against rho = 1/2 typically reaches 1/alpha if the precision is rho; inf at 1/2.

    The size m at which `mixture_log_wealth`(rho m, m) = -log alpha: about half of all runs decide sooner.
    Source: derived here, by putting the mean count into the wealth.
    """
    limit = -math.log(_share("alpha", alpha))
    require((rho >= 0) and (rho <= 1), "rho", "in [0, 1]", rho)
    if rho == 0.5:
        return math.inf
    high = 1.0
    while mixture_log_wealth(rho * high, high) < limit:
        high *= 2
        if high > 1e18:
            return math.inf
    low = high / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if mixture_log_wealth(rho * middle, middle) < limit else (low, middle)
    return high


def _share(name: str, value: float) -> float:
    number = real(name, value)
    require((number > 0) & (number < 1), name, "in (0, 1)", value)
    return float(number)


def _z(level: float) -> float:
    return float(stats.norm.isf((1 - _share("level", level)) / 2))
