"""Convolutions of 4 x 4 kernels and stride 2, and their transposes, each as one matrix product.

The same maps as `nnx.Conv` and `nnx.ConvTranspose` with these kernels, "SAME" padding and the same parameters (to
rounding; tests compare). On CPU they are faster than XLA's convolutions, forward and backward.

A convolution multiplies every patch of the image by the kernel; its transpose makes a patch of every pixel and adds
them up where they overlap. Cutting patches out and adding them up are each other's gradients. Left to itself, JAX adds
up by scattering, one number of a kernel after the other, which took most of a training step.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from simcollapse.neural.transformer.products import product

KERNEL = 4
STRIDE = 2
EDGE = ((0, 0), (1, 1), (1, 1), (0, 0))


def check_side(side: int, remedy: str) -> None:
    """Raise ValueError for square images that two convolutions do not halve; `remedy` says what else to do."""
    if side < 1 or side % STRIDE**2:
        raise ValueError(
            f"side must be a multiple of {STRIDE**2}, which two strides of {STRIDE} need, got {side}; {remedy}"
        )


@jax.custom_vjp
def patches(x: jax.Array) -> jax.Array:
    """(B, 2H, 2W, C) -> (B, H, W, 16 C): the 4 x 4 pixels around every second one, zero beyond the edge."""
    height, width = x.shape[1:3]
    x = jax.lax.optimization_barrier(jnp.pad(x, EDGE))  # else XLA pads every slice: 1.4 times slower
    taps = [x[:, i : i + height : 2, j : j + width : 2] for i in range(KERNEL) for j in range(KERNEL)]
    return jnp.concatenate(taps, axis=-1)


@jax.custom_vjp
def overlaps(x: jax.Array) -> jax.Array:
    """(B, H, W, 16 C) -> (B, 2H, 2W, C): patches added up where `patches` cuts them, without what is outside."""
    batch, height, width, numbers = x.shape
    # A patch is 2 x 2 blocks of 2 x 2 pixels. Blocks i, j of all patches cover the image once, without a gap.
    # Axes 3 to 6: block row, pixel row, block column, pixel column and channel.
    x = x.reshape(batch, height, width, 2, 2, 2, -1)
    around = [((0, 0), (i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in range(2) for j in range(2)]
    blocks = [x[:, :, :, i, :, j] for i in range(2) for j in range(2)]
    padded = [jnp.pad(block, sides) for block, sides in zip(blocks, around, strict=True)]
    total = functools.reduce(jnp.add, padded)
    total = total.transpose(0, 1, 3, 2, 4).reshape(batch, 2 * height + 2, 2 * width + 2, numbers // KERNEL**2)
    return total[:, 1:-1, 1:-1]


patches.defvjp(lambda x: (patches(x), None), lambda _, slope: (overlaps(slope),))
overlaps.defvjp(lambda x: (overlaps(x), None), lambda _, slope: (patches(slope),))


class _Convolution(nnx.Module):
    """Kernel and bias."""

    def __init__(self, channels: int, features: int, *, rngs: nnx.Rngs):
        shape = (KERNEL, KERNEL, channels, features)
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features, jnp.float32))


class Down(_Convolution):
    """(B, H, W, C) -> (B, H/2, W/2, F), H and W even."""

    def __call__(self, x: jax.Array) -> jax.Array:
        height, width = x.shape[1:3]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"x must have an even number of rows and columns, got {height} and {width}")
        kernel = self.kernel[...]
        return product(patches(x), kernel.reshape(-1, kernel.shape[-1])) + self.bias[...]


class Up(_Convolution):
    """(B, H, W, C) -> (B, 2H, 2W, F)."""

    def __call__(self, x: jax.Array) -> jax.Array:
        # Flax's transpose does not turn the kernel around: its last row belongs to the first row of a patch.
        kernel = self.kernel[::-1, ::-1].transpose(2, 0, 1, 3)
        return overlaps(product(x, kernel.reshape(x.shape[-1], -1))) + self.bias[...]
