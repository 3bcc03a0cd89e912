"""Attention of many heads with the keys and values that it keeps from token to token; feed-forward layers; a norm."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from simcollapse.neural.transformer.products import dot_general
from simcollapse.neural.transformer.rotary import Turn, rotate

KEPT = "kept"  # a name for `jax.checkpoint_policies.save_only_these_names`


class Cache(NamedTuple):
    """Keys and values of a sequence, (B, K, S, H): K heads, S places, H numbers a head, as products take them."""

    key: jax.Array
    value: jax.Array


def empty_cache(batch: int, places: int, heads: int, width: int, dtype: Any = jnp.float32) -> Cache:
    """Room for `places` tokens."""
    nothing = jnp.zeros((batch, heads, places, width), dtype)
    return Cache(nothing, nothing)


def write(cache: Cache, new: Cache, at: jax.Array | int) -> Cache:
    """The cache with `new` from place `at` on; it grows where `at` is the number of its places.

    Raises:
        ValueError: a plain number `at` that leaves places of `new` outside.
    """
    places = cache.key.shape[2]
    if isinstance(at, int):
        if at == places:
            return jax.tree.map(lambda c, n: jnp.concatenate([c, n], axis=2), cache, new)
        if not 0 <= at <= places - new.key.shape[2]:
            raise ValueError(f"at must leave room for {new.key.shape[2]} in {places} places, got {at}")
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
    if mask is not None:
        mask = jnp.broadcast_to(mask, (batch, *mask.shape[-2:]))
    out: jax.Array = _attend(query, *memory, mask, width**-0.5 if scale is None else scale, cap)
    out = out.reshape(batch, shared, group, length, width)
    return jnp.transpose(out, (0, 3, 1, 2, 4)).reshape(batch, length, heads, width)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _attend(query, key, value, mask, scale, cap):
    """As `attend`: queries (B, K, X, H), every T of the X in a row with the mask's (B, T, S); keys (B, K, S, H).

    Its gradient keeps exp(score - largest) and the sums of those, and reads them once: half the passes over (X, S)
    that JAX's own gradient of a softmax takes, and half of what it keeps.
    """
    return _attend_forward(query, key, value, mask, scale, cap)[0]


def _attend_forward(query, key, value, mask, scale, cap):
    query, key, value = kept(query), kept(key), kept(value)
    scores = _product(query, key, 3, 3).astype(jnp.float32)
    scores = capped = soft_cap(scores * scale, cap)
    if mask is not None:
        by_query = scores.reshape(*scores.shape[:2], -1, *mask.shape[1:])
        scores = jnp.where(mask[:, None, None], by_query, jnp.finfo(jnp.float32).min).reshape(scores.shape)
    weight = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    total = jnp.sum(weight, axis=-1, keepdims=True)
    weight, total = kept(weight.astype(query.dtype)), kept(total)
    out = kept((_product(weight, value, 3, 2) / total).astype(query.dtype))
    return out, (query, key, value, mask, weight, total, out, None if cap is None else capped)


def _attend_backward(scale, cap, known, slope):
    query, key, value, mask, weight, total, out, capped = known
    slope = slope / total
    both = jnp.sum(slope * out, axis=-1, keepdims=True)
    slope = slope.astype(query.dtype)
    by_score = weight * (_product(slope, value, 3, 3) - both)
    if cap is not None:
        by_score = by_score * (1 - (capped / cap) ** 2)
    by_score = by_score.astype(query.dtype)
    factor = jnp.float32(scale)
    if mask is not None:  # a query that sees nothing has equal weights, whatever it is
        sees = jnp.any(mask, axis=-1)[:, None, None]
        factor = scale * jnp.broadcast_to(
            sees, (len(sees), 1, query.shape[2] // sees.shape[-1], sees.shape[-1])
        )
        factor = factor.reshape(len(sees), 1, -1, 1)
    by_query = (_product(by_score, key, 3, 2) * factor).astype(query.dtype)
    return by_query, _over_queries(by_score, query * factor), _over_queries(weight, slope), None


def _product(first, second, axis, other):
    return jax.lax.dot_general(first, second, (((axis,), (other,)), ((0, 1), (0, 1))))


def _over_queries(first, second):
    """(B, K, S, H): sums over X of first (B, K, X, S) times second (B, K, X, H), of the same type."""
    # XLA on CPU multiplies these fastest as they lie here; without the barriers it exchanges and turns them back.
    barrier = jax.lax.optimization_barrier
    turned = barrier(jnp.swapaxes(second.astype(first.dtype), 2, 3))
    return jnp.swapaxes(barrier(_product(turned, first, 3, 2)), 2, 3)


_attend.defvjp(_attend_forward, _attend_backward)


def kept(x: jax.Array) -> jax.Array:
    """x, which is worth keeping for gradients: what lies between two of these is soon computed again; see `KEPT`."""
    return checkpoint_name(x, KEPT)


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
        return kept(self.out(seen.reshape(*x.shape[:-1], -1)))


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
        between = self.activation(kept(self.inside(x)))
        return self.outside(between if self.factor is None else between * kept(self.factor(x)))


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
