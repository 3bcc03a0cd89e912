"""Slow drift of logistic regression to the verifier as the penalty goes to 0.

Kept labels are those of a fixed linear verifier, so only w_ver separates them: with unlimited rows
w ~ a w_ver + b across, `across` the unit vector across w_ver on the side of the truth, where b = O(1) and
a -> inf as penalty^(-1/3). The remaining angle to w_ver is b/a. Objective E l(y'w.x) + (lambda/2)|w|^2 over kept
rows, l(u) = log(1 + exp(-u)). With f(v_2) the density of y'x at the verifier's plane as a function of the
coordinate v_2 across w_ver, and L(x) = int_0^inf l(x + u) du = -Li2(-e^-x):

    b minimises J(b) = int f(v_2) L(b v_2) dv_2,      a^3 = J(b)/lambda.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import expit, ndtr, spence

from theory.arguments import FloatArray, positive_scalar, require, scalar
from theory.breakdown.domains import angle, probability_scalar

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_REACH = 9.0  # standard normals are followed this far, to exp(-40) of the peak


class Drift(NamedTuple):
    """Logistic coefficients for a small penalty, unlimited rows."""

    along: float  # a, along w_ver
    across: float  # b, across w_ver
    moment: float  # K for pure Gaussian features, J(b) for the mixture


class SelectionExpansion(NamedTuple):
    """Class error against n selected rows for penalty 1/n: E_inf - A n^(-1/3) - C d/n + B d n^(-4/3)."""

    limit: float  # E_inf = Phi(-s cos T), the verifier's own class error
    drift: float  # A
    slowing: float  # C
    noise: float  # B


def bayes_label_drift_asymptotic(p: float, theta_ver: float, ridge: float) -> Drift:
    """Logistic coefficients for a small penalty: x ~ N(0, I), labels sign(x.truth) flipped with probability p.

    (1-2p) I(b) = p b/2, I(b) = int_0^inf r phi0(r) log(1 + e^(-br)) dr;
    K = int_0^inf phi0(r) [(1-p) L(br) + p L(-br)] dr; a^3 = 2 phi0(0) K/(keep rate * lambda). First order in
    lambda^(1/3): 7 % off in the angle at lambda = 1e-4, 1 % at 1e-6 (p = 0.2, theta_ver = pi/6). p strictly
    between 0 and 1/2, theta_ver = T in [0, pi] radians, ridge lambda > 0.
    Source: derived here.
    """
    error, turn = _checked(p, theta_ver)
    penalty = positive_scalar("ridge", ridge)
    r, weights = _rule(0.0, _REACH)
    density = weights * np.exp(-(r**2) / 2) / np.sqrt(2 * np.pi)

    def balance(b: float) -> float:
        return (1 - 2 * error) * float(density @ (r * np.logaddexp(0, -b * r))) - error * b / 2

    b = _rising(lambda x: -balance(x), 2 * (1 - 2 * error) * np.log(2) / np.sqrt(2 * np.pi) / error)
    moment = float(density @ ((1 - error) * _integrated_loss(b * r) + error * _integrated_loss(-b * r)))
    keep = (1 - error) * (1 - turn / np.pi) + error * turn / np.pi
    return Drift(float(np.cbrt(2 * moment / (np.sqrt(2 * np.pi) * keep * penalty))), b, moment)


def mixture_drift_asymptotic(p: float, separation: float, theta_ver: float, ridge: float) -> Drift:
    """Logistic coefficients for a small penalty: isotropic mixture, class labels flipped with probability p.

    As the module says with f(v_2) = phi0(s cos T) [(1-p) phi0(v_2 - s sin T) + p phi0(v_2 + s sin T)]/keep
    rate. First order in lambda^(1/3). p strictly between 0 and 1/2, separation s > 0, theta_ver = T strictly
    between 0 and pi radians, ridge lambda > 0.
    Source: derived here: for large a, E l(a v_1 + b v_2) = J(b)/a + O(a^-2); minimise J/a + lambda a^2/2.
    """
    penalty = positive_scalar("ridge", ridge)
    v, density = _plane_density(p, separation, theta_ver)
    b = _mixture_across(v, density)
    moment = float(density @ _integrated_loss(b * v))
    return Drift(float(np.cbrt(moment / penalty)), b, moment)


def selection_expansion_asymptotic(p: float, separation: float, theta_ver: float) -> SelectionExpansion:
    """Class error of ridge-logistic with penalty 1/n on n selected rows, class labels flipped, d << n^(2/3).

    E_inf - A n^(-1/3) - C d/n + B d n^(-4/3): the drift leaves an angle b/a to w_ver with a = (J n)^(1/3);
    noise in the other directions adds |w_z|^2 = (d/n) a M2/M1^2, and also slows the drift, by d/n. With
    sigma the logistic function, x = b v_2 and integrals against f:
    M1 = int sigma(-x), M2 = int [l(x) - sigma(-x)], M3 = int v_2^2 sigma(-x),
    Q1 = int v_2 sigma(x) sigma(-x), Q2 = int v_2 sigma(-x)^2, k = phi0(s cos T) s:

        A = k sin(T) b J^(-1/3),  B = k cos(T) M2/(2 M1^2 J^(1/3)),  C = k sin(T) (Q1 M2/M1 - Q2)/(2 M1 M3).

    Next terms are smaller by n^(-1/3) or (d/n) n^(1/3). T strictly between 0 and pi/2 radians, p strictly
    between 0 and 1/2, s > 0.
    Source: derived here: C is the change of b when the condition E l'(u) v_2 = 0 is expanded to first order
    in alpha^2 = |w_z|^2 and mu = (d/n) a/M1; a does not change to that order.
    """
    v, density = _plane_density(p, separation, theta_ver)
    require(theta_ver < np.pi / 2, "theta_ver", "below pi/2", theta_ver)
    b = _mixture_across(v, density)
    slope, loss = expit(-b * v), np.logaddexp(0, -b * v)
    length = np.cbrt(density @ _integrated_loss(b * v))
    m1, m2, m3 = density @ slope, density @ (loss - slope), density @ (v**2 * slope)
    q1, q2 = density @ (v * slope * (1 - slope)), density @ (v * slope**2)
    m, side = separation * np.cos(theta_ver), separation * np.sin(theta_ver)
    scale = np.exp(-(m**2) / 2) / np.sqrt(2 * np.pi)
    return SelectionExpansion(
        limit=float(ndtr(-m)),
        drift=float(scale * side * b / length),
        slowing=float(scale * side * (q1 * m2 / m1 - q2) / (2 * m1 * m3)),
        noise=float(scale * m * m2 / (2 * m1**2 * length)),
    )


def best_selection_size_asymptotic(p: float, separation: float, theta_ver: float, dim: float) -> float:
    """Number n of selected rows with the least class error by `selection_expansion_asymptotic`.

    The root of A n/3 + C d n^(1/3) = 4 B d/3; without C it would be 4 B d/A. A guide to the size only,
    `selection_size.best_selection_size` is the minimum itself: at p = 0.3, s = 1.55, T = pi/12 they are 2500
    and 1400 for d = 20, 10500 and 9500 for d = 100, 18700 and 21100 for d = 200.
    Source: derived here.
    """
    limit = selection_expansion_asymptotic(p, separation, theta_ver)
    d = positive_scalar("dim", dim)
    return _rising(
        lambda n: float(limit.drift * n / 3 + limit.slowing * d * np.cbrt(n) - 4 * limit.noise * d / 3), d
    )


def _checked(p: float, theta_ver: float) -> tuple[float, float]:
    error, turn = probability_scalar("p", p), scalar("theta_ver", angle("theta_ver", theta_ver))
    require(0 < error < 0.5, "p", "strictly between 0 and 1/2", p)
    return error, turn


def _plane_density(p: float, separation: float, theta_ver: float) -> tuple[FloatArray, FloatArray]:
    """Nodes v_2 and f(v_2) times their weights."""
    error, turn = _checked(p, theta_ver)
    require(0 < turn < np.pi, "theta_ver", "strictly between 0 and pi", theta_ver)
    s = positive_scalar("separation", separation)
    m, side = s * np.cos(turn), s * np.sin(turn)
    v, weights = _rule(-side - _REACH, side + _REACH)
    keep = (1 - error) * ndtr(m) + error * ndtr(-m)
    mixed = (1 - error) * np.exp(-((v - side) ** 2) / 2) + error * np.exp(-((v + side) ** 2) / 2)
    return v, weights * mixed * np.exp(-(m**2) / 2) / (2 * np.pi * keep)


def _mixture_across(v: FloatArray, density: FloatArray) -> float:
    """The minimiser of J: J'(b) = -int f v l(b v), which rises from below 0."""
    return _rising(lambda b: -float(density @ (v * np.logaddexp(0, -b * v))), 1.0)


def _rising(function: Callable[[float], float], above: float) -> float:
    """Root in (0, inf) of a rising function that starts below 0."""
    while function(above) < 0:
        above *= 2
    return float(root_scalar(function, bracket=(0.0, above), xtol=1e-14).root)


def _integrated_loss(x: FloatArray) -> FloatArray:
    """L(x) = -Li2(-e^-x); for x < 0 by L(x) = pi^2/6 + x^2/2 - L(-x), which does not overflow."""
    tail = -spence(1 + np.exp(-np.abs(x)))
    return np.where(x >= 0, tail, np.pi**2 / 6 + x**2 / 2 - tail)


def _rule(low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre panels on [low, high], halving towards 0, where a large b makes the loss bend."""
    near = 2.0 ** np.arange(-10, 0)
    whole = np.arange(1.0, max(-low, high) + 1)
    ends = np.concatenate([[low, 0.0, high], near, -near, whole, -whole])
    ends = np.unique(ends[(ends >= low) & (ends <= high)])
    half = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + half + half * _NODES).ravel(), (half * _WEIGHTS).ravel()
