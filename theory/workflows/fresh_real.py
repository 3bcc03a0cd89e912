"""Retraining each round on fresh real data mixed with the previous model's data: the golden ratio.

Round 0 fits n real points; round k >= 1 fits n fresh real points with total weight w = real_weight and m synthetic
points of model k-1 with weight 1-w. Rounds count from 0; the page's t is k + 1 here. Without a verifier; errors are
in squared data units, sigma the standard deviation of a point or of the label noise. The error settles at a fixed
point (`_limit`), and w has a best value between 0 and 1; for n = m it is (sqrt(5)-1)/2 = 0.618.

    mean, variance    of a 1-D Gaussian, both estimators unbiased and mixed with the same w
    labels            least squares on one design per round, each label w real + (1-w) synthetic
    pooled            least squares on the n + m rows, equal weights
    weighted          least squares on the n + m rows, weight w/n per real and (1-w)/m per synthetic row
    fixed_real        the mean, but the same n real points in every round

n = n_real, m = n_synthetic, real_weight in (0, 1]. ValueError for an argument out of range.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from theory.arguments import FloatArray, positive_scalar, require, whole


def _weight(value: ArrayLike) -> float:
    """Checked weight of the real part, in (0, 1]."""
    weight = positive_scalar("real_weight", value)
    require(weight <= 1, "real_weight", "in (0, 1]", value)
    return weight


def _affine_path(first: float, added: float, kept: float, rounds: int) -> FloatArray:
    """v_0 = first, v_k = added + kept v_{k-1}, rounds 0..K, shape (K+1,)."""
    powers = kept ** np.arange(whole("rounds", rounds) + 1)
    sums = np.concatenate([[0.0], np.cumsum(powers[:-1])])
    return first * powers + added * sums


def _mean_step(sigma: float, n_real: float, n_synthetic: float, real_weight: float) -> tuple[float, float]:
    """Squared error that a round adds, and the factor by which it keeps the last round's."""
    variance = positive_scalar("sigma", sigma) ** 2
    real, synthetic = positive_scalar("n_real", n_real), positive_scalar("n_synthetic", n_synthetic)
    weight = _weight(real_weight)
    return variance * (weight**2 / real + (1 - weight) ** 2 / synthetic), (1 - weight) ** 2


def mean_mse_exact(
    *, sigma: float, n_real: float, n_synthetic: float, real_weight: float, rounds: int
) -> FloatArray:
    """Exact E(mu_k - mu)^2, rounds 0..K, shape (K+1,).

    v_0 = sigma^2/n,  v_k = w^2 sigma^2/n + (1-w)^2 (v_{k-1} + sigma^2/m). The variance is known, or fitted by
    unbiased estimators. For a vector put sigma^2 = tr Sigma_0.
    Source: [He25]; derived here, WORKFLOWS E1: independent errors.
    """
    added, kept = _mean_step(sigma, n_real, n_synthetic, real_weight)
    return _affine_path(sigma**2 / n_real, added, kept, rounds)


def mean_mse_limit(*, sigma: float, n_real: float, n_synthetic: float, real_weight: float) -> float:
    """Limit of `mean_mse_exact` for k -> inf: sigma^2 [w^2/n + (1-w)^2/m] / [1 - (1-w)^2].

    Pooling, w = n/(n+m), gives sigma^2 (n+m)/(n (n+2m)).
    Source: [He25]; derived here, WORKFLOWS E1.
    """
    added, kept = _mean_step(sigma, n_real, n_synthetic, real_weight)
    return added / (1 - kept)


def mean_best_weight_exact(*, n_real: float, n_synthetic: float) -> float:
    """The real_weight w* that makes `mean_mse_limit` least; the least value is w* sigma^2/n.

    w* = [sqrt(a^2 + 4a) - a]/2, a = n/m: the root of w^2 = a (1-w). 0.618 for a = 1, near sqrt(a) for a -> 0.
    Source: [He25].
    """
    real, synthetic = positive_scalar("n_real", n_real), positive_scalar("n_synthetic", n_synthetic)
    return float(2 / (1 + np.sqrt(1 + 4 * synthetic / real)))


