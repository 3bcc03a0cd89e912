"""Gauss quadrature rules of laws given by their moments or by many weighted points.

A rule of Q nodes has the first 2Q moments of the law (orders 0..2Q-1), so it integrates polynomials of
degree 2Q-1 exactly and smooth functions with an error that falls geometrically in Q. Leading axes are
batches. Source of all three: textbook (Golub and Welsch 1969; Gautschi, Orthogonal Polynomials, 2004,
sections 2.1 and 2.2).
"""

import numpy as np
from scipy.linalg import eigh_tridiagonal

from theory.arguments import FloatArray


def rule_from_jacobi(diagonal: FloatArray, off_diagonal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes and probabilities (..., Q) from the Jacobi matrix: diagonal (..., Q), beside it (..., Q-1)."""
    size = diagonal.shape[-1]
    if size > 25:  # from here on LAPACK's dense solver starts threads, which cost more than they save
        flat = zip(diagonal.reshape(-1, size), off_diagonal.reshape(-1, size - 1), strict=True)
        solved = [eigh_tridiagonal(*pair) for pair in flat]
        nodes = np.array([each[0] for each in solved]).reshape(diagonal.shape)
        return nodes, np.array([each[1][0] ** 2 for each in solved]).reshape(diagonal.shape)
    index = np.arange(size)
    jacobi = np.zeros((*diagonal.shape, size))
    jacobi[..., index, index] = diagonal
    jacobi[..., index[1:], index[:-1]] = off_diagonal
    jacobi[..., index[:-1], index[1:]] = off_diagonal
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, vectors[..., 0, :] ** 2


def rule_from_moments(moments: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rule of Q nodes (..., Q) of a standardised law, from its moments of orders 0..2Q-1 (..., 2Q).

    Chebyshev's algorithm. It loses about one digit per two orders, so it is meant for Q <= 10.
    """
    size = moments.shape[-1] // 2
    before, row = np.zeros_like(moments), moments
    diagonal, square = [moments[..., 1] / moments[..., 0]], [np.zeros_like(moments[..., 0])]
    for k in range(1, size):
        stop = 2 * size - k
        after = np.zeros_like(moments)
        after[..., k:stop] = (
            row[..., k + 1 : stop + 1]
            - diagonal[-1][..., None] * row[..., k:stop]
            - square[-1][..., None] * before[..., k:stop]
        )
        diagonal.append(after[..., k + 1] / after[..., k] - row[..., k] / row[..., k - 1])
        square.append(after[..., k] / row[..., k - 1])
        before, row = row, after
    return rule_from_jacobi(np.stack(diagonal, -1), np.sqrt(np.stack(square[1:], -1)))


def compress(points: FloatArray, weights: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Rule of `size` nodes (..., size) of the law with probabilities `weights` on `points` (..., P).

    Lanczos with full reorthogonalisation. A law on fewer than `size` distinct points keeps them, and gets
    nodes of probability 0.
    """
    mean = (weights * points).sum(-1, keepdims=True)
    spread = np.sqrt((weights * (points - mean) ** 2).sum(-1, keepdims=True))
    spread = np.where(spread > 0, spread, 1.0)
    standard = (points - mean) / spread
    basis = np.zeros((*points.shape, size))
    diagonal, off_diagonal = np.zeros((2, *points.shape[:-1], size))
    vector = np.sqrt(weights / weights.sum(-1, keepdims=True))
    for k in range(size):
        basis[..., k] = vector
        residual = standard * vector
        diagonal[..., k] = (residual * vector).sum(-1)
        known = basis[..., : k + 1]
        for _ in range(2):  # once leaves rounding errors of the size of the last vector, twice is enough
            overlap = known.swapaxes(-1, -2) @ residual[..., None]
            residual = residual - (known @ overlap)[..., 0]
        length = np.sqrt((residual**2).sum(-1, keepdims=True))
        more = length > 1e-12  # below that the residual is rounding: the points are used up
        off_diagonal[..., k] = np.where(more, length, 0.0)[..., 0]
        vector = np.where(more, residual / np.where(more, length, 1.0), 0.0)
    nodes, probabilities = rule_from_jacobi(diagonal, off_diagonal[..., :-1])
    return mean + spread * nodes, probabilities
