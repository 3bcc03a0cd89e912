"""The exact chain against dense-grid transfer operators, simulation, and its linear limit."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import erf, ndtr

from tests.helpers import assert_mean, assert_proportion
from tests.theory.accepted_draws import draw_accepted
from theory import knowledge_center as kc

PROBLEM = dict(sigma=1.0, n_real=50, n_per_round=50, bound=1.0, rounds=10)


# --- Reference: the law on a fine grid, one transfer matrix, sigma = 1. Written apart from the package. -------------
def segments(*ends, nodes=60):
    x, w = np.polynomial.legendre.leggauss(nodes)
    pieces = [((b - a) / 2 * x + (a + b) / 2, (b - a) / 2 * w) for a, b in pairwise(ends)]
    return (np.concatenate([p[i] for p in pieces]) for i in (0, 1))


def mean_of_one(x, delta, bound):
    return stats.norm.pdf(x - delta) / (ndtr(bound - delta) - ndtr(-bound - delta))


def mean_of_two(x, delta, bound):
    """Density of (y1 + y2)/2: with y1,2 = x +- h the pair has density exp(-(x-delta)^2 - h^2), |h| <= bound - |x|."""
    density = np.exp(-((x - delta) ** 2)) * erf(bound - np.abs(x)) / np.sqrt(np.pi)
    pair = ndtr(bound - delta) - ndtr(-bound - delta)
    return density / pair**2


def mean_of_many(x, delta, bound, n):
    """The same for n draws, from the n-th power of the characteristic function."""
    y, w = segments(-bound, bound, nodes=100)
    t = np.linspace(-40 / bound, 40 / bound, 801)
    weight = w * mean_of_one(y, delta, bound)  # delta (S, 1): (S, Y)
    characteristic = (weight @ np.exp(1j * np.outer(y, t))) ** n  # (S, T)
    return n * (t[1] - t[0]) / (2 * np.pi) * (characteristic @ np.exp(-1j * n * np.outer(t, x[0]))).real


def grid_mse(kernel, stay, bias, n_real, bound, rounds):
    """MSE per round; kernel(x, delta) density of a fit on kept rows, stay(delta) chance of keeping the old fit."""
    x, w = segments(-bound, 0, bound)
    first = bias + np.linspace(-9, 9, 600) / np.sqrt(n_real)
    points = np.concatenate([first, x])
    law = np.concatenate([stats.norm.pdf(first, bias, n_real**-0.5), np.zeros_like(x)])
    law /= law.sum()
    move = kernel(x[None, :], points[:, None]) * w * (1 - stay(points))[:, None]
    mse = []
    for _ in range(rounds + 1):
        mse.append(law @ (points - bias) ** 2)
        kept = law * stay(points)
        law = kept + np.concatenate([np.zeros_like(first), law @ move])
    return np.array(mse)


@pytest.mark.parametrize(
    ("bias", "n_real", "bound"), [(0.5, 10, 1.0), (2.0, 3, 2.0), (1.0, 1, 3.0), (0.0, 5, 0.3)]
)
def test_one_and_two_rows_match_the_transfer_operator(bias, n_real, bound):
    for n, density in ((1, mean_of_one), (2, mean_of_two)):
        expected = grid_mse(lambda x, d, f=density: f(x, d, bound), np.zeros_like, bias, n_real, bound, 8)
        got = kc.mse_trajectory_exact(
            sigma=1, n_real=n_real, n_per_round=n, bound=bound, verifier_bias=[bias], rounds=8
        )
        np.testing.assert_allclose(got, expected, rtol=1e-6)  # as documented for one row


def test_many_rows_match_the_transfer_operator():
    expected = grid_mse(lambda x, d: mean_of_many(x, d, 1.5, 20), np.zeros_like, 1.0, 10, 1.5, 6)
    got = kc.mse_trajectory_exact(
        sigma=1, n_real=10, n_per_round=20, bound=1.5, verifier_bias=[-1.0], rounds=6
    )
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize(("bias", "n_real", "bound"), [(0.5, 10, 1.0), (1.5, 20, 0.5)])
def test_dropped_rows_match_the_transfer_operator(bias, n_real, bound):
    """Two rows generated: none, one or two are kept."""

    def accept(d):
        return ndtr(bound - d) - ndtr(-bound - d)

    def kernel(x, d):
        one, two = 2 * accept(d) * (1 - accept(d)), accept(d) ** 2
        return (one * mean_of_one(x, d, bound) + two * mean_of_two(x, d, bound)) / (one + two)

    def stay(d):
        return (1 - accept(d)) ** 2

    expected = grid_mse(kernel, stay, bias, n_real, bound, 6)
    law = kc.chain_law_exact(
        sigma=1, n_real=n_real, n_per_round=2, bound=bound, verifier_bias=[bias], rounds=6, rejected="drop"
    )
    np.testing.assert_allclose(law.mse, expected, rtol=1e-6)


def simulate(rng, *, bias, n_real, n, bound, rounds, drop, chains):
    """Squared errors (chains, rounds + 1) and empty rounds (rounds,), one direction at a time, sigma = 1."""
    squared, empty = np.zeros((chains, rounds + 1)), np.zeros((len(bias), rounds), dtype=int)
    for i, truth in enumerate(-np.asarray(bias)):
        delta = truth + rng.standard_normal(chains) / np.sqrt(n_real)
        squared[:, 0] += (delta - truth) ** 2
        for k in range(rounds):
            mean = np.broadcast_to(delta[:, None], (chains, n))
            y = mean + rng.standard_normal(mean.shape) if drop else draw_accepted(rng, mean, 1.0, bound)
            keep = np.abs(y) <= bound
            count = keep.sum(axis=1)
            empty[i, k] = np.sum(count == 0)
            delta = np.where(count > 0, (y * keep).sum(axis=1) / np.maximum(count, 1), delta)
            squared[:, k + 1] += (delta - truth) ** 2
    return squared, empty


@pytest.mark.parametrize(("drop", "n", "bound"), [(True, 10, 0.3), (False, 4, 1.5)])
def test_chain_matches_simulation(drop, n, bound):
    """False-alarm rate 1e-6 per assertion; sees 5 % of the MSE and 0.012 in the chance of an empty round."""
    problem = dict(bias=[0.4, -0.1], n_real=20, n=n, bound=bound, rounds=3)
    squared, empty = simulate(np.random.default_rng(11), **problem, drop=drop, chains=100_000)
    law = kc.chain_law_exact(
        sigma=1,
        n_real=20,
        n_per_round=n,
        bound=bound,
        verifier_bias=[0.4, -0.1],
        rounds=3,
        rejected="drop" if drop else "resample",
    )
    assert_mean(squared, law.mse, 0.05 * law.mse)
    if drop:
        assert_proportion(empty, len(squared), law.empty_chance[1:].T, 0.012)
    else:
        assert not law.empty_chance.any()


# KNOWLEDGE_CENTER.md section 3: largest error of the linear form in per cent, n_real = 50, n_per_round = inf.
ACCURACY = {0.5: [-1, -4, -7, -11, -16], 1.0: [-4, -15, -29, -41, -54]}


@pytest.mark.parametrize("bias", ACCURACY)
def test_error_of_the_linear_form(bias):
    worst = []
    for bound in (1.0, 1.5, 2.0, 2.5, 3.0):  # rho = 0.29, 0.55, 0.77, 0.91, 0.97
        arguments = dict(sigma=1.0, n_real=50, n_per_round=np.inf, bound=bound, rounds=60)
        exact = kc.mse_trajectory_exact(**arguments, verifier_bias=[bias])
        error = kc.mse_trajectory(**arguments, dim=1, verifier_bias=bias) / exact - 1
        worst.append(100 * error[np.argmax(np.abs(error))])
    np.testing.assert_allclose(worst, ACCURACY[bias], atol=0.6)  # the page rounds to whole per cents


def test_small_deviations_are_linear():
    """Deviations of 1e-4 sigma: the cubic term of the truncated mean is of relative order 1e-8."""
    arguments = dict(sigma=1.0, n_real=1e8, n_per_round=10**8, bound=1.2, rounds=30)
    exact = kc.mse_trajectory_exact(**arguments, verifier_bias=[1e-4, -2e-4, 0.0])
    linear = kc.mse_trajectory(**arguments, dim=3, verifier_bias=np.hypot(1e-4, 2e-4))
    np.testing.assert_allclose(exact, linear, rtol=1e-6)


def test_directions_add_up_and_do_not_interact():
    several = kc.chain_law_exact(**PROBLEM, verifier_bias=[0.5, -0.2, 0.0, 0.5])
    singles = [kc.chain_law_exact(**PROBLEM, verifier_bias=[b]) for b in (0.5, -0.2, 0.0, 0.5)]
    np.testing.assert_allclose(several.mse, sum(s.mse for s in singles), rtol=1e-12)
    np.testing.assert_allclose(several.mean, np.hstack([s.mean for s in singles]), atol=1e-12)
    np.testing.assert_allclose(several.variance, np.hstack([s.variance for s in singles]), rtol=1e-12)
    np.testing.assert_allclose(several.mean[0], [-0.5, 0.2, 0.0, -0.5], atol=1e-15)  # truth - center


@given(
    st.sampled_from([1, 3, 20, 1000, np.inf]),
    st.sampled_from([1, 10, 1e4, np.inf]),
    st.floats(0.05, 6),
    st.floats(-4, 4),
)
def test_published_bound_holds(n, n_real, bound, bias):
    arguments = dict(sigma=1.0, n_real=n_real, n_per_round=n, bound=bound, rounds=5)
    law = kc.chain_law_exact(**arguments, verifier_bias=[bias])
    distance = (law.variance + law.mean**2)[:, 0]
    assert np.all(distance <= kc.mse_bound(**arguments, dim=1, verifier_bias=abs(bias)) * (1 + 1e-6))


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_limits_of_the_bound(rejected):
    free = kc.mse_trajectory_exact(
        **{**PROBLEM, "bound": np.inf}, verifier_bias=[0.5, 0.1], rejected=rejected
    )
    np.testing.assert_allclose(free, 2 / 50 * np.arange(1, 12), rtol=1e-11)  # no verifier
    wide = kc.mse_trajectory_exact(**{**PROBLEM, "bound": 12.0}, verifier_bias=[0.5, 0.1], rejected=rejected)
    np.testing.assert_allclose(wide, free, rtol=1e-9)  # all accepted: drop = resample
    if rejected == "resample":
        narrow = kc.mse_trajectory_exact(**{**PROBLEM, "bound": 1e-6}, verifier_bias=[0.5, 0.1])
        np.testing.assert_allclose(narrow[1:], 0.26, rtol=1e-6)  # one round lands on the center


@pytest.mark.parametrize("rejected", ["drop", "resample"])
def test_scaling_the_data_scales_the_error(rejected):
    one = kc.mse_trajectory_exact(**PROBLEM, verifier_bias=[0.5, 0.1], rejected=rejected)
    scaled = {**PROBLEM, "sigma": 3.0, "bound": 3.0}
    got = kc.mse_trajectory_exact(**scaled, verifier_bias=[1.5, 0.3], rejected=rejected)
    np.testing.assert_allclose(got, 9 * one, rtol=1e-12)


def test_counts_by_round():
    several = kc.mse_trajectory_exact(
        **{**PROBLEM, "n_per_round": [50, 50, np.inf], "rounds": 3}, verifier_bias=[0.5]
    )
    constant = kc.mse_trajectory_exact(**{**PROBLEM, "rounds": 3}, verifier_bias=[0.5])
    np.testing.assert_allclose(several[:3], constant[:3], rtol=1e-13)
    assert several[3] < constant[3]


def test_a_certain_start_stays_certain_with_unlimited_rows():
    law = kc.chain_law_exact(
        sigma=1.0, n_real=np.inf, n_per_round=np.inf, bound=1.0, verifier_bias=[0.5], rounds=4
    )
    np.testing.assert_allclose(law.variance, 0, atol=1e-30)
    np.testing.assert_allclose(law.mean[1], -0.143727115823, rtol=1e-10)  # golden m(0.5; 1, 1)


def test_kept_count():
    """KNOWLEDGE_CENTER.md section 3: at b/sigma = 0.3, n = 10, 1/(nZ) is 18 % off and P(K = 0) = 7 %."""
    z = 2 * ndtr(0.3) - 1
    k = np.arange(1, 11)
    pmf = stats.binom.pmf(k, 10, z)
    expected = np.sum(pmf / k) / pmf.sum()
    assert kc.inverse_kept_count(10, z) == pytest.approx(expected, rel=1e-12)
    assert 1 / (10 * z) / expected == pytest.approx(0.82, abs=0.01)
    assert kc.empty_chance(10, np.log(z)) == pytest.approx((1 - z) ** 10, rel=1e-12)
    assert kc.empty_chance(10, np.log(z)) == pytest.approx(0.07, abs=0.003)
    assert kc.inverse_kept_count(7, 1.0) == pytest.approx(1 / 7, rel=1e-14)
    assert kc.inverse_kept_count(np.inf, 0.3) == 0
    assert kc.empty_chance(np.inf, -2000.0) == 0


@pytest.mark.parametrize(("n", "z"), [(3000, 0.4), (3000, 0.01), (200_000, 0.3), (200_000, 1e-4)])
def test_kept_count_of_many_rows(n, z):
    k = np.arange(1, n + 1)
    pmf = stats.binom.pmf(k, n, z)
    # scipy's own pmf of this size is good to about 1e-10
    assert kc.inverse_kept_count(n, z) == pytest.approx(np.sum(pmf / k) / pmf.sum(), rel=1e-9)


def test_steep_empty_chance_is_an_error_not_a_number():
    with pytest.raises(ArithmeticError, match="did not converge"):
        kc.mse_trajectory_exact(
            sigma=1.0, n_real=1, n_per_round=10**9, bound=0.06, verifier_bias=[8.0], rounds=3, rejected="drop"
        )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("verifier_bias", 0.5, "verifier_bias must be a vector, one entry per direction, got 0.5"),
        ("verifier_bias", [0.1, np.nan], "verifier_bias must be finite"),
        ("n_per_round", 2.5, "n_per_round must be an integer >= 1, or inf, got 2.5"),
        ("n_per_round", 0, r"n_per_round must be > 0 \(inf allowed\), got 0"),
        ("rejected", "redraw", "rejected must be one of 'drop', 'resample', got 'redraw'"),
        ("bound", np.nan, r"bound must be > 0 \(inf allowed\), got nan"),
        ("sigma", 0, "sigma must be > 0 and finite, got 0"),
    ],
)
def test_values_out_of_range_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        kc.mse_trajectory_exact(**{**PROBLEM, "verifier_bias": [0.5], name: value})


def test_kept_count_names_its_arguments():
    with pytest.raises(ValueError, match=r"acceptance must be in \(0, 1\], got 1.5"):
        kc.inverse_kept_count(10, 1.5)
    with pytest.raises(ValueError, match="log_acceptance must be <= 0, got nan"):
        kc.empty_chance(10, np.nan)
