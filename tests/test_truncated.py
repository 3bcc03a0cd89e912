import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from simcollapse.truncated import truncated_normal
from tests.helpers import FALSE_ALARM
from theory.truncated_normal import moments

N = 40_000


def _draws(low, high, dtype):
    key = jax.random.key(3)
    return np.asarray(truncated_normal(key, jnp.full(N, low, dtype), jnp.full(N, high, dtype)), dtype=float)


# ordinary, mirrored, straddling, narrow, narrow across zero, far, far and narrow, half lines
INTERVALS = [
    (-1, 2),
    (0.5, 4),
    (-6, -1),
    (0.3, 0.31),
    (-0.01, 0.02),
    (9, 12),
    (-30, -29.9),
    (2, 60),
    (-np.inf, -9),
]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_draws_follow_the_truncated_normal(low, high, dtype):
    """One-sample Kolmogorov-Smirnov at false-alarm rate 1e-6; it sees a cdf error of 2.7/sqrt(N) = 1.4 %."""
    draws = _draws(low, high, dtype)
    low, high = float(dtype(low)), float(dtype(high))
    assert np.all((draws >= low) & (draws <= high))
    unit = (draws - low) / (high - low) if np.isfinite(low) else high - draws
    # cdf on the mirrored side, where the tail keeps its digits
    if low + high > 0:
        low, high, draws = -high, -low, -draws
    log = stats.norm.logcdf
    whole = log(high) + np.log1p(-np.exp(log(low) - log(high)))
    cdf = np.exp(log(draws) - whole + np.log1p(-np.exp(log(low) - log(draws))))
    gap = stats.kstest(cdf, "uniform")
    # single precision leaves few distinct values in a narrow far interval; ties widen the gap by at most 1 / values
    ties = 1 / len(np.unique(unit))
    assert gap.statistic < np.sqrt(-np.log(FALSE_ALARM / 2) / (2 * N)) + ties


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.3, 0.31), (9.0, 12.0)])
def test_mean_agrees_with_the_closed_form(low, high):
    middle, half = (low + high) / 2, (high - low) / 2
    mean, variance, _ = moments(-middle, half, 1.0)
    draws = _draws(low, high, jnp.float64) - middle
    assert abs(draws.mean() - mean) < stats.norm.isf(FALSE_ALARM / 2) * np.sqrt(variance / N)
