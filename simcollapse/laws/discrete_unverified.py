"""Exact in law: a round of an unverified discrete distribution without its draws, by multinomial counts.

Rows with one outcome are alike, so rows drawn from a pool without replacement are hypergeometric counts too.
"""

import jax.numpy as jnp

from simcollapse import chain
from simcollapse.checks import as_float
from simcollapse.draws import LARGEST_COUNT, multinomial, multivariate_hypergeometric
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
    number = count.astype(float)
    return Model(multinomial(key, number, model.probability) / jnp.maximum(number, 1.0))


def add_real(key, task: Discrete, pool: Sums, count, present) -> Sums:
    """`pool` with `count` real draws added."""
    return Sums(pool.count + multinomial(key, count.astype(float), task.probability))


def add_round(key, loop: chain.Loop, state: chain.State, pool: Sums, count, present):
    """`pool` with a round's draws added; and the counts."""
    drawn = multinomial(key, count.astype(float), state.model.probability)
    return Sums(pool.count + drawn), chain.every_row_kept(loop.task, count)
