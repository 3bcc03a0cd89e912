"""A Gaussian kernel density estimate, refitted to its own samples.

The model is its support: a generated row is a support point, drawn by weight, plus bandwidth times normal noise. So
every round smooths the data once more, and under `replace` it also forgets most of its points. Source of the setting:
[Kazdan24], section 2 (arXiv 2410.16713v4).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers, chain, keys, randoms
from simcollapse.checks import (
    as_float,
    as_numbers,
    check_choice,
    check_fields,
    check_rounds,
    check_shape,
    check_value,
    option,
    parameter,
)
from simcollapse.tasks import real_data
from simcollapse.tasks.designs import CHUNK, MOST_SAMPLES
from simcollapse.tasks.kernels import BLOCK, kernel_sum_reaches, log_kernel_sums, square_distances
from simcollapse.tasks.real_data import REFERENCE

RULES = ("fixed", "scott", "silverman")
HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)


class Model(NamedTuple):
    """sum_i weight_i N(x; points_i, bandwidth^2 I) / sum_i weight_i.

    held_out is log sum_i weight_i exp(-|x_t - points_i|^2 / (2 bandwidth^2)) at the held-out rows x_t.
    """

    points: jax.Array  # (L, D), data unit
    weight: jax.Array  # (L,), 0 where there is no point
    end: jax.Array  # (), int32, places from here on have weight 0
    heaviest: jax.Array  # (), the largest weight
    bandwidth: jax.Array  # (), data unit
    held_out: jax.Array  # (T,)
    fits: jax.Array  # (), int32, this one included
    total: jax.Array  # (), of the weights
    count: jax.Array  # (), points of positive weight
    mean: jax.Array  # (D,), of the points, data unit
    variance: jax.Array  # (D,), of the points, divisor: `total`


class Moments(NamedTuple):
    """The last four fields of a model."""

    total: jax.Array
    count: jax.Array
    mean: jax.Array
    variance: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Points:
    """N rows."""

    columns: jax.Array  # (D, N), data unit
    mean: jax.Array  # (D,), of the real data
    spread: jax.Array  # (D,), standard deviation of each feature of the real data

    @property
    def standard(self) -> jax.Array:
        """Rows as columns (D, N), standardised by the real data: each feature of those has mean 0 and variance 1."""
        return (self.columns - self.mean[:, None]) / self.spread[:, None]

    @property
    def x(self) -> jax.Array:
        """The rows, shape (N, D)."""
        return self.columns.T

    def visible(self) -> dict[str, jax.Array]:
        """What a user's function sees."""
        return {"x": self.x}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Kde:
    """The task. Build it with `kde(...)`."""

    data: Any  # a PointSet, where real rows come from
    test: jax.Array  # (D, T), held-out real rows
    bandwidth: jax.Array = parameter(
        "positive", doc="(), of the first fit; what a rule's factor is multiplied by"
    )
    exponent: jax.Array = parameter("nonnegative", doc="(), a: fit number t has bandwidth ~ t^-a")
    rule: str = option("word", "factor that depends on the number of rows", RULES)
    scaled: bool = option("flag", "multiply by the standard deviation of the rows of the fit")
    level: jax.Array  # (), log density from which on a row is correct
    reference_bandwidth: jax.Array  # (), of the density that says so, where the real one is not known

    kind = "density"
    needs_rows = True
    chunk_rows = CHUNK
    most_samples = MOST_SAMPLES
    rows_per_sample = 1
    prescribed = False
    derived = ("end", "heaviest", "held_out", "fits", "total", "count", "mean", "variance")
    model_dims = {  # noqa: RUF012 (read only)
        "points": ("support", "dim"),
        "weight": ("support",),
        "held_out": ("test",),
        "mean": ("dim",),
        "variance": ("dim",),
    }
    descriptions = {  # noqa: RUF012 (read only)
        "nll": "mean of -log density over the held-out real rows, nats a row",
        "trace": "trace of the model's covariance, as a share of the real data's",
        "squared_error": "|mean - truth|^2, unit of the data squared",
        "bandwidth": "of the kernel, unit of the data",
    }

    @property
    def dim(self) -> int:
        return self.test.shape[-2]

    def truth_model(self) -> Model:
        """One kernel with the real data's mean and mean variance: a density estimate cannot be the truth."""
        bandwidth = jnp.sqrt(jnp.mean(self.data.variance))
        distance = square_distances(self.data.mean[None] / bandwidth, self.test / bandwidth)[0]
        one = jnp.ones(())
        return Model(
            points=self.data.mean[None],
            weight=jnp.ones(1),
            end=jnp.int32(1),
            heaviest=one,
            bandwidth=bandwidth,
            held_out=-0.5 * distance,
            fits=jnp.int32(0),
            total=one,
            count=one,
            mean=self.data.mean,
            variance=jnp.zeros(self.dim),
        )

    def real(self, key, chunk, present) -> Points:
        """One chunk of real rows."""
        return self._points(
            self.data.columns(keys.for_purpose(key, keys.REAL, chunk, present), CHUNK, present)
        )

    def generate(self, key, model: Model, chunk, present) -> Points:
        """One chunk of rows of `model`."""
        key_pick, key_noise = jax.random.split(keys.for_purpose(key, keys.GENERATE, chunk, present))
        noise = randoms.normal(key_noise, (self.dim, CHUNK), present)
        return self._points(model.points[_picked(key_pick, model, present)].T + model.bandwidth * noise)

    def redraw(self, key, model: Model, data: Points, kept) -> Points:
        """`data` with another row wherever `kept` is false."""
        fresh = self.generate(key, model, jnp.int32(0), jnp.asarray(True))
        return self._points(jnp.where(kept[None], data.columns, fresh.columns))

    def draw_bytes(self, data: Points) -> int:
        """The rows, and the kernels of one step of their sums."""
        numbers = (self.dim + 6) * data.columns.shape[1] + 3 * BLOCK * self.test.shape[-1]
        return numbers * np.dtype(data.columns.dtype).itemsize

    def number(self, chunk):
        return chunk * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32)

    def correct(self, data: Points, bound) -> jax.Array:
        """Whether a row lies where real ones do: the density there is one that 95 % of real rows exceed.

        The density is the real one where it is known (a normal law), else a kernel density estimate on 200 held-out
        rows, whose bandwidth makes real rows likeliest.
        """
        if hasattr(self.data, "log_density"):
            return self.data.log_density(data.columns) >= self.level
        reference, bandwidth = self.test[:, :REFERENCE], self.reference_bandwidth
        factor = np.log(reference.shape[1]) + self.dim * (jnp.log(bandwidth) + HALF_LOG_TAU)
        return kernel_sum_reaches(self.level + factor, reference.T, data.columns, bandwidth)

    def rows(self, data: Points) -> jax.Array:
        """What a buffer keeps, (N, D)."""
        return data.x

    @property
    def mean(self) -> jax.Array:
        """Of the real data, (D,)."""
        return self.data.mean

    def standard_step(self, step) -> jax.Array:
        """A difference (D,) of two places, unit of the data, in the coordinates of `Points.standard`."""
        return step / self._spread

    @property
    def _spread(self):
        """Standard deviation of each feature of the real data, (D,); 1 where it never varies."""
        return jnp.sqrt(jnp.where(self.data.variance > 0, self.data.variance, 1.0))

    def _points(self, columns) -> Points:
        return Points(columns, self.mean, self._spread)

    def fit(self, key, seen: buffers.Seen, previous: Model) -> tuple[Model, jax.Array]:
        """The rows as support, and why the fit failed (0: it did not); a failed fit returns `previous`.

        Of rows that begin with those of `previous` only the others are looked at for the moments, and where the
        bandwidth is its own too only their kernels are computed: under `accumulate` with a fixed bandwidth a round
        costs its own rows, not the pool.
        """
        size = max(seen.weight.shape[0], previous.weight.shape[0])
        previous = previous._replace(
            points=_padded(previous.points, size), weight=_padded(previous.weight, size)
        )
        points, weight = _padded(seen.rows, size), _padded(seen.weight, size)
        end = jnp.max(jnp.where(weight > 0, jnp.arange(1, size + 1, dtype=jnp.int32), 0))
        fits = previous.fits + 1
        moments = (
            _moments_grown(previous, points, weight, end, self.mean)
            if seen.grown
            else _moments(points, weight)
        )
        bandwidth = self._bandwidth(moments, fits)
        if seen.grown:
            continues = (previous.end > 0) & (bandwidth == previous.bandwidth)
            first = jnp.where(continues, previous.end, 0)
            held_out = log_kernel_sums(points, weight, self.test, bandwidth, first, end)
            held_out = jnp.where(continues, jnp.logaddexp(previous.held_out, held_out), held_out)
        else:
            held_out = log_kernel_sums(points, weight, self.test, bandwidth, jnp.int32(0), end)
        model = Model(points, weight, end, jnp.max(weight), bandwidth, held_out, fits, *moments)
        reason = jnp.where(end < 1, chain.TOO_FEW, chain.ALIVE).astype(jnp.int32)
        return jax.tree.map(
            lambda new, old: jnp.where(reason == chain.ALIVE, new, old), model, previous
        ), reason

    def _bandwidth(self, moments, fits):
        """Of a fit to rows with these moments: bandwidth t^-a f(N), times their standard deviation where `scaled`.

        f(N) is 1, N^(-1/(D+4)) (Scott 1992) or (N (D+2)/4)^(-1/(D+4)) (Silverman 1986).
        """
        bandwidth = self.bandwidth * fits.astype(float) ** -self.exponent
        if self.rule == "fixed":
            return bandwidth
        count = jnp.maximum(moments.count, 1.0)
        if self.rule == "silverman":
            count = count * ((self.dim + 2) / 4)
        bandwidth = bandwidth * count ** (-1 / (self.dim + 4))
        if self.scaled:
            bandwidth = bandwidth * jnp.sqrt(jnp.mean(moments.variance))
        return bandwidth

    def measure(self, key, model: Model) -> dict[str, jax.Array]:
        """The metrics of `descriptions`."""
        there = model.bandwidth > 0  # false in a chain that could not start
        bandwidth = jnp.where(there, model.bandwidth, 1.0)
        total = jnp.where(there, model.total, 1.0)
        log_factor = jnp.log(total) + self.dim * (jnp.log(bandwidth) + HALF_LOG_TAU)
        spread = jnp.sum(model.variance) + self.dim * model.bandwidth**2
        return {
            "nll": log_factor - jnp.mean(model.held_out),
            "trace": spread / jnp.sum(self.data.variance),
            "squared_error": jnp.sum((model.mean - self.data.mean) ** 2),
            "bandwidth": model.bandwidth,
        }

    def check_sizes(self, n_real: int, n_per_round: np.ndarray, alone: bool, rows: int | None = None) -> None:
        """Raise ValueError where a round could not be drawn; any number of rows can be fitted."""
        check_rounds(self, n_real, n_per_round, alone, rows, 1, "place a kernel")


