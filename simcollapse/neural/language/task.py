"""Texts as a task of the neural loop: a decoder is tuned on answers to prompts, then writes answers itself."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

from simcollapse.checks import check_whole
from simcollapse.neural import pools
from simcollapse.neural.language import generation, metrics, models, scoring, training
from simcollapse.neural.language.choosing import Choosing
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.rows import FIELDS, Reader, completions_of, prompts_of, rows_of
from simcollapse.neural.language.truths import Overlap, Truth

Tree = Any

DESCRIPTIONS = {
    "loss": "mean cross-entropy of held-out real answers given their prompts, nats a token",
    "perplexity": "exp of it",
    "accuracy": "share of answers to held-out prompts that are correct",
    "text_loss": "mean cross-entropy of each held-out real answer, nats a token",
    "text_rouge1": "F1 of ROUGE-1 of the answer to each held-out prompt",
    **metrics.DESCRIPTIONS,
    **{f"{part}_{name}": f"{words}: {what}" for part, what in (
        ("generated", "of all generated answers of the round"), ("kept", "of those the verifier kept"))
       for name, words in metrics.DESCRIPTIONS.items() if not name.startswith("rouge")},
    **training.DESCRIPTIONS,
}  # fmt: skip

BY_TEXT = ("text_loss", "text_rouge1")


class Fitter(Protocol):
    """What fits; see `simcollapse.neural.language.training.Tuner`."""

    config: Config

    def fit(self, key: jax.Array, params: Tree, rows: Tree) -> tuple[Tree, dict[str, float]]: ...


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How answers are written. Build it with `sampling(...)`."""

    most: int  # tokens of an answer
    how: Choosing
    batch: int  # prompts side by side


def sampling(most: int, how: Choosing = Choosing(1.0, None, 1.0), *, batch: int = 64) -> Sampling:  # noqa: B008
    """Answers of at most `most` tokens; by default draws from the model as it is (temperature 1).

    Raises:
        ValueError, TypeError: not whole numbers >= 1.
    """
    return Sampling(check_whole("most", most, 1), how, check_whole("batch", batch, 1))


@dataclasses.dataclass(frozen=True)
class Measures:
    """What a model is measured on in every round: texts that no model was tuned on."""

    rows: Tree  # held-out real ones
    answered: int  # of their prompts, the first so many get an answer
    sampling: Sampling  # of those answers
    shown: int = 8  # answers kept for reading
    by_text: bool = False  # also keep, for each text, its mean loss (`text_loss`) and ROUGE-1 (`text_rouge1`)


