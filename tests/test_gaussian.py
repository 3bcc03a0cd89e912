"""Gaussian fitting: both engines against exact moments, against each other, and far below the smallest number."""

import jax
import numpy as np
import pytest

import simcollapse as sc
from tests.helpers import assert_mean, assert_same_distribution
from theory.workflows import gaussian_accumulate, gaussian_replace, gaussian_subsample

ROUNDS = 5
EXACT = {"replace": gaussian_replace, "accumulate": gaussian_accumulate}


def run(task, workflow="replace", engine="auto", *, n=12, rounds=ROUNDS, chains=4000, seed=0, **options):
    return sc.simulate(
        task, sc.none(), workflow, n_real=n, n_per_round=n, rounds=rounds, chains=chains, seed=seed, engine=engine,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("workflow", "estimator", "engine"),
    [
        ("replace", "mle", "law"),
        ("replace", "unbiased", "sample"),
        pytest.param("accumulate", "mle", "sample", marks=pytest.mark.slow),
        ("accumulate", "unbiased", "law"),
    ],
)
def test_mean_and_trace_are_exact(workflow, estimator, engine):
    result = run(sc.gaussian(3, estimator=estimator), workflow, engine)
    sizes = {"n_real": 12, "n_per_round": 12, "rounds": ROUNDS, "covariance": estimator}
    ratio = EXACT[workflow].covariance_ratio_exact(**sizes)
    assert_mean(result.trace.values, ratio, resolution=0.2)
    error = 3 * EXACT[workflow].mean_error_ratio_exact(**sizes)
    assert_mean(result.squared_error.values, error, resolution=0.3)


@pytest.mark.parametrize("estimator", ["mle", pytest.param("unbiased", marks=pytest.mark.slow)])
def test_subsampling_is_exact(estimator):
    result = run(sc.gaussian(2, estimator=estimator), "accumulate_subsample")
    sizes = {"n_per_round": 12, "rounds": ROUNDS, "covariance": estimator}
    assert_mean(result.trace.values, gaussian_subsample.covariance_ratio_exact(**sizes), resolution=0.1)
    error = 2 * gaussian_subsample.mean_error_ratio_exact(**sizes)
    assert_mean(result.squared_error.values, error, resolution=0.2)


def test_log_determinant_and_log_likelihood_are_exact():
    """The log of a determinant has light tails, its mean and variance closed forms; so has the divergence."""
    dim, n = 3, 30
    result = run(sc.gaussian(dim), engine="law", n=n, chains=20_000)
    sizes = {"dim": dim, "n_real": n, "n_per_round": n, "rounds": ROUNDS}
    log_det = result.log_det.values
    expected = gaussian_replace.mean_log_det_exact(**sizes, covariance="mle")
    assert_mean(log_det, expected, resolution=0.2)
    variance = gaussian_replace.var_log_det_exact(**sizes)
    assert_mean((log_det - expected) ** 2, variance, resolution=0.25)
    divergence = (np.exp(result.log_mahalanobis.values) - dim + log_det) / 2
    assert_mean(divergence, gaussian_replace.kl_exact(**sizes, covariance="mle"), resolution=0.2)


@pytest.mark.parametrize("n", [3, 12])  # singular, and not
def test_engines_agree(n):
    task = sc.gaussian([1.0, 2.0, 0.0, -1.0], covariance=[1.0, 4.0, 0.5, 2.0])
    law, sample = (run(task, "replace", engine, n=n, seed=i) for i, engine in enumerate(["law", "sample"]))
    for name in ["squared_error", "log_trace"] + ["log_det", "log_mahalanobis"] * (n > 4):
        for k in (0, ROUNDS):
            first, second = (result[name].values[:, k] for result in (law, sample))
            assert_same_distribution(first, second, resolution=0.15)
    for undefined in (law.log_det, sample.log_mahalanobis):
        assert np.isnan(undefined.values).all() if n <= 4 else np.isfinite(undefined.values).all()
    other = run(task, "replace", "law", n=n + 2, seed=0)
    with pytest.raises(AssertionError, match="distribution functions differ"):  # the test can fail
        assert_same_distribution(
            other.log_trace.values[:, ROUNDS], sample.log_trace.values[:, ROUNDS], resolution=0.15
        )


@pytest.mark.parametrize(("engine", "x64"), [("law", False), ("sample", True)])
def test_a_collapse_is_followed_below_the_smallest_number(engine, x64):
    """log det falls by its exponent a round, to 1e-1600 and beyond; so does the trace, by the largest one."""
    rounds, n = 2000, 4
    with jax.enable_x64(x64):
        result = run(sc.gaussian(2), "replace", engine, n=n, rounds=rounds, chains=96)
    assert result.log_det.dtype == (np.float64 if x64 else np.float32)
    slopes = gaussian_replace.lyapunov_exponents_exact(dim=2, n_per_round=n)
    per_round = result.log_det.values[:, -1].astype(float) / (rounds + 1)
    assert per_round.max() * rounds < -3000
    assert_mean(per_round, slopes.sum(), resolution=0.05)
    assert_mean(result.log_trace.values[:, -1].astype(float) / rounds, slopes[0], resolution=0.05)
    # what is left of the inverse is its largest axis, which grows as the smallest axis shrinks
    assert_mean(result.log_mahalanobis.values[:, -1].astype(float) / rounds, -slopes[1], resolution=0.05)
    assert (result.trace.values[:, -1] == 0).all()  # which is why there is a logarithm beside it


