"""Minimum-norm least squares retrained on its own predictions: more coefficients than rows, or a given design.

Setting as in `linear_regression` (y = x.truth + sigma noise, round k >= 1 refits on labels X theta_{k-1} + sigma noise,
rounds count from 0), but the fit is X^+ y, the least squares solution of least norm. With fewer rows than
coefficients it misses the part of the truth that no row sees. Results are E|theta_k - truth|^2 in squared data
units. For a truth drawn from N(0, I_d) put truth_norm^2 = d. ValueError for an argument out of range.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, choice, counts, finite, nonnegative_scalar, require, whole
from theory.workflows.linear_regression import harmonic_squares

_DESIGNS = ("gaussian", "reused")


def _seen_and_noise(dim: int, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Share of the truth that n Gaussian rows see, min(n/d, 1), and E|X^+|_F^2 = min(n, d)/(|n-d|-1)."""
    require(np.abs(rows - dim) > 1, "rows per round", f"< dim - 1 or > dim + 1, dim = {dim},", rows)
    return np.minimum(rows / dim, 1), np.minimum(rows, dim) / (np.abs(rows - dim) - 1)


def replace_mse_exact(
    *,
    dim: int,
    sigma: float,
    truth_norm: float,
    n_real: int,
    n_per_round: ArrayLike,
    rounds: int,
    design: str = "gaussian",
) -> FloatArray:
    """Exact E|theta_k - truth|^2 under `replace`, rounds 0..K, shape (K+1,); rows x ~ N(0, I_d).

    With s = min(n/d, 1), the share of the truth that n rows see, and v = sigma^2 min(n, d)/(|n-d|-1):
    gaussian (fresh rows): E_k = s_k E_{k-1} + (1-s_k) |truth|^2 + v_k, E_{-1} = 0, so that for equal n < d-1
    |truth|^2 (1-s^(k+1)) + v (1-s^(k+1))/(1-s): the signal is lost even for sigma = 0.
    reused (one design, one count): |truth|^2 (1-s) + (k+1) v.
    No round may have |n-d| <= 1, where the mean is infinite.
    Source: derived here, WORKFLOWS B4 and, for n > d+1, B1: theta_k = P_k theta_{k-1} + X_k^+ eps_k.
    """
    d, later = (
        whole("dim", dim, least=1),
        counts("n_per_round", n_per_round, whole("rounds", rounds), integer=True),
    )
    require(np.isfinite(later), "n_per_round", "finite", n_per_round)
    rows = np.concatenate([[whole("n_real", n_real, least=1)], later])
    seen, noise = _seen_and_noise(d, rows)
    unseen, added = (
        nonnegative_scalar("truth_norm", truth_norm) ** 2 * (1 - seen),
        nonnegative_scalar("sigma", sigma) ** 2 * noise,
    )
    if choice("design", design, _DESIGNS) == "reused":
        require(rows == rows[0], "n_per_round", "n_real for a reused design", n_per_round)
        return unseen + np.cumsum(added)
    path, error = [], 0.0
    for share, lost, new in zip(seen, unseen, added, strict=True):
        error = share * error + lost + new
        path.append(error)
    return np.array(path)


def accumulate_reused_mse_exact(
    *, dim: int, sigma: float, truth_norm: float, n_per_round: int, rounds: int
) -> FloatArray:
    """Exact E|theta_k - truth|^2 under `accumulate` with one Gaussian design reused, rounds 0..K, shape (K+1,).

    |truth|^2 (1-s) + v H_{k+1}^(2), s and v as in `replace_mse_exact`, n_real = n_per_round = n, |n-d| > 1.
    Source: derived here, WORKFLOWS B4 (n < d-1); [Gerstgrasser24] (n > d+1).
    """
    d, rows = whole("dim", dim, least=1), np.array(float(whole("n_per_round", n_per_round, least=1)))
    seen, noise = _seen_and_noise(d, rows)
    unseen = nonnegative_scalar("truth_norm", truth_norm) ** 2 * (1 - seen)
    return unseen + nonnegative_scalar("sigma", sigma) ** 2 * noise * harmonic_squares(rounds)


def _given_design(design: ArrayLike, truth: ArrayLike, sigma: float) -> tuple[float, float]:
    """Squared part of the truth that no row sees, and sigma^2 |X^+|_F^2."""
    rows, target = finite("design", design), finite("truth", truth)
    require(
        rows.ndim == 2 and rows.size, "design", "a matrix of shape (N, D)", f"an array of shape {rows.shape}"
    )
    shape = f"an array of shape {target.shape}"
    require(target.shape == rows.shape[1:], "truth", f"a vector of shape {rows.shape[1:]}", shape)
    _, values, axes = np.linalg.svd(rows, full_matrices=False)
    kept = values > values[0] * max(rows.shape) * np.finfo(float).eps  # as in NumPy's matrix_rank
    axes = axes[kept]
    unseen = target - axes.T @ (axes @ target)
    return float(unseen @ unseen), nonnegative_scalar("sigma", sigma) ** 2 * float(np.sum(values[kept] ** -2))


def replace_fixed_design_mse_exact(
    *, design: ArrayLike, truth: ArrayLike, sigma: float, rounds: int
) -> FloatArray:
    """Exact E|theta_k - truth|^2 under `replace` for the given rows in every round, shape (K+1,).

    |truth - X^+ X truth|^2 + (k+1) sigma^2 |X^+|_F^2, which is (k+1) sigma^2 tr (X'X)^-1 at full column rank.
    design: shape (N, D); truth: shape (D,).
    Source: derived here, WORKFLOWS B1 and B4.
    """
    unseen, noise = _given_design(design, truth, sigma)
    return unseen + noise * np.arange(1.0, whole("rounds", rounds) + 2)


def accumulate_fixed_design_mse_exact(
    *, design: ArrayLike, truth: ArrayLike, sigma: float, rounds: int
) -> FloatArray:
    """As `replace_fixed_design_mse_exact`, under `accumulate`: H_{k+1}^(2) in place of k+1.

    Source: [Gerstgrasser24]; WORKFLOWS B2: each round averages one more set of labels into the fit.
    """
    unseen, noise = _given_design(design, truth, sigma)
    return unseen + noise * harmonic_squares(rounds)
