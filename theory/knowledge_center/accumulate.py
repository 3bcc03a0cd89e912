"""A verifier together with `accumulate`: every accepted row is kept for ever. Linearised, orthogonal design.

N_k rows per direction are in the pool after round k: N_0 = n_real, then n_k accepted ones a round. Only the
new rows are pulled towards the center, so the pull weakens as the pool grows: the drift slows from
exponential to the power law k^-(1-rho), but it does not stop. `accumulate_subsample` has the same mean path
and more variance.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from theory.arguments import (
    FloatArray,
    bias_norm,
    counts,
    nonnegative,
    positive,
    positive_scalar,
    require,
    whole,
)
from theory.knowledge_center.orthogonal import contraction_loss, contraction_rate


def accumulate_trajectory(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    n_per_round: ArrayLike,
    bound: float,
    verifier_bias: ArrayLike,
    rounds: int,
) -> FloatArray:
    """Linearised MSE E|theta_k - theta*|^2 under `accumulate`, rounds 0..K, shape (K+1,), squared units.

    With w = n_k/N_k the share of new rows, a_k the mean deviation from the center over a_0, V_k the
    variance per direction:

        a_k = a_{k-1} [1 - (1-rho) w],   V_k = V_{k-1} [1 - (1-rho) w]^2 + rho sigma^2 w^2/n_k,
        MSE_k = (1 - a_k)^2 Delta^2 + d V_k,   a_0 = 1, V_0 = sigma^2/n_real.

    n_real and n_per_round are finite rows per direction (kept ones), the latter one number or one for each
    round. Assumes known sigma and deviations small against it. ValueError for an argument out of range.
    Source: derived here: the pooled fit is the row-weighted mean of the last fit and the mean of the new
    rows, which is rho delta_{k-1} with variance rho sigma^2/n_k.
    """
    dim = whole("dim", dim, least=1)
    sigma = positive_scalar("sigma", sigma)
    bound = positive_scalar("bound", bound, infinite=True)
    rate, lost = float(contraction_rate(bound, sigma)), float(contraction_loss(bound, sigma))
    kept = counts("n_per_round", n_per_round, whole("rounds", rounds))
    require(np.isfinite(kept), "n_per_round", "finite under accumulate", n_per_round)
    pool = positive_scalar("n_real", n_real)
    pulled, variance = [0.0], [sigma**2 / pool]  # 1 - a_k and V_k
    for new in kept:
        pool += new
        share = new / pool
        pulled.append(pulled[-1] + (1 - pulled[-1]) * lost * share)
        variance.append(variance[-1] * (1 - lost * share) ** 2 + rate * sigma**2 * share / pool)
    return np.square(pulled) * bias_norm(verifier_bias, dim) ** 2 + dim * np.array(variance)


def _checked(rounds: ArrayLike, rate: ArrayLike, nu: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    k, rho = nonnegative("rounds", rounds), positive("rate", rate)
    require(rho <= 1, "rate", "in (0, 1]", rate)
    return k, rho, positive("nu", nu)


def accumulate_deviation(rounds: ArrayLike, *, rate: ArrayLike, nu: ArrayLike = 1.0) -> FloatArray:
    """Mean deviation from the center at round k over that of round 0; linearised, arguments broadcast.

    a_k/a_0 = prod_{j=1..k} [1 - (1-rho)/(nu+j)] = Gamma(nu+k+rho) Gamma(nu+1)/(Gamma(nu+k+1) Gamma(nu+rho)),
    nu = n_real/n_per_round > 0, rate = rho in (0, 1], rounds >= 0. ValueError for an argument out of range.
    Source: derived here: the recursion of `accumulate_trajectory` with N_k = n (nu + k).
    """
    k, rho, ratio = _checked(rounds, rate, nu)
    late = gammaln(ratio + k + rho) - gammaln(ratio + k + 1)
    return np.exp(late - gammaln(ratio + rho) + gammaln(ratio + 1))[()]


def accumulate_power_law(rounds: ArrayLike, *, rate: ArrayLike, nu: ArrayLike = 1.0) -> FloatArray:
    """Large-k form of `accumulate_deviation`: the drift to the center as a power law; arguments broadcast.

    a_k/a_0 ~ k^-(1-rho) Gamma(nu+1)/Gamma(nu+rho), relative error O(1/k); nu = n_real/n_per_round. rounds >
    0; else as in `accumulate_deviation`.
    Source: derived here: Gamma(x+rho)/Gamma(x+1) ~ x^(rho-1).
    """
    k, rho, ratio = _checked(rounds, rate, nu)
    require(k > 0, "rounds", "> 0", rounds)
    return np.exp((rho - 1) * np.log(k) + gammaln(ratio + 1) - gammaln(ratio + rho))[()]
