"""Moments and quantiles of numbers that arrive in pieces, entry by entry of an array."""

from collections.abc import Sequence

import numpy as np

QUANTILE_ERROR = 0.02  # relative: bins grow by (1 + e) / (1 - e), as in DDSketch (Masson et al. 2019)
_SMALLEST, _LARGEST = 1e-12, 1e12  # magnitudes outside are put into the outermost bins

_GROWTH = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
_BINS = int(np.ceil(np.log(_LARGEST / _SMALLEST) / np.log(_GROWTH)))
BINS = 2 * _BINS + 3  # of one entry's histogram

STREAM_BYTES = 8 * BINS  # at most

MOMENTS = ("count", "mean", "square")  # of a Stream


class Histogram:
    """How many numbers fell into each bin, entry by entry; kept of the bins from `low` to before `high` only."""

    def __init__(self, width: int):
        self.low, self.counts = 0, np.zeros((width, 0), dtype=np.int64)

    @property
    def high(self) -> int:
        """The bin after the last."""
        return self.low + self.counts.shape[1]

    def add(self, low: int, counts: np.ndarray) -> None:
        """Add `counts`, shape (W, …), of the bins from `low` on."""
        self._widen(low, low + counts.shape[1])
        self.counts[:, low - self.low : low - self.low + counts.shape[1]] += counts

    def count(self, entries: np.ndarray, bins: np.ndarray) -> None:
        """Count one number more in each of these bins of these entries."""
        if len(bins):
            self._widen(bins.min(), bins.max() + 1)
            np.add.at(self.counts, (entries, bins - self.low), 1)

    def _widen(self, low: int, high: int) -> None:
        if low == high or (self.low <= low and high <= self.high):
            return
        if self.counts.size:
            low, high = min(low, self.low), max(high, self.high)
        wider = np.zeros((len(self.counts), high - low), dtype=np.int64)
        wider[:, self.low - low : self.high - low] = self.counts
        self.low, self.counts = low, wider

    def bins_of(self, ranks: list[np.ndarray]) -> list[np.ndarray]:
        """The bin of each entry's number of each rank from below, from 0; anything where there is none."""
        if not self.counts.size:
            return [np.zeros(len(rank), dtype=np.int64) for rank in ranks]
        below = np.cumsum(self.counts, axis=1)
        return [self.low + (below > rank[:, None]).argmax(axis=1) for rank in ranks]


class Stream:
    """Count, mean, variance and a histogram of rows of shape (…) added along axis 0; NaN entries are left out."""

    def __init__(self, width: int):
        self.count, self.mean, self.square = np.zeros(width), np.zeros(width), np.zeros(width)
        self.histogram = Histogram(width)

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
        self.histogram.count(column[known], _bin(rows[known]))

    def merge(self, other: "Stream") -> None:
        """Add all that `other` has seen; the order of merging decides the last bits."""
        self._merge_moments(other.count, other.mean, other.square)
        self.histogram.add(other.histogram.low, other.histogram.counts)

    def _merge_moments(self, *other: np.ndarray) -> None:
        mine = self.count, self.mean, self.square
        self.count, self.mean, self.square = merged_moments(mine, other)

    def summary(self, quantiles: tuple[float, ...]) -> np.ndarray:
        """Mean, standard error, variance (divisor count - 1) and quantiles, shape (3 + Q, W)."""
        enough = self.count > 1
        variance = np.where(enough, self.square / np.maximum(self.count - 1, 1), np.nan)
        mean = np.where(self.count > 0, self.mean, np.nan)
        std_error = np.sqrt(variance / np.maximum(self.count, 1))
        ranks = [np.floor(q * np.maximum(self.count - 1, 0)) for q in quantiles]
        places = self.histogram.bins_of(ranks)
        rows = [np.where(self.count > 0, _value(place), np.nan) for place in places]
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
