"""A linear generator checked by a linear verifier that keeps a row when its own label agrees.

Isotropic Gaussian features x ~ N(0, I), true label sign(x.truth), generated label sign(x.w_gen), verifier's
label sign(x.w_ver). All angles are in radians in [0, pi]: `theta_gen` and `theta_ver` from the truth to w_gen
and w_ver, `angle_between` from w_gen to w_ver. Error rates are p = theta_gen/pi for the generator and
q = theta_ver/pi for the verifier. Accuracy is relative to Bayes labels, P(sign(w.x) = sign(truth.x)).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from theory.arguments import FloatArray, real, require, whole
from theory.breakdown.domains import ROUNDED_ANGLE, angle, probability

ALIGNMENTS = {"same": 1.0, "orthogonal": 0.0, "opposite": -1.0}
_TIE = 1e-14  # p + q this close to 1 is the crossing itself, rounded


class Rates(NamedTuple):
    """Verifier rates and the generator's error rate, in the order of `linear_verifier_rates`."""

    phi: FloatArray  # P(kept | label right)
    psi: FloatArray  # P(kept | label wrong)
    p: FloatArray  # P(label wrong)


class KeptShares(NamedTuple):
    """Joint shares of generated rows; their sum is the keep rate."""

    right: FloatArray  # P(kept and label right)
    wrong: FloatArray  # P(kept and label wrong)


def angle_between_rules(
    theta_gen: ArrayLike, theta_ver: ArrayLike, alignment: str | ArrayLike = "orthogonal"
) -> FloatArray:
    """Angle between generator and verifier from the alignment xi of their deviations from the truth.

    cos t = cos t_g cos t_v + sin t_g sin t_v xi, evaluated by half angles. xi = 1 ("same"): coplanar on one
    side, t = |t_g - t_v|; xi = -1 ("opposite"): t = min(t_g + t_v, 2 pi - t_g - t_v); xi = 0 ("orthogonal"):
    the generic high-dimensional case; or any number in [-1, 1] (see `random_alignment`). Broadcasts.
    Source: spherical law of cosines.
    """
    g, v = angle("theta_gen", theta_gen), angle("theta_ver", theta_ver)
    if isinstance(alignment, str):
        require(alignment in ALIGNMENTS, "alignment", f"one of {list(ALIGNMENTS)} or a number", alignment)
        alignment = ALIGNMENTS[alignment]
    xi = real("alignment", alignment)
    require((xi >= -1) & (xi <= 1), "alignment", "in [-1, 1]", alignment)
    turn = np.sin(g) * np.sin(v) / 2
    sine2 = np.sin((g - v) / 2) ** 2 + np.maximum(turn, 0) * (1 - xi)  # sin^2(t/2); sin(pi) is 1e-16
    cosine2 = np.cos((g + v) / 2) ** 2 + np.maximum(turn, 0) * (1 + xi)
    return 2 * np.arctan2(np.sqrt(sine2), np.sqrt(cosine2))


def random_alignment(dim: int):
    """Law of the alignment of two independent uniformly random deviations: a frozen SciPy distribution.

    One coordinate of a uniform point on the unit sphere in D-1 dimensions: (1 + xi)/2 ~ Beta(D/2-1, D/2-1),
    mean 0, standard deviation 1/sqrt(D-1). dim D >= 3 (for D = 2, xi is +-1 by a fair coin).
    Source: textbook.
    """
    shape = whole("dim", dim, least=3) / 2 - 1
    return stats.beta(shape, shape, loc=-1, scale=2)


