"""The same block twice, and on each local device, must give the same bits."""

from collections.abc import Iterator

import jax
import numpy as np

from simcollapse import engine
from simcollapse.selftest.check import Check, Measurement
from simcollapse.tasks import designs, linear_regression
from simcollapse.verifiers import knowledge_ball
from simcollapse.workflows import replace

DIM = designs.FEW + 1  # so that products of matrices are in it
MOST_DEVICES = 8


def _errors(device) -> np.ndarray:
    return engine.simulate(
        linear_regression(DIM, design="fixed", rows=np.random.default_rng(3).normal(size=(100, DIM))),
        knowledge_ball(bias=0.1, radius=0.3, slack=0.5),
        replace(),
        n_real=200,
        n_per_round=300,
        rounds=4,
        chains=64,
        seed=1,
        block_size=64,
        devices=[device],
        progress=False,
    ).squared_error.values


def _different(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sum(first.view(np.uint8) != second.view(np.uint8)))


def _bits(planted: bool) -> Iterator[Measurement]:
    first, *others = jax.local_devices()[:MOST_DEVICES]
    once, again = _errors(first), _errors(first)
    again = np.nextafter(again, np.inf) if planted else again
    yield Measurement(
        "bytes that differ, the same block twice", _different(once, again), 0.0, f"of {once.nbytes}"
    )
    for device in others:
        yield Measurement(f"bytes that differ on {device}", _different(once, _errors(device)), 0.0)
    if not others:
        yield Measurement("other local devices", 0.0, None, "none to compare with")


BITS = Check("determinism", "every result one unit in the last place higher", False, _bits)
