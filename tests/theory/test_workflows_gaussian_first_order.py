"""The first-order factor of each workflow: printed values, and the exact formulas it is the limit of."""

import numpy as np
import pytest

from theory.workflows import (
    first_order,
    gaussian_accumulate,
    gaussian_replace,
    gaussian_subsample,
    linear_regression,
)

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits


def printed(value):
    return pytest.approx(value, rel=LAST_DIGIT)


# WORKFLOWS.md 0.2, theory column, n = 300; k counts fits from 1. d, k, value
@pytest.mark.parametrize(
    ("dim", "k", "value"), [(1, 1, 0.005), (1, 4, 0.011354), (3, 2, 0.035), (3, 6, 0.049483)]
)
def test_wasserstein_printed(dim, k, value):
    got = first_order.gaussian_wasserstein_asymptotic(
        dim=dim, sigma=2, n_per_round=300, rounds=k - 1, workflow="accumulate_subsample"
    )
    assert got[k - 1] == printed(4 * value)


@pytest.mark.parametrize(
    ("dim", "k", "value"), [(1, 1, 0.0033333), (1, 4, 0.0047454), (3, 2, 0.01875), (3, 6, 0.022371)]
)
def test_kl_printed(dim, k, value):
    got = first_order.kl_asymptotic(
        parameters=dim * (dim + 3) // 2, n_per_round=300, rounds=k - 1, workflow="accumulate"
    )
    assert got[k - 1] == printed(value)


@pytest.mark.parametrize(
    ("workflow", "limit"),
    [("replace", np.inf), ("accumulate", 1.6449), ("accumulate_subsample", 2.9348), ("real", 0)],
)
def test_limits(workflow, limit):
    rounds = 10_000
    path = first_order.error_factor_asymptotic(workflow=workflow, rounds=rounds)
    assert path.shape == (rounds + 1,)
    assert path[0] == pytest.approx(1, rel=1e-15)
    got = first_order.error_factor_limit(workflow=workflow)
    assert got == printed(limit)
    if workflow == "replace":
        np.testing.assert_array_equal(path, np.arange(1, rounds + 2))
    else:
        assert path[-1] == pytest.approx(got, abs=3.1 / rounds)  # the tail of 3 sum 1/i^2


def test_factor_is_the_sum_of_its_derivation():
    i = np.arange(1, 8)
    noise = np.array([np.sum((2 - 1 / j) / (j + 1) ** 2) for j in (np.arange(1, top) for top in i)])
    got = first_order.error_factor_asymptotic(workflow="accumulate_subsample", rounds=6)
    np.testing.assert_allclose(got, 1 + noise + 1 - 1 / i, rtol=1e-14)


def test_exact_gaussian_formulas_tend_to_it():
    """n -> inf: mean error, lost variance, W_2 and KL; the next order is k d/n relatively."""
    n, rounds = 10**6, 6
    sizes = dict(n_real=n, n_per_round=n, rounds=rounds)
    close = dict(rtol=1e-4)
    for workflow, module in (("replace", gaussian_replace), ("accumulate", gaussian_accumulate)):
        factor = first_order.error_factor_asymptotic(workflow=workflow, rounds=rounds)
        np.testing.assert_allclose(module.mean_error_ratio_exact(**sizes), factor / n, **close)
        np.testing.assert_allclose(1 - module.covariance_ratio_exact(**sizes), factor / n, **close)
        first = first_order.gaussian_wasserstein_asymptotic(
            dim=1, sigma=3, n_per_round=n, rounds=rounds, workflow=workflow
        )
        for covariance in ("mle", "unbiased"):
            exact = module.wasserstein_exact(sigma=3, covariance=covariance, **sizes)
            np.testing.assert_allclose(exact, first, **close)
    first = first_order.kl_asymptotic(parameters=14, n_per_round=n, rounds=rounds, workflow="replace")
    for covariance in ("mle", "unbiased"):
        exact = gaussian_replace.kl_exact(dim=4, covariance=covariance, **sizes)
        np.testing.assert_allclose(exact, first, **close)
    factor = first_order.error_factor_asymptotic(workflow="accumulate_subsample", rounds=rounds)
    for covariance in ("mle", "unbiased"):
        exact = gaussian_subsample.mean_error_ratio_exact(n_per_round=n, rounds=rounds, covariance=covariance)
        np.testing.assert_allclose(exact, factor / n, **close)


def test_exact_regression_formulas_tend_to_it():
    for workflow in ("replace", "accumulate"):
        factor = first_order.error_factor_asymptotic(workflow=workflow, rounds=5)
        function = getattr(linear_regression, f"{workflow}_mse_exact")
        exact = function(dim=3, sigma=2, n_real=10**6, n_per_round=10**6, rounds=5)
        np.testing.assert_allclose(exact, factor * 3 * 4 / 10**6, rtol=1e-5)


def test_values_out_of_range_are_named():
    message = "workflow must be one of 'replace', 'accumulate', 'accumulate_subsample', 'real', got 'keep'"
    for function in (first_order.error_factor_limit, first_order.error_factor_asymptotic):
        with pytest.raises(ValueError, match=message):
            function(workflow="keep", **({} if function is first_order.error_factor_limit else {"rounds": 3}))
    arguments = dict(n_per_round=10, rounds=2, workflow="replace")
    with pytest.raises(ValueError, match=r"parameters must be an integer >= 1, got 2\.5"):
        first_order.kl_asymptotic(parameters=2.5, **arguments)
    with pytest.raises(ValueError, match="rounds must be an integer >= 0, got -2"):
        first_order.kl_asymptotic(parameters=2, **{**arguments, "rounds": -2})
    with pytest.raises(ValueError, match="n_per_round must be > 0 and finite, got 0"):
        first_order.gaussian_wasserstein_asymptotic(dim=1, sigma=1, **{**arguments, "n_per_round": 0})
    with pytest.raises(ValueError, match="dim must be an integer >= 1, got 0"):
        first_order.gaussian_wasserstein_asymptotic(dim=0, sigma=1, **arguments)
