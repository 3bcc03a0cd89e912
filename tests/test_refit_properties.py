"""Invariances of one fit: order of rows, units, axes and names do not matter; a subsample of all rows is the pool."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcollapse as sc
from simcollapse import buffers, chain, keys

ROWS = 12
seeds = st.integers(0, 2**20)
TASKS = {
    "gaussian": sc.gaussian(2, wasserstein=True),
    "discrete": sc.discrete([0.4, 0.3, 0.2, 0.1]),
    "kde": sc.kde(2, bandwidth="scott", test=20),
    "regression": sc.linear_regression([1.0, -1.0]),
    "least norm": sc.linear_regression([1.0, -1.0, 2.0], least_norm=True),
}


def drawn(task, seed):
    """`ROWS` real rows of `task`, as a buffer keeps them."""
    rows = task.rows(task.real(keys.root(seed), jnp.int32(0), None))
    return jax.tree.map(lambda x: x[:ROWS], rows)


@functools.partial(jax.jit, static_argnums=0)
def _metrics(name, rows, weight):
    task = TASKS[name]
    seen = buffers.Seen(rows, weight) if task.needs_rows else task.sums(rows, weight)
    nowhere = jax.tree.map(jnp.zeros_like, task.truth_model())
    model, reason = task.fit(keys.root(0), seen, nowhere)
    return task.measure(keys.root(0), model), reason


def metrics(name, rows, weight=None):
    found, reason = _metrics(name, rows, jnp.ones(ROWS) if weight is None else weight)
    assert reason == chain.ALIVE
    return {key: np.asarray(value) for key, value in found.items()}


def close(one, other, **factors):
    assert one.keys() == other.keys()
    for name, value in one.items():
        # 1e-8: rounding of sums taken in another order, or of rows in another unit
        np.testing.assert_allclose(
            other[name], factors.get(name, 1) * value, rtol=1e-8, atol=1e-8, err_msg=name
        )


@pytest.mark.parametrize("name", TASKS)
@given(seed=seeds)
@settings(max_examples=4)
def test_the_order_of_rows_does_not_matter(name, seed):
    rows = drawn(TASKS[name], seed)
    turned = np.random.default_rng(seed).permutation(ROWS)
    close(metrics(name, rows), metrics(name, jax.tree.map(lambda x: x[turned], rows)))


@pytest.mark.parametrize("name", TASKS)
@given(seed=seeds, factor=st.sampled_from([0.25, 3.0]))
@settings(max_examples=4)
def test_weights_matter_by_their_ratio(name, seed, factor):
    rows = drawn(TASKS[name], seed)
    close(metrics(name, rows), metrics(name, rows, jnp.full(ROWS, factor)))


@given(seed=seeds, order=st.permutations(range(4)))
@settings(max_examples=5)
def test_renaming_outcomes_renames_shares(seed, order):
    rows = drawn(TASKS["discrete"], seed)
    task, names = TASKS["discrete"], jnp.asarray(np.argsort(order))
    sums = task.sums(rows, jnp.ones(ROWS))
    renamed = task.sums(names[rows], jnp.ones(ROWS))
    np.testing.assert_array_equal(renamed.count, sums.count[np.array(order)])
    other = sc.discrete(np.asarray(task.probability)[np.array(order)])
    zero = task.truth_model()
    first, second = (t.fit(keys.root(0), s, zero)[0] for t, s in ((task, sums), (other, renamed)))
    close(
        *(
            {k: np.asarray(v) for k, v in t.measure(keys.root(0), m).items()}
            for t, m in ((task, first), (other, second))
        )
    )


@given(seed=seeds, angle=st.floats(0.1, 3.0))
@settings(max_examples=4)
def test_turning_axes_turns_a_gaussian_and_a_density(seed, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rows = drawn(TASKS["gaussian"], seed)
    close(metrics("gaussian", rows), metrics("gaussian", rows @ turn.T))
    rows = drawn(TASKS["kde"], seed)
    one, other = metrics("kde", rows), metrics("kde", rows @ turn.T)
    for name in ("trace", "squared_error", "bandwidth"):  # the held-out rows stay where they are
        np.testing.assert_allclose(one[name], other[name], rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["discrete", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gaussian", "kde"))]
)
def test_a_subsample_of_the_whole_pool_is_the_pool(name):
    """With room for every row a fit is that of `accumulate`, whatever the order in which rows are drawn.

    One round: a density's next rows are drawn by their place in that order, and are then the same only in law.
    """
    sizes = {"n_real": 12, "n_per_round": 12, "rounds": 1, "chains": 2, "seed": 3, "block_size": 2}
    task = TASKS[name]
    pools = [sc.simulate(task, "none", w, **sizes) for w in (sc.accumulate(), sc.accumulate_subsample(10**4))]
    for metric in task.descriptions:
        np.testing.assert_allclose(pools[1][metric], pools[0][metric], rtol=1e-8, err_msg=metric)
