"""The sign test, the sequential test and audit sizes: golden table, enumeration, simulation."""

import numpy as np
import pytest
from scipy import optimize, stats

from tests.helpers import FALSE_ALARM
from theory.breakdown import decision, intervals

# BREAKDOWN.md F-D2: rho -> m0, continuity corrected, smallest m, its critical count and power, lasting m
SIZES = {
    0.55: (852.629099, 872.514488, 866, 458, 0.90033847, 891),
    0.6: (210.324333, 220.210805, 213, 119, 0.90284483, 224),
    0.7: (49.681882, 54.567345, 53, 33, 0.91377245, 58),
    0.8: (19.803907, 23.016555, 23, 16, 0.92849416, 26),
    0.9: (9.103681, 11.467426, 11, 9, 0.91043815, 13),
}


@pytest.mark.parametrize("rho", SIZES)
def test_golden_sizes(rho):
    normal, corrected, *exact = SIZES[rho]
    assert decision.sign_test_size(rho) == pytest.approx(normal, abs=5.1e-7)
    assert decision.sign_test_size(rho, continuity=True) == pytest.approx(corrected, abs=5.1e-7)
    assert decision.sign_test_size_exact(rho) == pytest.approx(exact, abs=5.1e-9)
    assert decision.sign_test_size(1 - rho) == pytest.approx(normal, abs=5.1e-7)


def test_golden_audit_sizes():
    rates = {"p": 0.3, "phi": 0.8, "psi": 0.4}
    assert decision.p_star_audit_size(0.05, **rates) == pytest.approx(406.503578909, abs=5.1e-10)
    assert decision.margin_audit_size(0.05, **rates) == pytest.approx(729.186119848, abs=5.1e-10)


def test_the_sign_test_is_scipys_and_clopper_pearsons():
    for x, m in ((0, 5), (3, 9), (61, 100), (9, 9)):
        more, less = decision.sign_test(x, m)
        assert more == pytest.approx(stats.binomtest(x, m, alternative="greater").pvalue, rel=1e-12)
        assert less == pytest.approx(stats.binomtest(x, m, alternative="less").pvalue, rel=1e-12)
        low, high = intervals.clopper_pearson(x, m)
        assert (more < 0.025, less < 0.025) == (low > 0.5, high < 0.5)
    assert decision.sign_test(0, 0) == (1, 1)


def test_the_critical_count_is_the_least_that_keeps_the_level():
    for m in (1, 4, 5, 30, 213):
        k = decision.critical_count(m)
        assert stats.binom.sf(k - 1, m, 0.5) <= 0.05 < stats.binom.sf(k - 2, m, 0.5)


def test_an_even_precision_needs_infinitely_many():
    assert decision.sign_test_size(0.5) == np.inf
    assert decision.sequential_size(0.5) == np.inf
    with pytest.raises(ValueError, match=r"rho must be in \(1/2, 1\]"):
        decision.sign_test_size_exact(0.4)


@pytest.mark.parametrize(("phi", "psi"), [(0.8, 0.4), (0.95, 0.05), (0.3, 0.6)])
def test_the_stratified_ratio_is_the_best(phi, psi):
    def variance(share):
        return float(intervals.p_star_variance_delta(phi, psi, 1 - share, share))

    best = optimize.minimize_scalar(
        variance, bounds=(0.001, 0.999), method="bounded", options={"xatol": 1e-9}
    ).x
    assert decision.stratified_ratio(phi, psi) == pytest.approx(best / (1 - best), rel=1e-6)


def test_looking_after_every_row_is_paid_for():
    """4000 streams of a coin, 1500 looks each; the fixed-size test looked at as often is the planted error."""
    random = np.random.default_rng(0)
    streams, length, alpha = 4000, 1500, 0.05
    right = np.cumsum(random.random((streams, length)) < 0.5, axis=1)
    sizes = np.arange(1, length + 1)
    most = stats.binom.isf(FALSE_ALARM, streams, alpha)
    false = np.sum(np.any(decision.mixture_log_wealth(right, sizes) >= -np.log(alpha), axis=1))
    assert false <= most
    lead = np.maximum(right, sizes - right)
    assert np.sum(np.any(lead >= decision.critical_count(sizes, alpha=alpha / 2), axis=1)) > most


def test_the_bet_is_fair_by_enumeration():
    """E[wealth] = 1 at every size under the rho that is bet against."""
    for rho in (0.5, 0.2):
        for m in (1, 7, 40):
            x = np.arange(m + 1)
            wealth = np.exp(decision.mixture_log_wealth(x, m, rho))
            assert np.sum(stats.binom.pmf(x, m, rho) * wealth) == pytest.approx(1, rel=1e-12)


def test_the_confidence_sequence_is_where_the_bet_is_not_won():
    for x, m in ((0, 12), (60, 100), (9, 9), (0, 0)):
        low, high = decision.confidence_sequence(x, m)
        for end, extreme in ((low, 0), (high, 1)):
            if end != extreme:
                assert decision.mixture_log_wealth(x, m, end) == pytest.approx(-np.log(0.05), abs=1e-9)
        assert 0 <= low <= (x / m if m else 0.5) <= high <= 1


def test_the_sequential_size_is_typical():
    """The share of 4000 streams that have decided by then is near one half: between 0.4 and 0.7."""
    random = np.random.default_rng(1)
    rho, streams = 0.65, 4000
    size = decision.sequential_size(rho)
    length = int(np.ceil(size))
    right = np.cumsum(random.random((streams, length)) < rho, axis=1)
    decided = np.any(decision.mixture_log_wealth(right, np.arange(1, length + 1)) >= -np.log(0.05), axis=1)
    assert 0.4 < decided.mean() < 0.7
