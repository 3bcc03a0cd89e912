"""What verifiers accept, and what becomes of the rest."""

import jax.numpy as jnp
import numpy as np
import pytest

import simcollapse as sc
from tests.helpers import assert_mean, assert_same_distribution

SIZES = {"n_real": 60, "n_per_round": 60, "rounds": 2, "seed": 2}
TASK = sc.linear_regression([1.0, -1.0])


@pytest.mark.slow
def test_infinite_radius_is_no_verifier():
    everything = sc.knowledge_ball([5.0, 5.0], radius=float("inf"))
    for options in ({}, {"rejected": "resample"}, {"fixed": "kept"}):
        with_ball = sc.simulate(TASK, everything, sc.replace(), chains=8, **SIZES, **options)
        without = sc.simulate(TASK, sc.none(), sc.replace(), chains=8, **SIZES)
        np.testing.assert_allclose(with_ball.squared_error, without.squared_error, rtol=1e-9)
        np.testing.assert_array_equal(with_ball.acceptance_rate.isel(round=1), 1.0)


def test_a_plain_function_in_jax_equals_the_ball():
    def accept(key, batch, model):
        norm = jnp.sqrt(jnp.sum(batch.x**2, axis=1))
        return jnp.abs(batch.y - batch.x @ jnp.array([1.2, -1.0])) <= 0.5 * norm + 0.3

    ball = sc.knowledge_ball([1.2, -1.0], radius=0.5, slack=0.3)
    first = sc.simulate(TASK, accept, sc.replace(), chains=8, **SIZES)
    second = sc.simulate(TASK, ball, sc.replace(), chains=8, **SIZES)
    np.testing.assert_array_equal(first.num_kept, second.num_kept)
    np.testing.assert_allclose(first.squared_error, second.squared_error, rtol=1e-9)


@pytest.mark.timeout(200)
def test_a_numpy_function_runs_on_the_host_and_equals_its_jax_twin():
    def on_host(random, batch, model):
        assert isinstance(batch.x, np.ndarray)
        assert isinstance(random, np.random.Generator)
        return np.abs(batch.y - np.asarray(batch.x) @ np.asarray(model.coef)) < 1.0

    def in_jax(key, batch, model):
        return jnp.abs(batch.y - batch.x @ model.coef) < 1.0

    options = {"chains": 20, "block_size": 4, **SIZES}
    first = sc.simulate(TASK, on_host, sc.replace(), **options)
    second = sc.simulate(TASK, in_jax, sc.replace(), **options)
    np.testing.assert_array_equal(first.num_kept, second.num_kept)
    np.testing.assert_allclose(first.squared_error, second.squared_error, rtol=1e-9)


def test_a_random_verifier_on_the_host_repeats_its_draws():
    def coin(random, batch, model):
        return random.random(len(batch.y)) < 0.5

    first, second = (sc.simulate(TASK, coin, sc.replace(), chains=4, **SIZES) for _ in range(2))
    np.testing.assert_array_equal(first.num_kept, second.num_kept)
    assert 0.3 < first.acceptance_rate.isel(round=1).mean() < 0.7
    assert len(np.unique(first.num_kept.isel(round=slice(1, None)))) > 1


def test_centers_are_placed_as_asked():
    """A tiny ball in which every kept row's response is the center's: one round lands on the center."""
    task = sc.linear_regression([1.0, -1.0], design="orthogonal")
    for ball in (
        sc.knowledge_ball([1.3, -1.4], radius=1e-9),
        sc.knowledge_ball(bias=0.5, direction=[3.0, -4.0], radius=1e-9),
    ):
        result = sc.simulate(
            task, ball, sc.replace(), chains=4, rejected="resample", record_model=True, **SIZES
        )
        np.testing.assert_allclose(result.model_coef.isel(round=1), np.tile([1.3, -1.4], (4, 1)), atol=1e-8)


