"""Rows of the loop, which are texts: a prompt, then its completion, padded on the right with 0."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simcollapse.neural.language import encoding

Tree = Any
FIELDS = ("tokens", "begin", "length")  # what a fit reads


def rows_of(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    width: int,
    source: np.ndarray | None = None,
) -> Tree:
    """Rows `tokens` (N, width), `begin`, `length` and `source`, all int32.

    Args:
        prompts, completions: tokens; of both together at most `width`.
        width: T, the same for all rows of a run, so that they can be pooled.
        source: (N,), the prompt's place among those of the task; None: 0, 1, …
    """
    made = encoding.rows_of(prompts, completions, width)
    source = np.arange(len(prompts)) if source is None else source
    return made | {"source": np.asarray(source, np.int32)}


def prompts_of(rows: Tree) -> list[list[int]]:
    """Tokens of each prompt."""
    return [row[:b].tolist() for row, b in zip(rows["tokens"], rows["begin"], strict=True)]


def completions_of(rows: Tree) -> list[list[int]]:
    """Tokens of each completion, with the one that ended it."""
    ends = zip(rows["tokens"], rows["begin"], rows["length"], strict=True)
    return [row[b:n].tolist() for row, b, n in ends]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Tokens to texts: how to decode, and which tokens are no text."""

    decode: Callable[[Sequence[Sequence[int]]], list[str]]
    marks: frozenset[int]  # those that begin or end a text

    def prompts(self, rows: Tree) -> list[str]:
        """(N,)."""
        return self.texts(prompts_of(rows))

    def answers(self, rows: Tree) -> list[str]:
        """(N,)."""
        return self.texts(completions_of(rows))

    def texts(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Of each list of tokens."""
        return self.decode([[t for t in row if t not in self.marks] for row in tokens])
