"""Confidence intervals for an audit: for p*, for the margin p* - p and for simple rates.

An audit of M rows finds `correct` right ones, of which `kept_correct` were kept, and `wrong` wrong ones, of
which `kept_wrong` were kept. Then p* = R/(1+R) with the risk ratio R = phi/psi, so that any interval for R maps
to one for p*. Counts may be fractions (effective counts of a weighted or clustered audit) and broadcast; every
function returns (low, high). A side about which nothing was seen gives the end of the range, 0 or 1.

Source: derived here (delta method), where not said otherwise.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from theory.arguments import FloatArray, nonnegative, real, require

_HALVINGS = 55  # of (0, 1): below the last bit of the ends
Interval = tuple[FloatArray, FloatArray]


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, *, level: float = 0.95) -> Interval:
    """Exact interval for a binomial rate: both one-sided binomial tests at (1-level)/2; (0, 1) without trials.

    ValueError unless 0 <= successes <= trials and 0 < level < 1.
    Source: Clopper and Pearson, Biometrika 26 (1934), by the quantiles of a beta law.
    """
    x, n = _counts("successes", successes, "trials", trials)
    tail = _tail(level)
    with np.errstate(invalid="ignore"):
        low = np.where(x > 0, special.betaincinv(np.where(x > 0, x, 1.0), n - x + 1, tail), 0.0)
        high = np.where(x < n, special.betainccinv(x + 1, np.where(x < n, n - x, 1.0), tail), 1.0)
    return low[()], high[()]


def wilson(successes: ArrayLike, trials: ArrayLike, *, level: float = 0.95) -> Interval:
    """Score interval for a binomial rate: all theta with (x - n theta)^2 <= z^2 n theta (1 - theta).

    Arguments as in `clopper_pearson`. Source: Wilson, J. Amer. Statist. Assoc. 22 (1927).
    """
    x, n = _counts("successes", successes, "trials", trials)
    z2 = _z(level) ** 2
    middle = (x + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (x * (n - x) / np.where(n > 0, n, 1) + z2 / 4)) / (n + z2)
    return np.where(x > 0, middle - half, 0.0)[()], np.where(x < n, middle + half, 1.0)[()]


def p_star_interval_score(
    kept_correct: ArrayLike,
    correct: ArrayLike,
    kept_wrong: ArrayLike,
    wrong: ArrayLike,
    *,
    level: float = 0.95,
    corrected: bool = True,
) -> Interval:
    """Score interval for p*: all s whose constrained fit has chi-squared T(s) <= z^2.

    T = (x_c - n_c phi~)^2/(n_c phi~(1-phi~)) + (x_w - n_w psi~)^2/(n_w psi~(1-psi~)), where phi~, psi~ maximise
    the likelihood among all pairs with phi~/(phi~+psi~) = s. corrected (Miettinen-Nurminen) multiplies the
    variances by M/(M-1); without it the interval is Koopman's. Good at small counts and at empty cells: with
    no wrong row kept the upper end is 1 and the lower one positive; without wrong rows Koopman's is Wilson's for phi.

    Source: Koopman, Biometrics 40 (1984); Miettinen and Nurminen, Statist. Med. 4 (1985).
    """
    table = _table(kept_correct, correct, kept_wrong, wrong)
    x_c, n_c, x_w, n_w = table
    total = n_c + n_w
    shrink = np.where(total > 1, (total - 1) / np.maximum(total, 1), 0.0) if corrected else 1.0
    limit = _z(level) ** 2
    phi = np.where(n_c > 0, x_c / np.maximum(n_c, 1e-300), 1.0)  # 1: the largest that an unseen rate can be
    psi = np.where(n_w > 0, x_w / np.maximum(n_w, 1e-300), 1.0)
    best = np.where(phi + psi > 0, phi / np.where(phi + psi > 0, phi + psi, 1), 0.5)

    out, inside = (
        np.stack([np.zeros_like(best), np.ones_like(best)]),
        np.stack([best, best]),
    )  # low end, high end
    for _ in range(_HALVINGS):
        middle = (out + inside) / 2
        fits = shrink * _chi_squared(middle, *table) <= limit
        inside, out = np.where(fits, middle, inside), np.where(fits, out, middle)
    low, high = (out + inside) / 2
    return np.where(x_c > 0, low, 0.0)[()], np.where(x_w > 0, high, 1.0)[()]


def p_star_interval_exact(
    kept_correct: ArrayLike,
    correct: ArrayLike,
    kept_wrong: ArrayLike,
    wrong: ArrayLike,
    *,
    level: float = 0.95,
) -> Interval:
    """Interval for p* that covers with probability >= level whatever phi, psi and the counts.

    Clopper-Pearson for phi and for psi, each at 1-(1-level)/2 (Bonferroni), mapped by p* = phi/(phi+psi). A
    rate without a row is anything in [0, 1], and the other one then has the whole of 1-level.
    """
    x_c, n_c, x_w, n_w = _table(kept_correct, correct, kept_wrong, wrong)
    both = (n_c > 0) & (n_w > 0)
    half, whole = 1 - (1 - level) / 2, level
    phi = np.where(both, clopper_pearson(x_c, n_c, level=half), clopper_pearson(x_c, n_c, level=whole))
    psi = np.where(both, clopper_pearson(x_w, n_w, level=half), clopper_pearson(x_w, n_w, level=whole))
    return (phi[0] / (phi[0] + psi[1]))[()], (phi[1] / (phi[1] + psi[0]))[()]


def p_star_interval_katz(
    kept_correct: ArrayLike,
    correct: ArrayLike,
    kept_wrong: ArrayLike,
    wrong: ArrayLike,
    *,
    level: float = 0.95,
) -> Interval:
    """log R^ +- z sqrt(1/x_c - 1/n_c + 1/x_w - 1/n_w), mapped to p*; (0, 1) at an empty cell. For comparison.

    Source: Katz, Baptista, Azen, Pike, Biometrics 34 (1978).
    """
    x_c, n_c, x_w, n_w = _table(kept_correct, correct, kept_wrong, wrong)
    seen = (x_c > 0) & (x_w > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = _z(level) * np.sqrt(1 / x_c - 1 / n_c + 1 / x_w - 1 / n_w)
        middle = np.log(x_c / n_c) - np.log(x_w / n_w)
        low, high = special.expit(middle - half), special.expit(middle + half)
    return np.where(seen, low, 0.0)[()], np.where(seen, high, 1.0)[()]


def p_star_interval_wald(
    kept_correct: ArrayLike,
    correct: ArrayLike,
    kept_wrong: ArrayLike,
    wrong: ArrayLike,
    *,
    level: float = 0.95,
) -> Interval:
    """p*^ +- z sd(p*^) by the delta method: its coverage falls to 0.85 and less. Only to show that; NaN at 0/0."""
    x_c, n_c, x_w, n_w = _table(kept_correct, correct, kept_wrong, wrong)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi, psi = x_c / n_c, x_w / n_w
        half = _z(level) * np.sqrt(p_star_variance_delta(phi, psi, n_c, n_w))
        middle = phi / (phi + psi)
    return (middle - half)[()], (middle + half)[()]


def p_star_variance_delta(phi: ArrayLike, psi: ArrayLike, correct: ArrayLike, wrong: ArrayLike) -> FloatArray:
    """First-order variance of p*^: (p*(1-p*))^2 [(1-phi)/(n_c phi) + (1-psi)/(n_w psi)].

    Written as [psi^2 phi(1-phi)/n_c + phi^2 psi(1-psi)/n_w]/(phi+psi)^4, which is right at psi = 0 too.
    """
    phi, psi, n_c, n_w = map(np.asarray, (phi, psi, correct, wrong))
    spread = psi**2 * phi * (1 - phi) / n_c + phi**2 * psi * (1 - psi) / n_w
    return (spread / (phi + psi) ** 4)[()]


def margin_variance_delta(p: ArrayLike, phi: ArrayLike, psi: ArrayLike, size: ArrayLike) -> FloatArray:
    """First-order variance of p*^ - p^ in an audit of `size` rows drawn at random: Var(p*^) + p(1-p)/M."""
    p, size = np.asarray(p), np.asarray(size)
    return p_star_variance_delta(phi, psi, (1 - p) * size, p * size) + p * (1 - p) / size


def logit_precision_variance_delta(kept_correct: ArrayLike, kept_wrong: ArrayLike) -> FloatArray:
    """First-order variance of logit rho^: 1/x_c + 1/x_w."""
    return (1 / np.asarray(kept_correct, dtype=float) + 1 / np.asarray(kept_wrong, dtype=float))[()]


def difference_interval(
    first: ArrayLike,
    first_ends: Interval,
    second: ArrayLike,
    second_ends: Interval,
    correlation: ArrayLike = 0.0,
) -> Interval:
    """Interval for first - second from an interval for each: the distances to their ends, added as variances are.

    low = d - sqrt(a^2 + b^2 - 2 r a b) with a = first - low of first, b = high of second - second; the high end
    likewise with the other distances. Keeps the ends' asymmetry, and needs no variance at empty cells.
    Source: Zou and Donner, Statist. Med. 27 (2008), Eq. 10 (MOVER).
    """
    first, second, r = np.asarray(first), np.asarray(second), np.asarray(correlation)

    def distance(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.sqrt(np.maximum(a**2 + b**2 - 2 * r * a * b, 0.0))

    low = first - second - distance(first - first_ends[0], second_ends[1] - second)
    high = first - second + distance(first_ends[1] - first, second - second_ends[0])
    return low[()], high[()]


def _chi_squared(s: FloatArray, x_c, n_c, x_w, n_w) -> FloatArray:
    """Koopman's statistic at p* = s.

    The constrained fit solves A psi^2 + B psi + C = 0 with R = s/(1-s); here it is multiplied by 1-s and solved
    for 1/psi, which cancels nowhere and treats phi and psi alike.
    """
    b = n_c * s + x_c * (1 - s) + n_w * (1 - s) + x_w * s
    root = np.sqrt(np.maximum(b**2 - 4 * (n_c + n_w) * s * (x_c + x_w) * (1 - s), 0.0))
    scale = 2 * (x_c + x_w) / np.where(b + root > 0, b + root, 1.0)
    return _term(x_c, n_c, s * scale) + _term(x_w, n_w, (1 - s) * scale)


def _term(x, n, rate) -> FloatArray:
    variance = n * rate * (1 - rate)
    return np.where(variance > 0, (x - n * rate) ** 2 / np.where(variance > 0, variance, 1.0), 0.0)


def _table(*counts: ArrayLike) -> tuple[FloatArray, ...]:
    """The four counts as arrays of one shape."""
    x_c, n_c = _counts("kept_correct", counts[0], "correct", counts[1])
    x_w, n_w = _counts("kept_wrong", counts[2], "wrong", counts[3])
    return tuple(np.broadcast_arrays(x_c, n_c, x_w, n_w))


def _counts(
    name: str, part: ArrayLike, name_of_whole: str, whole: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    x, n = nonnegative(name, part), nonnegative(name_of_whole, whole)
    require(x <= n, name, f"<= {name_of_whole}", part)
    return x, n


def _tail(level: float) -> float:
    value = real("level", level)
    require((value > 0) & (value < 1), "level", "in (0, 1)", level)
    return float(1 - value) / 2


def _z(level: float) -> float:
    return -float(special.ndtri(_tail(level)))
