"""A discrete distribution: the shares of m outcomes, refitted to the model's own draws.

What was not drawn in a round is never drawn again under `replace`: the tails go first. Source of the setting:
[Kazdan24] (arXiv 2410.16713v4), [Shumailov24] (arXiv 2305.17493v3); as a process it is that of Wright and Fisher.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import chain, keys, ordering, randoms
from simcollapse.checks import (
    as_float,
    check_fields,
    check_rounds,
    check_shape,
    check_value,
    check_whole,
    numbers,
    parameter,
)
from simcollapse.tasks import counting
from simcollapse.tasks.designs import CHUNK, MOST_SAMPLES
from simcollapse.tasks.generators import check_one_of

TYPICAL = 0.95  # probability of the outcomes that count as correct: the most probable ones


class Model(NamedTuple):
    """Fitted shares."""

    probability: jax.Array  # (M,)


class Sums(NamedTuple):
    """How often each outcome is in a pool."""

    count: jax.Array  # (M,)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outcomes:
    """N draws, numbers of outcomes 0, …, M - 1."""

    outcome: jax.Array  # (N,), int32

    @property
    def x(self) -> jax.Array:
        """The same as features, shape (N, 1)."""
        return self.outcome[:, None].astype(float)

    def visible(self) -> dict[str, jax.Array]:
        """What a user's function sees."""
        return {"x": self.x, "outcome": self.outcome}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Discrete:
    """The task. Build it with `discrete(...)`."""

    probability: jax.Array = parameter("unit", doc="(M,), of the real data")
    typical: jax.Array  # (M,), bool, outcomes that count as correct

    kind = "discrete"
    needs_rows = False
    additive = True
    chunk_rows = CHUNK
    most_samples = MOST_SAMPLES
    rows_per_sample = 1
    prescribed = False
    real_is_generated = True
    undefined = ("kl",)
    model_dims = {"probability": ("outcome",)}  # noqa: RUF012 (read only)
    descriptions = {  # noqa: RUF012 (read only)
        "squared_error": "sum of the squared errors of the shares",
        "total_variation": "half of the sum of the absolute errors of the shares",
        "entropy": "of the fitted shares, nats",
        "heterozygosity": "P(two draws of the model differ)",
        "survivors": "outcomes that the model can still produce",
        "kl": "Kullback-Leibler divergence of the truth from the model, nats; NaN (infinite) where an outcome is lost",
    }

    @property
    def dim(self) -> int:
        """Of the features: the number of the outcome."""
        return 1

    @property
    def outcomes(self) -> int:
        """M."""
        return self.probability.shape[-1]

    def truth_model(self) -> Model:
        return Model(self.probability)

    def real(self, key, chunk, present) -> Outcomes:
        """One chunk of real draws."""
        return self._draws(keys.for_purpose(key, keys.REAL, chunk, present), self.truth_model(), present)

    def generate(self, key, model, chunk, present) -> Outcomes:
        """One chunk of draws of `model`."""
        return self._draws(keys.for_purpose(key, keys.GENERATE, chunk, present), model, present)

    def _draws(self, key, model, present):
        toss = randoms.uniform(key, (CHUNK,), present)
        return Outcomes(self._outcome(toss, model))

    def _outcome(self, toss, model):
        """The outcomes that uniform tosses mean; those of probability zero never come up."""
        ends, total = counting.steps(model.probability)
        return ordering.steps_below(ends, toss * total)

    def redraw(self, key, model, data: Outcomes, kept) -> Outcomes:
        """`data` with another outcome wherever `kept` is false."""
        fresh = self._outcome(randoms.uniform(key, data.outcome.shape), model)
        return Outcomes(jnp.where(kept, data.outcome, fresh))

    def draw_bytes(self, data: Outcomes) -> int:
        """A few numbers for each draw, and the shares."""
        return 8 * (2 * data.outcome.shape[0] + self.outcomes)

    def number(self, chunk):
        return chunk * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32)

    def correct(self, data: Outcomes, bound) -> jax.Array:
        """Whether a draw is one of the outcomes that make up most of the real data."""
        return self.typical[data.outcome]

    def rows(self, data: Outcomes) -> jax.Array:
        """What a buffer keeps, (N,): the outcomes."""
        return data.outcome

    def empty(self, model: Model) -> Sums:
        return Sums(jnp.zeros(self.outcomes))

    def open(self, pool: Sums, model: Model) -> Sums:
        """`pool` itself: draws of all models are alike."""
        return pool

    def add(self, pool: Sums, batch: chain.Batch) -> Sums:
        """`pool` with the batch's draws."""
        return Sums(pool.count.at[batch.data.outcome].add(batch.weight))

    def add_drawn(self, pool: Sums, key, purpose: int, model: Model, count) -> tuple[Sums, jax.Array]:
        """`pool` with the first `count` draws of `model`, and how many of them are correct."""
        times = counting.drawn(key, jnp.uint32(purpose), model.probability, count)
        return Sums(pool.count + times.astype(float)), jnp.sum(times, where=self.typical, dtype=jnp.int32)

    def sums(self, rows, weight) -> Sums:
        """Counts of draws out of a buffer."""
        return Sums(jnp.zeros(self.outcomes).at[rows].add(weight))

    def fit(self, key, pool: Sums, previous: Model) -> tuple[Model, jax.Array]:
        """Shares of the pool, and why the fit failed (0: it did not); a failed fit returns `previous`."""
        total = jnp.sum(pool.count)
        reason = jnp.where(total < 1, chain.TOO_FEW, chain.ALIVE).astype(jnp.int32)
        share = pool.count / jnp.maximum(total, 1.0)
        return Model(jnp.where(reason == chain.ALIVE, share, previous.probability)), reason

    def measure(self, key, model: Model) -> dict[str, jax.Array]:
        """The metrics of `descriptions`."""
        truth, share = self.probability, model.probability
        there = share > 0
        logs = jnp.log(jnp.where(there, share, 1.0))
        ratio = jnp.where(truth > 0, jnp.log(jnp.where(truth > 0, truth, 1.0)) - logs, 0.0)
        lost = jnp.any((truth > 0) & ~there)
        return {
            "squared_error": jnp.sum((share - truth) ** 2),
            "total_variation": jnp.sum(jnp.abs(share - truth)) / 2,
            "entropy": -jnp.sum(share * logs),
            "heterozygosity": 1 - jnp.sum(share**2),
            "survivors": jnp.sum(there.astype(share.dtype)),
            "kl": jnp.where(lost, jnp.nan, jnp.sum(truth * ratio)),
        }

    def check(self) -> None:
        """Raise ValueError where fields contradict each other; a sweep may have set them one by one."""
        total = np.sum(np.asarray(self.probability, dtype=float))
        if not np.isclose(total, 1, atol=1e-5):
            raise ValueError(f"task.probability must sum to 1, got {total:.6g}")

    def check_sizes(self, n_real: int, n_per_round: np.ndarray, alone: bool, rows: int | None = None) -> None:
        """Raise ValueError where a round could not be drawn; any number of draws can be fitted."""
        check_rounds(self, n_real, n_per_round, alone, rows, 1, "count a draw")


