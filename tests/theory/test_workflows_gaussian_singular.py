"""Gaussian fits with no more rows than dimensions: all three workflows against simulation of the actual rows."""

import numpy as np
import pytest

from tests.helpers import assert_mean
from theory.workflows import gaussian_accumulate, gaussian_replace, gaussian_subsample

SPECTRUM, ROWS, ROUNDS = np.array([3.0, 2.0, 1.0, 1.0, 1.0, 1.0]), 6, 2


def expected_moments(workflow, covariance):
    """tr Sigma, |mu - mu_0|^2 and, where known, tr Sigma^2 and (tr Sigma)^2, shape (K+1, 2 or 4)."""
    if workflow == "accumulate_subsample":
        ratios = gaussian_subsample.ratios_recursion(
            n_real=ROWS, n_per_round=ROWS, size=ROWS, rounds=ROUNDS, covariance=covariance
        )
        return SPECTRUM.sum() * np.array(ratios).T
    module = {"replace": gaussian_replace, "accumulate": gaussian_accumulate}[workflow]
    arguments = dict(n_real=ROWS, n_per_round=ROWS, rounds=ROUNDS, covariance=covariance)
    first = module.covariance_ratio_exact(**arguments), module.mean_error_ratio_exact(**arguments)
    second = module.trace_moments_exact(eigenvalues=SPECTRUM, **arguments)
    return np.vstack([SPECTRUM.sum() * np.array(first), np.array(second)]).T


@pytest.mark.parametrize("covariance", ["mle", "unbiased"])
@pytest.mark.parametrize("workflow", ["replace", "accumulate", "accumulate_subsample"])
def test_few_rows_match_simulation(workflow, covariance):
    """n = 6 rows in 6 dimensions; sees 15 % of each moment, false-alarm rate 1e-6.

    A singular model is sampled as its mean plus a Gaussian combination of its centred rows.
    """
    rng, chains = np.random.default_rng(51), 60_000
    pool = rng.standard_normal((chains, ROWS, 6)) * np.sqrt(SPECTRUM)
    expected = expected_moments(workflow, covariance)
    moments = []
    for _ in range(ROUNDS + 1):
        seen = pool
        if workflow == "accumulate_subsample":
            order = rng.permuted(np.tile(np.arange(pool.shape[1]), (chains, 1)), axis=1)[:, :ROWS]
            seen = np.take_along_axis(pool, order[..., None], axis=1)
        mean = seen.mean(axis=1, keepdims=True)
        factor = (seen - mean) / np.sqrt(seen.shape[1] - (covariance == "unbiased"))
        gram = np.einsum("cni,cmi->cnm", factor, factor)
        trace = np.trace(gram, axis1=1, axis2=2)
        square = np.sum(gram**2, axis=(1, 2))
        moments.append([trace, np.sum(mean[:, 0] ** 2, axis=1), square, trace**2][: expected.shape[1]])
        new = mean + rng.standard_normal((chains, ROWS, seen.shape[1])) @ factor
        pool = new if workflow == "replace" else np.concatenate([pool, new], axis=1)
    assert_mean(np.moveaxis(np.array(moments), -1, 0), expected, 0.15 * expected)
