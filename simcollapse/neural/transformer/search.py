"""Sequences from a model that gives one token after the other: beam search, greedy decoding, sampling.

A model is a function `step(state, tokens, at) -> (logits, state)`: tokens (B, W) at place `at` of W sequences for each
of B questions, logits (B, W, V); leaves of state are (B W, …), as a cache is. Sequences have a fixed length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Tree = Any
BLOCK = 64  # continuations that are compared as one first
Step = Callable[[Tree, jax.Array, jax.Array], tuple[jax.Array, Tree]]


class Found(NamedTuple):
    """Sequences (B, W, T) with their log-probabilities (B, W), nats."""

    tokens: jax.Array
    score: jax.Array


def beam_search(step: Step, state: Tree, batch: int, length: int, width: int, start: int) -> Found:
    """The `width` best sequences that a beam of that width finds, the best first. Width 1 is greedy decoding.

    At every place, of all continuations of the kept sequences the `width` most probable are kept; the first of equal
    ones. Where there are fewer than `width` continuations the rest has log-probability -inf.
    """

    def go_on(state, last, score, at):
        logits, state = step(state, last, at)
        total = score[..., None] + jax.nn.log_softmax(logits.astype(jnp.float32))
        score, parent, last = _best(total, width)
        if width > 1:
            source = (parent + total.shape[1] * jnp.arange(batch)[:, None]).reshape(-1)
            state = jax.tree.map(lambda x: x[source], state)
        return state, last, score, parent

    def body(carry, at):
        state, last, score, tokens = carry
        state, last, score, parent = go_on(state, last, score, at)
        if width > 1:
            tokens = jnp.take_along_axis(tokens, parent[..., None], axis=1)
        tokens = jax.lax.dynamic_update_index_in_dim(tokens, last, at, axis=2)
        return (state, last, score, tokens), None

    tokens = jnp.zeros((batch, width, length), jnp.int32)
    one = (jax.tree.map(lambda x: x[::width], state), jnp.full((batch, 1), start, jnp.int32))
    if jax.eval_shape(step, *one, 0)[0].shape[-1] >= width:  # the first place of all sequences is one
        state, last, score, _ = go_on(*one, jnp.zeros((batch, 1)), jnp.int32(0))
        carry = state, last, score, tokens.at[..., 0].set(last)
        places = jnp.arange(1, length)
    else:
        impossible = jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf) * jnp.ones((batch, 1))
        carry = state, jnp.full((batch, width), start, jnp.int32), impossible, tokens
        places = jnp.arange(length)
    _, _, score, tokens = jax.lax.scan(body, carry, places)[0]
    return Found(tokens, score)


def _best(total: jax.Array, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The `count` largest numbers (B, count) of total (B, W, V), the first of equal ones, and which W and V they have.

    Blocks are compared first, by their largest numbers: the `count` best blocks hold the `count` best numbers. In their
    own order, so that the first of equal numbers comes first. What remains to be sorted is a few percent. One sequence
    has enough continuations there: what fills the last block of each is never among the best.
    """
    batch, width, vocabulary = total.shape
    if vocabulary < count or width * vocabulary < 4 * count * BLOCK:
        score, place = jax.lax.top_k(total.reshape(batch, -1), count)
        return score, place // vocabulary, place % vocabulary
    total = jnp.pad(total, ((0, 0), (0, 0), (0, -vocabulary % BLOCK)), constant_values=-jnp.inf)
    total = jax.lax.optimization_barrier(total)  # or XLA computes it twice
    blocks, vocabulary = total.reshape(batch, -1, BLOCK), total.shape[-1]
    kept = jnp.sort(jax.lax.top_k(jnp.max(blocks, axis=-1), count)[1], axis=-1)
    few = jnp.take_along_axis(blocks, kept[..., None], axis=1)
    score, place = jax.lax.top_k(few.reshape(batch, -1), count)
    place = jnp.take_along_axis(kept, place // BLOCK, axis=1) * BLOCK + place % BLOCK
    return score, place // vocabulary, place % vocabulary


def sample(
    step: Step,
    state: Tree,
    key: jax.Array,
    batch: int,
    length: int,
    width: int,
    start: int,
    temperature: jax.Array,
) -> Found:
    """`width` independent draws of softmax(logits / temperature); log-probabilities are those at temperature 1."""

    def body(carry, at):
        state, tokens, score, last = carry
        logits, state = step(state, last, at)
        logits = logits.astype(jnp.float32)
        last = jax.random.categorical(jax.random.fold_in(key, at), logits / temperature)
        told = jnp.take_along_axis(jax.nn.log_softmax(logits), last[..., None], axis=-1)[..., 0]
        tokens = jax.lax.dynamic_update_index_in_dim(tokens, last, at, axis=2)
        return (state, tokens, score + told, last), None

    tokens = jnp.zeros((batch, width, length), jnp.int32)
    first = jnp.full((batch, width), start, jnp.int32)
    carry = (state, tokens, jnp.zeros((batch, width)), first)
    carry = jax.lax.scan(body, carry, jnp.arange(length))[0]
    return Found(carry[1], carry[2])
