"""Accumulate until real rows are deleted: from one round on, a share of them is gone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers
from simcollapse.checks import as_numbers, check_fields, check_shape, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DeleteReal:
    """As `accumulate`, but fits from round `at` on see only some of the real rows."""

    at: jax.Array = parameter("count", doc="(), first round whose fit misses the deleted rows")
    share: jax.Array = parameter("unit", doc="(), share of the real rows that is deleted")

    keeps = True
    fits_alone = False
    needs_rows = True

    def limit(self, rows: np.ndarray) -> int:
        """Most rows of a fit, for these rows of rounds 0..K."""
        return int(rows.sum())

    def choose(self, key, pool: buffers.Pool, wanted, k, limit: int) -> buffers.Seen:
        """The rows that the fit of round k sees. The real rows come first in the pool, and are alike in law."""
        seen = buffers.everything(pool)
        real = buffers.filled(pool) & (pool.born == 0)
        lost = jnp.round(self.share * jnp.sum(real, dtype=float))
        gone = real & (jnp.arange(real.shape[0], dtype=float) < lost) & (k.astype(float) >= self.at)
        return buffers.Seen(seen.rows, jnp.where(gone, 0.0, seen.weight))


def delete_real(at: int, *, share=1.0) -> DeleteReal:
    """The workflow that accumulates, and loses `share` of the real rows before the fit of round `at`.

    Args:
        at: >= 1; with 1 no round but the first fit sees the deleted rows.
        share: in [0, 1]; 0 is `accumulate`.

    Raises:
        ValueError: `at` is not a whole number >= 1, `share` is outside its range.
    """
    check_shape("at", at, ())
    check_shape("share", share, ())
    return check_fields(DeleteReal(as_numbers("at", at), as_numbers("share", share)), "workflow")
