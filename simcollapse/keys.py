"""Random keys: which generator, and how every draw gets a key of its own.

A key is derived by position, never by splitting a running key:

    root(seed) -> cell (one fold per grid axis) -> chain -> round -> purpose and chunk

so a chain's numbers depend on its own position only. A longer run, more chains, a longer grid axis,
another block size or another device leave every earlier number as it was.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Chosen by measurement. Here keys derive keys; normals and uniforms are made in `randoms`. JAX hashes threefry2x32 on
# CPU in a loop, which is compiled once; the straight code of philox4x32 is fused into every consumer of a key and
# computed there again: twice the time to compile, and 10 to 50 % more a round.
IMPLEMENTATION = "threefry2x32"

# Purposes of the draws inside one round. Append only: a new place in the list is a new stream.
JUDGE, REAL, GENERATE, VERIFY, RESAMPLE, COLLECT, FIT, MEASURE, LAW = range(9)

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_ROUNDS = 20

CHUNKS = 2**24  # chunks of one purpose; up to 256 purposes fit in the 32 bits that `fold_in` takes


def root(seed: int) -> jax.Array:
    """The key that a whole experiment starts from."""
    return jax.random.key(seed, impl=IMPLEMENTATION)


def chain_key(key: jax.Array, cell: jax.Array, chain: jax.Array) -> jax.Array:
    """Key of one chain: `key` folded with each grid axis' index, `cell` of shape (A,), then the chain."""
    for number in (*cell, chain):
        key = jax.random.wrap_key_data(_folded(key, number), impl=IMPLEMENTATION)
    return key


def for_purpose(
    key: jax.Array, purpose: int, chunk: jax.Array | int = 0, present: jax.Array | None = None
) -> jax.Array:
    """Key of chunk `chunk` of one purpose within a round (or within a verifier's own training).

    `present` as in `fold_in`.
    """
    return fold_in(key, purpose * CHUNKS + chunk, present)


def as_generated(purpose: jax.Array | int, chunk: jax.Array) -> jax.Array:
    """The chunk whose key for generating is that of chunk `chunk` of this purpose."""
    return chunk + (purpose - GENERATE) * CHUNKS


def fold_in(key: jax.Array, number: jax.Array | int, present: jax.Array | None) -> jax.Array:
    """As `jax.random.fold_in`, with the same key; `present` as in `stored`.

    JAX's hash is a loop of small steps, which in a small block can cost more than the numbers that are drawn with the
    key; straight code, whose result is kept, is several times faster.
    """
    if present is None:
        return jax.random.fold_in(key, number)
    return jax.random.wrap_key_data(stored(lambda: _folded(key, number), present), impl=IMPLEMENTATION)


def _folded(key, number):
    """The two words of `key` folded with each number, (2, …)."""
    data = jax.random.key_data(key)
    return jnp.stack(threefry(data[0], data[1], jnp.uint32(0), jnp.asarray(number).astype(jnp.uint32)))


def split(key: jax.Array, number: int, present: jax.Array | None) -> list[jax.Array]:
    """As `jax.random.split`, with the same keys; `present` as in `fold_in`."""
    if present is None:
        return list(jax.random.split(key, number))
    parts = stored(lambda: _folded(key, jnp.arange(number, dtype=jnp.uint32)), present)
    return [jax.random.wrap_key_data(parts[:, i], impl=IMPLEMENTATION) for i in range(number)]


def words(key: jax.Array, present: jax.Array | None = None) -> jax.Array:
    """Two random words, (2,), uint32: those of `jax.random.bits`; `present` as in `fold_in`."""
    if present is None:
        return jax.random.bits(key, (2,), "uint32")
    data = jax.random.key_data(key)
    counter = jnp.arange(2, dtype=jnp.uint32)

    def draw():
        first, second = threefry(data[0], data[1], jnp.zeros_like(counter), counter)
        return first ^ second

    return stored(draw, present)


@jax.jit  # traced once for equal shapes; the program is the same
def threefry(k0, k1, x0, x1):
    """The block (x0, x1) encrypted with the key (k0, k1), all 32-bit words, by Threefry-2x32 with 20 rounds.

    `jax.extend.random.threefry_2x32` gives the same words, but as a loop over rounds, which costs several times more.
    """
    key = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + key[0], x1 + key[1]
    for group in range(_ROUNDS // 4):
        for distance in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << distance) | (x1 >> (32 - distance))) ^ x0
        x0 = x0 + key[(group + 1) % 3]
        x1 = x1 + (key[(group + 2) % 3] + (group + 1))
    return x0, x1


def stored(draw, present: jax.Array | None):
    """What `draw()` returns, computed once and kept in memory; zeros where `present` is false.

    `present` must be an unbatched traced boolean that is always true when the result is used; None where there
    is no such value, and then the draw is an ordinary one. Why a
    conditional: XLA drops optimization barriers before it fuses, and then computes random numbers again
    in every consumer; a conditional on a value known only at run time is not fused across. Measured on
    two cores: twice the rounds a second at (d, n) = (10, 100).
    """
    if present is None:
        return draw()
    shapes = jax.eval_shape(draw)
    return jax.lax.cond(present, draw, lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))
