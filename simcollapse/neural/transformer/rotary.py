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

KINDS = ("default", "linear", "llama3")


@dataclasses.dataclass(frozen=True)
class Rope:
    """Frequencies base^(-2h / H), divided by a factor.

    kind "default": by 1. "linear": all of them by `factor`. "llama3": those that turn less than `low` times within
    `original` tokens by `factor`, those that turn more than `high` times by 1, those between by what joins the two.
    """

    base: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192


def frequencies(rope: Rope, head: int) -> np.ndarray:
    """Radians a token, (head / 2,), double precision."""
    plain = rope.base ** -(np.arange(0, head, 2) / head)
    if rope.kind == "default":
        return plain
    if rope.kind == "linear":
        return plain / rope.factor
    turns = rope.original * plain / (2 * math.pi)
    kept = np.clip((turns - rope.low) / (rope.high - rope.low), 0, 1)
    return plain * (kept + (1 - kept) / rope.factor)


class Turn(NamedTuple):
    """Cosines and sines of the angles, (B, T, 1, H/2)."""

    cos: jax.Array
    sin: jax.Array


def turn_to(places: jax.Array, frequencies: np.ndarray) -> Turn:
    """The turn of tokens at `places`, (B, T)."""
    angles = places[..., None, None] * jnp.asarray(frequencies, jnp.float32)
    return Turn(jnp.cos(angles), jnp.sin(angles))


def rotate(x: jax.Array, turn: Turn) -> jax.Array:
    """Queries or keys x, (B, T, K, H), turned."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * turn.cos - second * turn.sin, second * turn.cos + first * turn.sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
