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

    def swap_or_not(r, place):
        mirrored = jnp.where(place <= point[r], point[r], point[r] + count) - place
        pair = jnp.maximum(place, mirrored)
        coin = (pair + offset[r]) * factor[r]
        coin = (coin ^ coin >> 15) * jnp.uint32(_MIXERS[0]) >> 31
        return jnp.where(coin == 1, mirrored, place)

    places = jnp.minimum(jnp.arange(number, dtype=jnp.uint32), count - 1)
    return jax.lax.fori_loop(0, ROUNDS, swap_or_not, places).astype(jnp.int32)


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