def kde(
    data: Any,
    *,
    bandwidth: Any = "scott",
    exponent: Any = 0.0,
    scaled: bool = False,
    noise: Any = None,
    columns: Any = None,
    drop_missing: bool = False,
    test: Any = 500,
) -> Kde:
    """The task of estimating a density by Gaussian kernels on all rows of a fit.

    Args:
        data: where real rows come from. "blobs", "circles", "moons" (2-D) or "swiss_roll" (3-D): scikit-learn's sets;
            a whole number D: N(0, noise^2 I) in D dimensions; a CSV or Parquet file, or rows (R, D): drawn from with
            replacement. Or a `point_sets.PointSet` of one's own.
        bandwidth: h > 0, data unit; or "scott", "silverman": N^(-1/(D+4)) and (N (D+2)/4)^(-1/(D+4)) for N rows, as
            in scikit-learn.
        exponent: a >= 0; fit number t = 1, 2, … has t^-a times the bandwidth.
        scaled: multiply Scott's or Silverman's factor by the standard deviation of the rows of the fit (root mean
            square over coordinates), as in the textbooks. It then grows with what it has itself smeared out.
        noise: standard deviation of the noise of a toy set (default 0.05; of blobs 1) or of the normal law (1).
        columns: of the file; None for all. drop_missing: leave out rows of it that lack a value.
        test: number of held-out real rows, the same in all chains, or the rows themselves, (T, D). Of a table at
            most a fifth is held out.

    A generated row is correct where the density of real rows is one that 95 % of them exceed; see `Kde.correct`.

    Raises:
        ValueError: a value outside its range, an unknown set (the nearest known is named), a NaN in the rows.
        TypeError: something that is not a number.
        FileNotFoundError: no such file.
    """
    source, table = real_data.chosen(data, noise, columns, drop_missing)
    rule, value = (bandwidth, 1.0) if isinstance(bandwidth, str) else ("fixed", bandwidth)
    if isinstance(bandwidth, str):
        check_choice("bandwidth", bandwidth, RULES[1:])
    check_shape("bandwidth", value, ())
    check_value("bandwidth", value, "positive")
    check_shape("exponent", exponent, ())
    if scaled and rule == "fixed":
        raise ValueError(f"scaled goes with bandwidth='scott' or 'silverman', got bandwidth={bandwidth!r}")
    source, held_out = real_data.held_out(source, table, test)
    reference, level = real_data.calibrated(source, held_out)
    task = Kde(
        data=source,
        test=as_float(held_out.T),
        bandwidth=as_numbers("bandwidth", value),
        exponent=as_numbers("exponent", exponent),
        rule=rule,
        scaled=scaled,
        level=as_float(level),
        reference_bandwidth=as_float(reference),
    )
    return check_fields(task, "task")


