"""Verifier scores instead of decisions: p* along the threshold, and the one that keeps most while it is safe."""

from typing import NamedTuple

import numpy as np

from simcollapse.auditing.estimates import COLLAPSE, SAFE, UNDECIDED, Method
from theory.breakdown import decision, intervals

STEPS = 20  # keep rates 5 %, 10 %, …, 100 %


class Curve(NamedTuple):
    """One entry for each threshold, strictest first: a row is kept where its score is >= threshold."""

    threshold: np.ndarray
    kept: np.ndarray
    kept_correct: np.ndarray
    phi: np.ndarray
    psi: np.ndarray
    p_star: np.ndarray  # NaN without wrong rows or correct ones
    low: np.ndarray  # interval of p*
    high: np.ndarray
    precision: np.ndarray
    verdict: tuple[str, ...]  # corrected for looking at all thresholds
    rows: int
    p: float
    best: int | None  # the entry that keeps most while safe

    @property
    def keep_rate(self) -> np.ndarray:
        """Kept over rows."""
        return self.kept / self.rows


def curve(score: np.ndarray, correct: np.ndarray, method: Method) -> Curve:
    """Judge the thresholds that keep 5 %, 10 %, … of these rows, ties included.

    The thresholds depend on scores alone, so given them the labels are independent; each is judged at alpha/J
    with J thresholds (Bonferroni), and the intervals of p* hold together too. That the rows kept have unlike chances
    to be correct only makes the sign test conservative (Hoeffding 1956).
    """
    total = len(score)
    ranks = np.ceil(np.arange(1, STEPS + 1) * total / STEPS).astype(int)  # how many each wants to keep
    threshold = np.unique(np.partition(score, total - ranks)[total - ranks])[::-1]
    kept = np.array([np.count_nonzero(score >= at) for at in threshold])
    n_c, x_c = (
        int(np.count_nonzero(correct)),
        np.array([np.count_nonzero(correct & (score >= at)) for at in threshold]),
    )
    n_w, x_w = total - n_c, kept - x_c
    level = 1 - method.alpha / len(threshold)
    form = intervals.p_star_interval_exact if method.exact else intervals.p_star_interval_score
    low, high = form(x_c, n_c, x_w, n_w, level=level)
    wins, loses = decision.sign_test(x_c, kept)
    verdict = np.where(wins <= (1 - level) / 2, SAFE, np.where(loses <= (1 - level) / 2, COLLAPSE, UNDECIDED))
    safe = np.flatnonzero(verdict == SAFE)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi, psi = np.divide(x_c, n_c), np.divide(x_w, n_w)
        p_star = phi / (phi + psi)
    return Curve(
        threshold=threshold,
        kept=kept,
        kept_correct=x_c,
        phi=phi,
        psi=psi,
        p_star=p_star,
        low=low,
        high=high,
        precision=x_c / kept,
        verdict=tuple(str(word) for word in verdict),
        rows=total,
        p=n_w / total,
        best=int(safe[-1]) if len(safe) else None,
    )


def overall(found: Curve) -> str:
    """safe if some threshold is, collapse if every one collapses."""
    if found.best is not None:
        return SAFE
    return COLLAPSE if set(found.verdict) == {COLLAPSE} else UNDECIDED
