"""Pools that keep their rows: what is stored of each, where it goes, and which rows a fit sees."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from simcollapse import keys

Tree = Any


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


def filled(pool: Pool) -> jax.Array:
    """Which places hold a row, (M,)."""
    return jnp.arange(pool.born.shape[0], dtype=jnp.int32) < pool.count


def everything(pool: Pool) -> Seen:
    """All rows, with their weights."""
    return Seen(pool.rows, jnp.where(filled(pool), pool.weight, 0.0))


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


def lots(key: jax.Array, pool: Pool, limit: int) -> jax.Array:
    """Places of `limit` different rows in random order, (min(limit, M),); of all, and then empty ones, if fewer.

    Places are drawn with replacement, and each is kept the first time that it comes up: every set of rows is as
    likely as any other, at a cost that hardly grows with the pool (sorting it does).
    """
    capacity = pool.born.shape[0]
    limit = min(limit, capacity)
    wanted, size = jnp.minimum(pool.count, limit), 2 * limit

    def unfinished(carry):
        return carry[1] < wanted

    def more(carry):
        number, found, first, chosen = carry
        high = jnp.maximum(pool.count, 1)
        toss = jax.random.randint(jax.random.fold_in(key, number), (size,), 0, high, dtype=jnp.int32)
        mine = number * size + jnp.arange(size, dtype=jnp.int32)
        first = first.at[toss].min(mine)
        new = first[toss] == mine
        rank = found + jnp.cumsum(new, dtype=jnp.int32) - 1
        chosen = chosen.at[jnp.where(new, rank, limit)].set(toss, mode="drop")
        return number + 1, found + jnp.sum(new, dtype=jnp.int32), first, chosen

    never = jnp.full(capacity, 2**31 - 1, dtype=jnp.int32)
    rest = jnp.minimum(pool.count + jnp.arange(limit, dtype=jnp.int32), capacity - 1)
    return jax.lax.while_loop(unfinished, more, (jnp.int32(0), jnp.int32(0), never, rest))[3]


def taken(chosen: jax.Array, filled: jax.Array, count: jax.Array) -> jax.Array:
    """Weight of each of the `chosen` places: 1 for the first `count` of them that hold a row, else 0."""
    return (jnp.arange(chosen.shape[0], dtype=jnp.int32) < jnp.minimum(count, filled)).astype(float)
