"""Counts of many draws, against the draws themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import keys
from simcollapse.tasks import counting
from simcollapse.tasks.discrete import Model

LENGTHS = [0, 1, 10, 49, 50, 51, 99, 100, 101, 160, 230, 400]


def shares(outcomes):
    """Random shares for each of LENGTHS, (12, M), with outcomes of chance zero in the middle and at the end."""
    weights = np.random.default_rng(outcomes).random((len(LENGTHS), outcomes))
    weights[::2, outcomes // 2] = 0
    weights[::3, -1] = 0
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("outcomes", [2, 17])
def test_counts_are_those_of_the_draws(outcomes, x64):
    with jax.enable_x64(x64):
        task = sc.discrete(outcomes=outcomes)
        chance = jnp.asarray(shares(outcomes), float)
        key = jax.random.split(keys.root(5), len(LENGTHS))
        count = jnp.asarray(LENGTHS, jnp.int32)
        got = jax.jit(jax.vmap(counting.drawn, (0, None, 0, 0)))(
            key, jnp.uint32(keys.GENERATE), chance, count
        )

        def rows(key, chance):
            chunks = [task.generate(key, Model(chance), jnp.int32(c), None) for c in range(4)]
            return jnp.concatenate([chunk.outcome for chunk in chunks])

        outcome = np.asarray(jax.jit(jax.vmap(rows))(key, chance))
        one = jax.jit(counting.drawn)(key[-1], jnp.uint32(keys.GENERATE), chance[-1], count[-1])
    expected = [np.bincount(row[:n], minlength=outcomes) for row, n in zip(outcome, LENGTHS, strict=True)]
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(one, expected[-1])
    assert not np.asarray(got)[np.asarray(chance) == 0].any()


@pytest.mark.parametrize("outcomes", [2, 100, 1001])
def test_steps_rise_even_where_chances_vanish(outcomes):
    """Chances of many sizes, zeros among them: a step is where the sum of all before it ends, to rounding."""
    rng = np.random.default_rng(outcomes)
    chance = np.where(rng.random(outcomes) < 0.3, 0, 10.0 ** rng.integers(-9, 1, outcomes)).astype(np.float32)
    chance[0] = 1
    ends, total = jax.jit(counting.steps)(jnp.asarray(chance))
    assert np.all(np.diff(ends[np.isfinite(ends)]) >= 0)
    assert np.all(np.isinf(ends[np.flatnonzero(chance)[-1] :]))
    np.testing.assert_allclose(np.minimum(ends, total), np.cumsum(chance, dtype=float), rtol=1e-5)
    places = np.flatnonzero(chance == 0)
    np.testing.assert_array_equal(ends[places], ends[places - 1])  # no number falls in such a step


@pytest.mark.parametrize(("workflow", "x64"), [("replace", False), ("accumulate", True)])
def test_a_chain_is_the_same_with_and_without_its_rows(workflow, x64):
    """A verifier that accepts everything, but does not say so, has every row made."""

    def accept(key, batch, model):
        return jnp.ones_like(batch.outcome, bool)

    def run(verifier):
        return sc.simulate(
            sc.discrete(outcomes=7, zipf=1.0), verifier, workflow, n_real=130, n_per_round=[7, 60, 250, 1],
            rounds=4, chains=20, seed=3, record_model=True,
        )  # fmt: skip

    with jax.enable_x64(x64):
        without, with_rows = run(sc.none()), run(accept)
    np.testing.assert_array_equal(without["model_probability"], with_rows["model_probability"])
    eps = np.finfo(without["entropy"].dtype).eps
    for name in with_rows:  # metrics of the same model, rounded by two programs
        np.testing.assert_allclose(without[name], with_rows[name], rtol=8 * eps, atol=8 * eps, err_msg=name)
