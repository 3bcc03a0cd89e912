"""Order without sorting or searching, which XLA for CPU does slowly: about 500 ns a number sorted, 15 ns searched."""

import jax
import jax.numpy as jnp
from jax import lax

GROUP = 16  # steps that are compared at a time: XLA for CPU makes vector instructions of so many
MOST_COMPARED = 256  # steps, up to which comparing with all of them is faster than searching among them

_WORD = {4: jnp.uint32, 8: jnp.uint64}  # by bytes of a float


def kth_largest(numbers: jax.Array, k: jax.Array) -> jax.Array:
    """The k-th largest, 1 <= k <= N, of `numbers` (N,) in floating point, of which none is NaN.

    Bit by bit from the highest: the largest word that at least k numbers reach, of words in the order of the numbers.
    """
    word = _WORD[numbers.dtype.itemsize]
    bits = 8 * numbers.dtype.itemsize
    sign = word(1) << word(bits - 1)
    raw = lax.bitcast_convert_type(numbers, word)
    key = jnp.where(raw >= sign, ~raw, raw | sign)  # larger numbers, larger words

    def set_bit(i, found):
        higher = found | (sign >> i.astype(word))
        return jnp.where(jnp.sum(key >= higher, dtype=jnp.int32) >= k, higher, found)

    found = lax.fori_loop(0, bits, set_bit, word(0))
    return lax.bitcast_convert_type(jnp.where(found >= sign, found ^ sign, ~found), numbers.dtype)


def steps_below(steps: jax.Array, numbers: jax.Array) -> jax.Array:
    """How many of the rising `steps` (M,) are at or below each of the `numbers` (N,): int32, (N,); none is NaN."""
    count = steps.shape[0]
    if count > MOST_COMPARED:
        return jnp.searchsorted(steps, numbers, side="right").astype(jnp.int32)
    groups = -(-count // GROUP)
    padded = jnp.pad(steps, (0, groups * GROUP - count), constant_values=jnp.nan)  # nothing reaches it

    def add(group, below):
        these = lax.dynamic_slice(padded, (group * GROUP,), (GROUP,))
        return below + jnp.sum(numbers[None] >= these[:, None], axis=0, dtype=jnp.int32)

    return lax.fori_loop(0, groups, add, jnp.zeros(numbers.shape, jnp.int32))
