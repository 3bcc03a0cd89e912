"""Closed forms of the planner against theory's own functions, finer quadrature and limits."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import roots_hermitenorm

import simcollapse as sc
from simcollapse.planning import closed_form, describe
from theory import knowledge_center as kc

GOOD = {"dim": 3, "noise": 1.3, "n_real": 50, "n_per_round": 200, "radius": 1.0, "slack": 0.5}


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_the_exact_chain_is_theorys(rejected):
    bias = [0.1, -0.2, 0.3]
    made = describe(**GOOD, bias=bias, rejected=rejected)
    want = kc.mse_trajectory_exact(
        sigma=1.3, n_real=50, n_per_round=200, bound=1.5, verifier_bias=bias, rounds=6, rejected=rejected
    )
    exact = closed_form.exact_curve(made, 6)
    assert exact is not None
    np.testing.assert_allclose(exact.mse, want, rtol=1e-12)


def test_a_trained_verifier_is_averaged_over_its_law():
    made = describe(**GOOD, trained_on=3, rejected="resample")
    nodes, weights = roots_hermitenorm(60)
    bias = nodes * 1.3 / math.sqrt(3)
    law = kc.chain_law_exact(sigma=1.3, n_real=50, n_per_round=200, bound=1.5, verifier_bias=bias, rounds=4)
    want = 3 * (law.variance + (law.mean + bias) ** 2) @ weights / weights.sum()
    exact = closed_form.exact_curve(made, 4)
    assert exact is not None
    np.testing.assert_allclose(exact.mse, want, rtol=1e-6)  # 16 nodes against 60, biases up to several sigma
    assert exact.mse[0] == pytest.approx(made.start, rel=1e-9)  # round 0 does not know the verifier


@pytest.mark.parametrize("rejected", ["drop", "resample"])
@pytest.mark.parametrize("n", [15, 200])
def test_the_limit_is_where_the_exact_chain_ends(rejected, n):
    made = describe(**(GOOD | {"n_per_round": n}), bias=0.4, rejected=rejected)
    value, source = closed_form.limit(made)
    exact = closed_form.exact_curve(made, 60)
    assert exact is not None
    assert source == "exact"
    assert value == pytest.approx(exact.mse[-1], rel=1e-4)


def test_the_limit_of_growing_or_unlimited_rounds_is_the_bias():
    for n in (math.inf, sc.linear_growth(10, 1)):
        made = describe(**(GOOD | {"n_per_round": n}), bias=0.4)
        assert closed_form.limit(made) == (pytest.approx(0.16), "exact")


@pytest.mark.parametrize("design", ["orthogonal", "gaussian"])
def test_the_limit_of_accumulate_without_verifier_is_where_its_curve_ends(design):
    made = describe(dim=3, noise=1.3, n_real=50, n_per_round=20, workflow="accumulate", design=design)
    value, source = closed_form.limit(made)
    curve = closed_form.exact_curve(made, 20_000)
    assert curve is not None and value is not None
    left = 3 * 1.3**2 / (20 * 20_000)  # the sum of n/N_k^2 beyond the curve
    assert value == pytest.approx(curve.mse[-1] + left, rel=1e-4)
    assert source == "exact"


def test_without_verifier_replace_has_no_limit_unless_rounds_grow_geometrically():
    plain = {"dim": 3, "noise": 1.0, "n_real": 50}
    assert closed_form.limit(describe(**plain, n_per_round=200)) == (math.inf, "exact")
    assert closed_form.limit(describe(**plain, n_per_round=sc.linear_growth(50, 50))) == (math.inf, "exact")
    value, _ = closed_form.limit(describe(**plain, n_per_round=sc.geometric_growth(100, 2)))
    assert value == pytest.approx(3 / 50 + 3 / 100 * 2)


def test_the_linear_form_counts_what_is_kept():
    made = describe(**GOOD, bias=0.05, rejected="drop")
    exact, linear = closed_form.exact_curve(made, 10), closed_form.linear_curve(made, 10)
    assert exact is not None and linear is not None
    np.testing.assert_allclose(linear, exact.mse, rtol=0.03)
    resampled = closed_form.linear_curve(dataclasses.replace(made, rejected="resample"), 10)
    assert resampled is not None
    assert np.all(resampled[1:] < 0.97 * linear[1:])  # which would not do


def test_a_table_with_one_bound_is_the_isotropic_case():
    # Resampled rows and equal bounds: every direction contracts by rho, whatever the rows.
    random = np.random.default_rng(1)
    x = random.normal(size=(60, 2)) @ [[1.0, 0.9], [0.0, 0.3]] + [5.0, -2.0]
    table = SimpleNamespace(X=x, y=x @ [1.0, 2.0] + random.normal(size=60))
    common = {"table": table, "slack": 1.2, "n_per_round": 600, "rejected": "resample"}
    made = describe(**common, bias=0.05)
    want = kc.mse_trajectory(
        dim=3,
        sigma=made.noise,
        n_real=60,
        n_per_round=600,
        bound=1.2,
        verifier_bias=math.sqrt(made.bias_squared),
        rounds=12,
    )
    np.testing.assert_allclose(closed_form.table_curve(made, 12), want, rtol=1e-3)
    trained = describe(**common, trained_on=90)
    want = kc.mse_trajectory(
        dim=3,
        sigma=made.noise,
        n_real=60,
        n_per_round=600,
        bound=1.2,
        verifier_bias=made.noise * math.sqrt(3 / 90),
        rounds=12,
    )
    np.testing.assert_allclose(closed_form.table_curve(trained, 12), want, rtol=1e-9)
    value, source = closed_form.limit(trained)
    assert source == "approximation"
    assert value == pytest.approx(want[-1], rel=0.02)


def test_the_best_bound_beats_its_neighbours():
    made = describe(dim=4, noise=1.0, n_real=50, n_per_round=1000, radius=0.7, bias=0.3, rejected="resample")
    found = closed_form.best_bound(made)
    assert found is not None
    bound, round, error = found
    for other in (0.8 * bound, 1.25 * bound):
        curve = kc.mse_trajectory(
            dim=4, sigma=1, n_real=50, n_per_round=1000, bound=other, verifier_bias=0.3, rounds=60
        )
        assert curve.min() > error
    assert round >= 1
    assert closed_form.best_bound(dataclasses.replace(made, bias=0.0)) is None
