"""Contaminated: a fixed share of every training set comes from a fixed wrong model, the rest is real."""

import dataclasses
from typing import Any

import jax
import numpy as np

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter
from simcollapse.workflows.fresh_real import real_rows


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Contaminated:
    """As `fresh_real`, but generated rows come from the truth with some of its fields replaced."""

    fields: dict[str, jax.Array] = dataclasses.field(metadata={"doc": "of the wrong model"})
    share: jax.Array = parameter("unit", doc="(), share of a round's rows that the wrong model makes")

    keeps = False
    fits_alone = True
    needs_rows = False

    def real_rows(self, count):
        """How many of a round's `count` rows are real."""
        return real_rows(1 - self.share, count)

    def parts(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Real and generated rows of rounds of `counts` rows."""
        real = np.asarray(self.real_rows(np.asarray(counts)))
        return real, counts - real

    def row_weights(self, real, generated):
        """None: all rows weigh alike."""

    def source(self, task: Any, model: Any) -> Any:
        """The model that generates, whatever was fitted."""
        return task.truth_model()._replace(**self.fields)

    def check_task(self, task: Any) -> None:
        """Raise ValueError unless the task's models have these fields, in these shapes."""
        truth = task.truth_model()
        free = [name for name in truth._fields if name not in getattr(task, "derived", ())]
        for name, value in self.fields.items():
            if name not in free:
                raise ValueError(
                    f"contaminated: a model of {type(task).__name__} has fields {free}, got {name!r}"
                )
            check_shape(f"contaminated: {name}", value, np.shape(getattr(truth, name)))


def contaminated(share, **fields) -> Contaminated:
    """The workflow whose training sets have a fixed share of rows from a fixed wrong model.

    Each round's fit is independent of the others: real rows are new, and nothing is learnt from a fit.

    Args:
        share: in [0, 1], of the `n_per_round` rows of a round (rounded).
        fields: of the task's model, to set in place of the truth's: contaminated(0.1, coef=[1.0, 0.0]).

    Raises:
        ValueError: a share outside [0, 1], no field, or (when simulated) a field that the task's models do not have.

    Source: Dohmatob et al., arXiv 2410.04840 ("strong model collapse").
    """
    check_shape("share", share, ())
    if not fields:
        raise ValueError("contaminated needs a field of the wrong model, such as coef=[1.0, 0.0], got none")
    arrays = {name: as_numbers(name, value) for name, value in fields.items()}
    return check_fields(Contaminated(arrays, as_numbers("share", share)), "workflow")
