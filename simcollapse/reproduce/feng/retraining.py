"""Least squares retrained on labels of its own predecessor, as a linear verifier keeps them: the predicted chain.

Only angles matter, so a chain is followed in a few directions: the truth, the verifier's deviation, and for every
round the direction of the noise that its rows added, a new one each time. Kept moments along these are exact
(`theory.breakdown.mixture`); noise across them is that of rows and dimensions in proportion, d/n small beyond the
first fit. So the prediction is for many dimensions: chains scatter about it, and its means are off by some 1e-3.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from theory import breakdown


class Predicted(NamedTuple):
    """By round 0..K; rates are those of the labels generated in the round, NaN in round 0."""

    truth_angle: np.ndarray  # of the fitted rule to the truth, radians
    verifier_angle: np.ndarray  # … to the verifier's rule
    p: np.ndarray
    phi: np.ndarray
    psi: np.ndarray


class _Pool(NamedTuple):
    """Sums over rows: of xx' and xy' along the followed directions, and the noise part of the latter."""

    rows: float
    second: np.ndarray  # (F, F)
    first: np.ndarray  # (F,)
    noise: np.ndarray  # (F,)


def predict(
    *,
    dim: int,
    separation: float,
    n_real: int,
    n_per_round: int,
    rounds: int,
    theta_ver: float | None,
    workflow: str,
) -> Predicted:
    """The chain for a verifier at an angle (None: every row is kept).

    separation 0 is x ~ N(0, I) with the truth a half-space, else the mixture's |mu|; labels are correct where they
    are the Bayes rule's. workflow: "replace",
    "accumulate", or "accumulate_subsample" of n_per_round rows.
    Source: derived here, from `breakdown.projected_ridge` and the moments of a fixed linear generator.
    """
    size = 2 + 2 * (rounds + 1)  # truth, verifier's deviation, and two noises a round
    verifier = np.zeros(size)
    verifier[:2] = (1.0, 0.0) if theta_ver is None else (np.cos(theta_ver), np.sin(theta_ver))
    mean = separation * np.eye(size)[0]
    empty = _Pool(0.0, np.zeros((size, size)), np.zeros(size), np.zeros(size))

    # real labels are the Bayes rule's: E[x sign(x.truth)] = E|N(separation, 1)| along the truth
    real_first = np.eye(size)[0] * (
        separation * (2 * ndtr(separation) - 1) + np.sqrt(2 / np.pi) * np.exp(-(separation**2) / 2)
    )
    pool = _add(empty, n_real, real_first, np.eye(size) + np.outer(mean, mean), dim, 0)
    models = [_fit(pool, dim, None, 0)]
    rates = [(np.nan,) * 3]
    for k in range(1, rounds + 1):
        model = models[-1]
        # Without a verifier every margin passes, whatever the rule.
        threshold = -np.inf if theta_ver is None else 0.0
        kept = breakdown.linear_generator_moments(mean, model, verifier, threshold)
        rates.append(_rates(mean, model, verifier, threshold, kept.keep))
        before = empty if workflow == "replace" else pool
        pool = _add(before, n_per_round * kept.keep, kept.first / kept.keep, kept.second / kept.keep, dim, k)
        models.append(_fit(pool, dim, n_per_round if workflow == "accumulate_subsample" else None, k))
    to_truth, to_verifier = (
        np.array([_angle(model, target) for model in models]) for target in (np.eye(size)[0], verifier)
    )
    return Predicted(to_truth, to_verifier, *np.array(rates).T)


def _add(pool: _Pool, rows: float, first: np.ndarray, second: np.ndarray, dim: int, k: int) -> _Pool:
    """The pool with rows of these moments; their noise points along the first new direction of round k."""
    together = _Pool(
        pool.rows + rows, pool.second + rows * second, pool.first + rows * first, pool.noise.copy()
    )
    signal = np.linalg.solve(together.second, together.first)
    residual = 1 - 2 * first @ signal + signal @ second @ signal
    together.noise[2 + 2 * k] = np.sqrt((dim - 1) * rows * residual)
    return together


def _fit(pool: _Pool, dim: int, subsample: int | None, k: int) -> np.ndarray:
    """Least-squares coefficients along the followed directions, scaled to length 1."""
    signal = np.linalg.solve(pool.second, pool.first)
    noise = np.linalg.solve(pool.second, pool.noise)
    rows = pool.rows if subsample is None else min(subsample, pool.rows)
    noise = noise / np.sqrt(1 - (dim - 1) / rows)  # the gain of `breakdown.noise_gain` without a penalty
    if rows < pool.rows:  # drawing some rows adds noise of its own, along the second new direction
        first, second = pool.first / pool.rows, pool.second / pool.rows
        residual = 1 - 2 * first @ signal + signal @ second @ signal
        noise[3 + 2 * k] = np.sqrt((dim - 1) * residual * (1 / rows - 1 / pool.rows))
    return (signal + noise) / np.linalg.norm(signal + noise)


def _rates(mean, model, verifier, threshold, keep) -> tuple[float, float, float]:
    """p, phi and psi of labels sign(x.model); a label is correct where it is the Bayes rule's, sign(x.truth)."""
    truth = np.eye(len(mean))[0]
    wrong = breakdown.linear_generator_moments(mean, model, -truth).keep  # disagrees with the truth
    if np.isneginf(threshold):
        return wrong, 1.0, 1.0
    if not np.any(mean):
        turns = _angle(model, truth), _angle(verifier, truth), _angle(model, verifier)
        shares = breakdown.linear_verifier_shares(*turns)
        return wrong, float(shares.right) / (1 - wrong), float(shares.wrong) / wrong
    return wrong, np.nan, np.nan


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    along = first @ second / np.linalg.norm(second) ** 2
    return float(np.arctan2(np.linalg.norm(first - along * second), along * np.linalg.norm(second)))
