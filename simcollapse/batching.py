"""Where the chain axis goes under `vmap`: first by default, last for functions on short arrays."""

import jax
import jax.numpy as jnp


def chains_last(function):
    """`function` of arrays, which `vmap` calls with the chains as last axis of every argument and result.

    It must take arguments with more axes behind its own and treat those one by one. The numbers are the same to
    rounding. Why a chain axis is written by hand here: XLA's loops for CPU are fast along the last axis alone, and with
    2 to 10 entries there they are two to five times slower than with the chains.
    """
    plain = jax.custom_batching.custom_vmap(function)

    @plain.def_vmap
    def with_chains(size, batched, *arguments):
        def move(array, has_axis):
            if has_axis:
                return jnp.moveaxis(array, 0, -1)
            return jnp.broadcast_to(array[..., None], (*array.shape, size))

        results = function(*jax.tree.map(move, arguments, tuple(batched)))
        return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), results), jax.tree.map(lambda _: True, results)

    return plain


@jax.custom_batching.custom_vmap
def largest(number):
    """`number`, (), of the chain that has the largest; of a flag, whether it is true in any.

    The same for all, so that under `vmap` a loop of so many steps, or a `lax.cond`, stays one.
    """
    return number


@largest.def_vmap
def _largest_of_chains(size, batched, number):
    return largest(jnp.max(number)), False
