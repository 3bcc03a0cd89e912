"""Closed forms against sweeps: each is found for its cells, agrees, and a wrong one is seen."""

import io
import json
from typing import Any, NamedTuple

import numpy as np
import pytest
import rich.console
from scipy import stats

import simcollapse as sc
from simcollapse import grid, schedules
from simcollapse.runs import check, forms, limits

ROUNDS = 3
ROWS = np.random.default_rng(5).normal(size=(6, 2)) * np.repeat([0.5, 2.0], 3)[:, None]


class Case(NamedTuple):
    name: str
    task: Any
    verifier: Any
    workflow: Any
    n_real: int
    n_per_round: Any
    metrics: set[str]  # that have a form
    options: dict[str, Any]
    wrong: dict[str, Any]  # choices of another cell, whose theory must not fit
    slow: bool = True


def orthogonal(**options):
    return sc.linear_regression([1.0, -1.0], design="orthogonal", **options)


def fixed(**options):
    return sc.linear_regression([1.0, -1.0], design="fixed", rows=ROWS, **options)


ERRORS = {"squared_error", "excess_risk"}
CLOUD = sc.linear_regression(2, covariance=[[2.0, 0.5], [0.5, 1.0]])
MIXTURE = sc.gaussian_mixture([1.2, 0.0], generator=sc.flips(0.3), covariance=1.5, learner="averaging")
SHARES = [0.5, 0.3, 0.2]
BALL = sc.knowledge_ball([1.5, -1.2], radius=1.0)
LAW, SAMPLE = {"engine": "law"}, {"engine": "sample"}

CASES = [
    Case("ball", orthogonal(), BALL, sc.replace(), 40, 80, ERRORS, SAMPLE,
         {"verifier": sc.knowledge_ball([1.5, -1.2], radius=1.1)}, False),
    Case("ball, redrawn", orthogonal(), BALL, sc.replace(), 40, [30, 40, 50], ERRORS, {"rejected": "resample"},
         {"rejected": "drop"}),
    Case("trained ball", orthogonal(noise=2.0), sc.knowledge_ball(trained_on=20, radius=2.0, slack=0.5), sc.replace(),
         40, 80, ERRORS, SAMPLE, {"verifier": sc.knowledge_ball(trained_on=30, radius=2.0, slack=0.5)}),
    Case("infinite ball", orthogonal(), sc.knowledge_ball(bias=1.0, radius=np.inf), sc.accumulate(), 20, 30, ERRORS,
         SAMPLE, {"workflow": sc.replace()}),
    Case("orthogonal, replace", orthogonal(), sc.none(), sc.replace(), 20, 30, ERRORS, LAW, {"n_real": 22}, False),
    Case("orthogonal, window", orthogonal(), sc.none(), sc.sliding_window(2), 20, 30, ERRORS, SAMPLE,
         {"workflow": sc.sliding_window(2, keep_real=True)}),
    Case("orthogonal, deleted", orthogonal(), sc.none(), sc.delete_real(2), 20, 30, ERRORS, SAMPLE,
         {"workflow": sc.delete_real(3)}),
    Case("orthogonal, weighted fresh", orthogonal(), sc.none(), sc.fresh_real(0.5, weight=0.7), 20, 30, ERRORS, SAMPLE,
         {"workflow": sc.fresh_real(0.5)}),
    Case("a mean, subsample", sc.linear_regression([2.0], design="orthogonal"), sc.none(), sc.accumulate_subsample(),
         20, 20, ERRORS, SAMPLE, {"workflow": sc.accumulate()}),
    Case("fixed, accumulate", fixed(), sc.none(), sc.accumulate(), 12, 18, ERRORS, LAW, {"n_real": 18}),
    Case("fixed, noise refitted", fixed(estimate_noise=True), sc.none(), sc.replace(), 60, 60, ERRORS | {"log_noise"},
         LAW, {"task": fixed(estimate_noise=True, noise=1.03)}),
    Case("Gaussian rows, replace", CLOUD, sc.none(), sc.replace(), 30, [20, 30, 40], ERRORS, LAW,
         {"n_real": 32}, False),
    Case("Gaussian rows, noise refitted", sc.linear_regression(2, estimate_noise=True), sc.none(), sc.replace(), 60, 60,
         ERRORS | {"log_noise"}, LAW, {"task": sc.linear_regression(2, estimate_noise=True, noise=1.03)}),
    Case("Gaussian rows, accumulate", CLOUD, sc.none(), sc.accumulate(), 30, 15, ERRORS, LAW, {"n_real": 32}),
    Case("Gaussian rows, fresh", CLOUD, sc.none(), sc.fresh_real(0.4), 20, 50, ERRORS, LAW,
         {"task": sc.linear_regression(2)}),
    Case("Gaussian rows, contaminated", sc.linear_regression(2), sc.none(), sc.contaminated(0.3, coef=[1.0, 0.0]), 30,
         40, ERRORS, LAW, {"workflow": sc.contaminated(0.3, coef=[1.1, 0.0])}),
    Case("Gaussian, replace", sc.gaussian(2), sc.none(), sc.replace(), 40, 50, {"trace", "squared_error", "log_det"},
         LAW, {"task": sc.gaussian(2, estimator="unbiased")}),
    Case("Gaussian, one dimension", sc.gaussian(1, estimator="unbiased"), sc.none(), sc.replace(), 8, 8,
         {"log_det", "log_trace"}, LAW, {"n_per_round": 9}),
    Case("Gaussian, accumulate", sc.gaussian(2), sc.none(), sc.accumulate(), 30, 20, {"trace", "squared_error"}, LAW,
         {"workflow": sc.replace()}),
    Case("Gaussian, subsample", sc.gaussian([1.0, 2.0], covariance=[2.0, 3.0]), sc.none(), sc.accumulate_subsample(25),
         30, 40, {"trace", "squared_error"}, SAMPLE, {"workflow": sc.accumulate_subsample(30)}),
    Case("outcomes, replace", sc.discrete(SHARES), sc.none(), sc.replace(), 12, [10, 12, 14],
         {"heterozygosity", "survivors"}, LAW, {"n_real": 14}),
    Case("outcomes, accumulate", sc.discrete(SHARES), sc.none(), sc.accumulate(), 12, 10,
         {"heterozygosity", "survivors"}, LAW, {"workflow": sc.replace()}),
    Case("outcomes, drawn one by one", sc.discrete(SHARES), sc.none(), sc.replace(), 12, 12,
         {"heterozygosity", "survivors"}, SAMPLE, {"n_real": 14}),
    Case("outcomes, subsample", sc.discrete(SHARES), sc.none(), sc.accumulate_subsample(), 12, 12, {"heterozygosity"},
         SAMPLE, {"workflow": sc.accumulate()}),
    Case("mixture, kept count", MIXTURE, sc.bernoulli(0.8, 0.4), sc.replace(), 30, 20, {"accuracy"},
         {"fixed": "kept"}, {"verifier": sc.bernoulli(0.8, 0.5)}),
    Case("mixture in law", MIXTURE, sc.bernoulli(0.8, 0.4), sc.replace(), 30, 24,
         {"accuracy", "acceptance_rate", "p", "phi", "psi"}, LAW, {"verifier": sc.bernoulli(0.8, 0.5)}),
    Case("mixture, noisy oracle", MIXTURE, sc.oracle(0.1), sc.accumulate(), 30, 60,
         {"acceptance_rate", "p", "phi", "psi"}, LAW, {"verifier": sc.oracle(0.12)}),
]  # fmt: skip


