"""Ridge-logistic regression on n kept rows in d dimensions, n and d in proportion.

Objective (1/n) sum l(y'_i w.x_i) + (lambda/2)|w|^2, l(u) = log(1 + exp(-u)). Kept rows are x = (t, z) as in
`ridge`: t in R^k carries all that labels and selection know of x, the other d - k directions are independent
N(0, I), eta = (d-k)/n. Only the law of v = y't matters. The fixed-point system comes from a convex Gaussian
min-max argument without a full proof of uniqueness; it has been compared with simulation for n/d above 9.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import root
from scipy.special import expit

from theory.arguments import FloatArray, finite, nonnegative_scalar, positive_scalar, require, scalar
from theory.breakdown.domains import angle, probability, probability_scalar

_REACH = 8.5  # standard normals are followed this far, to exp(-36) of the peak
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)  # per panel of the verified margin
_CLOSE = 1e-11  # largest residual of the fixed-point system; found ones are at rounding, 1e-15
_FINEST = 2.0**-9  # narrowest panel beside the verifier's plane: margins are followed to |w| about 1000


class LabelledLaw(NamedTuple):
    """Law of v = y't given that a row is kept: the mixture over Q points of N(point, diag(spread))."""

    points: FloatArray  # (Q, k)
    weights: FloatArray  # (Q,) probabilities
    spread: FloatArray  # (k,) variances, 0 in a coordinate that the points cover by themselves


class LogisticLimit(NamedTuple):
    """Ridge-logistic coefficients in proportion."""

    along: FloatArray  # (k,) w_t
    across: float  # |w_z|^2 = alpha^2
    step: float  # mu, of the proximal map that turns a score into a fitted margin; 0 for eta = 0


def unverified_class_law(p: float, separation: float) -> LabelledLaw:
    """Law of v = y't, k = 1 along mu, for class labels flipped with probability p and every row kept.

    (1-p) N(s, 1) + p N(-s, 1); p = 0 is also the law under an oracle that keeps the right labels.
    Source: definition.
    """
    error, s = probability_scalar("p", p), nonnegative_scalar("separation", separation)
    return LabelledLaw(np.array([[s], [-s]]), np.array([1 - error, error]), np.ones(1))


def verified_class_law(p: float, separation: float, theta_ver: float) -> LabelledLaw:
    """Law of v = y't, k = 2, for flipped class labels and an agreement verifier at theta_ver radians to mu.

    Coordinates: along w_ver, where only v_1 > 0 is kept, and across it on the side of mu. There
    mu = s (cos T, sin T); right labels give N(mu, I), wrong ones N(-mu, I), both cut at v_1 > 0.
    Source: derived here.
    """
    error, s = probability_scalar("p", p), nonnegative_scalar("separation", separation)
    turn = scalar("theta_ver", angle("theta_ver", theta_ver))
    m, side = s * np.cos(turn), s * np.sin(turn)
    # panels of width 1, halving towards v_1 = 0, where a steep margin l'(|w| v_1) lives
    ends = np.concatenate([[0.0], np.geomspace(_FINEST, 1, 10), np.arange(2.0, abs(m) + _REACH + 1)])
    half = np.diff(ends)[:, None] / 2
    first = (ends[:-1, None] + half + half * _NODES).ravel()
    density = (half * _WEIGHTS).ravel() / np.sqrt(2 * np.pi)
    right = (1 - error) * density * np.exp(-((first - m) ** 2) / 2)
    wrong = error * density * np.exp(-((first + m) ** 2) / 2)
    points = np.stack([np.tile(first, 2), np.repeat([side, -side], len(first))], axis=1)
    weights = np.concatenate([right, wrong])
    return LabelledLaw(points, weights / weights.sum(), np.array([0.0, 1.0]))


def ridge_logistic(law: LabelledLaw, ridge: float, eta: float) -> LogisticLimit:
    """Ridge-logistic coefficients in proportion, given the law of y't among kept rows.

    Solves, with u = prox_{mu l}(w_t.v + alpha G), G ~ N(0, 1), alpha = |w_z|,

        E[l'(u) v] + lambda w_t = 0,
        eta = mu {lambda + E[l''(u)/(1 + mu l''(u))]},
        alpha^2 = (mu^2/eta) E[l'(u)^2].

    ridge lambda > 0 in squared units of x, eta >= 0 the rows ratio (d-k)/n; eta = 0 is unlimited rows.
    RuntimeError if no solution is found (very small lambda together with large eta).
    Source: derived here (convex Gaussian min-max theorem).
    """
    law = _checked_law(law)
    penalty, ratio = positive_scalar("ridge", ridge), nonnegative_scalar("eta", eta)
    for factor in (6.0, 1.6):  # the second time in smaller steps
        solution = _follow(law, penalty, ratio, factor)
        if solution is not None:
            alpha, step = np.exp(solution[-2:]) if ratio > 0 else (0.0, 0.0)
            return LogisticLimit(solution[: len(law.spread)], float(alpha) ** 2, float(step))
    raise RuntimeError(f"no fixed point found for ridge={ridge}, eta={eta}")


