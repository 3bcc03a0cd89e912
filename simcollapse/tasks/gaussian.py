"""Gaussian fitting: mean and covariance, refitted to the model's own samples.

Everything is computed in coordinates where the real data are N(0, I), and sums of a round in coordinates where its
model is; a covariance is a triangular factor with its scale apart. So a collapse is followed far below the smallest
number that floating point holds. Source of the setting: [Kazdan24], section 2 (arXiv 2410.16713v4).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from simcollapse import chain, keys, randoms
from simcollapse.batching import largest
from simcollapse.checks import (
    as_float,
    as_numbers,
    check_fields,
    check_rounds,
    check_shape,
    check_value,
    check_whole,
    numbers,
    option,
    parameter,
)
from simcollapse.linalg import cholesky, inverse_lower, nuclear_norm
from simcollapse.tasks.designs import CHUNK, MOST_SAMPLES
from simcollapse.tasks.features import Covariance, check_covariance

LEAST = 2  # rows of a fit: one row has no spread
TYPICAL = 0.95  # share of real rows that count as correct, when nothing else is said
ESTIMATORS = ("mle", "unbiased")
METRICS = {
    "squared_error": "|mean - truth|^2, unit of the data squared",
    "trace": "trace of the covariance, as a share of the real data's",
    "log_trace": "log of `trace`; follows a collapse below the smallest number",
    "log_det": "log of the determinant of the covariance over that of the real data's; NaN where it is 0",
    "log_mahalanobis": "log of E (x - mean)' covariance^-1 (x - mean) over real x; NaN where that is singular. "
    "Excess negative log-likelihood of real data = (exp(it) - D + log_det)/2",
}
DISTANCE = {
    "wasserstein": "squared Wasserstein-2 distance of the model from the truth, unit of the data squared",
}


class Model(NamedTuple):
    """N(mean, L L') in coordinates where the real data are N(0, I); L = exp(log_scale) factor."""

    mean: jax.Array  # (D,)
    factor: jax.Array  # (D, D), lower triangular, root of the mean square of its rows' lengths 1
    log_scale: jax.Array  # ()
    log_det: jax.Array  # (), of L L'; NaN where it is singular
    inverse: jax.Array  # (D, D), inverse of L divided by exp(inverse_log_scale); zeros where L is singular
    inverse_log_scale: jax.Array  # ()


class Sums(NamedTuple):
    """Additive statistics of a pool: rows of earlier rounds about the truth, of this round about its model."""

    base: "Moments"  # of a closed pool, all rows
    latest: "Moments"  # in coordinates where `reference` is N(0, I)
    reference: Model


class Moments(NamedTuple):
    """Sums over rows."""

    gram: jax.Array  # (D, D), of x x'
    total: jax.Array  # (D,), of x
    count: jax.Array  # ()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Points:
    """N rows drawn from a model, kept as the standard normals that made them."""

    noise: jax.Array  # (D, N)
    model: Model
    center: jax.Array  # (D,), mean of the real data
    covariance: Covariance  # of the real data

    @property
    def white(self) -> jax.Array:
        """Rows as columns, (D, N), in coordinates where the real data are N(0, I)."""
        return self.model.mean[:, None] + jnp.exp(self.model.log_scale) * (self.model.factor @ self.noise)

    @property
    def standard(self) -> jax.Array:
        """The same: rows as columns (D, N), standardised by the real data. What verifiers go by."""
        return self.white

    @property
    def x(self) -> jax.Array:
        """Rows in the unit of the data, shape (N, D)."""
        return (self.center[:, None] + self.covariance.color(self.white)).T

    def visible(self) -> dict[str, jax.Array]:
        """What a user's function sees."""
        return {"x": self.x}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Gaussian:
    """The task. Build it with `gaussian(...)`."""

    mean: jax.Array = parameter("finite", doc="(D,), of the real data")
    covariance: Covariance
    tolerance: jax.Array = parameter("positive", doc="(), Mahalanobis distance up to which a row is correct")
    estimator: str = option("word", "divisor of the covariance: rows, or rows minus one", ESTIMATORS)
    wasserstein: bool = option(
        "flag", "also measure the squared Wasserstein distance, some matrix products a round"
    )

    kind = "density"
    needs_rows = False
    additive = True
    chunk_rows = CHUNK
    most_samples = MOST_SAMPLES
    rows_per_sample = 1
    prescribed = False
    real_is_generated = True
    undefined = ("log_det", "log_mahalanobis", "model_log_det")  # of a singular covariance

    @property
    def descriptions(self) -> dict[str, str]:
        """What each metric is."""
        return METRICS | (DISTANCE if self.wasserstein else {})

    @property
    def dim(self) -> int:
        return self.mean.shape[-1]

    def truth_model(self) -> Model:
        zero, one = jnp.zeros(()), jnp.eye(self.dim, dtype=float)
        return Model(jnp.zeros(self.dim), one, zero, zero, one, zero)

    def real(self, key, chunk, present) -> Points:
        """One chunk of real rows."""
        return self._points(keys.for_purpose(key, keys.REAL, chunk, present), self.truth_model(), present)

    def generate(self, key, model, chunk, present) -> Points:
        """One chunk of rows of `model`."""
        return self._points(keys.for_purpose(key, keys.GENERATE, chunk, present), model, present)

    def _points(self, key, model, present):
        noise = randoms.normal(key, (self.dim, CHUNK), present)
        return Points(noise, model, self.mean, self.covariance)

    def redraw(self, key, model, data: Points, kept) -> Points:
        """`data` with another row wherever `kept` is false."""
        fresh = randoms.normal(key, data.noise.shape)
        return dataclasses.replace(data, noise=jnp.where(kept[None], data.noise, fresh))

    def draw_bytes(self, data: Points) -> int:
        """The rows and a few numbers for each."""
        return (self.dim + 3) * data.noise.shape[1] * np.dtype(data.noise.dtype).itemsize

    def number(self, chunk):
        return chunk * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32)

    def correct(self, data: Points, bound) -> jax.Array:
        """Whether a row lies where real ones do: its Mahalanobis distance to the truth is within the tolerance."""
        return jnp.sum(data.white**2, axis=0) <= self.tolerance**2

    def rows(self, data: Points) -> jax.Array:
        """What a buffer keeps, (N, D): rows in coordinates where the real data are N(0, I)."""
        return data.white.T

    def standard_step(self, step) -> jax.Array:
        """A difference (D,) of two places, unit of the data, in the coordinates of `Points.standard`."""
        return self.covariance.whiten(self.covariance.solve(step))

    def empty(self, model: Model) -> Sums:
        nothing = Moments(jnp.zeros((self.dim, self.dim)), jnp.zeros(self.dim), jnp.zeros(()))
        return Sums(nothing, nothing, model)

    def open(self, pool: Sums, model: Model) -> Sums:
        """The sums of a closed or empty pool, ready for rows of `model`: its own become rows of earlier rounds."""
        return self.empty(model)._replace(base=pool.base)

    def close(self, pool: Sums) -> Sums:
        """The sums with all rows together, for a fit or for rows of another model: four products of matrices, once."""
        return pool._replace(base=_together(pool))

    def add(self, pool: Sums, batch: chain.Batch) -> Sums:
        """`pool` with the batch's rows, which must be of the model that it is ready for."""
        data: Points = batch.data
        weighted = data.noise * batch.weight[None]
        return pool._replace(
            latest=Moments(
                gram=pool.latest.gram + weighted @ data.noise.T,
                total=pool.latest.total + weighted.sum(axis=1),
                count=pool.latest.count + jnp.sum(batch.weight),
            )
        )

    def sums(self, rows, weight) -> Sums:
        """Sums of rows out of a buffer."""
        weighted = rows * weight[:, None]
        sums = Moments(weighted.T @ rows, weighted.sum(axis=0), weight.sum())
        return self.empty(self.truth_model())._replace(base=sums)

    def fit(self, key, pool: Sums, previous: Model) -> tuple[Model, jax.Array]:
        """Mean and covariance of a closed pool, and why the fit failed (0: it did not); then `previous` is returned."""
        # rows of one round alone are fitted about their own model, whatever its scale; others about the truth
        alone = pool.base.count == pool.latest.count
        sums, reference = jax.tree.map(
            lambda one, all: jnp.where(alone, one, all),
            (pool.latest, pool.reference),
            (pool.base, self.truth_model()),
        )
        count = jnp.maximum(sums.count, LEAST)
        scatter = sums.gram - sums.total[:, None] * sums.total[None] / count
        lower, inverse = cholesky(scatter / self.divisor(count))
        # n rows span n - 1 directions about their mean; rounding would leave more
        lower = jnp.where(jnp.arange(self.dim, dtype=float)[None] < count - 1, lower, 0.0)
        model = self.refitted(reference, sums.total / count, lower, inverse, elsewhere=largest(alone))
        reason = jnp.where(sums.count < LEAST, chain.TOO_FEW, chain.ALIVE).astype(jnp.int32)
        return jax.tree.map(
            lambda new, old: jnp.where(reason == chain.ALIVE, new, old), model, previous
        ), reason

    def divisor(self, count):
        """What the scatter of `count` rows is divided by."""
        return count - 1 if self.estimator == "unbiased" else count

    def refitted(self, model: Model, shift, lower, inverse=None, elsewhere=True) -> Model:
        """N(shift, lower lower') in coordinates where `model` is N(0, I); `lower` (D, D) is lower triangular.

        `inverse` is that of `lower`, where it is known. `elsewhere`, (), the same for all chains: false only where
        `model` is the truth, whose matrices are the identity; then nothing is multiplied with them.
        """
        own = inverse_lower(lower) if inverse is None else inverse
        diagonal = jnp.diagonal(lower)
        regular = jnp.all(diagonal > 0) & jnp.isfinite(model.log_det)
        growth = jnp.sum(jnp.log(jnp.where(diagonal > 0, diagonal, 1.0)))
        factor, inverse = jax.lax.cond(
            elsewhere,
            lambda: (model.factor @ lower, own @ model.inverse),
            lambda: (lower, own),
        )
        factor, change = _scaled(factor)
        inverse, inverse_change = _scaled(inverse)
        return Model(
            mean=model.mean + jnp.exp(model.log_scale) * (model.factor @ shift),
            factor=factor,
            log_scale=model.log_scale + change,
            log_det=jnp.where(regular, model.log_det + 2 * growth, jnp.nan),
            inverse=jnp.where(regular, inverse, 0.0),
            inverse_log_scale=jnp.where(regular, model.inverse_log_scale + inverse_change, 0.0),
        )

    def measure(self, key, model: Model) -> dict[str, jax.Array]:
        """The metrics of `descriptions`."""
        error = self.covariance.color(model.mean[:, None])
        spread = jnp.sum(self.covariance.color(model.factor) ** 2)
        whole = jnp.sum(self.covariance.color(jnp.eye(self.dim, dtype=float)) ** 2)
        log_trace = 2 * model.log_scale + jnp.log(spread / whole)
        distance = jnp.sum(model.inverse**2) + jnp.sum((model.inverse @ model.mean) ** 2)
        regular = jnp.isfinite(model.log_det)
        far = (
            {"wasserstein": self._distance(model, jnp.sum(error**2), whole, spread)}
            if self.wasserstein
            else {}
        )
        return far | {
            "squared_error": jnp.sum(error**2),
            "trace": jnp.exp(log_trace),
            "log_trace": log_trace,
            "log_det": model.log_det,
            "log_mahalanobis": jnp.where(
                regular, 2 * model.inverse_log_scale + jnp.log(jnp.where(regular, distance, 1.0)), jnp.nan
            ),
        }

    def _distance(self, model: Model, error, whole, spread):
        """W_2^2 from N(0, S) to N(e, C): |e|^2 + tr S + tr C - 2 tr (S^1/2 C S^1/2)^1/2.

        With S = R R' and C = R L (R L)' the last trace is the sum of the singular values of R' R L. Source: Dowson and
        Landau 1982. `whole` is tr S; `spread`, tr C before it is scaled.
        """
        root = self.covariance.color(jnp.eye(self.dim, dtype=float))
        scale = jnp.exp(model.log_scale)
        shared = scale * nuclear_norm(root.T @ root @ model.factor)
        return jnp.maximum(error + whole + scale**2 * spread - 2 * shared, 0.0)  # rounding may leave less

    def check_sizes(self, n_real: int, n_per_round: np.ndarray, alone: bool, rows: int | None = None) -> None:
        """Raise ValueError where a round could not be drawn, or not fitted whatever the draw; see `engine`."""
        check_rounds(self, n_real, n_per_round, alone, rows, LEAST, "fit a covariance")


