"""Generators: how a mixture's synthetic rows get their labels. The features are always drawn from the truth.

`label(toss, task, model, code, truth)` gives N labels, int32, from a uniform toss for each row, the task, the current
model, the features as columns (D, N) and the true labels.

Four readings of a generator and its verifier are told apart (the verifiers are in `simcollapse.verifiers`):
    R1  `flips` and `bernoulli`: both err independently of the features
    R2  `flips` and `linear`: a fixed linear verifier checks independently flipped labels
    R3  `linear_labels` and `linear`: both are fixed linear rules
    R4  `fresh_linear_labels` and `fresh_linear`: both linear, with directions drawn anew for every row
R1 is the assumption of [Feng24], Theorem 4.2.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter
from simcollapse.tasks.rules import Rule, across, decide, deviation_of, scores, turned, unit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flips:
    """True labels, flipped independently of the features. Build it with `flips(...)`."""

    p: jax.Array = parameter("unit", doc="error rate: (), (K,) by true class, or (K, K) P(label l | class k)")

    def table(self, classes: int) -> jax.Array:
        """P(label l | true class k), shape (K, K)."""
        if self.p.ndim == 2:
            return self.p
        wrong = jnp.broadcast_to(self.p, (classes,))[:, None]
        own = jnp.eye(classes)
        return own * (1 - wrong) + (1 - own) * wrong / (classes - 1)

    def label(self, toss, task, model, code, truth) -> jax.Array:
        """Labels, shape (N,): the true ones where the toss leaves them alone."""
        classes = task.classes
        if self.p.ndim < 2 and classes == 2:
            wrong = self.p if self.p.ndim == 0 else jnp.where(truth == 0, self.p[0], self.p[1])
            return jnp.where(toss < wrong, 1 - truth, truth)
        below = jnp.cumsum(self.table(classes), axis=1)[:, :-1]  # the last bound is 1
        return jnp.sum(toss[:, None] >= below[truth], axis=1, dtype=jnp.int32)

    def check(self, task) -> None:
        """Raise ValueError unless p fits the task's classes and its rows are probabilities."""
        if self.p.ndim > 0:
            check_shape("task.generator.p", self.p, (task.classes,) * min(self.p.ndim, 2))
        if self.p.ndim == 2:
            total = np.asarray(self.p, dtype=float).sum(axis=1)
            if not np.allclose(total, 1, atol=1e-6):
                raise ValueError(f"each row of task.generator.p must sum to 1, got sums {total}")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearLabels:
    """Labels of one fixed linear rule. Build it with `linear_labels(...)`."""

    angle: jax.Array | None = parameter("angle", doc="(), from the Bayes rule to this one, radians")
    direction: jax.Array | None = parameter("finite", doc="(D,), or (D, K - 1), coefficients of the rule")

    def rule(self, task) -> Rule:
        """The rule; by its angle, it deviates along a fixed direction, and has the Bayes rule's intercept."""
        bayes = task.bayes_rule()
        if self.direction is not None:
            return Rule(self.direction, jnp.zeros_like(bayes.intercept))
        assert self.angle is not None
        if bayes.coef.size == 1:
            return turned(bayes, self.angle, jnp.zeros_like(bayes.coef))
        return turned(bayes, self.angle, across(bayes.coef, 1))

    def deviation(self, task) -> jax.Array:
        """The unit vector across the Bayes rule towards which this rule deviates."""
        if self.direction is None:
            return across(task.bayes_rule().coef, 1)
        return deviation_of(self.rule(task), task.bayes_rule())

    def label(self, toss, task, model, code, truth) -> jax.Array:
        """Labels, shape (N,)."""
        return decide(scores(self.rule(task), code), task.classes)

    def own_rule(self, task) -> Rule:
        """The rule by which it is sure of a label, with coefficients of length 1."""
        return unit(self.rule(task))

    def check(self, task) -> None:
        """Raise ValueError unless the rule can be made for the task."""
        check_placed("task.generator", self, task)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FreshLinearLabels:
    """Labels of a linear rule drawn anew for every row. Build it with `fresh_linear_labels(...)`."""

    angle: jax.Array = parameter("angle", doc="(), from the Bayes rule to each row's own, radians")

    def label(self, toss, task, model, code, truth) -> jax.Array:
        """Labels, shape (N,)."""
        return (toss >= chance_of_plus(standard_bayes(task), self.angle, code)).astype(jnp.int32)

    def check(self, task) -> None:
        """Raise ValueError unless the task has two classes."""
        check_two_classes("task.generator", task)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fitted:
    """Labels of the model fitted last: retraining on one's own output. Build it with `fitted()`."""

    def label(self, toss, task, model, code, truth) -> jax.Array:
        """Labels, shape (N,)."""
        return decide(scores(model, code), task.classes)

    def own_rule(self, task) -> None:
        """None: the rule by which it is sure of a label is the model's."""

    def check(self, task) -> None:
        """Nothing to check."""


