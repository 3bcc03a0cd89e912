"""Settings that the neural stages run under, whatever the program around them chose."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from simcollapse.memory import keep_freed

# Flax's and Optax's own code needs single precision and standard promotion. Keys may be used again: a held-out loss is
# compared between looks on the same noise.
SETTINGS = {
    "enable_x64": False,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "debug_key_reuse": False,
}


@contextlib.contextmanager
def neural_settings() -> Iterator[None]:
    """`SETTINGS`, for this thread. Freed memory is kept, also afterwards."""
    keep_freed()
    with _entered(SETTINGS):
        yield


@contextlib.contextmanager
def threads(count: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` whose calls run `count` at a time, and whose results come in order.

    On CPU one program fills the gaps of another's operations that use a single thread. A call has this thread's
    precision, promotion, device and checks; threads begin with the program's.
    """
    names = (*SETTINGS, "default_matmul_precision", "default_device", "debug_nans")
    here = {name: getattr(jax.config, f"jax_{name}") for name in names}

    def call(function, *values):
        with _entered(here):  # a thread does not have them
            return function(*values)

    with ThreadPoolExecutor(count) as pool:
        yield lambda function, *values: pool.map(functools.partial(call, function), *values)


@contextlib.contextmanager
def _entered(settings: dict[str, Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name, value in settings.items():
            stack.enter_context(getattr(jax, name)(value))
        yield
