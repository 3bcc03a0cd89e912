"""Rows of a classification, and the covariance that their classes share."""

import dataclasses

import jax
import numpy as np

from simcollapse.checks import as_float, check_shape, check_value, numbers
from simcollapse.linalg import BLOCK as WRITTEN_OUT
from simcollapse.tasks.rules import sign


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ClassRows:
    """N rows with a true and a generated label, numbers of classes 0, …, K - 1."""

    code: jax.Array  # (D, N), features as columns: fast to reduce over rows
    truth: jax.Array  # (N,), int32
    label: jax.Array  # (N,), int32

    @property
    def x(self) -> jax.Array:
        """Features, shape (N, D)."""
        return self.code.T

    @property
    def sign(self) -> jax.Array:
        """For two classes the label as +1 (class 0) or -1, shape (N,)."""
        return sign(self.label)

    def visible(self) -> dict[str, jax.Array]:
        """What a user's function sees."""
        return {"x": self.x, "label": self.label, "truth": self.truth}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Covariance:
    """L L' with L None for the identity, (D,) for a diagonal, or (D, D) lower triangular."""

    factor: jax.Array | None  # L
    inverse: jax.Array | None  # of L, in the same form

    def color(self, noise: jax.Array) -> jax.Array:
        """L noise for standard normal columns, shape (D, N)."""
        return _times(self.factor, noise)

    def whiten(self, coef: jax.Array) -> jax.Array:
        """L' coef, shape (D,) or (D, C): x.coef has its Euclidean length as standard deviation."""
        return _times(None if self.factor is None else self.factor.T, coef)

    def solve(self, columns: jax.Array) -> jax.Array:
        """(L L')^-1 columns, shape (D, C)."""
        if self.inverse is None:
            return columns
        return _times(self.inverse.T, _times(self.inverse, columns))


def _times(matrix, columns):
    if matrix is None:
        return columns
    if matrix.ndim == 1:
        return matrix.reshape((-1,) + (1,) * (columns.ndim - 1)) * columns
    if columns.ndim == 2 and matrix.shape[0] <= WRITTEN_OUT:  # fuses; a small matrix product would not
        return sum(matrix[:, i, None] * columns[i][None] for i in range(matrix.shape[0]))
    return matrix @ columns


def check_covariance(covariance, dim: int) -> Covariance:
    """The covariance given as a (D, D) matrix, (D,) variances, one variance, or None for the identity.

    Raises:
        ValueError: another shape, or not symmetric and positive definite.
    """
    if covariance is None:
        return Covariance(None, None)
    covariance = numbers("covariance", covariance)
    check_value("covariance", covariance, "finite")
    if covariance.ndim < 2:
        check_value("covariance", covariance, "positive")
        if covariance.ndim == 1:
            check_shape("covariance", covariance, (dim,))
        scale = np.sqrt(np.broadcast_to(covariance, (dim,)))
        return Covariance(as_float(scale), as_float(1 / scale))
    check_positive_definite("covariance", covariance, dim)
    factor = np.linalg.cholesky(covariance)
    return Covariance(as_float(factor), as_float(np.linalg.inv(factor)))


def check_positive_definite(name: str, matrix: np.ndarray, dim: int) -> None:
    """Raise ValueError unless `matrix` is symmetric and positive definite, shape (dim, dim)."""
    check_shape(name, matrix, (dim, dim))
    if not np.allclose(matrix, matrix.T):
        raise ValueError(f"{name} must be symmetric")
    least, most = np.linalg.eigvalsh(matrix)[[0, -1]]
    if not least > dim * np.finfo(float).eps * most:
        raise ValueError(f"{name} must be positive definite, got a smallest eigenvalue of {least:.3g}")
