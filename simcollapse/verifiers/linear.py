"""A linear rule as verifier: keeps a row where the rule's own label is the generated one."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import chain
from simcollapse.checks import (
    as_numbers,
    check_choice,
    check_fields,
    check_most,
    check_shape,
    check_value,
    option,
    parameter,
)
from simcollapse.tasks import learners
from simcollapse.tasks.generators import check_one_of, check_placed
from simcollapse.tasks.rules import (
    ALIGNMENTS,
    Rule,
    across,
    aligned,
    angle_between,
    margin,
    random_deviation,
    scores,
    turned,
    unit,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear:
    """Keeps a row whose label has a margin of at least `threshold` under the verifier's own rule.

    With two classes the margin is y' x.w, |w| = 1, and threshold 0 asks for agreement. The rule is given, or placed
    at an angle to the Bayes rule, or fitted to real rows of the verifier's own, anew in every chain. Build it with
    `linear(...)`. Source of the setting: [Feng24], section 4 (arXiv 2406.07515v2).
    """

    direction: jax.Array | None = parameter("finite", doc="(D,), or (D, K - 1), coefficients of the rule")
    angle: jax.Array | None = parameter("angle", doc="(), from the Bayes rule to this one, radians")
    trained_on: jax.Array | None = parameter("count", doc="(), real samples that the rule is fitted to")
    alignment: jax.Array = parameter("cosine", doc="(), cosine of its deviation and the generator's")
    threshold: jax.Array = parameter("finite", doc="(), least margin, unit of x")
    scattered: bool = option("flag", "deviate in a random direction, anew in every chain")

    kind = "classification"
    descriptions = {"verifier_angle": "from the verifier's coefficients to the fitted ones, radians"}  # noqa: RUF012

    def init(self, key, task) -> Rule:
        """The rule, with coefficients of length 1."""
        bayes = task.bayes_rule()
        if self.direction is not None:
            return unit(Rule(self.direction, jnp.zeros_like(bayes.intercept)))
        if self.angle is not None:
            return unit(turned(bayes, self.angle, self._deviation(key, task, bayes)))
        assert self.trained_on is not None
        count = self.trained_on.astype(jnp.int32)
        pool: Any = learners.empty_sums(task.dim, task.classes, task.intercept, gram=True)
        pool = chain.add_real(key, task, pool, count, None)
        return unit(learners.least_squares(pool, jnp.zeros(()), task.intercept)[0])

    def _deviation(self, key, task, bayes):
        if self.scattered:
            return random_deviation(key, bayes)
        if bayes.coef.size == 1:
            return jnp.zeros_like(bayes.coef)
        first = (
            task.generator.deviation(task) if hasattr(task.generator, "deviation") else across(bayes.coef, 1)
        )
        return aligned(first, bayes, self.alignment)

    def accept(self, key, judge, data, model) -> jax.Array:
        """Mask of accepted rows, shape (N,)."""
        return margin(scores(judge, data.code), data.label, judge.classes) >= self.threshold

    def measure(self, judge, task, model) -> dict[str, jax.Array]:
        """How far the model is from the verifier's own rule."""
        return {"verifier_angle": angle_between(model, judge)}

    def check_task(self, task) -> None:
        """Raise ValueError where this verifier cannot judge `task`; a sweep may also have set two ways at once."""
        check_one_of(direction=self.direction, angle=self.angle, trained_on=self.trained_on)
        check_placed("verifier", self, task)
        size = int(np.prod(task.coef_shape))
        if self.angle is not None and not self.scattered and size < 3:
            if not np.all(np.isclose(np.abs(self.alignment), 1)):
                raise ValueError(
                    f"verifier.alignment must be 'same' or 'opposite' for {size} coefficients, which leave no "
                    f"other direction, got {self.alignment}"
                )
        if self.trained_on is not None:
            least = task.dim + task.intercept + 1
            if np.min(self.trained_on) < least:
                raise ValueError(
                    f"verifier.trained_on must be >= {least} for this task, got {self.trained_on}"
                )
            check_most("verifier.trained_on", self.trained_on, task)


def linear(
    direction=None, *, angle=None, trained_on: int | None = None, alignment="orthogonal", threshold=0.0
) -> Linear:
    """The verifier that labels by a linear rule of its own and keeps a row where the two labels agree (R2, R3).

    Give exactly one of `direction`, `angle` and `trained_on`:

    Args:
        direction: (D,), not zero: its label is sign(x.direction). With K > 2 classes (D, K - 1).
        angle: in [0, pi] radians, from the Bayes rule to this one.
        trained_on: real samples, drawn for the verifier alone, that least squares is fitted to in each chain.
        alignment: of this rule's deviation from the Bayes rule to the generator's: "same", "opposite" or "orthogonal"
            to it, their cosine in [-1, 1], or "random" for a uniformly random direction in each chain. Goes with
            `angle`.
        threshold: least margin y' x.w of a kept row, |w| = 1, unit of x; 0 asks for agreement alone.

    Raises:
        ValueError: a value outside its range, or not exactly one way to place the rule.
    """
    check_one_of(direction=direction, angle=angle, trained_on=trained_on)
    scattered = isinstance(alignment, str) and alignment == "random"
    if isinstance(alignment, str):
        check_choice("alignment", alignment, (*ALIGNMENTS, "random"))
        alignment = ALIGNMENTS.get(alignment, 0.0)
    for name, value in (("angle", angle), ("alignment", alignment), ("threshold", threshold)):
        check_shape(name, 0.0 if value is None else value, ())
    if direction is not None:
        check_value("verifier.direction", direction, "finite")
        if not np.linalg.norm(direction) > 0:
            raise ValueError(f"verifier.direction must not be zero, got {direction}")
    verifier = Linear(
        direction=None if direction is None else as_numbers("direction", direction),
        angle=None if angle is None else as_numbers("angle", angle),
        trained_on=None if trained_on is None else as_numbers("trained_on", trained_on),
        alignment=as_numbers("alignment", alignment),
        threshold=as_numbers("threshold", threshold),
        scattered=scattered,
    )
    return check_fields(verifier, "verifier")
