"""The oracle: keeps exactly the correct rows, or mistakes each with a given probability."""

import dataclasses

import jax
import jax.numpy as jnp

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Oracle:
    """Keeps what it takes for correct; mistaken with probability `error`. Build it with `oracle(...)`."""

    error: jax.Array = parameter("unit", doc="(), probability of a wrong verdict on a row")

    def init(self, key, task):
        return ()

    def chance(self, judge, data, model, correct) -> jax.Array:
        """P(kept) of each row, shape (N,)."""
        return jnp.where(correct, 1 - self.error, self.error)

    def keep_table(self, classes: int) -> jax.Array:
        """P(kept | true class k, label l), shape (K, K)."""
        return jnp.where(jnp.eye(classes, dtype=bool), 1 - self.error, self.error)


def oracle(error=0.0) -> Oracle:
    """The verifier that knows which rows are correct: phi = 1 - error, psi = error.

    Args:
        error: in [0, 1], probability of a wrong verdict, whatever the row; above 0 a noisy oracle.

    Raises:
        ValueError: an error outside [0, 1].
    """
    check_shape("error", error, ())
    return check_fields(Oracle(as_numbers("error", error)), "verifier")
