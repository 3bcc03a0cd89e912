"""Places of tokens as rotations of queries and keys (RoPE), with the scalings that stretch them to longer texts.

Number h and number h + H/2 of a head are turned together, by place times frequency h; the interleaved convention
(2h, 2h + 1) is the same with the numbers in another order.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

KINDS = ("default", "linear", "llama3", "yarn", "dynamic", "longrope")
BY_LENGTH = ("dynamic", "longrope")  # kinds whose frequencies depend on how long texts are


@dataclasses.dataclass(frozen=True)
class Rope:
    """Frequencies base^(-2h / H), divided by a factor.

    kind "default": by 1. "linear": all of them by `factor`. "llama3": those that turn less than `low` times within
    `original` tokens by `factor`, those that turn more than `high` times by 1, those between by what joins the two in
    the number of turns. "yarn": the same, but joined in h, whose ends are rounded outwards to whole numbers.

    Two kinds depend on the tokens of the longest text, T. "dynamic": a larger base once T is more than `original`, so
    that the lowest frequency falls to what it would be divided by factor (T / original - 1) + 1. "longrope": each
    frequency by its entry of `long` if T is more than `original`, else of `short`.

    Source of "yarn": Peng, Quesnelle, Fan and Shippole 2023 (arXiv 2309.00071), section 3, and of "dynamic" appendix B;
    of "longrope" Ding et al. 2024 (arXiv 2402.13753); all as `transformers` has them.
    """

    base: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192
    magnitude: float = 1.0  # of queries and keys after turning, times what they were
    rounded: bool = True  # whether the ends of "yarn" are
    short: tuple[float, ...] = ()  # divisors of "longrope", (head / 2,)
    long: tuple[float, ...] = ()


def frequencies(rope: Rope, head: int, length: int) -> np.ndarray:
    """Radians a token, (head / 2,), double precision, where the longest text has `length` tokens."""
    base = rope.base
    if rope.kind == "dynamic":
        stretched = rope.factor * max(length / rope.original, 1) - (rope.factor - 1)
        base *= stretched ** (head / (head - 2))
    plain = base ** -(np.arange(0, head, 2) / head)
    if rope.kind in ("default", "dynamic"):
        return plain
    if rope.kind == "longrope":
        return plain / np.array(rope.long if length > rope.original else rope.short)
    if rope.kind == "linear":
        return plain / rope.factor
    if rope.kind == "yarn":
        return plain * (1 - _beyond(rope, head) * (1 - 1 / rope.factor))
    turns = rope.original * plain / (2 * math.pi)
    kept = np.clip((turns - rope.low) / (rope.high - rope.low), 0, 1)
    return plain * (kept + (1 - kept) / rope.factor)


def _beyond(rope: Rope, head: int) -> np.ndarray:
    """How far each frequency is on the way from those that are kept, 0, to those that are divided, 1."""

    def place(turns):
        return head * math.log(rope.original / (turns * 2 * math.pi)) / (2 * math.log(rope.base))

    first, last = place(rope.high), place(rope.low)
    if rope.rounded:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head - 1)
    return np.clip((np.arange(head // 2) - first) / max(last - first, 0.001), 0, 1)


class Turn(NamedTuple):
    """Cosines and sines of the angles times a magnitude, (B, T, 1, H/2)."""

    cos: jax.Array
    sin: jax.Array


def turn_to(places: jax.Array, frequencies: np.ndarray, magnitude: float = 1.0) -> Turn:
    """The turn of tokens at `places`, (B, T)."""
    angles = places[..., None, None] * jnp.asarray(frequencies, jnp.float32)
    # Behind the barrier XLA does not compute them again in every layer.
    return jax.lax.optimization_barrier(Turn(magnitude * jnp.cos(angles), magnitude * jnp.sin(angles)))


def rotate(x: jax.Array, turn: Turn) -> jax.Array:
    """Queries or keys x, (B, T, K, H), turned."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * turn.cos - second * turn.sin, second * turn.cos + first * turn.sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
