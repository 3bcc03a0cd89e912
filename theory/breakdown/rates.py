"""Rates of verified labels: keep rate, precision, signed quality and the breakdown point.

A synthesized label y' is wrong with probability p; the verifier keeps a row with probability phi if the label
is right and psi if it is wrong. With classes y = +1, -1 the rates may depend on the class k: p_k, and
V_kl = P(kept | y = k, y' = l) with phi_k = V_kk, psi_k = V_k,-k. Tables over (y, y') have shape (2, 2): rows
y = +1, -1; columns y' = +1, -1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, require
from theory.breakdown.domains import probability, probability_scalar


class ClassBreakdownPoints(NamedTuple):
    """Breakdown points where phi and psi depend on the class; `least` is never above the others."""

    average: float  # least squares without an intercept
    geometric: float  # least squares, or any convex margin loss, with an intercept
    least: float  # a consistent learner on well separated classes


def breakdown_point(phi: ArrayLike, psi: ArrayLike) -> FloatArray:
    """Breakdown point p_star: the error rate at which half of the kept labels are right; in [0, 1].

    p_star = phi/(phi + psi) = 1/(1 + psi/phi), with phi = P(kept | label right) and
    psi = P(kept | label wrong). Below it the kept labels are mostly right. Arguments broadcast; both in
    [0, 1] and not both 0, else ValueError.
    Source: [Feng24], Theorem 4.2.
    """
    right, wrong = probability("phi", phi), probability("psi", psi)
    require(right + wrong > 0, "phi + psi", "> 0 (a verifier that keeps something)", f"phi={phi}, psi={psi}")
    return right / (right + wrong)


def keep_rate(p: ArrayLike, phi: ArrayLike, psi: ArrayLike) -> FloatArray:
    """Share of generated rows that are kept: kappa = (1-p) phi + p psi, in [0, 1].

    Arguments broadcast, each in [0, 1], else ValueError.
    Source: law of total probability.
    """
    error, right, wrong = probability("p", p), probability("phi", phi), probability("psi", psi)
    return (1 - error) * right + error * wrong


def precision(p: ArrayLike, phi: ArrayLike, psi: ArrayLike) -> FloatArray:
    """Share of kept labels that are right: rho = (1-p) phi/kappa, in [0, 1].

    rho > 1/2 exactly if p < p_star, since logit rho = logit p_star - logit p. Arguments broadcast, each in
    [0, 1]; ValueError also where nothing is kept.
    Source: Bayes' rule.
    """
    return (1 - np.asarray(p, dtype=np.float64)) * np.asarray(phi, dtype=np.float64) / _some_kept(p, phi, psi)


def signed_quality(p: ArrayLike, phi: ArrayLike, psi: ArrayLike) -> FloatArray:
    """Correlation of the kept label with the class: c = 2 rho - 1, in [-1, 1].

    c = [(1-p) phi - p psi]/kappa = (phi + psi)(p_star - p)/kappa: positive exactly below the breakdown
    point. Arguments and errors as in `precision`.
    Source: derived here from `precision`.
    """
    kept = _some_kept(p, phi, psi)
    error = np.asarray(p, dtype=np.float64)
    return ((1 - error) * np.asarray(phi) - error * np.asarray(psi)) / kept


def _some_kept(p: ArrayLike, phi: ArrayLike, psi: ArrayLike) -> FloatArray:
    kept = keep_rate(p, phi, psi)
    require(kept > 0, "keep rate (1-p) phi + p psi", "> 0", f"0 for p={p}, phi={phi}, psi={psi}")
    return kept


def kept_table(class_share: float, p: ArrayLike, keep: ArrayLike) -> FloatArray:
    """Joint law of class and label among kept rows, shape (2, 2), for rates that may depend on the class.

    alpha_kl = pi_k G_kl V_kl/kappa with G_kk = 1 - p_k, G_k,-k = p_k: independent selection changes nothing
    but this table. class_share is pi_+ = P(y = +1); p one number or (p_+, p_-); keep is V, shape (2, 2), or
    anything that broadcasts to it. All in [0, 1]; ValueError also where nothing is kept.
    Source: Bayes' rule; [Feng24], Theorem 4.2, has the case of rates without class.
    """
    joint = _generated_table(class_share, p) * _pair("keep", keep, (2, 2))
    require(joint.sum() > 0, "keep rate", "> 0", "0: every kind of generated row is rejected")
    return joint / joint.sum()


def table_keep_rate(class_share: float, p: ArrayLike, keep: ArrayLike) -> float:
    """Share of generated rows that are kept: kappa = sum_kl pi_k G_kl V_kl. Arguments as in `kept_table`.

    Source: law of total probability.
    """
    return float((_generated_table(class_share, p) * _pair("keep", keep, (2, 2))).sum())


def _generated_table(class_share: float, p: ArrayLike) -> FloatArray:
    share = probability_scalar("class_share", class_share)
    plus, minus = _pair("p", p, (2,))
    return np.array([[share * (1 - plus), share * plus], [(1 - share) * minus, (1 - share) * (1 - minus)]])


def _pair(name: str, value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Probabilities broadcast to `shape`."""
    array = probability(name, value)
    fits = array.ndim <= len(shape) and all(size in (1, 2) for size in array.shape)
    require(fits, name, f"one number or of shape {shape}", f"an array of shape {array.shape}")
    return np.broadcast_to(array, shape)


