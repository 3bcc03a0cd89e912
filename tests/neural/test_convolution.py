import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from simcollapse import keys
from simcollapse.neural.convolution import Down, Up, check_side

# Sums of up to 16 * 8 products of numbers of size 1, in single precision.
ROUNDING = 2e-5


@pytest.mark.parametrize("side", [2, 14])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Down, nnx.Conv), (Up, nnx.ConvTranspose)],
)
def test_slices_equal_flax_forward_and_backward(ours, theirs, side):
    own = ours(8, 5, rngs=nnx.Rngs(params=keys.root(0)))
    other = theirs(8, 5, (4, 4), strides=(2, 2), padding="SAME", rngs=nnx.Rngs(params=keys.root(1)))
    own.bias[...] = jnp.arange(5.0)
    other.kernel[...], other.bias[...] = own.kernel[...], own.bias[...]
    x = jax.random.normal(keys.root(2), (3, side, side, 8))

    def value(module, x):
        out = module(x)
        weight = jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape)
        return jnp.sum(weight * out), out

    gradient = nnx.jit(nnx.value_and_grad(value, has_aux=True))
    (_, out), slope = gradient(own, x)
    (_, wanted), wanted_slope = gradient(other, x)
    assert out.shape == wanted.shape
    np.testing.assert_allclose(out, wanted, atol=ROUNDING)
    np.testing.assert_allclose(slope.kernel[...], wanted_slope.kernel[...], atol=side * ROUNDING)
    np.testing.assert_allclose(slope.bias[...], wanted_slope.bias[...], atol=side * ROUNDING)


def test_the_comparison_would_see_a_flipped_kernel():
    own = Up(2, 3, rngs=nnx.Rngs(params=keys.root(0)))
    x = jax.random.normal(keys.root(2), (1, 4, 4, 2))
    before = own(x)
    own.kernel[...] = own.kernel[...][::-1]
    assert np.abs(own(x) - before).max() > 100 * ROUNDING


def test_sides_that_the_strides_do_not_divide_are_refused():
    own = Down(1, 2, rngs=nnx.Rngs(params=keys.root(0)))
    with pytest.raises(ValueError, match="even number of rows and columns, got 6 and 5"):
        own(jnp.zeros((1, 6, 5, 1)))
    check_side(8, "")
    for side in (0, 2, 27):
        with pytest.raises(ValueError, match=f"side must be a multiple of 4, .* got {side}; pad"):
            check_side(side, "pad the images")
