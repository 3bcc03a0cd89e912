"""Eigenvalues as a task of the neural loop: a model learns them from examples, then writes examples itself."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from simcollapse import keys
from simcollapse.checks import check_choice, check_value, check_whole
from simcollapse.neural.batches import over_rows
from simcollapse.neural.eigen.matrices import TOLERANCES, Problem, relative_error
from simcollapse.neural.eigen.models import Sizes, Translator
from simcollapse.neural.eigen.numbers import START
from simcollapse.neural.training import Trainer, Training
from simcollapse.neural.transformer import search
from simcollapse.neural.transformer.likelihood import log_probability

Tree = Any
KINDS = ("greedy", "beam", "temperature")

DESCRIPTIONS = {
    "accuracy": "share of held-out matrices whose greedy answer is within the tolerance",
    **{
        f"accuracy_{norm}_{tolerance:g}": f"share of held-out matrices with relative error up to {tolerance:g} "
        + ("for every eigenvalue" if norm == "each" else "in the sum over eigenvalues")
        for norm in ("each", "l1")
        for tolerance in TOLERANCES
    },
    "token_accuracy": "share of tokens of held-out answers that greedy decoding gets right",
    "digit_accuracy": "share of decimal digits of held-out eigenvalues that are right, whatever sign and exponent",
    "number_accuracy": "share of held-out eigenvalues that are right to the last digit",
    "malformed": "share of greedy answers that are not numbers",
    "loss": "mean cross-entropy of held-out answers, nats a token",
    "kept_spread": "mean over accepted rows of the smallest eigenvalue over the largest, in size",
    "fit_steps": "optimiser steps of the fit",
    "fit_loss": "mean training loss of the last steps, nats a token",
    "fit_held_out_loss": "best loss on the held-out rows of the pool, nats a token",
    "fit_rows": "rows that the fit saw",
}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Adam whose rate rises, then falls as a cosine. Build it with `optimizer(...)`."""

    learning_rate: float
    warmup: int  # steps until the rate is reached
    steps: int  # until it is a hundredth
    accumulation: int  # batches whose gradients make one step of the parameters
    clip: float  # largest norm of a gradient


def optimizer(
    learning_rate: float, *, steps: int, warmup: int = 0, accumulation: int = 1, clip: float = 1.0
) -> Optimizer:
    """How parameters move. `steps` and `warmup` count batches, as `Training.max_steps` does.

    Raises:
        ValueError, TypeError: a value outside its range.
    """
    check_value("learning_rate", learning_rate, "positive")
    check_value("clip", clip, "positive")
    steps = check_whole("steps", steps, 1)
    warmup = check_whole("warmup", warmup, 0, steps - 1)
    accumulation = check_whole("accumulation", accumulation, 1)
    return Optimizer(float(learning_rate), warmup, steps, accumulation, float(clip))


