"""Random selection: keeps each row with one probability, so that it only makes the data fewer."""

import dataclasses

import jax
import jax.numpy as jnp

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Random:
    """Keeps each row with probability `rate`. Build it with `random(...)`."""

    rate: jax.Array = parameter("share", doc="(), keep rate")

    def init(self, key, task):
        return ()

    def chance(self, judge, data, model, correct) -> jax.Array:
        """P(kept), the same for each row, shape (N,)."""
        return jnp.broadcast_to(self.rate, correct.shape)

    def keep_table(self, classes: int) -> jax.Array:
        """P(kept | true class k, label l), shape (K, K)."""
        return jnp.broadcast_to(self.rate, (classes, classes))


def random(rate) -> Random:
    """The verifier that keeps each row with probability `rate`, in (0, 1]: phi = psi = rate.

    Raises:
        ValueError: a rate outside (0, 1].
    """
    check_shape("rate", rate, ())
    return check_fields(Random(as_numbers("rate", rate)), "verifier")
