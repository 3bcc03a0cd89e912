"""Sums of Gaussian kernels at given points, by logarithms, so that none is lost however far the points are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 64  # kernels of one step; measured: fewer or many more are slower
GROUP = (
    16  # coordinates whose squares are written out; measured: 30 to 60 times faster than a sum over an axis
)


def log_kernel_sums(
    points: jax.Array,
    weight: jax.Array,
    at: jax.Array,
    bandwidth: jax.Array,
    first: jax.Array,
    end: jax.Array,
) -> jax.Array:
    """log sum_i weight_i exp(-|at_t - points_i|^2 / (2 bandwidth^2)) over i = first, …, end - 1, shape (T,).

    Args:
        points: (L, D), data unit. weight: (L,), >= 0; 0 leaves a point out.
        at: (D, T), data unit. bandwidth: (), > 0, data unit.
        first, end: (), int32; time grows with end - first, not with L.

    Minus infinity where nothing is summed. Multiplied by (2 pi bandwidth^2)^(-D/2) / sum(weight) the sum is a density.
    """
    size = min(BLOCK, points.shape[0])
    scale = np.sqrt(0.5) / bandwidth

    def add(step, carry):
        largest, total = carry
        begin = jnp.minimum(step * size, points.shape[0] - size)  # the last block may overlap the one before
        place = begin + jnp.arange(size, dtype=jnp.int32)
        rows = jax.lax.dynamic_slice(points, (begin, jnp.int32(0)), (size, points.shape[1]))
        worth = jax.lax.dynamic_slice(weight, (begin,), (size,))
        fresh = (place >= jnp.maximum(first, step * size)) & (place < end) & (worth > 0)
        log_weight = jnp.where(fresh, jnp.log(jnp.where(fresh, worth, 1.0)), -jnp.inf)
        log_kernel = log_weight[:, None] - square_distances(scale * rows, scale * at)
        highest = jnp.maximum(largest, jnp.max(log_kernel, axis=0))
        base = jnp.where(highest > -jnp.inf, highest, 0.0)
        # A compiler may compute log_kernel again here, rounded otherwise than the largest of it: never above 1.
        kernels = jnp.exp(jnp.minimum(log_kernel - base[None], 0.0))
        total = total * jnp.exp(largest - base) + jnp.sum(kernels, axis=0)
        return highest, total

    none = jnp.full(at.shape[1], -jnp.inf), jnp.zeros(at.shape[1])
    largest, total = jax.lax.fori_loop(first // size, (end + size - 1) // size, add, none)
    some = largest > -jnp.inf  # then the largest kernel is in the total, as 1
    return jnp.where(some, jnp.where(some, largest, 0.0) + jnp.log(jnp.maximum(total, 1.0)), -jnp.inf)


def kernel_sum_reaches(
    log_level: jax.Array, points: jax.Array, at: jax.Array, bandwidth: jax.Array
) -> jax.Array:
    """Whether sum_i exp(-|at_t - points_i|^2 / (2 bandwidth^2)) >= exp(log_level), shape (T,): no logarithm is needed.

    points (R, D) and at (D, T), data unit; bandwidth (), > 0; log_level ().
    """
    scale = np.sqrt(0.5) / bandwidth
    logs = -square_distances(scale * points, scale * at) - log_level
    return jnp.sum(jnp.exp(jnp.minimum(logs, 0.0)), axis=0) >= 1  # one kernel that reaches it is enough


def square_distances(rows: jax.Array, at: jax.Array) -> jax.Array:
    """|rows_i - at_t|^2 from rows (R, D) and columns (D, T), shape (R, T); differences first: nothing cancels."""
    groups = -(-rows.shape[1] // GROUP)
    if groups <= 1:
        return _squares(rows.T, at)
    spare = groups * GROUP - rows.shape[1]  # coordinates that are zero in both
    left = jnp.pad(rows.T, ((0, spare), (0, 0))).reshape(groups, GROUP, -1)
    right = jnp.pad(at, ((0, spare), (0, 0))).reshape(groups, GROUP, -1)

    def add(i, total):
        return total + _squares(left[i], right[i])

    return jax.lax.fori_loop(1, groups, add, _squares(left[0], right[0]))


def _squares(left, right):
    """Squares of differences of columns, from (G, R) and (G, T), summed over G; shape (R, T)."""
    pairs = zip(left, right, strict=True)
    return functools.reduce(jnp.add, [(x[:, None] - y[None]) ** 2 for x, y in pairs])
