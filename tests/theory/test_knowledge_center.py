"""Linearised trajectories, the published bound, and when to stop."""

import subprocess
import sys

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from theory import knowledge_center as kc

BASE = dict(dim=4, sigma=1.0, n_real=50.0, bound=1.0, verifier_bias=0.5)
ROUNDING = 1e-12  # relative: a few hundred operations without cancellation

# KNOWLEDGE_CENTER.md section 2 (mpmath, 1800 digits)
RATES = {
    0.01: 3.3332888891e-5,
    0.25: 0.0206602410545,
    0.5: 0.0805891546008,
    1: 0.291125094773,
    1.5: 0.551524415762,
    2: 0.77374130355,
    3: 0.973336924663,
    5: 0.999985132796,
}


def test_the_package_needs_no_jax():
    check = "import theory, sys; sys.exit('jax' in sys.modules or 'simcollapse' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_contraction_rate_golden():
    np.testing.assert_allclose(
        kc.contraction_rate(2 * np.array(list(RATES)), 2.0), list(RATES.values()), rtol=1e-10
    )


@pytest.mark.parametrize("z", [1e-6, 0.01, 1.0, 5.0, 12.0, 30.0])
def test_contraction_loss_is_one_minus_rate(z):
    with mpmath.workdps(300):
        loss = 2 * mpmath.mpf(z) * mpmath.npdf(z) / mpmath.erf(mpmath.mpf(z) / mpmath.sqrt(2))
        assert kc.contraction_loss(z, 1.0) == pytest.approx(float(loss), rel=1e-12, abs=0)
        assert kc.contraction_rate(z, 1.0) == pytest.approx(float(1 - loss), rel=1e-12, abs=0)


def test_contraction_rate_limits():
    assert kc.contraction_rate(np.inf, 1.0) == pytest.approx(1, abs=1e-14)
    assert kc.contraction_loss(np.inf, 1.0) == 0
    assert kc.contraction_rate(1e-6, 1.0) == pytest.approx(1e-12 / 3, rel=1e-11, abs=0)


problems = st.fixed_dictionaries(
    {
        "dim": st.integers(1, 20),
        "sigma": st.floats(0.1, 10),
        "n_real": st.floats(1, 1e4),
        "bound": st.floats(0.05, 30),
        "verifier_bias": st.floats(0, 5),
        "n_per_round": st.sampled_from([3.0, 50.0, 1e4, np.inf]),
    }
)


def closed_form(problem, rounds):
    """MSE_k of section 3 in 40 digits: the sum over batches where S is infinite or nearly so."""
    with mpmath.workdps(40):
        rho = mpmath.mpf(float(kc.contraction_rate(problem["bound"], problem["sigma"])))
        if rho > 0.5:  # each of the two keeps its digits where it is small
            rho = 1 - mpmath.mpf(float(kc.contraction_loss(problem["bound"], problem["sigma"])))
        unit = problem["dim"] * mpmath.mpf(problem["sigma"]) ** 2
        out = []
        for k in range(rounds + 1):
            noise = (
                unit / problem["n_per_round"] * sum((rho ** (2 * (k - j) + 1) for j in range(1, k + 1)), 0)
            )
            real = rho ** (2 * k) * unit / mpmath.mpf(problem["n_real"])
            out.append(float(real + (1 - rho**k) ** 2 * mpmath.mpf(problem["verifier_bias"]) ** 2 + noise))
        return np.array(out)


@given(problems)
def test_recursion_equals_closed_form(problem):
    got = kc.mse_trajectory(**problem, rounds=12)
    np.testing.assert_allclose(got, closed_form(problem, 12), rtol=ROUNDING)


@given(problems)
def test_constant_count_form_with_the_stationary_variance(problem):
    s = kc.stationary_variance(**{k: problem[k] for k in ("dim", "sigma", "bound", "n_per_round")})
    v0 = problem["dim"] * problem["sigma"] ** 2 / problem["n_real"]
    assume(s < 100 * v0)  # beyond, V0 - S + S cancels
    left = float(kc.contraction_rate(problem["bound"], problem["sigma"])) ** np.arange(13)
    expected = left**2 * (v0 - s) + (1 - left) ** 2 * problem["verifier_bias"] ** 2 + s
    np.testing.assert_allclose(kc.mse_trajectory(**problem, rounds=12), expected, rtol=1e-10)


