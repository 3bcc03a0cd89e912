"""Drawing a round's statistics from their law is the same random process as drawing its rows.

Two-sample tests: different seeds, so the engines share nothing. The noise is refitted each round, so that
the whole state of a chain (fit and noise) depends on all three statistics of a round.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest

import simcollapse as sc
from tests.helpers import assert_same_distribution

DIM, ROUNDS, CHAINS = 3, 4, 6000
RESOLUTION = 0.12  # largest gap between two distribution functions that may go unseen with 6000 chains
ROWS = np.random.default_rng(5).normal(size=(12, DIM))
COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.5], [0.0, -0.5, 0.5]])

DESIGNS = {
    "gaussian": dict(design="gaussian"),
    "covariance": dict(design="gaussian", covariance=COVARIANCE),
    "orthogonal": dict(design="orthogonal"),
    "fixed": dict(design="fixed", rows=ROWS),
}
WORKFLOWS = {"replace": sc.replace, "accumulate": sc.accumulate}


class Case(NamedTuple):
    design: str
    workflow: str
    n_real: int
    n_per_round: int | tuple[int, ...]
    slow: bool


CASES = [
    Case("gaussian", "replace", 15, 12, slow=False),
    Case("orthogonal", "accumulate", 5, 3, slow=False),
    Case("fixed", "replace", 12, 12, slow=True),
    Case("gaussian", "accumulate", 10, (5, 10, 20, 40), slow=True),
    Case("covariance", "replace", 15, 12, slow=True),
    Case("covariance", "accumulate", 15, 12, slow=True),
    Case("orthogonal", "replace", 5, (3, 4, 5, 6), slow=True),
    Case("fixed", "accumulate", 12, (12, 24, 12, 24), slow=True),
]


@functools.cache
def simulated(case: Case, engine: str, n_per_round: int | None = None) -> dict[str, np.ndarray]:
    """squared_error and log_noise, both (C, K + 1)."""
    dataset = sc.simulate(
        sc.linear_regression([1.0, -2.0, 0.5], noise=0.7, estimate_noise=True, **DESIGNS[case.design]),
        sc.none(),
        WORKFLOWS[case.workflow](),
        n_real=case.n_real,
        n_per_round=n_per_round or case.n_per_round,
        rounds=ROUNDS,
        chains=CHAINS,
        seed={"law": 1, "sample": 2}[engine],
        engine=engine,
        block_size=512,
    )
    assert dataset.attrs["engine"] == engine
    assert dataset.attrs["num_frozen"] == 0
    return {name: np.asarray(dataset[name]) for name in ("squared_error", "log_noise")}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case.design}-{case.workflow}", marks=[pytest.mark.slow] if case.slow else [])
        for case in CASES
    ],
)
def test_engines_agree(case):
    law, sample = simulated(case, "law"), simulated(case, "sample")
    for name in law:
        for k in (0, 1, ROUNDS):
            assert_same_distribution(law[name][:, k], sample[name][:, k], RESOLUTION)
    # a round given the one before: its step, and how it goes with the noise
    steps = [arm["log_noise"][:, -1] - arm["log_noise"][:, -2] for arm in (law, sample)]
    assert_same_distribution(*steps, RESOLUTION)
    ratios = [np.log(arm["squared_error"][:, -1]) - 2 * arm["log_noise"][:, -2] for arm in (law, sample)]
    assert_same_distribution(*ratios, RESOLUTION)


@pytest.mark.parametrize("name", ["squared_error", "log_noise"])
def test_power(name):
    """Fewer rows in one engine are seen in either statistic."""
    case = CASES[0]
    law, sample = simulated(case, "law", n_per_round=8), simulated(case, "sample")
    with pytest.raises(AssertionError, match="distribution functions differ"):
        assert_same_distribution(law[name][:, -1], sample[name][:, -1], RESOLUTION)


def test_no_law_for_a_subset_of_rows():
    with pytest.raises(ValueError, match="AccumulateSubsample draws among rows"):
        sc.simulate(
            sc.linear_regression(2),
            sc.none(),
            sc.accumulate_subsample(),
            n_real=10,
            n_per_round=10,
            rounds=1,
            chains=1,
            seed=0,
            engine="law",
        )
