"""A likelihood verifier: accepts a row that is likely enough under a reference model, which may be biased."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc

from simcollapse import chain
from simcollapse.checks import (
    as_numbers,
    check_fields,
    check_most,
    check_shape,
    numbers,
    parameter,
)
from simcollapse.linalg import cholesky

_DENSITY = ("center", "bias", "direction", "scale", "radius", "keep")  # arguments of a density task alone
_DISCRETE = ("probabilities", "threshold")  # and of a discrete one


class Reference(NamedTuple):
    """What the verifier believes in, and up to where it accepts, in coordinates standardised by the real data."""

    mean: jax.Array  # (D,)
    inverse: jax.Array | None  # (D, D), of the covariance's lower triangular factor; None for the identity
    reach: jax.Array  # (), largest accepted |inverse (x - mean)|^2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Accepts what is likely under its reference. Build it with `likelihood(...)`.

    What the audit calls correct is the task's own: in `gaussian` a row within `task.tolerance` (Mahalanobis distance)
    of the truth's mean, in `kde` one where the density of real rows is one that 95 % of them exceed, in `discrete` a
    draw of one of the most probable outcomes, which make up 95 % of the real data. So phi is the share of such rows
    that are likely enough under the reference, psi that of the other rows. An unbiased reference whose radius is the
    tolerance of `gaussian` has phi = 1 and psi = 0, and so has, in `discrete`, the truth with the least probability of
    a correct outcome as threshold.
    """

    center: jax.Array | None = parameter("finite", doc="(D,), mean of the reference, unit of x")
    bias: jax.Array | None = parameter("nonnegative", doc="(), |center - mean of the real data|, unit of x")
    direction: jax.Array | None = parameter("finite", doc="(D,), from that mean to the center; any length")
    trained_on: jax.Array | None = parameter("count", doc="(), real samples that the reference is fitted to")
    scale: jax.Array | None = parameter(
        "positive", doc="(), reference's standard deviations over the real ones"
    )
    radius: jax.Array | None = parameter("radius", doc="(), largest Mahalanobis distance to the reference")
    keep: jax.Array | None = parameter("share", doc="(), share of its own rows that the reference accepts")
    probabilities: jax.Array | None = parameter("unit", doc="(M,), of the reference, in place of the truth's")
    threshold: jax.Array | None = parameter("unit", doc="(), least probability of an accepted outcome")

    @property
    def kind(self) -> str:
        return "density" if self.threshold is None else "discrete"

    def init(self, key, task) -> "Reference | jax.Array":
        """The reference; of a discrete task, which outcomes are accepted, shape (M,). NaN where it has no fit."""
        if self.threshold is not None:
            return self._probability(key, task) >= self.threshold
        reach = _largest_square(self.radius, self.keep, task.dim) * (
            1.0 if self.scale is None else self.scale**2
        )
        mean, inverse = self._believed(key, task)
        return Reference(mean, inverse, jnp.minimum(reach, jnp.finfo(reach.dtype).max))

    def _believed(self, key, task):
        """Mean, and inverse of the covariance's factor, of the reference before it is scaled."""
        if self.trained_on is not None:
            return _fitted(key, task, self.trained_on.astype(jnp.int32))
        shift = jnp.zeros(task.dim)
        if self.center is not None:
            shift = self.center - task.mean
        if self.bias is not None:
            along = jnp.ones(task.dim) if self.direction is None else self.direction
            shift = self.bias * along / jnp.linalg.norm(along)
        return task.standard_step(shift), None

    def _probability(self, key, task):
        """Probability of each outcome under the reference, shape (M,)."""
        if self.trained_on is None:
            return task.probability if self.probabilities is None else self.probabilities
        count = self.trained_on.astype(jnp.int32)
        pool = chain.add_real(key, task, task.empty(task.truth_model()), count, None)
        return (pool.count + 1) / (jnp.sum(pool.count) + task.outcomes)

    def accept(self, key, judge, data, model) -> jax.Array:
        """Mask of accepted rows, shape (N,)."""
        if not isinstance(judge, Reference):
            return judge[data.outcome]
        off = data.standard - judge.mean[:, None]
        if judge.inverse is not None:
            off = judge.inverse @ off
        return jnp.sum(off**2, axis=0) <= judge.reach

    def check_task(self, task) -> None:
        """Raise ValueError where this verifier cannot judge `task`; a sweep may also have set two ways at once."""
        _check_given(self)
        for name in ("center", "direction"):
            if getattr(self, name) is not None:
                check_shape(f"verifier.{name}", getattr(self, name), (task.dim,))
        if self.trained_on is not None:
            least = 1 if task.kind == "discrete" else task.dim + 1  # of a covariance that can be inverted
            if np.min(self.trained_on) < least:
                raise ValueError(
                    f"verifier.trained_on must be >= {least} for this task, got {self.trained_on}"
                )
            check_most("verifier.trained_on", self.trained_on, task)
        if self.probabilities is not None:
            check_shape("verifier.probabilities", self.probabilities, (task.outcomes,))
        if self.threshold is not None and self.trained_on is None:
            most = np.max(task.probability if self.probabilities is None else self.probabilities)
            if self.threshold > most:
                raise ValueError(
                    f"verifier.threshold must be <= {most:.6g}, the probability of the likeliest outcome, or nothing "
                    f"is ever kept; got {self.threshold}"
                )


