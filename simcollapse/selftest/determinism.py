"""The same block twice, and on each local device, must give the same bits."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import xarray as xr

from simcollapse import engine
from simcollapse.selftest import against_theory
from simcollapse.selftest.check import Check, Measurement
from simcollapse.tasks import designs, linear_regression
from simcollapse.verifiers import knowledge_ball
from simcollapse.workflows import replace

DIM = designs.FEW + 1  # so that products of matrices are in it
CHUNKS, CHAINS, SEED = 4, 64, 11
MOST_DEVICES = 8


def given_rows() -> np.ndarray:
    """The design, repeated until there are enough."""
    return np.random.default_rng(3).normal(size=(designs.CHUNK, DIM)).astype(np.float32)


def simulated(device: Any) -> xr.Dataset:
    """Regressions in single precision, with products of matrices; `precision` judges the fits of their round 0."""
    with jax.enable_x64(False):
        task = linear_regression(DIM, design="fixed", rows=given_rows())
        verifier = knowledge_ball(bias=0.1, radius=0.3, slack=0.5)
        return fitted(task, verifier, rounds=4, chains=CHAINS, device=device)


def fitted(task: Any, verifier: Any, *, rounds: int, chains: int, device: Any) -> xr.Dataset:
    """One block of chains with their models recorded, every fit to `CHUNKS` chunks of rows."""
    count = CHUNKS * designs.CHUNK
    return engine.simulate(
        task,
        verifier,
        replace(),
        n_real=count,
        n_per_round=count,
        rounds=rounds,
        chains=chains,
        seed=SEED,
        block_size=chains,
        record_model=True,
        progress=False,
        devices=[device],
    )


def _coefficients(device: Any) -> np.ndarray:
    return simulated(device).model_coef.values


def _different(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sum(first.view(np.uint8) != second.view(np.uint8)))


def _bits(planted: bool) -> Iterator[Measurement]:
    first, *others = jax.local_devices()[:MOST_DEVICES]
    run = against_theory.SIMULATED[
        "ball"
    ]  # in double precision, where there is one; compiled for another check
    for what, once, again in (
        ("the same block twice", _coefficients(first), _coefficients(first)),
        ("the same sweep twice", against_theory.simulated("ball"), run()),
    ):
        again = np.nextafter(again, np.asarray(np.inf, again.dtype)) if planted else again
        words = f"of {once.nbytes}, {once.dtype}"
        yield Measurement(f"bytes that differ, {what}", _different(once, again), 0.0, words)
    for device in others:
        different = _different(_coefficients(first), _coefficients(device))
        yield Measurement(f"bytes that differ on {device}", different, 0.0)
    if not others:
        yield Measurement("other local devices", 0.0, None, "none to compare with")


BITS = Check("determinism", "every result one unit in the last place higher", False, _bits)
