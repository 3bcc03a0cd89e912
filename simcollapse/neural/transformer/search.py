"""Sequences from a model that gives one token after the other: beam search, greedy decoding, sampling.

A model is a function `step(state, tokens, at) -> (logits, state)`: tokens (B, W) before place `at` of W sequences for
each of B questions, logits (B, W, V); leaves of state are (B W, …), as a cache is. Sequences have a fixed length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Tree = Any
BLOCK = 64  # continuations that are compared as one first
BY_BLOCKS = 4 * BLOCK  # continuations for each that is wanted; with fewer all are sorted
Step = Callable[[Tree, jax.Array, Any], tuple[jax.Array, Tree]]


class Found(NamedTuple):
    """Sequences (B, W, T) with their log-probabilities (B, W), nats."""

    tokens: jax.Array
    score: jax.Array


def beam_search(step: Step, state: Tree, batch: int, length: int, width: int, start: int) -> Found:
    """The `width` best sequences that a beam of that width finds, the best first.

    At every place, of all continuations of the kept sequences the `width` most probable are kept; the first of equal
    ones. Where there are fewer than `width` sequences the rest has log-probability -inf.

    The state is that of one sequence a question. Places are compiled one by one, and `at` is a plain number: a cache
    may grow with them, which on average halves what is copied at every place. On two cores that takes half a second a
    place with two layers, once.
    """
    last = jnp.full((batch, 1), start, jnp.int32)
    tokens, score = jnp.zeros((batch, 1, 0), jnp.int32), jnp.zeros((batch, 1))
    for at in range(length):
        logits, state = step(state, last, at)
        among = logits.shape[1]
        score, parent, last = _best(logits, score, min(width, among * logits.shape[2]))
        source = (parent + among * jnp.arange(batch)[:, None]).reshape(-1)
        state = jax.tree.map(lambda x, source=source: x[source], state)
        tokens = jnp.take_along_axis(tokens, parent[..., None], axis=1)
        tokens = jnp.concatenate([tokens, last[..., None]], axis=2)
    missing = width - score.shape[1]
    tokens = jnp.pad(tokens, ((0, 0), (0, missing), (0, 0)))
    return Found(tokens, jnp.pad(score, ((0, 0), (0, missing)), constant_values=-jnp.inf))


def greedy(step: Step, state: Tree, batch: int, length: int, start: int) -> Found:
    """One sequence for each question: the most probable continuation at every place, the first of equal ones."""

    def body(carry, at):
        state, last, score = carry
        logits, state = step(state, last, at)
        score, _, last = _best(logits, score, 1)
        return (state, last, score), last

    first = (state, jnp.full((batch, 1), start, jnp.int32), jnp.zeros((batch, 1)))
    (_, _, score), tokens = jax.lax.scan(body, first, jnp.arange(length))
    return Found(jnp.moveaxis(tokens, 0, -1), score)


def _best(logits: jax.Array, score: jax.Array, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The best log-probabilities (B, count) of continuations (B, W, V) of W sequences, and which W and V they have."""
    logits = logits.astype(jnp.float32)
    return _largest(logits, score - jax.nn.logsumexp(logits, axis=-1), count)


def _largest(numbers: jax.Array, more: jax.Array, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The `count` largest of numbers (B, W, V) + more (B, W), the first of equal ones, and which W and V they have.

    Blocks are compared first, by their largest numbers: the `count` best blocks hold the `count` best numbers. In their
    own order, so that the first of equal numbers comes first. What remains to be sorted is a few percent. One sequence
    has enough continuations there: what fills the last block of each is never among the best.
    """
    batch, width, vocabulary = numbers.shape
    if vocabulary < count or width * vocabulary < count * BY_BLOCKS:
        score, place = jax.lax.top_k((numbers + more[..., None]).reshape(batch, -1), count)
        return score, place // vocabulary, place % vocabulary
    numbers = jnp.pad(numbers, ((0, 0), (0, 0), (0, -vocabulary % BLOCK)), constant_values=-jnp.inf)
    each = numbers.shape[-1] // BLOCK
    blocks = numbers.reshape(batch, width * each, BLOCK)
    more = jnp.repeat(more, each, axis=1)
    kept = jnp.sort(jax.lax.top_k(jnp.max(blocks, axis=-1) + more, count)[1], axis=-1)
    few = (
        jnp.take_along_axis(blocks, kept[..., None], axis=1)
        + jnp.take_along_axis(more, kept, axis=1)[..., None]
    )
    score, place = jax.lax.top_k(few.reshape(batch, -1), count)
    kept = jnp.take_along_axis(kept, place // BLOCK, axis=1)
    return score, kept // each, kept % each * BLOCK + place % BLOCK


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
