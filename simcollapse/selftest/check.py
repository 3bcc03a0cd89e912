"""What a check of this installation is, what it measures, and when a measurement is allowed.

Two kinds of measurement. Without randomness: an error against a limit of rounding. With it: a z-score or a
Kolmogorov-Smirnov gap, whose limit follows from FALSE_ALARM, the chance that a correct installation fails any of all
checks of a run; it is shared out equally over the checks that are random, then over a check's entries. Each of these
states its power: the smallest error that it misses with a probability of at most MISS.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from simcollapse.runs.limits import limit_of

FALSE_ALARM = 1e-6  # chance that a correct installation fails
MISS = 1e-3  # chance that an error of the stated size goes unseen
RANDOM_CHECKS = 8  # checks that share FALSE_ALARM; a test counts them
ALPHA = FALSE_ALARM / RANDOM_CHECKS  # share of one check

PASS, FAIL, NOTE = "pass", "FAIL", "note"


class Measurement(NamedTuple):
    """One line of the table."""

    what: str
    measured: float
    allowed: float | None  # None: worth knowing, and no fault
    words: str = ""  # the power, or what the number means
    measure: str = ""  # "z", "gap", or nothing where the number speaks for itself

    @property
    def verdict(self) -> str:
        if self.allowed is None:
            return NOTE
        return PASS if abs(self.measured) <= self.allowed else FAIL  # NaN fails


@dataclasses.dataclass(frozen=True)
class Check:
    """A check. `measure(True)` commits the error that `planted` names, and must see it."""

    name: str
    planted: str
    random: bool  # whether a correct installation may fail it by chance
    measure: Callable[[bool], Iterable[Measurement]]


class Outcome(NamedTuple):
    """A check that was made."""

    check: Check
    measurements: list[Measurement]
    error: str  # why it broke, "" if it did not
    elapsed_s: float

    @property
    def good(self) -> bool:
        return not self.error and all(m.verdict != FAIL for m in self.measurements)


def made(check: Check, *, planted: bool = False) -> Outcome:
    """The outcome of one check; an exception inside it is part of the outcome, so that the others still run."""
    begin, measurements, error = time.perf_counter(), [], ""
    try:
        measurements.extend(check.measure(planted))
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Outcome(check, measurements, error, time.perf_counter() - begin)


def means(what: str, samples: ArrayLike, expected: ArrayLike, entries: int) -> Measurement:
    """Largest |z| of the means over axis 0, entry by entry; the limit allows for the largest skewness seen.

    entries: of the whole check, over which its share of the false alarms is spread.
    """
    samples = np.asarray(samples, dtype=np.float64)
    mean, error = samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    skewness = float(np.max(np.abs(stats.skew(samples, axis=0))))
    limit = limit_of(ALPHA / entries, len(samples), skewness)
    z = np.asarray((mean - expected) / error)
    worst = z.flat[np.argmax(np.abs(z))] if np.isfinite(z).all() else math.nan
    seen = np.max((limit + stats.norm.isf(MISS)) * error / np.abs(expected))
    return Measurement(what, float(worst), limit, f"sees {seen:.2g} relative", "z")


def scores(what: str, z: ArrayLike, seen: str, entries: int) -> Measurement:
    """The largest of given z-scores, normal for a correct installation."""
    z = np.ravel(np.asarray(z, dtype=np.float64))
    worst = z[np.argmax(np.abs(z))] if np.isfinite(z).all() else math.nan
    return Measurement(what, float(worst), limit_of_scores(entries), seen, "z")


def limit_of_scores(entries: int) -> float:
    """Limit of |z|."""
    return float(stats.norm.isf(ALPHA / (2 * entries)))


def distribution(what: str, values: np.ndarray, cdf: Callable, entries: int) -> Measurement:
    """Kolmogorov-Smirnov gap of independent values, shape (N,), from a continuous law.

    P(gap >= t) <= 2 exp(-2 N t^2) under the law, and a true gap of t + u is missed with at most exp(-2 N u^2).
    Source: Massart 1990 (the constant 2 of the Dvoretzky-Kiefer-Wolfowitz inequality); Hoeffding 1963.
    """
    count = len(values)
    below = cdf(np.sort(np.asarray(values, dtype=np.float64)))
    steps = np.arange(count + 1) / count
    gap = max(np.max(steps[1:] - below), np.max(below - steps[:-1]))
    limit = math.sqrt(math.log(2 * entries / ALPHA) / (2 * count))
    seen = limit + math.sqrt(math.log(1 / MISS) / (2 * count))
    return Measurement(what, float(gap), limit, f"sees a gap of {seen:.2g}", "gap")
