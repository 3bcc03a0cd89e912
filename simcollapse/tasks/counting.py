"""How often each outcome comes up in many draws, without a number for each draw: compared, added up and forgotten.

The chain axis is written by hand, as in `batching`, and stands last. On a CPU a draw costs a hash and, for every
outcome, a compare and an addition of eight chains at a time; an outcome's place in an array, read and written for each
draw, costs ten times as much.
"""

import jax
import jax.numpy as jnp
from jax import lax

from simcollapse import keys, randoms
from simcollapse.batching import chains_last
from simcollapse.tasks.designs import CHUNK

STEP = 10  # draws that are counted at a time; half of a chunk is a multiple of it


@chains_last
def steps(chances):
    """Where each of M outcomes ends in the sum of their chances, (M,), and the sum; infinite where none follows.

    Added one after the other: sums in another order may fall where a chance is zero.
    """

    def add(outcome, carry):
        total, ends = carry
        total = total + chances[outcome]
        return total, lax.dynamic_update_index_in_dim(ends, total, outcome, 0)

    none = jnp.zeros(chances.shape[1:], chances.dtype)
    total, ends = lax.fori_loop(0, chances.shape[0], add, (none, jnp.zeros_like(chances)))
    return jnp.where(ends < total[None], ends, jnp.inf), total


@jax.custom_batching.custom_vmap
def drawn(key: jax.Array, purpose: jax.Array, chances: jax.Array, count: jax.Array) -> jax.Array:
    """How often each of M outcomes comes up in the first `count` draws of a purpose, (M,), int32.

    Draw i is made from number i % CHUNK of `randoms.uniform(keys.for_purpose(key, purpose, i // CHUNK), (CHUNK,))`: the
    number of `steps` that this, times their sum, has reached. An outcome of chance zero never comes up.
    """
    return _drawn(key[None], purpose, chances[:, None], count[None])[:, 0]


@drawn.def_vmap
def _drawn_by_chains(size, batched, key, purpose, chances, count):
    if batched[1]:
        raise NotImplementedError("chains of different purpose")
    key = key if batched[0] else jnp.broadcast_to(key, (size,))
    count = count if batched[3] else jnp.broadcast_to(count, (size,))
    chances = chances.T if batched[2] else jnp.broadcast_to(chances[:, None], (*chances.shape, size))
    return _drawn(key, purpose, chances, count).T, True


def _drawn(key, purpose, chances, count):
    """As `drawn`, of C chains: `key` and `count` (C,), `chances` (M, C)."""
    ends, total = steps(chances)
    ends = ends[:-1]  # no draw reaches the last one
    most = jnp.max(count)

    def add_chunk(chunk, reached):
        begin = chunk * CHUNK
        present = begin < most

        def add(first, toss, reached):
            """`reached`, less one for each step that each of the STEP draws from `first` on has reached."""
            row = begin + first + lax.broadcasted_iota(jnp.int32, toss.shape, 0)
            toss = keys.stored(
                lambda: jnp.where(row < count[None], toss * total[None], -1.0), present
            )  # -1: reaches none
            for i in range(STEP):
                reached = reached - (toss[i][None] >= ends).astype(jnp.int32)
            return reached

        loop = _loop if randoms.single() else _loop_double
        return loop(_chunk_keys(key, purpose, chunk, present), most - begin, present, add, reached)

    reached = lax.fori_loop(0, _parts(most, CHUNK), add_chunk, jnp.zeros(ends.shape, jnp.int32))
    reached = jnp.concatenate([count[None], -reached, jnp.zeros((1, *count.shape), jnp.int32)])
    return reached[:-1] - reached[1:]


def _chunk_keys(key, purpose, chunk, present):
    """`keys.for_purpose(key, purpose, chunk)` of each chain, its two words in front, (2, C)."""
    first, second = jax.random.key_data(key).T
    number = purpose * jnp.uint32(keys.CHUNKS) + chunk.astype(jnp.uint32)
    return keys.stored(lambda: jnp.stack(keys.threefry(first, second, jnp.uint32(0), number)), present)


def _loop(data, left, present, add, carry):
    """`carry` after `add` was given the numbers of a chunk, STEP of each chain at a time: the first `left`, or all."""
    size, half = data.shape[1], CHUNK // 2
    counter = lax.broadcasted_iota(jnp.uint32, data.shape, 0)
    zero = jnp.zeros_like(counter)
    words = keys.stored(lambda: jnp.bitwise_xor(*keys.threefry(data[:1], data[1:], zero, counter)), present)

    def add_pairs(group, carry):
        place = group.astype(jnp.uint32) * STEP + lax.broadcasted_iota(jnp.uint32, (STEP, size), 0)

        def hashed():
            return lax.complex(
                *randoms.uniform_pair(*keys.threefry(words[:1], words[1:], place, jnp.zeros_like(place)))
            )

        pairs = keys.stored(hashed, present)
        first = group * STEP

        def add_one(which, carry):
            toss = jnp.where(which == 0, lax.real(pairs), lax.imag(pairs))
            return add(which * half + first, toss, carry)

        return lax.fori_loop(0, 1 + (half + first < left).astype(jnp.int32), add_one, carry)

    return lax.fori_loop(0, _parts(jnp.minimum(left, half), STEP), add_pairs, carry)


def _loop_double(data, left, present, add, carry):
    """The same in double precision."""

    def draw(words):
        key = jax.random.wrap_key_data(words, impl=keys.IMPLEMENTATION)
        return randoms.uniform(key, (CHUNK,), present)

    toss = jax.vmap(draw, in_axes=1, out_axes=1)(data)

    def add_some(part, carry):
        first = part * STEP
        return add(first, lax.dynamic_slice_in_dim(toss, first, STEP), carry)

    return lax.fori_loop(0, _parts(jnp.minimum(left, CHUNK), STEP), add_some, carry)


def _parts(number, size):
    return (number + size - 1) // size
