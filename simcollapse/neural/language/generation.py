"""Batches of prompts continued by a model, token by token, with its keys and values kept.

Compiled once for each pair of array lengths (prompt and answer, see `padding.bucket`), batch size and way of choosing;
temperature, top_p, the number of tokens and the seed are free.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import check_whole
from simcollapse.neural.language import choosing, models, padding
from simcollapse.neural.language.choosing import Choosing
from simcollapse.neural.language.config import Config
from simcollapse.neural.transformer.products import for_few_rows

Tree = Any


class Answers(NamedTuple):
    """What a model wrote to N prompts."""

    tokens: list[list[int]]  # with the token that ended it, if one did
    log_probability: np.ndarray  # (N,), nats, at temperature 1, of all tokens of an answer
    stopped: np.ndarray  # (N,), bool; false: cut at the most tokens


def generate(
    config: Config,
    params: Tree,
    prompts: Sequence[Sequence[int]],
    most: int,
    how: Choosing = Choosing(0.0, None, 1.0),  # noqa: B008 (frozen)
    *,
    key: jax.Array | None = None,
    stops: Sequence[int] | None = None,
    batch: int = 8,
) -> Answers:
    """Continue every prompt by at most `most` tokens.

    Args:
        config, params: the model.
        prompts: N lists of tokens, one token or more each; with `most` no longer than the model's context.
        most: tokens of an answer.
        how: the way of choosing; see `choosing.choosing`.
        key: for draws; the draws of prompt n do not depend on other prompts or the batch. None for greedy only.
        stops: tokens that end an answer; None for the model's own.
        batch: prompts side by side.

    Raises:
        ValueError: an empty or too long prompt, a token outside the vocabulary, or draws without a key.
    """
    most, batch = check_whole("most", most, 1, config.length - 1), check_whole("batch", batch, 1)
    padding.check_texts("prompts", prompts, config.vocabulary, 1)
    padding.fit_prompts(prompts, config.length - most)
    kind = choosing.kind_of(how)
    if key is None and kind != "greedy":
        raise ValueError("key must be given to draw tokens (temperature > 0)")
    key = jax.random.key(0) if key is None else key
    stops = config.stops if stops is None else tuple(stops)
    tokens: list[list[int]] = [[] for _ in prompts]
    told, stopped = np.zeros(len(prompts)), np.zeros(len(prompts), bool)
    for part in padding.batches(prompts, batch, config.length - most):
        rows = np.zeros(batch, np.uint32)
        rows[: len(part.places)] = part.places
        out = _generate(
            params,
            jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows),
            part.tokens,
            part.begin,
            np.arange(batch) >= len(part.places),
            np.int32(most),
            np.array(stops or (-1,), np.int32),
            np.float32(how.temperature or 1.0),
            np.float32(how.top_p),
            config=config,
            room=padding.bucket(most),
            kind=kind,
            top_k=how.top_k if kind == "restricted" else None,
        )
        written, count, log_probability, done = map(np.asarray, out)
        for row, place in enumerate(part.places):
            tokens[place] = written[row, : count[row]].tolist()
            told[place], stopped[place] = log_probability[row], done[row]
    return Answers(tokens, told, stopped)


class _Now(NamedTuple):
    """Answers being written."""

    caches: list
    logits: jax.Array  # (B, V), of the next token
    written: jax.Array  # (B, room)
    count: jax.Array  # (B,), tokens so far
    told: jax.Array  # (B,), their log-probability
    done: jax.Array  # (B,)
    at: jax.Array  # (), tokens so far of those that are not done


@functools.partial(jax.jit, static_argnames=("config", "room", "kind", "top_k"))
def _generate(
    params, keys, prompts, begin, absent, most, stops, temperature, top_p, *, config, room, kind, top_k
):
    reader, writer = models.module(config, params), for_few_rows(models.module(config, params))
    batch, length = prompts.shape
    states, caches = reader.states(prompts, begin, reader.empty(batch, length + room))

    def go_on(now: _Now):
        return (now.at < most) & ~jnp.all(now.done)

    def body(now: _Now):
        mine = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, now.at)
        token = choosing.choose(mine, now.logits, temperature, top_p, kind, top_k)
        token = jnp.where(now.done, 0, token)
        told = jnp.take_along_axis(jax.nn.log_softmax(now.logits), token[:, None], axis=-1)[:, 0]
        state, caches = writer.states(token[:, None], begin, now.caches, length + now.at)
        return _Now(
            caches=caches,
            logits=writer.logits(state[:, 0]),
            written=jax.lax.dynamic_update_slice_in_dim(now.written, token[:, None], now.at, axis=1),
            count=now.count + ~now.done,
            told=now.told + jnp.where(now.done, 0.0, told),
            done=now.done | jnp.any(token[:, None] == stops, axis=-1),
            at=now.at + 1,
        )

    first = _Now(
        caches=caches,
        logits=reader.logits(states[:, -1]),
        written=jnp.zeros((batch, room), jnp.int32),
        count=jnp.zeros(batch, jnp.int32),
        told=jnp.zeros(batch),
        done=absent,
        at=jnp.int32(0),
    )
    last = jax.lax.while_loop(go_on, body, first)
    return last.written, last.count, last.told, last.done