def checked_angles(
    theta_gen: ArrayLike, theta_ver: ArrayLike, angle_between: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The three angles, broadcast; raises where no three directions have them."""
    g, v, t = np.broadcast_arrays(
        angle("theta_gen", theta_gen), angle("theta_ver", theta_ver), angle("angle_between", angle_between)
    )
    least, most = np.abs(g - v), np.minimum(g + v, 2 * np.pi - g - v)
    require(
        (t >= least - ROUNDED_ANGLE) & (t <= most + ROUNDED_ANGLE),
        "angle_between",
        "between |theta_gen - theta_ver| and min(theta_gen + theta_ver, 2 pi - theta_gen - theta_ver)",
        f"{angle_between} for theta_gen={theta_gen}, theta_ver={theta_ver}",
    )
    return g, v, np.clip(t, least, np.maximum(least, most))


def linear_verifier_shares(
    theta_gen: ArrayLike, theta_ver: ArrayLike, angle_between: ArrayLike
) -> KeptShares:
    """Shares of generated rows kept with a right and with a wrong label.

    P(kept, right) = 1 - (t_g + t_v + t)/(2 pi), P(kept, wrong) = (t_g + t_v - t)/(2 pi); the keep rate is
    1 - t/pi. ValueError where no three directions have these angles.
    Source: derived here: three N(0,1) share a sign with probability 1 - (sum of their angles)/(2 pi).
    """
    g, v, t = checked_angles(theta_gen, theta_ver, angle_between)
    right = 1 - (g + v + t) / (2 * np.pi)
    return KeptShares(np.maximum(right, 0), (g + v - t) / (2 * np.pi))


def linear_verifier_rates(theta_gen: ArrayLike, theta_ver: ArrayLike, angle_between: ArrayLike) -> Rates:
    """Rates (phi, psi, p) of a linear verifier of a linear generator, from three angles in radians.

    p = t_g/pi, phi = [2 pi - (t_g + t_v + t)]/[2 (pi - t_g)], psi = (t_g + t_v - t)/(2 t_g); the keep rate
    is 1 - t/pi. Arguments broadcast. ValueError for angles outside [0, pi], for angles that no three
    directions have, and for theta_gen = 0 or pi, where psi or phi has no rows to refer to
    (`linear_verifier_shares` is defined there too).
    Source: derived here (trivariate orthant probabilities).
    """
    g, _, _ = checked_angles(theta_gen, theta_ver, angle_between)
    require((g > 0) & (g < np.pi), "theta_gen", "strictly between 0 and pi", theta_gen)
    shares = linear_verifier_shares(theta_gen, theta_ver, angle_between)
    phi = np.minimum(shares.right * np.pi / (np.pi - g), 1)
    return Rates(phi, np.minimum(shares.wrong * np.pi / g, 1), g / np.pi)


def agreement_margin(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """P(kept, right) - P(kept, wrong) = 1 - p - q for a verifier that keeps what it labels alike.

    Holds for any joint law of class, label and verifier's label, however dependent: most kept labels are
    right exactly if p + q < 1. Hence p < p_star <=> p + q < 1, although phi, psi and p_star do depend on the
    dependence; for independent errors phi = 1 - q, psi = q and p_star = 1 - q. Broadcasts.
    Source: derived here: with A = P(y'=v=y), B = P(y'=v!=y), C = P(y'=y!=v), E = P(v=y!=y'), A+C = 1-p,
    A+E = 1-q and A+B+C+E = 1.
    """
    return 1 - probability("p", p) - probability("q", q)


def agreement_sign(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Sign of `agreement_margin`, 0 where p + q is 1 up to rounding: -1, 0 or 1. Broadcasts.

    Source: derived here (`agreement_margin`).
    """
    margin = agreement_margin(p, q)
    return np.where(np.abs(margin) < _TIE, 0.0, np.sign(margin))


def bisector_excess(angle_between: ArrayLike) -> FloatArray:
    """Excess chi = sin t/(pi - t), in [0, 1], of the kept second moment along the bisector of the two rules.

    E[xx'|kept] = I + chi (bis bis' - dif dif'), bis and dif the unit vectors along w_gen + w_ver and
    w_gen - w_ver.
    Source: derived here (Price's theorem).
    """
    t = angle("angle_between", angle_between)
    return np.sinc((np.pi - t) / np.pi)


def bisector_moment(angle_between: ArrayLike) -> FloatArray:
    """E[x y'|kept] along the bisector: h = sqrt(2/pi) cos(t/2)/(1 - t/pi), for t < pi; 0 across it.

    Source: derived here: y' times the keep indicator is (sign(x.w_gen) + sign(x.w_ver))/2.
    """
    t = _keeping(angle("angle_between", angle_between), angle_between)
    # cos(t/2) is the sine of half the supplement, so that t near pi loses no digits.
    return np.sqrt(np.pi / 2) * np.sinc((np.pi - t) / (2 * np.pi))


def bisector_coefficient(angle_between: ArrayLike) -> FloatArray:
    """Length of the least-squares coefficients of a fixed generator and verifier, along their bisector.

    |beta| = sqrt(2 pi) cos(t/2)/(pi - t + sin t), for t < pi. Every L2-regularised convex loss has the same
    direction, by reflection symmetry in dif.
    Source: derived here.
    """
    return bisector_moment(angle_between) / (1 + bisector_excess(angle_between))


def bisector_angle(theta_gen: ArrayLike, theta_ver: ArrayLike, angle_between: ArrayLike) -> FloatArray:
    """Angle in radians between the truth and the bisector of generator and verifier, for t < pi.

    cos = (cos t_g + cos t_v)/(2 cos(t/2)).
    Source: derived here.
    """
    g, v, t = checked_angles(theta_gen, theta_ver, angle_between)
    _keeping(t, angle_between)
    along = np.cos(g) + np.cos(v)
    # |w_gen + w_ver|^2 across the truth, as a sum of terms >= 0
    turn = np.sin((g + v + t) / 2) * np.sin((g + v - t) / 2)
    across = np.hypot(np.sin(g) - np.sin(v), 2 * np.sqrt(np.maximum(turn, 0)))
    return np.arctan2(across, along)


def bisector_accuracy_limit(
    theta_gen: ArrayLike, theta_ver: ArrayLike, angle_between: ArrayLike
) -> FloatArray:
    """Accuracy with unlimited rows from a fixed generator and verifier: 1 - (angle to the bisector)/pi.

    Above 1/2 exactly if theta_gen + theta_ver < pi, i.e. below the breakdown point, but no step: for
    orthogonal deviations the slope in p is -1/sqrt 2 at the crossing, for coplanar rules on one side
    1 - (p+q)/2; on opposite sides 1 - |p-q|/2 before and |p-q|/2 after. Even an oracle (theta_ver = 0)
    leaves an error of p/2. ValueError for angles that no three directions have and for angle_between = pi,
    where nothing is kept.
    Source: derived here.
    """
    return 1 - bisector_angle(theta_gen, theta_ver, angle_between) / np.pi


def _keeping(t: FloatArray, value: ArrayLike) -> FloatArray:
    require(t < np.pi, "angle_between", "< pi (something is kept)", value)
    return t


def fresh_rules_moment(theta_gen: ArrayLike, theta_ver: ArrayLike) -> FloatArray:
    """E[x y'|kept] along the truth where every row has its own random generator and verifier.

    (cos t_g + cos t_v)/[sqrt(2 pi) (1 - t/pi)], cos t = cos t_g cos t_v: then (y', kept) depends on x only
    through x.truth, so every convex loss converges to +-truth, with the sign of this moment: + for
    theta_gen + theta_ver < pi. Broadcasts; ValueError where nothing is kept.
    Source: derived here.
    """
    g, v = angle("theta_gen", theta_gen), angle("theta_ver", theta_ver)
    t = angle_between_rules(g, v)
    require(
        t < np.pi - ROUNDED_ANGLE,
        "theta_gen, theta_ver",
        "such that something is kept",
        (theta_gen, theta_ver),
    )
    return (np.cos(g) + np.cos(v)) / (np.sqrt(2 * np.pi) * (1 - t / np.pi))


def fresh_rules_accuracy_limit(theta_gen: ArrayLike, theta_ver: ArrayLike) -> FloatArray:
    """Accuracy with unlimited rows, each with its own random generator and verifier: 1, 0, or 1/2 in between.

    A step at theta_gen + theta_ver = pi, which is the breakdown point.
    Source: derived here (`fresh_rules_moment`).
    """
    fresh_rules_moment(theta_gen, theta_ver)
    return (1 + agreement_sign(np.asarray(theta_gen) / np.pi, np.asarray(theta_ver) / np.pi)) / 2
