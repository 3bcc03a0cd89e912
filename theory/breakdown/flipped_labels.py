"""Independently flipped labels checked by a fixed linear verifier: limits that depend on the learner.

Features x ~ N(0, I); the generated label is sign(x.truth) flipped with probability p, whatever x is; kept are
the rows with label sign(x.w_ver), so kept labels are exactly the verifier's. theta_ver is the angle T in [0, pi]
radians between w_ver and the truth, and q = T/pi the verifier's error rate; its rates are phi = 1 - q, psi = q.
Accuracy is relative to Bayes labels. Learners: "least_squares", "averaging" (ridge penalty inf) and
"logistic" (unregularised logistic regression, hard-margin SVM or 0-1 loss).
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, choice, require
from theory.breakdown.domains import angle, probability
from theory.breakdown.rates import keep_rate

LEARNERS = ("least_squares", "averaging", "logistic")


def flipped_label_angle(p: ArrayLike, theta_ver: ArrayLike, learner: str = "least_squares") -> FloatArray:
    """Angle in [0, pi] radians between the truth and the limit direction of a learner with unlimited rows.

    With s = 1 - 2p, A = 1 + s (1 - 2T/pi), B = 2 s sin(T)/pi and bis, dif the unit vectors along
    truth + w_ver and truth - w_ver:

        least_squares   (1+s) cos(T/2)/(A+B) bis - (1-s) sin(T/2)/(A-B) dif
        averaging       s truth + w_ver
        logistic        w_ver for 0 < p < 1; the bisector of +-truth and w_ver for p = 0, 1

    Every direction lies in the plane of truth and w_ver, on the verifier's side. Arguments broadcast; p in
    [0, 1]; ValueError where nothing is kept (p = 0, T = pi or p = 1, T = 0).
    Source: derived here.
    """
    error, turn = np.broadcast_arrays(probability("p", p), angle("theta_ver", theta_ver))
    q = turn / np.pi
    require(keep_rate(error, 1 - q, q) > 0, "p, theta_ver", "such that something is kept", (p, theta_ver))
    name = choice("learner", learner, LEARNERS)
    if name == "averaging":
        return np.arctan2(np.sin(turn), 1 - 2 * error + np.cos(turn))
    if name == "logistic":
        return np.where(error == 0, turn / 2, np.where(error == 1, (np.pi + turn) / 2, turn))
    return _least_squares_angle(error, turn)


def _least_squares_angle(p: FloatArray, turn: FloatArray) -> FloatArray:
    # (A+B)/2 and (A-B)/2 without their common large terms: 1-p times one gap plus p times another
    q = turn / np.pi
    wide, narrow = np.sin(turn) / np.pi, (turn - np.sin(turn)) / np.pi
    plus = (1 - p) * (1 - q + wide) + p * narrow
    minus = (1 - p) * (1 - q - wide) + p * (q + wide)
    along = (1 - p) * np.cos(turn / 2)
    across = p * np.sin(turn / 2)
    # coefficients times plus * minus > 0, so that p = 0 at T = pi and the like need no limit
    return turn / 2 + np.arctan2(across * plus, along * minus)


def flipped_label_accuracy_limit(
    p: ArrayLike, theta_ver: ArrayLike, learner: str = "least_squares"
) -> FloatArray:
    """Accuracy with unlimited kept rows: 1 - (angle of `flipped_label_angle`)/pi.

    Smooth in p, and 1/2 is not crossed at the breakdown point 1 - q (see `flipped_label_crossing`).
    Arguments and errors as there.
    Source: derived here.
    """
    return 1 - flipped_label_angle(p, theta_ver, learner) / np.pi


def flipped_label_crossing(theta_ver: ArrayLike, learner: str = "least_squares") -> FloatArray:
    """Error rate p at which the accuracy with unlimited kept rows is 1/2, in (0, 1).

    averaging: p = (1 + cos T)/2. least_squares: p = (1-s)/2 with s the root in (-1, 1) of
    (e - fC) s^2 + (1 + Ce - f) s + C = 0, C = cos T, e = 1 - 2T/pi, f = 2 sin(T)/pi (negative for T < pi/2).
    Unregularised logistic regression never crosses for T != pi/2: ValueError. theta_ver strictly between 0
    and pi.
    Source: derived here.
    """
    turn = angle("theta_ver", theta_ver)
    require((turn > 0) & (turn < np.pi), "theta_ver", "strictly between 0 and pi", theta_ver)
    name = choice("learner", learner, LEARNERS[:2])
    if name == "averaging":
        return np.cos(turn / 2) ** 2
    cosine, e, f = np.cos(turn), 1 - 2 * turn / np.pi, 2 * np.sin(turn) / np.pi
    linear = 1 + cosine * e - f
    root = np.sqrt(np.maximum(linear**2 - 4 * (e - f * cosine) * cosine, 0))
    return 0.5 + cosine / (linear + root)  # (1-s)/2 for the smaller root in the form without cancellation
