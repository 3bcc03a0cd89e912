"""Accumulate-subsample: all rows are kept, each fit sees a fixed number of them."""

import dataclasses

import jax
import jax.numpy as jnp

from simcollapse.checks import check_whole, option


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AccumulateSubsample:
    """The pool grows as under `accumulate`; each fit sees rows drawn from it without replacement, afresh."""

    size: int | None = option(
        "count or none", doc="rows of each fit; None for as many as the round generated"
    )

    fits_alone = True
    needs_rows = True

    def begin(self, task, pool, model, capacity):
        return task.open(pool, model)

    def training(self, key, task, pool, count, limit):
        wanted = count * task.rows_per_sample if self.size is None else jnp.int32(self.size)
        return task.draw(key, pool, wanted, limit)


def accumulate_subsample(size: int | None = None) -> AccumulateSubsample:
    """The workflow that trains on `size` rows drawn without replacement from all rows so far.

    Args:
        size: rows of each fit after round 0, all of them when the pool holds fewer; None for as many as the
            round generated (its `n_per_round`).

    Raises:
        ValueError: `size` < 1.

    Source: [Kazdan24], section 2 (v4).
    """
    return AccumulateSubsample(None if size is None else check_whole("size", size, 1))
