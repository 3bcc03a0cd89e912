"""Linear regression y = x.truth + noise: ordinary least squares, refitted on its own output.

Source of the setting: [Yi26] section 3 (arXiv 2510.16657v3); with no verifier, [Kazdan24] (arXiv 2410.16713v4).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import chain, keys, randoms
from simcollapse.checks import (
    as_float,
    as_numbers,
    check_choice,
    check_fields,
    check_rounds,
    check_shape,
    check_value,
    check_whole,
    numbers,
    option,
    parameter,
)
from simcollapse.linalg import least_norm as shortest
from simcollapse.linalg import solve_positive
from simcollapse.tasks.designs import Explicit, Fixed, Orthogonal, Rows, fixed, gaussian
from simcollapse.tasks.features import check_positive_definite
from simcollapse.truncated import truncated_normal

LARGEST = 2**31 - 1  # rows of a round; counts are 32-bit integers
CORRECT_SIGMAS = 2.0  # a row is correct within this many noise sd of the truth, when nothing else is said


class Model(NamedTuple):
    """A fitted regression."""

    coef: jax.Array  # (D,)
    log_noise: jax.Array  # (), log of the noise standard deviation; a log, so that a collapse is followed


class Sums(NamedTuple):
    """Additive statistics of a pool: all that least squares needs, whatever the number of rows.

    Responses enter as e = (y - x.reference) / scale with `scale = exp(log_scale)`. Least squares does not
    care about the reference; rounding does.
    """

    gram: jax.Array  # sum of x x', (D, D), or its diagonal (D,) on the orthogonal design
    cross: jax.Array  # (D,), sum of x e
    square: jax.Array  # (), sum of e^2
    count: jax.Array  # (), rows
    reference: jax.Array  # (D,)
    log_scale: jax.Array  # ()


class Kept(NamedTuple):
    """What a buffer keeps of rows."""

    x: jax.Array  # (N, D)
    residual: jax.Array  # (N,), y - x.truth


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearRegression:
    """The task. Build it with `linear_regression(...)` or `LinearRegression.from_data(X, y)`."""

    truth: jax.Array = parameter("finite", doc="(D,), coefficients of the real data")
    noise: jax.Array = parameter("positive", doc="(), noise sd of the real data, unit of y")
    tolerance: jax.Array | None = parameter("positive", doc="(), |y - x.truth| of a correct row, unit of y")
    design: Any
    real_rows: tuple[jax.Array, jax.Array] | None  # ((N, D), (N,)): x and residual of real data, if given
    estimate_noise: bool = option("flag", doc="refit the noise each round instead of knowing it")
    least_norm: bool = option("flag", doc="of all least squares solutions take the shortest")

    kind = "regression"
    needs_rows = False
    additive = True
    descriptions = {  # noqa: RUF012 (read only)
        "squared_error": "|coef - truth|^2, unit of the coefficients squared",
        "excess_risk": "test mean squared error minus the noise variance, unit of y squared",
        "log_noise": "log of the fitted noise standard deviation",
    }

    @staticmethod
    def from_data(X, y, *, intercept: bool = True, estimate_noise: bool = False, tolerance=None):
        """The task whose population is a table: truth = least squares on all of it.

        Real rows are drawn from the table with replacement, so the real noise is the table's own; synthetic
        rows use every row of X once per len(X) rows, with Gaussian noise of the residual standard deviation.

        Args:
            X: covariates, shape (N, D), finite. y: responses, shape (N,), finite.
            intercept: put a column of ones before the others.
            estimate_noise: refit the noise each round (then it collapses by itself under a verifier).
            tolerance: |y - x.truth| up to which a row counts as correct, unit of y; None as in `linear_regression`.

        Raises:
            ValueError: wrong shapes, NaN or inf, N < D + 2, or X of deficient rank.
        """
        X, y = numbers("X", X), numbers("y", y)
        check_shape("X", X, (None, None))
        check_shape("y", y, (X.shape[0],))
        check_value("X", X, "finite")
        check_value("y", y, "finite")
        if intercept:
            X = np.column_stack([np.ones(len(X)), X])
        if X.shape[1] == 0:
            raise ValueError(f"X must have at least one column, got shape {X.shape}")
        _check_rank("X", X)
        if len(X) < X.shape[1] + 2:
            raise ValueError(f"X must have at least D + 2 = {X.shape[1] + 2} rows, got {len(X)}")
        truth = np.linalg.lstsq(X, y, rcond=None)[0]
        residual = y - X @ truth
        noise = np.sqrt(np.sum(residual**2) / (len(X) - X.shape[1]))
        if not noise > 1e-10 * np.max(np.abs(y), initial=0):  # rounding leaves about 1e-15
            raise ValueError(
                f"y must not follow from X without noise: its residual standard deviation is {noise:.3g}, rounding"
            )
        task = LinearRegression(
            truth=as_float(truth),
            noise=as_float(noise),
            tolerance=_optional(tolerance, "tolerance"),
            design=fixed(X),
            real_rows=(as_float(X), as_float(residual)),
            estimate_noise=estimate_noise,
            least_norm=False,
        )
        return check_fields(task, "task")

    @property
    def dim(self) -> int:
        return self.truth.shape[-1]

    @property
    def chunk_rows(self) -> int:
        return self.design.chunk_rows

    @property
    def rows_per_sample(self) -> int:
        """Rows that one unit of `n_real` or `n_per_round` stands for: D on the orthogonal design, else 1."""
        return self.design.rows_per_sample

    @property
    def most_samples(self) -> int:
        """Largest number of samples of a round."""
        return min(LARGEST // self.rows_per_sample, keys.CHUNKS * self.chunk_rows)

    @property
    def prescribed(self) -> bool:
        return self.design.prescribed

    def truth_model(self) -> Model:
        return Model(coef=self.truth, log_noise=jnp.log(self.noise))

    def real(self, key, chunk, present) -> Rows:
        """One chunk of real rows: of the truth, or drawn from the table with replacement."""
        if self.real_rows is None:
            return self._rows(keys.for_purpose(key, keys.REAL, chunk, present), self.truth_model(), present)
        x, residual = self.real_rows
        pick = jax.random.randint(
            keys.for_purpose(key, keys.REAL, chunk, present), (self.chunk_rows,), 0, x.shape[0]
        )
        return Rows(Explicit(), x[pick].T, self.truth, self.noise, residual[pick] / self.noise)

    def generate(self, key, model, chunk, present) -> Rows:
        """One chunk of rows of `model`."""
        return self._rows(keys.for_purpose(key, keys.GENERATE, chunk, present), model, present)

    def _rows(self, key, model, present):
        design, code, noise = self.design.draw(key, present)
        return Rows(design, code, model.coef, jnp.exp(model.log_noise), noise)

    def redraw(self, key, model, data: Rows, kept) -> Rows:
        """`data` with a new response at the same x wherever `kept` is false."""
        fresh = randoms.normal(key, data.noise.shape)
        return dataclasses.replace(data, noise=jnp.where(kept, data.noise, fresh))

    def redraw_within(self, key, model, data: Rows, low, high, kept) -> Rows:
        """As `redraw`, but each new y - x.coef is drawn within [low, high], in one go."""
        fresh = truncated_normal(key, low / data.scale, high / data.scale)
        return dataclasses.replace(data, noise=jnp.where(kept, data.noise, fresh))

    def draw_bytes(self, data: Rows) -> int:
        """A Gaussian design also draws the covariates; on a prescribed one matrix products like larger blocks."""
        noise = int(np.prod(data.noise.shape)) * np.dtype(data.noise.dtype).itemsize
        return noise * (2 if self.prescribed else self.dim + 2)

    def number(self, chunk):
        return self.design.number(chunk)

    def with_room(self, room: int, schedule: np.ndarray) -> "LinearRegression":
        """The task with so many places for the rows of a fixed design, to share the programs of other numbers of rows.

        Itself where rounds of `schedule` use a row more than once, and where real rows come from a table.
        """
        design = self.design
        once = isinstance(design, Fixed) and self.real_rows is None and np.all(schedule == len(design.rows))
        if not once or len(design.rows) >= room:
            return self
        return dataclasses.replace(self, design=design.with_room(room))

    def correct(self, data: Rows, bound) -> jax.Array:
        """|y - x.truth| <= the tolerance; without one, the verifier's own bound at x; without that, 2 noise sd."""
        if self.tolerance is not None:
            bound = self.tolerance
        elif bound is None:
            bound = CORRECT_SIGMAS * self.noise
        return jnp.abs(data.residual(self.truth)) <= bound

    def rows(self, data: Rows) -> Kept:
        return Kept(data.x, data.residual(self.truth))

    def empty(self, model: Model) -> Sums:
        dense = self.real_rows is not None  # drawn rows need the full matrix whatever the design
        gram, cross = gaussian(self.dim).zero_sums() if dense else self.design.zero_sums()
        zero = jnp.zeros(())
        return Sums(gram, cross, zero, zero, model.coef, model.log_noise)

    def open(self, pool: Sums, model: Model) -> Sums:
        """The same sums taken about `model`, whose rows come next."""
        scale = jnp.exp(pool.log_scale - model.log_noise)
        shift = (model.coef - pool.reference) * jnp.exp(-model.log_noise)
        moved = _times(pool.gram, shift)
        cross = pool.cross * scale
        return Sums(
            gram=pool.gram,
            cross=cross - moved,
            square=pool.square * scale**2 - 2 * jnp.dot(shift, cross) + jnp.dot(shift, moved),
            count=pool.count,
            reference=model.coef,
            log_scale=model.log_noise,
        )

    def add(self, pool: Sums, batch: chain.Batch) -> Sums:
        """`pool` with the batch's rows; it must be open for the model that made them."""
        data, weight = batch.data, batch.weight
        gram, cross = data.design.sums(data.code, weight, data.noise)
        return pool._replace(
            gram=pool.gram + gram,
            cross=pool.cross + cross,
            square=pool.square + jnp.sum(weight * data.noise**2),
            count=pool.count + jnp.sum(weight),
        )

    def sums(self, rows: Kept, weight) -> Sums:
        """Sums of rows out of a buffer."""
        residual = rows.residual / self.noise
        gram, cross = Explicit().sums(rows.x.T, weight, residual)
        square, total = jnp.sum(weight * residual**2), jnp.sum(weight)
        return Sums(gram, cross, square, total, self.truth, jnp.log(self.noise))

    def fit(self, key, pool: Sums, previous: Model) -> tuple[Model, jax.Array]:
        """Least squares on the pool, and why it failed (0: it did not); a failed fit returns `previous`.

        The noise is the residual standard deviation with count - D degrees of freedom, or the known one. With
        `least_norm` the fit is X^+ y, which any rows have: the part of the reference that they see, and what they add.
        """
        if self.least_norm:
            gram = jnp.diag(pool.gram) if pool.gram.ndim == 1 else pool.gram
            moved = shortest(gram, jnp.exp(pool.log_scale) * pool.cross, pool.reference)
            reason = jnp.where(pool.count < 1, chain.TOO_FEW, chain.ALIVE).astype(jnp.int32)
            coef = jnp.where(reason == chain.ALIVE, moved, previous.coef)
            return Model(
                coef, jnp.where(reason == chain.ALIVE, jnp.log(self.noise), previous.log_noise)
            ), reason
        shift, definite = solve_positive(pool.gram, pool.cross)
        needed = self.dim + (1 if self.estimate_noise else 0)
        reason = jnp.where(definite, chain.ALIVE, chain.RANK_DEFICIENT)
        reason = jnp.where(pool.count < needed, chain.TOO_FEW, reason).astype(jnp.int32)
        good = reason == chain.ALIVE
        coef = pool.reference + jnp.exp(pool.log_scale) * shift
        log_noise = jnp.log(self.noise)
        if self.estimate_noise:
            freedom = jnp.where(good, pool.count - self.dim, 1.0)
            rest = jnp.maximum(pool.square - jnp.dot(pool.cross, shift), jnp.finfo(shift.dtype).tiny)
            log_noise = pool.log_scale + 0.5 * jnp.log(jnp.where(good, rest, 1.0) / freedom)
        return Model(
            coef=jnp.where(good, coef, previous.coef),
            log_noise=jnp.where(good, log_noise, previous.log_noise),
        ), reason

    def measure(self, key, model: Model) -> dict[str, jax.Array]:
        """squared_error |coef - truth|^2; excess_risk, the mean of (x.(coef - truth))^2 over the design's rows
        (test mean squared error minus the noise variance, unit of y squared); log_noise.
        """
        error = model.coef - self.truth
        return {
            "squared_error": jnp.dot(error, error),
            "excess_risk": self.design.mean_square(error),
            "log_noise": model.log_noise,
        }

    def check_sizes(self, n_real: int, n_per_round: np.ndarray, alone: bool, rows: int | None = None) -> None:
        """Raise ValueError where a round could not be drawn, or not fitted whatever the draw.

        `alone` says that a fit sees no more rows than its own round's; `rows`, that it sees so many.
        """
        least = self.dim + 1
        if isinstance(self.design, Orthogonal):
            least = 2 if self.estimate_noise else 1
        if self.least_norm:
            least = 1
        check_rounds(self, n_real, n_per_round, alone, rows, least, f"fit {self.dim} coefficients")
        if isinstance(self.design, Fixed):
            whole = self.design.chunk_rows
            later = [("n_per_round", int(n)) for n in np.unique(n_per_round)]
            for name, size in ([("n_real", n_real)] if self.real_rows is None else []) + later:
                if size % whole:
                    raise ValueError(
                        f"{name} must be a multiple of the fixed design's {whole} rows, got {size}"
                    )


