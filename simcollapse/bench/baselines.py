"""The same experiment in NumPy, float64: one chain at a time, and vectorised over chains.

Both make what the engine's sample level makes: rows drawn and judged, the audit's counts, the fit, the error of
every round. The published scripts fit by the pseudo-inverse of X ([Kazdan24], code of arXiv 2410.16713) or of X'X
([Yi26], code of arXiv 2510.16657; faster); `np.linalg.solve` on the normal equations is faster still. All three are
measured.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from simcollapse.bench.cases import Case


class Outcome(NamedTuple):
    """What every round of every chain gave, each of shape (C, K + 1); counts are 0 in round 0, as in the engine."""

    squared_error: np.ndarray
    excess_risk: np.ndarray
    num_correct: np.ndarray
    num_kept: np.ndarray
    num_kept_correct: np.ndarray


def pseudo_inverse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares by the pseudo-inverse of X, shape (D,)."""
    return np.linalg.pinv(x) @ y


def pseudo_inverse_gram(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares by the pseudo-inverse of X'X, shape (D,)."""
    return np.linalg.pinv(x.T @ x) @ (x.T @ y)


def solve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares by the normal equations, shape (D,)."""
    return np.linalg.solve(x.T @ x, x.T @ y)


def one_at_a_time(
    case: Case, chains: int, rng: np.random.Generator, fit: Callable[..., np.ndarray] = pseudo_inverse
) -> Outcome:
    """C chains in a plain loop over chains and rounds."""
    out = _nothing(case, chains)
    truth, center, moment = case.truth, case.center, _second_moment(case)
    rows = _fixed_rows(case).rows if case.design == "fixed" else None
    norms = None if rows is None else _fixed_rows(case).norms
    for c in range(chains):
        coef = truth
        for k in range(case.rounds + 1):
            x = rng.standard_normal((case.n, case.dim)) if rows is None else rows
            y = x @ coef + rng.standard_normal(case.n)
            if k and case.verified:
                norm = np.linalg.norm(x, axis=1) if norms is None else norms
                bound = case.radius * norm + case.slack
                kept = np.abs(y - x @ center) <= bound
                correct = np.abs(y - x @ truth) <= bound
                out.num_kept[c, k] = kept.sum()
                out.num_correct[c, k] = correct.sum()
                out.num_kept_correct[c, k] = (kept & correct).sum()
                x, y = x[kept], y[kept]
            coef = fit(x, y)
            error = coef - truth
            out.squared_error[c, k] = error @ error
            out.excess_risk[c, k] = error @ moment @ error
    return out


LOOPS = {
    "loop": one_at_a_time,
    "loop_gram": functools.partial(one_at_a_time, fit=pseudo_inverse_gram),
    "loop_solve": functools.partial(one_at_a_time, fit=solve),
}


def vectorised(case: Case, chains: int, rng: np.random.Generator, block: int) -> Outcome:
    """C chains, `block` of them at a time as arrays with a chain axis."""
    blocks = [_block(case, min(block, chains - begin), rng) for begin in range(0, chains, block)]
    return Outcome(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def block_sizes(case: Case) -> list[int]:
    """Chains of one block of `vectorised` worth trying: rows of about 0.25, 1 and 4 MiB."""
    chain_bytes = 8 * case.n * (case.dim + 1 if case.design == "gaussian" else 4)
    return sorted({max(1, quarters * 2**18 // chain_bytes) for quarters in (1, 4, 16)})


def _block(case, chains, rng) -> Outcome:
    out = _nothing(case, chains)
    truth, center, moment = case.truth, case.center, _second_moment(case)
    coef = np.broadcast_to(truth, (chains, case.dim))
    for k in range(case.rounds + 1):
        rows = _DrawnRows(case, chains, rng) if case.design == "gaussian" else _GivenRows(case)
        y = rows.predict(coef) + rng.standard_normal((chains, case.n))
        weight = None
        if k and case.verified:
            bound = case.radius * rows.norm() + case.slack
            kept = np.abs(y - rows.predict(center)) <= bound
            correct = np.abs(y - rows.predict(truth)) <= bound
            out.num_kept[:, k] = kept.sum(axis=1)
            out.num_correct[:, k] = correct.sum(axis=1)
            out.num_kept_correct[:, k] = (kept & correct).sum(axis=1)
            weight = kept.astype(float)
            y *= weight
        coef = np.linalg.solve(rows.gram(weight), rows.cross(y)[:, :, None])[:, :, 0]
        error = coef - truth
        out.squared_error[:, k] = np.einsum("cd,cd->c", error, error)
        out.excess_risk[:, k] = np.einsum("cd,cd->c", error @ moment, error)
    return out


class _DrawnRows:
    """Fresh covariates for each of C chains, (C, N, D)."""

    def __init__(self, case, chains, rng):
        self._x = rng.standard_normal((chains, case.n, case.dim))

    def predict(self, coef):
        """(C, N), for one model (D,) or one per chain (C, D)."""
        return (self._x @ coef[..., None])[..., 0]

    def norm(self):
        return np.sqrt(np.einsum("cnd,cnd->cn", self._x, self._x))

    def gram(self, weight):
        """(C, D, D), rows counted with `weight` (C, N); None counts all."""
        weighted = self._x if weight is None else self._x * weight[:, :, None]
        return weighted.transpose(0, 2, 1) @ self._x

    def cross(self, y):
        """(C, D), from responses (C, N)."""
        return (self._x.transpose(0, 2, 1) @ y[:, :, None])[:, :, 0]


class _GivenRows:
    """The same for the rows (N, D) that all chains share."""

    def __init__(self, case):
        self._fixed = _fixed_rows(case)

    def predict(self, coef):
        return coef @ self._fixed.rows.T

    def norm(self):
        return self._fixed.norms

    def gram(self, weight):
        rows, _, products = self._fixed
        if weight is None:
            return (rows.T @ rows)[None]  # the same for all chains
        return (weight @ products).reshape(-1, rows.shape[1], rows.shape[1])

    def cross(self, y):
        return y @ self._fixed.rows


def _nothing(case: Case, chains: int) -> Outcome:
    shape = (chains, case.rounds + 1)
    return Outcome(np.zeros(shape), np.zeros(shape), *(np.zeros(shape, dtype=np.int64) for _ in range(3)))


class _FixedRows(NamedTuple):
    """What a fixed design lets one compute once."""

    rows: np.ndarray  # (N, D)
    norms: np.ndarray  # (N,)
    products: np.ndarray  # (N, D D), of pairs of covariates: one matrix product sums them for all chains


@functools.lru_cache(maxsize=1)
def _fixed_rows(case: Case) -> _FixedRows:
    rows = case.rows
    products = (rows[:, :, None] * rows[:, None, :]).reshape(case.n, -1)
    return _FixedRows(rows, np.linalg.norm(rows, axis=1), products)


def _second_moment(case: Case) -> np.ndarray:
    if case.design == "gaussian":
        return np.eye(case.dim)
    rows = _fixed_rows(case).rows
    return rows.T @ rows / case.n
