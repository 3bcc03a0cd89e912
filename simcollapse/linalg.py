"""Solving small symmetric positive definite systems, many at a time, in plain array operations.

No LAPACK: batched LAPACK calls hang for ever on CPU when two programs share XLA's small thread pool (seen on
jax 0.10.2 with two cores at D = 100), and they are slow for small D on GPU.
"""

import jax
import jax.numpy as jnp

BLOCK = 16  # columns eliminated together; up to this size the whole system is one block


def solve_positive(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solution of `matrix @ x = right`, and whether `matrix` is positive definite in working precision.

    `matrix` (D, D) symmetric, or (D,) for a diagonal one; `right` (D,). A system is refused when a pivot
    falls below D eps times the matrix' own diagonal entry: in that direction the data say nothing. The
    refused system's solution is zero.

    Block elimination without pivoting, which is stable for positive definite matrices.
    """
    if matrix.ndim == 1:
        definite = jnp.all(matrix > 0)
        return jnp.where(definite, right / jnp.where(matrix > 0, matrix, 1), 0), definite
    dim = matrix.shape[0]
    floor = dim * jnp.finfo(matrix.dtype).eps * jnp.diagonal(matrix)
    table = jnp.concatenate([matrix, right[:, None]], axis=1)
    definite = jnp.asarray(True)
    eliminated = []  # for each block of rows: its unknowns as a linear function of the later ones
    while table.shape[0]:
        size = min(BLOCK, table.shape[0])
        rows, good = _reduce(table[:size], floor[:size])
        definite &= good
        eliminated.append(rows)
        table = table[size:, size:] - table[:size, size:-1].T @ rows
        floor = floor[size:]
    solution = jnp.zeros(0, dtype=matrix.dtype)
    for rows in reversed(eliminated):
        solution = jnp.concatenate([rows[:, -1] - rows[:, :-1] @ solution, solution])
    return jnp.where(definite, solution, 0), definite


def _reduce(rows, floor):
    """inv(A) @ B for `rows` = [A | B] with A (S, S), by Gauss-Jordan, and whether every pivot is above `floor`."""
    size = rows.shape[0]

    def eliminate(i, carry):
        table, definite = carry
        pivot = table[i, i]
        good = pivot > floor[i]  # false for NaN
        row = table[i] / jnp.where(good, pivot, 1)
        table = (table - table[:, i][:, None] * row[None]).at[i].set(row)
        return table, definite & good

    table, definite = jax.lax.fori_loop(0, size, eliminate, (rows, jnp.asarray(True)))
    return table[:, size:], definite