def linear_regression(
    truth,
    *,
    noise=1.0,
    design="gaussian",
    covariance=None,
    rows=None,
    estimate_noise: bool = False,
    least_norm: bool = False,
    tolerance=None,
) -> LinearRegression:
    """The task y = x.truth + N(0, noise^2).

    Args:
        truth: coefficients, shape (D,), finite; a whole number D stands for D zeros.
        noise: standard deviation of the real noise, > 0, unit of y.
        design: "gaussian" (fresh x ~ N(0, covariance)), "orthogonal" (each unit direction once per sample,
            so sizes are rows per direction) or "fixed" (the given `rows` every round).
        covariance: (D, D) positive definite, Gaussian design only; None for the identity.
        rows: (N, D), fixed design only; of full rank unless `least_norm`.
        estimate_noise: refit the noise each round instead of knowing it.
        least_norm: fit X^+ y, the shortest of all least squares solutions, as the published scripts do: then any number
            of rows can be fitted, and what no row sees of the truth is lost. Costs a multiple of the usual fit.
        tolerance: |y - x.truth| up to which a row is correct, > 0, unit of y. None: the verifier's own bound at
            x, and 2 `noise` for a verifier without one.

    Raises:
        ValueError: a value outside its range, a wrong shape, a rank-deficient design, an unknown design name.
    """
    check_choice("design", design, ("gaussian", "orthogonal", "fixed"))
    if numbers("truth", truth).ndim == 0:
        truth = np.zeros(check_whole("truth", truth, 1))
    truth = numbers("truth", truth)
    if least_norm and estimate_noise:
        raise ValueError(
            "least_norm goes without estimate_noise: with fewer rows than coefficients nothing is left of it"
        )
    check_shape("noise", noise, ())
    check_shape("truth", truth, (None,))
    dim = truth.shape[0]
    if dim == 0:
        raise ValueError("truth must have at least one coefficient, got none")
    if covariance is not None and design != "gaussian":
        raise ValueError(f"covariance belongs to design='gaussian', got design={design!r}")
    if (rows is not None) != (design == "fixed"):
        raise ValueError(f"rows must be given exactly when design='fixed', got design={design!r}")
    if design == "orthogonal":
        made: Any = Orthogonal(dim)
    elif design == "fixed":
        rows = numbers("rows", rows)
        check_shape("rows", rows, (None, dim))
        check_value("rows", rows, "finite")
        if not least_norm:
            _check_rank("rows", rows)
        made = fixed(rows)
    else:
        made = gaussian(dim, None if covariance is None else _positive(covariance, dim))
    task = LinearRegression(
        truth=as_float(truth),
        noise=as_numbers("noise", noise),
        tolerance=_optional(tolerance, "tolerance"),
        design=made,
        real_rows=None,
        estimate_noise=estimate_noise,
        least_norm=least_norm,
    )
    return check_fields(task, "task")


def _optional(value, name):
    if value is None:
        return None
    check_shape(name, value, ())
    check_value(name, value, "positive")
    return as_float(value)


def _positive(covariance, dim):
    covariance = numbers("covariance", covariance)
    check_value("covariance", covariance, "finite")
    check_positive_definite("covariance", covariance, dim)
    return covariance


def _check_rank(name, rows):
    rank = np.linalg.matrix_rank(rows)
    if rank < rows.shape[1]:
        raise ValueError(f"{name} must have full column rank {rows.shape[1]}, got rank {rank}")


def _times(gram, vector):
    return gram * vector if gram.ndim == 1 else gram @ vector
