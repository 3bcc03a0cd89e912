"""Texts of different lengths as arrays of few different shapes, so that a program compiles a few times only."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from simcollapse.checks import check_choice, check_whole

LEAST = 16  # tokens of the shortest array
TOO_LONG = ("error", "drop", "truncate")


class Batch(NamedTuple):
    """Texts side by side, padded on the left, with rows that fill the batch up."""

    places: np.ndarray  # (n,), of the texts among all; n <= B
    tokens: np.ndarray  # (B, T), int32
    begin: np.ndarray  # (B,), int32, where each text begins


def bucket(length: int, most: int | None = None) -> int:
    """The least power of two, or one and a half of one, that is at least `length` and `LEAST`; at most `most`."""
    size = LEAST
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size if most is None else max(length, min(size, most))


def batches(texts: Sequence[Sequence[int]], size: int, most: int) -> Iterator[Batch]:
    """All texts, `size` a batch, those of similar length together; arrays are at most `most` tokens long."""
    lengths = np.array([len(text) for text in texts], int)
    order = np.argsort(lengths, kind="stable")
    for at in range(0, len(order), size):
        places = order[at : at + size]
        width = bucket(int(lengths[places].max()), most)
        tokens, begin = np.zeros((size, width), np.int32), np.full(size, width - 1, np.int32)
        for row, place in enumerate(places):
            begin[row] = width - lengths[place]
            tokens[row, begin[row] :] = texts[place]
        yield Batch(places, tokens, begin)


class Fitted(NamedTuple):
    """Prompts that leave room for an answer."""

    prompts: list[list[int]]
    places: np.ndarray  # of these among the prompts given
    too_long: int  # how many were


def fit_prompts(prompts: Sequence[Sequence[int]], most: int, too_long: str = "error") -> Fitted:
    """Prompts of at most `most` tokens.

    Args:
        prompts: tokens of each.
        most: the model's context less the tokens of an answer.
        too_long: what happens to longer ones. "error"; "drop" leaves them out; "truncate" keeps their last tokens.

    Raises:
        ValueError: a longer one, where that is an error, or `most` < 1.
    """
    most = check_whole("most", most, 1)
    check_choice("too_long", too_long, TOO_LONG)
    longer = np.array([len(prompt) > most for prompt in prompts], bool)
    if longer.any() and too_long == "error":
        raise ValueError(
            f"prompts must have at most {most} tokens, {longer.sum()} of {len(prompts)} have more (the first is prompt "
            f"{int(np.argmax(longer))}): drop or truncate them with too_long='drop' or 'truncate'"
        )
    kept = np.flatnonzero(~longer) if too_long == "drop" else np.arange(len(prompts))
    return Fitted([list(prompts[i])[-most:] for i in kept.tolist()], kept, int(longer.sum()))


def check_texts(name: str, texts: Sequence[Sequence[int]], vocabulary: int, least: int) -> None:
    """Raise ValueError unless every text has at least `least` tokens, all of them in the vocabulary."""
    for i, text in enumerate(texts):
        if len(text) < least:
            raise ValueError(f"{name} must have at least {least} token each, number {i} has {len(text)}")
        if len(text) and not (0 <= min(text) and max(text) < vocabulary):
            raise ValueError(
                f"{name} must hold tokens from 0 to {vocabulary - 1}, number {i} has {max(text)}"
            )