def standard_bayes(task: Any) -> Rule:
    """The Bayes rule, its scores in units of their standard deviation within a class."""
    bayes = task.bayes_rule()
    spread = task.spread(bayes.coef)
    return Rule(bayes.coef / spread, bayes.intercept / spread)


def chance_of_plus(bayes: Rule, angle: jax.Array, code: jax.Array) -> jax.Array:
    """P(cos(angle) u + sin(angle) xi > 0) of each row, shape (N,): u its score by `standard_bayes`, xi ~ N(0, 1).

    xi stands for the features along a random direction across the Bayes rule. Where the features are N(0, I),
    the error rate of this rule is angle / pi.
    """
    score = jnp.cos(angle) * scores(bayes, code)
    sine = jnp.sin(angle)
    steep = sine <= jnp.finfo(score.dtype).eps  # sin(pi) is not zero in floating point
    chance = ndtr(score / jnp.where(steep, 1.0, sine))
    return jnp.where(steep, (score > 0).astype(score.dtype), chance)


def check_two_classes(name: str, task: Any) -> None:
    """Raise ValueError unless the task has two classes."""
    if task.classes != 2:
        raise ValueError(f"{name} draws a rule for every row, which needs 2 classes, got {task.classes}")


def check_placed(name: str, placed: Any, task: Any) -> None:
    """Raise ValueError unless a rule given by `direction` or `angle` can be made for the task."""
    coef = task.coef_shape
    if placed.direction is not None:
        check_shape(f"{name}.direction", placed.direction, coef)
        if not np.any(np.asarray(placed.direction) != 0):
            raise ValueError(f"{name}.direction must not be zero, got {placed.direction}")
    if placed.angle is not None and np.prod(coef) == 1:
        if not np.all(np.isclose(np.abs(np.cos(placed.angle)), 1)):
            raise ValueError(f"{name}.angle must be 0 or pi in one dimension, got {placed.angle}")


def flips(p) -> Flips:
    """Labels that are wrong with probability `p`, whatever the features (the generator of R1 and R2).

    Args:
        p: error rate in [0, 1], every wrong class alike; shape (K,) for one rate by true class, shape (K, K)
            for P(label l | true class k), rows summing to 1.

    Raises:
        ValueError: p outside [0, 1].
    """
    return check_fields(Flips(as_numbers("p", p)), "generator")


def linear_labels(*, angle=None, direction=None) -> LinearLabels:
    """Labels of one fixed linear rule (the generator of R3). Give one of:

    Args:
        angle: in [0, pi] radians, from the Bayes rule to this one. The deviation is a fixed direction across
            the Bayes rule; a `linear` verifier's `alignment` says how its own lies to it.
        direction: (D,), not zero: label sign(x.direction). With K > 2 classes (D, K - 1), see `tasks.rules`.

    Raises:
        ValueError: not exactly one of them, or a value outside its range.
    """
    check_one_of(angle=angle, direction=direction)
    made = LinearLabels(
        angle=None if angle is None else as_numbers("angle", angle),
        direction=None if direction is None else as_numbers("direction", direction),
    )
    return check_fields(made, "generator")


def fresh_linear_labels(angle) -> FreshLinearLabels:
    """Labels y' = sign(cos(angle) x.w* + sin(angle) xi) with a fresh xi for every row (the generator of R4).

    Args:
        angle: in [0, pi] radians; the error rate is angle / pi where the features are N(0, I).

    Raises:
        ValueError: an angle outside [0, pi].
    """
    return check_fields(FreshLinearLabels(as_numbers("angle", angle)), "generator")


def fitted() -> Fitted:
    """Labels of the model fitted in the round before: a chain that is retrained on its own labels."""
    return Fitted()


def check_one_of(**ways: Any) -> None:
    """Raise ValueError unless exactly one of the named values is given."""
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        *first, last = ways
        raise ValueError(f"give exactly one of {', '.join(first)} and {last}, got {given or 'none'}")
