"""Least squares retrained on its own predictions, no verifier: expected squared error of the coefficients.

y = x.truth + sigma noise; round k >= 1 refits on labels X theta_{k-1} + sigma noise. Rounds count from 0
(the fit on real rows); the pages and papers count fits from 1, so their k is k + 1 here. Results are
E|theta_k - truth|^2 = the excess test error for isotropic features, in squared data units. Designs:

    "gaussian"    rows x ~ N(0, I_d), fresh each round; counts are total rows, each > d + 1
    "reused"      one such Gaussian design used in every round; one count
    "orthogonal"  each unit direction repeated n times; counts are rows per direction

ValueError for an argument out of range.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma

from theory.arguments import FloatArray, choice, counts, positive_scalar, require, whole

_DESIGNS = ("gaussian", "reused", "orthogonal")


def harmonic_squares(rounds: int) -> FloatArray:
    """H^(2) = sum of 1/i^2 for i = 1..k+1, for rounds k = 0..K, shape (K+1,)."""
    return np.cumsum(1 / np.arange(1.0, whole("rounds", rounds) + 2) ** 2)


def _unit(dim: int, sigma: float) -> tuple[int, float]:
    """Checked dimension, and d sigma^2."""
    dim = whole("dim", dim, least=1)
    return dim, dim * positive_scalar("sigma", sigma) ** 2


def _path(name_real: float, n_per_round: ArrayLike, rounds: int) -> FloatArray:
    """Rows of rounds 0..K, finite, shape (K+1,)."""
    real = positive_scalar("n_real", name_real)
    later = counts("n_per_round", n_per_round, whole("rounds", rounds))
    require(np.isfinite(later), "n_per_round", "finite", n_per_round)
    return np.concatenate([[real], later])


def _enough_rows(rows: FloatArray, dim: int) -> FloatArray:
    """Rows minus d + 1, where the mean of tr (X'X)^-1 = d/(n - d - 1) exists."""
    require(rows[0] > dim + 1, "n_real", f"> dim + 1 = {dim + 1}", rows[0])
    require(rows > dim + 1, "n_per_round", f"> dim + 1 = {dim + 1}", rows[1:])
    return rows - dim - 1


def _one_design(rows: FloatArray) -> None:
    require(rows == rows[0], "n_per_round", "n_real for a reused design", rows[1:])


def replace_mse_exact(
    *, dim: int, sigma: float, n_real: float, n_per_round: ArrayLike, rounds: int, design: str = "gaussian"
) -> FloatArray:
    """Exact E|theta_k - truth|^2 under `replace`, rounds 0..K, shape (K+1,).

    gaussian, reused: sigma^2 d sum_{j=0..k} 1/(n_j - d - 1), which is (k+1) sigma^2 d/(n-d-1) for equal
    counts; orthogonal: d sigma^2 sum_{j=0..k} 1/n_j; n_0 = n_real.
    Source: [Dohmatob24] (n equal, its count excludes the real fit) and [Gerstgrasser24]; unequal counts
    derived here: theta_k - truth is the sum of the rounds' independent noises X_j^+ eps_j, and E tr
    (X'X)^-1 = d/(n-d-1).
    """
    dim, unit = _unit(dim, sigma)
    rows = _path(n_real, n_per_round, rounds)
    kind = choice("design", design, _DESIGNS)
    if kind == "reused":
        _one_design(rows)
    return unit * np.cumsum(1 / (rows if kind == "orthogonal" else _enough_rows(rows, dim)))


def accumulate_mse_exact(
    *, dim: int, sigma: float, n_real: float, n_per_round: ArrayLike, rounds: int, design: str = "gaussian"
) -> FloatArray:
    """Exact E|theta_k - truth|^2 under `accumulate`, rounds 0..K, shape (K+1,); N_k = n_0 + ... + n_k.

    reused: sigma^2 d/(n-d-1) H_{k+1}^(2);  gaussian: sigma^2 d sum_{j=0..k} n_j/(N_j (N_j - d - 1)), smaller;
    orthogonal: d sigma^2 sum_{j=0..k} n_j/N_j^2; n_0 = N_0 = n_real.
    Source: reused: [Gerstgrasser24]; the others derived here: theta_k = theta_{k-1} + G_k^-1 X_k' eps_k
    with G_k the pooled Gram matrix, and by exchangeability of rows E tr G_k^-1 X_k'X_k G_k^-1 = (n_k/N_k) E
    tr G_k^-1.
    """
    dim, unit = _unit(dim, sigma)
    rows = _path(n_real, n_per_round, rounds)
    pool = np.cumsum(rows)
    kind = choice("design", design, _DESIGNS)
    if kind == "orthogonal":
        return unit * np.cumsum(rows / pool**2)
    if kind == "reused":
        _one_design(rows)
        return unit / _enough_rows(rows, dim)[0] * harmonic_squares(rounds)
    require(rows[0] > dim + 1, "n_real", f"> dim + 1 = {dim + 1}", n_real)
    return unit * np.cumsum(rows / (pool * (pool - dim - 1)))


def accumulate_mse_limit(*, dim: int, sigma: float, n_per_round: float, design: str = "gaussian") -> float:
    """Limit of `accumulate_mse_exact` for k -> inf with n_real = n_per_round = n: a plateau.

    reused: sigma^2 d/(n-d-1) pi^2/6;  gaussian: -sigma^2 d/(d+1) [digamma(1-x) + gamma], x = (d+1)/n;
    orthogonal: (d sigma^2/n) pi^2/6.
    Source: reused: [Gerstgrasser24]; the others derived here, by partial fractions of 1/(i (i n - d - 1)).
    """
    dim, unit = _unit(dim, sigma)
    rows = positive_scalar("n_per_round", n_per_round)
    kind = choice("design", design, _DESIGNS)
    if kind == "orthogonal":
        return float(unit / rows * np.pi**2 / 6)
    require(rows > dim + 1, "n_per_round", f"> dim + 1 = {dim + 1}", n_per_round)
    if kind == "reused":
        return float(unit / (rows - dim - 1) * np.pi**2 / 6)
    return float(-unit / (dim + 1) * (digamma(1 - (dim + 1) / rows) + np.euler_gamma))


def accumulate_subsample_mse_asymptotic(
    *, dim: int, sigma: float, n_per_round: float, rounds: int
) -> FloatArray:
    """First-order E|theta_k - truth|^2 under `accumulate_subsample`, rounds 0..K, shape (K+1,); d/n -> 0.

    sigma^2 d/(n-d-1) (3 H_{k+1}^(2) - 2), n_real = n_per_round = n Gaussian rows, fresh or reused; it tends
    to pi^2/2 - 2 times the first fit's error. Low by 10 to 20 % for a reused design with d/n = 0.2:
    `linear_regression_subsample` has the limit at any d/n.
    Source: derived here: a subsample of n rows of the pool adds variance (1 - 1/(k+1))/n to the pool's mean
    influence.
    """
    dim, unit = _unit(dim, sigma)
    rows = positive_scalar("n_per_round", n_per_round)
    require(rows > dim + 1, "n_per_round", f"> dim + 1 = {dim + 1}", n_per_round)
    return unit / (rows - dim - 1) * (3 * harmonic_squares(rounds) - 2)


def accumulate_subsample_intercept_exact(*, sigma: float, n_per_round: int, rounds: int) -> FloatArray:
    """Exact E(theta_k - truth)^2 under `accumulate_subsample`, mean of known variance, shape (K+1,).

    d = 1, X = 1, n_real = n_per_round = n; the fit is the mean of n rows drawn without replacement from the
    pool of (k+1) n. With i = k + 1, P the mean squared error of the pool's mean, V the pool's expected
    variance and u = (i-1)/(n i - 1):

        E_k = P + V u,   P' = P + (V u + sigma^2/n)/(i+1)^2,
        V' = V [1 - (1-u)/(i+1) - u/(i+1)^2] + sigma^2 [1/(i+1) - 1/(n (i+1)^2)],

    from P = sigma^2/n, V = sigma^2 (1 - 1/n). Tends to a plateau.
    Source: derived here: moments of a simple random sample, then of the pool with the new rows.
    """
    variance = positive_scalar("sigma", sigma) ** 2
    n = whole("n_per_round", n_per_round, least=1)
    pool_error, pool_variance = variance / n, variance * (1 - 1 / n)
    errors = []
    for i in range(1, whole("rounds", rounds) + 2):
        share = (i - 1) / (n * i - 1) if i > 1 else 0.0
        errors.append(pool_error + pool_variance * share)
        new = 1 / (i + 1)
        pool_error += (pool_variance * share + variance / n) * new**2
        pool_variance *= 1 - (1 - share) * new - share * new**2
        pool_variance += variance * (new - new**2 / n)
    return np.array(errors)