def test_counts_by_round_and_bias_as_vector():
    several = kc.mse_trajectory(**BASE, n_per_round=[100, np.inf, 20], rounds=3)
    vector = {**BASE, "verifier_bias": [0.3, 0.0, -0.4, 0.0]}
    np.testing.assert_array_equal(
        several, kc.mse_trajectory(**vector, n_per_round=[100, np.inf, 20], rounds=3)
    )
    rho, v0 = float(kc.contraction_rate(1.0, 1.0)), 4 / 50
    noise = 4 * (rho**5 / 100 + rho / 20)
    assert several[3] == pytest.approx(rho**6 * v0 + (1 - rho**3) ** 2 * 0.25 + noise, rel=ROUNDING)
    assert kc.mse_trajectory(**BASE, n_per_round=5, rounds=0) == pytest.approx([v0])


def test_no_verifier_grows_by_one_fit_per_round():
    got = kc.mse_trajectory(**{**BASE, "bound": np.inf}, n_per_round=100, rounds=6)
    np.testing.assert_allclose(got, 4 / 50 + 4 / 100 * np.arange(7), rtol=ROUNDING)


@given(st.floats(0.05, 5))
def test_without_bias_and_noise_the_error_falls_by_rate_squared(bound):
    path = kc.mse_trajectory(**{**BASE, "bound": bound, "verifier_bias": 0}, n_per_round=np.inf, rounds=5)
    np.testing.assert_allclose(path[1:], path[:-1] * kc.contraction_rate(bound, 1.0) ** 2, rtol=ROUNDING)


def test_tiny_bound_lands_on_the_center():
    path = kc.mse_trajectory(**{**BASE, "bound": 1e-6}, n_per_round=10, rounds=2)
    np.testing.assert_allclose(path[1:], 0.25, rtol=1e-11)


@given(problems, st.floats(0.01, 100))
def test_scaling_the_data_scales_the_error(problem, scale):
    scaled = {k: scale * v if k in ("sigma", "bound", "verifier_bias") else v for k, v in problem.items()}
    got = kc.mse_trajectory(**scaled, rounds=6)
    np.testing.assert_allclose(got, scale**2 * kc.mse_trajectory(**problem, rounds=6), rtol=1e-11)
    # k* and k_rev depend on 1 - rho, which a rounded bound/sigma of 30 changes by 900 units in the last place.
    best = kc.best_round(**scaled), kc.reversal_round(**scaled)
    np.testing.assert_allclose(best, (kc.best_round(**problem), kc.reversal_round(**problem)), rtol=1e-10)


@given(problems)
def test_bound_is_the_distance_to_the_center(problem):
    """Eq. 7 with its own indices: batches j = 0..k-1 with exponent 2(k-j) - 1."""
    rho = float(kc.contraction_rate(problem["bound"], problem["sigma"]))
    unit, k = problem["dim"] * problem["sigma"] ** 2, 7
    start = unit / problem["n_real"] + problem["verifier_bias"] ** 2
    noise = sum(rho ** (2 * (k - j) - 1) / problem["n_per_round"] for j in range(k))
    got = kc.mse_bound(**problem, rounds=k)
    assert got[k] == pytest.approx(rho ** (2 * k) * start + unit * noise, rel=1e-11)
    assert got[0] == pytest.approx(start)


def mse_at(problem, k):
    """MSE_k for real k from the constant-count form."""
    s = kc.stationary_variance(**{k: problem[k] for k in ("dim", "sigma", "bound", "n_per_round")})
    left = float(kc.contraction_rate(problem["bound"], problem["sigma"])) ** k
    v0 = problem["dim"] * problem["sigma"] ** 2 / problem["n_real"]
    return left**2 * (v0 - s) + (1 - left) ** 2 * problem["verifier_bias"] ** 2 + s


moderate = st.fixed_dictionaries(
    {
        "dim": st.integers(1, 20),
        "sigma": st.floats(1, 2),
        "n_real": st.floats(5, 500),
        "bound": st.floats(0.2, 3),
        "verifier_bias": st.floats(0.01, 3),
        "n_per_round": st.sampled_from([5.0, 50.0, 1e4, np.inf]),
    }
)


