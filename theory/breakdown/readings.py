"""Four readings of "a generator and a verifier", and the accuracy each predicts for unlimited data.

One pair of angles (generator theta_gen, verifier theta_ver, both to the truth, radians in [0, pi]) gives error
rates p = theta_gen/pi and q = theta_ver/pi; what a learner converges to depends on how errors arise.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, choice
from theory.breakdown.domains import angle
from theory.breakdown.flipped_labels import (
    LEARNERS,
    flipped_label_accuracy_limit,
    flipped_label_crossing,
)
from theory.breakdown.linear import (
    agreement_sign,
    angle_between_rules,
    bisector_accuracy_limit,
    fresh_rules_accuracy_limit,
)


class Reading(StrEnum):
    """How labels and verdicts come about. Features x ~ N(0, I), truth sign(x.truth), agreement verifier."""

    R1 = "R1"  # labels flipped with rate p, verifier's errors with rate q, both independent of x
    R2 = "R2"  # labels flipped with rate p independent of x; verifier a fixed linear rule
    R3 = "R3"  # labels from a fixed linear rule; verifier a fixed linear rule
    R4 = "R4"  # as R3, with a fresh random generator and verifier for every row


_NAMES = tuple(reading.value for reading in Reading)


def limit_accuracy(
    reading: str,
    theta_gen: ArrayLike,
    theta_ver: ArrayLike,
    *,
    alignment: str | ArrayLike = "orthogonal",
    learner: str = "least_squares",
) -> FloatArray:
    """Accuracy relative to Bayes labels with unlimited kept rows, in [0, 1].

        R1  1 if p + q < 1, else 0 (1/2 at p + q = 1)    a step at p_star = 1 - q, for every learner
        R2  between truth and verifier                   smooth or flat; 1/2 elsewhere; see `flipped_labels`
        R3  1 - (angle to the bisector)/pi               1/2 at p + q = 1, no step; see `linear`
        R4  as R1                                        a step at p_star, which is p + q = 1

    With a finite number of rows per dimension each has the same place and is smooth (`ridge`). `alignment`
    of the two deviations (see `linear.angle_between_rules`) matters for R3 only; `learner`
    ("least_squares", "averaging", "logistic") for R2 only. Angles broadcast; ValueError for angles outside
    [0, pi] and where nothing is kept.
    Source: derived here; R1 is [Feng24], Theorem 4.2.
    """
    name = choice("reading", reading, _NAMES)
    choice("learner", learner, LEARNERS)
    g, v = angle("theta_gen", theta_gen), angle("theta_ver", theta_ver)
    if name == Reading.R1:
        return (1 + agreement_sign(g / np.pi, v / np.pi)) / 2
    if name == Reading.R2:
        return flipped_label_accuracy_limit(g / np.pi, v, learner)
    if name == Reading.R3:
        return bisector_accuracy_limit(g, v, angle_between_rules(g, v, alignment))
    return fresh_rules_accuracy_limit(g, v)


def limit_crossing(reading: str, theta_ver: ArrayLike, *, learner: str = "least_squares") -> FloatArray:
    """Error rate p at which `limit_accuracy` passes 1/2.

    1 - q, the breakdown point of independent errors, for R1, R3 and R4; `flipped_label_crossing` for R2.
    Source: derived here.
    """
    name = choice("reading", reading, _NAMES)
    v = angle("theta_ver", theta_ver)
    return flipped_label_crossing(v, learner) if name == Reading.R2 else 1 - v / np.pi


def has_step(reading: str) -> bool:
    """Whether the limit is a 0/1 step in p for every learner: R1 and R4.

    R3 jumps only for coplanar rules on opposite sides of the truth, and from 1 to 0 only at p = q = 1/2.
    Source: derived here.
    """
    return choice("reading", reading, _NAMES) in (Reading.R1, Reading.R4)
