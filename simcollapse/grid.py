"""The cells of a parameter grid: axes named by path, values put in their place and checked."""

import dataclasses
import inspect
import itertools
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from simcollapse import named, schedules, verifiers
from simcollapse.checks import as_float, check_fields, nearest


class Cell(NamedTuple):
    """One combination of the axes' values."""

    index: tuple[int, ...]
    choices: dict[str, Any]  # "task", "verifier", "workflow", "n_real", "n_per_round", …


def axes_of(choices: dict[str, Any], over: dict[str, Any]) -> dict[str, list]:
    """The values of each axis of the grid, checked to be there and to have a place.

    Args:
        choices: the unswept choices by name.
        over: values by path: a name of `choices` or a parameter below one, for example "verifier.radius".

    Raises:
        ValueError: an unknown path (the nearest known is named), an axis without values or with equal ones, or two
            axes of which one would overwrite the other.
        TypeError: `over` is not a mapping, or an axis is not a list of values.
    """
    if not isinstance(over, Mapping):
        raise TypeError(f"over must be a dict of values by path, got {over!r}")
    axes = {}
    for path, values in over.items():
        if not isinstance(path, str):
            raise TypeError(f"over must have paths such as 'verifier.radius' as keys, got {path!r}")
        scalar = isinstance(values, (str, bytes, Mapping)) or getattr(values, "shape", None) == ()
        if scalar or not isinstance(values, Iterable):
            raise TypeError(f"over[{path!r}] must be a list of values, got {values!r}")
        axes[path] = list(values)
        if not axes[path]:
            raise ValueError(f"over[{path!r}] must have at least one value, got none")
        _check_path(choices, path)
        _check_distinct(path, axes[path])
    for one, other in itertools.permutations(axes, 2):
        if other.startswith(one + "."):
            raise ValueError(f"over names both {one!r} and {other!r}, and one would overwrite the other")
    return axes


def cells(choices: dict[str, Any], axes: dict[str, list]) -> list[Cell]:
    """Every cell of the grid, last axis fastest.

    Args:
        choices: the unswept choices by name.
        axes: from `axes_of`.

    Raises:
        ValueError: a value that its field does not allow.
        TypeError: a value of the wrong kind.
    """
    out = []
    for index in itertools.product(*(range(len(v)) for v in axes.values())):
        made = dict(choices)
        for (path, values), i in zip(axes.items(), index, strict=True):
            head, *fields = path.split(".")
            made[head] = _put(made[head], fields, values[i], path)
        out.append(Cell(index=index, choices=made))
    return out


def coordinates(values: list) -> np.ndarray:
    """What labels an axis in the result: the numbers themselves, else distinct names, else positions."""
    if all(isinstance(v, (bool, str)) for v in values):
        return np.asarray([str(v) for v in values])
    if all(np.ndim(v) == 0 and not dataclasses.is_dataclass(v) and not callable(v) for v in values):
        return np.asarray([float(v) if isinstance(v, float) else v for v in values])
    names = [_name(v) for v in values]
    return (
        np.asarray(names) if len(set(names)) == len(names) and None not in names else np.arange(len(values))
    )


def _name(value) -> str | None:
    """What to call a value that is no number: itself, a function's name, a choice's class; None if nothing fits."""
    if isinstance(value, str):
        return value
    return type(value).__name__ if dataclasses.is_dataclass(value) else getattr(value, "__name__", None)


def _check_path(choices, path):
    head, *fields = path.split(".")
    if head not in choices:
        raise ValueError(
            f"over names an unknown path {path!r}; known are {sorted(choices)}{nearest(head, choices)}"
        )
    thing = choices[head]
    for field in fields:
        known = (
            [f.name for f in dataclasses.fields(thing) if _open(f)] if dataclasses.is_dataclass(thing) else []
        )
        if field not in known:
            raise ValueError(f"over names an unknown path {path!r}; known are {known}{nearest(field, known)}")
        thing = getattr(thing, field)


def _check_distinct(path: str, values: list) -> None:
    """Raise ValueError where two values of an axis are equal: their cells could not be told apart by it."""
    first: dict[Any, int] = {}
    for i, value in enumerate(values):
        before = first.setdefault(_identity(_plainest(path, value)), i)
        if before != i:
            raise ValueError(
                f"over[{path!r}] must have values that differ, got {named.repr_short(value)} at {before} and at {i}; "
                "for more chains of a cell raise chains"
            )


def _plainest(path: str, value: Any) -> Any:
    """Of the ways to write `value` one: a choice for its name, a number of samples for as many in every round."""
    if path == "workflow":
        return named.as_workflow(value)
    if path == "verifier" and isinstance(value, str):
        return named.as_verifier(value, None)
    if path == "verifier" and inspect.isfunction(value):
        return verifiers.from_function(value)
    if path == "n_per_round":
        return schedules.plainest(value)
    return value


def _identity(value: Any) -> Any:
    """Equal for equal values: numbers by value, choices by kind and numbers, others as Python compares them."""
    leaves, structure = jax.tree.flatten(value, is_leaf=lambda x: isinstance(x, (list, tuple)))
    return structure, tuple(_leaf_identity(leaf) for leaf in leaves)


def _leaf_identity(leaf: Any) -> Any:
    try:
        array = np.asarray(leaf, dtype=float) + 0.0  # no -0
    except (TypeError, ValueError):
        return leaf if isinstance(leaf, Hashable) else id(leaf)
    return array.shape, array.tobytes()


def _open(field) -> bool:
    """Whether a field may be swept; others follow from each other and would contradict a new value."""
    return any(name in field.metadata for name in ("allowed", "kind", "choice"))


def _put(thing, fields, value, path):
    """`thing` with the field at the end of `fields` set to `value`."""
    if not fields:
        return value
    old = getattr(thing, fields[0])
    if len(fields) > 1:
        new = _put(old, fields[1:], value, path)
    else:
        new = _like(old, value, {f.name: f for f in dataclasses.fields(thing)}[fields[0]], path)
    return check_fields(
        dataclasses.replace(thing, **{fields[0]: new}), ".".join(path.split(".")[: -len(fields)])
    )


def _like(old, value, field, path):
    """`value` in the form that the field holds: an array for a declared parameter, else as it is."""
    if "allowed" not in field.metadata:
        return value
    try:
        new = as_float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{path} must be a number or an array of numbers, got {value!r}") from None
    if old is not None and new.shape != old.shape:
        raise ValueError(f"{path} must have shape {old.shape}, got {new.shape}")
    return new
