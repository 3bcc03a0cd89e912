"""The matrix product of a linear layer, with gradients that are plain products too."""

from typing import Any, TypeVar

import jax
from flax import nnx

Model = TypeVar("Model", bound=nnx.Module)
FEW = 16  # rows, for `few_rows`


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x (…, I) times the kernel (I, O): (…, O).

    JAX computes the gradient by the kernel with its axes exchanged, for which XLA on CPU copies a factor in the other
    order and multiplies half as fast; here the rows of both are summed over as they lie. Measured with the layers of
    SmolLM2-135M: a gradient in two thirds of the time.
    """
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))


def _forward(x, kernel):
    return product(x, kernel), (x, kernel)


def _backward(kept, slope):
    x, kernel = kept
    by_x = jax.lax.dot_general(slope, kernel, (((slope.ndim - 1,), (1,)), ((), ())))
    return by_x, _over_rows(x, slope)


def _over_rows(first, second):
    """Sums over all rows of first (…, I) times second (…, O): (I, O)."""
    first, second = first.reshape(-1, first.shape[-1]), second.reshape(-1, second.shape[-1])
    # XLA on CPU copies the first factor in the other order: the narrower one goes first, twice as fast at 4 : 1.
    if first.shape[1] <= second.shape[1]:
        return _product_over_rows(first, second)
    # Without the barrier XLA exchanges the factors back.
    return jax.lax.optimization_barrier(_product_over_rows(second, first)).T


def _product_over_rows(first, second):
    return jax.lax.dot_general(first, second, (((0,), (0,)), ((), ())))


product.defvjp(_forward, _backward)


@jax.custom_vjp
def product_by_rows(x: jax.Array, table: jax.Array) -> jax.Array:
    """x (…, I) times every row of the table (O, I): (…, O)."""
    if x.size <= FEW * x.shape[-1]:
        return few_rows(x, table)
    return jax.lax.dot_general(x, table, (((x.ndim - 1,), (1,)), ((), ())))


def _forward_by_rows(x, table):
    return product_by_rows(x, table), (x, table)


def _backward_by_rows(kept, slope):
    x, table = kept
    return product(slope, table), _over_rows(slope, x)


product_by_rows.defvjp(_forward_by_rows, _backward_by_rows)


def dot_general(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """`product` where a linear layer of Flax takes its `dot_general`."""
    return product(x, kernel)


def for_few_rows(model: Model) -> Model:
    """The model with the kernels of its linear layers turned for `few_rows`, to go on token by token: copied once."""
    for _, layer in nnx.iter_modules(model):
        if isinstance(layer, nnx.Linear):
            layer.kernel = nnx.Param(jax.lax.optimization_barrier(layer.kernel[...].T))
            layer.dot_general = few_rows
    return model


def few_rows(x: jax.Array, table: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """As `product_by_rows`, without a gradient, for some ten rows x.

    XLA on CPU takes three quarters of the time when both factors and the product are transposed; the barriers keep it
    from exchanging them back. Measured with the layers of SmolLM2-135M and 8 rows.
    """
    barrier = jax.lax.optimization_barrier
    rows = x.reshape(-1, x.shape[-1])
    return barrier(table @ barrier(rows.T)).T.reshape(*x.shape[:-1], -1)
