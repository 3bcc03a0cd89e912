"""How many samples each round takes: constant, listed, or growing."""

import dataclasses
from typing import Any

import numpy as np

from simcollapse.checks import check_value, check_whole

LARGEST = 2**31 - 1  # counts are 32-bit integers


@dataclasses.dataclass(frozen=True)
class Growth:
    """Samples of round k: start + increment (k - 1), or start ratio^(k - 1), rounded; k = 1..K."""

    start: int
    increment: float = 0.0
    ratio: float = 1.0

    def counts(self, rounds: int) -> np.ndarray:
        later = np.arange(rounds)
        with np.errstate(over="ignore"):  # an overflow is reported by `resolve`
            return np.rint((self.start + self.increment * later) * self.ratio**later)


def linear_growth(start: int, increment: float) -> Growth:
    """`start` samples in round 1 and `increment` more in each later round."""
    check_value("increment", increment, "nonnegative")
    return Growth(start=check_whole("start", start, 1), increment=float(increment))


def geometric_growth(start: int, ratio: float) -> Growth:
    """`start` samples in round 1 and `ratio` times as many in each later round."""
    check_value("ratio", ratio, "positive")
    return Growth(start=check_whole("start", start, 1), ratio=float(ratio))


def resolve(n_per_round: Any, rounds: int) -> np.ndarray:
    """Samples of rounds 1..K, int64 of shape (K,).

    Args:
        n_per_round: a whole number >= 1, a sequence of K of them, or a `Growth`.
        rounds: K.

    Raises:
        ValueError: a count below 1 or above 2^31 - 1, or a sequence of another length.
        TypeError: something that is not a count.
    """
    if isinstance(n_per_round, Growth):
        counts = n_per_round.counts(rounds)
    elif np.ndim(n_per_round) == 1:
        if len(n_per_round) != rounds:
            raise ValueError(
                f"n_per_round must have one entry for each of {rounds} rounds, got {len(n_per_round)}"
            )
        counts = np.array([check_whole("n_per_round", v, 1) for v in n_per_round], dtype=float)
    else:
        counts = np.full(rounds, float(check_whole("n_per_round", n_per_round, 1)))
    if rounds and not (np.all(counts >= 1) and np.all(counts <= LARGEST)):
        raise ValueError(
            f"n_per_round must stay between 1 and {LARGEST}, got {counts.min():g} to {counts.max():g}"
        )
    return counts.astype(np.int64)


def plainest(n_per_round: Any) -> Any:
    """`n_per_round` itself, or the number that it holds for every round."""
    if isinstance(n_per_round, Growth):
        return n_per_round.start if (n_per_round.increment, n_per_round.ratio) == (0, 1) else n_per_round
    entries = np.unique(n_per_round) if np.ndim(n_per_round) == 1 else ()
    return entries[0] if len(entries) == 1 else n_per_round
