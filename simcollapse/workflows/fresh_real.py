"""Fresh real data: each fit sees the round's rows together with new real ones, weighted or not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FreshReal:
    """As `replace`, but a share of each round's rows is real."""

    share: jax.Array = parameter("unit", doc="(), share of a round's rows that is real")
    weight: jax.Array | None = parameter("unit", None, "(), weight of the real rows together")

    keeps = False
    fits_alone = True
    needs_rows = False

    def real_rows(self, count):
        """How many of a round's `count` rows are real."""
        return real_rows(self.share, count)

    def parts(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Real and generated rows of rounds of `counts` rows."""
        real = np.asarray(self.real_rows(np.asarray(counts)))
        return real, counts - real

    def row_weights(self, real, generated):
        """Weight of a real row and of a generated one; None where all weigh alike. They sum to the number of rows."""
        if self.weight is None:
            return None
        total = (real + generated).astype(float)
        return (
            self.weight * total / jnp.maximum(real, 1).astype(float),
            (1 - self.weight) * total / jnp.maximum(generated, 1).astype(float),
        )


def real_rows(share, count):
    """`share` of `count` rows, rounded, int32; `count` an array of whole numbers."""
    return jnp.round(share * jnp.asarray(count).astype(float)).astype(jnp.int32)


def fresh_real(share, *, weight=None) -> FreshReal:
    """The workflow that trains each round on new real rows and generated ones, and forgets both.

    Of `n_per_round` rows, `share` are real (rounded) and the others generated; a verifier judges the generated ones.

    Args:
        share: in [0, 1]; 0 is `replace`, 1 fits real data afresh every round.
        weight: in [0, 1], of the real rows together; the generated ones together have the rest. None weighs every row
            alike. The best weight for estimating a mean is (sqrt(a^2 + 4a) - a)/2 with a real rows for one generated:
            the reciprocal golden ratio 0.618 for as many of both.

    Raises:
        ValueError: a value outside its range.

    Source: He et al., arXiv 2502.18049 (the weight).
    """
    check_shape("share", share, ())
    check_shape("weight", 0.0 if weight is None else weight, ())
    workflow = FreshReal(as_numbers("share", share), None if weight is None else as_numbers("weight", weight))
    return check_fields(workflow, "workflow")
