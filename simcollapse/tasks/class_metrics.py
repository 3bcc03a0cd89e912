"""How good a linear rule is on Gaussian classes: exact for two classes, by a fixed test set for more."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from scipy.stats import norm, qmc

from simcollapse.batching import chains_last
from simcollapse.tasks.rules import decide

TEST_SEED = 20406  # of the scrambled Sobol points that every task with K > 2 classes is measured on
_RULES = {4: 6, 8: 12}  # nodes of Owen's integral by bytes of the float: errors below 2e-9 and 1e-16


class Projected(NamedTuple):
    """Two scores in every class g: u = x.w + b of a rule, v of the Bayes rule, jointly normal.

    In units of their standard deviations, which all classes share.
    """

    rule: jax.Array  # (G,), mean of u
    bayes: jax.Array  # (G,), mean of v
    cosine: jax.Array  # (), correlation of u and v
    sine: jax.Array  # (), sqrt(1 - correlation^2), kept apart so that nothing cancels


def share_right(means: jax.Array, shares: jax.Array) -> jax.Array:
    """P(the sign of a score is that of the class), from the score's mean in class +1 and in class -1."""
    return jnp.dot(shares, ndtr(means * jnp.asarray([1.0, -1.0], means.dtype)))


@chains_last
def agreement(projected: Projected) -> jax.Array:
    """P(u and v have one sign) in each class, shape (G,).

    With means a of u and b of v, r = cosine and R = sine, by Owen's formula for P(u < 0, v < 0), once as it is and
    once with all signs turned: 1 - 2 T(a, (b - r a)/(a R)) - 2 T(b, (a - r b)/(b R)), less 1 where a and b have
    opposite signs. Source: Owen 1956, Ann. Math. Statist. 27.
    """
    a, b = projected.rule, projected.bayes
    cosine, sine = projected.cosine[None], projected.sine[None]
    both = (
        jnp.where(a * b < 0, 0.0, 1.0)
        - 2 * _owen(a, b - cosine * a, sine)
        - 2 * _owen(b, a - cosine * b, sine)
    )
    at_origin = jnp.arctan2(sine, -cosine) / jnp.pi
    return jnp.clip(jnp.where((a == 0) & (b == 0), at_origin, both), 0, 1)


def _owen(h, rise, sine):
    """Owen's T(h, rise / (h sine)) = (1/2pi) int_0^slope exp(-h^2 (1 + x^2)/2) / (1 + x^2) dx.

    A slope beyond 1 is mirrored: T(h, a) = [Phi(h) + Phi(ah)]/2 - Phi(h) Phi(ah) - (1/2 if a < 0) - T(ah, 1/a).
    """
    # T is even in h and odd in the slope (an infinite one counts as positive): work with |h| and |slope|
    run = jnp.abs(h) * sine
    up = jnp.abs(rise)
    odd = jnp.where(rise * h < 0, -1.0, 1.0)
    mirrored = up > run
    low, high = jnp.where(mirrored, run, up), jnp.where(mirrored, up, run)
    slope = low / jnp.where(high > 0, high, 1.0)
    other = up / jnp.where(sine > 0, sine, 1.0)  # |h| times the slope; infinite for parallel rules
    other = jnp.where(sine > 0, other, jnp.inf)
    start = jnp.where(mirrored, other, jnp.abs(h))
    half = slope / 2
    places, weights = (
        jnp.asarray(rule, half.dtype).reshape(-1, *[1] * half.ndim)
        for rule in np.polynomial.legendre.leggauss(_RULES[half.dtype.itemsize])
    )
    nodes = half[None] * (1 + places)
    height = jnp.exp(-(start[None] ** 2) * (1 + nodes**2) / 2) / (1 + nodes**2)
    integral = half * jnp.sum(weights * height, axis=0) / (2 * jnp.pi)
    tail_h, tail_other = ndtr(-jnp.abs(h)), ndtr(-other)
    # [Phi(h) + Phi(k)]/2 - Phi(h) Phi(k) by the upper tails, so that it does not cancel
    mirror = (tail_h + tail_other) / 2 - tail_h * tail_other - integral
    return odd * jnp.where(mirrored, mirror, integral)


def sobol_points(classes: int, count: int) -> np.ndarray:
    """Standard normal points on which a rule and the Bayes rule are compared, shape (2 (K - 1), count).

    The scores of both rules are linear in x, so 2 (K - 1) normals stand for x whatever its dimension. Scrambled
    Sobol points with a fixed seed: the same for every model, an error of about 1 / count.
    """
    random = np.random.default_rng(TEST_SEED)
    sobol = qmc.Sobol(2 * (classes - 1), seed=random)  # pyright: ignore[reportCallIssue]
    points = sobol.random_base2(int(np.log2(count)))
    return norm.ppf(np.clip(points, 1e-12, 1 - 1e-12)).T


def on_test_points(points, means, covariance, classes: int):
    """Decisions (bayes, rule) on the test points, each of shape (G, T).

    Args:
        points: from `sobol_points`.
        means: (G, 2 (K - 1)), of the Bayes rule's scores and then the rule's, in each class.
        covariance: (2 (K - 1), 2 (K - 1)), of the same, common to the classes.
    """
    both = means[:, :, None] + (_factor(covariance) @ points)[None]
    half = classes - 1
    pick = jax.vmap(lambda score: decide(score, classes))
    return pick(both[:, :half]), pick(both[:, half:])


def _factor(covariance):
    """Lower L with L L' = covariance; a column of zeros where no variance is left (a rule equal to Bayes')."""
    size = covariance.shape[0]
    floor = size * jnp.finfo(covariance.dtype).eps * jnp.diagonal(covariance)
    lower = jnp.zeros_like(covariance)
    rest = covariance
    for i in range(size):
        pivot = rest[i, i]
        good = pivot > floor[i]
        column = jnp.where(good, rest[:, i] / jnp.sqrt(jnp.where(good, pivot, 1.0)), 0.0)
        column = jnp.where(jnp.arange(size) >= i, column, 0.0)
        lower = lower.at[:, i].set(column)
        rest = rest - column[:, None] * column[None]
    return lower
