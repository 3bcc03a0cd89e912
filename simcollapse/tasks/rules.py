"""Linear classification rules: what they decide, and rules at a given angle to another.

Classes are coded by the K vertices of a regular simplex in K - 1 dimensions, all of length 1 and summing to zero;
for two classes these are +1 and -1. A rule decides for the class k whose vertex s_k has the largest s_k.z, with
the scores z = coef' x + intercept; for two classes, for the sign of x.coef + intercept. Least squares on these
codes decides as least squares on one-hot codes does.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import randoms
from simcollapse.linalg import BLOCK as WRITTEN_OUT

ALIGNMENTS = {"same": 1.0, "orthogonal": 0.0, "opposite": -1.0}


class Rule(NamedTuple):
    """A linear rule; with two classes the last axis of both is left out."""

    coef: jax.Array  # (D, K - 1)
    intercept: jax.Array  # (K - 1,)

    @property
    def classes(self) -> int:
        """K."""
        return self.coef.shape[1] + 1 if self.coef.ndim == 2 else 2


def vertices(classes: int) -> np.ndarray:
    """The codes s_0, …, s_{K-1} of K classes as columns, shape (K - 1, K); [[1, -1]] for two."""
    table = np.zeros((classes - 1, classes))
    for row in range(classes - 1):  # each new axis splits what the earlier ones left together
        left = classes - 1 - row
        length = np.sqrt(1 - np.sum(table[:, row] ** 2))
        table[row, row] = length
        table[row, row + 1 :] = -length / left
    return table


def scores(rule: Rule, code: jax.Array) -> jax.Array:
    """z of each of the N columns of `code`, shape (D, N): shape (K - 1, N), or (N,) for two classes."""
    if rule.coef.ndim == 2:
        return rule.coef.T @ code + rule.intercept[:, None]
    if code.shape[0] > WRITTEN_OUT:
        return rule.coef @ code + rule.intercept
    return sum(
        (rule.coef[i] * code[i] for i in range(code.shape[0])), rule.intercept
    )  # fuses; a dot would not


def decide(score: jax.Array, classes: int) -> jax.Array:
    """Class of each score from `scores`, shape (N,), int32."""
    if classes == 2:
        return (score < 0).astype(jnp.int32)
    return jnp.argmax(jnp.asarray(vertices(classes).T, score.dtype) @ score, axis=0).astype(jnp.int32)


def margin(score: jax.Array, label: jax.Array, classes: int) -> jax.Array:
    """How far each score is on the side of `label`, shape (N,); negative where the rule decides otherwise.

    With two classes, label times score. Else the distance from the nearest boundary with another class, in the
    space of the scores and negative on the wrong side.
    """
    if classes == 2:
        return score * sign(label, score.dtype)
    code = jnp.asarray(vertices(classes), score.dtype)
    side = code.T @ score  # (K, N), s_k.z
    own = jnp.take_along_axis(side, label[None], axis=0)
    gap = own - side
    others = jnp.arange(classes, dtype=jnp.int32)[:, None] != label[None]
    apart = np.linalg.norm(
        vertices(classes)[:, 0] - vertices(classes)[:, 1]
    )  # the same for every two vertices
    return jnp.min(jnp.where(others, gap, jnp.inf), axis=0) / apart


def sign(label: jax.Array, dtype: Any = float) -> jax.Array:
    """+1 for class 0 and -1 for class 1."""
    return 1 - 2 * label.astype(dtype)


def unit(rule: Rule) -> Rule:
    """The same decisions with coefficients of Euclidean length 1."""
    length = jnp.linalg.norm(rule.coef)
    return Rule(rule.coef / length, rule.intercept / length)


def turned(rule: Rule, angle: jax.Array, deviation: jax.Array) -> Rule:
    """The rule with coefficients turned by `angle` (radians) towards the unit `deviation` across them.

    All D (K - 1) coefficients are one vector; `deviation` has its shape. The intercept stays.
    """
    length = jnp.linalg.norm(rule.coef)
    return Rule(jnp.cos(angle) * rule.coef + jnp.sin(angle) * length * deviation, rule.intercept)


def across(vector: jax.Array, number: int) -> jax.Array:
    """The unit vector number 1, 2, … of an orthonormal basis of what is orthogonal to `vector`, of its shape.

    A column of the Householder reflection that turns the first axis into `vector`.
    """
    flat = vector.ravel()
    flat = flat / jnp.linalg.norm(flat)
    normal = flat.at[0].add(jnp.where(flat[0] < 0, -1.0, 1.0))
    column = -2 * normal[number] / jnp.dot(normal, normal) * normal
    return column.at[number].add(1.0).reshape(vector.shape)


def deviation_of(rule: Rule, truth: Rule) -> jax.Array:
    """The unit vector across `truth` towards which `rule` deviates; `across(truth, 1)` if it does not deviate."""
    along = truth.coef / jnp.linalg.norm(truth.coef)
    rest = rule.coef - jnp.vdot(rule.coef, along) * along
    length = jnp.linalg.norm(rest)
    # rounding leaves a rest of this size where there is no deviation
    none = length <= 100 * jnp.finfo(rest.dtype).eps * jnp.linalg.norm(rule.coef)
    return jnp.where(none, across(truth.coef, 1), rest / jnp.where(none, 1.0, length))


def aligned(first: jax.Array, truth: Rule, alignment: jax.Array) -> jax.Array:
    """A unit vector across `truth` whose cosine with the unit vector `first`, also across it, is `alignment`."""
    if truth.coef.size < 3:
        return alignment * first  # nothing else is left, so the alignment is 1 or -1
    # `first` cannot be near both of two orthonormal vectors, so one of them leaves enough across it
    rests = [
        basis - jnp.vdot(basis, first) * first for basis in (across(truth.coef, 1), across(truth.coef, 2))
    ]
    lengths = [jnp.linalg.norm(rest) for rest in rests]
    second = jnp.where(lengths[0] > lengths[1], rests[0], rests[1]) / jnp.maximum(*lengths)
    return alignment * first + jnp.sqrt(jnp.maximum(1 - alignment**2, 0)) * second


def random_deviation(key: jax.Array, truth: Rule) -> jax.Array:
    """A uniformly random unit vector across `truth`."""
    along = truth.coef / jnp.linalg.norm(truth.coef)
    draw = randoms.normal(key, truth.coef.shape)
    rest = draw - jnp.vdot(draw, along) * along
    return rest / jnp.linalg.norm(rest)


def angle_between(first: Rule, second: Rule) -> jax.Array:
    """Angle between the coefficients of two rules, in [0, pi] radians; pi / 2 where one of them is zero."""
    along = second.coef / jnp.linalg.norm(second.coef)
    part = jnp.vdot(first.coef, along)
    rest = jnp.linalg.norm(first.coef - part * along)
    angle = jnp.arctan2(rest, part)  # keeps its digits near 0 and pi
    return jnp.where((rest == 0) & (part == 0), jnp.pi / 2, angle)
