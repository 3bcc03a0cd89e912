"""A region of feature space: a verifier that accepts a row for where it lies, and for nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import as_numbers, check_fields, check_shape, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Region:
    """Accepts x in a box, a ball and a half-space, as far as they are given. Build it with `region(...)`.

    phi and psi are the shares of correct and of incorrect rows that lie in the region. What is correct is the task's
    own: in `gaussian` a row within `task.tolerance` (Mahalanobis distance) of the truth's mean, in `kde` one where the
    density of real rows is one that 95 % of them exceed, in `discrete` a draw of one of the most probable outcomes,
    which make up 95 % of the real data.
    """

    low: jax.Array | None = parameter("limit", doc="() or (D,), least accepted x, unit of x")
    high: jax.Array | None = parameter("limit", doc="() or (D,), largest accepted x, unit of x")
    center: jax.Array | None = parameter("finite", doc="(D,), of the ball, unit of x")
    radius: jax.Array | None = parameter("radius", doc="(), of the ball, unit of x")
    normal: jax.Array | None = parameter(
        "finite", doc="(D,), of the half-space x.normal >= offset; any length"
    )
    offset: jax.Array | None = parameter("limit", doc="(), least accepted x.normal, unit of x times normal")

    def init(self, key, task):
        return ()

    def accept(self, key, judge, data, model) -> jax.Array:
        """Mask of accepted rows, shape (N,)."""
        x = data.x
        accepted = jnp.ones(x.shape[0], dtype=bool)
        if self.low is not None:
            accepted &= jnp.all(x >= jnp.broadcast_to(self.low, x.shape), axis=1)
        if self.high is not None:
            accepted &= jnp.all(x <= jnp.broadcast_to(self.high, x.shape), axis=1)
        if self.center is not None and self.radius is not None:
            accepted &= jnp.sum((x - self.center[None]) ** 2, axis=1) <= self.radius**2
        if self.normal is not None and self.offset is not None:
            accepted &= x @ self.normal >= self.offset
        return accepted

    def check_task(self, task) -> None:
        """Raise ValueError where this region is none in the features of `task`; a sweep may have set any field."""
        _check_given(self)
        for name in ("low", "high"):
            if np.ndim(getattr(self, name)) > 0:
                check_shape(f"verifier.{name}", getattr(self, name), (task.dim,))
        for name in ("center", "normal"):
            if getattr(self, name) is not None:
                check_shape(f"verifier.{name}", getattr(self, name), (task.dim,))


def region(low=None, high=None, *, center=None, radius=None, normal=None, offset=None) -> Region:
    """The verifier that accepts rows inside a region of feature space; of several conditions a row must meet all.

    Args:
        low, high: a box low <= x <= high; one number for all features or (D,) for each; -inf and inf allowed, None
            for no limit. low < high.
        center, radius: a ball |x - center| <= radius; (D,), and a number > 0 (inf accepts everything).
        normal, offset: a half-space x.normal >= offset; (D,) and not zero, and a number.

    All in the unit of the features x of the task. A region is the plainest verifier with a bias: under `replace` a
    Gaussian moves until it lies inside (`theory.workflows.truncated_gaussian` for an interval).

    Raises:
        ValueError: no condition, half of one, a value outside its range (NaN too), low >= high.
        TypeError: a value that is not a number.
    """
    values = {
        "low": low,
        "high": high,
        "center": center,
        "radius": radius,
        "normal": normal,
        "offset": offset,
    }
    made = Region(**{n: None if v is None else as_numbers(n, v) for n, v in values.items()})
    for name in ("low", "high"):
        if np.ndim(getattr(made, name)) > 0:
            check_shape(name, getattr(made, name), (None,))
    for name, shape in (("center", (None,)), ("radius", ()), ("normal", (None,)), ("offset", ())):
        if getattr(made, name) is not None:
            check_shape(name, getattr(made, name), shape)
    check_fields(made, "verifier")
    _check_given(made)
    return made


def _check_given(made: Region) -> None:
    """Raise ValueError unless there is a whole condition, and some x meets each."""
    given = [field.name for field in dataclasses.fields(made) if getattr(made, field.name) is not None]
    if not given:
        raise ValueError("give low or high, center and radius, or normal and offset, got none")
    for first, second in (("center", "radius"), ("normal", "offset")):
        if (first in given) != (second in given):
            raise ValueError(
                f"{first} and {second} go together, got {first if first in given else second} alone"
            )
    if made.low is not None and made.high is not None:
        if np.ndim(made.low) and np.ndim(made.high) and np.shape(made.low) != np.shape(made.high):
            raise ValueError(
                f"low and high must have one shape, got {np.shape(made.low)} and {np.shape(made.high)}"
            )
        if not np.all(np.asarray(made.low) < np.asarray(made.high)):
            raise ValueError(f"verifier.low must be < verifier.high, got low={made.low} and high={made.high}")
    if made.normal is not None and not np.linalg.norm(made.normal) > 0:
        raise ValueError(f"verifier.normal must not be zero, got {made.normal}")
