"""A linear rule drawn anew for every row: keeps a row where that row's own rule agrees with the label."""

import dataclasses

import jax
import jax.numpy as jnp

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter
from simcollapse.tasks.generators import chance_of_plus, check_two_classes, standard_bayes
from simcollapse.tasks.rules import Rule


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FreshLinear:
    """Keeps a row with sign(cos(angle) x.w* + sin(angle) xi) = y', xi fresh. Build it with `fresh_linear(...)`."""

    angle: jax.Array = parameter("angle", doc="(), from the Bayes rule to each row's own, radians")

    kind = "classification"

    def init(self, key, task) -> Rule:
        """The Bayes rule, about which the fresh ones scatter."""
        return standard_bayes(task)

    def chance(self, judge, data, model, correct) -> jax.Array:
        """P(kept) of each row, shape (N,)."""
        plus = chance_of_plus(judge, self.angle, data.code)
        return jnp.where(data.label == 0, plus, 1 - plus)

    def check_task(self, task) -> None:
        """Raise ValueError unless the task has two classes."""
        check_two_classes("verifier", task)


def fresh_linear(angle) -> FreshLinear:
    """The verifier that judges every row by a linear rule of its own (the verifier of R4).

    Args:
        angle: in [0, pi] radians, from the Bayes rule; a label is judged wrongly with probability angle / pi where
            the features are N(0, I).

    Raises:
        ValueError: an angle outside [0, pi].
    """
    check_shape("angle", angle, ())
    return check_fields(FreshLinear(as_numbers("angle", angle)), "verifier")
