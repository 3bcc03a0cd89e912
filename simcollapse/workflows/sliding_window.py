"""Sliding window: each fit sees the rows of the latest rounds, with or without the real ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers
from simcollapse.checks import as_numbers, check_fields, check_shape, option, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SlidingWindow:
    """Rows leave after a number of rounds; real rows count as made in round 0, or stay."""

    rounds: jax.Array = parameter("count", doc="(), latest rounds that a fit sees, the current one included")
    keep_real: bool = option("flag", doc="the real rows of round 0 never leave")

    keeps = True
    fits_alone = False
    needs_rows = True

    def limit(self, rows: np.ndarray) -> int:
        """Most rows of a fit, for these rows of rounds 0..K."""
        return int(rows.sum())

    def choose(self, key, pool: buffers.Pool, wanted, k, limit: int) -> buffers.Seen:
        """The rows that the fit of round k sees."""
        seen = buffers.everything(pool)
        inside = (k - pool.born).astype(float) < self.rounds
        if self.keep_real:
            inside = inside | (pool.born == 0)
        return buffers.Seen(seen.rows, jnp.where(inside, seen.weight, 0.0))


def sliding_window(rounds: int, *, keep_real: bool = False) -> SlidingWindow:
    """The workflow that trains each round on the rows of the latest `rounds` rounds.

    Args:
        rounds: >= 1; 1 is `replace`, and more than have passed is `accumulate`.
        keep_real: the real rows of round 0 stay in every fit; with rounds=1 they are mixed with each round's rows.

    Raises:
        ValueError: `rounds` is not a whole number >= 1.
        TypeError: `keep_real` is not True or False.
    """
    check_shape("rounds", rounds, ())
    return check_fields(SlidingWindow(as_numbers("rounds", rounds), keep_real), "workflow")
