"""Many looks at one audit: groups side by side, rounds one after the other, and labels to come.

Groups: Holm's step-down of the sign tests; their intervals are Bonferroni's, at 1 - alpha/G. The chance that any
group gets a wrong verdict is then at most alpha.
Rounds: round k is judged at alpha/(k(k+1)), which sums to at most alpha over any number of rounds, so looking
after every round is paid for without knowing how many will come. `so far` bets on all rounds up to k with the
beta-binomial mixture (Robbins 1970, Ville's inequality): valid however often one looks, if they share one precision.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simcollapse.auditing.estimates import UNDECIDED, Estimates, Method, estimate, verdict_of
from simcollapse.auditing.tally import evidence
from theory.breakdown import decision

POWER = 0.9  # with which the labels to come would decide; the sequential test is planned by its typical size
_EXACT_UP_TO = 3000  # rows; beyond, the continuity-corrected approximation is within 2 %


class Look(NamedTuple):
    """One group or round."""

    name: str
    estimates: Estimates  # at a level that pays for the other looks
    verdict: str  # corrected for looking at all of them
    so_far: str | None = None  # rounds: the always valid verdict on all rounds up to this


class MoreLabels(NamedTuple):
    """Labels that would decide with probability 0.9 if the precision is what it seems, or typically (about every
    second time) where the verdict is sequential; inf where it seems 1/2."""

    rows: float  # drawn as those so far
    kept: float  # or: of kept rows only, which is all that the verdict needs


def by_group(table: pd.DataFrame, method: Method) -> tuple[Look, ...]:
    """Every value of the column "group" of a tally's table, in order of name."""
    parts = [(str(name), part) for name, part in table.groupby("group")]
    parts.sort(key=lambda item: _order(item[0]))
    corrected = method._replace(level=1 - method.alpha / len(parts))
    found = [estimate(evidence(part), corrected) for _, part in parts]
    allowed = holm([e.p_value for e in found], method.alpha)
    return tuple(
        Look(name, e, verdict_of(e.p_value, e.precision, 1.0) if ok else UNDECIDED)
        for (name, _), e, ok in zip(parts, found, allowed, strict=True)
    )


def by_round(table: pd.DataFrame, method: Method) -> tuple[Look, ...]:
    """Every value of the column "round", numbers in their order, else in order of appearance."""
    names = [str(name) for name in table["round"].unique()]
    if all(_is_number(name) for name in names):
        names.sort(key=float)
    looks, correct, kept, decided, plain = [], 0.0, 0.0, UNDECIDED, True
    for k, name in enumerate(names, start=1):
        part: Any = table[table["round"] == name]
        sums = evidence(part)
        e = estimate(sums, method._replace(level=1 - method.alpha / (k * (k + 1))))
        correct, kept = correct + sums.n[1, 1], kept + sums.n[:, 1].sum()
        plain = plain and sums.simple  # once a round counts its rows unlike, what is pooled does too
        wealth = float(decision.mixture_log_wealth(correct, kept))
        if decided == UNDECIDED and kept:
            decided = verdict_of(math.exp(min(0.0, -wealth)), correct / kept, method.alpha)
        looks.append(Look(name, e, e.verdict, decided if plain else None))
    return tuple(looks)


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses Holm's step-down rejects, with the chance of any false rejection at most alpha."""
    order = np.argsort(p_values, kind="stable")
    out = [False] * len(p_values)
    for rank, index in enumerate(order):
        if not p_values[index] <= alpha / (len(p_values) - rank):
            break
        out[index] = True
    return out


def more_labels(found: Estimates, method: Method) -> MoreLabels:
    """How many more labels would decide, planned at the precision seen; (0, 0) where the verdict stands."""
    if found.verdict != UNDECIDED:
        return MoreLabels(0, 0)
    if not found.kept or found.precision == 0.5:
        return MoreLabels(math.inf, math.inf)
    needed = labels_needed(found.precision, method) * found.kept / found.effective_kept
    kept = max(1, math.ceil(needed - found.kept))
    return MoreLabels(math.ceil(kept / found.keep_rate), kept)


def labels_needed(share: float, method: Method) -> float:
    """Independent rows that show with probability `POWER` (sequentially: typically) where from 1/2 `share` lies."""
    share = max(share, 1 - share)
    if method.sequential:
        return decision.sequential_size(share, alpha=method.alpha)
    tail = method.alpha / 2
    about = decision.sign_test_size(share, alpha=tail, power=POWER, continuity=True)
    if about > _EXACT_UP_TO:
        return about
    return decision.sign_test_size_exact(share, alpha=tail, power=POWER).lasting


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _order(word: str) -> tuple[float, str]:
    return (float(word) if _is_number(word) else math.inf, word)
