"""The accuracy that theory predicts for least squares on N generated rows, x ~ N(0, I), truth a half-space.

Rows and dimensions in proportion (`theory.breakdown.ridge`), so off by a few 1e-3 in tens of dimensions.
"""

import numpy as np

from theory import breakdown


def accuracy(reading: str, p: float, q: float, rows: float, dim: int, ridge: float = 0.0) -> float:
    """Accuracy relative to the truth's labels, error rates p of the generator and q of the verifier.

    rows are generated ones; the verifier keeps its share of them. NaN where fewer are kept than there are
    dimensions: least squares has no unique solution then.
    """
    if reading == "R1":
        keep = float(breakdown.keep_rate(p, 1 - q, q))
        if keep * rows <= dim:
            return float("nan")
        quality = float(breakdown.signed_quality(p, 1 - q, q))
        return breakdown.bayes_label_ridge_accuracy(quality, ridge, (dim - 1) / (keep * rows))
    first, second, keep = _kept_moments(reading, p, q)
    if keep * rows <= dim:
        return float("nan")
    known = len(first)
    limit = breakdown.projected_ridge(second, first, ridge, (dim - known) / (keep * rows))
    return breakdown.bayes_accuracy_proportional(limit.along, limit.across, np.eye(known)[0])


def _kept_moments(reading: str, p: float, q: float) -> tuple[np.ndarray, np.ndarray, float]:
    """E[x y'|kept], E[xx'|kept] in the directions that carry labels and verdicts, the truth first; keep rate."""
    g, v = np.pi * p, np.pi * q
    if reading == "R2":
        verifier = np.array([np.cos(v), np.sin(v)])
        found = breakdown.flipped_bayes_moments(p, np.zeros(2), np.array([1.0, 0.0]), verifier)
    else:
        generator, verifier = (
            np.array([np.cos(g), np.sin(g), 0.0]),
            np.array([np.cos(v), 0.0, np.sin(v)]),
        )
        found = breakdown.linear_generator_moments(np.zeros(3), generator, verifier)
    first, second = found.first / found.keep, found.second / found.keep
    if reading == "R4":  # deviations are anew in every row: only the truth's direction is left
        first, second = first[:1], second[:1, :1]
    return first, second, found.keep


def limit(reading: str, p: np.ndarray, q: float) -> np.ndarray:
    """Accuracy with unlimited rows; NaN where nothing is kept."""
    out = np.full(len(p), np.nan)
    for i, rate in enumerate(p):
        if rate < 1 or q > 0:
            out[i] = breakdown.limit_accuracy(reading, np.pi * rate, np.pi * q)
    return out
