"""A paper's claim against what was measured: agreement is computed from the numbers, never stated.

Each function below makes one claim's row. "Measured" carries two standard errors; what was asked of it stands
beside it in words.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from simcollapse.reproduce.estimates import Estimate

SURE = 3.0  # standard errors that "is below" or "is above" must clear: wrong by chance once in 700
FALSE_ALARM = 1e-4  # chance that one "never" fails although it is true, whatever the number of comparisons
RESAMPLES, BOOTSTRAP_SEED = 2_000, 20406  # of a bootstrap interval: the same data give the same interval


class Claim(NamedTuple):
    """One row of the table."""

    picture: str
    statement: str
    source: str
    measured: str
    wanted: str
    agrees: bool
    value: float
    error: float  # one standard error, NaN where the value has none
    unclear: bool = False  # it does not agree, but the standard error is too large to say that it is false
    qualifier: str = ""  # what a published statement needs to hold, where it does not hold as it stands

    @property
    def verdict(self) -> str:
        """yes, NO or unclear."""
        return "yes" if self.agrees else "unclear" if self.unclear else "NO"


def below(
    statement: str, source: str, quantity: str, got: Estimate, limit: float, *, percent: bool = False
) -> Claim:
    """The quantity is below `limit`, by more than `SURE` standard errors."""
    agrees, unclear = got.value + SURE * got.error < limit, got.value - SURE * got.error < limit
    wanted = f"below {_number(limit, percent)}"
    return _claim(statement, source, quantity, got, wanted, agrees, percent, unclear)


def above(
    statement: str, source: str, quantity: str, got: Estimate, limit: float, *, percent: bool = False
) -> Claim:
    """The quantity is above `limit`, by more than `SURE` standard errors."""
    agrees, unclear = got.value - SURE * got.error > limit, got.value + SURE * got.error > limit
    wanted = f"above {_number(limit, percent)}"
    return _claim(statement, source, quantity, got, wanted, agrees, percent, unclear)


def never_above(
    statement: str,
    source: str,
    quantity: str,
    got: Estimate,
    limit: float,
    comparisons: int,
    *,
    percent: bool = False,
) -> Claim:
    """The worst of so many comparisons does not exceed `limit` by more than chance explains."""
    z_max = z_limit(comparisons)
    agrees = got.value - z_max * got.error <= limit
    wanted = f"no more than {_number(limit, percent)} (beyond {z_max:.1f} standard errors)"
    return _claim(statement, source, quantity, got, wanted, agrees, percent)


def within(
    statement: str,
    source: str,
    quantity: str,
    got: Estimate,
    target: float,
    tolerance: float,
    *,
    percent: bool = False,
) -> Claim:
    """The quantity lies within `tolerance` of `target` with its two standard errors: too few chains fail too."""
    off = abs(got.value - target)
    agrees, unclear = off + 2 * got.error <= tolerance, off - SURE * got.error <= tolerance
    wanted = f"{_number(target, percent)} to within {_number(tolerance, percent)}"
    return _claim(statement, source, quantity, got, wanted, agrees, percent, unclear)


def largest_z(statement: str, source: str, what: str, z: float, comparisons: int) -> Claim:
    """Points lie on a line: the largest of so many |z| is no larger than chance explains."""
    z_max = z_limit(comparisons)
    measured = f"largest |z| of {comparisons} {what} = {z:.1f}"
    return Claim("", statement, source, measured, f"below {z_max:.1f}", bool(z < z_max), z, float("nan"))


def all_of(statement: str, source: str, what: str, agreeing: int, total: int) -> Claim:
    """Every case agrees, and there are some."""
    share = agreeing / total if total else float("nan")
    measured = f"{agreeing} of {total} {what}"
    return Claim(
        "", statement, source, measured, "all of them", total > 0 and agreeing == total, share, float("nan")
    )


def z_limit(comparisons: int) -> float:
    """|z| that the largest of so many comparisons exceeds with chance `FALSE_ALARM` (Bonferroni, two-sided)."""
    return float(stats.norm.isf(FALSE_ALARM / (2 * comparisons)))


def _claim(statement, source, quantity, got, wanted, agrees, percent, unclear=False):
    measured = f"{quantity} = {with_error(got, percent=percent)}"
    unclear = bool(unclear and not agrees)
    return Claim("", statement, source, measured, wanted, bool(agrees), got.value, got.error, unclear)


def with_error(got: Estimate, *, percent: bool = False) -> str:
    """Value ± two standard errors, both to the same decimal place."""
    scale = 100 if percent else 1
    value, error = scale * got.value, 2 * scale * got.error
    decimals = 1
    while decimals < 6 and error < 1.0 * 10.0**-decimals:
        decimals += 1
    return f"{value:.{decimals}f} ± {error:.{decimals}f}{' %' if percent else ''}"


def _number(value, percent):
    return f"{100 * value:g} %" if percent else f"{value:g}"


def on_line(
    statement: str,
    source: str,
    what: str,
    deviation: np.ndarray,
    error: np.ndarray,
    tolerance: float,
) -> Claim:
    """Points lie on an approximate line: no deviation exceeds `tolerance` by more than chance explains.

    Points without a value (NaN) are left out; deviations and their standard errors have one shape.
    """
    there = np.isfinite(deviation)
    off, error = np.abs(deviation[there]), error[there]
    if off.size == 0:
        off, error = np.array([np.nan]), np.array([np.nan])
    worst = int(((off - tolerance) / error).argmax())
    got = Estimate(float(off[worst]), float(error[worst]))
    return never_above(statement, source, f"farthest of {off.size} {what}", got, tolerance, off.size)


def rank_correlation(
    statement: str, source: str, what: str, x: np.ndarray, y: np.ndarray, least: float
) -> Claim:
    """Spearman's rank correlation of x and y is at least `least`, with the lower end of its 95 % interval."""
    value, low, high = spearman(x, y)
    measured = f"Spearman correlation over {what} = {value:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    wanted = f"interval above {least:g}"
    agrees = bool(low > least)
    unclear = bool(high > least) and not agrees
    return Claim("", statement, source, measured, wanted, agrees, value, float("nan"), unclear)


def spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Spearman's rank correlation with the ends of its 95 % interval, by a BCa bootstrap over the pairs."""

    def correlation(a, b):
        return stats.spearmanr(a, b)[0]

    interval = stats.bootstrap(
        (x, y),
        correlation,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return float(correlation(x, y)), float(interval.low), float(interval.high)
