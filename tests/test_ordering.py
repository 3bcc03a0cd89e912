"""Picking without sorting, against sorting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse import ordering


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_kth_largest_is_where_sorting_puts_it(dtype):
    rng = np.random.default_rng(0)
    rows = [
        rng.standard_normal(50),
        rng.choice([-1.5, -0.0, 0.0, 2.0], 50),  # many equal ones, zeros of either sign
        np.where(rng.random(50) < 0.4, -np.inf, rng.standard_normal(50)),
        np.r_[np.inf, np.finfo(dtype).max, np.finfo(dtype).tiny, -np.finfo(dtype).max, np.zeros(46)],
    ]
    for row in rows:
        numbers = jnp.asarray(row, dtype)
        found = jax.vmap(ordering.kth_largest, (None, 0))(numbers, jnp.arange(1, 51, dtype=jnp.int32))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.sort(numbers)[::-1])


@pytest.mark.parametrize("count", [1, 3, 16, 17, 100, 256, 257])
def test_steps_are_counted_as_a_search_counts_them(count):
    rng = np.random.default_rng(count)
    steps = np.sort(np.round(rng.random(count), 2)).astype(np.float32)  # some are equal
    numbers = np.r_[steps, rng.random(50), 0.0, 1.0, 2.0, np.inf, -np.inf].astype(np.float32)
    found = jax.jit(ordering.steps_below)(jnp.asarray(steps), jnp.asarray(numbers))
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, np.searchsorted(steps, numbers, side="right"))