def transformation(how: Optimizer) -> optax.GradientTransformation:
    """The same for Optax."""
    updates = -(-how.steps // how.accumulation)
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if how.warmup else how.learning_rate,
        how.learning_rate,
        how.warmup // how.accumulation,
        updates,
        how.learning_rate / 100,
    )
    # Clipped inside the accumulation: the norm is that of the mean gradient.
    adam = optax.chain(optax.clip_by_global_norm(how.clip), optax.adam(rate, b2=0.98))
    if how.accumulation == 1:
        return adam
    return optax.MultiSteps(adam, how.accumulation).gradient_transformation()


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How answers are read off a model. Build it with `decoding(...)`."""

    kind: str
    width: int  # answers of each matrix
    temperature: float


def decoding(
    kind: str = "greedy", width: int = 1, *, temperature: float = 1.0, vocabulary: int | None = None
) -> Decoding:
    """Greedy; a beam, whose `width` answers are all given; or `width` draws at a temperature.

    Raises:
        ValueError: a width that the kind has not, or a beam wider than the vocabulary.
    """
    check_choice("kind", kind, KINDS)
    width = check_whole("width", width, 1)
    check_value("temperature", temperature, "positive")
    if kind == "greedy" and width != 1:
        raise ValueError(f"width must be 1 for greedy decoding, got {width}")
    if kind == "beam" and vocabulary is not None and width > vocabulary:
        raise ValueError(
            f"width must be <= {vocabulary}, the vocabulary: a beam has no more continuations at the first token; "
            f"got {width}"
        )
    return Decoding(kind, width, float(temperature))


class Translators:
    """Models of one size, compiled once: fits them, lets them answer, scores answers."""

    def __init__(self, sizes: Sizes, settings: Training, how: Optimizer):
        self.sizes = sizes
        self._graph = nnx.split(self._new(keys.root(0)))[0]
        # Two programs fill the cores of a CPU; one fills a larger device.
        parts, self._sequences = (2, 500) if jax.default_backend() == "cpu" else (1, 4_000)
        self.trainer = Trainer(self._loss, settings, transformation(how), parts)
        self._score = jax.jit(self._log_probability)
        self._decode = jax.jit(self._answers, static_argnames=("kind", "width"))

    def _new(self, key):
        return Translator(self.sizes, rngs=nnx.Rngs(params=key))

    def init(self, key: jax.Array) -> Tree:
        """Parameters before training."""
        return nnx.to_pure_dict(nnx.split(self._new(key))[1])

    def module(self, params: Tree) -> Translator:
        """The NNX module with these parameters."""
        return nnx.merge(self._graph, params)

    def _tokens(self, params, rows):
        source, target = (rows[name].astype(jnp.int32) for name in ("source", "target"))
        return log_probability(self.module(params)(source, target), target)

    def _loss(self, params, key, rows):
        return -jnp.mean(self._tokens(params, rows), axis=-1)

    def _log_probability(self, params, rows):
        return jnp.sum(self._tokens(params, rows), axis=-1)

    def score(self, params: Tree, rows: Tree) -> np.ndarray:
        """Log-probability of each row's answer, (N,), nats."""
        rows = {name: rows[name] for name in ("source", "target")}
        return over_rows(lambda batch, c: self._score(params, batch), rows, self._sequences)

    def _answers(self, params, key, source, temperature, *, kind, width):
        model = self.module(params)
        batch, length = len(source), self.sizes.target_length
        memory = model.encode(source.astype(jnp.int32))

        def step(caches, tokens, at):
            return model.step(memory, caches, tokens, at)

        if kind == "temperature":
            caches = model.empty(batch * width, length)
            return search.sample(step, caches, key, batch, length, width, START, temperature)
        if self.sizes.vocabulary >= search.BY_BLOCKS:
            model.fill_vocabulary(search.BLOCK)
        if kind == "greedy":
            return search.greedy(step, model.empty(batch, length), batch, length, START)
        return search.beam_search(step, model.empty(batch, 0), batch, length, width, START)

    def decode(
        self, key: jax.Array, params: Tree, source: np.ndarray, how: Decoding
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answers (N, W, T), int16, and their log-probabilities (N, W), nats; of a beam the most probable first.

        Raises:
            ValueError: a beam wider than the vocabulary.
        """
        decoding(how.kind, how.width, vocabulary=self.sizes.vocabulary)
        found = over_rows(
            lambda batch, c: self._decode(
                params,
                jax.random.fold_in(key, c),
                batch["source"],
                np.float32(how.temperature),
                kind=how.kind,
                width=how.width,
            ),
            {"source": source},
            max(1, self._sequences // how.width),
        )
        return found.tokens.astype(np.int16), found.score


@functools.lru_cache(maxsize=8)
def translators(sizes: Sizes, settings: Training, how: Optimizer) -> Translators:
    """The models of these sizes, compiled once in a process."""
    return Translators(sizes, settings, how)


@dataclasses.dataclass(frozen=True)
class EigenTask:
    """Matrices, and models that answer with eigenvalues. Build it with `eigen_task(...)`."""

    family: Translators
    problem: Problem
    n_real: int
    decoding: Decoding  # of generated rows
    held_out: int  # matrices that a model is measured on

    descriptions = DESCRIPTIONS
    classes = 1

    def real(self, key: jax.Array) -> Tree:
        """`n_real` matrices with their true eigenvalues."""
        return self.problem.rows(key, self.n_real)

    def fit(self, key: jax.Array, rows: Tree, previous: Tree) -> tuple[Tree, dict[str, float]]:
        """A model trained on `rows` from the start, whatever the previous one."""
        key_init, key_train = jax.random.split(key)
        return self.family.trainer.fit(key_train, self.family.init(key_init), rows)

    def generate(self, key: jax.Array, model: Tree, count: int) -> Tree:
        """New matrices with the model's answers: `count` rows, `decoding.width` in a row of each matrix."""
        key_draw, key_decode = jax.random.split(key)
        source = self.problem.draw(key_draw, count // self.decoding.width)
        answers, _ = self.family.decode(key_decode, model, source, self.decoding)
        repeated = np.repeat(source, self.decoding.width, axis=0)
        return {"source": repeated, "target": answers.reshape(len(repeated), -1)}

    def correct(self, rows: Tree) -> np.ndarray:
        """Which answers are within the tolerance, (N,)."""
        return self.problem.correct(rows)

    def groups(self, rows: Tree) -> np.ndarray:
        """The matrix of each row, so that a share of a beam can be kept; all the same for single answers."""
        return self._groups(len(rows["source"]))

    def group_sizes(self, count: int) -> np.ndarray:
        """Rows of each group among `count` generated rows.

        Raises:
            ValueError: `count` is no multiple of the answers a matrix has.
        """
        if count < 1 or count % self.decoding.width:
            raise ValueError(
                f"rows generated in a round must be a multiple of {self.decoding.width}, the answers of each matrix, "
                f"got {count}"
            )
        return np.bincount(self._groups(count))

    def _groups(self, count):
        width = self.decoding.width
        return np.arange(count) // width if width > 1 else np.zeros(count, dtype=int)

    def measure(self, key: jax.Array, model: Tree) -> dict[str, float]:
        """On matrices that no model was trained on, the same in every round and chain."""
        rows = self.problem.rows(keys.root(HELD_OUT_SEED), self.held_out)
        answers, _ = self.family.decode(key, model, rows["source"], decoding())
        log_probability = self.family.score(model, rows)
        return self.compare(rows, answers[:, 0]) | {
            "loss": float(-np.mean(log_probability)) / self.problem.target_length
        }

    def compare(self, rows: Tree, answers: np.ndarray) -> dict[str, float]:
        """Answers (N, T) against the truth."""
        truth, values = self.problem.truth(rows["source"]), self.problem.values(answers)
        errors = {norm: relative_error(values, truth, norm) for norm in ("each", "l1")}
        same = answers == rows["target"]
        numbers = same.reshape(len(same), self.problem.size, -1).all(axis=-1)
        return {
            "accuracy": float(np.mean(errors[self.problem.norm] <= self.problem.tolerance)),
            **{
                f"accuracy_{norm}_{tolerance:g}": float(np.mean(error <= tolerance))
                for norm, error in errors.items()
                for tolerance in TOLERANCES
            },
            "token_accuracy": float(same.mean()),
            "digit_accuracy": float(
                np.mean(self.problem.digits(answers) == self.problem.digits(rows["target"]))
            ),
            "number_accuracy": float(numbers.mean()),
            "malformed": float(np.isnan(values).any(axis=-1).mean()),
        }

    def describe_kept(self, rows: Tree) -> dict[str, float]:
        """Whether accepted matrices are special: a verifier that passes easy ones teaches easy ones."""
        size = np.abs(self.problem.truth(rows["source"]))
        return {"kept_spread": float(np.mean(size.min(axis=-1) / np.maximum(size.max(axis=-1), 1e-30)))}


HELD_OUT_SEED = 2**31 - 1  # of the matrices that models are measured on


def eigen_task(
    family: Translators,
    problem: Problem,
    *,
    n_real: int,
    decoding: Decoding = decoding(),  # noqa: B008 (frozen)
    held_out: int = 1_000,
) -> EigenTask:
    """The task of eigenvalues, checked.

    Raises:
        ValueError: a model of another problem, or a beam wider than the vocabulary.
    """
    made = family.sizes
    wanted = problem.encoding.vocabulary, problem.source_length, problem.target_length
    if (made.vocabulary, made.source_length, made.target_length) != wanted:
        raise ValueError(
            "family must be made for this problem: vocabulary, source_length and target_length are "
            f"{(made.vocabulary, made.source_length, made.target_length)}, the problem's are {wanted}"
        )
    if decoding.kind == "beam" and decoding.width > made.vocabulary:
        raise ValueError(
            f"decoding.width must be <= {made.vocabulary}, the vocabulary: a beam has no more continuations at the "
            f"first token; got {decoding.width}"
        )
    n_real, held_out = check_whole("n_real", n_real, 2), check_whole("held_out", held_out, 1)
    return EigenTask(family, problem, n_real, decoding, held_out)
