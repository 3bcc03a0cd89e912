"""Selection by confidence: the share of a round's rows whose labels somebody is surest of."""

import dataclasses

import jax

from simcollapse.checks import as_numbers, check_fields, check_shape, choice, parameter
from simcollapse.tasks.rules import Rule, margin, scores
from simcollapse.verifiers.linear import Linear


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Confidence:
    """Keeps the share of rows with the largest margins. Build it with `confidence(...)`."""

    share: jax.Array = parameter("share", doc="(), of a round's rows that is kept; at least one row is")
    by: Linear | None = choice("the verifier whose margins count; None for the generator's own")

    kind = "classification"

    def init(self, key, task) -> Rule | None:
        """The rule whose margins count; None for that of the current model."""
        return task.generator.own_rule(task) if self.by is None else self.by.init(key, task)

    def score(self, key, judge, data, model) -> jax.Array:
        """Margin of each row's label, shape (N,)."""
        rule = model if judge is None else judge
        return margin(scores(rule, data.code), data.label, rule.classes)

    def check_task(self, task) -> None:
        """Raise ValueError where nobody can be sure of anything."""
        if self.by is not None:
            self.by.check_task(task)
        elif not hasattr(task.generator, "own_rule"):
            raise ValueError(
                f"verifier.by must be a linear verifier: the generator {type(task.generator).__name__} is no "
                "surer of one row than of another"
            )


def confidence(share, *, by: Linear | None = None) -> Confidence:
    """The verifier that keeps the share of each round's rows with the largest margins.

    Args:
        share: in (0, 1], of the rows that the round generated; rounded to a count, at least one row.
        by: a `linear` verifier whose margins y' x.w count; None for the generator's own (self-selection), which
            must label by a linear rule.

    Raises:
        ValueError: a share outside (0, 1].
        TypeError: `by` is not a linear verifier.
    """
    check_shape("share", share, ())
    if by is not None and not isinstance(by, Linear):
        raise TypeError(f"by must be a linear verifier such as linear(angle=0.3), got {by!r}")
    return check_fields(Confidence(as_numbers("share", share), by), "verifier")
