"""Solving small symmetric positive definite systems, many at a time."""

import jax
import jax.numpy as jnp

# Up to this size elimination is written out in array operations: it needs no LAPACK call per chain, so it
# is as fast on CPU, faster on GPU, and cannot meet LAPACK's thread-pool hang inside sharded programs.
WRITTEN_OUT = 16


def solve_positive(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solution of `matrix @ x = right` and whether `matrix` is positive definite in working precision.

    `matrix` (D, D) symmetric, or (D,) for a diagonal one; `right` (D,). A system is refused when a pivot
    falls below D eps times the matrix' own diagonal entry: in that direction the data say nothing. The
    refused system's solution is zero.
    """
    if matrix.ndim == 1:
        definite = jnp.all(matrix > 0)
        return jnp.where(definite, right / jnp.where(matrix > 0, matrix, 1), 0), definite
    dim = matrix.shape[0]
    floor = dim * jnp.finfo(matrix.dtype).eps * jnp.diagonal(matrix)
    if dim <= WRITTEN_OUT:
        return _eliminate(matrix, right, floor)
    # NaN where not definite; made safe first, so that the refused branch stays finite
    factor = jnp.linalg.cholesky(matrix)
    pivots = jnp.diagonal(factor) ** 2
    definite = jnp.all(pivots > floor)  # false for NaN
    factor = jnp.where(definite, factor, jnp.eye(dim, dtype=matrix.dtype))
    solution = jax.scipy.linalg.cho_solve((factor, True), right[:, None])[:, 0]
    return jnp.where(definite, solution, 0), definite


def _eliminate(matrix, right, floor):
    """Gauss-Jordan without pivoting: stable for positive definite systems, whose pivots only shrink."""
    dim = matrix.shape[0]
    table = jnp.concatenate([matrix, right[:, None]], axis=1)
    definite = jnp.asarray(True)
    for i in range(dim):
        pivot = table[i, i]
        definite &= pivot > floor[i]
        row = table[i] / jnp.where(pivot > floor[i], pivot, 1)
        table = (table - table[:, i : i + 1] * row[None]).at[i].set(row)
    return jnp.where(definite, table[:, dim], 0), definite