BY_NAME = {case.name: case for case in CASES}


def cell_of(case, **changes):
    choices = {
        "task": case.task,
        "verifier": case.verifier,
        "workflow": case.workflow,
        "n_real": case.n_real,
        "n_per_round": case.n_per_round,
        "fixed": case.options.get("fixed", "generated"),
        "rejected": case.options.get("rejected", "drop"),
    }
    return grid.Cell((), choices | changes)


def schedule_of(cell):
    return schedules.resolve(cell.choices["n_per_round"], ROUNDS)


def form_cell(cell):
    return forms.cell_of(cell.choices, schedule_of(cell), 10)


def moments_of(case, chains, seed=0):
    result = sc.simulate(
        case.task, case.verifier, case.workflow, n_real=case.n_real, n_per_round=case.n_per_round, rounds=ROUNDS,
        chains=chains, seed=seed, record="summary", quantiles=(), **case.options,
    )  # fmt: skip
    return {
        str(name): tuple(np.asarray(values.sel(statistic=s))[None] for s in ("mean", "std_error"))
        for name, values in result.items()
    }


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.slow else []) for c in CASES]
)
def test_each_form_agrees_with_a_sweep_and_another_does_not(case):
    chains = 20_000
    cell, moments = cell_of(case), moments_of(case, chains)
    report = check.check([cell], ROUNDS, [schedule_of(cell)], moments, chains)
    assert {row.metric for row in report.rows} == case.metrics
    assert report.verdict == check.AGREES, [row for row in report.rows if not row.agrees]
    other = cell_of(case, **case.wrong)
    wrong = check.check([other], ROUNDS, [schedule_of(other)], moments, chains)
    assert wrong.verdict == check.DISAGREES


