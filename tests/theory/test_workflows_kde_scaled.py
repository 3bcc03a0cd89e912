"""Bandwidths scaled by the spread of the training points: simulation, limits, agreement with fixed ones."""

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import kde, kde_scaled

N, DIM, ROUNDS, CHAINS = 30, 2, 4, 20_000


def simulated(accumulate, factors):
    """Trace of the model's covariance over the real data's, (C, K + 1); coordinates of unlike variance."""
    random = np.random.default_rng(1)
    pool = random.normal(size=(CHAINS, N, DIM)) * [1.0, 3.0]
    path = []
    for factor in factors:
        variance = pool.var(axis=1)
        width = factor * np.sqrt(variance.mean(axis=1))
        path.append((variance.sum(axis=1) + DIM * width**2) / 10.0)
        place = random.integers(pool.shape[1], size=(CHAINS, N, 1))
        noise = width[:, None, None] * random.normal(size=(CHAINS, N, DIM))
        rows = np.take_along_axis(pool, place, axis=1) + noise
        pool = np.concatenate([pool, rows], axis=1) if accumulate else rows
    return np.stack(path, axis=1)


@pytest.mark.parametrize("workflow", ["replace", "accumulate"])
def test_simulation(workflow):
    factors = kde_scaled.scott_factors(dim=DIM, counts=N * np.arange(1, ROUNDS + 2))
    exact = getattr(kde_scaled, f"{workflow}_variance_exact")(n_per_round=N, factors=factors, rounds=ROUNDS)
    assert_mean(simulated(workflow == "accumulate", factors), exact, resolution=0.1)
    wrong = getattr(kde_scaled, f"{workflow}_variance_exact")(
        n_per_round=N, factors=1.3 * factors, rounds=ROUNDS
    )
    with pytest.raises(AssertionError, match="z ="):  # the test can fail
        assert_mean(simulated(workflow == "accumulate", factors), wrong, resolution=0.1)


def test_many_rows_and_no_kernel():
    sizes = {"n_per_round": 10**9, "rounds": 3}
    np.testing.assert_allclose(
        kde_scaled.replace_variance_exact(factors=0.5, **sizes), 1.25 ** np.arange(1, 5), rtol=1e-6
    )
    expected = 1.25 * np.cumprod([1, 1 + 0.25 / 2, 1 + 0.25 / 3, 1 + 0.25 / 4])
    np.testing.assert_allclose(
        kde_scaled.accumulate_variance_exact(factors=0.5, **sizes), expected, rtol=1e-6
    )
    for workflow in ("replace", "accumulate"):
        fixed = getattr(kde, f"{workflow}_moments_exact")(sigma=1.0, n_per_round=7, bandwidths=0.0, rounds=5)
        scaled = getattr(kde_scaled, f"{workflow}_variance_exact")(n_per_round=7, factors=0.0, rounds=5)
        np.testing.assert_allclose(scaled, fixed.variance, rtol=1e-12)
    assert (kde_scaled.replace_variance_exact(n_per_round=1, factors=0.5, rounds=2) == 0).all()
