"""The cells of a parameter grid: axes named by path, values put in their place and checked."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import numpy as np

from simcollapse.checks import as_float, check_fields, nearest


class Cell(NamedTuple):
    """One combination of the axes' values."""

    index: tuple[int, ...]
    choices: dict[str, Any]  # "task", "verifier", "workflow", "n_real", "n_per_round", …


def cells(choices: dict[str, Any], over: dict[str, Any]) -> list[Cell]:
    """Every cell of the grid, last axis fastest.

    Args:
        choices: the unswept choices by name.
        over: values by path: a name of `choices` or a field below one, for example "verifier.radius".

    Raises:
        ValueError: an unknown path (the nearest known is named), an axis without values, or a value that its
            field does not allow.
    """
    axes = {path: list(values) for path, values in over.items()}
    for path, values in axes.items():
        if not values:
            raise ValueError(f"over[{path!r}] must have at least one value, got none")
        _check_path(choices, path)
    for one, other in itertools.permutations(axes, 2):
        if other.startswith(one + "."):
            raise ValueError(f"over names both {one!r} and {other!r}, and one would overwrite the other")
    out = []
    for index in itertools.product(*(range(len(v)) for v in axes.values())):
        made = dict(choices)
        for (path, values), i in zip(axes.items(), index, strict=True):
            head, *fields = path.split(".")
            made[head] = _put(made[head], fields, values[i], path)
        out.append(Cell(index=index, choices=made))
    return out


def coordinates(values: list) -> np.ndarray:
    """What labels an axis in the result: the numbers themselves, else names, else positions."""
    if all(isinstance(v, (bool, str)) for v in values):
        return np.asarray([str(v) for v in values])
    if all(np.ndim(v) == 0 and not dataclasses.is_dataclass(v) and not callable(v) for v in values):
        return np.asarray([float(v) if isinstance(v, float) else v for v in values])
    names = [type(v).__name__ for v in values]
    if all(dataclasses.is_dataclass(v) for v in values) and len(set(names)) == len(names):
        return np.asarray(names)
    return np.arange(len(values))


def _check_path(choices, path):
    head, *fields = path.split(".")
    if head not in choices:
        raise ValueError(
            f"over names an unknown path {path!r}; known are {sorted(choices)}{nearest(head, choices)}"
        )
    thing = choices[head]
    for field in fields:
        known = [f.name for f in dataclasses.fields(thing)] if dataclasses.is_dataclass(thing) else []
        if field not in known:
            raise ValueError(f"over names an unknown path {path!r}; known are {known}{nearest(field, known)}")
        thing = getattr(thing, field)


def _put(thing, fields, value, path):
    """`thing` with the field at the end of `fields` set to `value`."""
    if not fields:
        return value
    old = getattr(thing, fields[0])
    if len(fields) > 1:
        new = _put(old, fields[1:], value, path)
    else:
        new = _like(old, value, {f.name: f for f in dataclasses.fields(thing)}[fields[0]], path)
    return check_fields(dataclasses.replace(thing, **{fields[0]: new}), path.split(".")[0])


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