def test_a_trained_center_errs_like_a_fit_on_its_rows():
    """E|center - truth|^2 = d sigma^2 / m on the orthogonal design, anew in every chain."""
    task = sc.linear_regression([1.0, -1.0], design="orthogonal")
    ball = sc.knowledge_ball(trained_on=25, radius=1e-9)
    result = sc.simulate(task, ball, sc.replace(), chains=6000, rejected="resample", **SIZES)
    assert_mean(result.squared_error.isel(round=1).values, 2 / 25, resolution=0.0125)


def test_a_verifier_that_cannot_be_trained_freezes_its_chain():
    """A covariate that is 0 in nearly all rows: few real rows often miss it, and the center cannot be fitted."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 2))
    rows[:, 1] = np.arange(100) < 5
    task = sc.LinearRegression.from_data(rows, 10 + rows @ [3.0, 5.0] + rng.normal(size=100))
    ball = sc.knowledge_ball(trained_on=20, radius=1.0)
    with pytest.warns(UserWarning, match="round 0: the verifier's own fit failed"):
        result = sc.simulate(
            task,
            ball,
            "replace",
            n_real=1000,
            n_per_round=1000,
            rounds=1,
            chains=200,
            seed=0,
            rejected="resample",
        )
    missed = (~result.alive.isel(round=0)).values
    assert 0.2 < missed.mean() < 0.5  # expected: 0.95^20 = 0.36
    assert (result.squared_error.isel(round=1).values[~missed] < 50).all()


def test_correct_means_within_the_bound_of_the_truth_or_the_tolerance():
    """An unbiased verifier's phi is 1 and psi 0: it accepts what is correct by its own bound."""
    exact = sc.knowledge_ball([1.0, -1.0], radius=0.3, slack=0.2)
    result = sc.simulate(TASK, exact, sc.replace(), chains=4, **SIZES).isel(round=slice(1, None))
    assert (result.phi == 1).all()
    assert (result.psi == 0).all()
    assert (result.p_star == 1).all()
    np.testing.assert_allclose(result.p, 1 - result.acceptance_rate)
    strict = sc.linear_regression([1.0, -1.0], tolerance=0.1)
    smaller = sc.simulate(strict, exact, sc.replace(), chains=4, **SIZES).isel(round=slice(1, None))
    assert (smaller.psi > 0).all()
    assert (smaller.p > result.p).all()


def test_no_verifier_has_breakdown_point_one_half():
    result = sc.simulate(TASK, sc.none(), sc.replace(), chains=4, **SIZES).isel(round=slice(1, None))
    np.testing.assert_array_equal(result.p_star, 0.5)


@pytest.mark.parametrize("design", ["gaussian", "orthogonal"])
def test_kept_count_is_kept(design):
    task = sc.linear_regression([1.0, -1.0], design=design)
    ball = sc.knowledge_ball(bias=0.3, radius=0.3, slack=0.2)
    result = sc.simulate(task, ball, sc.replace(), chains=6, fixed="kept", **SIZES).isel(round=slice(1, None))
    assert (result.num_used == 60 * task.rows_per_sample).all()
    if design == "gaussian":
        assert (result.num_kept == 60).all()
        assert (result.num_generated > 60).all()


@pytest.mark.slow
def test_resampling_by_tries_equals_resampling_by_the_interval():
    """The general way (redraw until accepted) against the exact truncated draw: one distribution."""

    def accept(key, batch, model):
        return jnp.abs(batch.y - batch.x @ jnp.array([1.2, -1.0])) <= 0.7

    ball = sc.knowledge_ball([1.2, -1.0], radius=1e-12, slack=0.7)
    options = {"n_real": 100, "n_per_round": 10, "rounds": 1, "chains": 8000, "rejected": "resample"}
    by_tries = sc.simulate(TASK, accept, sc.replace(), seed=3, **options)
    by_interval = sc.simulate(TASK, ball, sc.replace(), seed=4, **options)
    assert (by_tries.num_used.isel(round=1) == 10).all()
    assert_same_distribution(
        by_tries.squared_error.isel(round=1).values,
        by_interval.squared_error.isel(round=1).values,
        resolution=0.09,
    )
