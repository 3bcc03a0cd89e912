"""The knowledge ball: a verifier that trusts regression parameters within a distance of its own center."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import chain
from simcollapse.checks import as_float, check_fields, check_most, check_shape, check_value, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class KnowledgeBall:
    """Accepts (x, y) with |y - x.center| <= radius |x| + slack. Source: [Yi26], Eq. 1 (v3).

    The center is given, or placed at a distance from the task's truth, or fitted to real rows of the
    verifier's own, anew in every chain. Build it with `knowledge_ball(...)`.
    """

    center: jax.Array | None = parameter("finite", doc="(D,), the knowledge center, unit of the coefficients")
    bias: jax.Array | None = parameter("nonnegative", doc="(), |truth - center|, same unit")
    direction: jax.Array | None = parameter("finite", doc="(D,), from the truth to the center; any length")
    trained_on: jax.Array | None = parameter("count", doc="(), real samples that the center is fitted to")
    radius: jax.Array = parameter("radius", doc="(), same unit; inf accepts everything")
    slack: jax.Array = parameter("slack", doc="(), unit of y")

    kind = "regression"

    def init(self, key, task) -> jax.Array:
        """The center, shape (D,); NaN where it could not be fitted."""
        if self.center is not None:
            return self.center
        if self.bias is not None:
            along = jnp.ones(task.dim) if self.direction is None else self.direction
            return task.truth + self.bias * along / jnp.linalg.norm(along)
        count = jnp.asarray(self.trained_on).astype(jnp.int32)
        pool = chain.add_real(key, task, task.empty(task.truth_model()), count, None)
        nowhere: Any = jax.tree.map(jnp.zeros_like, task.truth_model())
        model, reason = task.fit(key, pool, nowhere)
        return jnp.where(reason == chain.ALIVE, model.coef, jnp.nan)

    def bound(self, judge, data) -> jax.Array:
        """Largest accepted |y - x.center| of each row, shape (N,), unit of y."""
        tiny = jnp.finfo(data.norm.dtype).tiny  # an infinite radius accepts a row of zeros too
        return self.radius * jnp.maximum(data.norm, tiny) + self.slack

    def interval(self, judge, data) -> tuple[jax.Array, jax.Array]:
        """Lowest and highest accepted y - x.coef of each row of the model `coef`, each of shape (N,)."""
        middle, bound = data.predict(judge - data.coef), self.bound(judge, data)
        return middle - bound, middle + bound

    def accept(self, key, judge, data, model) -> jax.Array:
        """Mask of accepted rows, shape (N,)."""
        return jnp.abs(data.residual(judge)) <= self.bound(judge, data)

    def check_task(self, task) -> None:
        """Raise ValueError where this verifier cannot judge `task`; a sweep may also have set two ways at once."""
        given = [n for n in ("center", "bias", "trained_on") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of center, bias and trained_on, got {given or 'none'}")
        if self.direction is not None:
            if self.bias is None:
                raise ValueError("direction goes with bias, got it without")
            if not np.linalg.norm(self.direction) > 0:
                raise ValueError(f"verifier.direction must not be zero, got {self.direction}")
        for name in ("center", "direction"):
            if getattr(self, name) is not None:
                check_shape(f"verifier.{name}", getattr(self, name), (task.dim,))
        if self.trained_on is not None:
            least = 1 if task.rows_per_sample > 1 else task.dim + 1
            if np.min(self.trained_on) < least:
                raise ValueError(
                    f"verifier.trained_on must be >= {least} for this task, got {self.trained_on}"
                )
            check_most("verifier.trained_on", self.trained_on, task)


def knowledge_ball(
    center=None, *, radius, slack=0.0, bias=None, direction=None, trained_on: int | None = None
) -> KnowledgeBall:
    """The verifier that accepts (x, y) with |y - x.center| <= radius |x| + slack.

    Give exactly one of `center`, `bias` and `trained_on`:

    Args:
        center: (D,), the coefficients the verifier believes in.
        radius: > 0, unit of the coefficients; inf accepts everything.
        slack: >= 0, unit of y (the papers' sigma_c).
        bias: >= 0, distance from the truth to the center, along `direction`.
        direction: (D,), not zero; None for the diagonal (1, ..., 1).
        trained_on: real samples, drawn for the verifier alone, that the center is fitted to in each chain.

    Raises:
        ValueError: a value outside its range (NaN too), or not exactly one way to place the center.
        TypeError: a value that is not a number.
    """
    ways = {"center": center, "bias": bias, "trained_on": trained_on}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of center, bias and trained_on, got {given or 'none'}")
    if direction is not None:
        if bias is None:
            raise ValueError("direction goes with bias, got it without")
        check_value("direction", direction, "finite")
        if not np.linalg.norm(direction) > 0:
            raise ValueError(f"direction must not be zero, got {direction}")
    if center is not None:
        check_shape("center", center, (None,))
    for name, value in (("radius", radius), ("slack", slack), ("bias", bias), ("trained_on", trained_on)):
        if value is not None:
            check_shape(name, value, ())
    ball = KnowledgeBall(
        center=_maybe(center),
        bias=_maybe(bias),
        direction=_maybe(direction),
        trained_on=_maybe(trained_on),
        radius=_number("radius", radius),
        slack=_number("slack", slack),
    )
    return check_fields(ball, "verifier")


def _maybe(value):
    return None if value is None else as_float(value)


def _number(name, value):
    if isinstance(value, str) or value is None:
        raise TypeError(f"{name} must be a number, got {value!r}")
    return as_float(value)
