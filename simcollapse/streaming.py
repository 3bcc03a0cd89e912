"""Moments and quantiles of numbers that arrive in pieces, entry by entry of an array."""

from collections.abc import Sequence

import numpy as np

QUANTILE_ERROR = 0.02  # relative: bins grow by (1 + e) / (1 - e), as in DDSketch (Masson et al. 2019)
_SMALLEST, _LARGEST = 1e-12, 1e12  # magnitudes outside are put into the outermost bins

_GROWTH = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
_BINS = int(np.ceil(np.log(_LARGEST / _SMALLEST) / np.log(_GROWTH)))
BINS = 2 * _BINS + 3  # of one entry's histogram

STREAM_BYTES = 8 * BINS


FIELDS = ("count", "mean", "square", "histogram")  # of a Stream


class Stream:
    """Count, mean, variance and a histogram of rows of shape (…) added along axis 0; NaN entries are left out."""

    def __init__(self, width: int):
        self.count, self.mean, self.square = np.zeros(width), np.zeros(width), np.zeros(width)
        self.histogram = np.zeros((width, BINS), dtype=np.int64)

    def add(self, rows: np.ndarray) -> None:
        """Add `rows`, shape (B, …) with W entries each."""
        rows = rows.reshape(len(rows), -1)
        known = ~np.isnan(rows)
        count = known.sum(axis=0)
        values = np.where(known, rows, 0)
        mean = values.sum(axis=0) / np.maximum(count, 1)
        square = (np.where(known, rows - mean, 0) ** 2).sum(axis=0)
        self._merge_moments(count, mean, square)
        column = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
        np.add.at(self.histogram, (column[known], _bin(rows[known])), 1)

    def merge(self, other: "Stream") -> None:
        """Add all that `other` has seen; the order of merging decides the last bits."""
        self._merge_moments(other.count, other.mean, other.square)
        self.histogram += other.histogram

    def _merge_moments(self, *other: np.ndarray) -> None:
        mine = self.count, self.mean, self.square
        self.count, self.mean, self.square = merged_moments(mine, other)

    def summary(self, quantiles: tuple[float, ...]) -> np.ndarray:
        """Mean, standard error, variance (divisor count - 1) and quantiles, shape (3 + Q, W)."""
        enough = self.count > 1
        variance = np.where(enough, self.square / np.maximum(self.count - 1, 1), np.nan)
        mean = np.where(self.count > 0, self.mean, np.nan)
        std_error = np.sqrt(variance / np.maximum(self.count, 1))
        below = np.cumsum(self.histogram, axis=1)
        rows = []
        for q in quantiles:
            rank = np.floor(q * np.maximum(self.count - 1, 0))
            place = (below > rank[:, None]).argmax(axis=1)
            rows.append(np.where(self.count > 0, _value(place), np.nan))
        return np.stack([mean, std_error, variance, *rows])


def merged_moments(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Count, mean and sum of squares about the mean of two sets of numbers together, from those of each.

    Source: Chan, Golub and LeVeque 1979, the pairwise update.
    """
    (count, mean, square), (more, other_mean, other_square) = one, other
    total, delta = count + more, other_mean - mean
    share = more / np.maximum(total, 1)
    return total, mean + delta * share, square + other_square + delta**2 * count * share


def _bin(values):
    """Bin of each value: 0 … negative, _BINS + 1 zero, then positive ones by growing magnitude."""
    magnitude = np.clip(np.abs(values), _SMALLEST, _LARGEST)
    step = np.ceil(np.log(magnitude / _SMALLEST) / np.log(_GROWTH)).astype(np.int64)
    return np.where(values == 0, _BINS + 1, _BINS + 1 + np.sign(values).astype(np.int64) * (step + 1))


def _value(place):
    """A value within QUANTILE_ERROR of everything in the bin."""
    step = np.abs(place - (_BINS + 1)) - 1
    value = _SMALLEST * _GROWTH**step * 2 / (1 + _GROWTH)
    value = np.where(step >= _BINS, np.inf, value)  # beyond the range: not a number to trust
    return np.where(place == _BINS + 1, 0.0, np.sign(place - (_BINS + 1)) * value)
