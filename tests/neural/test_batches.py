import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse.neural import batches
from simcollapse.neural.settings import neural_settings


@pytest.mark.parametrize("number", [1, 3, 4, 23])
def test_batches_join_in_order(number):
    """Each has the same shape; what fills up the last one is dropped."""
    rows = {"x": np.arange(number), "y": np.arange(2 * number).reshape(number, 2)}
    shapes = set()

    def function(batch, c):
        shapes.add((batch["x"].shape, batch["y"].shape))
        return {"x": jnp.asarray(batch["x"]), "c": np.full(4, c), "y": batch["y"]}

    got = batches.over_rows(function, rows, 4)
    np.testing.assert_array_equal(got["x"], rows["x"])
    np.testing.assert_array_equal(got["y"], rows["y"])
    np.testing.assert_array_equal(got["c"], np.arange(number) // 4)
    assert shapes == {((4,), (4, 2))}


def test_two_batches_are_computed_at_a_time():
    """Each waits for another one; alone they would wait for ever."""
    together = threading.Barrier(2)

    def function(batch, c):
        together.wait(timeout=60)
        return batch["x"]

    np.testing.assert_array_equal(batches.over_rows(function, {"x": np.arange(12)}, 3), np.arange(12))


def test_batches_are_computed_under_the_settings_of_the_caller():
    """Threads begin with those of the program, whatever the caller entered."""

    def seen():
        config = jax.config
        return (
            str(jnp.ones(1, dtype=float).dtype),
            config.jax_numpy_dtype_promotion,
            config.jax_numpy_rank_promotion,
            config.jax_debug_key_reuse,
            config.jax_default_matmul_precision,
        )

    def function(batch, c):
        told.append(seen())
        return batch["x"]

    told = []
    with neural_settings():
        first = seen()
        batches.over_rows(function, {"x": np.arange(4)}, 2)
    assert set(told) == {first}
    told = []
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.debug_key_reuse(True),
        jax.default_matmul_precision("highest"),
    ):
        second = seen()
        batches.over_rows(function, {"x": np.arange(4)}, 2)
    assert set(told) == {second}
    assert not any(a == b for a, b in zip(first, second, strict=True))


def test_an_error_in_a_batch_reaches_the_caller():
    def function(batch, c):
        if c == 1:
            raise ValueError("this batch")
        return batch["x"]

    with pytest.raises(ValueError, match="this batch"):
        batches.over_rows(function, {"x": np.arange(40)}, 2)


def test_a_program_is_compiled_once_for_all_batches():
    """Settings are part of what a program is looked up by: threads with others would make another."""
    made = jax.jit(lambda x: x + 1)
    with jax.default_matmul_precision("highest"), jax.numpy_rank_promotion("raise"):
        made(np.arange(2))
        batches.over_rows(lambda batch, c: made(batch["x"]), {"x": np.arange(40)}, 2)
    assert made._cache_size() == 1
