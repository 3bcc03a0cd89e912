"""The generator in use: its uniforms and normals, and the independence of keys that are neighbours."""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from simcollapse import chain, keys
from simcollapse.selftest.check import MISS, Check, Measurement, distribution, limit_of_scores, scores

COUNT = 2**20  # numbers of a law
CHAINS, ROUNDS, DRAWS = 1024, 16, 8  # of the table on which neighbours are compared
SEED = 20240607

# E x^j of a standard normal x, j = 0..8
_NORMAL = (1, 0, 1, 0, 3, 0, 15, 0, 105)


def _moments(values: np.ndarray, expected: tuple[float, ...]) -> tuple[list[float], float]:
    """z-scores of the first four moments, and the standard error of the first over its spread."""
    count = len(values)
    z = []
    for j in range(1, 5):
        spread = math.sqrt((expected[2 * j] - expected[j] ** 2) / count)
        z.append(float((np.mean(values**j) - expected[j]) / spread))
    return z, 1 / math.sqrt(count)


def _power(unit: float, entries: int) -> str:
    from scipy.stats import norm

    return f"sees {(limit_of_scores(entries) + norm.isf(MISS)) * unit:.2g} standard deviations"


def _uniforms(planted: bool) -> Iterator[Measurement]:
    key = keys.for_purpose(keys.root(SEED), keys.REAL)
    values = np.asarray(jax.random.uniform(key, (COUNT,), dtype=float), dtype=np.float64)
    if planted:
        values = np.floor(values * 128) / 128
    z, unit = _moments(values, tuple(1 / (j + 1) for j in range(9)))
    yield scores("uniforms, first four moments", z, _power(unit, 5), 5)
    yield distribution("uniforms, whole distribution", values, lambda x: x, 5)
    outside = float(np.sum((values < 0) | (values >= 1)))
    yield Measurement("uniforms outside [0, 1)", outside, 0.0)


UNIFORMS = Check("uniform numbers", "seven bits in place of all", True, _uniforms)


def _normals(planted: bool) -> Iterator[Measurement]:
    key = keys.for_purpose(keys.root(SEED), keys.GENERATE)
    values = np.asarray(jax.random.normal(key, (COUNT,), dtype=float), dtype=np.float64)
    if planted:
        values = 1.01 * values
    z, unit = _moments(values, _NORMAL)
    # a fourth moment is no normal variable that far out; the tail is counted instead
    yield scores("normals, first three moments", z[:3], _power(unit, 6), 6)
    far = ndtr(-2.5) * 2
    spread = math.sqrt(COUNT * far * (1 - far))
    yield scores(
        "normals beyond 2.5 in magnitude",
        (np.sum(np.abs(values) > 2.5) - COUNT * far) / spread,
        f"sees {(limit_of_scores(6) + 3.1) * spread / (COUNT * far):.2g} of them",
        6,
    )
    yield distribution("normals, whole distribution", values, ndtr, 6)


NORMALS = Check("normal numbers", "a standard deviation of 1.01", True, _normals)


def _table(planted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Normals of chain, round and draw, two purposes, and the keys' own bits, (C, K, …)."""

    def one(cell_chain, k):
        key = chain.keys_of_round(keys.chain_key(keys.root(SEED), cell_chain[:1], cell_chain[1]), k)
        purposes = [keys.for_purpose(key, purpose) for purpose in (keys.GENERATE, keys.VERIFY)]
        bits = jax.random.key_data(purposes[0])
        return jnp.stack([jax.random.normal(p, (DRAWS,), dtype=float) for p in purposes]), bits

    chains = np.arange(CHAINS, dtype=np.uint32)
    chains = chains // 64 * 64 + np.maximum(chains % 64, 1) if planted else chains  # one in 64 shares a key
    numbers = np.stack([np.zeros_like(chains), chains], axis=1)
    every = jax.vmap(one, in_axes=(0, None))
    # round by round, as the simulator does; a second batch axis would take three times as long to compile
    run = jax.jit(lambda numbers, rounds: jax.lax.map(lambda k: every(numbers, k), rounds))
    normals, bits = run(jnp.asarray(numbers), jnp.arange(ROUNDS, dtype=jnp.int32))
    return np.swapaxes(np.asarray(normals, dtype=np.float64), 0, 1), np.swapaxes(np.asarray(bits), 0, 1)


def _neighbours(planted: bool) -> Iterator[Measurement]:
    normals, bits = _table(planted)
    pairs = {
        "neighbouring chains": (normals[1:], normals[:-1]),
        "chains two apart": (normals[2:], normals[:-2]),
        "neighbouring rounds": (normals[:, 1:], normals[:, :-1]),
        "two purposes": (normals[:, :, 0], normals[:, :, 1]),
        "one draw and the next": (normals[..., 1:], normals[..., :-1]),
    }
    for what, (first, second) in pairs.items():
        # both sums have mean 0 and variance 1 where all numbers are independent and normal
        straight = np.sum(first * second) / math.sqrt(first.size)
        squared = np.sum((first**2 - 1) * (second**2 - 1)) / (2 * math.sqrt(first.size))
        seen = (limit_of_scores(2 * len(pairs)) + 3.1) / math.sqrt(first.size)
        yield scores(
            f"correlation, {what}", [straight, squared], f"sees a correlation of {seen:.2g}", 2 * len(pairs)
        )
    words = bits.reshape(-1, bits.shape[-1])
    yield Measurement(
        "keys that occur twice", float(len(words) - len(np.unique(words, axis=0))), 0.0, f"of {len(words)}"
    )


NEIGHBOURS = Check("independence of neighbouring keys", "one chain in 64 shares its key", True, _neighbours)
