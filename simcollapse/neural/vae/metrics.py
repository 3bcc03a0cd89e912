"""How far generated images are from real ones, in a feature space. NumPy, float64."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

NEIGHBOURS = 5  # Source: Naeem et al., Reliable fidelity and diversity metrics, arXiv 2002.09797


class Moments(NamedTuple):
    """Of features, (N, F)."""

    mean: np.ndarray  # (F,)
    covariance: np.ndarray  # (F, F)


def moments(features: np.ndarray) -> Moments:
    """Mean and covariance (divided by N - 1) of features, (N, F), N >= 2."""
    features = np.asarray(features, dtype=float)
    return Moments(features.mean(axis=0), np.cov(features, rowvar=False))


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^{1/2} C2 C1^{1/2})^{1/2}), the squared Wasserstein-2 distance of two Gaussians.

    Source: Dowson and Landau 1982; Heusel et al., arXiv 1706.08500, with Inception features. Here the features are
    those of a classifier trained on the same data set, so values compare within this program only.
    """
    root = _root(first.covariance)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second.covariance @ root), 0, None)).sum()
    shift = first.mean - second.mean
    return float(shift @ shift + np.trace(first.covariance) + np.trace(second.covariance) - 2 * cross)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def neighbour_metrics(real: np.ndarray, made: np.ndarray, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density and coverage from features (N, F) and (M, F), by balls to the k-th neighbour.

    precision: share of made rows within a real row's ball; recall: share of real rows within a made row's ball;
    density: real balls around a made row, over k; coverage: share of real rows whose ball holds a made row.
    Low recall and coverage at high precision and density is mode collapse. Source: Kynkäänniemi et al., arXiv
    1904.06991 (precision, recall); Naeem et al., arXiv 2002.09797 (density, coverage).
    """
    real_radius = _radius(real, neighbours)
    made_radius = _radius(made, neighbours)
    distance = cdist(real, made)
    inside = distance < real_radius[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((distance < made_radius[None, :]).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / neighbours),
        "coverage": float((distance.min(axis=1) < real_radius).mean()),
    }


def _radius(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance of each row to its k-th nearest other row."""
    return np.partition(cdist(features, features), neighbours, axis=1)[:, neighbours]


def entropy(labels: np.ndarray, classes: int) -> float:
    """Entropy of the classes' shares, nats; log(classes) where all are as frequent."""
    share = np.bincount(labels, minlength=classes) / len(labels)
    return float(-np.sum(share[share > 0] * np.log(share[share > 0])))