def _variance_counts(n_real: int, n_synthetic: int) -> tuple[int, int, float]:
    """Degrees of freedom of both parts, and rho = (m+1)/(m-1)."""
    real = whole("n_real", n_real, least=2) - 1
    synthetic = whole("n_synthetic", n_synthetic, least=2) - 1
    return real, synthetic, 1 + 2 / synthetic


def _variance_step(n_real: int, n_synthetic: int, real_weight: float) -> tuple[float, float, float]:
    """First squared error, squared error that a round adds, factor it keeps; in sigma^4."""
    real, synthetic, spread = _variance_counts(n_real, n_synthetic)
    weight = _weight(real_weight)
    rest = (1 - weight) ** 2
    return 2 / real, 2 * weight**2 / real + 2 * rest / synthetic, spread * rest


def variance_mse_exact(
    *, sigma: float, n_real: int, n_synthetic: int, real_weight: float, rounds: int
) -> FloatArray:
    """Exact E(s_k^2 - sigma^2)^2 of the fitted variance of a 1-D Gaussian, rounds 0..K, shape (K+1,).

    u_0 = 2/(n-1),  u_k = 2 w^2/(n-1) + (1-w)^2 [rho u_{k-1} + 2/(m-1)],  times sigma^4, rho = (m+1)/(m-1);
    n, m >= 2. s^2 = w s_real^2 + (1-w) s_synthetic^2 with unbiased estimators. It grows without bound where
    rho (1-w)^2 >= 1.
    Source: derived here, WORKFLOWS E3 (which gives the fixed point).
    """
    first, added, kept = _variance_step(n_real, n_synthetic, real_weight)
    return positive_scalar("sigma", sigma) ** 4 * _affine_path(first, added, kept, rounds)


def variance_mse_limit(*, sigma: float, n_real: int, n_synthetic: int, real_weight: float) -> float:
    """Limit of `variance_mse_exact` for k -> inf; needs rho (1-w)^2 < 1.

    sigma^4 [2 w^2/(n-1) + 2 (1-w)^2/(m-1)] / [1 - rho (1-w)^2].
    Source: derived here, WORKFLOWS E3.
    """
    _, added, kept = _variance_step(n_real, n_synthetic, real_weight)
    require(kept < 1, "real_weight", "> 1 - sqrt((n_synthetic-1)/(n_synthetic+1)) for a limit", real_weight)
    return positive_scalar("sigma", sigma) ** 4 * added / (1 - kept)


def variance_best_weight_exact(*, n_real: int, n_synthetic: int) -> float:
    """The real_weight w* that makes `variance_mse_limit` least.

    1 - w* = [s - sqrt(s^2 - 4 rho)]/(2 rho), s = 1 + (n-1)/(m-1) + rho; 0.6407 for n = m = 10, tends to 0.618 for
    n = m -> inf.
    Source: derived here, WORKFLOWS E3.
    """
    real, synthetic, spread = _variance_counts(n_real, n_synthetic)
    total = 1 + real / synthetic + spread
    return float(1 - 2 / (total + np.sqrt(total**2 - 4 * spread)))


def _first_fit(dim: int, sigma: float, rows_name: str, rows: float) -> float:
    """sigma^2 d/(n-d-1), the error of least squares on n real rows."""
    dim, n = whole("dim", dim, least=1), positive_scalar(rows_name, rows)
    require(n > dim + 1, rows_name, f"> dim + 1 = {dim + 1}", rows)
    return positive_scalar("sigma", sigma) ** 2 * dim / (n - dim - 1)


def labels_mse_exact(
    *, dim: int, sigma: float, n_per_round: float, real_weight: float, rounds: int
) -> FloatArray:
    """Exact E|theta_k - truth|^2 of least squares on mixed labels, rounds 0..K, shape (K+1,).

    v_0 = u,  v_k = u [w^2 + (1-w)^2] + (1-w)^2 v_{k-1},  u = sigma^2 d/(n-d-1); n > d+1 Gaussian rows, reused or
    fresh. Each row of a round has a real and a synthetic label, of independent noise.
    Source: [Garg25]; derived here, WORKFLOWS E4.
    """
    unit, weight = _first_fit(dim, sigma, "n_per_round", n_per_round), _weight(real_weight)
    rest = (1 - weight) ** 2
    return _affine_path(unit, unit * (weight**2 + rest), rest, rounds)


