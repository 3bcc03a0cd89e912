"""Trajectories under `replace` on any given design X, used in every round; serves real data.

A round generates `copies` responses y at every row of X, keeps those with |y - x_i.center| <= b_i and
refits. A rejected y is resampled at the same x, or its row is dropped (weights W = diag(Z_i) below; I when
resampled). With delta the deviation theta_k - center, m, v, Z the truncated-normal moments of each row at
mean x_i.delta, H = X'WX:

    next mean g(delta) = H^-1 X'W m,   noise covariance H^-1 X' S X H^-1 / copies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular

from theory import truncated_normal
from theory.arguments import FloatArray, choice, counts, finite, positive, positive_scalar, require, whole


@dataclass(frozen=True)
class _Problem:
    """Checked arguments that every round needs."""

    design: FloatArray  # (N, D)
    bounds: FloatArray  # (N,)
    sigma: float
    drop: bool


def _problem(design: ArrayLike, sigma: float, bounds: ArrayLike, rejected: str) -> _Problem:
    rows = finite("design", design)
    require(rows.ndim == 2 and rows.size > 0, "design", "a matrix (N, D)", f"shape {rows.shape}")
    bound = positive("bounds", bounds, infinite=True)
    fits = bound.ndim == 0 or bound.shape == rows.shape[:1]
    require(fits, "bounds", f"one number or one for each of {len(rows)} rows", f"shape {bound.shape}")
    drop = choice("rejected", rejected, ("drop", "resample")) == "drop"
    return _Problem(rows, np.broadcast_to(bound, rows.shape[:1]), positive_scalar("sigma", sigma), drop)


def _gram_root(name: str, rows: FloatArray) -> FloatArray:
    """Upper triangular R with R'R = rows' rows, shape (D, D)."""
    root = np.asarray(np.linalg.qr(rows, mode="r"))
    pivots = np.abs(np.diag(root))
    full = (
        len(pivots) == rows.shape[1] and pivots.min() > np.finfo(float).eps * max(rows.shape) * pivots.max()
    )
    require(full, name, "of full column rank", f"shape {rows.shape}, smallest pivot {pivots.min():.3g}")
    return root


def _vector(name: str, value: ArrayLike, dim: int) -> FloatArray:
    array = finite(name, value)
    require(array.shape == (dim,), name, f"a vector of shape ({dim},)", f"shape {array.shape}")
    return array


def _step(problem: _Problem, deviation: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Next mean (D,), its Jacobian (D, D) and the noise covariance for one copy (D, D), at a deviation."""
    generated = problem.design @ deviation
    mean, variance, accept = truncated_normal.moments(generated, problem.bounds, problem.sigma)
    weight = accept if problem.drop else np.ones_like(accept)
    root = _gram_root("design", np.sqrt(weight)[:, None] * problem.design)
    pull = solve_triangular(root, solve_triangular(root, problem.design.T, trans=1))  # H^-1 X'
    target = (pull * weight) @ mean
    if problem.drop:
        # The design tilts: dZ/dmean = Z (m - mean)/sigma^2, and a kept row misses the fit by `misfit`.
        misfit = mean - problem.design @ target
        change = variance + (mean - generated) * misfit
        noise = accept * variance + accept * (1 - accept) * misfit**2
    else:
        change, noise = variance, variance
    jacobian = (pull * (weight * change / problem.sigma**2)) @ problem.design
    return target, jacobian, (pull * noise) @ pull.T


