import numpy as np
import pytest

import simcollapse as sc
from tests.helpers import assert_mean, assert_proportion
from theory.workflows import linear_regression_minimum_norm

SIZES = {"n_real": 30, "n_per_round": 30, "rounds": 3, "seed": 4}


@pytest.mark.parametrize("design", [pytest.param("gaussian", marks=pytest.mark.slow), "orthogonal"])
def test_subsample_with_room_for_all_is_accumulate(design):
    task = sc.linear_regression([1.0, -1.0], design=design)
    ball = sc.knowledge_ball(bias=0.2, radius=0.6, slack=0.3)
    everything = sc.simulate(task, ball, sc.accumulate(), chains=6, **SIZES)
    room = sc.simulate(task, ball, sc.accumulate_subsample(10**6), chains=6, **SIZES)
    np.testing.assert_array_equal(room.num_kept, everything.num_kept)
    np.testing.assert_allclose(room.squared_error, everything.squared_error, rtol=1e-9)


def test_subsample_draws_each_row_alike_and_none_twice():
    """Each of 7 filled rows is among 3 drawn with probability 3/7; the drawn are distinct and none is empty."""
    import jax
    import jax.numpy as jnp

    from simcollapse import buffers

    task = sc.linear_regression(7)
    pool = buffers.empty(task, 10)
    pool = pool._replace(rows=pool.rows._replace(x=jnp.eye(10, 7)), count=jnp.int32(7))
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(0), jnp.arange(20_000))
    workflow = sc.accumulate_subsample()
    seen = jax.vmap(lambda key: workflow.choose(key, pool, jnp.int32(3), jnp.int32(1), 5).gathered())(keys)
    sums = jax.vmap(task.sums)(seen.rows, seen.weight)
    drawn = np.diagonal(np.asarray(sums.gram), axis1=1, axis2=2)
    assert np.all((drawn == 0) | (drawn == 1))
    np.testing.assert_array_equal(drawn.sum(axis=1), 3)
    assert_proportion(drawn.sum(axis=0).astype(int), 20_000, 3 / 7, resolution=0.04)


def test_replace_forgets_and_accumulate_remembers():
    """With a verifier that accepts nothing after round 0, only accumulate still has something to fit."""
    task = sc.linear_regression([1.0, -1.0], design="orthogonal")
    nothing = sc.knowledge_ball(bias=1000.0, radius=1.0)
    with pytest.warns(UserWarning, match="froze"):
        forgets = sc.simulate(task, nothing, sc.replace(), chains=2, **SIZES)
    remembers = sc.simulate(task, nothing, sc.accumulate(), chains=2, **SIZES)
    assert not forgets.alive.isel(round=1).any()
    assert remembers.alive.all()


def test_sums_do_not_depend_on_the_reference():
    """A pool opened for another model gives the same fit: only rounding knows the reference."""
    import jax
    import jax.numpy as jnp

    from simcollapse import chain

    task = sc.linear_regression([1.0, -1.0, 2.0], noise=0.3, estimate_noise=True)
    truth = task.truth_model()
    pool = chain.add_real(jax.random.key(0), task, task.empty(truth), jnp.int32(50), None)
    elsewhere = truth._replace(coef=truth.coef + 10.0, log_noise=truth.log_noise + 2.0)
    moved = task.open(pool, elsewhere)
    for one, other in zip(
        task.fit(jax.random.key(1), pool, truth)[0], task.fit(jax.random.key(1), moved, truth)[0], strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9)  # rounding times (10 / 0.3)^2


def test_estimated_noise_is_followed_far_below_the_smallest_number():
    """Replace with few rows and no verifier: log noise falls without bound, and nothing underflows or breaks."""
    import jax

    with jax.enable_x64(False):
        task = sc.linear_regression([1.0, -1.0], estimate_noise=True)
        result = sc.simulate(
            task, sc.none(), sc.replace(), n_real=4, n_per_round=4, rounds=3000, chains=2, seed=0
        )
    final = result.log_noise.isel(round=-1)
    assert (final < -700).all()  # below 1e-300, in single precision
    assert result.alive.all()


LEAN = np.random.default_rng(4).normal(size=(5, 8))  # five rows, eight coefficients


@pytest.mark.parametrize(
    ("workflow", "engine"),
    [
        ("replace", "law"),
        ("accumulate", "sample"),
        pytest.param("replace", "sample", marks=pytest.mark.slow),
        pytest.param("accumulate", "law", marks=pytest.mark.slow),
    ],
)
def test_least_norm_fits_lose_what_no_row_sees(workflow, engine):
    """A given design with fewer rows than coefficients: the error that theory gives; false alarms 1e-6."""
    truth = np.linspace(-1, 1, 8)
    task = sc.linear_regression(truth, design="fixed", rows=LEAN, least_norm=True)
    result = sc.simulate(
        task, "none", workflow, n_real=5, n_per_round=5, rounds=4, chains=2000, seed=0, engine=engine,
        record_model=True,
    )  # fmt: skip
    exact = getattr(linear_regression_minimum_norm, f"{workflow}_fixed_design_mse_exact")
    expected = exact(design=LEAN, truth=truth, sigma=1.0, rounds=4)
    assert_mean(result.squared_error.values, expected, resolution=0.15 * expected)
    unseen = truth - np.linalg.pinv(LEAN) @ LEAN @ truth
    np.testing.assert_allclose(
        result.model_coef.values @ unseen, 0, atol=1e-9
    )  # every fit lies in the rows' span


@pytest.mark.slow
def test_least_norm_fits_of_full_rank_are_least_squares():
    sizes = {"n_real": 20, "n_per_round": 20, "rounds": 3, "chains": 4, "seed": 0}
    plain, short = (
        sc.simulate(
            sc.linear_regression([1.0, 2.0], least_norm=flag), "none", "accumulate_subsample", **sizes
        )
        for flag in (False, True)
    )
    np.testing.assert_allclose(short.squared_error, plain.squared_error, rtol=1e-9)
