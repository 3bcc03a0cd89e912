"""Exact in law: a round of unverified linear regression without its rows.

Least squares sees rows through sum x x', sum x e and sum e^2 alone, and when nothing is rejected the joint
law of these three is classical. So they are drawn directly: O(D^2) random numbers instead of O(n D).
"""

import jax
import jax.numpy as jnp

from simcollapse.tasks.designs import Fixed, Gaussian, Orthogonal
from simcollapse.tasks.linear_regression import LinearRegression
from simcollapse.verifiers.none import NoVerifier

TASK, VERIFIER = LinearRegression, NoVerifier


def why_not(task: LinearRegression, least: int) -> str | None:
    """Why the law is not known for this task with rounds of `least` samples or more; None when it is."""
    if task.real_rows is not None:
        return "real rows drawn from a table have no closed law"
    if isinstance(task.design, Gaussian) and least < task.dim:
        return f"a Wishart matrix of {least} rows in {task.dim} dimensions is singular"
    return None


def add_round(key, task: LinearRegression, pool, model, count):
    """`pool` with the sums of `count` samples of `model` added; the pool must be open for `model`.

    gram: n x x' summed over the design, fixed; or, on the Gaussian design, Wishart_D(n, covariance) by
    Bartlett's decomposition (needs n >= D).
    cross | gram = L z with gram = L L' and z ~ N(0, I_D), since cross is a linear map of the noise.
    square | cross = |z|^2 + chi-square with n - D degrees of freedom, the residual sum of squares.

    Source: classical (Bartlett 1933; Cochran 1934).
    """
    key_gram, key_cross, key_square = jax.random.split(key, 3)
    design, dim = task.design, task.dim
    z = jax.random.normal(key_cross, (dim,), dtype=float)
    size = count.astype(float)
    rows = size * task.rows_per_sample
    if isinstance(design, Orthogonal):
        gram = jnp.full(dim, size)
        cross = jnp.sqrt(gram) * z
    elif isinstance(design, Fixed):
        gram = design.factor @ design.factor.T * rows
        cross = jnp.sqrt(rows) * (design.factor @ z)
    else:
        factor = _bartlett(key_gram, size, dim)
        factor = factor if design.factor is None else design.factor @ factor
        gram, cross = factor @ factor.T, factor @ z
    square = pool.square  # needed for the noise alone
    if task.estimate_noise:
        rest = jnp.where(rows > dim, _chi_square(key_square, jnp.maximum(rows - dim, 1.0)), 0.0)
        square = square + jnp.dot(z, z) + rest
    return pool._replace(
        gram=pool.gram + gram,
        cross=pool.cross + cross,
        square=square,
        count=pool.count + rows,
    )


def _bartlett(key, size, dim):
    """Lower factor A with A A' ~ Wishart_dim(size, I): chi on the diagonal, normals below it."""
    key_diagonal, key_below = jax.random.split(key)
    freedom = size - jnp.arange(dim, dtype=float)
    diagonal = jnp.sqrt(_chi_square(key_diagonal, jnp.maximum(freedom, 0.5)))
    below = jnp.tril(jax.random.normal(key_below, (dim, dim), dtype=float), -1)
    return below + jnp.diag(diagonal)


def _chi_square(key, freedom):
    return 2 * jax.random.gamma(key, freedom / 2, dtype=float)
