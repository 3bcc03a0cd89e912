"""Estimating a mean under any workflow: which batches each fit sees, and with which weights, is all that matters.

Batch b has n_b rows: of the truth, or of the model of an earlier round. Fit k is a weighted mean of the batches' means,
    theta_k = sum_b W[k, b] (theta_{maker(b)} + eps_b),   eps_b ~ N(0, sigma^2/n_b),   theta_{real} = truth,
so theta_k - truth = sum_b C[k, b] eps_b with C[k] = W[k] + sum_b W[k, b] C[maker(b)], and
    E|theta_k - truth|^2 = sigma^2 sum_b C[k, b]^2/n_b.
Exact for a mean with known variance, and for least squares on a design that is reused every round (each coefficient of
an orthogonal one is a mean). `replace`, `accumulate`, windows, deleted rows and fresh real rows are choices of W.
Source: derived here; for replace and accumulate the sums of [Kazdan24] (arXiv 2410.16713v4) come out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, finite, positive_scalar, require, whole


class Batch(NamedTuple):
    """Rows made together."""

    rows: float  # n_b > 0
    maker: int | None  # round whose model made them; None: the truth


def mean_mse_exact(*, sigma: float, batches: Sequence[Batch], weights: ArrayLike) -> FloatArray:
    """Exact E|theta_k - truth|^2 of a mean, rounds 0..K, shape (K+1,), unit of sigma squared.

    Args:
        sigma: sd of a row about its model's mean.
        batches: the batches, B of them.
        weights: (K+1, B), >= 0, weight of each batch in each fit; a row is divided by its sum. A fit may only see
            batches of models before it.

    Raises:
        ValueError: a shape or value outside this.
    """
    sigma, table = positive_scalar("sigma", sigma), finite("weights", weights)
    right = table.ndim == 2 and table.shape[1] == len(batches)
    require(right, "weights", f"of shape (K+1, {len(batches)})", table.shape)
    require(
        (table >= 0).all() and (table.sum(axis=1) > 0).all(),
        "weights",
        ">= 0, and > 0 somewhere in each row",
        table,
    )
    table = table / table.sum(axis=1, keepdims=True)
    makers = np.array([-1 if batch.maker is None else batch.maker for batch in batches])
    generated = makers >= 0
    gains = np.zeros_like(table)
    for k, row in enumerate(table):
        early = not np.any((row > 0) & (makers >= k))
        require(early, "weights", f"0 for batches of models not before fit {k}", row)
        gains[k] = row + row[generated] @ gains[makers[generated]]
    rows = np.array([positive_scalar("rows", batch.rows) for batch in batches])
    return sigma**2 * (gains**2 / rows).sum(axis=1)


def rounds_of(n_real: float, n_per_round: float, rounds: int) -> list[Batch]:
    """A batch of real rows, then one of each model: the batches of chains that keep to one generated batch a round."""
    return [Batch(n_real, None), *(Batch(n_per_round, k) for k in range(rounds))]


def accumulated(batches: Sequence[Batch]) -> FloatArray:
    """Weights (K+1, K+1) of `accumulate`: each row of each batch so far counts alike."""
    rows = np.array([batch.rows for batch in batches])
    return np.tril(np.tile(rows, (len(rows), 1)))


def windowed(batches: Sequence[Batch], *, rounds: int, keep_real: bool = False) -> FloatArray:
    """Weights (K+1, K+1) of a sliding window over the latest `rounds` batches, the real one staying if `keep_real`."""
    table = accumulated(batches)
    age = np.subtract.outer(np.arange(len(batches)), np.arange(len(batches)))
    inside = age < rounds
    if keep_real:
        inside[:, 0] = True
    return np.where(inside, table, 0.0)


def deleted_mse_exact(
    *, sigma: float, n_real: float, n_per_round: float, rounds: int, at: int, share: float = 1.0
) -> FloatArray:
    """Exact E|theta_k - truth|^2 of accumulating when `share` of the real rows is lost from fit `at` on, shape (K+1,).

    Bounded in k whatever is deleted: what is kept are rows of the models before, and their errors average out.
    """
    rounds, at = whole("rounds", rounds), whole("at", at, least=1)
    require(0 <= share <= 1, "share", "in [0, 1]", share)
    lost = share * positive_scalar("n_real", n_real)
    generated = rounds_of(n_real, n_per_round, rounds)[1:]
    real = [Batch(part, None) for part in (n_real - lost, lost) if part > 0]
    batches = [*real, *generated]
    table = np.zeros((rounds + 1, len(batches)))
    for k in range(rounds + 1):
        table[k, : len(real)] = [batch.rows for batch in real]
        table[k, len(real) : len(real) + k] = n_per_round
        if k >= at and lost > 0:
            table[k, len(real) - 1] = 0.0
    return mean_mse_exact(sigma=sigma, batches=batches, weights=table)


def subsampled_mse_recursion(*, sigma: float, n_per_round: int, rounds: int) -> FloatArray:
    """Exact E|theta_k - truth|^2 of a mean under accumulate-subsample, rounds 0..K, shape (K+1,).

    n rows a round, fits of n rows drawn from all so far. With N = n j rows in the pool of fit j-1 (j counts from 1),
    V the pool's variance, P the squared error of its mean and v = (j-1)/(N-1) the share of V that drawing adds:
        mse = P + V v,   P' = P + (V v + sigma^2/n)/(j+1)^2,
        V' = V [1 - (1-v)/(j+1) - v/(j+1)^2] + sigma^2 [1/(j+1) - 1/(n (j+1)^2)],
    from P = sigma^2/n, V = sigma^2 (1 - 1/n). Source: derived here (WORKFLOWS.md B6).
    """
    variance = positive_scalar("sigma", sigma) ** 2
    n, rounds = whole("n_per_round", n_per_round, least=2), whole("rounds", rounds)
    error, pool, out = variance / n, variance * (1 - 1 / n), []
    for j in range(1, rounds + 2):
        drawn = pool * (j - 1) / (n * j - 1)
        out.append(error + drawn)
        share, ahead = (j - 1) / (n * j - 1), j + 1
        error += (drawn + variance / n) / ahead**2
        pool = pool * (1 - (1 - share) / ahead - share / ahead**2) + variance * (
            1 / ahead - 1 / (n * ahead**2)
        )
    return np.array(out)
