"""A random permutation that is evaluated only where it is asked for: draws without replacement, at a cost per draw."""

import jax
import jax.numpy as jnp

from simcollapse import keys

ROUNDS = 32  # a pair of places is mixed in each with probability 1/2
_STEP = 0x9E3779B9  # 2^32 divided by the golden ratio, odd
_MIXERS = (0x85EBCA6B, 0xC2B2AE35)


def permuted(key: jax.Array, count: jax.Array, number: int, present: jax.Array | None = None) -> jax.Array:
    """Images of the places 0..number-1 under a random permutation of 0..count-1, (number,), int32.

    The images of 0..m-1 are m different places, each set of them as likely as any other. A place from `count` on has
    the image of the last one below. Every round reflects the places about a point and flips a coin for each pair of
    mirror images, which change places or stay; coins and points are hashed from two random words. After r rounds the
    law of two images differs from the uniform one by about 2^-r. `present` as in `keys.stored`.

    Source: the swap-or-not shuffle, Hoang, Morris and Rogaway 2012, An enciphering scheme based on a card shuffle;
    hashes: the finalizer of MurmurHash3, Appleby 2011.
    """
    count = jnp.maximum(count, 1).astype(jnp.uint32)
    start, tosses = keys.words(key, present)
    rounds = jnp.arange(ROUNDS, dtype=jnp.uint32) * jnp.uint32(_STEP)
    point = _high_product(_mixed(start + rounds), count)
    offset, factor = _mixed(tosses + rounds), _mixed(~tosses + rounds) | 1

    def mix(r, place):
        return _swap_or_not(place, count, point[r], offset[r], factor[r])

    places = jnp.minimum(jnp.arange(number, dtype=jnp.uint32), count - 1)
    return jax.lax.fori_loop(0, ROUNDS, mix, places).astype(jnp.int32)


def permuted_apart(
    key: jax.Array, place: jax.Array, count: jax.Array, part: jax.Array, present: jax.Array | None = None
) -> jax.Array:
    """The image of each place (L,) in the permutation of its part: of 0..count-1, int32.

    As in `permuted`, with a permutation for every number in `part` (L,), int32; places of a part have the same `count`
    (L,). Points are hashed anew for every place: about three times the time.
    """
    count = jnp.maximum(count, 1).astype(jnp.uint32)
    start, tosses = keys.words(key, present)
    salt = _mixed(part.astype(jnp.uint32) * jnp.uint32(_STEP) + start)
    rounds = jnp.arange(ROUNDS, dtype=jnp.uint32) * jnp.uint32(_STEP)
    offset, factor = _mixed(tosses + rounds), _mixed(~tosses + rounds) | 1

    def mix(r, place):
        point = _high_product(_mixed(salt + rounds[r]), count)
        return _swap_or_not(place, count, point, offset[r] + salt, factor[r])

    places = jnp.minimum(place.astype(jnp.uint32), count - 1)
    return jax.lax.fori_loop(0, ROUNDS, mix, places).astype(jnp.int32)


def _swap_or_not(place, count, point, offset, factor):
    mirrored = jnp.where(place <= point, point, point + count) - place
    pair = jnp.maximum(place, mirrored)
    coin = (pair + offset) * factor
    coin = (coin ^ coin >> 15) * jnp.uint32(_MIXERS[0]) >> 31
    return jnp.where(coin == 1, mirrored, place)


def _mixed(word):
    """Every bit depends on every bit of `word`, uint32; one to one."""
    word = (word ^ word >> 16) * jnp.uint32(_MIXERS[0])
    word = (word ^ word >> 13) * jnp.uint32(_MIXERS[1])
    return word ^ word >> 16


def _high_product(word, number):
    """The high half of the product of two 32-bit numbers: below `number`, in proportion to `word`."""
    half = jnp.uint32(16)
    low, high = word & 0xFFFF, word >> half
    low_number, high_number = number & 0xFFFF, number >> half
    cross, other = high * low_number, low * high_number
    carried = ((low * low_number >> half) + (cross & 0xFFFF) + (other & 0xFFFF)) >> half
    return high * high_number + (cross >> half) + (other >> half) + carried
