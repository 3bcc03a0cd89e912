"""Attention of many heads with the keys and values that it keeps from token to token; feed-forward layers; a norm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from simcollapse.neural.transformer.products import dot_general
from simcollapse.neural.transformer.rotary import Turn, rotate


class Cache(NamedTuple):
    """Keys and values of a sequence, (B, K, S, H): K heads, S places, H numbers a head, as products take them."""

    key: jax.Array
    value: jax.Array


def empty_cache(batch: int, places: int, heads: int, width: int, dtype: Any = jnp.float32) -> Cache:
    """Room for `places` tokens."""
    nothing = jnp.zeros((batch, heads, places, width), dtype)
    return Cache(nothing, nothing)


def write(cache: Cache, new: Cache, at: jax.Array) -> Cache:
    """The cache with `new` from place `at` on."""
    return jax.tree.map(lambda c, n: jax.lax.dynamic_update_slice_in_dim(c, n, at, axis=2), cache, new)


def attend(
    query: jax.Array,
    memory: Cache,
    mask: jax.Array | None = None,
    *,
    scale: float | None = None,
    cap: float | None = None,
) -> jax.Array:
    """softmax(scale q k) v, (B, T, Q, H), for queries (B, T, Q, H) and a memory of K heads.

    Q is a multiple of K; every Q / K query heads in a row share a key head. mask (T, S) or (B, T, S), true where a
    query may look; None: everywhere. scale None: 1 / sqrt(H). With a cap, scores s become cap tanh(s / cap). The
    softmax is in single precision.
    """
    batch, length, heads, width = query.shape
    shared = memory.key.shape[1]
    group = heads // shared
    query = jnp.transpose(query.reshape(batch, length, shared, group, width), (0, 2, 3, 1, 4))
    query = query.reshape(batch, shared, group * length, width)
    scores = jnp.einsum("bkxh,bksh->bkxs", query, memory.key).astype(jnp.float32)
    scores = soft_cap(scores * (width**-0.5 if scale is None else scale), cap)
    if mask is not None:
        mask = jnp.broadcast_to(mask, (batch, *mask.shape[-2:]))
        by_query = scores.reshape(batch, shared, group, length, -1)
        scores = jnp.where(mask[:, None, None], by_query, jnp.finfo(jnp.float32).min).reshape(scores.shape)
    weight = jax.nn.softmax(scores, axis=-1).astype(query.dtype)
    out = jnp.einsum("bkxs,bksh->bkxh", weight, memory.value)
    out = out.reshape(batch, shared, group, length, width)
    return jnp.transpose(out, (0, 3, 1, 2, 4)).reshape(batch, length, heads, width)


def soft_cap(x: jax.Array, cap: float | None) -> jax.Array:
    """cap tanh(x / cap), or x where there is no cap."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def causal(length: int) -> jax.Array:
    """Mask (length, length): a token sees itself and earlier ones."""
    return jnp.tril(jnp.ones((length, length), bool))


class Attention(nnx.Module):
    """Queries of one sequence on the keys and values of a sequence, its own or another.

    head: numbers a head, None for width / heads; scale and cap as in `attend`. Queries and keys are turned by their
    places where a `Turn` is given.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head: int | None = None,
        bias: bool = True,
        scale: float | None = None,
        cap: float | None = None,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.heads, self.kv_heads, self.head = heads, kv_heads or heads, head or width // heads
        self.scale, self.cap = scale, cap
        options: dict[str, Any] = {"use_bias": bias, "dtype": dtype, "rngs": rngs, "dot_general": dot_general}
        self.query = nnx.Linear(width, heads * self.head, **options)
        self.key_value = nnx.Linear(width, 2 * self.kv_heads * self.head, **options)
        self.out = nnx.Linear(heads * self.head, width, **options)

    def memory(self, x: jax.Array, turn: Turn | None = None) -> Cache:
        """Keys and values of x (B, S, width)."""
        both = self.key_value(x).reshape(*x.shape[:-1], 2 * self.kv_heads, self.head)
        key, value = jnp.split(both, 2, axis=-2)
        key = key if turn is None else rotate(key, turn)
        return Cache(jnp.swapaxes(key, 1, 2), jnp.swapaxes(value, 1, 2))

    def __call__(
        self, x: jax.Array, memory: Cache, mask: jax.Array | None = None, turn: Turn | None = None
    ) -> jax.Array:
        """(B, T, width), for x (B, T, width)."""
        query = self.query(x).reshape(*x.shape[:-1], self.heads, self.head)
        if turn is not None:
            query = rotate(query, turn)
        seen = attend(query, memory, mask, scale=self.scale, cap=self.cap)
        return self.out(seen.reshape(*x.shape[:-1], -1))


class Mlp(nnx.Module):
    """Two layers with an activation between; with `gated`, a third one multiplies what is between."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        activation: Callable[[jax.Array], jax.Array] = nnx.gelu,
        gated: bool = False,
        bias: bool = True,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        options: dict[str, Any] = {"use_bias": bias, "dtype": dtype, "rngs": rngs, "dot_general": dot_general}
        self.inside = nnx.Linear(width, hidden, **options)
        self.outside = nnx.Linear(hidden, width, **options)
        self.factor = nnx.Linear(width, hidden, **options) if gated else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, T, width)."""
        between = self.activation(self.inside(x))
        return self.outside(between if self.factor is None else between * self.factor(x))


class RmsNorm(nnx.Module):
    """x / sqrt(mean x^2 + epsilon), times (offset + scale), over the last axis; scale starts at 1 - offset."""

    def __init__(self, width: int, *, epsilon: float, offset: float = 0.0, dtype: Any = jnp.float32):
        self.epsilon, self.offset, self.dtype = epsilon, offset, dtype
        self.scale = nnx.Param(jnp.full(width, 1.0 - offset))

    def __call__(self, x: jax.Array) -> jax.Array:
        """As x, computed in single precision."""
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        return (x * (self.offset + self.scale[...])).astype(self.dtype)
