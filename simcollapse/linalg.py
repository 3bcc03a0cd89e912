"""Solving small symmetric positive definite systems, many at a time, in plain array operations.

No LAPACK: batched LAPACK calls hang for ever on CPU when two programs share XLA's small thread pool (seen on
jax 0.10.2 with two cores at D = 100), and they are slow for small D on GPU.
"""

import math

import jax
import jax.numpy as jnp

from simcollapse.batching import chains_last, largest
from simcollapse.keys import stored

BLOCK = 34  # columns eliminated together; a system of up to this size is one block


def products(columns: jax.Array, others: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weighted sums of x x', (D, D), and of x z', (D, E), over N: x in `columns` (D, N), z in `others` (E, N).

    Weights (N,) are not negative. The root of the weight goes into both factors, so that a product needs one table,
    which is written once: less time than weighting one factor (16.7 to 13.7 ns a row at D = 10, N = 100).
    """
    table = jnp.concatenate([columns, others]) * jnp.sqrt(weight)[None]
    both = jnp.matmul(table, table.T, precision=jax.lax.Precision.HIGHEST)  # a GPU would round the factors
    return both[: len(columns), : len(columns)], both[: len(columns), len(columns) :]


def solve_positive(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Solution of `matrix @ x = right`, and whether `matrix` is positive definite in working precision.

    `matrix` (D, D) symmetric, or (D,) for a diagonal one; `right` (D,) or (D, R). A system is refused when a pivot
    falls below D eps times the matrix' own diagonal entry: in that direction the data say nothing. The
    refused system's solution is zero.

    Gauss-Jordan elimination block by block, without pivoting: stable for positive definite matrices.
    """
    if matrix.ndim == 1:
        definite = jnp.all(matrix > 0)
        matrix = matrix.reshape(matrix.shape + (1,) * (right.ndim - 1))
        return jnp.where(definite, right / jnp.where(matrix > 0, matrix, 1), 0), definite
    if right.ndim == 1:
        solution, definite = solve_positive(matrix, right[:, None])
        return solution[:, 0], definite
    dim = matrix.shape[0]
    floor = dim * jnp.finfo(matrix.dtype).eps * jnp.diagonal(matrix)
    num_blocks = -(-dim // BLOCK)
    size = -(-dim // num_blocks)
    if num_blocks == 1:
        solution, definite = _reduce(jnp.concatenate([matrix, right], axis=1), floor)
        return jnp.where(definite, solution, 0), definite

    spare = num_blocks * size - dim  # rows of the identity, which change nothing
    table = jnp.concatenate([jnp.pad(matrix, (0, spare)), jnp.pad(right, ((0, spare), (0, 0)))], axis=1)
    table = table.at[jnp.arange(dim, dim + spare), jnp.arange(dim, dim + spare)].set(1)
    floor = jnp.pad(floor, (0, spare))

    def eliminate(block, carry):
        table, definite = carry
        first = block * size
        rows = jax.lax.dynamic_slice_in_dim(table, first, size, axis=0)
        columns = jax.lax.dynamic_slice_in_dim(table, first, size, axis=1)
        pivot = jax.lax.dynamic_slice_in_dim(rows, first, size, axis=1)
        inverse, good = _reduce(
            jnp.concatenate([pivot, jnp.eye(size, dtype=pivot.dtype)], axis=1),
            jax.lax.dynamic_slice_in_dim(floor, first, size),
        )
        reduced = inverse @ rows
        columns = jax.lax.dynamic_update_slice_in_dim(columns, jnp.zeros_like(pivot), first, axis=0)
        table = jax.lax.dynamic_update_slice_in_dim(table - columns @ reduced, reduced, first, axis=0)
        return table, definite & good

    table, definite = jax.lax.fori_loop(0, num_blocks, eliminate, (table, jnp.asarray(True)))
    return jnp.where(definite, table[:dim, dim + spare :], 0), definite


@chains_last
def _reduce(rows, floor):
    """inv(A) @ B for `rows` = [A | B] with A (S, S), by Gauss-Jordan, and whether every pivot is above `floor`."""
    size = rows.shape[0]

    def eliminate(i, carry):
        table, definite = carry
        pivot = table[i, i]
        good = pivot > floor[i]  # false for NaN
        row = table[i] * (1 / jnp.where(good, pivot, 1))[None]
        table = (table - table[:, i][:, None] * row[None]).at[i].set(row)
        return table, definite & good

    start = (rows, jnp.ones(rows.shape[2:], bool))
    # two steps at a time: with one, XLA for CPU copies the table before each, a quarter of the time
    table, definite = jax.lax.fori_loop(0, size, eliminate, start, unroll=2)
    return table[:, size:], definite


def cholesky(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Lower triangular L with L L' = `matrix`, (D, D) symmetric positive semidefinite, and its inverse.

    A pivot below D eps times the matrix' own diagonal entry is taken for zero: its column of L is zero, and so is its
    row of what is then no inverse.
    """
    floor = matrix.shape[0] * jnp.finfo(matrix.dtype).eps * jnp.diagonal(matrix)
    left, panels, inverses = matrix, [], []
    for block in _blocks(len(matrix)):  # with products of blocks less than a third of the time at D = 100
        width = block.stop - block.start
        panel, inverse = _factored(left[:width, :width], floor[block])
        inverses.append(inverse)
        if block.stop < len(matrix):
            below = left[width:, :width] @ inverse.T
            left = left[width:, width:] - below @ below.T
            panel = jnp.concatenate([panel, below])
        panels.append(jnp.pad(panel, ((block.start, 0), (0, 0))))
    lower = jnp.concatenate(panels, axis=1)
    return lower, _joined(lower, inverses)


def inverse_lower(lower: jax.Array) -> jax.Array:
    """Inverse of a lower triangular (D, D); a zero on the diagonal makes its row zero, in what is then no inverse."""
    return _joined(lower, [_inverted(lower[block, block]) for block in _blocks(len(lower))])


@chains_last
def _factored(matrix, floor):
    """L and its inverse of a small matrix, by elimination of [matrix | I] to [L' | inverse of L]."""
    size = matrix.shape[0]

    def scaled(table, i):
        row = table[i]
        good = row[i] > floor[i]  # false for NaN
        return row * jnp.where(good, jax.lax.rsqrt(jnp.where(good, row[i], 1.0)), 0.0)[None]

    start = jnp.concatenate([matrix, _identity(matrix)], axis=1)
    table = _eliminated(start, scaled, lambda row, i: row[:size])
    place = _places(matrix)
    upper = jnp.where(place <= jnp.moveaxis(place, 0, 1), table[:, :size], 0.0)
    return jnp.swapaxes(upper, 0, 1), table[:, size:]


@chains_last
def _inverted(lower):
    """The inverse of a small lower triangular matrix, by elimination."""

    def scaled(table, i):
        good = lower[i, i] > 0
        return table[i] * jnp.where(good, 1 / jnp.where(good, lower[i, i], 1.0), 0.0)[None]

    return _eliminated(_identity(lower), scaled, lambda row, i: lower[:, i])


def _eliminated(table, scaled, factors):
    """Row i becomes `scaled(table, i)`; of it, times `factors(row, i)` (S,), is taken from the rows below; in turn."""
    place = _places(table)

    def eliminate(i, table):
        row = stored(lambda: scaled(table, i), i >= 0)  # or XLA for CPU scales it anew for every entry below
        changed = table - jnp.where(place > i, factors(row, i)[:, None] * row[None], 0.0)
        return jnp.where(place == i, row[None], changed)

    return jax.lax.fori_loop(0, table.shape[0], eliminate, table)


def _places(table):
    """Numbers of the rows, (S, 1, …)."""
    return jnp.arange(table.shape[0], dtype=jnp.int32).reshape(-1, *[1] * (table.ndim - 1))


def _identity(matrix):
    one = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    return jnp.broadcast_to(one.reshape(*one.shape, *[1] * (matrix.ndim - 2)), matrix.shape)


def _joined(lower, inverses):
    """The inverse of a lower triangular matrix from those of its diagonal blocks."""
    dim = lower.shape[0]
    rows = inverses[0]
    for block, inverse in zip(_blocks(dim)[1:], inverses[1:], strict=True):
        beside = -inverse @ (lower[block, : block.start] @ rows)
        rows = jnp.block([[rows, jnp.zeros((block.start, len(inverse)), rows.dtype)], [beside, inverse]])
    return rows


def _blocks(dim: int) -> list[slice]:
    """0..D - 1 in parts of equal size, of BLOCK at most; in eight at most, which are programs to compile."""
    size = -(-dim // min(-(-dim // BLOCK), 8))
    return [slice(first, min(first + size, dim)) for first in range(0, dim, size)]


def rank_factor(matrix: jax.Array) -> jax.Array:
    """L (D, D) with L L' = `matrix`, symmetric positive semidefinite of rank R, in its first R columns; others zero.

    Cholesky elimination with the largest pivot first, down to D eps times the largest diagonal entry.
    """
    matrix = jnp.asarray(matrix)
    dim = matrix.shape[0]
    floor = dim * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.diagonal(matrix))

    def unfinished(carry):
        step, _, left = carry
        return (step < dim) & largest(
            jnp.max(left) > floor
        )  # of any chain: one loop, whose arrays are not copied

    def eliminate(carry):
        step, columns, left = carry
        at = jnp.argmax(left)
        pivot = left[at]
        more = pivot > floor
        root = jnp.sqrt(jnp.where(more, pivot, 1.0))
        column = (matrix[at] - columns[:, at] @ columns) / root
        taken = jnp.arange(dim) == at
        column = jnp.where(taken, root, jnp.where(left > -jnp.inf, column, 0.0))
        column = jnp.where(more, column, 0.0)
        left = jnp.where(taken & more, -jnp.inf, left - column**2)
        return step + 1, columns.at[step].set(column), left

    start = jnp.int32(0), jnp.zeros_like(matrix), jnp.diagonal(matrix)
    return jax.lax.while_loop(unfinished, eliminate, start)[1].T


def least_norm(matrix: jax.Array, right: jax.Array, start: jax.Array) -> jax.Array:
    """`matrix`^+ right + matrix^+ matrix start, all of D and `matrix` symmetric positive semidefinite.

    With L L' = `matrix` of full column rank, matrix^+ = L (L'L)^-2 L' and matrix^+ matrix = L (L'L)^-1 L'.
    """
    lower = rank_factor(matrix)
    inner = lower.T @ lower
    inner = inner + jnp.diag((jnp.diagonal(inner) == 0).astype(inner.dtype))  # columns that are not there
    _, inverse = cholesky(inner)
    once = inverse.T @ (inverse @ jnp.stack([lower.T @ right, lower.T @ start], axis=1))
    twice = inverse.T @ (inverse @ once[:, 0])
    return lower @ (twice + once[:, 1])


def nuclear_norm(matrix: jax.Array) -> jax.Array:
    """Sum of the singular values of `matrix` (D, D), to D eps times the largest of them; zero for a zero matrix.

    trace(U' M) with U the polar factor, by the iteration U <- 3/2 U - 1/2 U U' U (Newton and Schulz) from M over its
    length: every singular value tends to 1, and grows by half in each step as long as it is small. Singular matrices
    need no care: what has not grown by then adds less than eps.
    """
    length = jnp.sqrt(jnp.sum(matrix**2))
    start = matrix / jnp.where(length > 0, length, 1.0)
    steps = (
        int(-math.log(jnp.finfo(matrix.dtype).eps) / math.log(1.5)) + 4
    )  # from eps to 1, and to convergence

    def grow(_, polar):
        return 1.5 * polar - 0.5 * polar @ (polar.T @ polar)

    return jnp.sum(jax.lax.fori_loop(0, steps, grow, start) * matrix)
