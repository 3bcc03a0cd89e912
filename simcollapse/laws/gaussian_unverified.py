"""Exact in law: a round of unverified Gaussian fitting without its rows.

In coordinates where the model is N(0, I), the sum of n rows is sqrt(n) z and their scatter about the mean is
Wishart_D(n - 1, I), independent of it. So these are drawn: O(D^2) random numbers instead of O(n D).
"""

import jax.numpy as jnp

from simcollapse import chain, keys, randoms
from simcollapse.draws import wishart_factor
from simcollapse.tasks.gaussian import Gaussian, Model, Moments, Sums
from simcollapse.verifiers.none import NoVerifier

TASK, VERIFIER = Gaussian, NoVerifier
REAL_IS_A_ROUND_OF_TRUTH = True


def why_not(task: Gaussian, sampling: chain.Sampling, least: int, most: int) -> str | None:
    """None: the law is known for every number of rows, however they are sampled, since all are kept."""
    return None


def fit_alone(key, task: Gaussian, model: Model, count, present) -> Model:
    """Mean and covariance fitted to `count` rows of `model` and nothing else.

    Source: classical (Cochran 1934; Bartlett 1933).
    """
    number = count.astype(float)
    mean, scatter = _statistics(key, task, number, present)
    lower = scatter / jnp.sqrt(task.divisor(number))
    return task.refitted(model, mean / jnp.sqrt(number), lower)


def add_real(key, task: Gaussian, pool: Sums, count, present) -> Sums:
    """`pool`, open for the truth, with the sums of `count` real rows added."""
    return _add(key, task, pool, count, present)


def add_round(key, loop: chain.Loop, state: chain.State, pool: Sums, count, present):
    """`pool`, open for the round's model, with the sums of its rows added; and the counts."""
    return _add(key, loop.task, pool, count, present), chain.every_row_kept(loop.task, count)


def _add(key, task, pool, count, present):
    number = count.astype(float)
    mean, scatter = _statistics(key, task, number, present)
    mean = jnp.where(number > 0, mean, 0.0)
    latest = pool.latest
    return pool._replace(
        latest=Moments(
            gram=latest.gram + scatter @ scatter.T + mean[:, None] * mean[None],
            total=latest.total + jnp.sqrt(number) * mean,
            count=latest.count + number,
        )
    )


def _statistics(key, task, number, present):
    """sqrt(n) times the mean of n standard normal rows, (D,), and a triangular root of their scatter, (D, D)."""
    key_mean, key_scatter = keys.split(key, 2, present)
    mean = randoms.normal(key_mean, (task.dim,), present)
    return mean, wishart_factor(key_scatter, number - 1, task.dim, present)
