"""The statistical assertions pass on correct data at the stated rate, and see planted errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_mean, assert_proportion, assert_same_distribution

REPEATS = 2000


def alarms(check, false_alarm, seed=0):
    """How many of REPEATS independent calls `check(rng, false_alarm=…)` raise AssertionError."""
    count = 0
    for child in np.random.default_rng(seed).spawn(REPEATS):
        try:
            check(child, false_alarm=false_alarm)
        except AssertionError:
            count += 1
    return count


class TestMean:
    @pytest.mark.parametrize("rows", [4, 50])  # 4: Student's t matters, normal quantiles would alarm at 0.14
    def test_false_alarms_come_at_the_stated_rate(self, rows):
        def check(rng, false_alarm):
            assert_mean(rng.normal(3.0, 2.0, rows), 3.0, resolution=np.inf, false_alarm=false_alarm)

        assert_proportion(alarms(check, 0.05), REPEATS, 0.05, resolution=0.06)

    def test_rate_holds_over_all_entries_together(self):
        def check(rng, false_alarm):
            assert_mean(rng.normal(size=(50, 5, 4)), 0.0, resolution=np.inf, false_alarm=false_alarm)

        # Bonferroni for 20 independent entries: 1 - (1 - 0.05/20)^20
        assert_proportion(alarms(check, 0.05), REPEATS, 1 - (1 - 0.05 / 20) ** 20, resolution=0.06)

    @pytest.mark.parametrize("seed", range(20))
    def test_sees_an_error_of_the_resolution_in_one_entry(self, seed):
        samples = np.random.default_rng(seed).normal(size=(500, 3, 2))
        expected = np.zeros((3, 2))
        assert_mean(samples, expected, resolution=0.6)
        expected[2, 1] = 0.6
        with pytest.raises(AssertionError, match=r"z = -.* at entry \[2, 1\]: mean .*, expected 0.6"):
            assert_mean(samples, expected, resolution=0.6)

    def test_says_when_there_are_too_few_chains(self):
        samples = np.random.default_rng(0).normal(size=100)
        with pytest.raises(AssertionError, match=r"too few chains: .* times the resolution"):
            assert_mean(samples, 0.0, resolution=0.1)

    def test_refuses_what_has_no_spread(self):
        samples = np.full((1000, 2), 0.1)  # whose standard deviation is rounding, not 0
        samples[:, 0] = np.random.default_rng(0).normal(size=1000)
        with pytest.raises(AssertionError, match="same in all chains"):
            assert_mean(samples, [0.0, 0.1], resolution=1.0)

    def test_refuses_what_is_not_finite(self):
        with pytest.raises(AssertionError, match="samples holds 1 values that are not finite"):
            assert_mean([0.0, 1.0, np.nan], 0.5, resolution=10.0)

    def test_expected_must_fit_the_samples(self):
        with pytest.raises(ValueError, match="broadcast"):
            assert_mean(np.random.default_rng(0).normal(size=(100, 2)), np.zeros(3), resolution=10.0)

    def test_takes_jax_arrays(self):
        assert_mean(jax.random.normal(jax.random.key(0), (500, 2)), jnp.zeros(2), resolution=1.0)


class TestSameDistribution:
    @pytest.mark.parametrize("sizes", [(10, 10), (40, 400)])
    def test_false_alarms_stay_below_the_stated_rate(self, sizes):
        def check(rng, false_alarm):
            first, second = (rng.normal(size=n) for n in sizes)
            assert_same_distribution(first, second, resolution=np.inf, false_alarm=false_alarm)

        # The bound is not tight, so the rate is at most 0.05: no more alarms than 0.05 allows.
        assert 0 < alarms(check, 0.05) < 0.05 * REPEATS + 4.9 * np.sqrt(0.05 * 0.95 * REPEATS)

    @pytest.mark.parametrize("seed", range(20))
    def test_sees_a_gap_of_the_resolution(self, seed):
        rng = np.random.default_rng(seed)
        first, second = rng.uniform(size=3000), rng.uniform(size=2000)
        assert_same_distribution(first, second, resolution=0.2)
        with pytest.raises(AssertionError, match="distribution functions differ by"):
            assert_same_distribution(first, second + 0.2, resolution=0.2)

    def test_sees_another_shape_with_the_same_mean_and_variance(self):
        rng = np.random.default_rng(0)
        first, second = rng.normal(size=20_000), rng.uniform(-np.sqrt(3), np.sqrt(3), size=20_000)
        with pytest.raises(AssertionError, match="differ by"):
            assert_same_distribution(first, second, resolution=0.06)

    def test_says_when_there_are_too_few_chains(self):
        with pytest.raises(AssertionError, match=r"too few chains: gaps are seen from 0\.77 on"):
            assert_same_distribution(np.arange(100.0), np.arange(100.0), resolution=0.1)

    def test_refuses_what_is_not_finite_or_has_two_axes(self):
        with pytest.raises(AssertionError, match="second holds 1 values"):
            assert_same_distribution([0.0, 1.0], [np.inf, 1.0], resolution=0.5)
        with pytest.raises(ValueError, match="one axis"):
            assert_same_distribution(np.zeros((10, 2)), np.zeros(10), resolution=0.5)


class TestProportion:
    @pytest.mark.parametrize("p", [0.02, 0.5])
    def test_false_alarms_stay_below_the_stated_rate(self, p):
        def check(rng, false_alarm):
            assert_proportion(rng.binomial(300, p), 300, p, resolution=0.4, false_alarm=false_alarm)

        # The binomial is discrete, so the rate is at most 0.05: no more alarms than 0.05 allows.
        assert 0 < alarms(check, 0.05) < 0.05 * REPEATS + 4.9 * np.sqrt(0.05 * 0.95 * REPEATS)

    @pytest.mark.parametrize(("p", "wrong"), [(0.01, 0.11), (0.3, 0.2), (0.3, 0.4), (0.99, 0.89)])
    def test_sees_an_error_of_the_resolution_in_one_entry(self, p, wrong):
        counts = np.random.default_rng(0).binomial(3000, [p, p, wrong])
        assert_proportion(counts[:2], 3000, p, resolution=0.1)
        with pytest.raises(AssertionError, match=r"of 3000 at entry \[2\]: .* agree with"):
            assert_proportion(counts, 3000, p, resolution=0.1)

    def test_certain_events(self):
        assert_proportion([0, 1000], 1000, [0.0, 1.0], resolution=0.05)
        with pytest.raises(AssertionError, match="1 of 1000 at entry"):
            assert_proportion(1, 1000, 0.0, resolution=0.05)
        with pytest.raises(AssertionError, match="999 of 1000 at entry"):
            assert_proportion(999, 1000, 1.0, resolution=0.05)

    def test_says_when_there_are_too_few_trials(self):
        with pytest.raises(AssertionError, match=r"too few trials: an error of 0\.1 goes unseen"):
            assert_proportion(50, 100, 0.5, resolution=0.1)

    def test_refuses_impossible_arguments(self):
        with pytest.raises(ValueError, match="successes <= trials"):
            assert_proportion(11, 10, 0.5, resolution=0.4)
        with pytest.raises(ValueError, match=r"expected must lie in \[0, 1\]"):
            assert_proportion(5, 10, np.nan, resolution=0.4)
        with pytest.raises(ValueError, match="more than any error possible"):
            assert_proportion(5, 10, 0.5, resolution=0.6)


def test_conftest_turns_a_key_used_twice_into_an_error():
    key = jax.random.key(0)
    jax.random.normal(key)
    jax.random.normal(jax.random.clone(key))  # sharing on purpose
    with pytest.raises(jax.errors.KeyReuseError):
        jax.random.normal(key)


def test_conftest_settings():
    assert jnp.ones(1).dtype == jnp.float64
    with pytest.raises(ValueError, match="no available implicit dtype promotion"):
        jnp.ones(2, jnp.float32) + jnp.ones(2, jnp.float64)
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones(2) + jnp.ones((3, 2))
