"""What some rows say: rates, intervals, and the verdict on whether p lies below p*."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from simcollapse.auditing import design
from simcollapse.auditing.tally import Evidence
from theory.breakdown import decision, intervals

SAFE, COLLAPSE, UNDECIDED = VERDICTS = ("safe", "collapse", "undecided")  # in the order of the exit codes

Ends = tuple[float, float]


class Method(NamedTuple):
    """How to judge."""

    level: float = 0.95  # of each two-sided interval, and of the verdict
    exact: bool = False  # intervals that cover everywhere, in place of score intervals
    sequential: bool = False  # a verdict that may be looked at after every label

    @property
    def alpha(self) -> float:
        """Chance of a wrong verdict that is accepted, both ways together."""
        return 1 - self.level


@dataclass(frozen=True)
class Estimates:
    """Rates of some rows with their intervals; NaN where nothing was seen of one. Ends of intervals are finite."""

    rows: int
    correct: int
    wrong: int
    kept: int
    kept_correct: int
    kept_wrong: int
    p: float  # share of wrong rows
    phi: float  # kept among correct
    psi: float  # kept among wrong
    keep_rate: float
    precision: float  # correct among kept
    p_star: float  # phi/(phi+psi)
    margin: float  # p_star - p
    intervals: dict[str, Ends]  # of each rate above and of the margin
    level: float  # of the intervals and the verdict
    p_value: float  # of precision = 1/2, two-sided; always valid if sequential
    effective_kept: float  # kept rows of equal weight, independent, that would tell as much
    verdict: str  # safe: p < p*, collapse: p > p*, undecided


def estimate(found: Evidence, method: Method) -> Estimates:
    """Everything about these rows.

    The verdict is the exact sign test of precision = 1/2 among the kept rows (p < p* exactly where precision >
    1/2), each side at (1-level)/2; of a weighted or clustered audit on effective counts, which is approximate.
    """
    rates = design.rates(found)
    effect = {name: design.design_effect(found, name, method.level) for name in design.NAMES}
    kept = design.count(found, "precision") / effect["precision"]
    precise = (0.0 if kept == 0 else rates.precision * kept, kept)
    p_value = _p_value(*precise, method)
    ends = _intervals(found, rates, effect, precise, method)
    n = found.n.astype(int)
    return Estimates(
        rows=int(n.sum()),
        correct=int(n[1].sum()),
        wrong=int(n[0].sum()),
        kept=int(n[:, 1].sum()),
        kept_correct=int(n[1, 1]),
        kept_wrong=int(n[0, 1]),
        **rates._asdict(),
        margin=rates.p_star - rates.p,
        intervals=ends,
        level=method.level,
        p_value=p_value,
        effective_kept=kept,
        verdict=verdict_of(p_value, rates.precision, method.alpha),
    )


def verdict_of(p_value: float, precision: float, alpha: float) -> str:
    """safe or collapse where the two-sided p-value is at most alpha."""
    if not p_value <= alpha:
        return UNDECIDED
    return SAFE if precision > 0.5 else COLLAPSE


def _p_value(kept_correct: float, kept: float, method: Method) -> float:
    if method.sequential:
        return float(np.exp(min(0.0, -float(decision.mixture_log_wealth(kept_correct, kept)))))
    return min(1.0, 2 * float(min(decision.sign_test(kept_correct, kept))))


def _intervals(
    found: Evidence, rates: design.Rates, effect: dict, precise, method: Method
) -> dict[str, Ends]:
    level = method.level
    if method.sequential:
        precision = decision.confidence_sequence(*precise, level=level)
    else:
        precision = intervals.clopper_pearson(*precise, level=level)
    simple: Any = intervals.clopper_pearson if method.exact else intervals.wilson

    def ends(name: str, at: float) -> Ends:
        number = design.count(found, name) / effect[name]
        share = getattr(rates, name)
        return _pair(simple(0.0 if number == 0 else share * number, number, level=at))

    def p_star(at: float) -> Ends:
        n_c, n_w = (design.count(found, name) / effect["p_star"] for name in ("phi", "psi"))
        x_c, x_w = (0.0 if not n else rate * n for rate, n in ((rates.phi, n_c), (rates.psi, n_w)))
        form: Any = intervals.p_star_interval_exact if method.exact else intervals.p_star_interval_score
        return _pair(form(x_c, n_c, x_w, n_w, level=at))

    found_ends = {name: ends(name, level) for name in ("p", "phi", "psi", "keep_rate")}
    found_ends["precision"] = _pair(precision)
    found_ends["p_star"] = p_star(level)
    found_ends["margin"] = _margin(found, rates, found_ends, ends, p_star, method)
    return found_ends


def _margin(found: Evidence, rates: design.Rates, known: dict, ends, p_star, method: Method) -> Ends:
    """Of p* - p: MOVER from the two score intervals; exact, or without an estimate of p*, Bonferroni."""
    if method.exact or not math.isfinite(rates.p_star):
        half = 1 - method.alpha / 2
        (low, high), (least, most) = p_star(half), ends("p", half)
        return low - most, high - least
    together = design.correlation(found)
    return _pair(
        intervals.difference_interval(
            rates.p_star, known["p_star"], rates.p, known["p"], correlation=together
        )
    )


def _pair(ends) -> Ends:
    return float(ends[0]), float(ends[1])
