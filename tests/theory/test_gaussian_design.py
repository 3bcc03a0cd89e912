"""Gaussian designs: golden table, limits, independent quadrature, simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from tests.helpers import assert_mean
from tests.theory.accepted_draws import draw_accepted
from theory import knowledge_center as kc
from theory.knowledge_center.gaussian_design import _round, _verifier

# KNOWLEDGE_CENTER.md section 4: D, d, r, s, sigma, covariates, g(D), rate at D, acceptance; ten decimals.
GOLDEN = [
    (0.5, 1, 0.5, 0.3, 1, "drop", 0.1683618347, 0.2953930470, 0.4448537463),
    (0.5, 1, 0.5, 0.3, 1, "resample", 0.1619239564, 0.2855271372, 0.4448537463),
    (0.5, 4, 0.2, 0.3, 1, "drop", 0.0904210557, 0.1703473852, 0.4482784523),
    (0.5, 4, 0.2, 0.3, 1, "resample", 0.0897549015, 0.1678800160, 0.4482784523),
    (2.0, 4, 0.2, 0.3, 1, "drop", 0.2803364038, 0.1199190489, 0.2239046745),
    (2.0, 4, 0.2, 0.3, 1, "resample", 0.2711880487, 0.0818609497, 0.2239046745),
    (1.0, 10, 0.1, 0.5, 0.5, "drop", 0.4932417489, 0.3348296393, 0.5261771415),
    (1.0, 10, 0.1, 0.5, 0.5, "resample", 0.3998646977, 0.1891643939, 0.5261771415),
    (5.0, 20, 0.05, 0.1, 1, "drop", 0.1667403486, 0.0320446084, 0.0493124495),
    (5.0, 20, 0.05, 0.1, 1, "resample", 0.1306952593, 0.0150894098, 0.0493124495),
]
BASE = dict(
    dim=4, sigma=1.0, n_real=60, n_per_round=200.0, radius=0.2, slack=0.3, verifier_bias=0.3, rounds=5
)


@pytest.mark.parametrize("row", GOLDEN)
def test_population_golden(row):
    distance, dim, radius, slack, sigma, covariates, g, rate, acceptance = row
    arguments = dict(dim=dim, radius=radius, slack=slack, sigma=sigma)
    last_digit = 5.1e-11
    assert kc.population_map(distance, **arguments, covariates=covariates) == pytest.approx(g, abs=last_digit)
    assert kc.population_rate(distance, **arguments, covariates=covariates) == pytest.approx(
        rate, abs=last_digit
    )
    assert kc.population_acceptance(distance, **arguments) == pytest.approx(acceptance, abs=last_digit)


def test_far_from_the_center_by_nested_quadrature():
    """d = 2 at 30 sigma, in Cartesian coordinates t, p and with the textbook moments (1e-12 good enough here)."""
    distance, radius, slack = 30.0, 0.5, 0.4
    nodes, weights = np.polynomial.legendre.leggauss(80)
    moved = kept = 0.0
    for low, high in ((0, 0.05), (0.05, 0.5), (0.5, 3), (3, 9)):  # finer near the cone of |x| at 0
        p = ((high - low) * nodes + high + low)[:, None] / 2
        end = (radius * p + slack + 9) / (distance - radius)  # beyond it acceptance is below exp(-40)
        t = end / 2 * (nodes + 1)
        bound, mean = radius * np.hypot(t, p) + slack, t * distance
        accept = stats.norm.cdf(bound - mean) - stats.norm.cdf(-bound - mean)
        m = mean + (stats.norm.pdf(-bound - mean) - stats.norm.pdf(bound - mean)) / accept
        area = accept * np.exp(-(t**2 + p**2) / 2) * weights[:, None] * weights * end * (high - low)
        moved += np.sum(area * t * m)
        kept += np.sum(area * t**2)
    got = kc.population_map(distance, dim=2, radius=radius, slack=slack, sigma=1.0, covariates="drop")
    assert got == pytest.approx(moved / kept, rel=1e-8)


@pytest.mark.parametrize("covariates", ["drop", "resample"])
@pytest.mark.parametrize(("distance", "dim"), [(0.7, 1), (2.0, 4)])
def test_derivative_of_the_map(covariates, distance, dim):
    arguments = dict(dim=dim, radius=0.3, slack=0.4, sigma=1.0, covariates=covariates)
    slope = kc.population_derivative(distance, **arguments)
    high, low = (kc.population_map(distance + h, **arguments) for h in (1e-3, -1e-3))
    assert slope == pytest.approx((high - low) / 2e-3, rel=1e-5)
    rate = kc.population_rate(distance, **arguments)
    assert (slope == pytest.approx(rate, rel=1e-9)) == (covariates == "resample")
    near = kc.population_map(1e-6, **arguments) / 1e-6
    for at_zero in (kc.population_rate, kc.population_derivative):
        assert at_zero(0.0, **arguments) == pytest.approx(near, rel=1e-9)
    assert kc.population_map(0.0, **arguments) == 0


@pytest.mark.parametrize("covariates", ["drop", "resample"])
def test_limits_of_the_ball(covariates):
    free = dict(dim=3, sigma=2.0, covariates=covariates)
    for radius, slack in ((np.inf, 0.0), (0.0, np.inf), (1e3, 1e3)):
        assert kc.population_map(1.5, radius=radius, slack=slack, **free) == pytest.approx(1.5, rel=1e-9)
    assert kc.population_map(1.5, radius=0.0, slack=1e-5, **free) == pytest.approx(0, abs=1e-9)
    # a constant bound: every row contracts at the rate of the orthogonal design
    rho = float(kc.contraction_rate(0.8, 2.0))
    assert kc.population_rate(0.0, radius=0.0, slack=0.8, **free) == pytest.approx(rho, rel=1e-9)


def test_drop_equals_resample_when_all_is_accepted():
    got = [kc.gaussian_trajectory(**{**BASE, "slack": 30.0}, covariates=c) for c in ("drop", "resample")]
    np.testing.assert_allclose(got[0], got[1], rtol=1e-9)


@settings(max_examples=6)
@given(st.floats(0.1, 4), st.sampled_from([1, 2, 5, 30]), st.sampled_from(["drop", "resample"]))
def test_the_map_contracts_and_scales(distance, dim, covariates):
    one = kc.population_map(distance, dim=dim, radius=0.2, slack=0.3, sigma=1.0, covariates=covariates)
    assert 0 < one < distance
    scaled = kc.population_map(5 * distance, dim=dim, radius=1, slack=1.5, sigma=5.0, covariates=covariates)
    assert scaled == pytest.approx(5 * one, rel=1e-8)


def test_path_iterates_the_map():
    arguments = dict(dim=2, radius=0.2, slack=0.5, sigma=1.0, covariates="drop")
    path = kc.population_path(2.0, rounds=3, **arguments)
    again = [2.0]
    for _ in range(3):
        again.append(kc.population_map(again[-1], **arguments))
    np.testing.assert_allclose(path, again, rtol=1e-6)


@pytest.mark.parametrize("covariates", ["drop", "resample"])
def test_map_matches_simulated_normal_equations(covariates):
    """E[accepted x (y - x g)] = 0 along u, in every batch of rows; false-alarm rate 1e-6, sees 2 % of g."""
    rng = np.random.default_rng(8)
    distance, dim, radius, slack, sigma = 1.2, 3, 0.3, 0.4, 0.8
    x = rng.standard_normal((1_000_000, dim))
    bound = radius * np.linalg.norm(x, axis=1) + slack
    if covariates == "resample":
        y = draw_accepted(rng, distance * x[:, 0], sigma, bound)
    else:
        y = distance * x[:, 0] + sigma * rng.standard_normal(len(x))
    keep = np.abs(y) <= bound
    arguments = dict(dim=dim, radius=radius, slack=slack, sigma=sigma)
    g = kc.population_map(distance, **arguments, covariates=covariates)
    weight = np.mean(keep * x[:, 0] ** 2)
    residual = keep * x[:, 0] * (y - g * x[:, 0]) / weight
    assert_mean(residual[:, None], 0.0, 0.02 * g + 0.005)
    if covariates == "drop":
        assert_mean(keep[:, None].astype(float), kc.population_acceptance(distance, **arguments), 0.006)


def test_constant_bound_and_resampling_is_the_exact_linear_form():
    """r = 0: M = rho I whatever the rows, and E tr (X'X)^-1 = d/(n - d - 1)."""
    arguments = {**BASE, "radius": 0.0, "slack": 0.7, "covariates": "resample"}
    rho, k = float(kc.contraction_rate(0.7, 1.0)), np.arange(6)
    noise = 4 * rho / (200 - 5) * (1 - rho ** (2 * k)) / (1 - rho**2)
    expected = rho ** (2 * k) * 4 / 55 + (1 - rho**k) ** 2 * 0.09 + noise
    np.testing.assert_allclose(kc.gaussian_trajectory(**arguments, finite_size=True), expected, rtol=1e-9)


def test_linear_trajectory_follows_the_page():
    """rho -> g'(0), V0 = d sigma^2/(n0-d-1), n_j -> n_j E[w t^2], the expectations by one-dimensional quadrature."""

    def weight(x):  # d = 1
        return stats.norm.pdf(x) * (2 * stats.norm.cdf(0.2 * x + 0.3) - 1)

    kept = 2 * integrate.quad(lambda x: x**2 * weight(x), 0, 12, epsabs=1e-13)[0]
    slope = 2 * integrate.quad(
        lambda x: x**2 * weight(x) * kc.contraction_rate(0.2 * x + 0.3, 1.0), 0, 12, epsabs=1e-13
    )[0]  # fmt: skip
    got = kc.gaussian_trajectory(**{**BASE, "dim": 1, "rounds": 1})
    rho = slope / kept
    expected = rho**2 / 58 + (1 - rho) ** 2 * 0.09 + rho / (200 * kept)
    np.testing.assert_allclose(got, [1 / 58, expected], rtol=1e-9)


@pytest.mark.parametrize("covariates", ["drop", "resample"])
@pytest.mark.parametrize("finite_size", [True, False])
def test_delta_method_is_linear_without_bias(covariates, finite_size):
    arguments = {**BASE, "verifier_bias": 0.0, "covariates": covariates, "finite_size": finite_size}
    linear = kc.gaussian_trajectory(**arguments)
    np.testing.assert_allclose(kc.gaussian_trajectory_delta(**arguments), linear, rtol=1e-6)


def simulate(rng, *, dim, n_real, n, radius, slack, bias, rounds, drop, chains):
    """Squared errors (chains, rounds + 1), one chain at a time, sigma = 1."""
    truth, out = np.array([bias] + [0.0] * (dim - 1)), np.empty((chains, rounds + 1))
    for c in range(chains):
        x = rng.standard_normal((n_real, dim))
        delta = np.linalg.solve(x.T @ x, x.T @ (x @ truth + rng.standard_normal(n_real)))
        for k in range(rounds + 1):
            out[c, k] = np.sum((delta - truth) ** 2)
            x = rng.standard_normal((n, dim))
            bound = radius * np.linalg.norm(x, axis=1) + slack
            y = x @ delta + rng.standard_normal(n) if drop else draw_accepted(rng, x @ delta, 1.0, bound)
            keep = np.abs(y) <= bound
            x, y = x[keep], y[keep]
            delta = np.linalg.solve(x.T @ x, x.T @ y)
    return out


@pytest.mark.parametrize("covariates", ["drop", "resample"])
def test_delta_trajectory_matches_simulation(covariates):
    """First order in 1/n, about 1 % off at 150 rows; sees 10 %. The linear form is 50 % low here."""
    arguments = dict(dim=3, n_real=80, radius=0.3, slack=1.0, rounds=3)
    squared = simulate(
        np.random.default_rng(9), **arguments, n=150, bias=1.0, drop=covariates == "drop", chains=4000
    )
    mse = kc.gaussian_trajectory_delta(
        **arguments, sigma=1.0, n_per_round=150, verifier_bias=1.0, covariates=covariates
    )
    assert_mean(squared, mse, [0.2 * mse[0], 0.1 * mse[1], 0.1 * mse[2], 0.1 * mse[3]])


@pytest.mark.parametrize("covariates", ["drop", "resample"])
def test_noise_of_one_round_matches_simulation(covariates):
    """Variance along and across the deviation, first order in 1/n; false-alarm rate 1e-6, sees 32 %.

    So far from the center the misfit of the line to the accepted means is 20 to 30 % of the variance along.
    """
    drop = covariates == "drop"
    distance = 5.0 if drop else 1.5
    rows, radius, slack, rng = 1000, 0.6, 0.1, np.random.default_rng(10)
    fits = np.empty((4000, 3))
    for c in range(len(fits)):
        x = rng.standard_normal((rows, 3))
        bound, mean = radius * np.linalg.norm(x, axis=1) + slack, distance * x[:, 0]
        y = mean + rng.standard_normal(rows) if drop else draw_accepted(rng, mean, 1.0, bound)
        x = x * (np.abs(y) <= bound)[:, None]
        fits[c] = np.linalg.solve(x.T @ x, x.T @ y)
    step = _round(distance, _verifier(3, radius, slack, 1.0, covariates), 1e-8)
    assert_mean(fits, [step.target, 0.0, 0.0], 0.04)
    noise = np.array([step.noise_along, step.noise_across, step.noise_across]) / rows
    assert_mean((fits - fits.mean(axis=0)) ** 2, noise, 0.32 * noise)


@pytest.mark.parametrize("function", [kc.gaussian_trajectory, kc.gaussian_trajectory_delta])
def test_rotation_scale_and_growing_counts(function):
    base = function(**BASE)
    turned = {**BASE, "verifier_bias": [0.1, -0.2, 0.2, 0.0]}
    np.testing.assert_allclose(function(**turned), base, rtol=1e-6)
    scaled = {**BASE, "sigma": 3.0, "radius": 0.6, "slack": 0.9, "verifier_bias": 0.9}
    np.testing.assert_allclose(function(**scaled), 9 * base, rtol=1e-6)
    unlimited = function(**{**BASE, "n_real": np.inf, "n_per_round": np.inf})
    path = kc.population_path(0.3, dim=4, radius=0.2, slack=0.3, sigma=1.0, rounds=5)
    np.testing.assert_allclose(
        unlimited, (0.3 - path) ** 2, rtol=0.05, atol=1e-12
    )  # linear: 4 % at this bias


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": -0.1}, r"radius must be >= 0 \(inf allowed\), got -0.1"),
        ({"slack": np.nan}, r"slack must be >= 0 \(inf allowed\), got nan"),
        ({"radius": 0, "slack": 0}, r"radius \+ slack must be > 0, got 0"),
        ({"n_real": 5}, "n_real must be > dim \\+ 1 = 5, got 5"),
        ({"covariates": "redraw"}, "covariates must be one of 'drop', 'resample', got 'redraw'"),
        ({"n_per_round": 8, "finite_size": True}, r"n_per_round must be > \(dim \+ 1\)/acceptance"),
        ({"dim": 0}, "dim must be an integer >= 1, got 0"),
        ({"sigma": 0}, "sigma must be > 0 and finite, got 0"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        kc.gaussian_trajectory(**{**BASE, **changes})


def test_bad_distances_are_named():
    with pytest.raises(ValueError, match="distance must be >= 0 and finite, got -1"):
        kc.population_map(-1, dim=2, radius=0.1, slack=0.1, sigma=1.0)
