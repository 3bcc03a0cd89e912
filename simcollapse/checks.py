"""Checks of input at the boundary. Every message names the argument, what is allowed and what came."""

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np


def parameter(allowed: str, default: Any = dataclasses.MISSING, doc: str = "") -> Any:
    """A dataclass field whose value `check_fields` tests; `allowed` is a key of the table `_ALLOWED` below."""
    return dataclasses.field(default=default, metadata={"allowed": allowed, "doc": doc})


def option(kind: str, doc: str = "", known: tuple[str, ...] = ()) -> Any:
    """A dataclass field that is fixed before compiling; `kind` (a key of the table below) says what it may be.

    A field of kind "word" is one of `known`.
    """
    return dataclasses.field(metadata={"static": True, "kind": kind, "doc": doc, "known": known})


def choice(doc: str = "") -> Any:
    """A dataclass field that holds a choice with fields of its own, such as a generator; a sweep may set either."""
    return dataclasses.field(metadata={"choice": True, "doc": doc})


_KINDS = {
    "flag": (lambda v: isinstance(v, (bool, np.bool_)), "True or False"),
    "count": (
        lambda v: isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 1,
        "a whole number >= 1",
    ),
    "count or none": (
        lambda v: v is None or (isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 1),
        "a whole number >= 1, or None",
    ),
    "word": (lambda v: isinstance(v, str), "a word"),
}

_ALLOWED = {
    "finite": (lambda v: np.isfinite(v), "finite"),
    "limit": (lambda v: ~np.isnan(v), "a number (inf allowed)"),
    "positive": (lambda v: np.isfinite(v) & (v > 0), "positive and finite"),
    "nonnegative": (lambda v: np.isfinite(v) & (v >= 0), ">= 0 and finite"),
    "radius": (lambda v: v > 0, "positive (inf accepts everything)"),
    "slack": (lambda v: v >= 0, ">= 0"),
    "penalty": (lambda v: v >= 0, ">= 0 (inf allowed)"),
    "unit": (lambda v: (v >= 0) & (v <= 1), "in [0, 1]"),
    "share": (lambda v: (v > 0) & (v <= 1), "in (0, 1]"),
    "cosine": (lambda v: (v >= -1) & (v <= 1), "in [-1, 1]"),
    # pi rounded to single precision is a little more than pi
    "angle": (lambda v: (v >= 0) & (v <= math.pi * (1 + 1e-7)), "in [0, pi] radians"),
    "count": (lambda v: (v >= 1) & (np.mod(v, 1) == 0), "a whole number >= 1"),
}


def check_value(name: str, value: Any, allowed: str) -> None:
    """Raise unless every entry of `value` is a number that `allowed` (a key of the table above) admits.

    Raises:
        TypeError: `value` is not numeric.
        ValueError: an entry is outside what is allowed (NaN always is).
    """
    array = numbers(name, value)
    test, words = _ALLOWED[allowed]
    good = test(array)
    if not np.all(good):
        where = "" if array.ndim == 0 else f" at index {tuple(int(i) for i in np.argwhere(~good)[0])}"
        bad = array if array.ndim == 0 else array[tuple(np.argwhere(~good)[0])]
        raise ValueError(f"{name} must be {words}, got {bad}{where}")


def check_fields(thing: Any, name: str) -> Any:
    """`thing` itself, after every field declared with `parameter` or `option` was tested. `name` leads the messages."""
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if "kind" in field.metadata:
            test, words = _KINDS[field.metadata["kind"]]
            if not test(value):
                raise TypeError(f"{name}.{field.name} must be {words}, got {value!r}")
            if field.metadata["known"]:
                check_choice(f"{name}.{field.name}", value, field.metadata["known"])
        elif value is None:
            continue
        elif "allowed" in field.metadata:
            check_value(f"{name}.{field.name}", value, field.metadata["allowed"])
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            check_fields(value, f"{name}.{field.name}")
    return thing


def check_shape(name: str, value: Any, shape: tuple) -> None:
    """Raise ValueError unless `value` has `shape`; None in `shape` stands for any length.

    Raises:
        TypeError: rows that differ in length, which have no shape.
    """
    try:
        came = np.shape(value)
    except ValueError:
        came = numbers(name, value).shape  # says what is wrong
    if len(came) != len(shape) or any(w is not None and w != c for w, c in zip(shape, came, strict=True)):
        wanted = (
            "("
            + ", ".join("any" if w is None else str(w) for w in shape)
            + ("," if len(shape) == 1 else "")
            + ")"
        )
        raise ValueError(f"{name} must have shape {wanted}, got {came}")


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as int; raise unless it is a whole number >= `least` (and <= `most`)."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer, float, np.floating)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if not math.isfinite(value) or value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be <= {most}, got {value}")
    return int(value)


def check_most(name: str, samples: Any, task: Any) -> None:
    """Raise ValueError unless every number of samples is one that `task` can draw in a round."""
    if np.max(samples) > task.most_samples:
        raise ValueError(
            f"{name} must be <= {task.most_samples} for this task (rows are counted in 32 bits), got {np.max(samples)}"
        )


def check_rounds(
    task: Any, n_real: int, n_per_round: Any, alone: bool, rows: int | None, least: int, to: str
) -> None:
    """Raise ValueError unless `task` can draw every round, and fit it, which takes `least` samples.

    `to` says what they are needed for, such as "fit a covariance". Of the fits, those that see one round's samples are
    checked: round 0's, the later ones where they see no more (`alone`), or the `rows` that a workflow draws.
    """
    sizes = [("n_real", n_real)] + [("n_per_round", int(n)) for n in np.unique(n_per_round)]
    for name, size in sizes if alone and rows is None else sizes[:1]:
        if size < least:
            raise ValueError(f"{name} must be >= {least} to {to}, got {size}")
    least_rows = least * task.rows_per_sample
    if rows is not None and rows < least_rows:
        raise ValueError(f"workflow.size must be >= {least_rows} rows to {to}, got {rows}")
    for name, size in sizes:
        check_most(name, size, task)


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError, naming the nearest known word, unless `value` is one of `known`."""
    known = list(known)
    if value not in known:
        raise ValueError(f"{name} must be one of {known}, got {value!r}{nearest(str(value), known)}")


def check_keys(place: str, given: Iterable[str], known: Iterable[str], needed: Iterable[str]) -> None:
    """Raise unless the table at `place`, which has the keys `given`, has none but `known` ones and all `needed` ones.

    Raises:
        ValueError: an unknown key; the nearest known is named.
        TypeError: a missing key.
    """
    given, known = list(given), list(known)
    for key in given:
        if key not in known:
            raise ValueError(
                f"{place} has an unknown key {key!r}; known are {known}{nearest(str(key), known)}"
            )
    missing = [name for name in needed if name not in given]
    if missing:
        raise TypeError(f"{place} lacks {', '.join(missing)}")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as ". Did you mean 'radius'?", or nothing when no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f". Did you mean {close[0]!r}?" if close else ""


def numbers(name: str, value: Any) -> np.ndarray:
    """`value` as an array of float64.

    Raises:
        TypeError: `value` is not numeric, or its rows differ in length.
    """
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        words = reprlib.repr(value)
        raise TypeError(f"{name} must be a number or an array of numbers, got {words}") from None


def as_numbers(name: str, value: Any) -> jnp.ndarray:
    """`value` as an array of JAX's default float type.

    Raises:
        TypeError: `value` is not numeric, or its rows differ in length.
    """
    return as_float(numbers(name, value))


def as_float(value: Any) -> jnp.ndarray:
    """`value` as an array of JAX's default float type."""
    return jnp.asarray(value, dtype=float)
