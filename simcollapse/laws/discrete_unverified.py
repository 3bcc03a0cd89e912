"""Exact in law: a round of an unverified discrete distribution without its draws, by multinomial counts.

Rows with one outcome are alike, so rows drawn from a pool without replacement are hypergeometric counts too.
"""

import jax.numpy as jnp
from jax import lax

from simcollapse import chain, keys
from simcollapse.batching import largest
from simcollapse.checks import as_float
from simcollapse.draws import LARGEST_COUNT, multinomial, multivariate_hypergeometric
from simcollapse.tasks import counting
from simcollapse.tasks.discrete import Discrete, Model, Sums
from simcollapse.verifiers.none import NoVerifier

TASK, VERIFIER = Discrete, NoVerifier
REAL_IS_A_ROUND_OF_TRUTH = True


def why_not(task: Discrete, sampling: chain.Sampling, least: int, most: int) -> str | None:
    """Why the law is not known for this task with rounds of `least` to `most` samples; None when it is."""
    exact = LARGEST_COUNT[as_float(0).dtype.itemsize]
    if most > exact:
        return f"more than {exact} rows are not counted exactly in this float type, got {most}"
    return None


def thin(key, task: Discrete, pool: Sums, number) -> Sums:
    """`number` draws of `pool` without replacement, or all of them if there are fewer. Source: classical."""
    number = jnp.minimum(number.astype(float), jnp.sum(pool.count))
    return Sums(multivariate_hypergeometric(key, number, pool.count))


def fit_alone(key, task: Discrete, model: Model, count, present) -> Model:
    """Shares of `count` draws of `model`. Source: classical."""
    return Model(_counts(key, count, model.probability) / jnp.maximum(count.astype(float), 1.0))


def add_real(key, task: Discrete, pool: Sums, count, present) -> Sums:
    """`pool` with `count` real draws added."""
    return Sums(pool.count + _counts(key, count, task.probability))


def add_round(key, loop: chain.Loop, state: chain.State, pool: Sums, count, present):
    """`pool` with a round's draws added; and the counts."""
    drawn = _counts(key, count, state.model.probability)
    return Sums(pool.count + drawn), chain.every_row_kept(loop.task, count)


def _counts(key, count, chances):
    """How often each of M outcomes, (M,), comes up in `count` draws: few are made and counted, many split by halves."""
    # measured: a draw takes as long as 20 + M compares, an outcome's binomials as long as 3500
    number, outcomes = count.astype(float), len(chances)
    few = number <= 3500 * outcomes / (20 + outcomes)

    def counted():
        there = jnp.where(few, count, 0).astype(jnp.int32)
        return counting.drawn(key, jnp.uint32(keys.LAW), chances, there).astype(float)

    def halved():
        return multinomial(key, jnp.where(few, 0.0, number), chances)

    none = jnp.zeros_like(chances)
    return lax.cond(largest(few), counted, lambda: none) + lax.cond(largest(~few), halved, lambda: none)