def gaussian(
    mean, *, covariance=None, estimator: str = "mle", tolerance=None, wasserstein: bool = False
) -> Gaussian:
    """The task x ~ N(mean, covariance): each round fits mean and covariance.

    With no more rows than dimensions the covariance is singular, and `log_det` and `log_mahalanobis` are NaN.

    Args:
        mean: (D,); a whole number D stands for D zeros.
        covariance: (D, D), (D,) variances, one variance, or None for the identity.
        estimator: "mle" divides the scatter by the number of rows, "unbiased" by one less.
        tolerance: a generated row is correct up to this Mahalanobis distance from the real data's mean, > 0; None
            for the one within which 95 % of real rows lie.
        wasserstein: also measure the squared Wasserstein-2 distance from the truth.

    Raises:
        ValueError: a value outside its range, a wrong shape, an unknown estimator.
        TypeError: something that is not a number.
    """
    if numbers("mean", mean).ndim == 0:
        mean = np.zeros(check_whole("mean", mean, 1))
    mean = numbers("mean", mean)
    check_shape("mean", mean, (None,))
    check_value("mean", mean, "finite")
    if len(mean) == 0:
        raise ValueError("mean must have at least one entry, got none")
    if tolerance is None:
        tolerance = np.sqrt(stats.chi2.ppf(TYPICAL, len(mean)))
    check_shape("tolerance", tolerance, ())
    task = Gaussian(
        mean=as_float(mean),
        covariance=check_covariance(covariance, len(mean)),
        tolerance=as_numbers("tolerance", tolerance),
        estimator=estimator,
        wasserstein=wasserstein,
    )
    return check_fields(task, "task")


def _together(pool: Sums) -> Moments:
    """The sums of all rows in coordinates where the real data are N(0, I)."""
    base, latest, model = pool
    root = jnp.exp(model.log_scale) * model.factor
    moved = root @ latest.total
    outer = moved[:, None] * model.mean[None]
    gram = root @ latest.gram @ root.T + outer + outer.T
    return Moments(
        gram=base.gram + gram + latest.count * model.mean[:, None] * model.mean[None],
        total=base.total + moved + latest.count * model.mean,
        count=base.count + latest.count,
    )


def _scaled(matrix):
    """`matrix` with the mean square of its rows' lengths made 1, and the log of what it was divided by."""
    length = jnp.sqrt(jnp.sum(matrix**2) / matrix.shape[0])
    length = jnp.where(length > 0, length, 1.0)
    return matrix / length, jnp.log(length)
