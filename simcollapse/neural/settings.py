"""Settings that the neural stages run under, whatever the program around them chose."""

import contextlib
from collections.abc import Iterator

import jax

from simcollapse.memory import keep_freed


@contextlib.contextmanager
def neural_settings() -> Iterator[None]:
    """Single precision and standard promotion: Flax's and Optax's own code needs them.

    Keys may be used again: a held-out loss is compared between looks on the same noise. Freed memory is kept, also
    afterwards.
    """
    keep_freed()
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        yield