def labels_mse_limit(*, dim: int, sigma: float, n_per_round: float, real_weight: float) -> float:
    """Limit of `labels_mse_exact` for k -> inf: u [w^2 + (1-w)^2] / [1 - (1-w)^2].

    Least at w = (sqrt(5)-1)/2 whatever n and d < n-1 are; the least value is 0.618 u.
    Source: [Garg25]; derived here, WORKFLOWS E4.
    """
    unit, weight = _first_fit(dim, sigma, "n_per_round", n_per_round), _weight(real_weight)
    rest = (1 - weight) ** 2
    return unit * (weight**2 + rest) / (1 - rest)


def shift_gain_exact(*, dim: int, n_real: float, n_synthetic: float) -> float:
    """B(n, m, d) = E|G^-1 G_s delta|^2 / |delta|^2: what is left of a shift of the synthetic rows' coefficients.

    G and G_s are X'X over all N = n+m rows and over the m synthetic ones, rows x ~ N(0, I_d), N > d+1:

        (m/N)^2 + (n m/N^2) [d (N^2-N+2) + N^2 - 5N + 2] / [(N-1) (N+2) (N-d-1)].

    n, m >= 0. For d = 1 it is m (m+2)/(N (N+2)).
    Source: derived here, WORKFLOWS E5: G^-1/2 G_s G^-1/2 is matrix-beta and independent of G.
    """
    d = whole("dim", dim, least=1)
    real, synthetic = whole("n_real", n_real), whole("n_synthetic", n_synthetic)
    total = float(real + synthetic)
    require(total > d + 1, "n_real + n_synthetic", f"> dim + 1 = {d + 1}", total)
    share = synthetic / total
    turned = d * (total**2 - total + 2) + total**2 - 5 * total + 2
    return share**2 + share * (1 - share) * turned / ((total - 1) * (total + 2) * (total - d - 1))


def _pooled_step(dim: int, sigma: float, n_real: int, n_synthetic: int) -> tuple[float, float]:
    kept = shift_gain_exact(dim=dim, n_real=n_real, n_synthetic=n_synthetic)
    return _first_fit(dim, sigma, "n_real + n_synthetic", n_real + n_synthetic), kept


def pooled_mse_exact(*, dim: int, sigma: float, n_real: int, n_synthetic: int, rounds: int) -> FloatArray:
    """Exact E|theta_k - truth|^2 of least squares on n fresh real and m synthetic rows, shape (K+1,).

    v_0 = sigma^2 d/(n-d-1),  v_k = sigma^2 d/(N-d-1) + B v_{k-1},  N = n+m, B = `shift_gain_exact`; new Gaussian
    designs each round, n > d+1.
    Source: derived here, WORKFLOWS E5.
    """
    first = _first_fit(dim, sigma, "n_real", n_real)
    return _affine_path(first, *_pooled_step(dim, sigma, n_real, n_synthetic), rounds)


def pooled_mse_limit(*, dim: int, sigma: float, n_real: int, n_synthetic: int) -> float:
    """Limit of `pooled_mse_exact` for k -> inf: sigma^2 d / [(N-d-1) (1-B)]; inf where B >= 1.

    B reaches 1 where N is close to d+1 and most rows are synthetic: there the error grows without bound.
    Source: derived here, WORKFLOWS E5.
    """
    added, kept = _pooled_step(dim, sigma, n_real, n_synthetic)
    return added / (1 - kept) if kept < 1 else np.inf


