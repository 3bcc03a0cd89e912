"""More than two classes: when the kept labels still teach the right class. Source: derived here.

Kept confusion R_kl = P(y' = l given y = k, kept). For well separated classes a consistent learner is right
exactly where the diagonal entry of every row is its largest (plurality). R_kk > 1/2 in every row suffices for
every error pattern; R_kk > 1/K is necessary, and suffices only for errors spread evenly.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, nonnegative, real, require, whole


def p_star_classes(phi: ArrayLike, psi: ArrayLike, classes: int) -> FloatArray:
    """Breakdown point for K classes whose errors are spread evenly: (K-1) phi/((K-1) phi + psi); broadcasts.

    There rho = 1/K. NaN at phi = psi = 0. With all errors on one wrong class it is that of K = 2.
    """
    phi, psi = _rate("phi", phi), _rate("psi", psi)
    others = whole("classes", classes, least=2) - 1
    with np.errstate(invalid="ignore"):
        return (others * phi / (others * phi + psi))[()]


def p_star_agreement(q: ArrayLike, classes: int) -> FloatArray:
    """The same for a verifier that keeps what agrees with its own label, wrong with chance q, spread evenly.

    phi = 1-q, psi = q/(K-1), errors independent of the generator's: (K-1)^2 (1-q)/((K-1)^2 (1-q) + q).
    """
    q = _rate("q", q)
    return p_star_classes(1 - q, q / (whole("classes", classes, least=2) - 1), classes)


def p_star_for_classes(p_star: ArrayLike, classes: int) -> FloatArray:
    """p*_K from the two-class p* = phi/(phi+psi): (K-1)s/((K-1)s + 1-s); increasing, so it maps intervals."""
    s = _rate("p_star", p_star)
    return p_star_classes(s, 1 - s, classes)


def kept_confusion(generated: ArrayLike, kept: ArrayLike) -> FloatArray:
    """R_kl from G_kl = P(y'=l given y=k) and V_kl = P(keep given y=k, y'=l), shapes (K, K); NaN in an empty row."""
    joint = nonnegative("generated", generated) * nonnegative("kept", kept)
    with np.errstate(invalid="ignore"):
        return joint / joint.sum(axis=-1, keepdims=True)


def plurality(confusion: ArrayLike) -> np.ndarray:
    """Whether each row's diagonal entry exceeds all its others, shape (K,); entries are shares or counts."""
    table = nonnegative("confusion", confusion)
    require(table.ndim == 2 and table.shape[0] == table.shape[1], "confusion", "of shape (K, K)", table.shape)
    others = np.where(np.eye(len(table), dtype=bool), -np.inf, table)
    return np.diagonal(table) > others.max(axis=1)


def _rate(name: str, value: ArrayLike) -> FloatArray:
    array = real(name, value)
    require((array >= 0) & (array <= 1), name, "in [0, 1]", value)
    return array
