"""Settings that the neural stages run under, whatever the program around them chose."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from simcollapse.memory import keep_freed


@contextlib.contextmanager
def neural_settings() -> Iterator[None]:
    """Single precision and standard promotion: Flax's and Optax's own code needs them.

    Keys may be used again: a held-out loss is compared between looks on the same noise. Freed memory is kept, also
    afterwards.
    """
    keep_freed()
    with _settings(False, "standard", "allow", False):
        yield


@contextlib.contextmanager
def threads(count: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` whose calls run `count` at a time, in order of what comes out, under the settings of this thread.

    On CPU one program fills the gaps of another's operations that use a single thread.
    """
    names = ("enable_x64", "numpy_dtype_promotion", "numpy_rank_promotion", "debug_key_reuse")
    here = [getattr(jax.config, f"jax_{name}") for name in names]

    def call(function, *values):
        with _settings(*here):  # a thread does not have them
            return function(*values)

    with ThreadPoolExecutor(count) as pool:
        yield lambda function, *values: pool.map(functools.partial(call, function), *values)


@contextlib.contextmanager
def _settings(x64: bool, dtypes: str, ranks: str, key_reuse: bool) -> Iterator[None]:
    with (
        jax.enable_x64(x64),
        jax.numpy_dtype_promotion(dtypes),
        jax.numpy_rank_promotion(ranks),
        jax.debug_key_reuse(key_reuse),
    ):
        yield
