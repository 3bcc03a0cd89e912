"""Predicted error curves by simulation, for pipelines without an exact law, and to check approximations."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

import simcollapse as sc
from simcollapse.planning.pipeline import Pipeline

SLACK_ALONE = 1e-30  # radius of a verifier that has only slack; the ball's must be positive
MOST_CHAINS = 1000
FEWEST_CHAINS = 32  # below, a standard error is itself hardly known
WORK = 1e8  # random numbers (or products that cost as much) of one simulation; a few seconds on two cores
_MOST_WORK = 40 * WORK
_MOST_TABLE = 2**29  # bytes of the products of a table's columns that the engine keeps


class Simulated(NamedTuple):
    """Chains of a pipeline."""

    error: np.ndarray  # (C, K+1) squared error or excess risk of each chain, its mean in round 0 made exact
    frozen: float  # share of chains that could not go on

    @property
    def mean(self) -> np.ndarray:
        return self.error.mean(axis=0)

    @property
    def std_error(self) -> np.ndarray:
        spread = self.error.std(axis=0, ddof=1) / math.sqrt(len(self.error))
        return np.where(spread > 1e-12 * self.mean, spread, 0)  # rounding, where all chains are equal

    def difference(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard error of each round's error minus that of round `first`, within chains."""
        gap = self.error - self.error[:, first : first + 1]
        return gap.mean(axis=0), gap.std(axis=0, ddof=1) / math.sqrt(len(gap))


def experiment(pipeline: Pipeline) -> tuple[Any, Any, Any]:
    """Task, verifier and workflow of a pipeline."""
    population = pipeline.population
    if population is not None:
        task: Any = sc.LinearRegression.from_data(population.rows[:, 1:], population.response)
    else:
        task = sc.linear_regression(pipeline.dim, noise=pipeline.noise, design=pipeline.design)
    if not pipeline.verified:
        verifier: Any = sc.none()
    else:
        center = None if pipeline.trained_on is not None else np.asarray(task.truth) + pipeline.bias_vector
        verifier = sc.knowledge_ball(
            center,
            radius=pipeline.radius or SLACK_ALONE,
            slack=pipeline.slack,
            trained_on=pipeline.trained_on,
        )
    if pipeline.workflow == "accumulate_subsample":
        return task, verifier, sc.accumulate_subsample(pipeline.subsample)
    return task, verifier, {"replace": sc.replace, "accumulate": sc.accumulate}[pipeline.workflow]()


def affordable_chains(pipeline: Pipeline) -> int:
    """Chains that a few seconds allow, at most MOST_CHAINS; 0 where not even a few would end in a minute."""
    population = pipeline.population
    if pipeline.unlimited:
        return 0
    if population is not None and len(population.rows) * pipeline.dim**2 * 4 > _MOST_TABLE:
        return 0
    counts = pipeline.counts(pipeline.rounds)
    rows = float(counts.sum() + pipeline.n_real)
    numbers = {"orthogonal": pipeline.dim, "gaussian": pipeline.dim + 1, "table": 1 + pipeline.dim**2 / 20}
    work = rows * numbers[pipeline.design]
    if pipeline.workflow == "accumulate_subsample":  # sorts the pool in every round
        stored = rows * (pipeline.dim if pipeline.design == "orthogonal" else 1)
        work += 2 * stored * pipeline.rounds
    if FEWEST_CHAINS * work > _MOST_WORK:
        return 0
    return int(np.clip(WORK / work, FEWEST_CHAINS, MOST_CHAINS))


def run(pipeline: Pipeline, *, chains: int, seed: int) -> Simulated:
    """`chains` chains of the pipeline, sampled row by row unless a round has an exact law.

    Where the expected error of round 0 is known, it serves as control variate for the later rounds.
    """
    task, verifier, workflow = experiment(pipeline)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*chains froze")  # reported by `frozen`
        result = sc.simulate(
            task,
            verifier,
            workflow,
            n_real=pipeline.n_real,
            n_per_round=pipeline.n_per_round,
            rounds=pipeline.rounds,
            chains=chains,
            seed=seed,
            rejected=pipeline.rejected,
            engine="auto",
        )
    name = "squared_error" if pipeline.population is None else "excess_risk"
    error = np.asarray(result[name], dtype=float)
    return Simulated(
        error=error if pipeline.population is not None else _controlled(error, pipeline.start),
        frozen=float(1 - result["alive"].isel(round=-1).mean()),
    )


def _controlled(error: np.ndarray, start: float) -> np.ndarray:
    """Errors less the part that the luck of round 0 explains, by least squares on its error; shape (C, K+1)."""
    luck = error[:, 0] - start
    around = luck - luck.mean()
    share = around @ (error - error.mean(axis=0)) / (around @ around)
    return error - np.outer(luck, share)
