"""Unlimited kept rows, selection independent of the features: what learners converge to.

Features are Gaussian given the class, x | y = k ~ N(mu_k, Sigma); labels are flipped and rows kept with
probabilities that depend on (y, y') alone, so kept rows differ from generated ones only through the table of
`rates.kept_table`. Class accuracy is P(sign(w.x) = y), at best Phi(separation) for balanced classes with means
+-mu, where separation = sqrt(mu' Sigma^-1 mu). Covariances are one variance, D variances or a (D, D) matrix.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from theory.arguments import FloatArray, nonnegative, nonnegative_scalar, require, scalar
from theory.breakdown.domains import (
    probability,
    probability_scalar,
    quality,
    variances_and_axes,
    vector,
)
from theory.breakdown.rates import checked_table, table_determinant, table_precision


def separation(mean: ArrayLike, covariance: ArrayLike = 1.0) -> float:
    """Separation s = sqrt(mu' Sigma^-1 mu) of a class mean from 0; the Bayes accuracy is Phi(s).

    mean is mu, shape (D,), not 0; s is in standard deviations. ValueError for a mean of 0 or a covariance
    that is not positive definite.
    Source: textbook linear discriminant.
    """
    mu = vector("mean", mean)
    variances, axes = variances_and_axes("covariance", covariance, len(mu))
    return float(np.linalg.norm((axes.T @ mu) / np.sqrt(variances)))


def least_squares_coefficients(precision: float, mean: ArrayLike, covariance: ArrayLike = 1.0) -> FloatArray:
    """Least squares of y' on x without intercept, means +-mu, any class balance; shape (D,).

    beta = (2 rho - 1) Sigma^-1 mu/(1 + s^2), because E[xx'|kept] = Sigma + mu mu' and
    E[x y'|kept] = (2 rho - 1) mu whatever the class balance. In units of 1/x. precision rho in [0, 1].
    Source: derived here; [Feng24], Theorem 4.2, has the sign.
    """
    rho = probability_scalar("precision", precision)
    mu = vector("mean", mean)
    variances, axes = variances_and_axes("covariance", covariance, len(mu))
    whitened = axes @ ((axes.T @ mu) / variances)
    return (2 * rho - 1) * whitened / (1 + mu @ whitened)


def class_accuracy_limit(signed_quality: ArrayLike, separation: ArrayLike) -> FloatArray:
    """Class accuracy with unlimited kept rows, means +-mu, no intercept: a step at the breakdown point.

    Phi(s) for c > 0, 1 - Phi(s) for c < 0 and 1/2 for c = 0 (labels are fair coins), with c = 2 rho - 1.
    Holds for least squares and every convex margin loss. signed_quality in [-1, 1], separation >= 0;
    broadcast.
    Source: [Feng24], Theorem 4.2; any covariance, balance and loss derived here.
    """
    return ndtr(np.sign(quality("signed_quality", signed_quality)) * nonnegative("separation", separation))


def bayes_label_coefficient(signed_quality: ArrayLike) -> FloatArray:
    """Least-squares coefficient along the truth for x ~ N(0, I), y = sign(x.truth): c sqrt(2/pi).

    beta is this times the unit truth, so the accuracy relative to Bayes labels is 1 for c > 0, 0 for c < 0.
    Source: derived here.
    """
    return quality("signed_quality", signed_quality) * np.sqrt(2 / np.pi)


def ridge_class_accuracy_limit(
    signed_quality: float, mean: ArrayLike, covariance: ArrayLike, ridge: float
) -> float:
    """Class accuracy of ridge regression with unlimited kept rows and a fixed penalty, means +-mu.

    Phi(sign(c) mu'u/sqrt(u'Sigma u)), u = (Sigma + lambda I)^-1 mu. The breakdown point does not move, but
    the accuracy is below Phi(s) unless mu is an eigenvector of Sigma. ridge is lambda >= 0 in squared units
    of x; inf is averaging, u = mu.
    Source: derived here.
    """
    c = scalar("signed_quality", quality("signed_quality", signed_quality))
    penalty = nonnegative_scalar("ridge", ridge, infinite=True)
    mu = vector("mean", mean)
    variances, axes = variances_and_axes("covariance", covariance, len(mu))
    along = axes.T @ mu
    scale = 1.0 if np.isinf(penalty) else 1 / (variances + penalty)
    gain = np.sum(scale * along**2) / np.sqrt(np.sum(variances * (scale * along) ** 2))
    return float(ndtr(np.sign(c) * gain))


def intercept_coefficients(
    table: ArrayLike, mean_difference: ArrayLike, covariance: ArrayLike = 1.0
) -> FloatArray:
    """Slopes of least squares of y' on x with an intercept, shape (D,).

    beta = 2 D Sigma^-1 Delta/Q, Delta = mu_+ - mu_-, S^2 = Delta' Sigma^-1 Delta, Q = 1 + a(1-a) S^2, with a
    the kept share of class +1 and D the determinant of `table` (see `rates.kept_table`).
    Source: derived here from Cov(x, y'|kept) = 2 D Delta and Cov(x|kept) = Sigma + a(1-a) Delta Delta'.
    """
    alpha = checked_table(table)
    delta = vector("mean_difference", mean_difference)
    variances, axes = variances_and_axes("covariance", covariance, len(delta))
    whitened = axes @ ((axes.T @ delta) / variances)
    share = alpha[0].sum()
    return 2 * table_determinant(alpha) * whitened / (1 + share * (1 - share) * (delta @ whitened))


def intercept_accuracy_limit(table: ArrayLike, mean_distance: float, class_share: float) -> float:
    """Class accuracy of least squares with an intercept and unlimited kept rows.

    pi Phi(sg (1-a) S + tau) + (1-pi) Phi(sg a S - tau), sg = sign D, tau = (2b-1) Q/(2 |D| S), where a and b
    are the kept shares of y = +1 and y' = +1. Unless b = 1/2 this is no step at D = 0: tau -> +-inf, the
    rule turns into the majority of kept labels. mean_distance S = sqrt(Delta' Sigma^-1 Delta) > 0 is twice
    the separation; class_share pi = P(y = +1) where the rule is tested. At D = 0 the value is that of the
    constant rule, 1/2 for b = 1/2.
    Source: derived here.
    """
    alpha = checked_table(table)
    pi = probability_scalar("class_share", class_share)
    distance = nonnegative_scalar("mean_distance", mean_distance)
    require(distance > 0, "mean_distance", "> 0", mean_distance)
    a, b, det = alpha[0].sum(), alpha[:, 0].sum(), table_determinant(alpha)
    if det == 0:
        return float(0.5 + np.sign(2 * b - 1) * (pi - 0.5))
    tau = (2 * b - 1) * (1 + a * (1 - a) * distance**2) / (2 * abs(det) * distance)
    shift = np.sign(det) * distance
    return float(pi * ndtr(shift * (1 - a) + tau) + (1 - pi) * ndtr(shift * a - tau))


def margin_loss_sign(table: ArrayLike, *, intercept: bool) -> int:
    """Sign of the slope along Sigma^-1 Delta that any convex, decreasing margin loss converges to: -1, 0, 1.

    sign D with an intercept; sign(2 rho - 1) without one (means +-mu). Directions across Sigma^-1 Delta are
    mean-zero and independent of (y, y') after whitening, so Jensen's inequality removes them; the derivative
    of the risk at slope 0 gives the sign.
    Source: derived here.
    """
    return int(np.sign(table_determinant(table) if intercept else 2 * table_precision(table) - 1))


def plug_in_threshold(error_plus: ArrayLike, error_minus: ArrayLike) -> FloatArray:
    """Posterior of y = +1 at which a universally consistent learner of y' changes its answer.

    (1/2 - e_-)/(1 - e_+ - e_-): the learner answers +1 where P(y = +1 | x, kept) is above it if
    e_+ + e_- < 1, and below it if e_+ + e_- > 1. Outside [0, 1] the answer is constant. e_k is the error rate
    of kept labels in class k (`rates.kept_error_rates`), in [0, 1]; ValueError for e_+ + e_- = 1, where y'
    tells nothing.
    Source: derived here.
    """
    plus, minus = probability("error_plus", error_plus), probability("error_minus", error_minus)
    slope = 1 - plus - minus
    require(slope != 0, "error_plus + error_minus", "different from 1", f"{error_plus} + {error_minus}")
    return (0.5 - minus) / slope


def consistent_learner_is_right(error_plus: ArrayLike, error_minus: ArrayLike) -> np.ndarray:
    """Whether a universally consistent learner is right on well separated classes: e_+ < 1/2 and e_- < 1/2.

    With one error rate p for both classes this is p < min_k phi_k/(phi_k + psi_k). Arguments broadcast.
    Source: derived here.
    """
    plus, minus = probability("error_plus", error_plus), probability("error_minus", error_minus)
    return (plus < 0.5) & (minus < 0.5)
