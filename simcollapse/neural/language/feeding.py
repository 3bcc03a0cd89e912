"""Which rows a training step sees, and as which arrays.

Rows are a dict of arrays of one length N: `tokens` (N, T), a prompt and its completion, padded on the right with 0;
`begin` (N,), the place of the first token of the completion; `length` (N,), tokens in all.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from simcollapse.checks import check_shape
from simcollapse.neural.language import padding
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.tuning import Tuning

Tree = Any
Bin = list[int]  # rows, one after the other
OPEN = 64  # bins that a row may still go into


def check_rows(rows: Tree, vocabulary: int, context: int) -> None:
    """Raise ValueError unless these are rows that a model with such a vocabulary and context can be fitted to."""
    missing = [name for name in ("tokens", "begin", "length") if name not in rows]
    if missing:
        raise ValueError(f"rows must have tokens, begin and length; {', '.join(missing)} missing")
    tokens, begin, length = (np.asarray(rows[name]) for name in ("tokens", "begin", "length"))
    check_shape("rows.tokens", tokens, (None, None))
    if not len(tokens):
        raise ValueError("rows must be one or more, got none")
    for name, value in (("begin", begin), ("length", length)):
        check_shape(f"rows.{name}", value, (len(tokens),))
    if length.max() > min(tokens.shape[1], context) or begin.min() < 0 or np.any(begin > length):
        raise ValueError(
            f"rows must have 0 <= begin <= length <= {min(tokens.shape[1], context)}, the width of tokens or the "
            f"model's context; got lengths up to {length.max()} and begin from {begin.min()}"
        )
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ValueError(
            f"rows.tokens must be from 0 to {vocabulary - 1}, got {tokens.min()} to {tokens.max()}"
        )


def first_scored(rows: Tree, loss_on: str) -> np.ndarray:
    """Place of the first token of each row whose loss counts, (N,); nothing tells the first of a text."""
    begin = rows["begin"] if loss_on == "completion" else 0 * rows["begin"]
    return np.maximum(begin, 1)


def passes(random: np.random.Generator, length: np.ndarray, room: int | None) -> Iterator[list[Bin]]:
    """For ever, each pass over the rows in another order: as bins of one row, or of up to `room` tokens."""
    while True:
        order = random.permutation(len(length))
        yield [[int(row)] for row in order] if room is None else packed(order, length, room)


def packed(order: np.ndarray, length: np.ndarray, room: int) -> list[Bin]:
    """Rows in bins of up to `room` tokens: each in turn goes into the first bin with room left."""
    bins: list[Bin] = []
    left: list[int] = []
    for row in order.tolist():
        need = int(length[row])
        start = max(0, len(bins) - OPEN)
        found = next((i for i in range(start, len(bins)) if left[i] >= need), None)
        if found is None:
            bins.append([row])
            left.append(room - need)
        else:
            bins[found].append(row)
            left[found] -= need
    return bins


def planned(
    random: np.random.Generator,
    length: np.ndarray,
    *,
    room: int | None = None,
    epochs: int | None = None,
    bins: int | None = None,
) -> list[Bin]:
    """The bins of a fit, in order: those of `epochs` passes, or so many bins; see `passes`."""
    source = passes(random, length, room)
    if epochs is not None:
        return [held for one in itertools.islice(source, epochs) for held in one]
    return list(itertools.islice(itertools.chain.from_iterable(source), bins))


def batch_of(
    bins: Sequence[Bin], size: int, rows: Tree, first: np.ndarray, width: int, most: int, pack: bool
) -> dict[str, np.ndarray]:
    """Arrays of a batch of `size` bins, those that lack filled with nothing.

    `tokens` (B, T); `scored` (B, M), the places before the tokens whose loss counts, `target`, these tokens, and
    `weight`, 1 for each and 0 for filling; with `pack` also `document` and `place` (B, T).

    Args:
        bins: rows of each.
        size: B.
        rows: see the module.
        first: see `first_scored`.
        width: T.
        most: M.
        pack: whether a bin may hold several rows.
    """
    tokens = np.zeros((size, width), np.int32)
    scored, target = np.zeros((size, most), np.int32), np.zeros((size, most), np.int32)
    weight = np.zeros((size, most), np.float32)
    document, place = np.full((size, width), -1, np.int32), np.zeros((size, width), np.int32)
    for b, held in enumerate(bins):
        at = told = 0
        for number, row in enumerate(held):
            length, begin = int(rows["length"][row]), int(first[row])
            text = rows["tokens"][row, :length]
            tokens[b, at : at + length] = text
            document[b, at : at + length], place[b, at : at + length] = number, np.arange(length)
            new = max(length - begin, 0)
            scored[b, told : told + new] = at + np.arange(begin - 1, begin - 1 + new)
            target[b, told : told + new] = text[begin:]
            weight[b, told : told + new] = 1.0
            at, told = at + length, told + new
    out = {"tokens": tokens, "scored": scored, "target": target, "weight": weight}
    return out | ({"document": document, "place": place} if pack else {})


class Feed:
    """The batches of a fit, planned from its key alone. Without a key: each row once, similar lengths together."""

    def __init__(self, config: Config, settings: Tuning, rows: Tree, key: jax.Array | None):
        check_rows(rows, config.vocabulary, config.length)
        self._rows = {name: np.asarray(rows[name]) for name in ("tokens", "begin", "length")}
        self._settings, self._longest = settings, config.length
        length, self._first = self._rows["length"], first_scored(self._rows, settings.loss_on)
        self._counts = np.maximum(length - self._first, 0)
        if not self._counts.any():
            raise ValueError(
                f"rows must have a token whose loss counts (loss_on {settings.loss_on!r}), got none"
            )
        self._room = self._rows["tokens"].shape[1] if settings.packing and key is not None else None
        if key is None:
            self._bins = [[int(row)] for row in np.argsort(length, kind="stable")]
        else:
            random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
            self._bins = _bins(random, length, self._room, settings)
        self._most = max(int(self._counts[held].sum()) for held in self._bins)
        self.steps = -(-len(self._bins) // (settings.batch * settings.accumulation))
        self.tokens = int(sum(length[held].sum() for held in self._bins))

    def _held(self, step: int) -> list[Bin]:
        size = self._settings.batch * self._settings.accumulation
        return self._bins[step * size : (step + 1) * size]

    def scored(self, step: int) -> int:
        """Tokens of a step whose loss counts."""
        return max(1, int(sum(self._counts[held].sum() for held in self._held(step))))

    def batches(self, step: int) -> list[dict[str, np.ndarray]]:
        """Arrays of each batch of a step."""
        bins, size = self._held(step), self._settings.batch
        return [self._arrays(bins[at : at + size]) for at in range(0, len(bins), size)]

    def _arrays(self, bins):
        width = self._room
        if width is None:
            width = padding.bucket(max(int(self._rows["length"][held].sum()) for held in bins), self._longest)
        most = min(padding.bucket(self._most), width)
        return batch_of(
            bins, self._settings.batch, self._rows, self._first, width, most, self._room is not None
        )


def _bins(random, length, room, settings: Tuning) -> list[Bin]:
    most = None
    if settings.max_steps is not None:
        most = settings.max_steps * settings.batch * settings.accumulation
    if settings.epochs is None:
        return planned(random, length, room=room, bins=most)
    return planned(random, length, room=room, epochs=settings.epochs)[:most]
