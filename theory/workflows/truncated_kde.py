"""A kernel density estimate on what a verifier lets through, which keeps the rows of an interval; d = 1, infinitely
many rows.

Round 0 places Gaussian kernels of a fixed bandwidth h on rows of the truth N(mean, sigma^2). In round k >= 1 the
density of round k - 1 makes the rows, the verifier keeps those within [center - radius, center + radius], and the next
density stands on the kept rows alone (`replace`), with all earlier ones (`accumulate`) or with fresh real ones, which
are not judged (`fresh_real`). With so many rows that sampling errors vanish, a round is a linear map of the density on
the interval, T f = the integral of the kernel times f over the interval, followed by a division by the mass.

What follows (Krein-Rutman): under `replace` the kept rows tend to the first eigenfunction of T, which is symmetric
about the center. So, unlike a Gaussian fit, whose mean stops on its way (`truncated_gaussian`), a kernel density
arrives at the center, and its width settles, where what the kernel adds is what the verifier cuts. What is left of the
way falls by rho = lambda_2/lambda_1 a round under `replace`, and as k^-(1 - rho) under `accumulate` (and
`accumulate_subsample`, whose rows have the pool's law); for a kernel narrow beside the interval, 1 - rho is about
3 pi^2 h^2 / (8 radius^2).

Source of everything here: derived here; the map and its eigenfunctions by Gauss-Legendre quadrature (Nyström's method).
"""

from typing import NamedTuple

import numpy as np

from theory.arguments import FloatArray, finite, positive_scalar, require, scalar, whole
from theory.truncated_normal import moments
from theory.workflows.truncated_gaussian import Population

_NODES_PER_BANDWIDTH = 8  # of the quadrature; 5 give 10 digits
_LEAST_NODES, _MOST_NODES = 64, 4000


class Limit(NamedTuple):
    """Where `replace` ends."""

    mean: float  # the center
    variance: float  # of the density
    acceptance: float  # lambda_1, share of a round's rows that is kept
    decay: float  # rho = lambda_2/lambda_1, of what is left of the way in a round


def replace_population_limit(
    *, mean: float, sigma: float, center: float, radius: float, bandwidth: float, rounds: int
) -> Population:
    """Mean and variance of the densities of rounds 0..K under `replace`, for infinitely many rows a round.

    mean and sigma > 0 are the truth's; radius > 0, finite; bandwidth > 0, at least radius/250; all in the unit of the
    data. ValueError for an argument out of range. To ten digits.
    """
    return _followed(mean, sigma, center, radius, bandwidth, rounds, pool=None)


def accumulate_population_limit(
    *,
    mean: float,
    sigma: float,
    center: float,
    radius: float,
    bandwidth: float,
    rounds: int,
    real_share: float = 1.0,
) -> Population:
    """The same under `accumulate`, with as many rows generated in each round.

    real_share > 0 is the number of real rows as a share of the rows that one round generates.
    """
    pool = positive_scalar("real_share", real_share)
    return _followed(mean, sigma, center, radius, bandwidth, rounds, pool)


def fresh_real_population_limit(
    *,
    mean: float,
    sigma: float,
    center: float,
    radius: float,
    bandwidth: float,
    rounds: int,
    real_share: float,
) -> Population:
    """The same under `fresh_real`: a share of a round's rows, in [0, 1], is real and not judged, the others are
    generated.
    """
    share = scalar("real_share", finite("real_share", real_share))
    require(0 <= share <= 1, "real_share", "in [0, 1]", real_share)
    return _followed(mean, sigma, center, radius, bandwidth, rounds, pool=None, fresh=share)


def replace_limit(*, center: float, radius: float, bandwidth: float) -> Limit:
    """Where `replace_population_limit` tends to for k -> inf, whatever the truth; arguments as there."""
    interval = _interval(center, radius, bandwidth)
    root = np.sqrt(interval.weight)
    values, vectors = np.linalg.eigh(root[:, None] * interval.kernel * root[None])
    first = np.abs(vectors[:, -1]) * root  # mass at the nodes
    first /= first.sum()
    spread = first @ interval.away**2
    return Limit(
        mean=scalar("center", finite("center", center)),
        variance=float(spread + bandwidth**2),
        acceptance=float(values[-1]),
        decay=float(values[-2] / values[-1]),
    )


class _Interval(NamedTuple):
    """Quadrature on the interval."""

    away: FloatArray  # (M,), of the nodes from the center
    weight: FloatArray  # (M,)
    kernel: FloatArray  # (M, M), density at one node of a kernel on another


def _interval(center, radius, bandwidth) -> _Interval:
    scalar("center", finite("center", center))
    radius, bandwidth = positive_scalar("radius", radius), positive_scalar("bandwidth", bandwidth)
    count = max(_LEAST_NODES, int(np.ceil(_NODES_PER_BANDWIDTH * 2 * radius / bandwidth)))
    require(
        count <= _MOST_NODES,
        "bandwidth",
        f"at least {2 * _NODES_PER_BANDWIDTH / _MOST_NODES:g} radius",
        bandwidth,
    )
    node, weight = np.polynomial.legendre.leggauss(count)
    away = radius * node
    kernel = _normal(away[:, None] - away[None], bandwidth)
    return _Interval(away, radius * weight, kernel)


def _normal(x, sigma):
    return np.exp(-0.5 * (x / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def _followed(mean, sigma, center, radius, bandwidth, rounds, pool, fresh=0.0) -> Population:
    """The recursion; `pool` as in `truncated_gaussian`. Rows of a fit: a share `real` of the truth, and mass on nodes.

    `fresh`: the share of a round's rows that is real.
    """
    rounds = whole("rounds", rounds)
    off = scalar("mean", finite("mean", mean)) - scalar("center", finite("center", center))
    sigma = positive_scalar("sigma", sigma)
    interval = _interval(center, radius, bandwidth)
    smooth = np.hypot(sigma, bandwidth)  # of a density on real rows
    from_real = _normal(interval.away - off, smooth)
    real_kept = float(moments(off, radius, smooth)[2])
    out = Population(*np.full((3, rounds + 1), np.nan))
    real, mass = 1.0, np.zeros_like(interval.away)
    for k in range(rounds + 1):
        if k > 0:
            made = real * from_real + interval.kernel @ mass
            kept = real * real_kept + float(interval.weight @ (interval.kernel @ mass))
            require(kept > 0, "radius", "so large that the interval has some rows in it", radius)
            share = 1.0 if pool is None else kept / (pool + kept)
            if fresh:
                share = (1 - fresh) * kept / (fresh + (1 - fresh) * kept)
                real, mass = 1.0, np.zeros_like(mass)
            real = (1 - share) * real
            mass = (1 - share) * mass + share * interval.weight * made / kept
            pool = None if pool is None else pool + kept
            out.acceptance[k] = kept
        first = real * off + mass @ interval.away
        second = real * (sigma**2 + off**2) + mass @ interval.away**2
        out.mean[k] = center + first
        out.variance[k] = second - first**2 + bandwidth**2
    return out