@given(moderate)
def test_best_round_is_the_minimum(problem):
    k, best = kc.best_round(**problem), kc.best_mse(**problem)
    path = kc.mse_trajectory(**problem, rounds=60)
    assert np.all(best <= path * (1 + 1e-12))
    assert best == pytest.approx(mse_at(problem, k), rel=1e-9)
    whole = kc.best_integer_round(**problem)
    if whole <= 60:
        assert path[int(whole)] == pytest.approx(path.min(), rel=1e-9)
    integer = kc.best_mse(**problem, integer=True)
    assert best <= integer * (1 + 1e-12)
    # No worse than the start, and equal to it exactly where the first round gains nothing.
    assert integer <= path[0]
    assert (integer == path[0]) == (not kc.first_round_improves(**problem))
    assert kc.first_round_improves(**problem) == (path[1] < path[0])


@given(moderate)
def test_reversal_round_crosses_the_start(problem):
    k = kc.reversal_round(**problem)
    path = kc.mse_trajectory(**problem, rounds=60)
    no_worse = path <= path[0] * (1 + 1e-12)
    np.testing.assert_array_equal(no_worse, np.arange(61) <= k * (1 + 1e-9))
    if 0 < k < np.inf:
        assert mse_at(problem, k) == pytest.approx(path[0], rel=1e-9)


@given(moderate)
def test_regime_tells_the_path(problem):
    path = kc.mse_trajectory(**problem, rounds=400)
    limit, regime = kc.limit_mse(**problem), kc.regime(**problem)
    assert path[400] == pytest.approx(limit, rel=1e-4)  # bound/sigma <= 3: rho^400 <= 2.1e-5
    assert (regime in ("plateaus", "reverses")) == (path[1] < path[0])
    if regime == "plateaus":
        assert limit <= path[0] * (1 + 1e-12)
    if regime == "reverses":
        assert limit > path[0]


def test_the_four_regimes():
    names = [kc.regime(**{**BASE, "verifier_bias": bias}) for bias in (0, 0.25, 0.35, 1.0)]
    assert names == ["improves", "plateaus", "reverses", "degrades"]  # Delta^2 against V0 = 0.08, rho = 0.29
    # Noise of 20 rows adds S = 0.064; of 10 rows S = 0.127 > V0: never a gain, even without bias.
    assert kc.regime(**{**BASE, "verifier_bias": 0.25}, n_per_round=20) == "degrades"
    assert kc.regime(**{**BASE, "verifier_bias": 0.15}, n_per_round=20) == "reverses"
    assert kc.regime(**{**BASE, "verifier_bias": 0.1}, n_per_round=20) == "plateaus"
    assert kc.regime(**{**BASE, "verifier_bias": 0}, n_per_round=10) == "degrades"


def test_best_round_by_hand():
    rho = 0.291125094773
    expected = np.log(0.25 / (0.25 + 0.08)) / np.log(rho)
    assert kc.best_round(**BASE) == pytest.approx(expected, rel=1e-10)
    assert kc.best_mse(**BASE) == pytest.approx(0.25 * 0.08 / 0.33, rel=ROUNDING)
    expected = np.log((0.25 - 0.08) / (0.25 + 0.08)) / np.log(rho)
    assert kc.reversal_round(**BASE) == pytest.approx(expected, rel=1e-10)
    s = 4 * rho / (100 * (1 - rho**2))
    expected = np.log((0.25 - 0.08 + s) / (0.25 + 0.08 - s)) / np.log(rho)
    assert kc.reversal_round(**BASE, n_per_round=100) == pytest.approx(expected, rel=1e-10)


def test_values_where_no_round_exists():
    unbiased = {**BASE, "verifier_bias": 0.0}
    assert kc.best_round(**unbiased) == np.inf
    assert kc.best_integer_round(**unbiased) == np.inf
    assert kc.best_mse(**unbiased) == 0
    assert kc.best_mse(**unbiased, n_per_round=100) == kc.stationary_variance(
        dim=4, sigma=1.0, bound=1.0, n_per_round=100
    )
    assert kc.reversal_round(**unbiased) == np.inf
    assert kc.reversal_round(**{**BASE, "verifier_bias": 0.2}) == np.inf  # Delta^2 = 0.04 <= V0
    noisy = {**BASE, "n_per_round": 5}  # S > V0
    assert (kc.best_round(**noisy), kc.reversal_round(**noisy)) == (0.0, 0.0)
    assert kc.best_mse(**noisy) == pytest.approx(0.08)
    tiny = {**BASE, "verifier_bias": 1e-200}
    assert kc.best_round(**tiny) in (np.inf, pytest.approx(2 * 200 * np.log(10) / 1.234, rel=0.01))


