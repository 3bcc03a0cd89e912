"""Gaussian mixture with linear rules: exact moments of the kept rows, and what least squares makes of them.

Balanced classes x | y ~ N(y mu, I), shape (D,). The generator labels by sign(x.w_gen) or flips a label; the
verifier keeps a row where y' x.w_ver >= threshold (0: it agrees with the label; larger: it is confident;
-inf: everything). Directions are scaled to length 1, so a threshold is a distance in units of x. Every law is
a sum of Gaussians cut by half-spaces through one or two hyperplanes, whose moments are closed forms.
mu = 0 gives the pure Gaussian of `linear` and `flipped_labels`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, owens_t

from theory.arguments import FloatArray, finite, nonnegative_scalar, real, require, scalar
from theory.breakdown.domains import direction, probability_scalar


class Moments(NamedTuple):
    """Moments per generated row of v = y' x times the keep indicator: E[1], E[v], E[vv']."""

    keep: float  # P(kept)
    first: FloatArray  # (D,) E[x y'; kept], unit of x
    second: FloatArray  # (D, D) E[xx'; kept], its square


def _density(value: float) -> float:
    return float(np.exp(-(value**2) / 2) / np.sqrt(2 * np.pi))


def bivariate_normal_cdf(a: float, b: float, correlation: float) -> float:
    """P(X <= a, Y <= b) for standard normals with the given correlation in [-1, 1]; absolute error 1e-15.

    Owen's formula, Phi2 = [Phi(a) + Phi(b)]/2 - T(a, (b-ra)/(aR)) - T(b, (a-rb)/(bR)) - (1/2 where a and b
    have opposite signs), R = sqrt(1-r^2).
    Source: Owen 1956, Ann. Math. Statist. 27.
    """
    r = scalar("correlation", real("correlation", correlation))
    require(-1 <= r <= 1, "correlation", "in [-1, 1]", correlation)
    return _orthant(scalar("a", real("a", a)), scalar("b", real("b", b)), r, np.sqrt((1 - r) * (1 + r)))


def _orthant(a: float, b: float, r: float, R: float) -> float:
    if np.isinf(a) or np.isinf(b):
        return float(ndtr(a) * ndtr(b))
    if R == 0:
        return float(ndtr(min(a, b)) if r > 0 else max(ndtr(a) - ndtr(-b), 0.0))
    if a == 0 and b == 0:
        return float(np.arctan2(R, -r) / (2 * np.pi))
    opposite = a * b < 0 or (a * b == 0 and a + b < 0)
    halves = (ndtr(a) + ndtr(b)) / 2 - opposite / 2
    return float(max(halves - _owen(a, b, r, R) - _owen(b, a, r, R), 0.0))


def _owen(h: float, k: float, r: float, R: float) -> float:
    slope = (k - r * h) / (h * R) if h != 0 else np.copysign(np.inf, k)
    return float(owens_t(h, slope))


def half_space_moments(mean: ArrayLike, normal: ArrayLike, threshold: float = 0.0) -> Moments:
    """Moments of x ~ N(m, I) on the half-space x.w >= c.

    With B = m.w - c: P = Phi(B), g = phi0(B) w, H = -B phi0(B) ww', and E[x 1] = mP + g,
    E[xx' 1] = P(I + mm') + mg' + gm' + H. threshold c may be -inf (all of space).
    Source: derived here.
    """
    m = _mean(mean)
    w = direction("normal", normal, len(m))
    b = float(m @ w) - _threshold(threshold)
    density = _density(b)
    curvature = -b * density * np.outer(w, w) if np.isfinite(b) else 0.0
    return _moments(m, float(ndtr(b)), density * w, curvature)


def wedge_moments(mean: ArrayLike, first: ArrayLike, second: ArrayLike, threshold: float = 0.0) -> Moments:
    """Moments of x ~ N(m, I) on the wedge x.w_gen > 0 and x.w_ver >= c, w_gen = first, w_ver = second.

    With A = m.w_gen, B = m.w_ver - c, r = w_gen.w_ver, R = sqrt(1-r^2): P = Phi2(A, B; r),
    g = G_A w_gen + G_B w_ver, G_A = phi0(A) Phi((B-rA)/R), G_B = phi0(B) Phi((A-rB)/R), and H is the Hessian
    of P in m; moments from P, g, H as in `half_space_moments`. Exact also where the rules coincide or are
    opposite.
    Source: derived here.
    """
    m = _mean(mean)
    w = direction("first", first, len(m))
    u = direction("second", second, len(m))
    cut = _threshold(threshold)
    if np.isneginf(cut):
        return half_space_moments(m, w)
    r = float(np.clip(w @ u, -1, 1))
    rest = u - r * w  # R times the unit vector e across w_gen
    R = float(np.linalg.norm(rest))
    if R < 1e-15:  # parallel up to rounding
        r, R, rest = float(np.sign(r)), 0.0, np.zeros_like(rest)
    a, b = float(m @ w), float(m @ u) - cut
    g = _density(a) * _tail(b - r * a, R) * w + _density(b) * _tail(a - r * b, R) * u
    curvature = -a * _density(a) * _tail(b - r * a, R) * np.outer(w, w)
    curvature = curvature - b * _density(b) * _tail(a - r * b, R) * np.outer(u, u)
    if R > 0:
        # (k/R)[w u' + u w' - r(ww' + uu')] in the basis w, e: the factor 1/R cancels
        e = rest / R
        cross = R * (np.outer(w, e) + np.outer(e, w)) + r * (np.outer(w, w) - np.outer(e, e))
        curvature = curvature + _density(a) * _density((b - r * a) / R) * R * cross
    return _moments(m, _orthant(a, b, r, R), g, curvature)


def _tail(gap: float, R: float) -> float:
    """Phi(gap/R), with 1/2 for 0/0."""
    return float(ndtr(gap / R)) if R > 0 else 0.5 + 0.5 * float(np.sign(gap))


def _mean(mean: ArrayLike) -> FloatArray:
    m = finite("mean", mean)
    require(m.ndim == 1, "mean", "a vector of shape (D,)", f"an array of shape {m.shape}")
    return m


def _threshold(threshold: float) -> float:
    value = scalar("threshold", real("threshold", threshold))
    require(value < np.inf, "threshold", "a number or -inf", threshold)
    return value


def _moments(m: FloatArray, mass: float, g: FloatArray, curvature: FloatArray | float) -> Moments:
    shift = np.outer(m, g)
    second = mass * (np.eye(len(m)) + np.outer(m, m)) + shift + shift.T + curvature
    return Moments(mass, mass * m + g, second)


def _mix(weights: tuple[float, ...], parts: tuple[Moments, ...]) -> Moments:
    w = np.array(weights)
    keep = float(w @ [part.keep for part in parts])
    first = w @ np.stack([part.first for part in parts])
    second = np.tensordot(w, np.stack([part.second for part in parts]), axes=1)
    return Moments(keep, first, second)


def linear_generator_moments(
    mean: ArrayLike, generator: ArrayLike, verifier: ArrayLike, threshold: float = 0.0
) -> Moments:
    """Kept moments where a fixed linear rule labels: wedge moments at mu plus those at -mu.

    threshold = -inf keeps all. Directions of shape (D,), not 0; mean mu of shape (D,), which may be 0.
    Source: derived here.
    """
    m = _mean(mean)
    parts = tuple(wedge_moments(sign * m, generator, verifier, threshold) for sign in (1, -1))
    return _mix((1.0, 1.0), parts)


def flipped_bayes_moments(
    p: float, mean: ArrayLike, bayes: ArrayLike, verifier: ArrayLike, threshold: float = 0.0
) -> Moments:
    """Kept moments where the label is sign(x.bayes) flipped with probability p, whatever x is.

    1-p times the moments of the linear generator `bayes` plus p times those of -bayes.
    Source: derived here.
    """
    error = probability_scalar("p", p)
    flipped = -finite("bayes", bayes)
    right = linear_generator_moments(mean, bayes, verifier, threshold)
    wrong = linear_generator_moments(mean, flipped, verifier, threshold)
    return _mix((1 - error, error), (right, wrong))


def flipped_class_moments(p: float, mean: ArrayLike, verifier: ArrayLike, threshold: float = 0.0) -> Moments:
    """Kept moments where the label is the class flipped with probability p, whatever x is.

    1-p times the half-space moments at mu plus p times those at -mu.
    Source: derived here.
    """
    error = probability_scalar("p", p)
    m = _mean(mean)
    parts = tuple(half_space_moments(sign * m, verifier, threshold) for sign in (1, -1))
    return _mix((1 - error, error), parts)


def oracle_moments(mean: ArrayLike, generator: ArrayLike) -> Moments:
    """Kept moments where a fixed linear rule labels and an oracle keeps the labels equal to the class.

    Half-space moments of x.generator >= 0 at mu.
    Source: derived here.
    """
    return half_space_moments(mean, generator)


def ridge_coefficients_limit(moments: Moments, ridge: float = 0.0) -> FloatArray:
    """Ridge coefficients with unlimited kept rows, (C + lambda I)^-1 h, shape (D,).

    C and h are the second and first moments given that a row is kept; lambda = 0 is least squares. ridge in
    squared units of x. ValueError where nothing is kept.
    Source: textbook normal equations.
    """
    penalty = nonnegative_scalar("ridge", ridge)
    require(moments.keep > 0, "moments.keep", "> 0", moments.keep)
    second = moments.second / moments.keep + penalty * np.eye(len(moments.first))
    return np.asarray(np.linalg.solve(second, moments.first / moments.keep), dtype=np.float64)


def mixture_class_accuracy(coefficients: ArrayLike, mean: ArrayLike) -> float:
    """Class accuracy P(sign(w.x) = y) = Phi(mu.w/|w|) of coefficients w, shape (D,); 1/2 for w = 0.

    Source: definition of the mixture.
    """
    w, m = finite("coefficients", coefficients), _mean(mean)
    require(w.shape == m.shape, "coefficients", f"of shape {m.shape}", w.shape)
    length = np.linalg.norm(w)
    return float(ndtr(m @ w / length)) if length > 0 else 0.5