def test_named_forms_of_replace_and_accumulate_are_the_weighted_ones():
    """On repeated designs every workflow goes through one form; the published sums must come out of it."""
    import theory

    closed = theory.workflows.linear_regression
    for workflow, form in ((sc.replace(), "replace"), (sc.accumulate(), "accumulate")):
        cell = cell_of(CASES[4], workflow=workflow, n_per_round=[30, 7, 12])
        found, _ = forms.forms_of(form_cell(cell), {"squared_error"})
        exact = getattr(closed, f"{form}_mse_exact")
        expected = exact(dim=2, sigma=1.0, n_real=20, n_per_round=[30, 7, 12], rounds=3, design="orthogonal")
        np.testing.assert_allclose(found[0].expected, expected, rtol=1e-12)


NOT_KNOWN = [
    (orthogonal(), sc.knowledge_ball(bias=0.5, radius=0.3), sc.replace(), "likely to freeze"),
    (orthogonal(), BALL, sc.accumulate(), "on the orthogonal design under replace only"),
    (sc.linear_regression(2), BALL, sc.replace(), "on the orthogonal design under replace only"),
    (orthogonal(), sc.random(0.5), sc.replace(), "no exact form is known for LinearRegression, Random"),
    (sc.linear_regression(2, estimate_noise=True), sc.none(), sc.accumulate(), "under replace only"),
    (orthogonal(), sc.none(), sc.delete_real(1, share=0.5), "none or all are deleted"),
    (orthogonal(), sc.none(), sc.accumulate_subsample(), "one coefficient"),
    (sc.gaussian(2), sc.random(0.5), sc.replace(), "no exact form is known for Gaussian, Random, Replace"),
    (sc.gaussian(2), sc.none(), sc.replace(), "rare chains"),
    (sc.discrete(SHARES), sc.random(0.5), sc.replace(), "Discrete, Random"),
    (sc.linear_regression(15), sc.none(), sc.replace(), "heavy-tailed"),
    (sc.gaussian_mixture([1.0, 0.0]), sc.linear(angle=0.3), sc.replace(), "GaussianMixture, Linear"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "verifier", "workflow", "words"), NOT_KNOWN)
def test_what_is_not_known_says_why(task, verifier, workflow, words):
    cell = grid.Cell(
        (), {"task": task, "verifier": verifier, "workflow": workflow, "n_real": 20, "n_per_round": 20,
             "fixed": "generated", "rejected": "drop"},
    )  # fmt: skip
    some = {
        name: (np.zeros((1, 31)), np.ones((1, 31))) for name in ("squared_error", "trace", "heterozygosity")
    }
    report = check.check([cell], 30, [np.full(30, 20)], some, 10_000)
    assert any(words in reason for reason in report.unknown), report.unknown


def exact_moments(cells, error=0.01):
    """Means that are right, for cells with a squared error."""
    means = np.stack([forms.forms_of(form_cell(c), {"squared_error"})[0][0].expected for c in cells])
    return means, np.full_like(means, error)


def test_frozen_chains_and_missing_values_are_left_out():
    cells = [cell_of(CASES[4]), cell_of(CASES[4], n_real=25)]
    mean, error = exact_moments(cells)
    alive = np.ones_like(mean)
    alive[0, 2:] = 0.999
    mean[1, 1] = np.nan
    moments = {"squared_error": (mean, error), "alive": (alive, 0 * alive)}
    report = check.check(cells, ROUNDS, [schedule_of(c) for c in cells], moments, 10_000)
    assert [(row.cell, row.round) for row in report.rows] == [(0, 0), (0, 1), (1, 0), (1, 2), (1, 3)]
    assert report.verdict == check.AGREES
    assert report.unknown == {
        "squared_error: rounds in which some chain had frozen": 2,
        "squared_error: rounds without a value": 1,
    }
    mean[1, 3] += 0.2
    report = check.check(cells, ROUNDS, [schedule_of(c) for c in cells], moments, 10_000)
    assert report.verdict == check.DISAGREES and [r.agrees for r in report.rows].count(False) == 1


