"""An audit in plain words: what was computed how, what the verdict means, what to know about it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcollapse.auditing.estimates import COLLAPSE, SAFE, UNDECIDED, Estimates, Method
from simcollapse.auditing.looks import Look
from simcollapse.auditing.tally import Evidence

if TYPE_CHECKING:
    from simcollapse.auditing.multiclass import Classes
    from simcollapse.auditing.report import Report

FEW_CLUSTERS = 30


def methods(
    found: Evidence, method: Method, *, groups: bool, rounds: bool, classes: bool, curve: bool
) -> dict[str, str]:
    """Name of the method behind each number that has one."""
    exact, sequential = method.exact, method.sequential
    counted = "exact" if found.simple else "on effective counts"
    out = {
        "p_star": "Bonferroni of two Clopper-Pearson intervals, exact"
        if exact
        else "Miettinen-Nurminen score interval of phi/psi",
        "margin": "Bonferroni of the exact intervals"
        if exact
        else "MOVER from the score intervals of p* and p",
        "rates": "Clopper-Pearson" if exact else "Wilson score",
        "precision": "beta-binomial confidence sequence (Robbins), always valid"
        if sequential
        else f"Clopper-Pearson, {counted}",
        "verdict": "always valid beta-binomial test of precision = 1/2 (Robbins)"
        if sequential
        else f"sign test of precision = 1/2 on the kept rows, {counted}",
    }
    if found.clusters is not None:
        out["design"] = (
            f"cluster-robust over {len(found.clusters)} clusters, as effective counts: approximate"
        )
    elif not found.simple:
        out["design"] = "weighted rates, linearised variances as effective counts: approximate"
    if classes:
        out["verdict"] = "plurality in every class: exact sign tests against the strongest rival, Bonferroni"
    if curve:
        out["curve"] = "exact sign tests, Bonferroni over thresholds"
    if groups:
        out["groups"] = "Holm over groups; intervals are Bonferroni's"
    if rounds:
        out["rounds"] = "round k at alpha/(k(k+1)); so far: Robbins' always valid test"
    return out


def explain(report: "Report") -> str:
    """One sentence on the verdict."""
    e = report.estimates
    low, high = e.intervals["precision"]
    ends = f"{percent(e.precision)}, {percent(low)} to {percent(high)}"
    share = f"{e.kept_correct} of {e.kept} kept rows are correct ({ends})"
    if report.classes is not None:
        lost = [row.name for row in report.classes.rows if row.verdict == COLLAPSE]
        open_ = [row.name for row in report.classes.rows if row.verdict == UNDECIDED]
        if report.verdict == COLLAPSE:
            return f"Kept rows of class {', '.join(lost)} carry a wrong label more often than the true one; {share}."
        if report.verdict == SAFE:
            return f"In every class the kept rows carry the true label more often than any other; {share}."
        return f"Not enough kept rows to say which label wins in class {', '.join(open_)}; {share}."
    if report.verdict == SAFE:
        return f"Training on the kept rows teaches what is right: {share}, so p lies below p*."
    if report.verdict == COLLAPSE:
        return f"Training on the kept rows teaches what is wrong: {share}, so p lies above p*."
    return f"Not enough labels to say on which side of p* the generator is: {share}."


def notes(
    found: Evidence,
    e: Estimates,
    method: Method,
    groups: Sequence[Look],
    rounds: Sequence[Look],
    verdict: str,
    classes: "Classes | None" = None,
) -> tuple[str, ...]:
    """What to know about the numbers, one note each."""
    out = []
    if e.kept == e.rows:
        out.append(
            "every row is kept: the verifier filters nothing, and p* is near 1/2 whatever the generator"
        )
    if not e.wrong:
        out.append(
            "no row is wrong: psi is unknown, and the interval of p* is one-sided (its upper end is 1)"
        )
    elif not e.correct:
        out.append(
            "no row is correct: phi is unknown, and the interval of p* is one-sided (its lower end is 0)"
        )
    elif not e.kept_wrong:
        out.append("no wrong row is kept: the interval of p* is one-sided (its upper end is 1)")
    elif not e.kept_correct:
        out.append("no correct row is kept: the interval of p* is one-sided (its lower end is 0)")
    if classes is not None and len(classes.labels) > 2:
        number, even = len(classes.labels), classes.p_star_even
        words = "p, p* and the picture are those of two kinds of rows, correct and wrong; "
        words += f"if errors were spread evenly over {number} classes, p* is "
        out.append(f"{words}{'unknown' if math.isnan(even) else f'{even:.4f}'}")
    if found.clusters is not None and len(found.clusters) < FEW_CLUSTERS:
        out.append(
            f"only {len(found.clusters)} clusters: with fewer than {FEW_CLUSTERS} the intervals are rough"
        )
    low, high = e.intervals["margin"]
    if e.verdict == UNDECIDED and (low > 0 or high < 0):
        out.append("the interval of the margin leaves out 0, but the exact test, which decides, does not")
    if e.verdict != UNDECIDED and low <= 0 <= high:
        out.append("the interval of the margin holds 0, but the kept rows alone, which decide, tell the side")
    if verdict == e.verdict == UNDECIDED and not method.sequential and found.simple:
        out.append(
            "labelling on until it decides needs the sequential verdict (sequential=True, --sequential)"
        )
    if method.sequential:
        out.append(
            "verdict and interval of the precision hold at every look; the other intervals hold at one look"
        )
    for kind, looks in (("group", groups), ("round", rounds)):
        lost = [look.name for look in looks if look.verdict == COLLAPSE]
        if lost and verdict != COLLAPSE:
            out.append(f"{kind} {', '.join(lost)} collapses, though all rows together do not")
    return tuple(out)


def percent(share: float) -> str:
    """A share as a percentage; "unknown" for NaN."""
    return "unknown" if math.isnan(share) else f"{100 * share:.1f} %"
