"""What a closed form says of a metric, the cell that it is asked about, and what forms of several tasks need."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from simcollapse import verifiers

ONE_SQUARE = np.sqrt(8.0)  # skewness of the square of a normal variable, the largest of a sum of such squares
LOG_SQUARE = 1.5352  # of its log: 14 zeta(3) / (pi^2/2)^1.5, the largest of a sum of logs of chi-squares
MOST_SPREAD = (
    0.25  # variance of the log of a fitted variance up to which its mean is not carried by rare chains
)
UNSEEN = 0.1  # chains that may freeze on average before a form that never freezes is not used


class Form(NamedTuple):
    """What theory says of a metric."""

    metric: str
    expected: np.ndarray  # (K + 1,), NaN where nothing is said
    source: str
    skewness: np.ndarray | float = (
        0.0  # (K + 1,) or one for all, of the metric over chains, not to be exceeded
    )
    range: float | None = None  # length of the interval that it lies in, used in place of the skewness


class Cell(NamedTuple):
    """One cell of a grid, every choice made."""

    task: Any
    verifier: Any
    workflow: Any
    n_real: int
    counts: np.ndarray  # (K,), samples of rounds 1..K
    fixed: str
    rejected: str
    chains: int

    @property
    def rounds(self) -> int:
        """K."""
        return len(self.counts)

    @property
    def sizes(self) -> dict[str, Any]:
        """As the functions of `theory` take them."""
        return {"n_real": self.n_real, "n_per_round": self.counts, "rounds": self.rounds}

    @property
    def verified(self) -> bool:
        """False where every row is accepted."""
        if isinstance(self.verifier, verifiers.KnowledgeBall):
            return not np.isinf(self.verifier.radius)
        return not isinstance(self.verifier, verifiers.NoVerifier)


class Unknown(Exception):
    """No exact form is known; says why. What was yielded before it holds."""


class Family(NamedTuple):
    """The forms of one kind of task."""

    forms: Callable[[Cell], Iterator[Form]]
    is_costly: Callable[[Cell], bool] = lambda cell: False  # whether they take quadratures


def nothing_known(cell: Cell) -> str:
    """Why there is no form, for `Unknown`."""
    words = (type(part).__name__ for part in (cell.task, cell.verifier, cell.workflow))
    return f"no exact form is known for {', '.join(words)}"


def mixed_skewness(spread: float) -> float:
    """Skewness of s^2 z^2 with z normal and log s^2 normal of variance `spread`, independent."""
    second, third = 3 * np.exp(spread), 15 * np.exp(3 * spread)
    return float((third - 3 * second + 2) / (second - 1) ** 1.5)
