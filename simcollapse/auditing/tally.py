"""Rows as counts. Everything an audit needs is a sum over rows, so a file of any length is read once, in pieces."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.util import hash_array

from simcollapse.auditing.columns import Codes

_MOST = 1_000_000  # lines of partial sums before they are added up: bounds memory, costs little time


class Evidence(NamedTuple):
    """Sums over some rows, in cells [correct, kept] (0: no, 1: yes)."""

    n: np.ndarray  # (2, 2) rows
    w: np.ndarray  # (2, 2) sum of weights; n without weights
    w2: np.ndarray  # (2, 2) sum of squared weights
    clusters: np.ndarray | None = None  # (G, 2, 2) sums of weights in each cluster

    @property
    def simple(self) -> bool:
        """Whether every row counts alike and by itself."""
        return self.clusters is None and bool(np.all(self.w == self.n) and np.all(self.w2 == self.n))


class Tally:
    """Sums by cell and by the categories of `keys` ("group", "round", "cluster"), piece by piece.

    A line of its table holds the sums of all four cells, as columns n0 … n3: cells 2 correct + kept.
    """

    def __init__(self, keys: tuple[str, ...], *, weighted: bool = False):
        self.keys = list(keys)
        self._sums = ["n", "w", "w2"] if weighted else ["n"]
        self._parts: list[pd.DataFrame] = []
        self._lines, self._most = 0, _MOST

    def add(
        self, correct: np.ndarray, kept: np.ndarray, weight: np.ndarray | None, keys: dict[str, Codes]
    ) -> None:
        """Add rows, arrays of shape (N,); `keys` has the category of each row under every key."""
        columns: dict[str, Any] = {key: _column(key, keys[key]) for key in self.keys}
        cell = 2 * correct + kept
        values = {"n": np.ones(len(cell))}
        if weight is not None:
            values |= {"w": weight, "w2": weight**2}
        for name in self._sums:
            for number, column in enumerate(columns_of(name)):
                columns[column] = np.where(cell == number, values[name], 0.0)
        part = self._summed(pd.DataFrame(columns))
        for key in self.keys:
            if key != "cluster":
                part[key] = part[key].astype(object)
        self._parts.append(part)
        self._lines += len(part)
        if self._lines > self._most:
            self._merge()
            self._most = _MOST + 2 * self._lines

    def table(self) -> pd.DataFrame:
        """One line for each combination of keys that occurred: keys, and the sums of n and, with weights, w and w2."""
        self._merge()
        return self._parts[0]

    def _merge(self) -> None:
        self._parts = [self._summed(pd.concat(self._parts, ignore_index=True))]
        self._lines = len(self._parts[0])

    def _summed(self, frame: pd.DataFrame) -> pd.DataFrame:
        names = [column for name in self._sums for column in columns_of(name)]
        if not self.keys:
            return frame[names].sum().to_frame().T
        grouped: Any = frame.groupby(self.keys, observed=True, sort=False)
        return grouped[names].sum().reset_index()


def columns_of(name: str) -> list[str]:
    """The columns of a tally's table that hold a sum's four cells."""
    return [f"{name}{cell}" for cell in range(4)]


def _column(key: str, coded: Codes) -> Any:
    """A key of each row.

    Clusters, which may be millions and are never named again, by a 64-bit hash of their name: the chance that any
    two of a million share one is 3e-8.
    """
    if key != "cluster":
        return pd.Categorical.from_codes(*coded)
    hashed: Any = hash_array
    return hashed(np.array(coded.values, dtype=object), categorize=False)[coded.codes]


def evidence(table: pd.DataFrame) -> Evidence:
    """The sums of all lines of a tally's table; with a column "cluster", also by cluster."""
    weighted = "w0" in table

    def cells(name: str) -> np.ndarray:
        return table[columns_of(name if weighted else "n")].sum().to_numpy(dtype=float).reshape(2, 2)

    clusters = None
    if "cluster" in table:
        place, names = pd.factorize(table["cluster"].to_numpy())
        columns = columns_of("w" if weighted else "n")
        sums = [np.bincount(place, weights=table[c].to_numpy(), minlength=len(names)) for c in columns]
        clusters = np.stack(sums, axis=1).reshape(-1, 2, 2)
    return Evidence(cells("n"), cells("w"), cells("w2"), clusters)