def test_no_verifier_never_moves_or_only_loses():
    still = {**BASE, "bound": np.inf}
    assert kc.regime(**still) == "plateaus"
    assert (kc.best_round(**still), kc.reversal_round(**still)) == (0.0, np.inf)
    assert kc.limit_mse(**still) == kc.best_mse(**still) == pytest.approx(0.08)
    assert not kc.first_round_improves(**still)
    lossy = {**still, "n_per_round": 100}
    assert kc.regime(**lossy) == "degrades"
    assert (kc.best_round(**lossy), kc.reversal_round(**lossy)) == (0.0, 0.0)
    assert (
        kc.limit_mse(**lossy)
        == kc.stationary_variance(dim=4, sigma=1, bound=np.inf, n_per_round=100)
        == np.inf
    )


@given(st.floats(0.05, 8))
def test_limit_does_not_depend_on_the_radius_as_counts_grow(bound):
    problem = {**BASE, "bound": bound}
    assert kc.limit_mse(**problem) == pytest.approx(0.25, rel=ROUNDING)
    gap = kc.limit_mse(**problem, n_per_round=1e12) - kc.limit_mse(**problem, n_per_round=1e13)
    assert gap == pytest.approx(0.9 * (kc.limit_mse(**problem, n_per_round=1e12) - 0.25), abs=1e-12)


def test_verifier_is_worth_its_own_data():
    """Averaging Delta^2 over verifiers, at the round that is best for the average."""
    n_real, n_verifier, dim, sigma = 50, 30, 4, 1.5
    mean_bias = np.sqrt(dim * sigma**2 / n_verifier)
    problem = dict(dim=dim, sigma=sigma, n_real=n_real, bound=1.0, verifier_bias=mean_bias)
    assert kc.verifier_worth(n_real, n_verifier, dim, sigma) == pytest.approx(
        kc.best_mse(**problem), rel=ROUNDING
    )
    assert kc.verifier_worth(n_real, np.inf, dim, sigma) == 0


BAD = [
    ("dim", 0, "dim must be an integer >= 1, got 0"),
    ("dim", 2.5, "dim must be an integer >= 1, got 2.5"),
    ("sigma", np.nan, "sigma must be > 0 and finite, got nan"),
    ("n_real", 0, r"n_real must be > 0 \(inf allowed\), got 0"),
    ("bound", -1.0, r"bound must be > 0 \(inf allowed\), got -1.0"),
    ("verifier_bias", -0.1, "verifier_bias must be >= 0 and finite, got -0.1"),
    ("verifier_bias", np.nan, "verifier_bias must be finite, got nan"),
    ("verifier_bias", [0.1, 0.2], r"verifier_bias must be a norm >= 0 or a vector of shape \(4,\)"),
    ("n_per_round", np.nan, r"n_per_round must be > 0 \(inf allowed\), got nan"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_values_out_of_range_are_named(name, value, message):
    bad = {**BASE, "n_per_round": 100.0, name: value}
    for function in (kc.best_round, kc.best_mse, kc.reversal_round, kc.regime, kc.limit_mse):
        with pytest.raises(ValueError, match=message):
            function(**bad)
    for function in (kc.mse_trajectory, kc.mse_bound):
        with pytest.raises(ValueError, match=message):
            function(**bad, rounds=3)


def test_bad_rounds_are_named():
    with pytest.raises(ValueError, match="rounds must be an integer >= 0, got -1"):
        kc.mse_trajectory(**BASE, n_per_round=10, rounds=-1)
    with pytest.raises(ValueError, match="n_per_round must be one number or one for each of 3 rounds"):
        kc.mse_trajectory(**BASE, n_per_round=[10, 20], rounds=3)
    with pytest.raises(ValueError, match="n_verifier must be > 0"):
        kc.verifier_worth(50, 0, 4, 1.0)