def likelihood(
    *,
    radius=None,
    keep=None,
    center=None,
    bias=None,
    direction=None,
    scale=None,
    trained_on: int | None = None,
    threshold=None,
    probabilities=None,
) -> Likelihood:
    """The verifier that accepts a row if it is likely enough under a reference model.

    For a density task the reference is N(center, scale^2 covariance), center and covariance of the real data unless
    said otherwise, and a row is accepted by its Mahalanobis distance to it, which is to say by the reference's density.
    (In `kde` the covariance is diagonal, of each feature's variance, and the data need not be normal: the reference
    is.) For a discrete task it is a probability for each outcome, and `threshold` is the least one accepted.

    Args of a density task:
        radius: > 0, largest accepted distance in standard deviations of the reference; inf accepts everything. Or
        keep: in (0, 1], the share of normal real rows within the distance to an unbiased reference: radius^2 is
            that quantile of the chi-square distribution with D degrees of freedom.
        center: (D,), mean of the reference, unit of x. Or
        bias: >= 0, distance from the mean of the real data to the center along `direction`, unit of x, as in
            `knowledge_ball`. None for 0.
        direction: (D,), not zero; None for the diagonal (1, ..., 1). Goes with `bias`.
        scale: > 0, standard deviations of the reference over the real (or fitted) ones; None for 1.
        trained_on: real samples, drawn for the verifier alone, whose mean and unbiased covariance are the reference's
            in each chain; more than D. In place of center and bias.

    Args of a discrete task:
        threshold: in [0, 1], least probability of an accepted outcome under the reference.
        probabilities: (M,), of the reference, which sum to 1; None for the truth. Or
        trained_on: real draws, drawn for the verifier alone; the reference is (count + 1)/(trained_on + M).

    Raises:
        ValueError: a value outside its range, not exactly one of radius, keep and threshold, two ways to place the
            reference, arguments of both kinds of task.
        TypeError: a value that is not a number.
    """
    values = {
        "radius": radius,
        "keep": keep,
        "center": center,
        "bias": bias,
        "direction": direction,
        "scale": scale,
        "trained_on": trained_on,
        "threshold": threshold,
        "probabilities": probabilities,
    }
    for name, value in values.items():
        if value is not None:
            check_shape(name, value, (None,) if name in ("center", "direction", "probabilities") else ())
    made = Likelihood(**{n: None if v is None else as_numbers(n, v) for n, v in values.items()})
    check_fields(made, "verifier")
    _check_given(made)
    return made


def _check_given(made: Likelihood) -> None:
    """Raise ValueError unless the fields that are set say one thing."""
    given = [field.name for field in dataclasses.fields(made) if getattr(made, field.name) is not None]
    cuts = [name for name in ("radius", "keep", "threshold") if name in given]
    if len(cuts) != 1:
        raise ValueError(
            f"give exactly one of radius and keep (density task) or threshold (discrete), got {cuts or 'none'}"
        )
    foreign = [name for name in (_DENSITY if cuts == ["threshold"] else _DISCRETE) if name in given]
    if foreign:
        raise ValueError(f"{foreign[0]} does not go with {cuts[0]}: they are for different kinds of task")
    places = [name for name in ("center", "bias", "trained_on", "probabilities") if name in given]
    if len(places) > 1:
        raise ValueError(f"give at most one of center, bias, trained_on and probabilities, got {places}")
    if made.direction is not None:
        if made.bias is None:
            raise ValueError("direction goes with bias, got it without")
        if not np.linalg.norm(made.direction) > 0:
            raise ValueError(f"verifier.direction must not be zero, got {made.direction}")
    if made.probabilities is not None:
        total = np.sum(numbers("probabilities", made.probabilities))
        if not np.isclose(total, 1, atol=1e-5):
            raise ValueError(f"verifier.probabilities must sum to 1, got {total:.6g}")


def _fitted(key, task, count):
    """Mean and inverse factor of the covariance of `count` real rows; NaN where they do not span every direction."""

    def add(chunk, sums):
        gram, total = sums
        x = task.real(key, chunk, None).standard
        kept = x * (task.number(chunk) < count).astype(x.dtype)[None]
        return gram + kept @ x.T, total + kept.sum(axis=1)

    chunks = (count + task.chunk_rows - 1) // task.chunk_rows
    nothing = jnp.zeros((task.dim, task.dim)), jnp.zeros(task.dim)
    gram, total = jax.lax.fori_loop(0, chunks, add, nothing)
    rows = count.astype(gram.dtype)
    lower, inverse = cholesky((gram - total[:, None] * total[None] / rows) / (rows - 1))
    return total / rows, jnp.where(jnp.all(jnp.diagonal(lower) > 0), inverse, jnp.nan)


def _largest_square(radius, keep, dim: int):
    """Largest accepted squared distance: radius^2, or the `keep` quantile of chi-square(dim), by bisection."""
    if radius is not None:
        return radius**2
    most = dim + 200.0 * jnp.ones_like(keep) + 20.0 * dim**0.5  # beyond it, less than 1e-16 of the rows

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        below = gammainc(dim / 2 * jnp.ones_like(keep), middle / 2) < keep
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    _, high = jax.lax.fori_loop(0, 60, halve, (jnp.zeros_like(keep), most))
    return jnp.where(keep < 1, high, jnp.inf)
