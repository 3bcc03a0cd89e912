"""Audits of a verifier: intervals, tests, more than two classes. NumPy draws of decisions; no simulator."""

import numpy as np

import theory
from simcollapse.theorems.evidence import RATE, at_most, equal_means
from simcollapse.theorems.theorem import Theorem

bd = theory.breakdown

AUDITS = 20_000


def _coverage(planted):
    """Audits that the interval of level 95 % misses: at most 5 %."""
    rng = np.random.default_rng(51)
    for phi, psi, correct, wrong in ((0.9, 0.1, 12, 6), (0.7, 0.5, 20, 30), (0.97, 0.02, 60, 40)):
        kept = rng.binomial(correct, phi, AUDITS), rng.binomial(wrong, psi, AUDITS)
        cells = (kept[0], correct, kept[1], wrong)
        low, high = bd.p_star_interval_exact(*(cells[2:] + cells[:2] if planted else cells))
        p_star = float(bd.breakdown_point(phi, psi))
        missed = ((low > p_star) | (high < p_star)).astype(float)
        yield at_most(f"phi {phi:g}, psi {psi:g}, {correct} and {wrong} labels", missed, 0.05)


COVERAGE = Theorem(
    name="exact-interval-covers",
    statement="The Bonferroni interval of p* from two Clopper-Pearson intervals covers p* with at least its level, for "
    "any rates and any numbers of labels.",
    source="classical (Clopper and Pearson 1934); theory.breakdown.p_star_interval_exact",
    assumptions="Correct and wrong rows labelled independently of each other, their numbers given.",
    strategy=f"NumPy draws of {AUDITS} audits at three settings: the share of misses is not above 5 %; "
    + RATE
    + ".",
    planted="right and wrong rows exchanged",
    check=_coverage,
)


def _size(planted):
    rng = np.random.default_rng(52)
    for rho in (0.6, 0.7, 0.9):
        size = bd.sign_test_size_exact(rho, alpha=0.025, power=0.9)
        rows = size.first if not planted else size.first // 2
        found = rng.binomial(rows, rho, AUDITS)
        decided = bd.sign_test(found, np.full(AUDITS, rows))[0] <= 0.025
        expected = size.power
        yield equal_means(f"precision {rho:g}, {rows} kept labels", decided.astype(float), expected)


SIZE = Theorem(
    name="labels-that-decide",
    statement="The exact sign test of precision = 1/2, which is p = p*, decides with the stated power at the stated "
    "number of kept labels.",
    source="classical; theory.breakdown.sign_test_size_exact",
    assumptions="Kept rows labelled independently, one precision.",
    strategy=f"NumPy draws of {AUDITS} audits of that size: share decided by z-score; " + RATE + ".",
    planted="half as many labels",
    check=_size,
)


def _always(planted):
    """Looking after every label, with the chance of any false verdict."""
    rng = np.random.default_rng(53)
    audits, rows, level = 4000, 400, 0.05
    right = np.cumsum(rng.random((audits, rows)) < 0.5, axis=1)
    seen = np.arange(1, rows + 1)
    if planted:
        decided = (
            np.min(bd.sign_test(right, np.broadcast_to(seen, right.shape)), axis=0).min(axis=1) <= level / 2
        )
    else:
        decided = bd.mixture_log_wealth(right, seen).max(axis=1) >= np.log(1 / level)
    yield at_most(f"{rows} looks at precision 1/2", decided.astype(float), level)


ALWAYS = Theorem(
    name="looking-at-every-label",
    statement="The beta-binomial bet against precision = 1/2 reaches 1/alpha with chance at most alpha, though one "
    "looks after every label and stops at will.",
    source="classical (Ville 1939, Robbins 1970); theory.breakdown.mixture_log_wealth",
    assumptions="Kept rows labelled independently, precision 1/2.",
    strategy=f"NumPy draws of 4000 audits with 400 looks: the share that is ever decided is not above alpha; {RATE}.",
    planted="the fixed-sample sign test at every look",
    check=_always,
)


def _plurality(planted):
    rng = np.random.default_rng(54)
    for classes, phi, psi in ((3, 0.8, 0.4), (10, 0.5, 0.6)):
        p = float(bd.p_star_classes(phi, psi, classes if not planted else 2))
        rows = 4_000_000
        wrong = rng.random(rows) < p
        kept = rng.random(rows) < np.where(wrong, psi, phi)
        rival = wrong & (rng.integers(1, classes, rows) == 1)  # one of the wrong classes
        lead = (kept & ~wrong).astype(float) - (kept & rival)
        yield equal_means(f"{classes} classes", lead, 0.0)


PLURALITY = Theorem(
    name="breakdown-of-many-classes",
    statement="With K classes and errors spread evenly the kept labels lose their plurality at p*_K = (K-1) phi/((K-1) "
    "phi + psi), beyond the two-class p*: there the true label is kept as often as each wrong one.",
    source="derived here; theory.breakdown.p_star_classes",
    assumptions="Every wrong class alike; verdicts depend on correctness alone.",
    strategy="4,000,000 NumPy draws at p*_K: lead of the true label over one rival by z-score, zero; "
    + RATE
    + ".",
    planted="p lies at the two-class p*",
    check=_plurality,
)
