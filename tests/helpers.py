"""Statistical assertions with two stated error rates.

Each fails correct code with probability at most `false_alarm`, and refuses to pass where an error of the size
`resolution`, the one that matters, would go unseen with more than about that probability. The unit of
replication is the chain: rows must be independent of each other, which samples of one chain are not.
"""

from typing import Any

import numpy as np
from scipy import stats

FALSE_ALARM = 1e-6  # chance that correct code fails one call


def assert_mean(samples: Any, expected: Any, resolution: Any, *, false_alarm: float = FALSE_ALARM) -> None:
    """Check E[samples] == expected over axis 0 (chains), entry by entry.

    samples, shape (C, …); expected and resolution broadcast to shape (…), in the unit of the samples. The
    means must be close to normal: test a statistic with light tails (a log variance, not a variance in a
    collapse). Student's t, with Bonferroni's correction over the entries.
    """
    samples = _finite("samples", samples)
    if len(samples) < 2:
        raise ValueError(f"samples must have at least 2 rows, got {len(samples)}")
    mean = samples.mean(axis=0)
    expected = np.broadcast_to(expected, mean.shape)
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    rounding = 4 * np.finfo(float).eps * np.abs(mean)  # the spread that equal rows can show
    assert np.all(standard_error > rounding), (
        "some entry is the same in all chains: compare it exactly instead"
    )
    z_max = stats.t.isf(false_alarm / (2 * mean.size), len(samples) - 1)
    seen = np.max(2 * z_max * standard_error / resolution)
    assert seen <= 1, f"too few chains: errors are seen from {seen:.2g} times the resolution on"
    z = (mean - expected) / standard_error
    worst = np.unravel_index(np.argmax(np.abs(z)), z.shape)
    assert np.abs(z[worst]) < z_max, (
        f"z = {z[worst]:.1f} (limit {z_max:.1f}) at entry {[int(i) for i in worst]}: "
        f"mean {mean[worst]:.8g}, expected {expected[worst]:.8g}"
    )


def assert_same_distribution(
    first: Any, second: Any, resolution: float, *, false_alarm: float = FALSE_ALARM
) -> None:
    """Check that independent samples `first`, shape (C1,), and `second`, (C2,), have one distribution.

    Two-sample Kolmogorov–Smirnov. resolution, in (0, 1), is the largest gap between the two true distribution
    functions that may go unseen. Ties (counts) are fine: they only make false alarms rarer.

    Alarm at a gap t between the empirical functions: for one distribution P(gap >= t) <= e exp(-2 t² / s)
    with s = 1/C1 + 1/C2 (Wei and Dudley 2012, two-sample Dvoretzky–Kiefer–Wolfowitz inequality; proved there
    for C1 = C2). A true gap of 2t is missed with probability <= exp(-2 t² / s) (Hoeffding, at its place).
    """
    first, second = _finite("first", first), _finite("second", second)
    if first.ndim != 1 or second.ndim != 1:
        raise ValueError(f"both samples must have one axis, got shapes {first.shape} and {second.shape}")
    gap_max = np.sqrt((1 - np.log(false_alarm)) / 2 * (1 / len(first) + 1 / len(second)))
    assert 2 * gap_max <= resolution, f"too few chains: gaps are seen from {2 * gap_max:.2g} on"
    result = stats.ks_2samp(first, second, method="asymp")
    assert result.statistic < gap_max, (
        f"distribution functions differ by {result.statistic:.3g} (limit {gap_max:.3g}) "
        f"at {result.statistic_location:.6g}"
    )


def assert_proportion(
    successes: Any, trials: Any, expected: Any, resolution: float, *, false_alarm: float = FALSE_ALARM
) -> None:
    """Check P(success) == expected, entry by entry, by the exact two-sided binomial test.

    successes, trials and expected broadcast to one shape; the trials of an entry must be independent, so take
    one per chain. resolution is the error in a probability that must not go unseen. Bonferroni's correction
    over the entries.
    """
    successes, trials, expected = map(np.atleast_1d, np.broadcast_arrays(successes, trials, expected))
    if not np.all((successes >= 0) & (successes <= trials) & (trials >= 1)):
        raise ValueError("need 0 <= successes <= trials and trials >= 1")
    if not np.all((expected >= 0) & (expected <= 1)):  # written so that NaN fails too
        raise ValueError(f"expected must lie in [0, 1], got {expected}")
    if not np.all(resolution <= np.maximum(expected, 1 - expected)):
        raise ValueError(f"resolution {resolution:g} is more than any error possible")
    tail = false_alarm / (2 * successes.size)
    low, high = stats.binom.ppf(tail, trials, expected), stats.binom.isf(tail, trials, expected)
    for wrong in (expected - resolution, expected + resolution):
        possible = (wrong >= 0) & (wrong <= 1)
        n, p = trials[possible], wrong[possible]
        missed = stats.binom.cdf(high[possible], n, p) - stats.binom.cdf(low[possible] - 1, n, p)
        assert np.all(missed <= false_alarm), (
            f"too few trials: an error of {resolution:g} goes unseen with probability {missed.max():.2g}"
        )
    for entry in np.argwhere((successes < low) | (successes > high)):
        i = tuple(entry)
        raise AssertionError(
            f"{successes[i]} of {trials[i]} at entry {entry.tolist()}: "
            f"{low[i]:.0f} to {high[i]:.0f} agree with a share of {expected[i]:.6g}"
        )


def _finite(name: str, values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    bad = np.sum(~np.isfinite(values))
    assert bad == 0, f"{name} holds {bad} values that are not finite"
    return values