def checked_table(table: ArrayLike) -> FloatArray:
    """`table` as a joint law of (y, y'), shape (2, 2), entries in [0, 1] that sum to 1."""
    array = probability("table", table)
    require(array.shape == (2, 2), "table", "of shape (2, 2)", f"an array of shape {array.shape}")
    require(abs(array.sum() - 1) < 1e-9, "table", "a joint law: entries that sum to 1", f"sum {array.sum()}")
    return array


def table_precision(table: ArrayLike) -> float:
    """Share of kept labels that are right: rho = alpha_++ + alpha_--, from a table of shape (2, 2).

    Source: definition.
    """
    return float(np.trace(checked_table(table)))


def table_determinant(table: ArrayLike) -> float:
    """D = alpha_++ alpha_-- - alpha_+- alpha_-+, the covariance of y and y' over 4; in [-1/4, 1/4].

    D = a(1-a)(1 - e_+ - e_-) with a the kept share of y = +1 and e_k the error rate of kept labels in class
    k. Positive exactly if the odds ratio of the table exceeds 1.
    Source: derived here.
    """
    alpha = checked_table(table)
    return float(alpha[0, 0] * alpha[1, 1] - alpha[0, 1] * alpha[1, 0])


def kept_error_rates(table: ArrayLike) -> FloatArray:
    """Error rates (e_+, e_-) of kept labels by class, e_k = P(y' != k | y = k, kept), shape (2,).

    ValueError where a class is never kept.
    Source: definition.
    """
    alpha = checked_table(table)
    shares = alpha.sum(axis=1)
    require(shares > 0, "table", "a law with both classes", f"class shares {shares}")
    return np.array([alpha[0, 1], alpha[1, 0]]) / shares


def class_breakdown_points(class_share: float, phi: ArrayLike, psi: ArrayLike) -> ClassBreakdownPoints:
    """Breakdown points for one error rate p in both classes but verifier rates by class.

    average   = phibar/(phibar + psibar), phibar = pi_+ phi_+ + pi_- phi_-, psibar likewise;
    geometric = g_phi/(g_phi + g_psi), g_phi = sqrt(phi_+ phi_-), g_psi = sqrt(psi_+ psi_-);
    least     = min over k of phi_k/(phi_k + psi_k).

    All three are equal where the rates do not depend on the class, and least <= average, geometric.
    phi and psi are one number or (for +1, for -1), in [0, 1]; ValueError where phi_k = psi_k = 0, or where
    phi_k = psi_l = 0, which leaves the geometric point undefined.
    Source: derived here; [Feng24], Theorem 4.2, for equal rates.
    """
    share = probability_scalar("class_share", class_share)
    right, wrong = _pair("phi", phi, (2,)), _pair("psi", psi, (2,))
    weights = np.array([share, 1 - share])
    by_class = breakdown_point(right, wrong)
    geometric = breakdown_point(np.sqrt(right.prod()), np.sqrt(wrong.prod()))
    average = breakdown_point(np.minimum(weights @ right, 1), np.minimum(weights @ wrong, 1))
    return ClassBreakdownPoints(float(average), float(geometric), float(by_class.min()))
