"""Linearised trajectories under `replace` on the orthogonal design, and the published bound.

Orthogonal design: each of the d unit directions is repeated n times, so n_real and n_per_round are rows per
direction, every accepted residual has the same bound b = radius + slack, and directions do not interact.
n_per_round counts kept rows. Linearised means: the truncated mean m(delta) is replaced by rho delta and its
variance by v(0) = rho sigma^2, exact for deviations small against sigma; it understates the MSE by 1 to 50
% where the deviation per direction is sigma/2 or sigma. `exact_chain` has no such error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from theory import truncated_normal
from theory.arguments import (
    FloatArray,
    bias_norm,
    counts,
    positive,
    positive_scalar,
    whole,
)


@dataclass(frozen=True)
class Linear:
    """The numbers that fix a linearised chain with a constant count; squared data units, rates pure."""

    rate: float  # rho
    lost: float  # 1 - rho, computed apart so that it stays accurate where rho is nearly 1
    start: float  # V0 = d sigma^2 / n_real, the MSE of round 0
    floor: float  # S, the stationary variance; inf without contraction
    bias2: float  # Delta^2

    @property
    def room(self) -> float:
        """V0 - S: the variance that verification can remove; no gain is possible unless it is > 0."""
        return self.start - self.floor

    @property
    def log_rate(self) -> float:
        """ln rho, accurate where rho is nearly 1."""
        return float(np.log(self.rate) if self.rate < 0.5 else np.log1p(-self.lost))

    @property
    def frozen(self) -> bool:
        """Whether every round has the MSE of round 0: no contraction nor noise, or no bias nor room."""
        return (self.lost == 0 and self.floor == 0) or (self.room == 0 and self.bias2 == 0)


def contraction_rate(bound: ArrayLike, sigma: ArrayLike) -> FloatArray:
    """Contraction rate rho of one round towards the knowledge center, in (0, 1]; arguments broadcast.

    rho = m'(0) = v(0)/sigma^2 = 1 - 2 z phi(z)/(2 Phi(z) - 1), z = bound/sigma; rho -> z^2/3 for z -> 0 and
    1 for z -> inf. bound > 0 (inf allowed: no verifier) and sigma > 0, both in the unit of y; else
    ValueError.
    Source: [Yi26], Theorem 4.1 (arXiv v3), where it is the contraction constant; the slope is derived here.
    """
    return truncated_normal.slope(0.0, bound, sigma)


def contraction_loss(bound: ArrayLike, sigma: ArrayLike) -> FloatArray:
    """1 - rho without cancellation, down to 1e-308; arguments as in `contraction_rate`.

    1 - rho = 2 z phi(z)/(2 Phi(z) - 1) = sqrt(2/pi) z exp(-z^2/2)/erf(z/sqrt 2).
    Source: derived here (`contraction_rate`).
    """
    limit, scale = positive("bound", bound, infinite=True), positive("sigma", sigma)
    # exp(-z^2/2) is 0 from z = 39 on; the cap keeps inf * 0 out.
    z = np.minimum(limit / scale, 100.0)
    return (np.sqrt(2 / np.pi) * z * np.exp(-(z**2) / 2) / erf(z / np.sqrt(2)))[()]


def linear_model(
    *, dim: int, sigma: float, n_real: float, bound: float, verifier_bias: ArrayLike, n_per_round: float
) -> Linear:
    """Checked arguments of a linearised chain with a constant count, reduced to its five numbers."""
    dim = whole("dim", dim, least=1)
    sigma = positive_scalar("sigma", sigma)
    bound = positive_scalar("bound", bound, infinite=True)
    n_real = positive_scalar("n_real", n_real, infinite=True)
    n_per_round = positive_scalar("n_per_round", n_per_round, infinite=True)
    rate, lost = float(contraction_rate(bound, sigma)), float(contraction_loss(bound, sigma))
    noise = dim * sigma**2 * rate / n_per_round
    if noise == 0:
        floor = 0.0
    else:
        floor = noise / (lost * (1 + rate)) if lost > 0 else np.inf
    return Linear(rate, lost, dim * sigma**2 / n_real, floor, bias_norm(verifier_bias, dim) ** 2)


def stationary_variance(*, dim: int, sigma: float, bound: float, n_per_round: float) -> float:
    """Variance S that the linearised chain settles at, summed over directions, in squared data units.

    S = d sigma^2 rho/(n (1 - rho^2)); 0 for n_per_round = inf, inf where rho = 1 (no verifier) and n is
    finite.
    ValueError for an argument out of range.
    Source: derived here: the fixed point of V -> rho^2 V + d sigma^2 rho/n.
    """
    return linear_model(
        dim=dim, sigma=sigma, n_real=np.inf, bound=bound, verifier_bias=0.0, n_per_round=n_per_round
    ).floor


def _variance_path(rate: float, start: float, noise: FloatArray) -> FloatArray:
    """rho^{2k} V0 + sum_j rho^{2(k-j)} noise_j by its recursion, rounds 0..K."""
    path = [start]
    for added in noise:
        path.append(rate**2 * path[-1] + added)
    return np.array(path)


def _arguments(
    dim: int, sigma: float, n_real: float, n_per_round: ArrayLike, bound: float, rounds: int
) -> tuple[float, float, FloatArray]:
    """rho, the MSE of round 0 and the noise that each later round adds."""
    dim = whole("dim", dim, least=1)
    sigma = positive_scalar("sigma", sigma)
    rate = float(contraction_rate(positive_scalar("bound", bound, infinite=True), sigma))
    start = dim * sigma**2 / positive_scalar("n_real", n_real, infinite=True)
    kept = counts("n_per_round", n_per_round, whole("rounds", rounds))
    return rate, start, dim * sigma**2 * rate / kept


def mse_trajectory(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    n_per_round: ArrayLike,
    bound: float,
    verifier_bias: ArrayLike,
    rounds: int,
) -> FloatArray:
    """Linearised MSE E|theta_k - theta*|^2 of rounds 0..K, shape (K+1,), in squared data units.

    MSE_k = rho^{2k} V0 + (1 - rho^k)^2 Delta^2 + d sigma^2 sum_{j=1..k} rho^{2(k-j)+1}/n_j,  V0 = d
    sigma^2/n_real.

    n_real rows per direction (> 0, inf allowed); n_per_round kept rows per direction, one number, inf, or
    one for each of the `rounds` rounds; verifier_bias is |center - truth| or that vector; bound in the unit
    of y, inf for no verifier. Assumes the orthogonal design, `replace`, known sigma, small deviations
    (module docstring).
    ValueError for an argument out of range.
    Source: derived here: E delta_{k+1} = rho E delta_k and Var delta_{k+1} = rho^2 Var delta_k + rho
    sigma^2/n per direction, with delta_0 ~ N(truth - center, sigma^2/n_real).
    """
    rate, start, noise = _arguments(dim, sigma, n_real, n_per_round, bound, rounds)
    lost = float(contraction_loss(bound, sigma))
    pulled = [0.0]  # 1 - rho^k, as a recursion of positive terms
    for _ in noise:
        pulled.append(rate * pulled[-1] + lost)
    return _variance_path(rate, start, noise) + np.square(pulled) * bias_norm(verifier_bias, dim) ** 2


def mse_bound(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    n_per_round: ArrayLike,
    bound: float,
    verifier_bias: ArrayLike,
    rounds: int,
) -> FloatArray:
    """Upper bound on E|theta_k - theta_c|^2, the squared distance to the center, rounds 0..K, shape (K+1,).

    rho^{2k} E|theta_0 - theta_c|^2 + d sigma^2 sum_{j=1..k} rho^{2(k-j)+1}/n_j,  E|theta_0 - theta_c|^2 =
    V0 + Delta^2.

    Holds on the orthogonal design for every deviation (the slope and the variance of the truncated normal
    are largest at the center); the linearised chain attains it, so it is also the linearised trajectory of
    that distance.
    Arguments, units and errors as in `mse_trajectory`.
    Source: [Yi26], Theorem 4.1, Eq. 7 (arXiv v3); the paper calls d p and counts the batches j = 0..k-1.
    """
    rate, start, noise = _arguments(dim, sigma, n_real, n_per_round, bound, rounds)
    return _variance_path(rate, start + bias_norm(verifier_bias, dim) ** 2, noise)


def limit_mse(
    *,
    dim: int,
    sigma: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_real: float,
    n_per_round: float = np.inf,
) -> float:
    """Limit of the linearised MSE for k -> inf, in squared data units.

    Delta^2 + S (`stationary_variance`): with n_per_round = inf the verifier's bias alone, whatever its
    selectivity. Without a verifier (bound = inf) the chain never moves: V0 = d sigma^2/n_real for
    n_per_round = inf, else inf.
    Arguments and errors as in `mse_trajectory`, n_per_round one number.
    Source: derived here, from `mse_trajectory`.
    """
    model = linear_model(
        dim=dim, sigma=sigma, n_real=n_real, bound=bound, verifier_bias=verifier_bias, n_per_round=n_per_round
    )
    return model.start if model.frozen else model.bias2 + model.floor
