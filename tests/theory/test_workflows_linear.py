"""Any workflow that estimates a mean: against the published sums, and against a simulation of its own."""

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import first_order, fresh_real, linear

N, K = 20, 8
BATCHES = linear.rounds_of(N, N, K)


def test_replace_and_accumulate_come_out():
    replace = linear.mean_mse_exact(sigma=2.0, batches=BATCHES, weights=linear.windowed(BATCHES, rounds=1))
    np.testing.assert_allclose(replace, 4 / N * np.arange(1, K + 2), rtol=1e-12)
    accumulate = linear.mean_mse_exact(sigma=2.0, batches=BATCHES, weights=linear.accumulated(BATCHES))
    np.testing.assert_allclose(accumulate, 4 / N * np.cumsum(1 / np.arange(1, K + 2) ** 2), rtol=1e-12)


def test_the_same_real_rows_every_round_come_out():
    table = linear.windowed(BATCHES, rounds=1, keep_real=True)
    expected = fresh_real.fixed_real_mean_mse_exact(
        sigma=1.0, n_real=N, n_synthetic=N, real_weight=0.5, rounds=K
    )
    np.testing.assert_allclose(
        linear.mean_mse_exact(sigma=1.0, batches=BATCHES, weights=table), expected, rtol=1e-12
    )


@pytest.mark.parametrize("n", [2, 10])
def test_subsample_recursion_against_a_simulation(n):
    """A loop in NumPy that keeps every row and fits rows drawn without replacement."""
    rng, chains, rounds = np.random.default_rng(n), 30_000, 4
    pool = rng.standard_normal((chains, n))
    fit = pool.mean(axis=1)
    errors = [fit**2]
    for _ in range(rounds):
        pool = np.concatenate([pool, fit[:, None] + rng.standard_normal((chains, n))], axis=1)
        fit = rng.permuted(pool, axis=1)[:, :n].mean(axis=1)
        errors.append(fit**2)
    expected = linear.subsampled_mse_recursion(sigma=1.0, n_per_round=n, rounds=rounds)
    assert_mean(np.array(errors).T, expected, 0.1 * expected)


def test_subsample_recursion_has_its_limit():
    """Many rows: 3 H_k - 2, which tends to pi^2/2 - 2."""
    found = 10**6 * linear.subsampled_mse_recursion(sigma=1.0, n_per_round=10**6, rounds=200)
    expected = first_order.error_factor_asymptotic(workflow="accumulate_subsample", rounds=200)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_deleting_everything_at_once_still_settles():
    """Exact to the limit: with every real row gone from the first refit on, the error stays below 4 times the first."""
    far = N * linear.deleted_mse_exact(sigma=1.0, n_real=N, n_per_round=N, rounds=600, at=1)
    assert far[-1] < 4 and far[-1] / far[300] < 1.002


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": np.ones((2, 2))}, r"weights must be of shape"),
        ({"weights": -np.eye(K + 1)}, "weights must be >= 0"),
        ({"weights": np.ones((K + 1, K + 1))}, "not before fit 0"),
        ({"sigma": 0.0}, "sigma must be > 0"),
    ],
)
def test_bad_input(change, words):
    arguments = {"sigma": 1.0, "batches": BATCHES, "weights": linear.accumulated(BATCHES)} | change
    with pytest.raises(ValueError, match=words):
        linear.mean_mse_exact(**arguments)
