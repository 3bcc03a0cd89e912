"""The plain loops over the generative tasks make the same random process as the engine."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from simcollapse.bench import generative, generative_loops
from simcollapse.bench.generative import GenerativeCase
from tests.helpers import assert_same_distribution

CHAINS = 1000
SIZES = {"gaussian": (2, 12), "kde": (2, 12), "discrete": (5, 12), "linear_regression": (2, 31)}
FAST = {("discrete", "accumulate_subsample")}
CASES = [
    pytest.param(
        GenerativeCase(task, workflow, *SIZES[task], length=4),
        id=f"{task}-{workflow}",
        marks=() if (task, workflow) in FAST else pytest.mark.slow,
    )
    for task in generative.TASKS
    for workflow in generative.WORKFLOWS
]


def agree(case, outcome, result):
    """In round 0, the first retrained one and the last, in distribution."""
    for name in generative_loops.METRICS[case.task]:
        for k in (0, 1, -1):
            # few values are possible where outcomes are counted: those that differ by rounding are one
            first, second = (np.round(one[:, k], 9) for one in (outcome[name], result[name].values))
            assert_same_distribution(first, second, resolution=0.25)


@pytest.mark.parametrize("case", CASES)
def test_the_plain_loop_agrees_with_the_engine(case):
    result = case.simulate(CHAINS, seed=5, engine=case.engines[0])
    agree(case, generative_loops.one_at_a_time(case, CHAINS, np.random.default_rng(7)), result)
    others = [workflow for workflow in generative.WORKFLOWS if workflow != case.workflow]
    for workflow in others:  # a loop with another pool would be seen
        wrong = dataclasses.replace(case, workflow=workflow)
        with pytest.raises(AssertionError, match="distribution functions differ"):
            agree(case, generative_loops.one_at_a_time(wrong, CHAINS, np.random.default_rng(7)), result)


def test_loops_of_all_tasks_keep_pools_as_their_workflow_says():
    for task, sizes in SIZES.items():
        for workflow in generative.WORKFLOWS:
            case = GenerativeCase(task, workflow, *sizes, length=3)
            outcome = generative_loops.one_at_a_time(case, 2, np.random.default_rng(0))
            assert set(outcome) == set(generative_loops.METRICS[task])
            for values in outcome.values():
                assert values.shape == (2, 4)
                assert np.all(np.isfinite(values))
                assert np.all(values[0] != values[1]) or task == "discrete"  # counts may be equal


def test_the_grid_is_the_published_one():
    cases, skipped = generative.grid()
    sizes = {(case.dim, case.n) for case in cases if case.task == "gaussian"}
    assert len(sizes) == 25
    assert sizes == {(d, n) for d in generative.DIMS for n in generative.SIZES}
    assert {case.workflow for case in cases} == set(generative.WORKFLOWS)
    assert {"case": "discrete, m=1", "reason": "one outcome is no distribution"} in skipped
    regressions = {(case.dim, case.n) for case in cases if case.task == "linear_regression"}
    assert all(d <= 0.4 * n for d, n in regressions)
    assert len(regressions) + sum("linear_regression" in item["case"] for item in skipped) == 25


def test_chains_are_shorter_where_a_loop_would_take_long():
    def rounds(*args):
        return GenerativeCase(*args).rounds

    assert rounds("gaussian", "accumulate", 1, 10) == 100
    assert rounds("gaussian", "replace", 3, 100) == 100
    assert rounds("gaussian", "replace", 10, 100) == 20  # the engine would take long
    assert rounds("gaussian", "accumulate", 100, 1000) == 10
    assert rounds("kde", "accumulate", 1, 1000) == 10
    assert GenerativeCase("kde", "accumulate", 1, 1000, length=7).rounds == 7


def test_a_frozen_chain_stops_the_benchmark(monkeypatch):
    alive = xr.DataArray([[True, True], [True, False]], dims=("chain", "round"))
    monkeypatch.setattr(generative.sc, "simulate", lambda *args, **options: xr.Dataset({"alive": alive}))
    with pytest.raises(RuntimeError, match="a chain froze in the case gaussian, replace, d=2, n=20"):
        GenerativeCase("gaussian", "replace", 2, 20).simulate(2)
