"""Which answers are correct, for the audit: what a parser says, or ROUGE-1 above a level."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from simcollapse.checks import check_value
from simcollapse.neural.language import grammar, metrics


class Truth(Protocol):
    """Says which answers are correct."""

    def correct(
        self, prompts: Sequence[str], answers: Sequence[str], references: Sequence[str]
    ) -> np.ndarray: ...  # (N,) bool


@dataclasses.dataclass(frozen=True)
class Parsed:
    """Correct is what makes its prompt a sentence of the made language: exact."""

    def correct(
        self, prompts: Sequence[str], answers: Sequence[str], references: Sequence[str]
    ) -> np.ndarray:
        """(N,) bool."""
        return np.array([grammar.correct(p + a) for p, a in zip(prompts, answers, strict=True)], bool)


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Correct is what has a ROUGE-1 above 0, and of at least `least`, against its reference: a proxy."""

    least: float

    def reached(self, rouge1: np.ndarray) -> np.ndarray:
        """Which of these values count, (N,) bool. An answer without a word of its reference never does."""
        return (rouge1 >= self.least) & (rouge1 > 0)

    def correct(
        self, prompts: Sequence[str], answers: Sequence[str], references: Sequence[str]
    ) -> np.ndarray:
        """(N,) bool."""
        return self.reached(metrics.rouge_1(references, answers))


def overlap(references: Sequence[str], answers: Sequence[str], quantile: float) -> Overlap:
    """The proxy whose level is this quantile of what these answers reach.

    So a share 1 - quantile of them is correct, less where so many have no word of their reference: with the first
    generator's answers, p begins at `quantile` or above.

    Raises:
        ValueError: a quantile outside [0, 1], or no answer.
    """
    check_value("quantile", quantile, "unit")
    if not len(answers):
        raise ValueError("answers must be one or more, got none")
    # Of a value that is reached, so that ties do not change what is asked for.
    return Overlap(float(np.quantile(metrics.rouge_1(references, answers), quantile, method="higher")))
