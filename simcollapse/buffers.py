"""Pools that keep their rows: what is stored of each, where it goes, and which rows a fit sees."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from simcollapse import keys
from simcollapse.batching import largest

Tree = Any

# Of a piece that is summed at once: at least so many rows, or numbers
PIECE_ROWS, PIECE_NUMBERS = 100, 10_000
WINDOW_ROWS = 256  # … and of rows that are seen in their order: of a window of them most may be outside


class Pool(NamedTuple):
    """Rows with room for M; the first `count` places are filled."""

    rows: Tree  # leaves (M, …), what `task.rows` keeps of each
    born: jax.Array  # (M,), int32, round that made the row, 0 = real
    weight: jax.Array  # (M,), positive where filled
    count: jax.Array  # (), int32
    made: jax.Array | None = (
        None  # (K + 1,), int32, rows of each round, if a workflow asks how many there are
    )


class Seen(NamedTuple):
    """The rows that a fit sees."""

    rows: Tree  # leaves (L, …), or (M, …) of which L are seen
    weight: jax.Array  # (L,), 0: no row here
    places: jax.Array | None = None  # (L,), int32, where the rows are; None: in this order
    # every row that the fit before saw is at its place, with its weight; others come after
    grown: bool = False

    def gathered(self) -> "Seen":
        """The same with the rows themselves, in their order."""
        return self if self.places is None else Seen(_at(self.rows, self.places), self.weight)


def empty(task: Any, capacity: int, rounds: int | None = None) -> Pool:
    """A pool for `capacity` rows of `task`, with none in it; `rounds` of them are counted apart (None: none is)."""
    shapes = jax.eval_shape(lambda key: task.rows(task.real(key, jnp.int32(0), None)), keys.root(0))
    return Pool(
        rows=jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape[1:]), s.dtype), shapes),
        born=jnp.zeros(capacity, dtype=jnp.int32),
        weight=jnp.zeros(capacity),
        count=jnp.int32(0),
        made=None if rounds is None else jnp.zeros(rounds, dtype=jnp.int32),
    )


def add(pool: Pool, rows: Tree, weight: jax.Array, born: jax.Array) -> Pool:
    """`pool` with the rows of positive weight added, (N, …) and (N,), all made in round `born`."""
    place, count = places(pool.count, weight, pool.born.shape[0])

    def put(held, new):
        return held.at[place].set(new, mode="drop")

    return Pool(
        rows=jax.tree.map(put, pool.rows, rows),
        born=put(pool.born, jnp.broadcast_to(born, place.shape)),
        weight=put(pool.weight, weight),
        count=count,
        made=_counted(pool.made, born, count - pool.count),
    )


def append(pool: Pool, rows: Tree, weight: jax.Array, born: jax.Array) -> Pool:
    """As `add`, where the rows of positive weight are the first ones: copied in one piece, which is far faster.

    Places after the last one filled may be written as well; they are never read.
    """
    capacity, number = pool.born.shape[0], weight.shape[0]
    size = min(number, capacity)
    start = jnp.minimum(pool.count, capacity - size)
    late = pool.count - start  # at the end of the pool the piece begins earlier, with rows that stay

    def put(held, new):
        here = jax.lax.dynamic_slice_in_dim(held, start, size)
        moved = jnp.concatenate([jnp.zeros_like(here), new[:size]])
        moved = jax.lax.dynamic_slice_in_dim(moved, size - late, size)
        stays = jnp.arange(size, dtype=jnp.int32) < late
        piece = jnp.where(stays.reshape(-1, *[1] * (held.ndim - 1)), here, moved)
        return jax.lax.dynamic_update_slice_in_dim(held, piece, start, 0)

    more = jnp.sum(weight > 0, dtype=jnp.int32)
    return Pool(
        rows=jax.tree.map(put, pool.rows, rows),
        born=put(pool.born, jnp.full(number, born, dtype=jnp.int32)),
        weight=put(pool.weight, weight),
        count=pool.count + more,
        made=_counted(pool.made, born, more),
    )


def _counted(made, born, more):
    return None if made is None else made + jnp.where(jnp.arange(len(made), dtype=jnp.int32) == born, more, 0)


def filled(pool: Pool) -> jax.Array:
    """Which places hold a row, (M,)."""
    return jnp.arange(pool.born.shape[0], dtype=jnp.int32) < pool.count


def everything(pool: Pool, most: int | None = None) -> Seen:
    """All rows, with their weights; the first `most` of them, if the pool holds no more."""
    rows = jax.tree.map(lambda held: held[:most], pool.rows)
    return Seen(rows, jnp.where(filled(pool), pool.weight, 0.0)[:most])


def picked(pool: Pool, order: jax.Array, count: jax.Array) -> Seen:
    """The rows at the first `count` places of `order`, (L,), all of weight 1; of all rows if there are fewer.

    `order` has every filled place ahead of the empty ones.
    """
    return Seen(pool.rows, taken(order, pool.count, count), order)


def summed(task: Any, seen: Seen) -> Tree:
    """Sums of the rows seen, as `task.sums` gives them; of an `additive` task by pieces, from first row to last.

    Long rows of many places are otherwise gathered and copied whole, and of a window of rows all that are outside too.
    """
    size, numbers = len(seen.weight), sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(seen.rows))
    most = WINDOW_ROWS if seen.places is None else max(PIECE_ROWS, PIECE_NUMBERS // numbers)
    pieces = -(-size // most)
    if pieces == 1 or not getattr(task, "additive", False):
        seen = seen.gathered()
        return task.sums(seen.rows, seen.weight)
    piece = -(-size // pieces)
    nothing = task.sums(_at(seen.rows, jnp.zeros(1, dtype=jnp.int32)), jnp.zeros(1))
    number = jnp.arange(size, dtype=jnp.int32)

    def add(i, total):
        begin = jnp.minimum(i * piece, size - piece)  # the last piece may overlap the one before

        def part(array):
            return jax.lax.dynamic_slice_in_dim(array, begin, piece)

        rows = jax.tree.map(part, seen.rows) if seen.places is None else _at(seen.rows, part(seen.places))
        sums = task.sums(rows, jnp.where(part(number) >= i * piece, part(seen.weight), 0.0))
        return jax.tree.map(lambda so_far, more, none: so_far + (more - none), total, sums, nothing)

    there = seen.weight > 0
    first, end = jnp.min(jnp.where(there, number, size)), jnp.max(jnp.where(there, number + 1, 0))
    first, last = size - largest(size - first), largest(end)  # of all chains
    return jax.lax.fori_loop(first // piece, (last + piece - 1) // piece, add, nothing)


def _at(rows, places):
    return jax.tree.map(lambda held: held[places], rows)


def places(filled: jax.Array, weight: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Place of each row in a buffer of which `filled` rows are taken, shape (N,), and how many are taken then.

    Rows of weight 0 get the place `capacity`: out of range, so that a scatter with mode="drop" leaves them out.
    """
    place = filled + jnp.cumsum(weight > 0, dtype=jnp.int32) - 1
    place = jnp.where(weight > 0, place, capacity)
    return place, filled + jnp.sum(weight > 0, dtype=jnp.int32)


def taken(chosen: jax.Array, filled: jax.Array, count: jax.Array) -> jax.Array:
    """Weight of each of the `chosen` places: 1 for the first `count` of them that hold a row, else 0."""
    return (jnp.arange(chosen.shape[0], dtype=jnp.int32) < jnp.minimum(count, filled)).astype(float)
