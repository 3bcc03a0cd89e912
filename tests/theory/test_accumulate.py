"""A verifier together with accumulate: golden numbers, closed form, power law, simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import assert_mean
from tests.theory.accepted_draws import draw_accepted
from theory import knowledge_center as kc

BASE = dict(dim=4, sigma=1.0, bound=1.5, verifier_bias=0.1, n_real=50, n_per_round=100, rounds=30)


def test_golden_numbers():
    """KNOWLEDGE_CENTER.md section 5, the recursion's own numbers, printed to four digits."""
    got = kc.accumulate_trajectory(**BASE)[[0, 1, 5, 10, 30]]
    np.testing.assert_allclose(got, [0.0800, 0.0500, 0.02533, 0.01856, 0.01266], rtol=3e-4)


@given(st.floats(0.05, 3), st.sampled_from([0.3, 1.0, 2.5]))
def test_mean_path_is_the_gamma_form(bound, nu):
    """Without noise: n_real and n_per_round of 1e12 rows."""
    arguments = {**BASE, "bound": bound, "n_real": nu * 1e12, "n_per_round": 1e12}
    mse = kc.accumulate_trajectory(**arguments)
    left = kc.accumulate_deviation(np.arange(31), rate=kc.contraction_rate(bound, 1.0), nu=nu)
    np.testing.assert_allclose(mse, (1 - left) ** 2 * 0.01, atol=1e-10)


def test_gamma_form_is_the_product():
    k, rho, nu = np.arange(1, 8), 0.4, 1.7
    np.testing.assert_allclose(
        kc.accumulate_deviation(k, rate=rho, nu=nu), np.cumprod(1 - (1 - rho) / (nu + k)), rtol=1e-13
    )
    assert kc.accumulate_deviation(0, rate=rho, nu=nu) == pytest.approx(1, abs=1e-14)


def test_power_law():
    for k in (1e2, 1e4):
        exact = kc.accumulate_deviation(k, rate=0.55, nu=0.5)
        assert kc.accumulate_power_law(k, rate=0.55, nu=0.5) == pytest.approx(exact, rel=1 / k)
    # n_real = n_per_round: k^-(1-rho)/Gamma(1+rho)
    assert kc.accumulate_power_law(16.0, rate=0.5) == pytest.approx(16**-0.5 / 0.886226925452758, rel=1e-12)


def test_limits_and_scale():
    free = kc.accumulate_trajectory(**{**BASE, "bound": np.inf})
    pool = 50 + 100 * np.arange(31)
    added = 100 / pool[1:] ** 2
    np.testing.assert_allclose(free, 4 * (1 / 50 + np.concatenate([[0], np.cumsum(added)])), rtol=1e-12)
    scaled = {**BASE, "sigma": 2.0, "bound": 3.0, "verifier_bias": 0.2}
    np.testing.assert_allclose(
        kc.accumulate_trajectory(**scaled), 4 * kc.accumulate_trajectory(**BASE), rtol=1e-12
    )
    huge = kc.accumulate_trajectory(**{**BASE, "n_real": 1e-9, "rounds": 1})  # the real rows are nothing
    replace = kc.mse_trajectory(**{**BASE, "n_real": 1e-9, "rounds": 1})
    np.testing.assert_allclose(huge, replace, rtol=1e-8)


def test_matches_simulation():
    """Small bias against sigma: the linear form is 1 % off; false-alarm rate 1e-6, sees 8 %."""
    rng, chains, truth = np.random.default_rng(6), 20_000, 0.1
    counts = [30, 60, 10]
    total = (truth + rng.standard_normal((chains, 100))).sum(axis=1)
    size, squared = 100, []
    for new in [*counts, 0]:
        fit = total / size
        squared.append((fit - truth) ** 2)
        y = draw_accepted(rng, np.broadcast_to(fit[:, None], (chains, new)), 1.0, 0.8)
        total, size = total + y.sum(axis=1), size + new
    mse = kc.accumulate_trajectory(
        dim=1, sigma=1, n_real=100, n_per_round=counts, bound=0.8, verifier_bias=truth, rounds=3
    )
    assert_mean(np.array(squared).T, mse, 0.12 * mse)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_per_round": np.inf}, "n_per_round must be finite under accumulate, got inf"),
        ({"n_real": np.inf}, "n_real must be > 0 and finite, got inf"),
        ({"bound": 0}, r"bound must be > 0 \(inf allowed\), got 0"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        kc.accumulate_trajectory(**{**BASE, **changes})


def test_bad_rates_are_named():
    with pytest.raises(ValueError, match=r"rate must be in \(0, 1\], got 1.2"):
        kc.accumulate_deviation(3, rate=1.2)
    with pytest.raises(ValueError, match="nu must be > 0 and finite, got nan"):
        kc.accumulate_deviation(3, rate=0.5, nu=np.nan)
    with pytest.raises(ValueError, match="rounds must be > 0, got 0"):
        kc.accumulate_power_law(0, rate=0.5)
