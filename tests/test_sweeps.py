"""Sweeps end to end: what may be an axis, streamed summaries against whole chains, the progress bar, bad axes."""

import functools
import io
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console

import simcollapse as sc
from simcollapse import blocks, chain, engine
from simcollapse.streaming import QUANTILE_ERROR

TASK = sc.linear_regression([1.0, -1.0], noise=0.5)
BALL = sc.knowledge_ball(bias=0.2, radius=0.5, slack=0.3)
SIZES = {"n_real": 40, "n_per_round": 40, "rounds": 2, "chains": 12, "seed": 3}
ROWS = np.random.default_rng(0).normal(size=(20, 1))
TABLE = sc.LinearRegression.from_data(ROWS, ROWS[:, 0] + np.random.default_rng(1).normal(size=20))


def half_kept(key, batch, model):
    return jnp.arange(batch.x.shape[0]) % 2 == 0


def sweep(over, task=TASK, ball=BALL, workflow="replace", **options):
    return sc.sweep(task, ball, workflow, over=over, **(SIZES | options))


def test_a_summary_is_the_summary_of_the_chains():
    over = {"verifier.radius": [0.3, 0.6], "workflow": [sc.replace(), sc.accumulate()]}
    quantiles = (0.0, 0.3, 1.0)
    chains = sweep(over, chains=300, block_size=64).isel(round=slice(1, None))
    summary = sweep(over, chains=300, block_size=64, record="summary", quantiles=quantiles)
    assert list(summary["statistic"].values) == ["mean", "std_error", "variance", "q0", "q0.3", "q1"]
    assert list(summary["workflow"].values) == ["Replace", "Accumulate"]
    for name in ("squared_error", "num_kept", "acceptance_rate", "phi", "p_star"):
        rows, stored = chains[name].astype(float), summary[name].isel(round=slice(1, None))
        mean, variance = rows.mean("chain", skipna=True), rows.var("chain", skipna=True, ddof=1)
        np.testing.assert_allclose(stored.sel(statistic="mean", drop=True), mean, rtol=1e-11)
        # 1e-9: the variance of kept counts near their mean loses digits to the mean's square
        np.testing.assert_allclose(
            stored.sel(statistic="variance", drop=True), variance, rtol=1e-9, atol=1e-15
        )
        for q in quantiles:
            exact = rows.quantile(q, "chain", method="lower", skipna=True).transpose(*mean.dims)
            np.testing.assert_allclose(
                stored.sel(statistic=f"q{q:g}", drop=True), exact, rtol=QUANTILE_ERROR, atol=1e-12
            )


@pytest.mark.slow
def test_any_choice_is_an_axis():
    over = {"verifier": ["none", BALL], "rejected": ["drop", "resample"]}
    result = sweep(over)
    assert list(result["verifier"].values) == ["none", "KnowledgeBall"]
    assert list(result["rejected"].values) == ["drop", "resample"]
    later = result.isel(round=slice(1, None))
    assert (later.acceptance_rate.sel(verifier="none") == 1).all()
    used = later.num_used.sel(verifier="KnowledgeBall")
    assert (used.sel(rejected="resample") == 40).all()
    assert (used.sel(rejected="drop") < 40).all()


@pytest.mark.slow
def test_more_rows_for_the_verifier_place_its_center_better():
    ball = sc.knowledge_ball(trained_on=5, radius=1e-9)
    result = sweep(
        {"verifier.trained_on": [5, 500]},
        ball=ball,
        rejected="resample",
        chains=200,
        rounds=1,
        n_per_round=40,
    )
    error = result.squared_error.isel(round=1).median("chain")
    assert error[1] < error[0] / 10  # expected ratio: about a hundred


@pytest.mark.parametrize("workflow", ["accumulate", "accumulate_subsample"])
def test_a_table_runs_under_every_workflow(workflow):
    result = sc.simulate(TABLE, BALL, workflow, **SIZES)
    assert result.alive.all()
    assert (result.num_used.isel(round=0) == 40).all()


def test_generators_ranges_and_arrays_are_axes():
    result = sweep({"verifier.radius": (r for r in (0.3, 0.6)), "n_per_round": range(40, 60, 10)})
    np.testing.assert_array_equal(result["verifier.radius"], [0.3, 0.6])
    np.testing.assert_array_equal(result["n_per_round"], [40, 50])
    assert result.attrs["over"] == ["verifier.radius: (0.3, 0.6)", "n_per_round: (40, 50)"]


def test_values_that_differ_a_little_or_in_shape_are_no_equals():
    result = sweep({"n_per_round": [[40, 30], [40, 31], 40], "task.noise": [0.5, 0.5 + 1e-6]})
    assert result.sizes["n_per_round"] == 3 and result.sizes["task.noise"] == 2


@pytest.mark.slow
def test_a_flag_is_an_axis():
    result = sweep({"task.estimate_noise": [False, True]})
    assert (result.log_noise.isel({"task.estimate_noise": 0}) == np.log(0.5)).all()
    assert len(np.unique(result.log_noise.isel({"task.estimate_noise": 1, "round": 1}))) == 12


