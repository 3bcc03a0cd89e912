"""Timing by turns, sizes and ratios, on actions whose length is known."""

import time

import numpy as np
import pytest

from simcollapse.bench import timing
from simcollapse.bench.timing import Action


def test_runs_take_turns():
    order = []
    actions = {name: Action(lambda name=name: order.append(name), 1) for name in "ab"}
    taken = timing.interleaved(actions, 3)
    assert order == list("ababab")
    assert taken["a"].shape == (3,)


def test_summary_is_work_over_the_median_and_over_the_fastest():
    made = timing.summary(np.array([4.0, 1.0, 2.0]), 8)
    assert made == {
        "rate": 4.0,
        "best_rate": 8.0,
        "median_s": 2.0,
        "minimum_s": 1.0,
        "work": 8,
        "repeats": 3,
    }


def test_speedup_compares_neighbours_and_counts_work():
    # the machine slows down by ten in the second half: rates of neighbours do not show it
    taken = {"fast": np.array([1.0, 1.0, 10.0, 10.0]), "slow": np.array([3.0, 3.0, 30.0, 30.0])}
    actions = {"fast": Action(lambda: None, 20), "slow": Action(lambda: None, 10)}
    assert timing.speedup(taken, actions, "fast", "slow") == pytest.approx(6)


def test_sizes_grow_until_a_run_is_long_enough():
    def make(size):
        return Action(lambda: time.sleep(1e-3 * size), size, size)

    assert 16 <= timing.sized(make, 1, 0.04).size <= 128
    assert timing.sized(make, 1, 0.04, most=4).size == 4
    assert timing.sized(make, 100, 0.001, least=3).size == 3


def test_the_action_with_most_work_per_second_is_found():
    candidates = {"idle": Action(lambda: time.sleep(0.02), 1), "busy": Action(lambda: time.sleep(0.02), 10)}
    assert timing.fastest(candidates, 0.01) == "busy"
