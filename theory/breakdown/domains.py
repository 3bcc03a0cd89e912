"""Checks of arguments that only this package has: probabilities, angles, vectors and covariances.

They follow `theory.arguments`: each returns the checked value or raises a ValueError that names the
argument, what is allowed and what came.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, finite, positive, real, require, scalar

ROUNDED_ANGLE = 1e-7  # radians: an angle near 0 or pi taken from its cosine is off by up to 2e-8


def probability(name: str, value: ArrayLike) -> FloatArray:
    """`value` as an array of numbers in [0, 1]."""
    array = real(name, value)
    require((array >= 0) & (array <= 1), name, "in [0, 1]", value)
    return array


def probability_scalar(name: str, value: ArrayLike) -> float:
    """`value` as one number in [0, 1]."""
    return scalar(name, probability(name, value))


def quality(name: str, value: ArrayLike) -> FloatArray:
    """`value` as an array of numbers in [-1, 1]."""
    array = real(name, value)
    require((array >= -1) & (array <= 1), name, "in [-1, 1]", value)
    return array


def angle(name: str, value: ArrayLike) -> FloatArray:
    """`value` as an array of angles in [0, pi], in radians."""
    array = real(name, value)
    require((array >= 0) & (array <= np.pi), name, "in [0, pi] radians", value)
    return array


def vector(name: str, value: ArrayLike) -> FloatArray:
    """`value` as a finite vector that is not 0, shape (D,)."""
    array = finite(name, value)
    require(array.ndim == 1, name, "a vector of shape (D,)", f"an array of shape {array.shape}")
    require(np.any(array != 0), name, "a vector that is not 0", value)
    return array


def direction(name: str, value: ArrayLike, dim: int) -> FloatArray:
    """`value` scaled to length 1, shape (dim,)."""
    array = vector(name, value)
    require(array.shape == (dim,), name, f"a vector of shape ({dim},)", f"an array of shape {array.shape}")
    array = array / np.max(np.abs(array))  # so that the square neither overflows nor underflows
    return array / np.linalg.norm(array)


def variances_and_axes(name: str, value: ArrayLike, dim: int) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (D,) and eigenvectors (D, D) of a covariance given as one variance, (D,) variances or (D, D)."""
    array = finite(name, value)
    if array.ndim < 2:
        require(array.shape in ((), (dim,)), name, f"of shape (), ({dim},) or ({dim}, {dim})", array.shape)
        return np.broadcast_to(positive(name, array), (dim,)), np.eye(dim)
    require(array.shape == (dim, dim), name, f"of shape (), ({dim},) or ({dim}, {dim})", array.shape)
    symmetric = np.all(np.abs(array - array.T) <= 1e-12 * np.abs(array).max())  # up to rounding
    require(symmetric, name, "symmetric", value)
    variances, axes = np.linalg.eigh(array)
    require(variances > 0, name, "positive definite", f"eigenvalues down to {variances.min():.3g}")
    return variances, axes
