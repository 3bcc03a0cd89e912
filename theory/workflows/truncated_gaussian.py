"""A Gaussian fitted to what a verifier lets through, which keeps the rows of an interval; d = 1, infinitely many rows.

Round 0 fits the truth N(mean, sigma^2). In round k >= 1 the model N(mu, s^2) of round k - 1 makes the rows, the
verifier keeps those within [center - radius, center + radius] (a likelihood verifier whose reference is biased, or a
region), and the fit sees the kept rows alone (`replace`) or with all earlier ones (`accumulate`). With so many rows
that sampling errors vanish, a round maps (mu, s^2) to moments of a truncated normal.

What `replace` does then: |mu - center| and s^2 decrease in every round, and the fixed points are the point masses of
the interval, every one of them. Because s^2 decreases only like radius^2 / (2 log k), the mean stops on its way,
not at the center unless it began there (`replace_mean_limit`). Where the interval is narrow for the data,
radius << sigma, one round takes the mean nearly to the center: u = mu - center becomes about u radius^2 / (3 sigma^2).

Source of everything here: derived here, from the moments of the truncated normal (`theory.truncated_normal`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.special import dawsn

from theory.arguments import FloatArray, finite, positive, positive_scalar, scalar, whole
from theory.truncated_normal import moments

# Rounds followed one by one before the rest are taken for a flow. What that neglects, half the sum of the later
# squared steps of the mean, is below 1e-6 radius^2 (tests).
_ONE_BY_ONE = 300


class Population(NamedTuple):
    """Models of rounds 0..K, and the share of each round's generated rows that the verifier keeps."""

    mean: FloatArray  # (K + 1,)
    variance: FloatArray  # (K + 1,)
    acceptance: FloatArray  # (K + 1,), in [0, 1]; NaN in round 0, where nothing is generated


def replace_population_limit(
    *, mean: float, sigma: float, center: float, radius: float, rounds: int
) -> Population:
    """Models of rounds 0..K under `replace`, for infinitely many rows a round.

    (mu, s^2) becomes mean and variance of N(mu, s^2) given |x - center| <= radius. mean and sigma > 0 are the
    truth's; radius > 0 (inf keeps everything); all in the unit of the data. ValueError for an argument out of range.
    With n rows a round both moments are off by O(1/n), and by more after some n rounds: s^2 also shrinks by about
    1 - 1/n a round.
    """
    # the limit of a vanishing pool: the kept rows are all that the fit sees
    return _followed(mean, sigma, center, radius, rounds, pool=None)


def accumulate_population_limit(
    *, mean: float, sigma: float, center: float, radius: float, rounds: int, real_share: float = 1.0
) -> Population:
    """Models of rounds 0..K under `accumulate`, for infinitely many rows, as many generated in each round.

    real_share > 0 is the number of real rows as a share of the rows that one round generates. The model has
    mean and variance of the pool: with share w of the round's kept rows in it and the gap g between their mean m and
    the pool's, mu moves by w g and s^2 becomes (1 - w) s^2 + w v + w (1 - w) g^2. Other arguments as in
    `replace_population_limit`.
    """
    pool = positive_scalar("real_share", real_share)
    return _followed(mean, sigma, center, radius, rounds, pool)


def _followed(mean, sigma, center, radius, rounds, pool: float | None) -> Population:
    """The recursion; `pool` is the size of the pool in rounds' worth of rows, None to forget it every round."""
    rounds = whole("rounds", rounds)
    center = scalar("center", finite("center", center))
    radius = positive_scalar("radius", radius, infinite=True)
    out = Population(*np.full((3, rounds + 1), np.nan))
    out.mean[0], out.variance[0] = (
        scalar("mean", finite("mean", mean)),
        positive_scalar("sigma", sigma) ** 2,
    )
    for k in range(1, rounds + 1):
        off = out.mean[k - 1] - center
        kept_off, kept_variance, kept = map(float, moments(off, radius, np.sqrt(out.variance[k - 1])))
        share = 1.0 if pool is None else kept / (pool + kept)
        gap = kept_off - off
        # with share 1 the mean is set rather than moved: no digits are lost near the center
        out.mean[k] = center + (kept_off if pool is None else off + share * gap)
        out.variance[k] = (
            (1 - share) * out.variance[k - 1] + share * kept_variance + share * (1 - share) * gap**2
        )
        out.acceptance[k] = kept
        pool = None if pool is None else pool + kept
    return out


def replace_mean_limit(*, mean: float, sigma: float, center: float, radius: float) -> float:
    """Where the mean of `replace_population_limit` ends for k -> inf; radius finite.

    Once little is cut, a round is a small step of a flow: with u = mu - center, w = s^2 and t = tanh(radius u / w)
    du/dw = t / (radius - u t), followed here from round 300 to w = 0. With only the nearer edge in reach (t = 1) it
    conserves w + (radius - |u|)^2 / 2, so |u| ends at radius - sqrt(2 w + (radius - |u|)^2); and there u = 0 is
    unstable: |u| / w grows as w falls. Relative to the radius exact to about 1e-6.
    """
    radius = positive_scalar("radius", radius)
    last = replace_population_limit(mean=mean, sigma=sigma, center=center, radius=radius, rounds=_ONE_BY_ONE)
    start = (last.mean[-1] - center) / radius
    if start == 0:
        return float(center)

    def flow(log_w, u):
        turn = np.tanh(u * np.exp(-log_w))
        return np.exp(log_w) * turn / (1 - u * turn)

    # from w to w e^-40, where it has stopped: du = u dw / w at most
    begin = np.log(last.variance[-1] / radius**2)
    path = solve_ivp(flow, (begin, begin - 40), [start], rtol=1e-10, atol=0, method="DOP853")
    return float(center + radius * path.y[0, -1])


def replace_rounds_to_variance_asymptotic(variance: ArrayLike, radius: ArrayLike) -> FloatArray:
    """Rounds of `replace` until the variance has fallen to `variance` << radius^2, with the mean at the center.

    sqrt(2 pi) e^(q/2) [sqrt(2) D(sqrt(q/2)) - 1/sqrt(q)] with q = radius^2 / variance and Dawson's D, about
    sqrt(2 pi) q^(-3/2) e^(q/2): the variance decays like radius^2 / (2 log k), where sampling n rows a round
    lets it decay like e^(-k/n). inf where it exceeds every float. Arguments > 0, of one unit squared, broadcast.

    Why: a round takes 2 s radius phi(radius/s) off s^2; this is the time of dq/dk = sqrt(2/pi) q^(3/2) e^(-q/2).
    """
    q = positive("radius", radius) ** 2 / positive("variance", variance)
    with np.errstate(over="ignore"):
        return (np.sqrt(2 * np.pi) * np.exp(q / 2) * (np.sqrt(2) * dawsn(np.sqrt(q / 2)) - q**-0.5))[()]