def fixed_design_step_exact(
    design: ArrayLike, deviation: ArrayLike, *, sigma: float, bounds: ArrayLike, copies: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Exact mean (D,) and covariance (D, D) of the next deviation, given this one; resampled rows.

    (X'X)^-1 X'm(X delta) and (X'X)^-1 X' diag(v(X delta)) X (X'X)^-1 / copies, in data units and their
    squares.

    design X of full column rank, shape (N, D); deviation delta = theta - center, shape (D,); bounds b_i >
    0, one number or one for each row, inf allowed; copies of X per round (> 0, inf allowed). No
    linearisation; known sigma.
    ValueError for an argument out of range.
    Source: derived here: given delta the kept y are independent with mean m_i and variance v_i, and least
    squares is linear in them.
    """
    problem = _problem(design, sigma, bounds, "resample")
    deviation = _vector("deviation", deviation, problem.design.shape[1])
    target, _, noise = _step(problem, deviation)
    return target, noise / positive_scalar("copies", copies, infinite=True)


def _first_covariance(
    problem: _Problem, real_design: ArrayLike | None, covariance: ArrayLike | None
) -> FloatArray:
    """Covariance of round 0: as given, or sigma^2 (X0'X0)^-1 of the real design, by default X itself."""
    dim = problem.design.shape[1]
    if covariance is not None:
        require(real_design is None, "first_covariance", "left out when real_design is given", "both")
        given = finite("first_covariance", covariance)
        require(
            given.shape == (dim, dim), "first_covariance", f"of shape ({dim}, {dim})", f"shape {given.shape}"
        )
        return given
    rows = problem.design if real_design is None else finite("real_design", real_design)
    fits = rows.ndim == 2 and rows.shape[1] == dim
    require(fits, "real_design", f"a matrix with {dim} columns", f"shape {rows.shape}")
    inverse = solve_triangular(_gram_root("real_design", rows), np.eye(dim))
    return problem.sigma**2 * inverse @ inverse.T


def fixed_design_trajectory(
    design: ArrayLike,
    *,
    sigma: float,
    bounds: ArrayLike,
    verifier_bias: ArrayLike,
    copies: ArrayLike,
    rounds: int,
    real_design: ArrayLike | None = None,
    first_covariance: ArrayLike | None = None,
    rejected: str = "resample",
) -> FloatArray:
    """Linearised MSE E|theta_k - theta*|^2 on a fixed design, rounds 0..K, shape (K+1,), squared units.

    delta_{k+1} = M delta_k + noise,  M = (X'WX)^-1 X'WRX,  noise covariance sigma^2 M (X'WX)^-1/copies,
    R = diag(v(0, b_i)/sigma^2), W = diag(Z_i) for dropped rows and I for resampled ones.

    design X of full column rank, shape (N, D); bounds b_i > 0, one number or one per row, inf allowed;
    verifier_bias center - truth, shape (D,); copies of X generated per round: one number, inf, or one per
    round. Round 0 is the fit on `real_design` (default: X once), or has `first_covariance`. Exact for small
    deviations when resampled; with dropped rows also to first order in 1/copies (the kept rows are random).
    All b_i equal and resampled: M = rho I.
    ValueError for an argument out of range.
    Source: derived here: m_i ~ R_i x_i.delta and v_i ~ R_i sigma^2 at the center.
    """
    problem = _problem(design, sigma, bounds, rejected)
    bias = _vector("verifier_bias", verifier_bias, problem.design.shape[1])
    number = counts("copies", copies, whole("rounds", rounds))
    _, jacobian, noise = _step(problem, np.zeros_like(bias))
    covariance = _first_covariance(problem, real_design, first_covariance)
    pulled, mse = np.zeros_like(bias), [np.trace(covariance)]  # pulled: E theta_k - theta*
    for copy in number:
        pulled = bias + jacobian @ (pulled - bias)
        covariance = jacobian @ covariance @ jacobian.T + noise / copy
        mse.append(pulled @ pulled + np.trace(covariance))
    return np.array(mse)


def fixed_design_trajectory_delta(
    design: ArrayLike,
    *,
    sigma: float,
    bounds: ArrayLike,
    verifier_bias: ArrayLike,
    copies: ArrayLike,
    rounds: int,
    real_design: ArrayLike | None = None,
    first_covariance: ArrayLike | None = None,
    rejected: str = "resample",
) -> FloatArray:
    """MSE on a fixed design to first order in the variance, for any bias, rounds 0..K, shape (K+1,).

    The mean follows the exact map, delta_{k+1} = g(delta_k) from truth - center; around it the covariance
    follows C_{k+1} = J C_k J' + H^-1 X'SX H^-1/copies with J = g'(delta_k); S = v for resampled rows and Z
    v + Z (1-Z) (m - x.g)^2 for dropped ones. MSE_k = |delta_k - delta_0|^2 + tr C_k. The shift of the mean
    by the curvature of g, of the order of the variance, is left out: with bias sigma per direction the
    MSE is low by at most 1.5 % (bounds of 2 sigma) or 12 % (3 sigma) at 50 rows per direction, 0.1 % or 1.5 %
    at 1000.
    Arguments, units and errors as in `fixed_design_trajectory`, which it equals for small bias.
    Source: derived here (delta method; the sandwich covariance of a misspecified least-squares fit).
    """
    problem = _problem(design, sigma, bounds, rejected)
    deviation = -_vector("verifier_bias", verifier_bias, problem.design.shape[1])
    number = counts("copies", copies, whole("rounds", rounds))
    start = deviation
    covariance = _first_covariance(problem, real_design, first_covariance)
    mse = [np.trace(covariance)]
    for copy in number:
        deviation, jacobian, noise = _step(problem, deviation)
        covariance = jacobian @ covariance @ jacobian.T + noise / copy
        mse.append(np.sum((deviation - start) ** 2) + np.trace(covariance))
    return np.array(mse)
