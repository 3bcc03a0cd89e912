"""Pools that keep their rows: appending, and drawing without replacement."""

import jax.numpy as jnp
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import buffers

CHAINS = 5000
SLOW = pytest.mark.slow


def pool(capacity, count):
    return buffers.Pool(
        rows=jnp.zeros((capacity, 2)),
        born=jnp.zeros(capacity, dtype=jnp.int32),
        weight=jnp.ones(capacity),
        count=jnp.int32(count),
    )


def test_appending_is_adding():
    """To the last place, over a chunk that is longer than what is left."""
    by_add, by_append = pool(10, 0), pool(10, 0)
    rng = np.random.default_rng(0)
    for born, wanted in enumerate((3, 4, 0, 2, 1)):
        rows = jnp.asarray(rng.standard_normal((4, 2)))
        weight = 0.5 * (jnp.arange(4) < wanted).astype(float)
        by_add = buffers.add(by_add, rows, weight, jnp.int32(born))
        by_append = buffers.append(by_append, rows, weight, jnp.int32(born))
        count = int(by_add.count)
        assert int(by_append.count) == count
        for one, other in zip(by_add[:3], by_append[:3], strict=True):
            np.testing.assert_array_equal(one[:count], other[:count])
    assert count == 10


def test_a_pool_smaller_than_a_chunk_is_filled():
    rows = jnp.arange(16.0).reshape(8, 2)
    made = buffers.append(pool(3, 0), rows, (jnp.arange(8) < 3).astype(float), jnp.int32(1))
    np.testing.assert_array_equal(made.rows, rows[:3])
    assert int(made.count) == 3


@SLOW
def test_runs_with_the_same_room_share_a_program_and_their_numbers():
    """Rows are the same; which are drawn is not, since room decides how many are tossed for."""
    from simcollapse import blocks

    sizes = {"rounds": 3, "chains": 4, "seed": 2, "record_model": True, "progress": False}
    task = sc.discrete(outcomes=4)
    blocks.compiled_block.cache_clear()
    for n in (5, 8):
        sc.simulate(task, "none", "accumulate_subsample", n_real=n, n_per_round=n, room=8, **sizes)
    assert blocks.compiled_block.cache_info().currsize == 1
    with pytest.raises(ValueError, match="room must be"):
        sc.simulate(task, "none", "accumulate_subsample", n_real=5, n_per_round=5, room=0, **sizes)
