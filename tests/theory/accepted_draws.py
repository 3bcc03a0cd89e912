"""Accepted residuals for the simulations that check the formulas: no moment of the truncated normal is used."""

import numpy as np
from scipy.special import ndtr, ndtri


def draw_accepted(rng, mean, sigma, bound):
    """Draws of N(mean, sigma^2) given |y| <= bound, by inversion of the distribution function."""
    a = np.abs(mean) / sigma  # folded to a >= 0: inversion is accurate in the lower tail
    low, high = ndtr(-bound / sigma - a), ndtr(bound / sigma - a)
    y = a + ndtri(low + (high - low) * rng.random(np.shape(low)))
    return sigma * np.copysign(1.0, mean) * np.clip(y, -bound / sigma, bound / sigma)
