"""Where the real rows of a density come from: scikit-learn's toy sets, a normal law, or a table's rows.

A set draws its rows as columns, (D, N), and knows the mean and variance of each coordinate. The toy sets have the
laws of scikit-learn's generators for many points, every row drawn on its own (scikit-learn spaces the angles of a
sample evenly instead).
"""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import keys, randoms
from simcollapse.checks import (
    as_float,
    as_numbers,
    check_choice,
    check_shape,
    check_value,
    numbers,
    parameter,
)

NOISE = {"blobs": 1.0, "circles": 0.05, "moons": 0.05, "swiss_roll": 0.05}  # where none is given
_FACTOR = 0.8  # radius of the inner circle: scikit-learn's default
_BLOBS_SEED, _BLOBS, _BOX = 0, 3, 10.0  # make_blobs(random_state=0) puts 3 centers into [-10, 10]^2
_PIECES = 6  # of every planar set, so that all of them share one compiled program
_ROLL, _WIDTH = (1.5 * np.pi, 4.5 * np.pi), 21.0  # angles and width of the swiss roll


class PointSet(Protocol):
    """A law of real rows. Optional: `log_density(columns)`, (N,), nats."""

    @property
    def dim(self) -> int: ...
    @property
    def mean(self) -> jax.Array: ...  # (D,)
    @property
    def variance(self) -> jax.Array: ...  # (D,), of each coordinate
    def columns(self, key: jax.Array, count: int, present: jax.Array | None) -> jax.Array: ...  # (D, count)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Normal:
    """N(0, noise^2 I)."""

    dim: int = dataclasses.field(metadata={"static": True})
    noise: jax.Array = parameter("positive", doc="standard deviation of a coordinate, data unit")

    @property
    def mean(self) -> jax.Array:
        return jnp.zeros(self.dim)

    @property
    def variance(self) -> jax.Array:
        return jnp.broadcast_to(self.noise**2, (self.dim,))

    def columns(self, key, count, present):
        return self.noise * _normal(key, (self.dim, count), present)

    def log_density(self, columns):
        square = jnp.sum(columns**2, axis=0) / self.noise**2
        return -0.5 * square - self.dim * (jnp.log(self.noise) + 0.5 * np.log(2 * np.pi))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Arcs:
    """Points in the plane: a random one of P arcs, a uniform angle on it, and normal noise.

    An arc is center + radius (cos angle, sin angle), angle from `start` on over `sweep` radians; a blob is an arc of
    radius 0.
    """

    center: jax.Array  # (P, 2)
    radius: jax.Array  # (P,)
    start: jax.Array  # (P,)
    sweep: jax.Array  # (P,)
    noise: jax.Array = parameter("nonnegative", doc="standard deviation of the noise of a coordinate")

    dim = 2

    def columns(self, key, count, present):
        key_toss, key_noise = jax.random.split(key)
        toss = randoms.uniform(key_toss, (2, count), present)
        pieces = self.radius.shape[0]
        piece = jnp.minimum((toss[0] * pieces).astype(jnp.int32), pieces - 1)
        angle = self.start[piece] + self.sweep[piece] * toss[1]
        on_arc = self.center[piece].T + self.radius[piece][None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return on_arc + self.noise * _normal(key_noise, (2, count), present)

    @property
    def mean(self) -> jax.Array:
        return jnp.mean(self._piece_means(), axis=0)

    @property
    def variance(self) -> jax.Array:
        end, lengths = self.start + self.sweep, jnp.where(self.sweep > 0, self.sweep, 1.0)
        # the mean over an arc of cos(2 angle); 1/2 + half of it is that of cos(angle)^2
        double = jnp.where(self.sweep > 0, (jnp.sin(2 * end) - jnp.sin(2 * self.start)) / (2 * lengths), 0.0)
        about = self._piece_means() - self.center
        square = self.radius[:, None] ** 2 * jnp.stack([0.5 + 0.5 * double, 0.5 - 0.5 * double], axis=1)
        moved = self.center - self.mean[None]
        return jnp.mean(square + 2 * about * moved + moved**2, axis=0) + self.noise**2

    def _piece_means(self):
        """Mean of each arc, (P, 2)."""
        end, lengths = self.start + self.sweep, jnp.where(self.sweep > 0, self.sweep, 1.0)
        direction = jnp.stack(
            [jnp.sin(end) - jnp.sin(self.start), jnp.cos(self.start) - jnp.cos(end)], axis=1
        )
        return self.center + (self.radius / lengths)[:, None] * direction


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SwissRoll:
    """(t cos t, y, t sin t) and normal noise, t uniform in [1.5 pi, 4.5 pi] and y in [0, 21]."""

    noise: jax.Array = parameter("nonnegative", doc="standard deviation of the noise of a coordinate")

    dim = 3

    def columns(self, key, count, present):
        key_toss, key_noise = jax.random.split(key)
        toss = randoms.uniform(key_toss, (2, count), present)
        t = _ROLL[0] + (_ROLL[1] - _ROLL[0]) * toss[0]
        rolled = jnp.stack([t * jnp.cos(t), _WIDTH * toss[1], t * jnp.sin(t)])
        return rolled + self.noise * _normal(key_noise, (3, count), present)

    @property
    def mean(self) -> jax.Array:
        return as_float(_roll_moments()[0])

    @property
    def variance(self) -> jax.Array:
        return as_float(_roll_moments()[1]) + self.noise**2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Resampled:
    """Rows of a table, drawn with replacement."""

    rows: jax.Array  # (R, D)

    @property
    def dim(self) -> int:
        return self.rows.shape[-1]

    @property
    def mean(self) -> jax.Array:
        return jnp.mean(self.rows, axis=0)

    @property
    def variance(self) -> jax.Array:
        return jnp.var(self.rows, axis=0)

    def columns(self, key, count, present):
        most = self.rows.shape[0]
        place = keys.stored(lambda: jax.random.randint(key, (count,), 0, most), present)
        return self.rows[place].T


def _normal(key, shape, present):
    return randoms.normal(key, shape, present)


def _roll_moments() -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the swiss roll without noise, each (3,): Gauss-Legendre, exact to rounding."""
    node, weight = np.polynomial.legendre.leggauss(64)
    t = _ROLL[0] + (_ROLL[1] - _ROLL[0]) * (node + 1) / 2
    points = np.stack([t * np.cos(t), t * np.sin(t)])
    mean = points @ (weight / 2)
    variance = (points - mean[:, None]) ** 2 @ (weight / 2)
    return np.array([mean[0], _WIDTH / 2, mean[1]]), np.array([variance[0], _WIDTH**2 / 12, variance[1]])


def arcs(center, radius, start, sweep, noise) -> Arcs:
    """A planar set of these 1, 2, 3 or 6 pieces, see `Arcs`; each is repeated, to make six in all."""
    times, rest = divmod(_PIECES, len(center))
    if rest or times == 0:
        raise ValueError(f"center must have 1, 2, 3 or 6 rows, got {len(center)}")
    pieces = (np.tile(np.asarray(part, dtype=float).T, times).T for part in (center, radius, start, sweep))
    return Arcs(*(as_float(part) for part in pieces), noise=as_numbers("noise", noise))


def _blobs(noise) -> Arcs:
    center = np.random.RandomState(_BLOBS_SEED).uniform(-_BOX, _BOX, (_BLOBS, 2))  # a frozen stream of NumPy
    none = np.zeros(_BLOBS)
    return arcs(center, none, none, none, noise)


def _circles(noise) -> Arcs:
    return arcs(np.zeros((2, 2)), [1.0, _FACTOR], np.zeros(2), np.full(2, 2 * np.pi), noise)


def _moons(noise) -> Arcs:
    # the inner moon is (1 - cos a, 1/2 - sin a): an arc from pi on
    return arcs([[0.0, 0.0], [1.0, 0.5]], np.ones(2), [0.0, np.pi], np.full(2, np.pi), noise)


KNOWN = {"blobs": _blobs, "circles": _circles, "moons": _moons, "swiss_roll": SwissRoll}


def named(name: str, noise: Any = None) -> PointSet:
    """The toy set `name`, one of `KNOWN`, with noise of this standard deviation (None for `NOISE`).

    Raises:
        ValueError: an unknown name (the nearest known is named), or a negative noise.
        TypeError: a noise that is not a number.
    """
    check_choice("data", name, KNOWN)
    noise = NOISE[name] if noise is None else noise
    check_shape("noise", noise, ())
    check_value("noise", noise, "nonnegative")
    return KNOWN[name](as_numbers("noise", noise))


def normal(dim: int, noise: Any = None) -> Normal:
    """N(0, noise^2 I) in `dim` dimensions; None for a noise of 1.

    Raises:
        ValueError: a noise that is not positive. TypeError: one that is not a number.
    """
    noise = 1.0 if noise is None else noise
    check_shape("noise", noise, ())
    check_value("noise", noise, "positive")
    return Normal(dim, as_numbers("noise", noise))


def checked_rows(rows: Any) -> np.ndarray:
    """`rows` as an (R, D) array of finite numbers, R >= 2 rows that are not all the same.

    Raises:
        ValueError: another shape, a NaN, an infinite number, or rows that are all alike.
        TypeError: entries that are not numbers.
    """
    rows = numbers("data", rows)
    check_shape("data", rows, (None, None))
    check_value("data", rows, "finite")
    if len(rows) < 2 or rows.shape[1] == 0 or np.all(rows == rows[0]):
        raise ValueError(f"data must have columns and rows that differ, got shape {rows.shape}")
    return rows
