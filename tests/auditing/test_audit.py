"""`simcollapse.audit`: rates, verdicts, looks, classes, scores, weights and clusters; each error rate by simulation."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import simcollapse as sc
from simcollapse.auditing import as_dict, audit
from simcollapse.auditing.design import correlation, design_effect, gradient, rates, variance
from simcollapse.auditing.estimates import Method, estimate
from simcollapse.auditing.looks import holm
from simcollapse.auditing.tally import Evidence
from tests.helpers import FALSE_ALARM
from theory.breakdown import classes as class_theory
from theory.breakdown import decision, intervals


def rows(x_c, n_c, x_w, n_w):
    """correct, kept of such an audit."""
    correct = np.repeat([1, 1, 0, 0], [x_c, n_c - x_c, x_w, n_w - x_w])
    kept = np.repeat([1, 0, 1, 0], [x_c, n_c - x_c, x_w, n_w - x_w])
    return correct, kept


def at_most(false, trials, alpha):
    """Whether so few false verdicts agree with a chance of at most alpha."""
    return false <= stats.binom.isf(FALSE_ALARM, trials, alpha)


# --- rates, intervals, verdict ---


def test_the_numbers_of_the_worked_example():
    report = audit(*rows(170, 200, 30, 100))
    assert (report.p, report.phi, report.psi) == pytest.approx((1 / 3, 0.85, 0.3))
    assert report.precision == pytest.approx(0.85)
    assert report.p_star == pytest.approx(0.85 / 1.15)
    assert report.margin == pytest.approx(0.85 / 1.15 - 1 / 3)
    assert report.interval == pytest.approx((0.6806245142, 0.7960492068), abs=5.1e-11)
    assert report.estimates.intervals["precision"] == pytest.approx((0.7928412963, 0.8964504765), abs=5.1e-11)
    low, high = report.margin_interval
    delta = 0.040509723463 * stats.norm.isf(0.025)
    assert (low, high) == pytest.approx((report.margin - delta, report.margin + delta), abs=0.005)  # O(1/M)
    assert (report.verdict, report.exit_code, report.more_labels) == ("safe", 0, (0, 0))
    assert report.notes == ()
    assert sc.audit is audit


@pytest.mark.parametrize(
    ("table", "verdict", "code"),
    [
        ((20, 30, 5, 10), "safe", 0),
        ((5, 10, 20, 30), "collapse", 1),
        ((12, 20, 8, 20), "undecided", 2),
        # 5 of 5 right: P = 1/32 > 0.025 one-sided; 6 of 6 is enough
        ((5, 5, 0, 5), "undecided", 2),
        ((6, 6, 0, 5), "safe", 0),
    ],
)
def test_verdicts(table, verdict, code):
    report = audit(*rows(*table))
    assert (report.verdict, report.exit_code) == (verdict, code)
    low, high = report.estimates.intervals["precision"]
    assert (low > 0.5, high < 0.5) == (verdict == "safe", verdict == "collapse")


@pytest.mark.parametrize(
    "values",
    [[1, 0, 1], [True, False, True], ["yes", "No", "YES"], ["true", "FALSE", " True "], [1.0, 0.0, 1.0]],
)
def test_yes_and_no_in_every_spelling(values):
    report = audit(values, pd.Series(["1", "1", "0"], index=[7, 8, 9]))
    assert (report.estimates.kept_correct, report.estimates.kept_wrong, report.estimates.kept) == (1, 1, 2)


def test_exact_intervals_are_wider_and_change_no_verdict():
    table = rows(170, 200, 30, 100)
    usual, exact = audit(*table), audit(*table, exact=True)
    assert exact.interval == pytest.approx(intervals.p_star_interval_exact(170, 200, 30, 100))
    for name, (low, high) in usual.estimates.intervals.items():
        wide_low, wide_high = exact.estimates.intervals[name]
        assert wide_low <= low and high <= wide_high
    assert exact.verdict == usual.verdict and "exact" in exact.methods["p_star"]


def test_the_exact_margin_pays_for_two_intervals():
    p_star = intervals.p_star_interval_exact(170, 200, 30, 100, level=0.975)
    p = intervals.clopper_pearson(100, 300, level=0.975)
    report = audit(*rows(170, 200, 30, 100), exact=True)
    assert report.margin_interval == pytest.approx((p_star[0] - p[1], p_star[1] - p[0]))


def test_a_verdict_that_the_margin_does_not_show_is_explained():
    report = audit(*rows(22, 30, 8, 20), exact=True)
    low, high = report.margin_interval
    assert report.verdict == "safe" and low < 0 < high
    assert any("the interval of the margin holds 0, but" in note for note in report.notes)


@pytest.mark.parametrize(
    ("table", "words", "ends"),
    [
        ((9, 10, 0, 0), "no row is wrong: psi is unknown, and the interval of p* is one-sided", (None, 1)),
        ((0, 0, 9, 10), "no row is correct: phi is unknown, and the interval of p* is one-sided", (0, None)),
        ((9, 10, 0, 5), "no wrong row is kept: the interval of p* is one-sided", (None, 1)),
        ((0, 5, 9, 10), "no correct row is kept: the interval of p* is one-sided", (0, None)),
        ((9, 9, 5, 5), "every row is kept: the verifier filters nothing", (None, None)),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_empty_cells_are_said(table, words, ends, exact):
    report = audit(*rows(*table), exact=exact)
    assert any(words in note for note in report.notes)
    for end, expected in zip(report.interval, ends, strict=True):
        assert end == expected if expected is not None else 0 < end < 1
    low, high = report.margin_interval
    assert -1 <= low <= high <= 1
    json.dumps(as_dict(report), allow_nan=False)


def test_rates_that_nobody_saw_are_nan_and_null():
    report = audit([1] * 8, [1] * 7 + [0])
    assert math.isnan(report.psi) and math.isnan(report.p_star) and math.isnan(report.margin)
    assert as_dict(report)["p_star"] is None
    assert report.verdict == "safe"


def test_more_labels_are_those_of_the_plan():
    report = audit(*rows(12, 20, 8, 20))
    needed = decision.sign_test_size_exact(0.6, alpha=0.025, power=0.9).lasting
    assert report.more_labels == (2 * (needed - 20), needed - 20)
    assert any("needs the sequential verdict" in note for note in report.notes)
    assert audit(*rows(8, 10, 8, 10)).more_labels == (math.inf, math.inf)
    close = audit(*rows(5010, 9000, 4990, 9000))
    assert close.more_labels.kept == pytest.approx(decision.sign_test_size(0.501, alpha=0.025), rel=0.02)


def test_more_labels_do_decide():
    """With as many in all, 1000 audits of the seen precision decide with probability 0.9 or more."""
    needed = 20 + audit(*rows(12, 20, 8, 20)).more_labels.kept
    right = stats.binom.rvs(needed, 0.6, size=1000, random_state=0)
    decided = np.sum(decision.sign_test(right, needed)[0] <= 0.025)
    assert decided >= stats.binom.ppf(FALSE_ALARM, 1000, 0.9)
    fewer = stats.binom.rvs(needed // 2, 0.6, size=1000, random_state=0)
    assert np.sum(decision.sign_test(fewer, needed // 2)[0] <= 0.025) < stats.binom.ppf(
        FALSE_ALARM, 1000, 0.9
    )


def test_a_sequential_verdict_asks_for_more():
    usual, always = (audit(*rows(31, 50, 19, 50), sequential=s) for s in (False, True))
    assert always.estimates.p_value > usual.estimates.p_value
    assert always.estimates.intervals["precision"] == pytest.approx(decision.confidence_sequence(31, 50))
    assert "always valid" in always.methods["verdict"]
    assert audit(*rows(90, 100, 10, 100), sequential=True).verdict == "safe"
    assert always.more_labels.kept == math.ceil(decision.sequential_size(0.62)) - 50


# --- groups and rounds ---


def test_groups_are_judged_by_themselves():
    good, bad = rows(40, 50, 5, 50), rows(5, 10, 40, 60)
    correct, kept = np.concatenate([good, bad, good], axis=1)
    group = ["b"] * 100 + ["a"] * 70 + ["c"] * 100
    report = audit(correct, kept, group=group)
    assert [(look.name, look.verdict) for look in report.groups] == [
        ("a", "collapse"),
        ("b", "safe"),
        ("c", "safe"),
    ]
    assert report.groups[1].estimates.level == pytest.approx(1 - 0.05 / 3)
    alone = audit(*good, level=1 - 0.05 / 3)
    assert report.groups[1].estimates.intervals == alone.estimates.intervals
    assert "Holm" in report.methods["groups"]
    assert report.verdict == "safe"
    assert any("group a collapses, though all rows together do not" in note for note in report.notes)


def test_a_group_without_kept_rows_is_undecided():
    report = audit([1, 1, 0, 0], [1, 1, 0, 0], group=[1, 1, 2, 2])
    assert report.groups[1].verdict == "undecided" and math.isnan(report.groups[1].estimates.precision)


def test_holm_steps_down():
    assert holm([0.04, 0.001, 0.02], 0.05) == [True, True, True]
    assert holm([0.04, 0.02, 0.026], 0.05) == [False, False, False]
    assert holm([0.04, 0.01, 0.03], 0.05) == [False, True, False]
    assert holm([], 0.05) == []


def test_rounds_come_in_their_order_and_pay_for_every_look():
    correct, kept = np.concatenate([rows(40, 50, 5, 50)] * 3, axis=1)
    report = audit(correct, kept, round=np.repeat([10, 9, 2], 100))
    assert [look.name for look in report.rounds] == ["2", "9", "10"]
    assert [1 - look.estimates.level for look in report.rounds] == pytest.approx(
        [0.05 / 2, 0.05 / 6, 0.05 / 12]
    )
    assert [look.so_far for look in report.rounds] == ["safe"] * 3
    words = audit(correct, kept, round=np.repeat(["late", "early", "mid"], 100))
    assert [look.name for look in words.rounds] == ["late", "early", "mid"]


def test_a_weighted_round_leaves_no_always_valid_verdict_behind():
    """Rounds up to now are pooled by plain counts: not once one of them has unequal weights."""
    correct, kept = np.concatenate([rows(40, 50, 5, 50)] * 3, axis=1)
    number = np.repeat([1, 2, 3], 100)
    weight = np.where((number == 2) & (correct == 0), 9.0, 1.0)
    report = audit(correct, kept, round=number, weight=weight)
    assert [look.so_far for look in report.rounds] == ["safe", None, None]


@pytest.mark.slow
def test_looking_at_many_rounds_and_groups_is_paid_for():
    """80 audits of 12 rounds (and as groups) where half of the kept are correct: wrong verdicts by chance.

    A verdict without correction, the planted error, is wrong in 40 % of them.
    """
    random = np.random.default_rng(3)
    audits, looks, size = 80, 12, 60
    names = np.repeat(np.arange(looks), size)
    wrong = dict.fromkeys(("rounds", "so far", "groups", "uncorrected"), 0)
    for _ in range(audits):
        correct = random.integers(0, 2, looks * size)
        report = audit(correct, np.ones_like(correct), round=names, group=names)
        wrong["rounds"] += any(look.verdict != "undecided" for look in report.rounds)
        wrong["so far"] += any(look.so_far != "undecided" for look in report.rounds)
        wrong["groups"] += any(look.verdict != "undecided" for look in report.groups)
        wrong["uncorrected"] += any(look.estimates.p_value <= 0.05 for look in report.rounds)
    assert all(at_most(wrong[name], audits, 0.05) for name in ("rounds", "so far", "groups"))
    assert not at_most(wrong["uncorrected"], audits, 0.05)


# --- weights and clusters ---


def test_equal_weights_and_clusters_of_one_change_nothing_but_the_degrees_of_freedom():
    table = rows(170, 200, 30, 100)
    usual = audit(*table)
    assert audit(*table, weight=np.full(300, 0.25)).estimates.intervals["p_star"] == pytest.approx(
        usual.interval
    )
    single = audit(*table, cluster=np.arange(300))
    assert single.interval == pytest.approx(usual.interval, abs=0.002)
    assert single.interval[0] < usual.interval[0] and usual.interval[1] < single.interval[1]


def test_variances_are_those_of_the_delta_method():
    cells = np.array([[70.0, 30.0], [30.0, 170.0]])
    found = Evidence(cells, cells, cells)
    p_star = variance(found, gradient(found, "p_star"))
    assert p_star == pytest.approx(intervals.p_star_variance_delta(0.85, 0.3, 200, 100))
    margin = variance(found, gradient(found, "p_star") - gradient(found, "p"))
    assert margin == pytest.approx(intervals.margin_variance_delta(1 / 3, 0.85, 0.3, 300))
    assert correlation(Evidence(cells, 2 * cells, 4 * cells)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["p", "phi", "psi", "keep_rate", "precision", "p_star"])
def test_gradients_by_finite_differences(name):
    cells = np.array([[70.0, 31.0], [33.0, 170.0]])
    found = Evidence(cells, cells, cells)
    step = 1e-4
    for cell in np.ndindex(2, 2):
        shift = np.zeros((2, 2))
        shift[cell] = step
        up, down = (getattr(rates(Evidence(cells, cells + s, cells)), name) for s in (shift, -shift))
        assert gradient(found, name)[cell] == pytest.approx((up - down) / (2 * step), abs=1e-9)


def test_a_weighted_margin_knows_how_p_star_and_p_vary_together():
    """Rejected rows weigh ten times: p* and p then rise together, and their difference varies less."""
    cells = 1000 * np.array([[50.0, 20.0], [10.0, 120.0]])
    weight = np.array([[10.0, 1.0], [10.0, 1.0]])
    found = Evidence(cells, weight * cells, weight**2 * cells)
    slopes = gradient(found, "p_star"), gradient(found, "p")
    apart = sum(variance(found, slope) for slope in slopes)
    together = variance(found, slopes[0] - slopes[1])
    e = estimate(found, Method())
    ends = intervals.difference_interval(e.p_star, e.intervals["p_star"], e.p, e.intervals["p"])
    low, high = e.intervals["margin"]
    assert abs(together / apart - 1) > 0.01  # a difference to be seen
    assert (high - low < ends[1] - ends[0]) == (together < apart)


def test_doubled_rows_in_clusters_count_once():
    correct, kept = rows(90, 120, 20, 80)
    once = audit(correct, kept, cluster=np.arange(200))
    twice = audit(np.repeat(correct, 2), np.repeat(kept, 2), cluster=np.repeat(np.arange(200), 2))
    assert twice.interval == pytest.approx(once.interval)
    assert twice.estimates.effective_kept == pytest.approx(once.estimates.effective_kept)


def test_clusters_are_paid_for_at_empty_cells():
    """All kept are right, but they are 4 prompts: no more is known than from 4 rows."""
    report = audit([1] * 40 + [0] * 8, [1] * 40 + [0] * 8, cluster=np.arange(48) // 10)
    assert report.estimates.effective_kept == 4
    assert report.verdict == "undecided"
    assert any("only 5 clusters" in note for note in report.notes)
    assert audit([1] * 40 + [0] * 8, [1] * 40 + [0] * 8).verdict == "safe"


def test_clustered_verdicts_are_wrong_as_seldom_as_stated():
    """200 audits of 60 prompts with 5 samples each that share their fate, half of the prompts correct.

    Approximate: the rate may be 0.06. The planted error, rows taken as independent, is wrong in every third.
    """
    random = np.random.default_rng(5)
    audits, prompts, size = 200, 60, 5
    cluster = np.repeat(np.arange(prompts), size)
    wrong = naive = covered = 0
    for _ in range(audits):
        correct = np.repeat(random.integers(0, 2, prompts), size)
        kept = (random.random(prompts * size) < 0.7).astype(int)
        report = audit(correct, kept, cluster=cluster)
        wrong += report.verdict != "undecided"
        covered += report.interval[0] <= 0.5 <= report.interval[1]
        naive += audit(correct, kept).verdict != "undecided"
    assert at_most(wrong, audits, 0.06)
    assert at_most(audits - covered, audits, 0.07)
    assert not at_most(naive, audits, 0.06)


def test_a_stratified_audit_is_weighted_back():
    """Rejected samples labelled ten times more rarely: weighted, the rates are right and their intervals cover."""
    random = np.random.default_rng(7)
    audits, size, p, phi, psi = 500, 3000, 0.3, 0.8, 0.4
    p_star = phi / (phi + psi)
    found = np.empty((audits, 4))
    covered = np.zeros(2)
    plain = np.empty(audits)
    for i in range(audits):
        correct = random.random(size) >= p
        kept = random.random(size) < np.where(correct, phi, psi)
        chance = np.where(kept, 0.5, 0.05)
        drawn = random.random(size) < chance
        c, k, w = correct[drawn], kept[drawn], 1 / chance[drawn]
        report = audit(c, k, weight=w)
        found[i] = report.p, report.phi, report.psi, report.p_star
        low, high = report.interval
        margin_low, margin_high = report.margin_interval
        covered += low <= p_star <= high, margin_low <= p_star - p <= margin_high
        plain[i] = (c & k).sum() / c.sum()
    # A ratio's bias is O(1/n), here 0.008 for psi, which rests on some 30 rejected rows; unweighted, phi is near 0.98.
    spread = stats.norm.isf(FALSE_ALARM / 8) * found.std(axis=0) / np.sqrt(audits)
    assert np.all(np.abs(found.mean(axis=0) - [p, phi, psi, p_star]) + spread < 0.03)
    assert plain.mean() > 0.95
    assert all(at_most(audits - c, audits, 0.06) for c in covered)


def test_weights_never_promise_more_than_their_kish_size():
    found = Evidence(
        *(np.array(cells, float) for cells in ([[5, 1], [5, 20]], [[50, 1], [50, 20]], [[500, 1], [500, 20]]))
    )
    for name in ("p", "phi", "psi", "precision", "p_star"):
        assert design_effect(found, name, 0.95) >= 1
    # kept rows have weight 1 each
    assert design_effect(found, "precision", 0.95) == pytest.approx(1)
    # few rows make the variances of these two seem small: rows times sum of squares over the squared sum
    assert design_effect(found, "phi", 0.95) == pytest.approx(25 * 520 / 70**2)
    assert design_effect(found, "psi", 0.95) == pytest.approx(6 * 501 / 51**2)


def test_few_clusters_pay_for_their_degrees_of_freedom():
    """Eight clusters of one row each, two in every cell: the variance is that of rows, times 8/7 and (t/z)^2."""
    cells = np.full((2, 2), 2.0)
    clusters = np.repeat(np.eye(4).reshape(4, 2, 2), 2, axis=0)
    ratio = stats.t.isf(0.025, 7) / stats.norm.isf(0.025)
    effect = design_effect(Evidence(cells, cells, cells, clusters), "p", 0.95)
    assert effect == pytest.approx(8 / 7 * ratio**2)


# --- classes ---


def labelled(confusion):
    """true, generated, kept from counts [true][generated], all kept."""
    confusion = np.asarray(confusion)
    true, generated = (np.repeat(index.ravel(), confusion.ravel()) for index in np.indices(confusion.shape))
    return {"true_label": true, "generated_label": generated, "kept": np.ones(len(true))}


def test_plurality_is_judged_class_by_class():
    report = audit(**labelled([[40, 30, 30], [5, 60, 5], [0, 1, 30]]))
    assert [row.verdict for row in report.classes.rows] == ["undecided", "safe", "safe"]
    first = report.classes.rows[0]
    assert (first.share, first.kept_rival, first.majority, first.above_even) == (0.4, 30, False, True)
    assert (report.verdict, report.exit_code) == ("undecided", 2)
    assert (
        audit(**labelled([[400, 300, 300], [5, 60, 5], [0, 1, 30]])).verdict == "safe"
    )  # no majority, but plurality
    lost = audit(**labelled([[20, 60, 0], [5, 60, 5], [0, 1, 30]]))
    assert (lost.verdict, lost.classes.rows[0].verdict, lost.classes.rows[0].rival) == (
        "collapse",
        "collapse",
        "1",
    )
    assert lost.precision > 0.5  # which the two classes' rule would call safe
    even = report.classes.p_star_even
    assert any(f"spread evenly over 3 classes, p* is {even:.4f}" in note for note in report.notes)
    assert not audit(**labelled([[40, 3], [5, 60]])).notes[1:]  # two classes: there is nothing to say
    assert lost.estimates.verdict == "safe"


def test_a_rival_picked_among_many_is_paid_for():
    """Three classes, 0.025/3 each way: P(X <= 2) of 14 is 0.0065, below that, but twice it for two rivals is not."""
    for right, verdict in ((2, "undecided"), (1, "collapse")):
        report = audit(**labelled([[right, 12, 0], [0, 60, 5], [0, 1, 30]]))
        assert report.classes.rows[0].verdict == report.verdict == verdict


def test_classes_without_a_kept_row_are_undecided_and_strange_labels_are_rivals():
    data = {
        "true_label": ["cat"] * 30 + ["dog"] * 9,
        "generated_label": ["cat"] * 20 + ["owl"] * 10 + ["dog"] * 9,
        "kept": [1] * 30 + [0] * 9,
    }
    report = audit(**data)
    assert report.classes.labels == ("cat", "dog", "owl")
    assert [(row.name, row.kept, row.rival) for row in report.classes.rows] == [
        ("cat", 30, "owl"),
        ("dog", 0, ""),
    ]
    assert report.verdict == "undecided" and report.more_labels.rows == math.inf
    assert report.classes.p_star_even == pytest.approx(
        class_theory.p_star_classes(1 / (1 + 29 / 20), 1 - 1 / (1 + 29 / 20), 3)
    )


def test_labels_are_compared_as_values():
    report = audit(true_label=["3", "4"], generated_label=[3.0, 4.0], kept=[1, 1])
    assert report.estimates.correct == 2


def test_many_classes_are_paid_for():
    """60 audits of 16 classes, in each of which the right label and one wrong one are equally frequent."""
    random = np.random.default_rng(11)
    true = np.repeat(np.arange(16), 50)
    wrong = uncorrected = 0
    for _ in range(60):
        generated = (true + random.integers(0, 2, 800)) % 16
        report = audit(true_label=true, generated_label=generated, kept=np.ones(800))
        wrong += any(row.verdict != "undecided" for row in report.classes.rows)
        p_values = [2 * min(decision.sign_test(row.kept_correct, row.kept)) for row in report.classes.rows]
        uncorrected += min(p_values) <= 0.05
    assert at_most(wrong, 60, 0.05)
    assert not at_most(uncorrected, 60, 0.05)


# --- scores ---


def scored(seed=0, size=2000, p=0.6):
    random = np.random.default_rng(seed)
    correct = random.random(size) >= p
    return correct, random.normal(size=size) + 1.5 * correct


def test_the_best_threshold_keeps_most_while_safe():
    correct, score = scored()
    report = audit(correct, score=score)
    curve = report.curve
    assert report.verdict == "safe" and report.threshold == curve.threshold[curve.best]
    assert np.all(np.diff(curve.threshold) < 0) and len(curve.threshold) == 20
    for i in (0, 7, 19):
        kept = score >= curve.threshold[i]
        alone = audit(correct, kept, level=1 - 0.05 / 20)
        assert (curve.phi[i], curve.psi[i], curve.p_star[i]) == pytest.approx(
            (alone.phi, alone.psi, alone.p_star)
        )
        assert (curve.low[i], curve.high[i]) == pytest.approx(alone.interval)
        assert curve.verdict[i] == alone.verdict
    assert "safe" not in curve.verdict[curve.best + 1 :]
    assert report.estimates.kept == curve.kept[curve.best]
    # what is printed of it pays for the search as well
    assert report.estimates.level == pytest.approx(1 - 0.05 / 20)
    assert report.interval == pytest.approx((curve.low[curve.best], curve.high[curve.best]))
    assert report.curve.keep_rate[-1] == 1


def test_a_threshold_makes_decisions():
    correct, score = scored()
    report = audit(correct, score=score, threshold=1.0, group=np.arange(2000) % 2)
    plain = audit(correct, score >= 1.0, group=np.arange(2000) % 2)
    assert report.estimates == plain.estimates and report.groups == plain.groups
    assert report.threshold == 1.0 and report.curve is not None
    assert audit(correct, score=score, threshold=1.0, weight=np.ones(2000)).curve is None


def test_ties_are_kept_together():
    report = audit([1, 1, 0, 0] * 10, score=[2, 2, 1, 1] * 10)
    assert report.curve.threshold.tolist() == [2, 1] and report.curve.kept.tolist() == [20, 40]


def test_thresholds_are_judged_at_half_of_alpha_each_way():
    """One threshold, all right: 5 of 5 has P = 1/32 > 0.025."""
    assert [audit([1] * n, score=[1.0] * n).verdict for n in (5, 6)] == ["undecided", "safe"]


def test_no_threshold_of_a_hopeless_verifier_is_safe():
    random = np.random.default_rng(2)
    correct = random.random(3000) < 0.2
    report = audit(correct, score=random.random(3000))
    assert (report.verdict, report.curve.best) == ("collapse", None)
    few = audit(correct[:25], score=random.random(25))
    assert few.verdict == "undecided"


def test_picking_the_best_threshold_is_paid_for():
    """150 audits with useless scores, half of the rows correct: no threshold is safe, nor does all collapse."""
    random = np.random.default_rng(4)
    wrong = uncorrected = 0
    for _ in range(150):
        correct = random.integers(0, 2, 400)
        curve = audit(correct, score=random.random(400)).curve
        wrong += any(word != "undecided" for word in curve.verdict)
        p_values = np.minimum(*decision.sign_test(curve.kept_correct, curve.kept))
        uncorrected += np.any(2 * p_values <= 0.05)
    assert at_most(wrong, 150, 0.05)
    assert not at_most(uncorrected, 150, 0.05)


# --- bad input ---


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"kept": [1]}, ValueError, "correct must be given, or true_label and generated_label in its place"),
        ({"correct": [1]}, ValueError, "kept must be given, or score in its place"),
        ({"correct": [1], "kept": [1], "score": [1]}, ValueError, "kept does not go with score"),
        ({"correct": [1, 0], "kept": [1]}, ValueError, r"one length, got \{'correct': 2, 'kept': 1\}"),
        ({"correct": [], "kept": []}, ValueError, "correct must have at least one value"),
        ({"correct": "yes", "kept": [1]}, TypeError, "correct must be a sequence"),
        ({"correct": 1, "kept": [1]}, TypeError, "correct must be a sequence"),
        ({"correct": [[1]], "kept": [1]}, ValueError, r"correct must have one axis, got shape \(1, 1\)"),
        (
            {"correct": [1, 2], "kept": [1, 1]},
            ValueError,
            "correct must be 0/1, true/false or yes/no, got 2 at index 1",
        ),
        (
            {"correct": [1, 1], "kept": ["yes", "maybe"]},
            ValueError,
            "kept must be .*, got 'maybe' at index 1",
        ),
        ({"correct": [1, np.nan], "kept": [1, 1]}, ValueError, "correct has no value at index 1"),
        ({"correct": [1, None], "kept": [1, 1]}, ValueError, "correct has no value at index 1"),
        ({"correct": [1, ""], "kept": [1, 1]}, ValueError, "correct has no value at index 1"),
        ({"correct": [1, 0], "kept": [0, 0]}, ValueError, "kept must be yes in at least one row, got none"),
        (
            {"correct": [1], "kept": [1], "weight": [0]},
            ValueError,
            "weight must be a positive finite number, got 0",
        ),
        ({"correct": [1], "kept": [1], "weight": ["a"]}, ValueError, "weight must be .*, got 'a' at index 0"),
        ({"correct": [1], "kept": [1], "group": [None]}, ValueError, "group has no value at index 0"),
        ({"correct": [1], "score": [np.inf]}, ValueError, "score must be a finite number, got inf"),
        (
            {"correct": [1], "score": [1.0], "threshold": np.nan},
            ValueError,
            "threshold must be a finite number",
        ),
        ({"correct": [1], "score": [1.0], "threshold": 2}, ValueError, "got none at threshold 2"),
        ({"correct": [1], "kept": [1], "threshold": 2}, ValueError, "threshold goes with score"),
        (
            {"correct": [1], "score": [1.0], "group": [1]},
            ValueError,
            "group does not go with score: give the threshold",
        ),
        ({"correct": [1], "kept": [1], "level": 1.0}, ValueError, r"level must be in \(0, 1\), got 1.0"),
        ({"correct": [1], "kept": [1], "level": "95"}, TypeError, r"level must be in \(0, 1\), got '95'"),
        ({"true_label": [1], "kept": [1]}, ValueError, "go together, got only true_label"),
        (
            {"correct": [1], "true_label": [1], "generated_label": [1], "kept": [1]},
            ValueError,
            "correct does not go with",
        ),
        (
            {"correct": [1], "kept": [1], "weight": [1], "exact": True},
            ValueError,
            "exact does not go with weight",
        ),
        (
            {"correct": [1], "kept": [1], "cluster": [1], "sequential": True},
            ValueError,
            "sequential does not go with",
        ),
    ],
)
def test_bad_input_names_the_argument_and_what_came(arguments, error, words):
    with pytest.raises(error, match=words):
        audit(**arguments)
