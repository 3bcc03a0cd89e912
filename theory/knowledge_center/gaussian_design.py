"""Fresh Gaussian rows x ~ N(0, I_d) in every round: the population map and two trajectories.

With D = |theta - center| the distance to the center, t = x.u the component of a row along the deviation u
and b = radius |x| + slack, an accepted residual is N(tD, sigma^2) truncated to [-b, b], with moments m, v
and acceptance Z. With unlimited rows least squares keeps the direction u and maps D to

    g(D) = E[w t m]/E[w t^2],   w = Z when rejected rows are dropped, 1 when y is resampled at the same x.

Expectations are integrals over |x| and the angle between x and u, by adaptive Gauss-Kronrod quadrature of
quantities of one sign.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import cubature
from scipy.special import gammaln

from theory import truncated_normal
from theory.arguments import (
    FloatArray,
    bias_norm,
    choice,
    counts,
    nonnegative_scalar,
    positive_scalar,
    require,
    whole,
)

_MAP_TOLERANCE = 1e-10  # relative, of every expectation; the estimate is cautious
_PATH_TOLERANCE = 1e-7  # for trajectories that are approximations anyway
_REACH = 9.0  # |x| is followed 9 standard deviations of its normal limit (1/sqrt 2) and more from sqrt(d-1)


class _Verifier(NamedTuple):
    """Checked arguments, lengths in units of sigma."""

    dim: int
    radius: float
    slack: float
    sigma: float
    drop: bool


class _Round(NamedTuple):
    """One round with unlimited rows from distance D, and the noise of one generated row; unit sigma."""

    target: float  # g(D)
    derivative: float  # g'(D)
    rate: float  # E[w t^2 v/sigma^2]/E[w t^2]
    acceptance: float  # E[Z]
    weight: float  # E[w t^2]
    noise_along: float  # variance of the next fit along u, times n
    noise_across: float  # variance per direction across u, times n; 0 for d = 1


def _verifier(dim: int, radius: float, slack: float, sigma: float, covariates: str) -> _Verifier:
    sigma = positive_scalar("sigma", sigma)
    radius = nonnegative_scalar("radius", radius, infinite=True)
    slack = nonnegative_scalar("slack", slack, infinite=True)
    require(radius + slack > 0, "radius + slack", "> 0", radius + slack)
    drop = choice("covariates", covariates, ("drop", "resample")) == "drop"
    return _Verifier(whole("dim", dim, least=1), radius / sigma, slack / sigma, sigma, drop)


def _log_density(dim: int, length: FloatArray, angle: FloatArray) -> FloatArray:
    """Log density of |x| > 0 and, for d > 1, of the angle in (0, pi/2) between x and the plane across u."""
    log = np.log(2) * (1 - dim / 2) - gammaln(dim / 2) + (dim - 1) * np.log(length) - length**2 / 2
    if dim == 1:
        return log
    log_scale = np.log(2 / np.sqrt(np.pi)) + gammaln(dim / 2) - gammaln((dim - 1) / 2)
    return log + log_scale + (dim - 2) * np.log(np.cos(angle))


def _integrand(points: FloatArray, distance: float, verifier: _Verifier) -> FloatArray:
    """Density times the fourteen quantities of `_round`, shape (P, 14); points (P, 1) or (P, 2)."""
    dim = verifier.dim
    length = points[:, 0]
    angle = points[:, 1] if dim > 1 else np.full_like(length, np.pi / 2)
    along = length * np.sin(angle)
    across = (length * np.cos(angle)) ** 2 / (dim - 1) if dim > 1 else np.zeros_like(length)
    bound = (verifier.radius * length if verifier.radius > 0 else 0.0) + verifier.slack
    mean, variance, accept = truncated_normal.moments(along * distance, bound, 1.0)
    weight = accept if verifier.drop else np.ones_like(accept)
    square = along**2
    tilt = along * distance - mean if verifier.drop else np.zeros_like(mean)  # -(dw/dmean)/w >= 0
    values = [
        accept,
        weight * square,
        weight * along * mean,
        weight * square * variance,
        weight * square * (variance + mean * tilt),  # with a term that is never 0, so that the relative
        weight * square * (1 + along * tilt),  # tolerance can be met where nothing is rejected
        weight * square * mean**2,
        weight * square * along * mean,
        weight * square**2,
        weight * across,
        weight * across * variance,
        weight * across * mean**2,
        weight * across * along * mean,
        weight * across * square,
    ]
    return (np.exp(_log_density(dim, length, angle)) * np.stack(values)).T


def _round(distance: float, verifier: _Verifier, tolerance: float) -> _Round:
    """The quantities of one round at a distance in units of sigma."""
    dim = verifier.dim
    middle = np.sqrt(dim - 1.0)
    low, high = [max(0.0, middle - _REACH)], [middle + _REACH]
    if dim > 1:
        low.append(0.0)
        high.append(min(np.pi / 2, 12 / np.sqrt(max(dim - 2, 1))))  # cos^(d-2) is below exp(-72) beyond
    result = cubature(
        lambda points: _integrand(points, distance, verifier), low, high, rtol=tolerance, atol=0
    )
    if result.status != "converged":
        raise ArithmeticError(f"population map at distance {distance * verifier.sigma} did not converge")
    (accept, weight, moved, varied, turned, tilted, *rest) = map(float, result.estimate)
    turned, tilted = turned - varied, tilted - weight
    m2, tm, t2, side, side_v, side_m2, side_tm, side_t2 = rest
    g = moved / weight
    spread_across = side_v + side_m2 - 2 * g * side_tm + g**2 * side_t2
    return _Round(
        target=g,
        derivative=(varied - turned + g * tilted) / weight,
        rate=varied / weight,
        acceptance=accept,
        weight=weight,
        noise_along=(varied + m2 - 2 * g * tm + g**2 * t2) / weight**2,
        noise_across=spread_across / side**2 if dim > 1 else 0.0,
    )


def _population(
    distance: float, dim: int, radius: float, slack: float, sigma: float, covariates: str
) -> tuple[_Round, float]:
    verifier = _verifier(dim, radius, slack, sigma, covariates)
    distance = nonnegative_scalar("distance", distance)
    return _round(distance / verifier.sigma, verifier, _MAP_TOLERANCE), verifier.sigma


def population_map(
    distance: float, *, dim: int, radius: float, slack: float, sigma: float, covariates: str = "drop"
) -> float:
    """Distance g(D) to the center after a round with unlimited Gaussian rows, from distance D >= 0.

    g(D) = E[w t m(tD, b)]/E[w t^2] (module docstring). 10 correct digits or more.

    distance and radius >= 0 in the unit of the coefficients, slack >= 0 in the unit of y, not both 0
    (inf: no verifier, g(D) = D); covariates "drop" or "resample": what becomes of a rejected row. Least
    squares without intercept, known sigma. About 0.1 s, seconds for D above 50 sigma. ValueError for an
    argument out of range.
    Source: derived here: the normal equations E[w x x'] delta' = E[w x m], diagonal by the symmetry of x
    about u.
    """
    step, unit = _population(distance, dim, radius, slack, sigma, covariates)
    return unit * step.target


def population_rate(
    distance: float, *, dim: int, radius: float, slack: float, sigma: float, covariates: str = "drop"
) -> float:
    """Variance ratio E[w t^2 v/sigma^2]/E[w t^2] at distance D, in (0, 1]; at D = 0 the rate g'(0).

    Arguments and errors as in `population_map`. Away from 0 it is the slope of the map only when y is
    resampled; `population_derivative` is the slope in both cases.
    Source: derived here.
    """
    return _population(distance, dim, radius, slack, sigma, covariates)[0].rate


def population_derivative(
    distance: float, *, dim: int, radius: float, slack: float, sigma: float, covariates: str = "drop"
) -> float:
    """Slope g'(D) of `population_map`.

    E[w t^2 {v + (m - tD)(m - tg) (for dropped rows)}]/(sigma^2 E[w t^2]). Arguments and errors as in
    `population_map`.
    Source: derived here: dm/dmean = v/sigma^2 and dZ/dmean = Z (m - mean)/sigma^2.
    """
    return _population(distance, dim, radius, slack, sigma, covariates)[0].derivative


def population_acceptance(distance: float, *, dim: int, radius: float, slack: float, sigma: float) -> float:
    """Acceptance rate E[Z] of rows generated at distance D from the center, in [0, 1].

    Arguments and errors as in `population_map`; the same whatever becomes of a rejected row.
    Source: derived here.
    """
    return _population(distance, dim, radius, slack, sigma, "drop")[0].acceptance


def population_path(
    distance: float,
    *,
    dim: int,
    radius: float,
    slack: float,
    sigma: float,
    rounds: int,
    covariates: str = "drop",
) -> FloatArray:
    """Distances to the center D, g(D), g(g(D)), ... of rounds 0..K with unlimited rows, shape (K+1,).

    Arguments and errors as in `population_map`, relative tolerance 1e-7 per round.
    Source: derived here.
    """
    verifier = _verifier(dim, radius, slack, sigma, covariates)
    path = [nonnegative_scalar("distance", distance) / verifier.sigma]
    for _ in range(whole("rounds", rounds)):
        path.append(_round(path[-1], verifier, _PATH_TOLERANCE).target)
    return verifier.sigma * np.array(path)


def _rows(step: _Round, generated: float, verifier: _Verifier, finite_size: bool) -> float:
    """Generated rows n, or n - (d+1)/P(row enters the fit) with the finite-size correction."""
    if not finite_size:
        return generated
    share = step.acceptance if verifier.drop else 1.0
    rows = generated - (verifier.dim + 1) / share
    allowed = f"> (dim + 1)/acceptance = {(verifier.dim + 1) / share:.4g} for finite_size"
    require(rows > 0, "n_per_round", allowed, generated)
    return rows


def _real_variance(n_real: float, dim: int) -> float:
    """Variance per direction of round 0 over sigma^2: E tr (X'X)^-1 / d = 1/(n - d - 1) for Gaussian rows."""
    rows = positive_scalar("n_real", n_real, infinite=True)
    require(rows > dim + 1, "n_real", f"> dim + 1 = {dim + 1}", n_real)
    return 1 / (rows - dim - 1)


def gaussian_trajectory(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    n_per_round: ArrayLike,
    radius: float,
    slack: float,
    verifier_bias: ArrayLike,
    rounds: int,
    covariates: str = "drop",
    finite_size: bool = False,
) -> FloatArray:
    """Linearised MSE E|theta_k - theta*|^2 for fresh Gaussian rows, rounds 0..K, shape (K+1,).

    MSE_k = rho^{2k} V0 + (1 - rho^k)^2 Delta^2 + d sigma^2 sum_{j=1..k} rho^{2(k-j)+1}/(n_j E[w t^2]) with
    rho = g'(0), V0 = d sigma^2/(n_real - d - 1); n_real and n_per_round are total rows, the latter
    generated ones.

    Exact in the limit of small deviations and n_j >> d. finite_size=True replaces n_j by n_j -
    (d+1)/acceptance (n_j - d - 1 when y is resampled), which is exact for a constant bound and resampled y,
    and else approximate. n_real > d + 1, inf allowed; n_per_round one number, inf, or one per round;
    verifier_bias |center - truth| or the vector; the rest as in `population_map`. ValueError for an
    argument out of range.
    Source: derived here; the real variance from the inverse Wishart mean.
    """
    verifier = _verifier(dim, radius, slack, sigma, covariates)
    generated = counts("n_per_round", n_per_round, whole("rounds", rounds))
    bias = bias_norm(verifier_bias, verifier.dim) / verifier.sigma
    step = _round(0.0, verifier, _MAP_TOLERANCE)
    variance, pulled = _real_variance(n_real, verifier.dim), 0.0
    mse = [verifier.dim * variance]
    for rows in generated:
        added = step.rate / (step.weight * _rows(step, float(rows), verifier, finite_size))
        variance = step.rate**2 * variance + added
        pulled = step.rate * pulled + (1 - step.rate)
        mse.append(verifier.dim * variance + (pulled * bias) ** 2)
    return verifier.sigma**2 * np.array(mse)


def gaussian_trajectory_delta(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    n_per_round: ArrayLike,
    radius: float,
    slack: float,
    verifier_bias: ArrayLike,
    rounds: int,
    covariates: str = "drop",
    finite_size: bool = True,
) -> FloatArray:
    """MSE for fresh Gaussian rows to first order in 1/n, for any bias, rounds 0..K, shape (K+1,).

    The distance follows the population map, D_{k+1} = g(D_k) from D_0 = Delta; around it the variance along
    the deviation is multiplied by g'(D)^2 and across it by (g(D)/D)^2, and a round adds, with p a component
    of x across the deviation,

        along  E[w t^2 (v + (m-tg)^2)]/(n E[w t^2]^2),   across  E[w p^2 (v + (m-tg)^2)]/(n E[w p^2]^2).

    MSE_k = (D_k - Delta)^2 + V_along + (d-1) V_across. The shift of the mean by the curvature of g is left
    out: in simulations with d = 4 and 10, 60 to 200 rows and bounds up to 1.6 sigma the result was within 2 %
    (the linear form was up to 50 % off); wider bounds fare worse (`fixed_design_trajectory_delta`).
    finite_size replaces n by n - (d+1)/acceptance (n - d - 1 when y is resampled). Arguments, units and
    errors as in `gaussian_trajectory`, which it equals for bias 0. About 0.05 s per round.
    Source: derived here (delta method; the sandwich covariance of a misspecified least-squares fit).
    """
    verifier = _verifier(dim, radius, slack, sigma, covariates)
    generated = counts("n_per_round", n_per_round, whole("rounds", rounds))
    bias = bias_norm(verifier_bias, verifier.dim) / verifier.sigma
    distance = bias
    along = across = _real_variance(n_real, verifier.dim)
    mse = [verifier.dim * along]
    for rows in generated:
        step = _round(distance, verifier, _PATH_TOLERANCE)
        turn = step.target / distance if distance > 0 else step.rate
        number = _rows(step, float(rows), verifier, finite_size)
        along = step.derivative**2 * along + step.noise_along / number
        across = turn**2 * across + step.noise_across / number
        distance = step.target
        mse.append((distance - bias) ** 2 + along + (verifier.dim - 1) * across)
    return verifier.sigma**2 * np.array(mse)
