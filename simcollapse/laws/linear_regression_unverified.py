"""Exact in law: a round of unverified linear regression without its rows.

Least squares sees rows through sum x x', sum x e and sum e^2 alone, and when nothing is rejected the joint
law of these three is classical. So they are drawn directly: O(D^2) random numbers instead of O(n D).
"""

import dataclasses

import jax
import jax.numpy as jnp

from simcollapse import chain, keys, randoms
from simcollapse.draws import wishart_factor
from simcollapse.tasks.designs import Fixed, Orthogonal
from simcollapse.tasks.linear_regression import LinearRegression, Model
from simcollapse.verifiers.none import NoVerifier

TASK, VERIFIER = LinearRegression, NoVerifier
REAL_IS_A_ROUND_OF_TRUTH = True


def why_not(task: LinearRegression, sampling: chain.Sampling, least: int, most: int) -> str | None:
    """Why the law is not known for this task; None when it is, for every number of rows.

    How rows are sampled does not matter, since all are kept.
    """
    if task.real_rows is not None:
        return "real rows drawn from a table have no closed law"
    if task.least_norm and not isinstance(task.design, (Fixed, Orthogonal)) and least <= task.dim:
        return f"a least-norm fit to no more than {task.dim} fresh rows has no closed law, got {least}"
    return None


def reduced(task: LinearRegression) -> LinearRegression:
    """The task with one row of a fixed design, whose root is all that is used: any numbers of rows share a program."""
    design = task.design
    if not isinstance(design, Fixed):
        return task
    one = {name: getattr(design, name)[:1] for name in ("rows", "products", "norms")}
    return dataclasses.replace(task, design=dataclasses.replace(design, **one))


def fit_alone(key, task: LinearRegression, model: Model, count, present) -> Model:
    """Least squares fitted to `count` samples of `model` and nothing else.

    coef = model.coef + noise u with gram^(1/2) u ~ N(0, I_D). On a prescribed design gram = n F F' is fixed and
    u = F'^-1 z / sqrt(n). On the Gaussian design gram is Wishart_D(n, covariance), covariance = L L', and
    mixing over it gives a multivariate t: u = L'^-1 z / sqrt(chi-square with n - D + 1 degrees of freedom).
    The residual sum of squares is noise^2 chi-square with n - D degrees of freedom, independent of both.

    Source: classical (Bartlett 1933; Cochran 1934; the t as the scale mixture over Wishart: Dickey 1967).
    """
    key_shift, key_scale, key_rest = keys.split(key, 3, present)
    design, dim = task.design, task.dim
    rows = _num_rows(task, count)
    shift = randoms.normal(key_shift, (dim,), present)
    if isinstance(design, Orthogonal):
        shift = shift / jnp.sqrt(count.astype(float))
    elif isinstance(design, Fixed):
        shift = shift @ design.inverse / jnp.sqrt(rows)
    else:
        shift = shift if design.inverse is None else shift @ design.inverse
        shift = shift / jnp.sqrt(_chi_square(key_scale, rows - dim + 1))
    seen = model.coef
    if task.least_norm and isinstance(design, Fixed):
        seen = design.inverse @ (design.factor @ seen)  # the part that the rows see; all of it at full rank
    log_noise = jnp.log(task.noise)
    if task.estimate_noise:
        log_noise = model.log_noise + 0.5 * jnp.log(_chi_square(key_rest, rows - dim) / (rows - dim))
    return Model(coef=seen + jnp.exp(model.log_noise) * shift, log_noise=log_noise)


def add_real(key, task: LinearRegression, pool, count, present):
    """`pool`, open for the truth, with the sums of `count` real samples added."""
    return _add(key, task, pool, count, present)


def add_round(key, loop: chain.Loop, state: chain.State, pool, count, present):
    """`pool`, open for the chain's model, with the sums of a round's samples added; and the counts."""
    return _add(key, loop.task, pool, count, present), chain.every_row_kept(loop.task, count)


def _add(key, task, pool, count, present):
    """Sums of `count` samples of the model that `pool` is open for, added to it.

    gram: n x x' summed over the design, fixed; or, on the Gaussian design, Wishart_D(n, covariance) by
    Bartlett's decomposition.
    cross | gram = L z with gram = L L' and z ~ N(0, I_D), since cross is a linear map of the noise; with n < D rows L
    has n columns.
    square | cross = |z|^2 + chi-square with n - D degrees of freedom, the residual sum of squares.

    Source: classical (Bartlett 1933; Cochran 1934).
    """
    key_gram, key_cross, key_square = keys.split(key, 3, present)
    design, dim = task.design, task.dim
    z = randoms.normal(key_cross, (dim,), present)
    rows = _num_rows(task, count)
    if isinstance(design, Orthogonal):
        gram = jnp.full(dim, count.astype(float))
        cross = jnp.sqrt(gram) * z
    elif isinstance(design, Fixed):
        gram = design.factor @ design.factor.T * rows
        cross = jnp.sqrt(rows) * (design.factor @ z)
    else:
        z = jnp.where(jnp.arange(dim, dtype=float) < rows, z, 0.0)
        factor = wishart_factor(key_gram, rows, dim, present)
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


def _num_rows(task, count):
    return count.astype(float) * task.rows_per_sample


def _chi_square(key, freedom):
    return 2 * jax.random.gamma(key, freedom / 2, dtype=float)
