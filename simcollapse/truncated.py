"""Exact draws from a standard normal restricted to an interval, in single precision too."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

_FAR = 8.0  # beyond this many standard deviations the tail is drawn by tilting; ndtri is accurate within
_NARROW = 0.1  # half widths below this are drawn by tilting; the normal cdf would lose their digits
_TRIES = 6  # a tilted proposal fails with chance < 1/64, so all six fail with chance < 2e-11


def truncated_normal(key: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Draws from N(0, 1) given low <= draw <= high; `low`, `high` of one shape (N,), low < high.

    Two ways, chosen entry by entry. Ordinary intervals: inverse cdf, mirrored into the lower tail where
    the cdf keeps its relative precision. Narrow intervals (half width < 0.1) and far ones (nearest end
    beyond 8): proposals from the exponential density that is tangent at the end nearest to zero, each
    accepted with probability exp(-s^2/2) for its distance s from that end. The last of six proposals is
    accepted anyway (chance < 2e-11). Infinite ends are allowed.
    """
    key_inverse, key_tilt = jax.random.split(key)
    mirror = low + high > 0  # then the interval's bulk lies in the upper tail
    near_low, near_high = jnp.where(mirror, -high, low), jnp.where(mirror, -low, high)
    straddles = near_high > 0
    far, narrow = near_high < -_FAR, (near_high - near_low) < 2 * _NARROW

    cdf_low, cdf_high = ndtr(near_low), ndtr(near_high)
    uniform = jax.random.uniform(key_inverse, low.shape, low.dtype)
    inverse = ndtri(jnp.clip(cdf_low + uniform * (cdf_high - cdf_low), jnp.finfo(low.dtype).tiny, 1))

    # tilt: the draw is near_high - s with density exp(-a s - s^2/2) on [0, width], a = -near_high
    slope = -near_high
    width = jnp.where(narrow | far, near_high - near_low, 1.0)
    distance = _tilted(key_tilt, jnp.where(narrow | far, slope, 0.0), width)
    tilted = near_high - distance
    draw = jnp.where(narrow | (far & ~straddles), tilted, jnp.clip(inverse, near_low, near_high))
    return jnp.where(mirror, -draw, draw)


def _tilted(key, slope, width):
    """Draw of s on [0, width] with density proportional to exp(-slope s - s^2 / 2), by rejection."""
    proposals, accepts = jax.random.uniform(key, (2, _TRIES, *slope.shape), slope.dtype)
    slope, width = slope[None], width[None]
    reach = slope * width
    flat = jnp.abs(reach) < 1e-3  # the exponential is a straight line to working precision
    safe_slope, safe_reach = jnp.where(flat, 1.0, slope), jnp.where(flat, 1.0, reach)
    curved = -jnp.log1p(proposals * jnp.expm1(-safe_reach)) / safe_slope
    # second order in `reach`: s / width = u + reach u (u - 1) / 2 + O(reach^2), with reach^2 < 1e-6
    straight = width * (proposals + 0.5 * reach * proposals * (proposals - 1))
    distance = jnp.clip(jnp.where(flat, straight, curved), 0, width)
    accepted = jnp.log1p(-accepts) <= -0.5 * distance**2
    first = jnp.argmax(accepted.at[-1].set(True), axis=0)
    return jnp.take_along_axis(distance, first[None], axis=0)[0]
