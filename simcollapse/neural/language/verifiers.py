"""Verifiers of texts: those that see the reference or the truth, those that see a model, and those that see neither.

A score is larger for answers that look better; a selection (`simcollapse.neural.selection`) turns scores into a mask:
the top share (published: 12.5 %), or what is above a threshold. An answer without a text scores -inf with those that
compare it, with a reference or by a model: it is short and may be very probable, and teaches to write nothing.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from simcollapse.checks import check_whole
from simcollapse.neural.language import grammar, metrics, scoring
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.encoding import Encoder, encode_pairs
from simcollapse.neural.language.rows import Reader, completions_of, prompts_of

Tree = Any
Function = Callable[[Sequence[str], Sequence[str]], Any]  # (prompts, completions) -> N scores


class Texts(Protocol):
    """Rows as texts; a task is one."""

    @property
    def reader(self) -> Reader: ...
    @property
    def references(self) -> Sequence[str]: ...  # by the prompt's place, `rows["source"]`


@dataclasses.dataclass(frozen=True)
class Oracle:
    """ROUGE-1 of the answer against the reference. Source: [Feng24], section 6.2 (v2); [Yi26], section 5.3 (v3)."""

    texts: Texts

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,), in [0, 1]; -inf for an empty answer."""
        answers = self.texts.reader.answers(rows)
        references = [self.texts.references[int(i)] for i in rows["source"]]
        return _none_for_empty(answers, metrics.rouge_1(references, answers))


@dataclasses.dataclass(frozen=True)
class Parser:
    """1 for an answer that makes its prompt a sentence of the made language, else 0."""

    texts: Texts

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        prompts, answers = self.texts.reader.prompts(rows), self.texts.reader.answers(rows)
        return np.array([float(grammar.correct(p + a)) for p, a in zip(prompts, answers, strict=True)])


@dataclasses.dataclass(frozen=True)
class Perplexity:
    """The answer's mean log-probability a token: minus the log of its perplexity.

    Without `params` of the model that wrote it, which then selects its own answers; with those of another model, weak
    supervision. Source: [Feng24], section 6.2 (v2).
    """

    config: Config
    params: Tree = None
    batch: int = 64

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,), nats; -inf for an answer of nothing but the token that ends it."""
        chosen = model if self.params is None else self.params
        answers = completions_of(rows)
        got = scoring.score(self.config, chosen, prompts_of(rows), answers, batch=self.batch)
        mean = got.log_probability / np.maximum(got.count, 1)
        return np.where([set(answer) <= set(self.config.stops) for answer in answers], -np.inf, mean)


@dataclasses.dataclass(frozen=True)
class Reread:
    """`Perplexity` by another model that may have a tokenizer of its own: weak supervision by any checkpoint.

    With `tokens`, its tokenizer, the texts of prompts and answers are encoded anew, an answer that was ended with the
    token that ends its texts; marks of the generator's such as turns are not in them. Where a text is longer than the
    model's `length`, it does not see the beginning of the prompt, or the end of an answer that alone is.
    """

    texts: Texts
    config: Config
    params: Tree
    tokens: Encoder | None = None  # None: it reads the generator's tokens
    start: int | None = None  # token before a text; of its tokenizer
    batch: int = 64

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,), nats a token of this model; -inf for an empty answer."""
        prompts, answers = self._read(rows)
        got = scoring.score(self.config, self.params, prompts, answers, batch=self.batch)
        mean = got.log_probability / np.maximum(got.count, 1)
        return _none_for_empty(self.texts.reader.answers(rows), mean)

    def _read(self, rows: Tree) -> tuple[list[list[int]], list[list[int]]]:
        """Prompts and answers in its own tokens."""
        written = completions_of(rows)
        if self.tokens is None:
            return prompts_of(rows), written
        reader, first, last = (
            self.texts.reader,
            [] if self.start is None else [self.start],
            self.config.stops[:1],
        )
        prompts = reader.prompts(rows)
        # An answer decoded alone may lose the space that it begins with.
        whole = reader.texts([p + a for p, a in zip(prompts_of(rows), written, strict=True)])
        alone = reader.answers(rows)
        answers = [
            text.removeprefix(prompt) if text.startswith(prompt) else answer
            for text, prompt, answer in zip(whole, prompts, alone, strict=True)
        ]
        out: tuple[list[list[int]], list[list[int]]] = [], []
        encoded = encode_pairs(self.tokens, prompts, answers)
        for row, prompt, answer in zip(written, *encoded, strict=True):
            ended = bool(row) and row[-1] in reader.marks
            tail = [*answer, *(last if ended else ())][: self.config.length - 1]
            out[0].append([*first, *prompt][-(self.config.length - len(tail)) :])
            out[1].append(tail)
        return out


@dataclasses.dataclass(frozen=True)
class Random:
    """Uniform in [0, 1): a top share of it is a random share."""

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        return np.asarray(jax.random.uniform(key, (len(rows["begin"]),)))


@dataclasses.dataclass(frozen=True)
class Length:
    """1 for answers of `least` to `most` words, else 0. Build it with `length_rule(...)`."""

    texts: Texts
    least: int
    most: int

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        words = np.array([len(answer.split()) for answer in self.texts.reader.answers(rows)])
        return ((words >= self.least) & (words <= self.most)).astype(float)


def length_rule(texts: Texts, least: int = 1, most: int = 2**31 - 1) -> Length:
    """The verifier that asks for a number of words.

    Raises:
        ValueError, TypeError: not whole, or most < least.
    """
    least = check_whole("least", least, 0)
    return Length(texts, least, check_whole("most", most, least))


@dataclasses.dataclass(frozen=True)
class Pattern:
    """1 for answers in which a regular expression is found, else 0. Build it with `pattern_rule(...)`."""

    texts: Texts
    pattern: re.Pattern

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        return np.array([float(bool(self.pattern.search(a))) for a in self.texts.reader.answers(rows)])


def pattern_rule(texts: Texts, pattern: str) -> Pattern:
    """The verifier that asks for a regular expression.

    Raises:
        ValueError: no regular expression.
    """
    try:
        return Pattern(texts, re.compile(pattern))
    except re.error as error:
        raise ValueError(f"pattern must be a regular expression, got {pattern!r}: {error}") from None


@dataclasses.dataclass(frozen=True)
class Scored:
    """A user's own function of prompts and completions."""

    texts: Texts
    function: Function

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,).

        Raises:
            ValueError: not one number for each answer, or a NaN.
        """
        prompts, answers = self.texts.reader.prompts(rows), self.texts.reader.answers(rows)
        return checked_scores(self.function(prompts, answers), len(answers), "the verifier")


def checked_scores(scores: Any, number: int, who: str) -> np.ndarray:
    """`scores` as (N,) numbers.

    Raises:
        ValueError: another number of them, something that is no number, or a NaN.
    """
    try:
        got = np.asarray(scores, float)
    except (TypeError, ValueError):
        raise ValueError(f"{who} must give numbers, got {scores!r:.200}") from None
    if got.shape != (number,):
        raise ValueError(f"{who} must give one number for each of {number} answers, got shape {got.shape}")
    if np.isnan(got).any():
        raise ValueError(f"{who} must give numbers, got NaN for answer {int(np.isnan(got).argmax())}")
    return got


def _none_for_empty(answers: Sequence[str], scores: np.ndarray) -> np.ndarray:
    return np.where([not answer.strip() for answer in answers], -np.inf, scores)
