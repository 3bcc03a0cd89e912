"""Which generated rows are kept, given the verifier's scores."""

import dataclasses
from typing import Protocol

import numpy as np

from simcollapse.checks import check_value


class Selection(Protocol):
    """From scores to a mask."""

    def keep(self, scores: np.ndarray, groups: np.ndarray) -> np.ndarray: ...  # (N,) bool
    def check(self, counts: np.ndarray) -> None: ...  # ValueError where rows of each group are too few


@dataclasses.dataclass(frozen=True)
class TopShare:
    """Of every group the share with the highest scores, exactly round(share N) of its N rows whatever the ties."""

    share: float

    def keep(self, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Mask of the rows kept, (N,); among equal scores the earlier row is kept."""
        order = np.lexsort((np.arange(len(scores)), -scores, groups))
        sizes = np.unique(groups, return_counts=True)[1]
        place = np.arange(len(scores)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept = np.empty(len(scores), dtype=bool)
        kept[order] = place < np.repeat(self._quota(sizes), sizes)
        return kept

    def check(self, counts: np.ndarray) -> None:
        """Raise ValueError where a group of `counts` rows keeps none."""
        empty = np.flatnonzero(self._quota(counts) < 1)
        if len(empty):
            raise ValueError(
                f"share must leave at least one row of every class: {self.share:g} of {counts[empty[0]]} rows is none"
            )

    def _quota(self, sizes: np.ndarray) -> np.ndarray:
        return np.rint(self.share * np.asarray(sizes)).astype(int)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Every row whose score is at least `least`; there may be none."""

    least: float

    def keep(self, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Mask of the rows kept, (N,)."""
        return scores >= self.least

    def check(self, counts: np.ndarray) -> None:
        """Nothing to check: a round that keeps nothing is recorded."""


@dataclasses.dataclass(frozen=True)
class Everything:
    """Every row."""

    def keep(self, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """All true, (N,)."""
        return np.ones(len(groups), dtype=bool)

    def check(self, counts: np.ndarray) -> None:
        """Nothing to check."""


def top_share(share: float) -> TopShare:
    """The selection that keeps the best `share` of every group, in (0, 1]."""
    check_value("share", share, "share")
    return TopShare(float(share))


def threshold(least: float) -> Threshold:
    """The selection that keeps scores of at least `least`."""
    check_value("least", least, "limit")
    return Threshold(float(least))
