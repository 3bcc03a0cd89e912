"""Intervals for p*: golden table, an independent solution in many digits, limits, symmetry."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from theory.breakdown import intervals

# BREAKDOWN.md F-D1, ten decimals.
GOLDEN = {
    (170, 200, 30, 100): {
        "wald": (0.6803218157, 0.7979390538),
        "katz": (0.6762204464, 0.7935488891),
        "koopman": (0.6807196148, 0.7959594201),
        "score": (0.6806245142, 0.7960492068),
        "precision": (0.7928412963, 0.8964504765),
    },
    (45, 50, 3, 20): {
        "wald": (0.7288954574, 0.9853902569),
        "katz": (0.6779585104, 0.9447531961),
        "koopman": (0.712599065, 0.9451793051),
        "score": (0.711591025, 0.945549575),
        "precision": (0.8280400692, 0.9869207556),
    },
    (9, 10, 0, 5): {
        "wald": (1.0, 1.0),
        "katz": (0.0, 1.0),
        "koopman": (0.668341512, 1),
        "score": (0.6588444056, 1),
        "precision": (0.6637328831, 1),
    },
    (700, 900, 20, 100): {
        "wald": (0.7314221314, 0.8594869595),
        "katz": (0.7240375069, 0.8521631545),
        "koopman": (0.728851491, 0.853804241),
        "score": (0.7288178084, 0.853830081),
        "precision": (0.9574243568, 0.9829518402),
    },
}
LAST_DIGIT = 5.1e-11
FORMS = {
    "wald": intervals.p_star_interval_wald,
    "katz": intervals.p_star_interval_katz,
    "koopman": lambda *table: intervals.p_star_interval_score(*table, corrected=False),
    "score": intervals.p_star_interval_score,
    "precision": lambda x_c, _, x_w, __: intervals.clopper_pearson(x_c, x_c + x_w),
}
tables = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", GOLDEN)
def test_golden_intervals(table, form):
    assert FORMS[form](*table) == pytest.approx(GOLDEN[table][form], abs=LAST_DIGIT)


def test_golden_variances():
    p_star = intervals.p_star_variance_delta(0.85, 0.3, 200, 100)
    margin = intervals.margin_variance_delta(1 / 3, 0.85, 0.3, 300)
    logit = intervals.logit_precision_variance_delta(170, 30)
    assert np.sqrt([p_star, margin, logit]) == pytest.approx(
        [0.030004948831, 0.040509723463, 0.198029508595], abs=5.1e-13
    )
    assert 300 * intervals.p_star_variance_delta(0.8, 0.4, 210, 90) == pytest.approx(
        0.26455026455, abs=5.1e-12
    )


def test_all_tables_at_once_are_the_tables_one_by_one():
    columns = np.array(list(GOLDEN), dtype=float).T
    for form in (intervals.p_star_interval_score, intervals.p_star_interval_exact):
        together = np.array(form(*columns))
        alone = np.array([form(*table) for table in GOLDEN]).T
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(("x", "n"), [(170, 200), (720 - 20, 720), (3, 48), (1, 4)])
def test_clopper_pearson_solves_the_binomial_tails(x, n):
    with mp.workdps(30):
        low, high = (mp.mpf(float(end)) for end in intervals.clopper_pearson(x, n))
        at_least = mp.betainc(x, n - x + 1, 0, low, regularized=True)
        at_most = mp.betainc(n - x, x + 1, 0, 1 - high, regularized=True)
    # the ends carry a relative rounding of 1e-15, which the tails magnify by about n
    assert float(at_least) == pytest.approx(0.025, rel=1e-14 * n)
    assert float(at_most) == pytest.approx(0.025, rel=1e-14 * n)


def test_wilson_is_scipys():
    for x, n in ((0, 7), (3, 9), (9, 9), (55, 120)):
        known = stats.binomtest(x, n).proportion_ci(method="wilson")
        assert intervals.wilson(x, n) == pytest.approx((known.low, known.high), abs=1e-14)


@given(tables)
def test_the_ends_have_the_likelihood_that_koopman_asks_for(table):
    """Independent: maximise the two binomial log likelihoods along phi/(phi+psi) = s by brute force."""
    x_c, n_c, x_w, n_w = table
    z2 = stats.norm.isf(0.025) ** 2
    for end, extreme in zip(FORMS["koopman"](*table), (0.0, 1.0), strict=True):
        if end == extreme:
            assert x_c == 0 if extreme == 0 else x_w == 0
            continue
        t = np.linspace(0, 1, 200_001)[1:-1]  # phi = t s/max(s, 1-s), psi = t (1-s)/max(s, 1-s)
        phi, psi = t * end / max(end, 1 - end), t * (1 - end) / max(end, 1 - end)
        best = np.argmax(stats.binom.logpmf(x_c, n_c, phi) + stats.binom.logpmf(x_w, n_w, psi))
        a, b = phi[best], psi[best]
        statistic = (x_c - n_c * a) ** 2 / (n_c * a * (1 - a)) + (x_w - n_w * b) ** 2 / (n_w * b * (1 - b))
        # grid of 5e-6: near t = 1 a variance n(1-t) is known to no better than 5e-6/(1-t)
        assert statistic == pytest.approx(z2, rel=0.02 if t[best] < 0.999 else 0.3)


@given(tables)
def test_swapping_right_and_wrong_mirrors_the_interval(table):
    x_c, n_c, x_w, n_w = table
    for form in (
        intervals.p_star_interval_score,
        intervals.p_star_interval_exact,
        intervals.p_star_interval_katz,
    ):
        low, high = form(x_c, n_c, x_w, n_w)
        other_low, other_high = form(x_w, n_w, x_c, n_c)
        assert (low, high) == pytest.approx((1 - other_high, 1 - other_low), abs=1e-12)


@given(tables)
def test_intervals_hold_the_estimate_and_grow_with_the_level(table):
    x_c, n_c, x_w, n_w = table
    for form in (intervals.p_star_interval_score, intervals.p_star_interval_exact):
        low, high = form(*table)
        wide_low, wide_high = form(*table, level=0.99)
        assert 0 <= wide_low <= low <= high <= wide_high <= 1
        if x_c + x_w:
            estimate = (x_c / n_c) / (x_c / n_c + x_w / n_w)
            assert low - 1e-12 <= estimate <= high + 1e-12


def test_nothing_seen_says_nothing():
    for form in (intervals.p_star_interval_score, intervals.p_star_interval_exact):
        assert form(0, 5, 0, 5) == (0, 1)
        assert form(0, 0, 0, 0) == (0, 1)
    assert intervals.clopper_pearson(0, 0) == intervals.wilson(0, 0) == (0, 1)


def test_without_wrong_rows_the_interval_is_that_of_phi():
    low, high = FORMS["koopman"](9, 10, 0, 0)
    phi = intervals.wilson(9, 10)[0]
    assert (low, high) == pytest.approx((phi / (1 + phi), 1), abs=1e-14)
    low, high = intervals.p_star_interval_exact(9, 10, 0, 0)
    phi = intervals.clopper_pearson(9, 10)[0]
    assert (low, high) == pytest.approx((phi / (1 + phi), 1), abs=1e-14)


def test_large_audits_have_the_delta_interval():
    n_c, n_w, phi, psi = 6e6, 4e6, 0.8, 0.3
    low, high = intervals.p_star_interval_score(phi * n_c, n_c, psi * n_w, n_w)
    half = stats.norm.isf(0.025) * np.sqrt(intervals.p_star_variance_delta(phi, psi, n_c, n_w))
    # the next order is 1/sqrt(n) of the half-width
    assert [low, high] == pytest.approx([8 / 11 - half, 8 / 11 + half], abs=half * 2e-3)


def test_mover_of_symmetric_intervals_adds_the_squares():
    ends = intervals.difference_interval(0.7, (0.6, 0.8), 0.3, (0.26, 0.34))
    assert ends == pytest.approx((0.4 - np.hypot(0.1, 0.04), 0.4 + np.hypot(0.1, 0.04)))
    ends = intervals.difference_interval(0.7, (0.6, 0.8), 0.3, (0.26, 0.34), correlation=1.0)
    assert ends == pytest.approx((0.34, 0.46))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3, 2, 0, 1), "kept_correct must be <= correct"),
        ((1, 2, 2, 1), "kept_wrong must be <= wrong"),
        ((-1, 2, 0, 1), "kept_correct must be >= 0"),
        ((1, float("nan"), 0, 1), "correct must be >= 0"),
    ],
)
def test_impossible_counts_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        intervals.p_star_interval_score(*arguments)


@pytest.mark.parametrize("level", [0.0, 1.0, float("nan")])
def test_the_level_lies_inside(level):
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\)"):
        intervals.p_star_interval_exact(1, 2, 0, 1, level=level)