def test_a_gap_without_spread_is_infinitely_far_and_rounding_is_none():
    cells = [cell_of(CASES[4])]
    mean, error = exact_moments(cells, 0.0)
    run = lambda m: check.check(cells, ROUNDS, [schedule_of(cells[0])], {"squared_error": (m, error)}, 10_000)  # noqa: E731
    assert run(mean * (1 + 1e-6)).verdict == check.AGREES
    assert run(mean * (1 + 1e-4)).verdict == check.DISAGREES
    outcomes = cell_of(BY_NAME["outcomes, accumulate"])
    share = forms.forms_of(form_cell(outcomes), {"heterozygosity"})[0][0].expected[None]
    for shift, verdict in ((0.0, check.AGREES), (0.01, check.AGREES), (0.3, check.DISAGREES)):
        moments = {"heterozygosity": (share + shift, 0 * share)}
        report = check.check([outcomes], ROUNDS, [schedule_of(outcomes)], moments, 1000)
        assert report.verdict == verdict


def test_few_chains_are_not_judged():
    cells = [cell_of(CASES[4])]
    report = check.check(cells, ROUNDS, [schedule_of(cells[0])], {"squared_error": exact_moments(cells)}, 100)
    assert report.verdict == check.NOTHING
    assert report.unknown == {"squared_error: rounds with too few chains for a limit of z, 100": ROUNDS + 1}


def test_many_costly_cells_are_thinned_out(monkeypatch):
    monkeypatch.setattr(forms, "MOST_COSTLY", 2)
    cells = [cell_of(CASES[0], n_real=n) for n in (40, 41, 42, 43, 44)]
    mean = np.ones((5, ROUNDS + 1))
    report = check.check(
        cells, ROUNDS, [schedule_of(c) for c in cells], {"squared_error": (mean, mean)}, 10_000
    )
    assert {row.cell for row in report.rows} == {0, 4}
    assert report.unknown == {"left out to save time: 2 cells of this kind are compared": 3}


def test_shapes_are_checked():
    cells = [cell_of(CASES[4])]
    good = np.ones((1, ROUNDS + 1))
    with pytest.raises(ValueError, match="schedules must have one entry for each of 1 cells, got 2"):
        check.check(cells, ROUNDS, [np.ones(ROUNDS)] * 2, {"squared_error": (good, good)}, 10)
    with pytest.raises(ValueError, match=r"each schedule must have shape \(3,\), got \(4,\)"):
        check.check(cells, ROUNDS, [np.ones(4)], {"squared_error": (good, good)}, 10)
    with pytest.raises(
        ValueError, match=r"moments\['squared_error'\] must have shape \(1, 4\), got \(1, 3\)"
    ):
        check.check(cells, ROUNDS, [np.ones(3)], {"squared_error": (good[:, 1:], good)}, 10)


def test_the_report_prints_and_is_json():
    cells = [cell_of(CASES[4])]
    mean, error = exact_moments(cells)
    moments = {"squared_error": (mean + 0.5, 0 * error), "excess_risk": (mean / 2, error)}
    report = check.check(cells, ROUNDS, [schedule_of(cells[0])], moments, 10_000)
    made = json.loads(json.dumps(check.as_dict(report), allow_nan=False))
    assert made["verdict"] == "DISAGREES" and made["num_compared"] == 8 and made["num_disagreeing"] == 4
    assert made["rows"][0]["z"] == "inf" and made["by_metric"][1]["disagreeing"] == 0
    out = io.StringIO()
    check.print_report(report, rich.console.Console(file=out, width=120))
    assert "against theory: DISAGREES" in out.getvalue() and "mean_mse_exact" in out.getvalue()


@pytest.mark.parametrize("chains", [200, 1000])
def test_limits_hold_their_false_alarm_rate_on_skewed_numbers(chains):
    """Squares of normals at 0.002 and at 0.01, where Student's t raises several times as many alarms."""
    random = np.random.default_rng(chains)
    repeats = 4_000_000 // chains
    x = random.normal(size=(repeats, chains)) ** 2
    z = (x.mean(axis=1) - 1) / (x.std(axis=1, ddof=1) / np.sqrt(chains))
    for alpha in (0.002, 0.01):
        limit = limits.limit_of(alpha, chains, np.sqrt(8))
        alarms = np.sum(np.abs(z) > limit)
        assert alarms <= stats.binom.isf(1e-6, repeats, alpha)
    assert np.sum(np.abs(z) > stats.t.isf(alpha / 2, chains - 1)) > 1.5 * alarms
    kept = random.random((repeats, chains)) < 0.02
    error = np.maximum(kept.std(axis=1, ddof=1) / np.sqrt(chains), 1 / chains)  # as where all are equal
    gaps = np.abs(kept.mean(axis=1) - 0.02)
    seen, place = np.unique(error, return_inverse=True)
    limit = np.array([limits.limit_of_bounded(0.01, chains, 1.0, e) for e in seen])[place]
    assert np.mean(gaps > limit * error) <= 0.01