def test_wasserstein_distance_is_that_of_the_definition():
    """Also for singular covariances. (Its mean in one dimension: the theorem `replaced-gaussian-distance`.)"""
    covariance = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 0.5]])
    task = sc.gaussian([3.0, -1.0, 0.0], covariance=covariance, wasserstein=True)
    found = run(task, engine="law", n=3, rounds=2, chains=3, record_model=True)
    root = np.linalg.cholesky(covariance)
    factor = np.exp(found.model_log_scale.values)[..., None, None] * found.model_factor.values
    fitted = root @ factor @ np.swapaxes(root @ factor, -1, -2)
    for place in np.ndindex(found.wasserstein.shape):
        values = np.linalg.eigvals(covariance @ fitted[place]).real
        shared = np.sum(np.sqrt(np.maximum(values, 0)))
        expected = found.squared_error.values[place] + np.trace(covariance + fitted[place]) - 2 * shared
        # 1e-7: a zero eigenvalue found by LAPACK as 1e-16 has a root of 1e-8
        np.testing.assert_allclose(found.wasserstein.values[place], expected, rtol=1e-7)


@pytest.mark.slow
def test_units_and_axes_do_not_matter():
    """An affine map of the data maps every chain: relative volume stays as it is, the mean's error is mapped too."""
    covariance = np.array([[200.0, 150.0], [150.0, 200.0]])
    plain = run(sc.gaussian(2), "accumulate", "sample", chains=8, record_model=True)
    moved = run(sc.gaussian([5.0, -3.0], covariance=covariance), "accumulate", "sample", chains=8)
    np.testing.assert_allclose(plain.log_det, moved.log_det, atol=1e-12)
    error = plain.model_mean.values @ np.linalg.cholesky(covariance).T
    np.testing.assert_allclose(np.sum(error**2, axis=-1), moved.squared_error, rtol=1e-9)


def test_what_is_drawn_and_fitted_agrees_with_numpy():
    """A user's verifier keeps what lies right of the center: the fit is that of the kept rows."""
    import jax.numpy as jnp

    covariance = np.array([[2.0, 0.6], [0.6, 1.0]])
    task = sc.gaussian([3.0, -1.0], covariance=covariance)
    result = sc.simulate(
        task,
        lambda key, batch, model: batch.x[:, 0] > jnp.asarray(3.0),
        "replace",
        n_real=50_000,
        n_per_round=50_000,
        rounds=1,
        chains=100,
        seed=3,
    ).isel(round=1)
    half = np.sqrt(2 / np.pi)  # mean of a half normal; its variance is 1 - 2/pi
    shift = covariance[:, 0] / np.sqrt(2.0) * half
    assert_mean(result.squared_error.values, shift @ shift, resolution=0.03)
    removed = np.outer(covariance[:, 0], covariance[:, 0]) / 2.0 * half**2
    assert_mean(result.trace.values, 1 - np.trace(removed) / 3.0, resolution=0.02)
    log_det = np.log(np.linalg.det(covariance - removed) / np.linalg.det(covariance))
    assert_mean(result.log_det.values, log_det, resolution=0.02)


@pytest.mark.slow
def test_correct_rows_are_typical_ones():
    result = run(sc.gaussian(5), engine="sample", n=2000, rounds=1, chains=100).isel(round=1)
    assert_mean(1 - result.p.values, 0.95, resolution=0.01)
    near = run(sc.gaussian(1, tolerance=1.0), engine="sample", n=2000, rounds=1, chains=100).isel(round=1)
    assert_mean(1 - near.p.values, 0.682689, resolution=0.02)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sc.gaussian("a"), TypeError, "mean must be a number or an array of numbers, got 'a'"),
        (lambda: sc.gaussian(0), ValueError, "mean must be a whole number >= 1, got 0"),
        (lambda: sc.gaussian([np.nan]), ValueError, "mean must be finite, got nan"),
        (lambda: sc.gaussian(2, covariance=[[1, 2], [2, 1]]), ValueError, "covariance must be positive definite"),
        (lambda: sc.gaussian(2, covariance=[1.0]), ValueError, r"covariance must have shape \(2,\)"),
        (lambda: sc.gaussian(2, estimator="mel"), ValueError, "estimator must be one of .* Did you mean 'mle'"),
        (lambda: sc.gaussian(2, tolerance=0), ValueError, "task.tolerance must be positive"),
        (lambda: run(sc.gaussian(2), n=1), ValueError, "n_real must be >= 2 to fit a covariance, got 1"),
        (
            lambda: run(sc.gaussian(2), sc.accumulate_subsample(1)),
            ValueError,
            "workflow.size must be >= 2 rows to fit a covariance, got 1",
        ),
        (
            lambda: sc.simulate(sc.gaussian(2), sc.knowledge_ball([0.0, 0.0], radius=1), "replace", n_real=9,
                                n_per_round=9, rounds=1, chains=2, seed=0),
            ValueError,
            "KnowledgeBall judges rows of a regression task, got the density task Gaussian",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