def discrete(probabilities=None, *, outcomes=None, zipf=None, counts=None) -> Discrete:
    """The task of fitting the shares of M outcomes. Give one of:

    Args:
        probabilities: (M,), in [0, 1], which sum to 1.
        outcomes: M >= 2, all alike; with `zipf` s > 0 the r-th is drawn with probability proportional to r^-s.
        counts: (M,), how often each was seen, >= 0: words of a text, for example.

    A generated draw is correct where its outcome is one of the most probable, which make up 95 % of the real data.

    Raises:
        ValueError: none or several of them, a value outside its range, probabilities that do not sum to 1.
        TypeError: something that is not a number.
    """
    check_one_of(probabilities=probabilities, outcomes=outcomes, counts=counts)
    if zipf is not None and outcomes is None:
        raise ValueError(f"zipf goes with outcomes, got zipf={zipf!r} without it")
    if outcomes is not None:
        weights = np.ones(check_whole("outcomes", outcomes, 2))
        if zipf is not None:
            check_shape("zipf", zipf, ())
            check_value("zipf", zipf, "positive")
            weights = np.arange(1.0, len(weights) + 1) ** -float(zipf)
        share = weights / weights.sum()
    elif counts is not None:
        weights = numbers("counts", counts)
        check_shape("counts", weights, (None,))
        check_value("counts", weights, "nonnegative")
        if not weights.sum() > 0:
            raise ValueError("counts must not all be 0")
        share = weights / weights.sum()
    else:
        share = numbers("probabilities", probabilities)
        check_shape("probabilities", share, (None,))
        check_value("probabilities", share, "unit")
        if not np.isclose(share.sum(), 1, atol=1e-9):
            raise ValueError(f"probabilities must sum to 1, got {share.sum():.10g}")
    task = check_fields(Discrete(probability=as_float(share), typical=jnp.asarray(_typical(share))), "task")
    task.check()
    return task


def _typical(share: np.ndarray) -> np.ndarray:
    """The fewest outcomes that make up TYPICAL of the probability, the most probable first."""
    order = np.argsort(-share, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(share[order])[:-1]])
    out = np.zeros(len(share), dtype=bool)
    out[order] = before < TYPICAL * (1 - 1e-12)
    return out