def _picked(key, model: Model, present):
    """Places (CHUNK,) of support points drawn by weight.

    A place is proposed at random and kept with probability weight / heaviest: with equal weights at once, and for any
    weights without the running sum over the support that a search in it would need.
    """

    def unfinished(carry):
        return ~jnp.all(carry[2])

    def propose(carry):
        number, place, done = carry
        toss = jax.random.uniform(jax.random.fold_in(key, number), (2, CHUNK), dtype=float)
        at = jnp.minimum((toss[0] * model.end.astype(float)).astype(jnp.int32), model.end - 1)
        kept = toss[1] * model.heaviest < model.weight[at]
        return number + 1, jnp.where(done, place, at), done | kept

    nothing = ~jnp.asarray(present) | (model.end < 1)  # a chain that could not start has no support
    start = jnp.int32(0), jnp.zeros(CHUNK, dtype=jnp.int32), jnp.broadcast_to(nothing, (CHUNK,))
    return jax.lax.while_loop(unfinished, propose, start)[1]


def _moments(points, weight) -> Moments:
    """Of points (L, D) and their weights (L,), 0 where there is none."""
    total = jnp.sum(weight)
    share = weight / jnp.where(total > 0, total, 1.0)
    mean = share @ points
    count = jnp.sum((weight > 0).astype(float))
    return Moments(total, count, mean, share @ (points - mean[None]) ** 2)


