"""Pools that keep their rows: what is stored of each, where it goes, and which rows a fit sees."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from simcollapse import keys

Tree = Any
MOST_COUNTED = (
    8192  # places of a pool, up to which comparing the rows of a round is mostly faster than sorting
)


class Pool(NamedTuple):
    """Rows with room for M; the first `count` places are filled."""

    rows: Tree  # leaves (M, …), what `task.rows` keeps of each
    born: jax.Array  # (M,), int32, round that made the row, 0 = real
    weight: jax.Array  # (M,), positive where filled
    count: jax.Array  # (), int32


class Seen(NamedTuple):
    """The rows that a fit sees."""

    rows: Tree  # leaves (L, …)
    weight: jax.Array  # (L,), 0: no row here


def empty(task: Any, capacity: int) -> Pool:
    """A pool for `capacity` rows of `task`, with none in it."""
    shapes = jax.eval_shape(lambda key: task.rows(task.real(key, jnp.int32(0), None)), keys.root(0))
    return Pool(
        rows=jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape[1:]), s.dtype), shapes),
        born=jnp.zeros(capacity, dtype=jnp.int32),
        weight=jnp.zeros(capacity),
        count=jnp.int32(0),
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

    return Pool(
        rows=jax.tree.map(put, pool.rows, rows),
        born=put(pool.born, jnp.full(number, born, dtype=jnp.int32)),
        weight=put(pool.weight, weight),
        count=pool.count + jnp.sum(weight > 0, dtype=jnp.int32),
    )


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
    rows = jax.tree.map(lambda held: held[order], pool.rows)
    return Seen(rows, taken(order, pool.count, count))


def places(filled: jax.Array, weight: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Place of each row in a buffer of which `filled` rows are taken, shape (N,), and how many are taken then.

    Rows of weight 0 get the place `capacity`: out of range, so that a scatter with mode="drop" leaves them out.
    """
    place = filled + jnp.cumsum(weight > 0, dtype=jnp.int32) - 1
    place = jnp.where(weight > 0, place, capacity)
    return place, filled + jnp.sum(weight > 0, dtype=jnp.int32)


def tickets(key: jax.Array, pool: Pool) -> jax.Array:
    """Random numbers in whose order rows are drawn, (M,), uint32; the largest number where there is no row."""
    ticket = jax.random.bits(key, pool.born.shape, "uint32") >> 1
    return jnp.where(filled(pool), ticket, jnp.uint32(2**32 - 1))


def taken(chosen: jax.Array, filled: jax.Array, count: jax.Array) -> jax.Array:
    """Weight of each of the `chosen` places: 1 for the first `count` of them that hold a row, else 0."""
    return (jnp.arange(chosen.shape[0], dtype=jnp.int32) < jnp.minimum(count, filled)).astype(float)


def ranks(pool: Pool, ticket: jax.Array) -> jax.Array:
    """How many rows of the same round have a smaller ticket, (M,), for each row; at empty places, any number."""
    there = filled(pool)
    born = jnp.where(there, pool.born, jnp.int32(2**31 - 1))
    place = jnp.arange(len(born), dtype=jnp.int32)
    before = place - jnp.searchsorted(born, born).astype(jnp.int32)  # a round's rows stand together
    if len(born) > MOST_COUNTED:
        return _sorted(born, ticket, before)
    return _counted(born, ticket, jnp.max(jnp.where(there, before, 0)))


def _counted(born, ticket, most):
    """Ranks by comparing all rows of a round; in the largest are `most` + 1."""
    size = born.shape[0]
    born_around = jnp.pad(born, size, constant_values=-1)  # no round
    ticket_around = jnp.pad(ticket, size)

    def compare(step, rank):
        around = (born_around, ticket_around)
        other_born, other = (jax.lax.dynamic_slice(x, (size + step,), (size,)) for x in around)
        smaller = (other < ticket) | ((other == ticket) & (step < 0))
        return rank + (smaller & (other_born == born)).astype(jnp.int32)

    return jax.lax.fori_loop(-most, most + 1, compare, jnp.zeros(size, jnp.int32))


def _sorted(born, ticket, before):
    """Ranks by sorting, which leaves each round where it stands."""
    return jnp.zeros_like(before).at[jnp.lexsort((ticket, born))].set(before)
