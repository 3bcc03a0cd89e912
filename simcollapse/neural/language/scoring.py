"""How probable a model finds texts."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import check_whole
from simcollapse.neural.language import models, padding
from simcollapse.neural.language.config import Config

Tree = Any


class Scores(NamedTuple):
    """Of N answers."""

    log_probability: np.ndarray  # (N,), nats, of all tokens of an answer given its prompt; 0 for an empty one
    count: np.ndarray  # (N,), its tokens

    def perplexity(self) -> np.ndarray:
        """exp of the mean loss of a token, (N,); NaN for an empty answer."""
        loss = -self.log_probability / np.where(self.count > 0, self.count, np.nan)
        return np.exp(loss)


def score(
    config: Config,
    params: Tree,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    batch: int = 8,
) -> Scores:
    """Log-probability of each answer after its prompt.

    Args:
        config, params: the model.
        prompts: N lists of tokens, one token or more each: the first of a text is never scored.
        answers: N lists of tokens, perhaps empty.
        batch: texts side by side.

    Raises:
        ValueError: as many prompts as answers are needed; an empty prompt, a token outside the vocabulary, or a text
            longer than the model's context.
    """
    batch = check_whole("batch", batch, 1)
    if len(prompts) != len(answers):
        raise ValueError(f"answers must be as many as prompts, got {len(answers)} and {len(prompts)}")
    padding.check_texts("prompts", prompts, config.vocabulary, 1)
    padding.check_texts("answers", answers, config.vocabulary, 0)
    texts = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    padding.fit_prompts(texts, config.length)
    count = np.array([len(answer) for answer in answers], np.int32)
    told = np.zeros(len(texts))
    for part in padding.batches(texts, batch, config.length):
        last = np.zeros(batch, np.int32)
        last[: len(part.places)] = count[part.places]
        room = padding.bucket(int(last.max()), part.tokens.shape[1] - 1)
        got = np.asarray(_score(params, part.tokens, part.begin, last, room=room, config=config))
        told[part.places] = got[: len(part.places)]
    return Scores(told, count)


@functools.partial(jax.jit, static_argnames=("room", "config"))
def _score(params, tokens, begin, last, *, room, config):
    """Log-probability of the `last` tokens of each row, (B,), `room` at most."""
    model = models.module(config, params)
    states = model.states(tokens, begin)[0][:, -room - 1 : -1]

    def of_row(row):
        state, token = row
        told = jax.nn.log_softmax(model.logits(state))
        return jnp.take_along_axis(told, token[:, None], axis=-1)[:, 0]

    # Row by row: logits of all rows would take B R V numbers, R the room.
    told = jax.lax.map(of_row, (states, tokens[:, -room:]))
    scored = jnp.arange(room) >= room - last[:, None]
    return jnp.sum(jnp.where(scored, told, 0.0), axis=-1)
