"""The embedded default: the made language of `grammar`, and a decoder of bytes small enough for any machine.

The base model knows the words, not the grammar: it was trained on the same words in any order. So tuning it is to a
published checkpoint's tuning what a minute is to a day: it learns what follows what, from few examples.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from simcollapse.neural.language import grammar
from simcollapse.neural.language.config import Config, config
from simcollapse.neural.language.grammar import NEWLINE, Sentence
from simcollapse.neural.language.rows import Reader, rows_of

Tree = Any
MOST = 44  # bytes of an answer with its end; longer sentences are not drawn (1 in 40)
WIDTH = 64  # of a row; the longest prompt, "\nmany small children", has the 20 bytes that are left
DRAWN = 256  # sentences at a time
READER = Reader(grammar.decode, frozenset({NEWLINE}))
KINDS = (grammar.DETERMINERS, grammar.NOUNS, grammar.INTRANSITIVE, grammar.TRANSITIVE)
WORDS = (*(word for kind in KINDS for number in kind for word in number), *grammar.ADJECTIVES, "that")


def decoder(width: int = 64, layers: int = 2, heads: int = 4) -> Config:
    """A Llama of bytes."""
    return config(
        vocabulary=grammar.VOCABULARY,
        width=width,
        layers=layers,
        heads=heads,
        hidden=2 * width,
        context=WIDTH,
        start=NEWLINE,
        stops=(NEWLINE,),
    )


def sentences(key: jax.Array, number: int) -> list[Sentence]:
    """Independent sentences of the language, of those whose answer has at most `MOST` bytes with its end.

    Of one key, a smaller number are the first of a larger one.
    """
    found: list[Sentence] = []
    for i in range(number):  # more often than needed: nearly all are short enough
        if len(found) >= number:
            break
        drawn = grammar.draw(jax.random.fold_in(key, i), DRAWN)
        found += [one for one in drawn if len(one.answer) < MOST]
    return found[:number]


def salad(key: jax.Array, number: int) -> list[str]:
    """Words of the language in any order, as many as sentences have."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    out = []
    while len(out) < number:
        words = random.choice(WORDS, random.integers(2, 9))
        text = " ".join(words) + "."
        if len(text) < MOST:
            out.append(text)
    return out


def prompt_tokens(prompt: str) -> list[int]:
    """A newline, then the prompt's bytes."""
    return [NEWLINE, *prompt.encode()]


def answer_tokens(answer: str) -> list[int]:
    """The answer's bytes, then a newline."""
    return [*answer.encode(), NEWLINE]


def rows(drawn: Sequence[Sentence], source: np.ndarray | None = None) -> Tree:
    """Sentences as rows of the loop."""
    prompts = [prompt_tokens(one.prompt) for one in drawn]
    return rows_of(prompts, [answer_tokens(one.answer) for one in drawn], WIDTH, source)


def whole_rows(texts: Sequence[str]) -> Tree:
    """Texts as rows whose prompt is the newline alone."""
    return rows_of([[NEWLINE]] * len(texts), [answer_tokens(text) for text in texts], WIDTH)


def least_loss(drawn: Sequence[Sentence]) -> float:
    """Mean loss of these answers given their prompts under the language itself, nats a byte: what no model beats.

    To within the probability of the sentences that are not drawn.
    """
    told = [grammar.log_probability(one.prompt + one.answer) - _of_prompt(one.prompt) for one in drawn]
    return -math.fsum(told) / sum(len(answer_tokens(one.answer)) for one in drawn)


@functools.cache
def _of_prompt(prompt: str) -> float:
    """Log-probability that a sentence begins so."""
    words = prompt.split(" ")
    described = grammar.ADJECTIVE / len(grammar.ADJECTIVES) if len(words) == 3 else 1 - grammar.ADJECTIVE
    number = int(words[0] in grammar.DETERMINERS[1])
    return -math.log(2 * len(grammar.DETERMINERS[number]) * len(grammar.NOUNS[number])) + math.log(described)
