"""The simulations that the checks share.

Most of a check's time is compilation, and a program is compiled once for each structure (design, dimension,
rounds, workflow, kind of verifier, sampling): so checks use these few, at sizes of their own. Chains are
remembered by their settings: checks of the same chains simulate them once.
"""

import functools
import types
from typing import Any, NamedTuple

import numpy as np

from simcollapse import engine
from simcollapse.tasks import linear_regression
from simcollapse.verifiers import knowledge_ball, none
from simcollapse.workflows import accumulate, accumulate_subsample, replace

DIM = 4  # of every orthogonal and Gaussian design
ROUNDS = 8
SUBSET_ROWS = 40  # of every subset drawn from a pool; it is part of the program
BLOCK = 128  # chains of a block: another size would be another program
TRUTH = (1.0, -1.0, 0.5, 2.0)
LEVEL = (0.5, 0.5, 0.5, 0.5)  # unit vector: the same bias in every direction
UNEVEN = (0.5, 0.1, -0.7, 0.5)  # unit vector: directions that differ

WORKFLOWS = {"replace": replace, "accumulate": accumulate, "accumulate_subsample": accumulate_subsample}


class Chains(NamedTuple):
    """Whole chains as NumPy arrays in float64."""

    deviation: np.ndarray  # (C, K + 1, D), fit minus knowledge center
    start: np.ndarray  # (D,), truth minus center
    squared_error: np.ndarray  # (C, K + 1), |fit - truth|^2


def noted(dataset) -> Any:
    """`dataset`, after checking that no chain froze: a frozen chain follows another law.

    Raises:
        RuntimeError: some did. The settings of a check must make that negligible.
    """
    if dataset.attrs["num_frozen"]:
        raise RuntimeError(f"{dataset.attrs['num_frozen']} chains froze, so this check says nothing")
    return dataset


@functools.lru_cache(maxsize=32)
def orthogonal_chains(
    *,
    bias: float,
    radius: float,
    n_real: int,
    n_per_round: int,
    chains: int,
    seed: int,
    noise: float = 1.0,
    direction: tuple[float, ...] = LEVEL,
    rejected: str = "drop",
    workflow: str = "replace",
    rounds: int = ROUNDS,
    slack: float = 0.0,
    truth: tuple[float, ...] = TRUTH,
) -> Chains:
    """Ball-verified chains on the orthogonal design; sizes are rows per direction.

    bias is the distance from the truth to the center along `direction`, a unit vector. rejected="resample"
    makes n_per_round the kept count.
    """
    dataset = engine.simulate(
        linear_regression(truth, noise=noise, design="orthogonal"),
        knowledge_ball(bias=bias, direction=direction, radius=radius, slack=slack),
        WORKFLOWS[workflow](),
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=rounds,
        chains=chains,
        seed=seed,
        rejected=rejected,
        record_model=True,
        block_size=BLOCK,
        progress=False,
    )
    to_center = bias * np.asarray(direction) / np.linalg.norm(direction)
    error = as_float64(noted(dataset).model_coef) - np.asarray(truth)
    return Chains(error - to_center, -to_center, (error**2).sum(axis=-1))


def subsampled_mean(*, bias: float, radius: float, chains: int) -> Chains:
    """Chains that estimate a mean (d = 1, x = 1) from random subsets of all rows kept so far."""
    return orthogonal_chains(
        bias=bias,
        radius=radius,
        n_real=SUBSET_ROWS,
        n_per_round=SUBSET_ROWS,
        chains=chains,
        seed=8,
        direction=(1.0,),
        truth=TRUTH[:1],
        rejected="resample",
        workflow="accumulate_subsample",
    )


def unjudged(task, workflow, *, n: int, rounds: int, seed: int, n_real: int | None = None, **options) -> Any:
    """Chains without a verifier, n rows a round and, unless said, in round 0; variables as attributes in float64."""
    return arrays(
        engine.simulate(
            task,
            none(),
            workflow,
            n_real=n if n_real is None else n_real,
            n_per_round=n,
            rounds=rounds,
            seed=seed,
            block_size=BLOCK,
            progress=False,
            **{"chains": 4096} | options,
        )
    )


def arrays(dataset) -> Any:
    """Its variables as attributes, arrays in float64 with chains leading; no chain may have frozen."""
    return types.SimpleNamespace(
        **{str(name): as_float64(values) for name, values in noted(dataset).data_vars.items()}
    )


def as_float64(array) -> np.ndarray:
    """Values of a result variable, chains leading, in float64."""
    return np.asarray(array, dtype=np.float64)