def _follow(law: LabelledLaw, penalty: float, eta: float, factor: float) -> FloatArray | None:
    """Solution at `penalty`, followed from a penalty of 1 or more down in steps of `factor`; None if lost."""
    start = max(penalty, 1.0)
    stages = int(np.ceil(np.log(start / penalty) / np.log(factor))) + 1
    path: list[FloatArray] = []
    for stage in np.geomspace(start, penalty, stages) if stages > 1 else [penalty]:
        guess = _start(law, stage, eta) if not path else path[-1]
        if len(path) > 1:
            guess = guess + 0.9 * (path[-1] - path[-2])  # linear in log lambda, a little short
        solution = _solve(guess, law, stage, eta)
        if solution is None:
            return None
        path.append(solution)
    return path[-1]


def _start(law: LabelledLaw, penalty: float, eta: float) -> FloatArray:
    """Solution for a large penalty, where l' = -1/2 and l'' = 1/4, roughly adapted to one of order 1."""
    scale = 1 / (2 * penalty + 0.5)
    along = scale * (law.weights @ law.points)
    if eta == 0:
        return along
    return np.concatenate([along, np.log([scale * np.sqrt(eta), eta / (penalty + 0.2)])])


def _solve(guess: FloatArray, law: LabelledLaw, penalty: float, eta: float) -> FloatArray | None:
    """Root near the guess (w_t, log alpha, log mu), or None; without the last two for eta = 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = root(_residual, guess, (law, penalty, eta), tol=1e-13)
        if not np.all(np.isfinite(found.x)):
            return None
        close = np.max(np.abs(_residual(found.x, law, penalty, eta))) < _CLOSE
    return found.x if close else None


def _residual(unknown: FloatArray, law: LabelledLaw, penalty: float, eta: float) -> FloatArray:
    """The fixed-point equations, the last two as logs of ratios."""
    k = len(law.spread)
    along = unknown[:k]
    log_alpha, log_step = np.clip(unknown[k:], -40, 40) if eta > 0 else (-np.inf, -np.inf)
    alpha, step = np.exp(log_alpha), np.exp(log_step)
    width = np.sqrt(law.spread @ along**2 + alpha**2)  # of the score's normal part
    normal, chance = _normal_rule(width)
    centre = law.points @ along
    score = centre[:, None] + width * normal
    fitted = _prox(score, step)
    slope = -expit(-fitted)
    curvature = expit(fitted) * expit(-fitted)
    weights = law.weights
    mean_slope = slope @ chance
    # E[v | score, point] = point + spread w (score - centre)/width^2
    tilt = (slope * normal) @ chance
    pull = weights @ (law.points * mean_slope[:, None])
    if width > 0:
        pull = pull + law.spread * along * (weights @ tilt) / width
    gradient = pull + penalty * along
    if eta == 0:
        return gradient
    freedom = step * penalty + weights @ ((step * curvature / (1 + step * curvature)) @ chance)
    noise = step**2 * (weights @ (slope**2 @ chance)) / eta
    return np.concatenate([gradient, [np.log(noise) - 2 * log_alpha, np.log(freedom / eta)]])


def _normal_rule(width: float) -> tuple[FloatArray, FloatArray]:
    """Nodes and probabilities of N(0, 1): the trapezoidal rule, for functions of width * node.

    Fitted margins are analytic up to pi from the real line of scores, so the error is
    exp(-2 pi^2/(spacing * width)), and exp(-2 pi^2/spacing^2) for the density itself: 1e-16 for both.
    """
    if width == 0:
        return np.zeros(1), np.ones(1)
    spacing = min(0.7, max(0.5 / max(width, 1e-3), _REACH / 1000))  # a wide score is only ever a trial
    nodes = spacing * np.arange(-np.ceil(_REACH / spacing), np.ceil(_REACH / spacing) + 1)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


def _prox(score: FloatArray, step: float) -> FloatArray:
    """u with u - mu/(1 + e^u) = score: the minimiser of mu l(u) + (u - score)^2/2.

    The left side is convex for u < 0 and concave for u > 0, so Newton's method is monotone from any start
    between 0 and the root.
    """
    if step == 0:
        return score
    fitted = np.where(score > -step / 2, np.maximum(score, 0), np.minimum(score + step, 0))
    for _ in range(200):  # about 5 rounds for mu below 10, and log(mu) more
        part = expit(-fitted)
        change = (score + step * part - fitted) / (1 + step * part * (1 - part))
        fitted = fitted + change
        if np.max(np.abs(change)) < 1e-13 * (1 + step):
            break
    return fitted


def _checked_law(law: LabelledLaw) -> LabelledLaw:
    points = finite("law.points", law.points)
    require(points.ndim == 2, "law.points", "of shape (Q, k)", f"an array of shape {points.shape}")
    weights, spread = probability("law.weights", law.weights), finite("law.spread", law.spread)
    require(weights.shape == points.shape[:1], "law.weights", f"of shape {points.shape[:1]}", weights.shape)
    require(abs(weights.sum() - 1) < 1e-9, "law.weights", "probabilities that sum to 1", weights.sum())
    require(
        spread.shape == points.shape[1:] and np.all(spread >= 0), "law.spread", "k variances >= 0", spread
    )
    return LabelledLaw(points, weights, spread)
