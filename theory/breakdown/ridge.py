"""Ridge regression on n kept rows in d dimensions, n and d in proportion.

Objective (1/n) sum (y'_i - w.x_i)^2 + lambda |w|^2. Kept rows are x = (t, z): t in R^k carries all that
labels and selection know of x, z ~ N(0, I) is independent noise in the other d - k directions, and
eta = (d-k)/n. Results are limits n, d -> inf, off by O(1/n) in accuracy (1e-3 to 4e-3 at d = 120, n = 300);
they say which direction the coefficients reach under dependent selection, and how much noise they carry.
ridge = inf is averaging, w proportional to the mean of y'x; its coefficients are reported times lambda.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar
from scipy.special import ndtr

from theory.arguments import (
    FloatArray,
    finite,
    nonnegative,
    nonnegative_scalar,
    positive_scalar,
    require,
    scalar,
)
from theory.breakdown.domains import direction, quality, variances_and_axes, vector
from theory.breakdown.linear import (
    bisector_angle,
    bisector_excess,
    bisector_moment,
)


class RidgeLimit(NamedTuple):
    """Ridge coefficients in proportion; times lambda where lambda is inf."""

    along: FloatArray  # (k,) w_t, in the directions that carry the labels
    across: float  # |w_z|^2, noise in a uniformly random direction of the others
    residual: float  # r^2 = E[(y' - w_t.t)^2]
    zeta: float  # effective penalty that w_t feels


class AnisotropicRidgeLimit(NamedTuple):
    """Intermediate quantities and accuracy of `anisotropic_ridge`."""

    zeta: float
    signal: float  # S = mu'(Sigma + zeta)^-1 mu
    spread: float  # S2 = mu'(Sigma + zeta)^-1 Sigma (Sigma + zeta)^-1 mu
    freedom: float  # df2 = tr Sigma^2 (Sigma + zeta)^-2 / n
    mean: float  # m, the mean score of the class
    variance: float  # nu, the score's variance
    accuracy: float  # Phi(m / sqrt(nu))


def effective_ridge(ridge: ArrayLike, eta: ArrayLike) -> FloatArray:
    """Effective penalty zeta that the label-carrying directions feel, >= ridge.

    zeta = [lambda+eta-1 + sqrt((lambda+eta-1)^2 + 4 lambda)]/2, the root of
    lambda = zeta - eta zeta/(1+zeta); max(eta-1, 0) for lambda = 0. ridge >= 0 (inf allowed), eta >= 0 rows
    ratio (d-k)/n; broadcasts.
    Source: derived here (Marchenko-Pastur companion transform at -lambda).
    """
    penalty, ratio = nonnegative("ridge", ridge, infinite=True), nonnegative("eta", eta)
    finite_penalty = np.where(np.isinf(penalty), 0.0, penalty)
    shift = finite_penalty + ratio - 1
    root = np.hypot(shift, 2 * np.sqrt(finite_penalty))
    with np.errstate(divide="ignore", invalid="ignore"):
        below = 2 * finite_penalty / (root - shift)  # where shift < 0 the sum would cancel
    zeta = np.where(shift < 0, below, (shift + root) / 2)
    return np.where(np.isinf(penalty), np.inf, zeta)[()]


def noise_gain(ridge: ArrayLike, eta: ArrayLike) -> FloatArray:
    """Squared length of the noise coefficients per unit residual, eta/((1+zeta)^2 - eta).

    inf at the interpolation threshold (lambda = 0, eta = 1), 0 for lambda = inf. Arguments as in
    `effective_ridge`.
    Source: derived here: d(lambda/zeta)/d lambda.
    """
    ratio = nonnegative("eta", eta)
    zeta = effective_ridge(ridge, ratio)
    with np.errstate(divide="ignore"):
        return ratio / ((1 + zeta) ** 2 - ratio)


def projected_ridge(second: ArrayLike, first: ArrayLike, ridge: float, eta: float) -> RidgeLimit:
    """Ridge coefficients from the kept moments in the k directions that carry labels and selection.

    w_t = (C + zeta I)^-1 h, r^2 = 1 - 2 h.w_t + w_t'C w_t, |w_z|^2 = r^2 eta/((1+zeta)^2 - eta), with
    second C = E[tt'|kept], shape (k, k), and first h = E[t y'|kept], shape (k,), given that a row is kept
    (`mixture` has them per generated row). Exact direction reached under any dependence of labels and
    selection on t.
    Source: derived here: eliminating w_z leaves a rotation-invariant resolvent independent of (t, y'), which
    acts as lambda/zeta.
    """
    h = finite("first", first)
    require(h.ndim == 1, "first", "a vector of shape (k,)", f"an array of shape {h.shape}")
    c = finite("second", second)
    require(
        c.shape == (len(h), len(h)),
        "second",
        f"of shape ({len(h)}, {len(h)})",
        f"an array of shape {c.shape}",
    )
    penalty = nonnegative_scalar("ridge", ridge, infinite=True)
    ratio = nonnegative_scalar("eta", eta)
    if np.isinf(penalty):
        return RidgeLimit(h, ratio, 1.0, np.inf)
    zeta = float(effective_ridge(penalty, ratio))
    along = np.asarray(np.linalg.solve(c + zeta * np.eye(len(h)), h), dtype=np.float64)
    residual = float(1 - 2 * h @ along + along @ c @ along)
    return RidgeLimit(along, residual * float(noise_gain(penalty, ratio)), residual, zeta)


def class_accuracy_proportional(along: ArrayLike, across: float, mean: ArrayLike) -> float:
    """Class accuracy Phi(m.w_t/sqrt(|w_t|^2 + |w_z|^2)) for class means +-m, m of shape (k,) in the t directions.

    along is w_t, shape (k,), across |w_z|^2 >= 0 (inf: 1/2). 1/2 for coefficients that are 0.
    Source: definition.
    """
    w, m, noise = (
        finite("along", along),
        finite("mean", mean),
        nonnegative_scalar("across", across, infinite=True),
    )
    require(
        w.ndim == 1 and w.shape == m.shape, "along, mean", "two vectors of shape (k,)", (w.shape, m.shape)
    )
    length2 = w @ w + noise
    return float(ndtr(m @ w / np.sqrt(length2))) if length2 > 0 else 0.5


def bayes_accuracy_proportional(along: ArrayLike, across: float, truth: ArrayLike) -> float:
    """Accuracy relative to Bayes labels on x ~ N(0, I): 1 - (angle of (w_t, w_z) to the truth)/pi.

    truth, shape (k,), lies in the t directions and is scaled to length 1. 1/2 for coefficients that are 0.
    Source: definition.
    """
    w, noise = finite("along", along), nonnegative_scalar("across", across, infinite=True)
    require(w.ndim == 1, "along", "a vector of shape (k,)", f"an array of shape {w.shape}")
    unit = direction("truth", truth, len(w))
    part = w @ unit
    rest = np.hypot(np.linalg.norm(w - part * unit), np.sqrt(noise))
    return float(1 - np.arctan2(rest, part) / np.pi) if rest > 0 or part != 0 else 0.5


def mixture_noise_ratio(
    separation: ArrayLike, signed_quality: ArrayLike, ridge: ArrayLike, eta: ArrayLike
) -> FloatArray:
    """Noise-to-signal ratio Gamma >= 0 of ridge on the isotropic mixture with independent selection.

    Gamma = [(1+s^2+zeta)^2/(s^2c^2) - (1+s^2) - 2 zeta] eta/((1+zeta)^2 - eta): the coefficients miss mu by
    an angle of tangent sqrt(Gamma). eta/(s^2c^2) for ridge = inf; strictly decreasing in the ridge, so
    averaging is the best ridge. inf for c = 0, for s = 0 and at lambda = 0, eta = 1. Broadcasts.
    Source: derived here (`projected_ridge` with C = 1 + s^2, h = s c).
    """
    s, c = nonnegative("separation", separation), quality("signed_quality", signed_quality)
    penalty, ratio = nonnegative("ridge", ridge, infinite=True), nonnegative("eta", eta)
    zeta = effective_ridge(penalty, ratio)
    inverse = 1 / np.where(np.isinf(zeta), np.inf, 1 + zeta)  # everything is divided by (1+zeta)^2
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(
            np.isinf(zeta), 0.0, ((1 + s**2) + 2 * np.where(np.isinf(zeta), 0, zeta)) * inverse**2
        )
        bracket = ((1 + s**2 * inverse) / (s * np.abs(c))) ** 2 - rest
        gamma = bracket * ratio / (1 - ratio * inverse**2)
    return np.where(s * c == 0, np.inf, np.where(ratio == 0, 0.0, gamma))[()]


def mixture_ridge_accuracy(
    separation: ArrayLike, signed_quality: ArrayLike, ridge: ArrayLike, eta: ArrayLike
) -> FloatArray:
    """Class accuracy of ridge on the isotropic mixture, labels and selection independent of x.

    Phi(sign(c) s/sqrt(1 + Gamma)), Gamma from `mixture_noise_ratio`; Phi(s^2 c/sqrt(s^2c^2 + eta)) for
    averaging (ridge = inf). Exactly 1/2 at c = 0 for every ridge and eta: the breakdown point does not move,
    but the step becomes a slope. Any class balance, no intercept; eta = d/n, d data dimensions and n kept
    rows. Broadcasts.
    Source: derived here.
    """
    gamma = mixture_noise_ratio(separation, signed_quality, ridge, eta)
    return ndtr(np.sign(signed_quality) * np.asarray(separation, dtype=np.float64) / np.sqrt(1 + gamma))


def pooled_quality(signed_quality: ArrayLike, num_kept: ArrayLike, num_real: ArrayLike) -> FloatArray:
    """Signed quality of kept synthetic rows pooled with clean real rows: (n_r + n c)/(n_r + n).

    Use it in `mixture_ridge_accuracy` with eta = d/(n_r + n). Broadcasts; counts >= 0, not both 0.
    Source: derived here.
    """
    c = quality("signed_quality", signed_quality)
    kept, real_rows = nonnegative("num_kept", num_kept), nonnegative("num_real", num_real)
    total = kept + real_rows
    require(total > 0, "num_kept + num_real", "> 0", f"{num_kept} + {num_real}")
    return (real_rows + kept * c) / total


def anisotropic_ridge(
    signed_quality: float, mean: ArrayLike, covariance: ArrayLike, ridge: float, num_samples: float
) -> AnisotropicRidgeLimit:
    """Class accuracy of ridge on n kept rows of N(y mu, Sigma), labels and selection independent of x.

    lambda = zeta - (zeta/n) tr Sigma (Sigma+zeta)^-1; m = c S/(1+S);
    nu = [(m/S)^2 S2 + (1 - 2mc + m^2) df2]/(1 - df2); accuracy Phi(m/sqrt(nu)). mean mu, shape (D,), not 0;
    covariance: one variance, (D,) variances or (D, D); ridge lambda >= 0 in squared units of x, inf is
    averaging (m and nu then belong to lambda w; zeta inf, S = S2 = df2 = 0). Any class balance, no
    intercept. Leading order in 1/D; mu must not be aligned with outlying eigenvalues that grow with D.
    ValueError for lambda = 0 with n = D, where the variance is infinite.
    Source: derived here.
    """
    c = scalar("signed_quality", quality("signed_quality", signed_quality))
    mu = vector("mean", mean)
    variances, axes = variances_and_axes("covariance", covariance, len(mu))
    n = positive_scalar("num_samples", num_samples)
    penalty = nonnegative_scalar("ridge", ridge, infinite=True)
    power = (axes.T @ mu) ** 2
    if np.isinf(penalty):
        m, nu = c * power.sum(), c**2 * np.sum(power * variances) + np.sum(variances**2) / n
        return AnisotropicRidgeLimit(np.inf, 0.0, 0.0, 0.0, m, nu, float(ndtr(m / np.sqrt(nu))))
    require(penalty > 0 or n != len(mu), "num_samples", "different from D for ridge = 0", num_samples)
    zeta = _anisotropic_zeta(variances, penalty, n)
    signal = np.sum(power / (variances + zeta))
    spread = np.sum(power * variances / (variances + zeta) ** 2)
    freedom = np.sum((variances / (variances + zeta)) ** 2) / n
    m = c * signal / (1 + signal)
    nu = ((c / (1 + signal)) ** 2 * spread + (1 - 2 * m * c + m**2) * freedom) / (1 - freedom)
    return AnisotropicRidgeLimit(zeta, signal, spread, freedom, m, nu, float(ndtr(m / np.sqrt(nu))))


def _anisotropic_zeta(variances: FloatArray, ridge: float, n: float) -> float:
    """Root of 1 - (1/n) sum s/(s+zeta) = ridge/zeta, in which both sides are monotone."""
    if ridge == 0 and len(variances) < n:
        return 0.0
    low = max(ridge, variances.min() * (len(variances) / n - 1))
    high = ridge + variances.sum() / n

    def excess(log_zeta: float) -> float:
        zeta = np.exp(log_zeta)
        return 1 - np.sum(variances / (variances + zeta)) / n - ridge / zeta

    # widened by rounding: with equal variances both ends can be the root
    ends = (np.log(low) - 1e-9, np.log(high) + 1e-9)
    return float(np.exp(root_scalar(excess, bracket=ends, xtol=1e-15).root))


def bayes_label_ridge_accuracy(signed_quality: float, ridge: float, eta: float) -> float:
    """Accuracy relative to Bayes labels of ridge where x ~ N(0, I), y = sign(x.truth), independent selection.

    `projected_ridge` with k = 1, C = 1, h = c sqrt(2/pi): 1 - arctan2(|w_z|, w_t)/pi; 1/2 at c = 0.
    Source: derived here.
    """
    c = scalar("signed_quality", quality("signed_quality", signed_quality))
    limit = projected_ridge([[1.0]], [c * np.sqrt(2 / np.pi)], ridge, eta)
    return bayes_accuracy_proportional(limit.along, limit.across, [1.0])


def bisector_ridge_accuracy(
    theta_gen: float, theta_ver: float, angle_between: float, ridge: float, eta: float
) -> float:
    """Accuracy relative to Bayes labels of ridge with a fixed linear generator and verifier (reading R3).

    `projected_ridge` along the bisector, C = 1 + chi, h from `linear.bisector_moment`; the coefficients then
    miss the truth by the bisector's own angle and by the noise. Angles in radians as in `linear`.
    Source: derived here.
    """
    turn = scalar("theta_gen", bisector_angle(theta_gen, theta_ver, angle_between))
    second = [[1 + float(bisector_excess(angle_between))]]
    limit = projected_ridge(second, [float(bisector_moment(angle_between))], ridge, eta)
    length = float(limit.along[0])
    return bayes_accuracy_proportional(
        [length * np.cos(turn), length * np.sin(turn)], limit.across, [1.0, 0.0]
    )