@dataclasses.dataclass(frozen=True)
class TextTask:
    """Prompts, real answers to some of them, and a model that answers. Build it with `text_task(...)`."""

    fitter: Any  # a `Fitter`
    reader: Reader
    truth: Truth
    rows: Tree  # the real rows of round 0; their `source` is a place among `prompts`
    prompts: Sequence[Sequence[int]]  # tokens, of those that are answered in a round
    references: Sequence[str]  # a real answer to each, as text; "" where there is none
    base: Tree  # parameters that a fit starts from; None: fresh ones each time
    continuing: bool  # a fit starts from the last round's model
    sampling: Sampling  # of the answers that a round generates
    measures: Measures

    descriptions = DESCRIPTIONS
    classes = 1

    @property
    def width(self) -> int:
        """Tokens of a row."""
        return self.rows["tokens"].shape[1]

    def real(self, key: jax.Array) -> Tree:
        """The real rows."""
        return self.rows

    def fit(self, key: jax.Array, rows: Tree, previous: Tree) -> tuple[Tree, dict[str, float]]:
        """A model tuned on `rows`, from the base model or, if continuing, from the previous one."""
        key_init, key_fit = jax.random.split(key)
        if self.continuing and previous is not None:
            start = previous
        else:
            start = models.init(self.fitter.config, key_init) if self.base is None else self.base
        return self.fitter.fit(key_fit, start, {name: rows[name] for name in FIELDS})

    def generate(self, key: jax.Array, model: Tree, count: int) -> Tree:
        """`count` answers, to prompts taken without replacement until all have been."""
        key_places, key_draw = jax.random.split(key)
        random = np.random.default_rng(np.asarray(jax.random.key_data(key_places)).ravel())
        passes = [random.permutation(len(self.prompts)) for _ in range(-(-count // len(self.prompts)))]
        return self._answered(key_draw, model, np.concatenate(passes)[:count])

    def _answered(self, key, model, places):
        prompts = [self.prompts[i] for i in places]
        told = self._write(key, model, prompts, self.sampling)
        return rows_of(prompts, told.tokens, self.width, places)

    def _write(self, key, model, prompts, how):
        return generation.generate(
            self.fitter.config, model, prompts, how.most, how.how, key=key, batch=how.batch
        )

    def correct(self, rows: Tree) -> np.ndarray:
        """(N,) bool."""
        references = [self.references[int(i)] for i in rows["source"]]
        return self.truth.correct(self.reader.prompts(rows), self.reader.answers(rows), references)

    def groups(self, rows: Tree) -> np.ndarray:
        """All the same: a top share is of all answers together."""
        return np.zeros(len(rows["begin"]), int)

    def measure(self, key: jax.Array, model: Tree) -> dict[str, float]:
        """On held-out texts, the same in every round and chain."""
        held, how = self.measures.rows, self.measures.sampling
        got = scoring.score(
            self.fitter.config, model, prompts_of(held), completions_of(held), batch=how.batch
        )
        loss = -float(got.log_probability.sum() / got.count.sum())
        asked = pools.take(held, np.arange(self.measures.answered))
        told = self._write(key, model, prompts_of(asked), how)
        answers, wanted = self.reader.texts(told.tokens), self.reader.answers(asked)
        correct = self.truth.correct(self.reader.prompts(asked), answers, wanted)
        overlap = metrics.rouge(wanted, answers)
        return {
            "loss": loss,
            "perplexity": float(np.exp(loss)),
            "accuracy": float(correct.mean()),
            **{name: float(values.mean()) for name, values in overlap._asdict().items()},
            **metrics.variety(answers),
            **_lengths(told.tokens, answers),
            "cut": float(1 - told.stopped.mean()),
            **(_by_text(got, overlap) if self.measures.by_text else {}),
        }

    def describe_generated(self, rows: Tree) -> dict[str, float]:
        """Variety and lengths of all answers of a round."""
        return self._described("generated", rows)

    def describe_kept(self, rows: Tree) -> dict[str, float]:
        """The same of those that were kept."""
        return self._described("kept", rows)

    def _described(self, part, rows):
        answers = self.reader.answers(rows)
        found = metrics.variety(answers) | _lengths(completions_of(rows), answers)
        return {f"{part}_{name}": value for name, value in found.items()}

    def show(self, key: jax.Array, model: Tree) -> dict[str, np.ndarray]:
        """Answers to the first held-out prompts, as tokens (shown, most), padded with -1."""
        prompts = prompts_of(pools.take(self.measures.rows, np.arange(self.measures.shown)))
        how = self.measures.sampling
        told = self._write(
            key, model, prompts, dataclasses.replace(how, batch=min(how.batch, len(prompts)))
        )  # not a batch that is mostly empty
        out = np.full((len(prompts), self.measures.sampling.most), -1, np.int32)
        for row, tokens in zip(out, told.tokens, strict=True):
            row[: len(tokens)] = tokens
        return {"shown": out}


def levelled(record: dict[str, Any], truth: Overlap) -> dict[str, Any]:
    """A record that was measured before the level of what is correct was known (with `Measures.by_text`)."""
    return record | {"accuracy": float(truth.reached(record["text_rouge1"]).mean())}


def read_shown(task: TextTask, shown: np.ndarray) -> list[tuple[str, str]]:
    """Prompts and answers of what `TextTask.show` gave in one round."""
    asked = pools.take(task.measures.rows, np.arange(len(shown)))
    answers = task.reader.texts([row[row >= 0].tolist() for row in shown])
    return list(zip(task.reader.prompts(asked), answers, strict=True))


def _by_text(scores, overlap):
    return {"text_loss": -scores.log_probability / scores.count, "text_rouge1": overlap.rouge1}


def _lengths(tokens, answers):
    return {
        "length": float(np.mean([len(row) for row in tokens])),
        "empty": float(np.mean([not answer.strip() for answer in answers])),
    }


def text_task(
    fitter: Any,
    reader: Reader,
    truth: Truth,
    *,
    rows: Tree,
    prompts: Sequence[Sequence[int]],
    references: Sequence[str],
    measures: Measures,
    sampling: Sampling,
    base: Tree = None,
    continuing: bool = False,
) -> TextTask:
    """The task of texts, checked; see `TextTask`.

    Raises:
        ValueError: an empty prompt, rows too narrow for a prompt and its answer, a context that is too short, places
            outside the prompts, or fewer held-out rows than are answered.
    """
    width = rows["tokens"].shape[1]
    longest = max((len(prompt) for prompt in prompts), default=0)
    if not len(prompts) or len(references) != len(prompts):
        raise ValueError(
            f"references must be as many as prompts, one or more, got {len(references)} and {len(prompts)}"
        )
    if not all(len(prompt) for prompt in prompts) or np.any(measures.rows["begin"] < 1):
        raise ValueError(
            "prompts must have one token or more each, those of held-out rows too: give the token that begins a text"
        )
    if longest + sampling.most > width or width > fitter.config.length:
        raise ValueError(
            f"rows must be as wide as the longest prompt and an answer ({longest} + {sampling.most} tokens) and no "
            f"wider than the model's context ({fitter.config.length}), got {width}"
        )
    if len(rows["source"]) and not 0 <= rows["source"].min() <= rows["source"].max() < len(prompts):
        raise ValueError(f"rows.source must be places among {len(prompts)} prompts")
    held = len(measures.rows["begin"])
    if not 1 <= max(measures.answered, measures.shown) <= held:
        raise ValueError(
            f"answered and shown must be at most the {held} held-out rows, got {measures.answered} and {measures.shown}"
        )
    return TextTask(fitter, reader, truth, rows, prompts, references, base, continuing, sampling, measures)
