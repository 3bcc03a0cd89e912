"""Fixed designs: special cases, simulation of one round, and the delta method against the exact chain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import assert_mean
from tests.theory.accepted_draws import draw_accepted
from theory import knowledge_center as kc
from theory.knowledge_center.fixed_design import _problem, _step

DESIGN = np.array([[1.0, 0.2], [0.5, -1.0], [-0.3, 0.8], [1.2, 0.4], [0.1, 1.5], [-0.7, -0.6]])
BOUNDS = np.array([0.8, 1.0, 0.6, 1.5, 0.9, 1.2])
BIAS = np.array([0.4, -0.3])
PROBLEM = dict(sigma=1.0, bounds=BOUNDS, verifier_bias=BIAS, copies=10.0, rounds=8)


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_equal_bounds_contract_every_direction_at_one_rate(rejected):
    """M = rho I, so MSE_k = rho^2k V0 + (1-rho^k)^2 Delta^2 + sigma^2 tr (X'WX)^-1 rho (1 + rho^2 + ...)/copies."""
    got = kc.fixed_design_trajectory(DESIGN, **{**PROBLEM, "bounds": 0.9}, rejected=rejected)
    rho, k = float(kc.contraction_rate(0.9, 1.0)), np.arange(9)
    inverse = np.trace(np.linalg.inv(DESIGN.T @ DESIGN))
    share = 0.6318797493064177 if rejected == "drop" else 1.0  # 2 Phi(0.9) - 1
    noise = rho * inverse / share / 10 * (1 - rho ** (2 * k)) / (1 - rho**2)
    expected = rho ** (2 * k) * inverse + (1 - rho**k) ** 2 * (BIAS @ BIAS) + noise
    np.testing.assert_allclose(got, expected, rtol=1e-11)


def test_unit_directions_are_the_orthogonal_design():
    arguments = dict(sigma=1.3, verifier_bias=[0.2, -0.1, 0.4], rounds=6)
    got = kc.fixed_design_trajectory(
        np.eye(3),
        **arguments,
        bounds=1.1,
        copies=[20, 30, 40, np.inf, 5, 6],
        first_covariance=np.eye(3) / 50 * 1.69,
    )
    counts = [20, 30, 40, np.inf, 5, 6]
    expected = kc.mse_trajectory(**arguments, dim=3, bound=1.1, n_real=50, n_per_round=counts)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("function", [kc.fixed_design_trajectory, kc.fixed_design_trajectory_delta])
@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_changes_of_coordinates_and_units(function, rejected):
    base = function(DESIGN, **PROBLEM, rejected=rejected)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = function(DESIGN @ turn.T, **{**PROBLEM, "verifier_bias": turn @ BIAS}, rejected=rejected)
    np.testing.assert_allclose(turned, base, rtol=1e-12)
    scaled = {**PROBLEM, "sigma": 3.0, "bounds": 3 * BOUNDS, "verifier_bias": 3 * BIAS}
    np.testing.assert_allclose(function(DESIGN, **scaled, rejected=rejected), 9 * base, rtol=1e-12)
    # Rows in another order; and every row twice with half the copies and the same first fit.
    order = {**PROBLEM, "bounds": BOUNDS[::-1]}
    np.testing.assert_allclose(function(DESIGN[::-1], **order, rejected=rejected), base, rtol=1e-12)
    twice = {**PROBLEM, "bounds": np.tile(BOUNDS, 2), "copies": 5.0, "real_design": DESIGN}
    np.testing.assert_allclose(
        function(np.tile(DESIGN, (2, 1)), **twice, rejected=rejected), base, rtol=1e-12
    )


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_limits_of_the_bounds(rejected):
    free = kc.fixed_design_trajectory(DESIGN, **{**PROBLEM, "bounds": np.inf}, rejected=rejected)
    inverse = np.trace(np.linalg.inv(DESIGN.T @ DESIGN))
    np.testing.assert_allclose(free, inverse * (1 + np.arange(9) / 10), rtol=1e-12)
    wide = kc.fixed_design_trajectory_delta(DESIGN, **{**PROBLEM, "bounds": 20.0}, rejected=rejected)
    np.testing.assert_allclose(wide, free, rtol=1e-12)
    if rejected == "resample":
        narrow = kc.fixed_design_trajectory_delta(DESIGN, **{**PROBLEM, "bounds": 1e-6})
        np.testing.assert_allclose(narrow[1:], BIAS @ BIAS, rtol=1e-5)


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_exact_step_is_one_orthogonal_truncated_mean_per_direction(a, b):
    mean, covariance = kc.fixed_design_step_exact(np.eye(2), [a, b], sigma=0.7, bounds=[0.5, 2.0], copies=4)
    for i, (delta, bound) in enumerate(((a, 0.5), (b, 2.0))):
        law = kc.chain_law_exact(
            sigma=0.7, n_real=np.inf, n_per_round=4, bound=bound, verifier_bias=[-delta], rounds=1
        )
        assert mean[i] == pytest.approx(law.mean[1, 0], rel=1e-9, abs=1e-12)
        assert covariance[i, i] == pytest.approx(law.variance[1, 0], rel=1e-9)


def simulate_round(rng, deviation, copies, drop, chains):
    """Fits (chains, 2) after one round from a fixed deviation; sigma = 1. Plain normal equations."""
    rows, bounds = np.tile(DESIGN, (copies, 1)), np.tile(BOUNDS, copies)
    mean = np.broadcast_to(rows @ deviation, (chains, len(rows)))
    y = mean + rng.standard_normal(mean.shape) if drop else draw_accepted(rng, mean, 1.0, bounds)
    keep = np.abs(y) <= bounds
    products = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    gram = (keep.astype(float) @ products).reshape(-1, 2, 2)
    return np.linalg.solve(gram, ((y * keep) @ rows)[..., None])[..., 0]


def test_exact_step_matches_simulation():
    """False-alarm rate 1e-6; sees 0.005 sigma in the mean and 5 % of the second moments (one row set)."""
    deviation = np.array([0.9, -1.4])
    mean, covariance = kc.fixed_design_step_exact(DESIGN, deviation, sigma=1.0, bounds=BOUNDS, copies=2)
    fits = simulate_round(np.random.default_rng(2), deviation, 2, False, 60_000)
    assert_mean(fits, mean, 0.01)
    squares = np.einsum("ci,cj->cij", fits - mean, fits - mean)
    assert_mean(squares, covariance, 0.1 * np.sqrt(np.outer(np.diag(covariance), np.diag(covariance))))


@pytest.mark.parametrize(
    ("rejected", "deviation", "copies"), [("resample", [0.5, -0.4], 20), ("drop", [2.0, -2.0], 300)]
)
def test_delta_step_matches_simulation(rejected, deviation, copies):
    """First order in 1/copies (1 % off here); false-alarm rate 1e-6, sees 12 % of the variances.

    With dropped rows the misfit of the line to the accepted means is 12 % of the variance at this deviation.
    """
    rng, deviation = np.random.default_rng(4), np.array(deviation)
    target, _, noise = _step(_problem(DESIGN, 1.0, BOUNDS, rejected), deviation)
    fits = np.concatenate(
        [simulate_round(rng, deviation, copies, rejected == "drop", 2000) for _ in range(10)]
    )
    assert_mean(fits, target, 0.02)
    spread = (fits - fits.mean(axis=0)) ** 2
    assert_mean(spread, np.diag(noise) / copies, 0.12 * np.diag(noise) / copies)


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_delta_jacobian_is_the_derivative_of_the_map(rejected):
    problem, deviation, h = _problem(DESIGN, 1.0, BOUNDS, rejected), np.array([0.9, -1.4]), 1e-5
    _, jacobian, _ = _step(problem, deviation)
    columns = [
        (_step(problem, deviation + h * e)[0] - _step(problem, deviation - h * e)[0]) / (2 * h)
        for e in np.eye(2)
    ]
    np.testing.assert_allclose(jacobian, np.array(columns).T, atol=1e-8)  # step^2 plus rounding/step


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_delta_method_is_linear_for_small_bias(rejected):
    small = {**PROBLEM, "verifier_bias": 1e-5 * BIAS, "rejected": rejected}
    linear = kc.fixed_design_trajectory(DESIGN, **small)
    np.testing.assert_allclose(kc.fixed_design_trajectory_delta(DESIGN, **small), linear, rtol=1e-7)


def test_delta_method_is_close_to_the_exact_chain():
    """Bias sigma, where the linear form is 29 to 54 % low: the documented errors, of order 1/rows."""
    for rows, errors in ((50, {2.0: 0.0155, 3.0: 0.12}), (1000, {2.0: 0.001, 3.0: 0.015})):
        for bound, tolerance in errors.items():
            first = np.array([[1 / rows]])
            delta = kc.fixed_design_trajectory_delta(
                np.eye(1),
                sigma=1.0,
                bounds=bound,
                verifier_bias=[1.0],
                copies=rows,
                rounds=50,
                first_covariance=first,
            )
            exact = kc.mse_trajectory_exact(
                sigma=1.0, n_real=rows, n_per_round=rows, bound=bound, verifier_bias=[1.0], rounds=50
            )
            np.testing.assert_allclose(delta, exact, rtol=tolerance)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bounds": [1.0, 2.0]}, "bounds must be one number or one for each of 6 rows"),
        ({"bounds": np.nan}, r"bounds must be > 0 \(inf allowed\), got nan"),
        ({"verifier_bias": [0.1]}, r"verifier_bias must be a vector of shape \(2,\)"),
        ({"copies": 0}, r"copies must be > 0 \(inf allowed\), got 0"),
        ({"real_design": np.ones((5, 2))}, "real_design must be of full column rank"),
        ({"real_design": np.ones(5)}, "real_design must be a matrix with 2 columns"),
        ({"first_covariance": np.eye(3)}, r"first_covariance must be of shape \(2, 2\)"),
        ({"first_covariance": np.eye(2), "real_design": DESIGN}, "first_covariance must be left out"),
        ({"rejected": "keep"}, "rejected must be one of 'drop', 'resample', got 'keep'"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        kc.fixed_design_trajectory(DESIGN, **{**PROBLEM, **changes})


def test_bad_designs_are_named():
    for design, message in (
        (np.ones((4, 2)), "design must be of full column rank"),
        (np.ones((1, 2)), "design must be of full column rank"),
        (np.ones(4), r"design must be a matrix \(N, D\)"),
        (np.full((4, 2), np.nan), "design must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            kc.fixed_design_trajectory(design, **{**PROBLEM, "bounds": 1.0})