def _moments_grown(previous: Model, points, weight, end, near) -> Moments:
    """The same where the points of `previous` come first: from its moments and those of the others, before `end`.

    Sums of those are taken about its mean; about `near` (D,) where it has no points.
    """
    size = min(BLOCK, points.shape[0])
    center = jnp.where(previous.end > 0, previous.mean, near)

    def add(step, sums):
        begin = jnp.minimum(step * size, points.shape[0] - size)  # the last block may overlap the one before
        place = begin + jnp.arange(size, dtype=jnp.int32)
        rows = jax.lax.dynamic_slice(points, (begin, jnp.int32(0)), (size, points.shape[1])) - center[None]
        fresh = (place >= jnp.maximum(previous.end, step * size)) & (place < end)
        worth = jnp.where(fresh, jax.lax.dynamic_slice(weight, (begin,), (size,)), 0.0)
        more = (jnp.sum(worth), jnp.sum((worth > 0).astype(float)), worth @ rows, worth @ rows**2)
        return jax.tree.map(jnp.add, sums, more)

    zero = jnp.zeros(points.shape[1])
    nothing = (jnp.zeros(()), jnp.zeros(()), zero, zero)
    more, count, shift, square = jax.lax.fori_loop(
        previous.end // size, (end + size - 1) // size, add, nothing
    )
    total = previous.total + more
    step = shift / jnp.where(total > 0, total, 1.0)
    variance = (previous.total * previous.variance + square) / jnp.where(total > 0, total, 1.0) - step**2
    return Moments(total, previous.count + count, center + step, jnp.maximum(variance, 0.0))


def _padded(array, size):
    """`array` with zeros after its end, of `size` rows."""
    return jnp.pad(array, [(0, size - array.shape[0])] + [(0, 0)] * (array.ndim - 1))
