"""Pools that keep their rows: where kept rows go, and which rows a subsample takes."""

import jax
import jax.numpy as jnp


def places(filled: jax.Array, weight: jax.Array, capacity: int) -> tuple[jax.Array, jax.Array]:
    """Place of each row in a buffer of which `filled` rows are taken, shape (N,), and how many are taken then.

    Rows of weight 0 get the place `capacity`: out of range, so that a scatter with mode="drop" leaves them out.
    """
    place = filled + jnp.cumsum(weight > 0, dtype=jnp.int32) - 1
    place = jnp.where(weight > 0, place, capacity)
    return place, filled + jnp.sum(weight > 0, dtype=jnp.int32)


def lots(key: jax.Array, filled: jax.Array, capacity: int, limit: int) -> jax.Array:
    """Places of the first `filled` rows in random order, shape (min(limit, capacity),); empty places come last."""
    ticket = jax.random.bits(key, (capacity,), "uint32") >> 1
    ticket = jnp.where(jnp.arange(capacity, dtype=jnp.int32) < filled, ticket, jnp.uint32(2**32 - 1))
    return jnp.argsort(ticket)[: min(limit, capacity)]


def taken(chosen: jax.Array, filled: jax.Array, count: jax.Array) -> jax.Array:
    """Weight of each of the `chosen` places: 1 for the first `count` of them that hold a row, else 0."""
    return (jnp.arange(chosen.shape[0], dtype=jnp.int32) < jnp.minimum(count, filled)).astype(float)
