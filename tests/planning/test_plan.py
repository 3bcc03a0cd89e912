"""Plans: regimes, turning points, sources, and the simulation behind those that need one."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import simcollapse as sc
from simcollapse.planning import as_dict, closed_form, describe, draw, plan, print_plan, simulated
from simcollapse.planning.chart import bars
from simcollapse.planning.simulated import Simulated
from tests.helpers import assert_mean
from theory import knowledge_center as kc

GOOD = {"dim": 4, "noise": 1.0, "n_real": 50, "n_per_round": 500, "rejected": "resample"}
# verifier -> regime; V0 = 0.08
REGIMES = {
    "improves": {"radius": 1.5, "bias": 0.0},
    "plateaus": {"radius": 1.5, "bias": 0.2},
    "reverses": {"radius": 1.5, "bias": 0.35},
    "degrades": {"radius": 0.7, "bias": 0.6},
}


def test_a_trained_verifiers_curve_is_that_of_simulated_chains():
    made = plan(
        dim=3, noise=1.0, n_real=40, n_per_round=60, radius=1.2, trained_on=25, rounds=3, rejected="drop"
    )
    assert made.sources["curve"] == "exact"
    result = sc.simulate(
        sc.linear_regression(3, noise=1.0, design="orthogonal"),
        sc.knowledge_ball(radius=1.2, trained_on=25),
        sc.replace(),
        n_real=40,
        n_per_round=60,
        rounds=3,
        chains=8000,
        seed=11,
    )
    # 10 % would show a bias squared off by 15 %, or counts of generated rows in place of kept ones
    assert_mean(result.squared_error.values, made.curve, 0.1 * made.curve)


@pytest.mark.parametrize("regime", REGIMES)
def test_regimes_and_turning_points_are_those_of_the_exact_chain(regime):
    verifier = REGIMES[regime]
    made = plan(**GOOD, **verifier, rounds=5)
    assert made.regime == regime
    long = kc.mse_trajectory_exact(
        sigma=1.0,
        n_real=50,
        n_per_round=500,
        bound=verifier["radius"],
        verifier_bias=np.full(4, verifier["bias"] / 2),
        rounds=80,
    )
    assert made.mse_now == pytest.approx(0.08)
    assert made.mse_limit == pytest.approx(long[-1], rel=1e-4)
    if regime == "improves":
        assert made.best_round == math.inf and made.mse_best == made.mse_limit
    else:
        assert made.best_round == np.argmin(long)
        assert made.mse_best == pytest.approx(long.min())
    assert (
        made.latest_safe_round
        == {
            "improves": math.inf,
            "plateaus": math.inf,
            "reverses": np.flatnonzero(long <= long[0] * (1 + 1e-12))[-1],
            "degrades": 0,
        }[regime]
    )
    assert set(made.sources.values()) == {"exact"}
    assert made.worth == pytest.approx(4 / made.mse_best)


@pytest.mark.parametrize("bias", [0.0, 0.03, 0.05, 0.2])
@pytest.mark.parametrize("bound", [0.5, 1.5])
def test_small_deviations_have_the_linear_regimes(bias, bound):
    linear = {
        "dim": 2,
        "n_real": 1000,
        "n_per_round": 50_000,
        "bound": bound,
        "verifier_bias": bias,
        "sigma": 1,
    }
    made = plan(
        dim=2,
        noise=1,
        n_real=1000,
        n_per_round=50_000,
        radius=bound,
        bias=bias,
        rejected="resample",
        rounds=3,
    )
    assert made.regime == kc.regime(**linear)
    assert made.best_round == kc.best_integer_round(**linear)
    safe = kc.reversal_round(**linear)
    assert made.latest_safe_round == (
        0 if made.regime == "degrades" else math.inf if safe == math.inf else int(safe)
    )


def test_a_weak_verifiers_turning_points_come_from_the_linear_form():
    # 1 - rho = 1.4e-4: thousands of rounds, too many to follow exactly
    made = plan(**(GOOD | {"n_per_round": math.inf}), radius=4.5, bias=0.5, rounds=3)
    assert made.regime == "reverses"
    best = kc.best_round(dim=4, sigma=1, n_real=50, bound=4.5, verifier_bias=0.5)
    assert made.best_round == pytest.approx(best, abs=1)
    assert made.sources["best_round"] == made.sources["mse_best"] == "approximation"
    assert made.sources["latest_safe_round"] == "lower bound" and made.latest_safe_round == 3000
    assert any("lies beyond the curve" in note for note in made.notes)


def test_rounds_that_grow_help_for_ever_despite_a_bias():
    made = plan(**(GOOD | {"n_per_round": sc.linear_growth(40, 10)}), radius=1.0, bias=0.2)
    assert (made.regime, made.best_round) == ("improves", math.inf)
    assert made.mse_limit == pytest.approx(0.04)


def test_small_rounds_and_no_verifier_degrade():
    small = plan(**(GOOD | {"n_per_round": 10}), radius=1.5, bias=0.1)
    assert small.regime == "degrades" and "so small that the noise" in small.explanation
    none = plan(dim=4, noise=1.0, n_real=50, n_per_round=200)
    assert none.regime == "degrades" and none.mse_limit == math.inf and "without end" in none.explanation
    kept = plan(dim=4, noise=1.0, n_real=50, n_per_round=200, workflow="accumulate")
    assert kept.mse_limit is not None and kept.mse_limit < math.inf and "levels off" in kept.explanation
    assert plan(dim=4, noise=1.0, n_real=50, n_per_round=math.inf).regime == "plateaus"


def test_the_chance_that_a_trained_verifier_reverses():
    made = plan(**GOOD, radius=1.0, trained_on=60, rounds=2)
    random = np.random.default_rng(0)
    squared = (random.normal(size=(200_000, 4)) ** 2).sum(axis=1) / 60
    assert made.mse_limit is not None and made.reversal_chance is not None
    worse = np.mean(squared + made.mse_limit - made.bias_squared > made.mse_now)
    assert made.reversal_chance == pytest.approx(worse, abs=0.006)  # 5 standard errors


def test_accumulate_is_simulated_and_near_its_linear_form():
    small = {"dim": 2, "noise": 1.0, "n_real": 400, "n_per_round": 100}
    made = plan(
        **small, radius=1.0, bias=0.1, workflow="accumulate", rejected="resample", rounds=6, chains=600
    )
    assert made.sources["curve"] == "simulation"
    assert made.sources["mse_now"] == "exact"
    assert made.curve[0] == pytest.approx(2 / 400) and made.std_error[0] == 0
    linear = kc.accumulate_trajectory(
        dim=2, sigma=1.0, n_real=400, n_per_round=100, bound=1.0, verifier_bias=0.1, rounds=6
    )
    z = (made.curve - linear)[1:] / made.std_error[1:]
    assert np.all(np.abs(z) < 5.5)  # five standard errors, and 1 % of the linear form's own error
    assert made.mse_limit == pytest.approx(0.01)
    assert made.best_range[0] <= made.best_round <= made.best_range[1]


def test_subsampling_is_simulated_with_its_workflow_and_its_limit_an_approximation():
    common = {"dim": 2, "noise": 1.0, "n_real": 60, "n_per_round": 60, "radius": 1.0, "bias": 0.6}
    made = describe(**common, workflow="accumulate_subsample", subsample=30)
    assert closed_form.exact_curve(made, 3) is None and closed_form.linear_curve(made, 3) is None
    assert simulated.experiment(made)[2] == sc.accumulate_subsample(30)
    rate = kc.contraction_rate(1.0, 1.0)
    assert closed_form.limit(made) == (
        pytest.approx(0.36 + 2 * rate / 15),
        "approximation",
    )  # 15 per direction


def test_a_control_variate_keeps_the_mean_and_narrows_it():
    random = np.random.default_rng(5)
    first = random.chisquare(3, size=4000)
    later = 0.5 * first + random.chisquare(2, size=4000)
    plain = np.stack([first, later], axis=1)
    corrected = Simulated(simulated._controlled(plain, 3.0), 0.0)
    assert corrected.mean[0] == pytest.approx(3.0)
    assert corrected.std_error[0] == 0
    assert abs(corrected.mean[1] - 3.5) < 5 * corrected.std_error[1]
    assert corrected.std_error[1] < 0.9 * Simulated(plain, 0.0).std_error[1]


def test_a_gaussian_design_is_simulated_or_follows_its_delta_form(monkeypatch):
    sizes = {"dim": 2, "n_real": 60, "n_per_round": 300, "radius": 0.8, "slack": 0.4, "rounds": 4}
    formula = plan(**sizes, noise=1.0, bias=0.12, design="gaussian", chains=0)
    want = kc.gaussian_trajectory_delta(**sizes, sigma=1.0, verifier_bias=0.12)
    np.testing.assert_allclose(formula.curve, want)
    assert formula.sources["curve"] == "approximation"

    random = np.random.default_rng(4)
    chains = want * (1 + 0.2 * random.normal(size=(400, 5)))
    chains[:, 0] = want[0]
    asked = {}
    monkeypatch.setattr(simulated, "run", lambda made, **o: asked.update(o) or Simulated(chains, 0.25))
    made = plan(**sizes, noise=1.0, bias=0.12, design="gaussian", chains=400, seed=9)
    assert asked == {"chains": 400, "seed": 9}
    assert made.sources["curve"] == "simulation"
    np.testing.assert_allclose(made.curve, chains.mean(axis=0))
    assert made.std_errors["mse_best"] == pytest.approx(0.01 * made.mse_best, rel=0.15)  # 0.2 / sqrt(400)
    assert any("25.0% of the chains froze" in note for note in made.notes)
    assert isinstance(simulated.experiment(made.pipeline)[0], sc.LinearRegression)


def test_a_table_is_planned_in_closed_form_and_checked_by_simulation():
    random = np.random.default_rng(2)
    x = random.normal(size=(50, 2))
    table = SimpleNamespace(X=x, y=x.sum(axis=1) + random.normal(size=50), source="made up")
    made = plan(table=table, slack=1.3, bias=0.2, rounds=4, chains=200)
    assert made.sources["curve"] == "approximation"
    assert any("200 chains simulated with the table's own rows" in note for note in made.notes)
    assert "excess risk" in made.error_unit
    assert as_dict(made)["pipeline"]["data"] == "made up"
    unchecked = plan(table=table, slack=1.3, trained_on=100, rounds=4, chains=0)
    assert unchecked.linear is None  # the curve is the linear form itself
    assert unchecked.method == "closed form linearised at the center"


def test_without_closed_form_too_large_a_simulation_is_refused():
    huge = {"dim": 50, "noise": 1.0, "n_real": 100, "n_per_round": 10**7, "radius": 1.0, "bias": 0.1}
    with pytest.raises(ValueError, match="no closed form and 32 simulated chains of it would take too long"):
        plan(**huge, workflow="accumulate_subsample")
    assert plan(**huge, workflow="accumulate").sources["curve"] == "approximation"


def test_json_holds_finite_numbers_and_says_what_null_means():
    made = as_dict(plan(**GOOD, **REGIMES["improves"], rounds=3))
    text = json.dumps(made, allow_nan=False)
    assert json.loads(text) == made
    assert made["best_round"] is None and made["latest_safe_round"] is None
    assert set(made["infinite"]) == {"best_round", "latest_safe_round"}
    assert set(made["unknown"]) == {"reversal_chance"}
    assert list(made) == [
        "regime", "explanation", "best_round", "latest_safe_round", "mse_now", "mse_best", "mse_limit",
        "bias_squared", "worth", "reversal_chance", "best_range", "infinite", "unknown", "error", "method",
        "sources", "std_errors", "curve", "linear_gap", "notes", "pipeline",
    ]  # fmt: skip
    assert made["curve"]["round"] == [0, 1, 2, 3]
    assert set(made["curve"]) == {"round", "mse", "std_error", "linear"}


@pytest.mark.parametrize("regime", REGIMES)
def test_a_plan_prints_and_draws(regime):
    made = plan(**GOOD, **REGIMES[regime], rounds=30)
    console = Console(width=100, record=True, file=open("/dev/null", "w"), force_terminal=False)
    with console.file:
        print_plan(made, console)
    text = console.export_text()
    assert regime.upper() in text and "now (round 0, fit on real data)" in text and "exact chain" in text
    assert max(map(len, text.splitlines())) <= 100
    figure = draw(made)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert any(label.startswith("now") for label in labels) and any("predicted" in label for label in labels)
    assert any(label.startswith("limit") for label in labels)


def test_the_chart_shows_heights_in_proportion_and_marks_the_best():
    values = np.array([1.0, 0.5, 1.0, 2.0])
    lines = bars(values, level=1.0, best=1, plain=True).plain.splitlines()
    columns = [
        sum(line[14:].startswith("|") and line[15 + 4 * k] == "#" for line in lines[:9]) for k in range(4)
    ]
    assert columns == [5, 2, 5, 9]  # of 9 rows, half rows rounded up
    assert lines[-1].index("^") == 15 + 4
    assert any(line.strip().startswith("start 1") for line in lines)
    wide = bars(np.geomspace(1, 1e4, 300), level=1.0, best=137, plain=True).plain.splitlines()
    assert max(map(len, wide)) <= 80
    assert any("^ best" in line for line in wide)
