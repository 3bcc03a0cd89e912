"""Pools that keep their rows: appending, and drawing without replacement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import blocks, buffers, engine
from simcollapse.tasks.linear_regression import Kept
from tests.helpers import assert_mean
from theory.workflows import linear_regression_minimum_norm

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
    sizes = {"rounds": 3, "chains": 4, "seed": 2, "record_model": True, "progress": False}
    task = sc.discrete(outcomes=4)
    blocks.compiled_block.cache_clear()
    for n in (5, 8):
        sc.simulate(task, "none", "accumulate_subsample", n_real=n, n_per_round=n, room=8, **sizes)
    assert blocks.compiled_block.cache_info().currsize == 1
    with pytest.raises(ValueError, match="room must be"):
        sc.simulate(task, "none", "accumulate_subsample", n_real=5, n_per_round=5, room=0, **sizes)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize(
    ("task", "rows"),
    [
        (sc.gaussian(3), lambda x: x),
        (sc.linear_regression([1.0, -1.0, 0.5]), lambda x: Kept(x, x[:, 0] - 2 * x[:, 1])),
        (sc.linear_regression([1.0, -1.0, 0.5], design="orthogonal"), lambda x: Kept(x, x[:, 0])),
        (sc.discrete(outcomes=5), lambda x: jnp.abs(x[:, 0] * 3).astype(jnp.int32) % 5),
    ],
    ids=["gaussian", "regression", "orthogonal", "discrete"],
)
def test_sums_by_pieces_are_sums_at_once(task, rows, in_order, monkeypatch):
    """Pieces of 4 of 23 places, the last of which overlaps; chains see different windows, and one sees nothing."""
    random = np.random.default_rng(2)
    held = jax.tree.map(jnp.asarray, rows(jnp.asarray(random.normal(size=(40, 3)))))
    places = jnp.asarray(random.permutation(40)[:23].astype(np.int32))
    if in_order:
        held, places = jax.tree.map(lambda x: x[:23], held), None
    weights = random.uniform(0.5, 1.5, size=(4, 23))
    for chain, (first, end) in enumerate(((0, 23), (5, 9), (0, 0), (17, 21))):
        weights[chain, :first] = weights[chain, end:] = 0

    def summed(weight):
        return buffers.summed(task, buffers.Seen(held, weight, places))

    whole = jax.vmap(summed)(weights)
    for name in ("PIECE_ROWS", "PIECE_NUMBERS", "WINDOW_ROWS"):
        monkeypatch.setattr(buffers, name, 4)
    parts = jax.vmap(summed)(weights)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


def test_fixed_designs_of_several_sizes_share_a_program_that_has_room():
    """Places without a row change nothing: errors are the exact ones of each design, and as many rows are counted."""
    jax.clear_caches()
    blocks.compiled_block.cache_clear()
    for n in (6, 9, 12):
        rows = np.random.default_rng(n).normal(size=(n, 2))
        task = sc.linear_regression([1.0, 2.0], design="fixed", rows=rows)
        result = sc.simulate(
            task, "none", "replace", n_real=n, n_per_round=n, room=12, rounds=3, chains=8000, seed=n, progress=False,
            block_size=500,
        )  # fmt: skip
        exact = linear_regression_minimum_norm.replace_fixed_design_mse_exact(
            design=rows, truth=[1.0, 2.0], sigma=1.0, rounds=3
        )
        assert_mean(np.log(result.squared_error) - np.log(exact), _log_mean(rows), resolution=0.16)
        assert (result.num_generated.isel(round=slice(1, None)) == n).all() and (result.num_used == n).all()
    sizes = {"n_real": n, "n_per_round": n, "rounds": 3, "chains": 8000, "seed": 0, "over": {}}
    program = engine.prepare(task, "none", "replace", **sizes, room=12).programs[0]
    assert blocks.compiled_block.cache_info().currsize == 1
    assert blocks.compiled_block(program.loop_static)._cache_size() == 1
    with_table = sc.LinearRegression.from_data(rows, rows[:, 0] + np.random.default_rng(0).normal(size=12))
    assert with_table.with_room(20, np.full(3, 12)) is with_table
    assert task.with_room(20, np.array([12, 24])) is task


def _log_mean(rows):
    """E log of z' M z over its mean, z ~ N(0, I) in two dimensions and M the inverse of the rows' Gram matrix."""
    values = np.linalg.eigvalsh(np.linalg.inv(rows.T @ rows))
    # z' M z = r^2 (a cos^2 + b sin^2): E log r^2 = log 2 - gamma, E of the other log = 2 log((sqrt a + sqrt b)/2)
    return np.log(2) - np.euler_gamma + 2 * np.log(np.sqrt(values).sum() / 2) - np.log(values.sum())


def test_a_sum_that_is_no_sum_is_made_at_once(monkeypatch):
    """A task that does not say that its sums add up, here a maximum, is given all of its rows."""

    class Largest:
        @staticmethod
        def sums(rows, weight):
            return jnp.max(jnp.where(weight > 0, rows[:, 0], -jnp.inf))

    for name in ("PIECE_ROWS", "PIECE_NUMBERS", "WINDOW_ROWS"):
        monkeypatch.setattr(buffers, name, 4)
    rows = jnp.asarray(np.random.default_rng(3).normal(size=(30, 1)))
    assert buffers.summed(Largest, buffers.Seen(rows, jnp.ones(30))) == rows.max()


def test_rooms_are_not_for_verifiers_that_draw_real_rows():
    """Twice as many rows as the design has, for the verifier's own fit: they are drawn, with room and without."""
    rows = np.random.default_rng(0).normal(size=(20, 2))
    task = sc.linear_regression([1.0, 2.0], design="fixed", rows=rows)
    ball = sc.knowledge_ball(trained_on=40, radius=3.0)
    sizes = {"n_real": 20, "n_per_round": 20, "rounds": 1, "chains": 8, "seed": 0, "progress": False}
    plain, roomy = (sc.simulate(task, ball, "replace", **sizes, room=room) for room in (None, 50))
    np.testing.assert_array_equal(plain.squared_error, roomy.squared_error)


def test_cells_share_the_design_that_has_room():
    """One copy for all cells; a swept task keeps its own design, or there would be one for each of its values."""
    rows = np.random.default_rng(0).normal(size=(6, 2))
    task = sc.linear_regression([1.0, 2.0], design="fixed", rows=rows)
    sizes = {"n_real": 6, "n_per_round": 6, "rounds": 1, "chains": 8, "seed": 0, "room": 9}
    workflow = sc.accumulate_subsample(strategy="age", decay=0.5)
    for over, places in (({"workflow.decay": [0.5, 0.9]}, 9), ({"task.noise": [1.0, 2.0]}, 6)):
        (program,) = engine.prepare(task, "none", workflow, **sizes, over=over).programs
        assert sum(program.loop_static.batched) == 1
        assert any(np.shape(leaf) == (places, 2) for leaf in program.leaves)