def weighted_mse_asymptotic(
    *, dim: int, sigma: float, n_real: float, n_synthetic: float, real_weight: float
) -> float:
    """Fixed point of E|theta_k - truth|^2 of row-weighted least squares, n, m, d -> inf in proportion.

    With g > 0 the root of n a_r g + m a_s g = d, a_r = (w/n)/(1 + g w/n), a_s = ((1-w)/m)/(1 + g (1-w)/m), and
    chi = n a_r + m a_s, q = m a_s/chi (the synthetic rows' effective share), c = d/chi^2, S = n a_r^2 + m a_s^2:

        v = c S sigma^2 / {1 - c S - q^2 - c m a_s^2 [(1-q)^2 - q^2]};

    inf where the denominator is not positive (no fixed point). n+m > d, and n > d if w = 1. The best nominal w
    for n = m rises with d/n: 0.6185, 0.6339, 0.6738 at d/n = 0.01, 0.3, 0.8; the effective 1-q stays near 0.61.
    Source: derived here, WORKFLOWS E6 (cavity equations).
    """
    d, variance = whole("dim", dim, least=1), positive_scalar("sigma", sigma) ** 2
    n, m = positive_scalar("n_real", n_real), positive_scalar("n_synthetic", n_synthetic)
    w = _weight(real_weight)
    require(n + m > d, "n_real + n_synthetic", f"> dim = {d}", n + m)
    require(w < 1 or n > d, "n_real", f"> dim = {d} for real_weight = 1", n_real)
    square, linear, constant = w * (1 - w) * (n + m - d), n * m - d * (n * (1 - w) + m * w), d * n * m
    root = np.hypot(linear, 2 * np.sqrt(square * constant))
    g = 2 * constant / (root + linear) if linear > 0 else (root - linear) / (2 * square)
    real, synthetic = w / (n + g * w), (1 - w) / (m + g * (1 - w))
    chi = n * real + m * synthetic
    share, c = m * synthetic / chi, d / chi**2
    noise, from_synthetic = c * (n * real**2 + m * synthetic**2), c * m * synthetic**2
    left = 1 - noise - share**2 - from_synthetic * ((1 - share) ** 2 - share**2)
    return float(noise * variance / left) if left > 0 else np.inf


def weighted_best_weight_asymptotic(*, dim: int, n_real: float, n_synthetic: float) -> float:
    """The real_weight that makes `weighted_mse_asymptotic` least, to 1e-7; 1 where nothing less is as good.

    0.6185, 0.6229, 0.6339, 0.6472, 0.6738 for n = m and d/n = 0.01, 0.1, 0.3, 0.5, 0.8: above the golden 0.618,
    because rows of the larger weight count for less than it, d of their directions being fitted.
    Source: derived here, WORKFLOWS E6.
    """

    def error(weight: float) -> float:
        return weighted_mse_asymptotic(
            dim=dim, sigma=1.0, n_real=n_real, n_synthetic=n_synthetic, real_weight=weight
        )

    most = 1.0 if positive_scalar("n_real", n_real) > dim else 1.0 - 1e-9
    grid = np.linspace(0, most, 201)[1:]  # the error may be infinite at either end
    values = np.array([error(w) for w in grid])
    best = int(values.argmin())
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found: Any = minimize_scalar(error, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    return float(found.x if found.fun < values[best] else grid[best])


def _fixed_real_step(
    sigma: float, n_real: float, n_synthetic: float, real_weight: float
) -> tuple[float, float, float]:
    """Squared error of the real mean, what a round adds to it, and the factor that it keeps of that."""
    variance, rest = positive_scalar("sigma", sigma) ** 2, (1 - _weight(real_weight)) ** 2
    real, synthetic = positive_scalar("n_real", n_real), positive_scalar("n_synthetic", n_synthetic)
    return variance / real, rest * variance / synthetic, rest


def fixed_real_mean_mse_exact(
    *, sigma: float, n_real: float, n_synthetic: float, real_weight: float, rounds: int
) -> FloatArray:
    """Exact E(mu_k - mu)^2 when every round mixes in the same n real points, rounds 0..K, shape (K+1,).

    v_k = sigma^2/n + q_k,  q_0 = 0,  q_k = (1-w)^2 (q_{k-1} + sigma^2/m). Synthetic data never help.
    Source: derived here, WORKFLOWS E7 (which gives the fixed point).
    """
    real, added, kept = _fixed_real_step(sigma, n_real, n_synthetic, real_weight)
    return real + _affine_path(0.0, added, kept, rounds)


def fixed_real_mean_mse_limit(
    *, sigma: float, n_real: float, n_synthetic: float, real_weight: float
) -> float:
    """Limit of `fixed_real_mean_mse_exact`: sigma^2/n + (sigma^2/m) (1-w)^2 / [1 - (1-w)^2].

    Source: derived here, WORKFLOWS E7.
    """
    real, added, kept = _fixed_real_step(sigma, n_real, n_synthetic, real_weight)
    return real + added / (1 - kept)
