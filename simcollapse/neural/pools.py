"""Rows on the host, and which of them the next fit sees; the workflows are those of `simcollapse.workflows`."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers

Tree = Any


class Pool(NamedTuple):
    """Rows that a fit may see, oldest first."""

    rows: Tree  # dict of arrays, leaves (M, …)
    born: np.ndarray  # (M,), int32, round that made the row, 0 = real


def pool_of(rows: Tree, born: int) -> Pool:
    """A pool of rows made in one round."""
    return Pool(rows, np.full(count(rows), born, dtype=np.int32))


def count(rows: Tree) -> int:
    """N, the number of rows."""
    return len(jax.tree.leaves(rows)[0])


def take(rows: Tree, places: np.ndarray) -> Tree:
    """The rows at `places` (or where a mask is true)."""
    return jax.tree.map(lambda x: x[places], rows)


def join(first: Pool, second: Pool) -> Pool:
    """Both pools, one after the other."""
    return jax.tree.map(lambda a, b: np.concatenate([a, b]), first, second)


def check_workflow(workflow: Any) -> None:
    """Raise ValueError for a workflow that needs what rows on the host cannot give."""
    if hasattr(workflow, "real_rows") or getattr(workflow, "rejected_weight", None) is not None:
        raise ValueError(
            f"workflow {type(workflow).__name__} draws fresh real rows or weighs rejected ones, which neural stages "
            "cannot: use replace, accumulate, accumulate_subsample, sliding_window or delete_real"
        )


def collect(workflow: Any, pool: Pool, new: Pool) -> Pool:
    """The pool after a round whose kept rows are `new`."""
    return join(pool, new) if workflow.keeps else new


def seen(key: jax.Array, workflow: Any, pool: Pool, wanted: int, k: int, limit: int) -> Tree:
    """The rows that the fit of round k sees; `wanted` were generated in it, `limit` is the most of any fit.

    A workflow that chooses among rows chooses among their places in the pool, so that rows may be of any kind.
    """
    if not workflow.needs_rows:
        return pool.rows
    number = len(pool.born)
    room = 1 << (number - 1).bit_length()  # powers of two: few compilations while a pool grows
    padded = np.zeros(room, dtype=np.int32)
    padded[:number] = pool.born
    places = buffers.Pool(
        rows=jnp.arange(room, dtype=jnp.int32),
        born=jnp.asarray(padded),
        weight=jnp.asarray(np.arange(room) < number, dtype=float),
        count=jnp.int32(number),
        made=jnp.asarray(np.bincount(pool.born, minlength=1 << k.bit_length()), dtype=jnp.int32),
    )
    chosen = _choose(workflow, key, places, jnp.int32(wanted), jnp.int32(k), limit)
    there = np.asarray(chosen.weight) > 0
    return take(pool.rows, np.sort(np.asarray(chosen.rows)[there]))


@functools.partial(jax.jit, static_argnames="limit")
def _choose(workflow, key, places, wanted, k, limit):
    return workflow.choose(key, places, wanted, k, limit).gathered()
