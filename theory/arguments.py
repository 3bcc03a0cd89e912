"""Checks of arguments at the boundary: each returns the checked value or raises.

`ValueError` names the argument, the allowed range and what came; `TypeError` is raised for things
that are not numbers. Conditions are written so that NaN fails too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def real(name: str, value: ArrayLike) -> FloatArray:
    """`value` as a float64 array, not yet checked for its range."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a real number or an array of them, got {value!r}") from error


def require(condition: ArrayLike, name: str, allowed: str, value: object) -> None:
    """Nothing; raises the `ValueError` of this package where a condition fails."""
    if not np.all(condition):
        raise ValueError(f"{name} must be {allowed}, got {value}")


def finite(name: str, value: ArrayLike) -> FloatArray:
    """`value` as an array of finite numbers."""
    array = real(name, value)
    require(np.isfinite(array), name, "finite", value)
    return array


def positive(name: str, value: ArrayLike, *, infinite: bool = False) -> FloatArray:
    """`value` as an array of numbers > 0, finite unless `infinite` allows inf."""
    array = real(name, value)
    allowed = "> 0 (inf allowed)" if infinite else "> 0 and finite"
    require((array > 0) & (infinite | np.isfinite(array)), name, allowed, value)
    return array


def nonnegative(name: str, value: ArrayLike, *, infinite: bool = False) -> FloatArray:
    """`value` as an array of numbers >= 0, finite unless `infinite` allows inf."""
    array = real(name, value)
    allowed = ">= 0 (inf allowed)" if infinite else ">= 0 and finite"
    require((array >= 0) & (infinite | np.isfinite(array)), name, allowed, value)
    return array


def scalar(name: str, array: FloatArray) -> float:
    """The one number in a checked array without axes."""
    require(array.ndim == 0, name, "one number", f"an array of shape {array.shape}")
    return float(array)


def positive_scalar(name: str, value: ArrayLike, *, infinite: bool = False) -> float:
    """`value` as one number > 0."""
    return scalar(name, positive(name, value, infinite=infinite))


def nonnegative_scalar(name: str, value: ArrayLike, *, infinite: bool = False) -> float:
    """`value` as one number >= 0."""
    return scalar(name, nonnegative(name, value, infinite=infinite))


def whole(name: str, value: ArrayLike, *, least: int = 0) -> int:
    """`value` as one integer >= `least`."""
    number = scalar(name, real(name, value))
    require(
        number >= least and number == np.floor(number) and np.isfinite(number),
        name,
        f"an integer >= {least}",
        value,
    )
    return int(number)


def counts(name: str, value: ArrayLike, rounds: int, *, integer: bool = False) -> FloatArray:
    """Rows of rounds 1..K, shape (K,), from one number or a sequence of K; each > 0, inf allowed."""
    array = positive(name, value, infinite=True)
    if integer:
        whole_number = np.isinf(array) | (array == np.floor(array))
        require(whole_number, name, "an integer >= 1, or inf", value)
    fits = array.ndim == 0 or array.shape == (rounds,)
    require(fits, name, f"one number or one for each of {rounds} rounds", f"an array of shape {array.shape}")
    return np.broadcast_to(array, (rounds,))


def bias_norm(value: ArrayLike, dim: int) -> float:
    """Euclidean norm of the verifier's bias, given as that norm (>= 0) or as the vector, shape (D,)."""
    array = finite("verifier_bias", value)
    if array.ndim == 0:
        return nonnegative_scalar("verifier_bias", array)
    shape = f"an array of shape {array.shape}"
    require(array.shape == (dim,), "verifier_bias", f"a norm >= 0 or a vector of shape ({dim},)", shape)
    return float(np.linalg.norm(array))


def choice(name: str, value: str, options: Sequence[str]) -> str:
    """`value`, one of the named options."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return value
