"""The truncated normal: all that a verifier with a bound does to one residual."""

import jax
import numpy as np

import theory
from simcollapse import keys
from simcollapse.theorems.evidence import RATE, equal_means
from simcollapse.theorems.theorem import Theorem
from simcollapse.truncated import truncated_normal

DRAWS = 200_000
REJECTION = [(0.0, 1.0, 1.0), (0.5, 1.0, 1.0), (2.0, 1.0, 1.0), (0.1, 0.3, 0.5), (-1.0, 2.0, 1.5)]
TAILS = [(10.0, 1.0, 1.0), (40.0, 1.0, 1.0), (-30.0, 0.5, 1.0), (3.0, 0.001, 1.0), (0.3, 0.05, 2.0)]


def _moments(planted):
    generator = np.random.default_rng(1)
    key = keys.root(1)
    for mean, bound, sigma in REJECTION:
        y = mean + sigma * generator.standard_normal(DRAWS)
        inside = np.abs(y) <= bound
        yield _compared("rejection", y[inside], (mean, bound, sigma), planted)
        acceptance = theory.truncated_normal.moments(mean, bound, sigma)[2]
        yield equal_means(f"acceptance, mean {mean:g}, bound {bound:g}, sigma {sigma:g}", inside, acceptance)
    for i, (mean, bound, sigma) in enumerate(TAILS):
        ends = [jax.numpy.full(DRAWS, (end - mean) / sigma, dtype=float) for end in (-bound, bound)]
        y = mean + sigma * np.asarray(truncated_normal(jax.random.fold_in(key, i), *ends), dtype=np.float64)
        yield _compared("the simulator's draws", y, (mean, bound, sigma), planted)


def _compared(how, y, setting, planted):
    """Mean and variance together, standardised."""
    mean, variance, _ = theory.truncated_normal.moments(*setting)
    if planted:
        variance = variance + (mean - setting[0]) ** 2
    label = f"{how}, mean {setting[0]:g}, bound {setting[1]:g}, sigma {setting[2]:g}"
    return equal_means(label, np.stack([y - mean, (y - mean) ** 2 / variance - 1], axis=1), 0.0)


MOMENTS = Theorem(
    name="truncated-normal-moments",
    statement="A normal residual that is kept only within [-b, b] has the mean m, variance v and acceptance Z of "
    "the truncated normal, from the center to 40 standard deviations out.",
    source="textbook; theory.truncated_normal.moments",
    assumptions="N(mean, sigma^2), bound b > 0.",
    strategy="NumPy draws with plain rejection, and in tails and narrow intervals the simulator's own one-go "
    f"draws; mean, variance and acceptance as z-scores; {RATE}.",
    planted="the variance computed without the square of the mean's shift",
    check=_moments,
)