@pytest.mark.parametrize(
    ("kind", "call", "words"),
    [
        (TypeError, lambda: sweep({"verifier.radius": 0.5}), r"over\['verifier.radius'\] must be a list of"),
        (TypeError, lambda: sweep({"workflow": "replace"}), r"over\['workflow'\] must be a list of values"),
        (TypeError, lambda: sweep(["verifier.radius"]), "over must be a dict"),
        (
            TypeError,
            lambda: sweep({"task.estimate_noise": ["no"]}),
            "estimate_noise must be True or False, got 'no'",
        ),
        (ValueError, lambda: sweep({"task.design": [1]}), "unknown path 'task.design'"),
        (
            ValueError,
            lambda: sweep({"verifier.radius": [0.3, 0.6, 0.3]}),
            r"over\['verifier.radius'\] must have values that differ, got 0.3 at 0 and at 2; .* raise chains",
        ),
        (ValueError, lambda: sweep({"n_real": [30, 30.0]}), "must have values that differ"),
        (ValueError, lambda: sweep({"workflow": ["replace", "replace"]}), "must have values that differ"),
        (
            ValueError,
            lambda: sweep({"workflow": [sc.replace(), sc.replace()]}),
            "must have values that differ",
        ),
        (
            ValueError,
            lambda: sweep({"workflow": ["replace", "accumulate", sc.replace()]}),
            r"values that differ, got Replace\(\) at 0 and at 2",
        ),
        (ValueError, lambda: sweep({"verifier": [sc.none(), "none"]}), "must have values that differ"),
        (
            ValueError,
            lambda: sweep({"verifier": [half_kept, sc.from_function(half_kept)]}),
            "must have values that differ",
        ),
        (ValueError, lambda: sweep({"n_per_round": [30, [30, 30]]}), "must have values that differ"),
        (
            ValueError,
            lambda: sweep({"n_per_round": [sc.linear_growth(30, 0), sc.geometric_growth(30, 1)]}),
            "must have values that differ",
        ),
        (
            ValueError,
            lambda: sweep({"verifier": [sc.knowledge_ball([0, 0], radius=r) for r in (0.3, 0.6, 0.3)]}),
            r"values that differ, got KnowledgeBall\(.*radius=0.3.*\) at 0 and at 2",
        ),
        (
            ValueError,
            lambda: sweep(
                {"verifier.center": [[0.0, 1.0], [0.0, 1.0]]}, ball=sc.knowledge_ball([0, 0], radius=1)
            ),
            r"values that differ, got \[0.0, 1.0\] at 0 and at 1",
        ),
        (ValueError, lambda: sweep({"task.design.dim": [1]}), "unknown path 'task.design.dim'"),
        (
            ValueError,
            lambda: sweep(
                {"verifier.center": [[0.0, 1.0], [0.0, np.nan]]}, ball=sc.knowledge_ball([0, 0], radius=1)
            ),
            "verifier.center must be finite, got nan at index",
        ),
        (
            ValueError,
            lambda: sweep({"workflow": [sc.accumulate_subsample(2)]}),
            "workflow.size must be >= 3 rows",
        ),
        (
            ValueError,
            lambda: sweep({"task": [TASK, sc.linear_regression(3)]}, record_model=True),
            "records differ in shape",
        ),
        (
            ValueError,
            lambda: sweep({}, quantiles=(0.5, 1.5)),
            r"quantiles must be in \[0, 1\], got 1.5 at index \(1,\)",
        ),
        (ValueError, lambda: sweep({}, quantiles=0.5), r"quantiles must have shape \(any,\)"),
        (ValueError, lambda: sweep({}, devices=[]), "devices must have at least one device"),
        (ValueError, lambda: sweep({}, max_tries=2**31), "max_tries must be <= 16777216, got 2147483648"),
        (
            ValueError,
            lambda: sweep({}, n_per_round=2**31 - 1),
            "n_per_round must be <= 1677721600 for this task",
        ),
        (
            ValueError,
            lambda: sweep({}, task=sc.linear_regression(100, design="orthogonal"), n_per_round=10**8),
            "n_per_round must be <= 21474836 for this task",
        ),
        (
            ValueError,
            lambda: sc.linear_regression(2, tolerance=[1.0, 2.0]),
            r"tolerance must have shape \(\)",
        ),
    ],
)
def test_bad_axis_or_option_is_named(kind, call, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.slow
def test_tasks_of_different_dimension_share_a_result_without_the_model():
    result = sweep({"task": [TASK, sc.linear_regression(3)]}, ball="none")
    assert result.squared_error.shape == (2, 12, 3)


def test_a_summary_names_the_first_frozen_chain():
    ball, biases = sc.knowledge_ball(bias=0.0, radius=0.5), {"verifier.bias": [0.1, 1000.0]}
    with pytest.warns(UserWarning, match="froze"):
        first = sweep(biases, ball=ball)["reason"].values[1, 0, 1]
    where = rf"froze \(first: verifier.bias=1000.0, chain 0, round 1: {chain.REASONS[first]}"
    with pytest.warns(UserWarning, match=where):
        result = sweep(biases, ball=ball, record="summary")
    assert result.attrs["num_frozen"] == 12
    assert result.attrs["first_frozen"].startswith("verifier.bias=1000.0, chain 0, round 1")


def test_a_summary_that_needs_too_much_memory_says_so():
    with pytest.raises(MemoryError, match="the result would need"):
        radii, quantiles = np.linspace(0.1, 1, 20), np.linspace(0, 1, 1000)
        sweep({"verifier.radius": radii}, record="summary", rounds=10**5, quantiles=quantiles)


def test_a_grid_too_large_to_be_listed_says_so():
    axis = np.linspace(0.1, 1, 5000)
    with pytest.raises(MemoryError, match=r"a grid of 25,000,000 cells would need about [0-9.]+ GiB"):
        sweep({"verifier.radius": axis, "task.noise": axis}, record="summary")


@pytest.mark.slow
def test_numpy_random_verifiers_draw_anew_and_lists_are_masks():
    """A verifier on the host gets a generator of its own for every chain and chunk; a list is as good as an array."""

    def coin(random, batch, model):
        return random.random(len(np.asarray(batch.y))) < 0.5

    def listed(random, batch, model):
        return [bool(y > 0) for y in np.asarray(batch.y)]

    result = sc.simulate(TASK, coin, "replace", **SIZES).isel(round=slice(1, None))
    assert len(np.unique(result.num_kept)) > 3
    kept = sc.simulate(TASK, listed, "replace", **SIZES).isel(round=slice(1, None))
    assert ((kept.num_kept > 5) & (kept.num_kept < 35)).all()


def test_kept_rounds_propose_no_more_than_max_tries_allows():
    never = sc.from_function(lambda key, batch, model: jnp.zeros(batch.y.shape, bool))
    with pytest.warns(UserWarning, match="froze"):
        result = sc.simulate(
            TASK, never, "replace", fixed="kept", max_tries=3, **(SIZES | {"n_per_round": 30})
        )
    np.testing.assert_array_equal(result.num_generated.isel(chain=0), [0, 90, 0])


def test_a_row_of_zeros_is_judged_by_the_slack_and_an_infinite_radius_accepts_it():
    rows = np.array([[0.0], [1.0], [2.0]])
    task = sc.linear_regression([1.0], design="fixed", rows=rows)
    sizes = SIZES | {"n_real": 30, "n_per_round": 30}
    wide = sc.simulate(task, sc.knowledge_ball([1.0], radius=np.inf), "replace", **sizes)
    assert (wide.num_kept.isel(round=slice(1, None)) == 30).all()
    tight = sc.simulate(task, sc.knowledge_ball([1.0], radius=1e6), "replace", **sizes)
    assert (tight.num_kept.isel(round=slice(1, None)) == 20).all()


def test_the_progress_bar_appears_only_when_asked_for_or_on_a_terminal(monkeypatch):
    make = rich.console.Console

    def shown(**options):
        text = io.StringIO()
        console = make(file=text, force_terminal=options.pop("terminal"), width=80)
        monkeypatch.setattr(rich.console, "Console", lambda **_: console)
        sweep({}, chains=64, block_size=16, **options)
        return "simulating" in text.getvalue()

    monkeypatch.setattr(engine, "PROGRESS_AFTER_S", 0.0)
    assert shown(terminal=True)
    assert shown(terminal=True, progress=True)
    assert not shown(terminal=False)
    assert not shown(terminal=True, progress=False)
    monkeypatch.setattr(engine, "PROGRESS_AFTER_S", 60.0)
    assert not shown(terminal=True)


def test_blocks_that_start_together_compile_once():
    """Two programs of eight blocks, of which two start at once."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **about: (
            compiled.append(about.get("fun_name")) if "backend_compile" in event else None
        )
    )
    try:
        sc.sweep(
            sc.gaussian(2), sc.none(), sc.replace(), over={"workflow": [sc.replace(), sc.accumulate()]},
            n_real=7, n_per_round=7, rounds=2, chains=64, block_size=8, seed=0, engine="sample",
        )  # fmt: skip
    finally:
        jax.monitoring.clear_event_listeners()
    assert compiled.count("jit(one)") == 2


def test_blocks_that_start_together_look_their_program_up_once(monkeypatch):
    made = []

    @functools.lru_cache
    def slowly(static):
        made.append(static)
        time.sleep(0.1)  # in which another thread would find nothing too
        return known(static)

    known = blocks.compiled_block
    monkeypatch.setattr(blocks, "compiled_block", slowly)
    sizes = {"n_real": 7, "n_per_round": 7, "rounds": 2, "chains": 64, "block_size": 8, "seed": 0}
    sc.simulate(sc.gaussian(2), "none", "replace", **sizes, engine="sample")
    assert len(made) == 1
