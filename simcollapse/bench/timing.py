"""Timing of programs side by side: alternating runs, so that noise of a shared machine meets all of them."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LEAST_REPEATS = 10


class Action(NamedTuple):
    """Something to be timed; `run` returns when the work is finished."""

    run: Callable[[], object]
    work: int  # chain-rounds (or numbers) that one run makes
    size: int = 0  # what the maker of the action was given: chains, …
    blas_threads: str = ""  # "one" or "all", where it uses BLAS


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def interleaved(actions: dict[str, Action], repeats: int = LEAST_REPEATS) -> dict[str, np.ndarray]:
    """Seconds of each repeat of each action, shape (repeats,), taken in turns A B … A B …

    Every action must have been run before: nothing here may compile.
    """
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            taken[name].append(seconds(action.run))
    return {name: np.asarray(values) for name, values in taken.items()}


def summary(taken: np.ndarray, work: int) -> dict[str, float]:
    """Work per second, from the median and from the fastest repeat, and what they come from."""
    return {
        "rate": float(work / np.median(taken)),
        "best_rate": float(work / taken.min()),
        "median_s": float(np.median(taken)),
        "minimum_s": float(taken.min()),
        "work": int(work),
        "repeats": len(taken),
    }


def speedup(taken: dict[str, np.ndarray], actions: dict[str, Action], fast: str, slow: str) -> float:
    """How many times the work per second of `slow` that `fast` makes: the median over neighbouring runs."""
    pairs = (taken[slow] / actions[slow].work) / (taken[fast] / actions[fast].work)
    return float(np.median(pairs))


def sized(
    make: Callable[[int], Action], size: float, target_s: float, least: int = 1, most: int = 2**24
) -> Action:
    """The action made for a size whose run takes about `target_s` seconds, already run.

    Sizes are powers of two times `least`. The search takes a few steps from `size`; each is run twice, since
    its first run may compile.
    """
    size = rounded(size, least, most)
    action = make(size)
    for _ in range(6):
        action = make(size)
        action.run()
        taken = seconds(action.run)
        wanted = rounded(size * np.clip(target_s / taken, 1 / 64, 64), least, most)
        if 0.5 * size <= wanted <= 2 * size:
            return action
        size = wanted
    return action


def fastest(candidates: dict[Any, Action], target_s: float) -> Any:
    """The key of the action with the most work per second: after a warm-up run, the best of one to five."""

    def rate(action):
        action.run()
        first = seconds(action.run)
        more = int(np.clip(target_s / first, 0, 4))
        return action.work / min([first, *(seconds(action.run) for _ in range(more))])

    return max(candidates, key=lambda key: rate(candidates[key]))


def rounded(size: float, least: int, most: int) -> int:
    """The power of two times `least` nearest to `size`, at most `most`."""
    return int(np.clip(least * 2 ** np.round(np.log2(max(size, 1) / least)), least, most))
