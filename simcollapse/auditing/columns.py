"""Columns of labelled samples, whatever they came in, as checked arrays: yes or no, numbers, categories."""

import math
import numbers
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

BINARY = "0/1, true/false or yes/no"
_WORDS = {
    "1": True,
    "1.0": True,
    "true": True,
    "yes": True,
    "0": False,
    "0.0": False,
    "false": False,
    "no": False,
}
_MISSING = ("", "nan", "na", "null", "none", "<na>")


class BadValue(ValueError):
    """A value that is missing or not allowed, and its index."""

    def __init__(self, message: str, index: int):
        super().__init__(message)
        self.index = index


class Codes(NamedTuple):
    """A column of few distinct values: value i of the column is values[codes[i]], or missing where that is -1."""

    codes: np.ndarray  # (N,) whole numbers
    values: list[Any]


class Column(Protocol):
    """One column of some consecutive rows."""

    label: str  # what messages call it

    def __len__(self) -> int: ...
    def place(self, index: int) -> str: ...  # where that value stands, as "in row 3"
    def coded(self) -> Codes: ...
    def floats(self) -> np.ndarray: ...  # NaN where a value is missing or no number
    def value(self, index: int) -> Any: ...


class ArrayColumn:
    """A column that the caller gave as a sequence.

    Raises:
        TypeError: no sequence of values. ValueError: not one axis.
    """

    def __init__(self, name: str, values: Any):
        self.label = name
        if isinstance(values, (str, bytes, dict, set)) or np.ndim(values) == 0:
            raise TypeError(f"{name} must be a sequence with one value for each sample, got {values!r}")
        if np.ndim(values) != 1:
            raise ValueError(f"{name} must have one axis, got shape {np.shape(values)}")
        self._values = pd.Series(values).reset_index(drop=True)

    def __len__(self) -> int:
        return len(self._values)

    def place(self, index: int) -> str:
        """Where that value stands."""
        return f"at index {index}"

    def coded(self) -> Codes:
        """The distinct values, and which of them stands where."""
        codes, values = pd.factorize(self._values)
        return Codes(codes, list(values))

    def floats(self) -> np.ndarray:
        """As numbers."""
        numbers: Any = pd.to_numeric(self._values, errors="coerce")
        return numbers.to_numpy(dtype=float, na_value=np.nan)

    def value(self, index: int) -> Any:
        """The value as it came."""
        return self._values.iloc[index]


def binary(column: Column) -> np.ndarray:
    """The column as booleans.

    Raises:
        BadValue: a value that is none of `BINARY`, or none at all: the first such.
    """
    coded = column.coded()
    known = [_truth(value) for value in coded.values]
    table = np.array([-1 if truth is None else int(truth) for truth in known] + [-1], dtype=np.int8)
    found = table[coded.codes]  # a missing value's code -1 takes the last entry
    _refuse(column, found < 0, BINARY)
    return found.astype(bool)


def finite(column: Column, *, positive: bool = False) -> np.ndarray:
    """The column as finite numbers.

    Raises:
        BadValue: a value that is missing, no finite number or, if asked for, not positive.
    """
    found = column.floats()
    allowed = "a positive finite number" if positive else "a finite number"
    _refuse(column, ~(np.isfinite(found) & ((found > 0) | (not positive))), allowed)
    return found


def categories(column: Column) -> Codes:
    """The column as categories named by text; 3, 3.0 and "3" are one.

    Raises:
        BadValue: a missing value.
    """
    coded = column.coded()
    names = [_name(value) for value in coded.values]
    known, place = np.unique(np.array([*names, ""], dtype=object), return_inverse=True)
    codes = place[coded.codes]  # a missing value's code -1 takes the last entry, ""
    _refuse(column, codes == place[-1], "a name or a number")
    return Codes(codes, list(known))


def _truth(value: Any) -> bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Real):
        return bool(value) if value in (0, 1) else None
    return _WORDS.get(str(value).strip().lower())


def _name(value: Any) -> str:
    """Text for a category; "" for what means that there is no value."""
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        number = float(value)
        return "" if math.isnan(number) else f"{int(number)}" if number.is_integer() else f"{value}"
    word = str(value).strip()
    head, dot, tail = word.partition(".")
    if dot and tail and not tail.strip("0") and head.lstrip("-").isdigit():
        return head
    return "" if word.lower() in _MISSING else word


def _refuse(column: Column, bad: np.ndarray, allowed: str) -> None:
    if not bad.any():
        return
    index = int(bad.argmax())
    value = column.value(index)
    if value is None or str(value).strip().lower() in _MISSING:
        raise BadValue(f"{column.label} has no value {column.place(index)}; it must be {allowed}", index)
    shown = value.item() if isinstance(value, np.generic) else value
    raise BadValue(f"{column.label} must be {allowed}, got {shown!r} {column.place(index)}", index)
