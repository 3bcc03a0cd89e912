"""The precision of simulations whose errors are chance: single, which takes a fifth to two thirds of the time."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")


def single(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, in single precision in the thread that calls it; closed forms in NumPy stay in double."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **options: P.kwargs) -> T:
        with jax.enable_x64(False):  # a new one for each call: threads cannot share it
            return function(*args, **options)

    return wrapped
