"""Class error against the number n' of selected rows, and the best number to select.

Isotropic mixture x | y ~ N(y mu, I) in d dimensions, |mu| = separation s; class labels flipped with probability
p, whatever x is. The verifier is None (keep all), "oracle" (keep right labels) or the angle in [0, pi] radians
between mu and a fixed linear rule that keeps labels equal to its own. Proportional limits: `ridge.projected_ridge`
and `logistic.ridge_logistic`, eta = (d-k)/n' with k = 1 without a linear verifier and k = 2 with one.

What to expect: independent verifier errors only rescale n' by c^2, and the error falls to the Bayes error; a
linear verifier leaves a floor, approached from above with a fixed ridge penalty; with a fixed total penalty
(lambda = 1/n') logistic regression drifts to the verifier, so that an interior n', roughly proportional to d, is best.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar, root_scalar
from scipy.special import ndtr

from theory.arguments import FloatArray, positive_scalar, require, scalar, whole
from theory.breakdown.domains import angle, probability_scalar
from theory.breakdown.logistic import (
    LabelledLaw,
    ridge_logistic,
    unverified_class_law,
    verified_class_law,
)
from theory.breakdown.mixture import Moments, flipped_class_moments
from theory.breakdown.ridge import class_accuracy_proportional, projected_ridge

Verifier = float | str | None


class BestSelection(NamedTuple):
    """The number of selected rows with the least class error."""

    num_selected: float
    error: float


def ridge_selection_error(
    num_selected: float, dim: int, p: float, separation: float, verifier: Verifier, ridge: float
) -> float:
    """Class error of ridge on n' selected rows, flipped class labels; n' = inf is unlimited rows.

    `projected_ridge` with the moments of `mixture.flipped_class_moments` (linear verifier, k = 2), or
    C = 1 + s^2, h = s c with c = 1 - 2p (no verifier) or 1 (oracle), k = 1. ridge lambda >= 0, fixed in n';
    dim d >= k.
    Source: derived here.
    """
    error, s = probability_scalar("p", p), positive_scalar("separation", separation)
    n = positive_scalar("num_selected", num_selected, infinite=True)
    turn = _turn(verifier)
    if turn is None:
        d = whole("dim", dim, least=1)
        c = 1.0 if verifier == "oracle" else 1 - 2 * error
        limit = projected_ridge([[1 + s**2]], [s * c], ridge, (d - 1) / n)
        return 1 - class_accuracy_proportional(limit.along, limit.across, [s])
    d = whole("dim", dim, least=2)
    mean = np.array([s, 0.0])
    moments = flipped_class_moments(error, mean, np.array([np.cos(turn), np.sin(turn)]))
    return _moments_error(moments, mean, ridge, (d - 2) / n)


def logistic_selection_error(
    num_selected: float, dim: int, p: float, separation: float, verifier: Verifier
) -> float:
    """Class error of ridge-logistic with penalty lambda = 1/n' on n' selected rows, flipped class labels.

    `logistic.ridge_logistic`. n' = inf: the verifier's own class error Phi(-s cos T) with a linear verifier
    and 0 < p < 1, else the Bayes error Phi(-s) for c > 0 (1 - it for c < 0, 1/2 for c = 0).
    Source: derived here.
    """
    error, s = probability_scalar("p", p), positive_scalar("separation", separation)
    n = positive_scalar("num_selected", num_selected, infinite=True)
    turn = _turn(verifier)
    d = whole("dim", dim, least=1 if turn is None else 2)
    if turn is None:
        error = 0.0 if verifier == "oracle" else error
        if np.isinf(n):
            return float(ndtr(-s * np.sign(1 - 2 * error)))
        return _logistic_error(unverified_class_law(error, s), np.array([s]), n, (d - 1) / n)
    mean = s * np.array([np.cos(turn), np.sin(turn)])
    if np.isinf(n):
        require(0 < error < 1, "p", "strictly between 0 and 1 for unlimited rows", p)
        return float(ndtr(-mean[0]))
    return _logistic_error(verified_class_law(error, s, turn), mean, n, (d - 2) / n)


def _logistic_error(law: LabelledLaw, mean: FloatArray, n: float, eta: float) -> float:
    limit = ridge_logistic(law, 1 / n, eta)
    return 1 - class_accuracy_proportional(limit.along, limit.across, mean)


def best_selection_size(
    dim: int,
    p: float,
    separation: float,
    theta_ver: float,
    *,
    least: float | None = None,
    most: float | None = None,
) -> BestSelection:
    """Number n' of selected rows with the least `logistic_selection_error` of a linear verifier.

    Brent's search over log n' between `least` and `most`, by default 9 d and 1e4 d; n' is good to 1e-3, the
    error to rounding. Where the error falls throughout, `most` comes back.
    Source: derived here.
    """
    d = whole("dim", dim, least=2)
    low = 9.0 * d if least is None else positive_scalar("least", least)
    high = 1e4 * d if most is None else positive_scalar("most", most)
    require(low < high, "least", "below most", f"{low} and {high}")

    def error(log_n: float) -> float:
        return logistic_selection_error(float(np.exp(log_n)), d, p, separation, theta_ver)

    found: Any = minimize_scalar(error, bounds=np.log([low, high]), method="bounded", options={"xatol": 1e-4})
    return BestSelection(float(np.exp(found.x)), float(found.fun))


def ranked_threshold(keep: Callable[[float], float], share: float) -> float:
    """Threshold on y' x.w_ver at which a share n'/N of generated rows is kept, for confidence-ranked selection.

    keep(threshold) is the keep rate, falling from 1 at -inf to 0: for example
    `lambda c: linear_generator_moments(mean, generator, verifier, c).keep`. share strictly between 0 and 1.
    Source: definition.
    """
    wanted = probability_scalar("share", share)
    require(0 < wanted < 1, "share", "strictly between 0 and 1", share)
    reach = 1.0
    while keep(reach) > wanted or keep(-reach) < wanted:
        reach *= 2
    return float(root_scalar(lambda c: keep(c) - wanted, bracket=(-reach, reach), xtol=1e-13).root)


def ranked_selection_error(
    num_selected: float,
    num_generated: float,
    dim: int,
    moments: Callable[[float], Moments],
    mean: FloatArray,
    ridge: float,
) -> float:
    """Class error of ridge on the n' most confident of N generated rows, ranked by y' x.w_ver.

    `projected_ridge` with the moments at the threshold where a share n'/N is kept, eta = (d-k)/n'.
    moments(threshold) gives the kept moments in the k directions that carry labels and verdicts
    (`mixture.linear_generator_moments`, `flipped_class_moments`); mean is mu there, shape (k,).
    n' = N keeps all.
    Source: derived here.
    """
    n, total = positive_scalar("num_selected", num_selected), positive_scalar("num_generated", num_generated)
    require(n <= total, "num_selected", f"at most num_generated = {total}", n)
    threshold = -np.inf if n == total else ranked_threshold(lambda c: moments(c).keep, n / total)
    m = np.asarray(mean, dtype=np.float64)
    d = whole("dim", dim, least=len(m))
    return _moments_error(moments(threshold), m, ridge, (d - len(m)) / n)


def _moments_error(moments: Moments, mean: FloatArray, ridge: float, eta: float) -> float:
    require(moments.keep > 0, "p, verifier", "such that something is kept", "keep rate 0")
    limit = projected_ridge(moments.second / moments.keep, moments.first / moments.keep, ridge, eta)
    return 1 - class_accuracy_proportional(limit.along, limit.across, mean)


def _turn(verifier: Verifier) -> float | None:
    """Angle of a linear verifier, None without one."""
    if verifier is None or verifier == "oracle":
        return None
    require(not isinstance(verifier, str), "verifier", "None, 'oracle' or an angle in radians", verifier)
    return scalar("verifier", angle("verifier", verifier))
