"""Attention of many heads, and the keys and values that it keeps from one token to the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx


class Cache(NamedTuple):
    """Keys and values of a sequence, (B, S, K, H): S places, K heads, H numbers a head."""

    key: jax.Array
    value: jax.Array


def empty_cache(batch: int, places: int, heads: int, width: int, dtype: Any = jnp.float32) -> Cache:
    """Room for `places` tokens."""
    nothing = jnp.zeros((batch, places, heads, width), dtype)
    return Cache(nothing, nothing)


def write(cache: Cache, new: Cache, at: jax.Array) -> Cache:
    """The cache with `new` from place `at` on."""
    return jax.tree.map(lambda c, n: jax.lax.dynamic_update_slice_in_dim(c, n, at, axis=1), cache, new)


def attend(query: jax.Array, memory: Cache, mask: jax.Array | None = None) -> jax.Array:
    """softmax(q k / sqrt(H)) v, (B, T, Q, H), for queries (B, T, Q, H) and a memory of K heads.

    Q is a multiple of K; every Q / K query heads in a row share a key head. mask (T, S) or (B, T, S), true where a
    query may look; None: everywhere. The softmax is in single precision.
    """
    batch, length, heads, width = query.shape
    shared = memory.key.shape[2]
    query = query.reshape(batch, length, shared, heads // shared, width)
    scores = jnp.einsum("btkgh,bskh->bkgts", query, memory.key).astype(jnp.float32) * width**-0.5
    if mask is not None:
        mask = jnp.broadcast_to(mask, (batch, *mask.shape[-2:]))
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weight = jax.nn.softmax(scores, axis=-1).astype(query.dtype)
    out = jnp.einsum("bkgts,bskh->btkgh", weight, memory.value)
    return out.reshape(batch, length, heads, width)


def causal(length: int) -> jax.Array:
    """Mask (length, length): a token sees itself and earlier ones."""
    return jnp.tril(jnp.ones((length, length), bool))


class Attention(nnx.Module):
    """Queries of one sequence on the keys and values of a sequence, its own or another."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.heads, self.kv_heads, self.head = heads, kv_heads or heads, width // heads
        self.query = nnx.Linear(width, heads * self.head, dtype=dtype, rngs=rngs)
        self.key_value = nnx.Linear(width, 2 * self.kv_heads * self.head, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(heads * self.head, width, dtype=dtype, rngs=rngs)

    def memory(self, x: jax.Array) -> Cache:
        """Keys and values of x (B, S, width)."""
        both = self.key_value(x).reshape(*x.shape[:-1], 2 * self.kv_heads, self.head)
        return Cache(*jnp.split(both, 2, axis=-2))

    def __call__(self, x: jax.Array, memory: Cache, mask: jax.Array | None = None) -> jax.Array:
        """(B, T, width), for x (B, T, width)."""
        query = self.query(x).reshape(*x.shape[:-1], self.heads, self.head)
        return self.out(attend(query, memory, mask).reshape(*x.shape[:-1], -1))


class Mlp(nnx.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int, hidden: int, *, dtype: Any = jnp.float32, rngs: nnx.Rngs):
        self.inside = nnx.Linear(width, hidden, dtype=dtype, rngs=rngs)
        self.outside = nnx.Linear(hidden, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, T, width)."""
        return self.outside(nnx.gelu(self.inside(x)))
