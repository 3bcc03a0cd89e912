"""Audits of more than two classes: the plurality rule, class by class.

Among kept rows of true class k, the generated label k must be more frequent than every other label; then a
consistent learner is right on well separated classes. Decided for each class by exact sign tests against its
strongest rival, with Bonferroni over classes, and over rivals where one of them wins. Safe: every class is;
collapse: some class is lost. Source of the rule: theory/breakdown/classes.py.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from simcollapse.auditing.estimates import COLLAPSE, SAFE, UNDECIDED, Method
from simcollapse.auditing.looks import labels_needed
from simcollapse.auditing.tally import columns_of
from theory.breakdown import classes as theory
from theory.breakdown import decision


class ClassRow(NamedTuple):
    """Rows whose true class is `name`."""

    name: str
    rows: int
    kept: int
    kept_correct: int
    rival: str  # most frequent wrong label among the kept; "" if none was kept
    kept_rival: int
    verdict: str  # corrected for looking at every class
    majority: bool  # more than half of the kept are right: enough for every error pattern
    above_even: bool  # more than 1/K of the kept are right: necessary, and enough if errors are spread evenly

    @property
    def share(self) -> float:
        """Correct among kept, R_kk; NaN without kept rows."""
        return self.kept_correct / self.kept if self.kept else math.nan


class Classes(NamedTuple):
    """The audit of all classes."""

    labels: tuple[str, ...]  # all that occurred, true or generated
    rows: tuple[ClassRow, ...]  # of those that occurred as true labels
    verdict: str
    p_star_even: float  # breakdown point if errors were spread evenly over classes
    more_rows: float  # labels, drawn as those so far, that would decide; inf where a class is tied


def by_class(table: pd.DataFrame, p_star: float, method: Method) -> Classes:
    """Judge the columns "true" and "generated" of a tally's table; p_star is the two-class phi/(phi+psi)."""
    labels = sorted({*table["true"], *table["generated"]}, key=_order)
    place = {name: index for index, name in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels), 2), dtype=int)
    true, generated = (np.array([place[name] for name in table[column]]) for column in ("true", "generated"))
    for cell, column in enumerate(columns_of("n")):
        np.add.at(counts[:, :, cell % 2], (true, generated), table[column].to_numpy(dtype=int))
    present = np.flatnonzero(counts.sum(axis=(1, 2)))
    tail = method.alpha / 2 / len(present)
    rows = tuple(_judge(int(index), counts[index], labels, tail) for index in present)
    verdicts = {row.verdict for row in rows}
    verdict = COLLAPSE if COLLAPSE in verdicts else UNDECIDED if UNDECIDED in verdicts else SAFE
    even = (
        math.nan
        if math.isnan(p_star) or len(labels) < 2
        else float(theory.p_star_for_classes(p_star, len(labels)))
    )
    more = _more_rows(rows, int(counts.sum()), tail) if verdict == UNDECIDED else 0
    return Classes(tuple(labels), rows, verdict, even, more)


def _judge(index: int, counts: np.ndarray, labels: list[str], tail: float) -> ClassRow:
    """One class; counts, shape (K, 2), are its rows by generated label and by whether they were kept."""
    kept = counts[:, 1]
    others = np.where(np.arange(len(labels)) == index, -1, kept)
    best = int(others.argmax())
    right, rival = int(kept[index]), max(0, int(others[best]))
    wins, loses = decision.sign_test(right, right + rival)
    verdict = SAFE if wins <= tail else COLLAPSE if (len(labels) - 1) * loses <= tail else UNDECIDED
    total = int(kept.sum())
    return ClassRow(
        name=labels[index],
        rows=int(counts.sum()),
        kept=total,
        kept_correct=right,
        rival=labels[best] if rival else "",
        kept_rival=rival,
        verdict=verdict,
        majority=2 * right > total,
        above_even=len(labels) * right > total,
    )


def _more_rows(rows: tuple[ClassRow, ...], total: int, tail: float) -> float:
    """What the undecided class that needs most needs, drawn as the audit was."""
    most = 0.0
    for row in rows:
        pair = row.kept_correct + row.kept_rival
        if row.verdict != UNDECIDED:
            continue
        if not pair or row.kept_correct == row.kept_rival:
            return math.inf
        needed = labels_needed(row.kept_correct / pair, Method(level=1 - 2 * tail))
        most = max(most, max(1.0, needed - pair) * total / pair)
    return math.ceil(most)


def _order(name: str) -> tuple[float, str]:
    try:
        number = float(name)
    except ValueError:
        number = math.inf
    return (number if math.isfinite(number) else math.inf, name)
