"""The same chains in plain NumPy, float64, one at a time, as the published scripts make them ([Kazdan24], code).

Every round draws its rows from the last fit; `accumulate` concatenates them to the rows before, and
`accumulate_subsample` then draws N of those without replacement. The density estimate is scikit-learn's
`KernelDensity`. Counts of outcomes are added up rather than concatenated, and drawn from a pool as counts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.neighbors import KernelDensity

from simcollapse.bench.generative import BANDWIDTH, GenerativeCase

METRICS = {  # what each loop records of every round, by the engine's names
    "gaussian": ("squared_error", "trace", "log_det"),
    "kde": ("nll", "trace", "squared_error"),
    "discrete": ("heterozygosity", "entropy", "survivors"),
    "linear_regression": ("squared_error", "excess_risk"),
}


def one_at_a_time(case: GenerativeCase, chains: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The metrics of C chains in a plain loop over chains and rounds, each of shape (C, K + 1)."""
    run = _CHAINS[case.task]
    out = np.array([run(case, rng) for _ in range(chains)])  # (C, K + 1, metrics)
    return {name: out[:, :, i] for i, name in enumerate(METRICS[case.task])}


def _gaussian(case: GenerativeCase, rng: np.random.Generator) -> list[tuple[float, ...]]:
    mean, covariance = np.zeros(case.dim), np.eye(case.dim)
    pool, path = _Rows(case, rng), []
    for _ in range(case.rounds + 1):
        drawn = rng.multivariate_normal(mean, covariance, case.n, check_valid="ignore")
        (rows,) = pool.seen(drawn)
        mean = rows.mean(axis=0)
        covariance = np.atleast_2d(np.cov(rows, rowvar=False, bias=True))
        log_det = np.linalg.slogdet(covariance)[1] if len(rows) > case.dim else np.nan
        path.append((mean @ mean, np.trace(covariance) / case.dim, log_det))
    return path


def _kde(case: GenerativeCase, rng: np.random.Generator) -> list[tuple[float, ...]]:
    held_out, pool, path = case.held_out, _Rows(case, rng), []
    drawn: Any = rng.standard_normal((case.n, case.dim))
    for k in range(case.rounds + 1):
        (rows,) = pool.seen(drawn)
        model = KernelDensity(bandwidth=BANDWIDTH).fit(rows)
        nll = -model.score_samples(held_out).mean()
        mean = rows.mean(axis=0)
        path.append((nll, rows.var(axis=0).mean() + BANDWIDTH**2, mean @ mean))
        if k < case.rounds:
            drawn = model.sample(case.n, random_state=int(rng.integers(2**31)))
    return path


def _discrete(case: GenerativeCase, rng: np.random.Generator) -> list[tuple[float, ...]]:
    share, pool, path = np.full(case.dim, 1 / case.dim), np.zeros(case.dim, dtype=np.int64), []
    for k in range(case.rounds + 1):
        count = rng.multinomial(case.n, share)
        if case.workflow != "replace":
            pool = pool + count
            count = pool
        if case.workflow == "accumulate_subsample" and k:
            count = rng.multivariate_hypergeometric(pool, case.n)
        share = count / count.sum()
        there = share[share > 0]
        path.append((1 - share @ share, -(there @ np.log(there)), len(there)))
    return path


def _linear_regression(case: GenerativeCase, rng: np.random.Generator) -> list[tuple[float, ...]]:
    coef, design, pool, path = case.truth, case.rows, _Rows(case, rng), []
    moment = design.T @ design / case.n
    for _ in range(case.rounds + 1):
        y = design @ coef + rng.standard_normal(case.n)
        x, y = pool.seen(design, y)
        coef = np.linalg.lstsq(x, y, rcond=None)[0]
        error = coef - case.truth
        path.append((error @ error, error @ moment @ error))
    return path


class _Rows:
    """Rows so far, and those of them that a fit sees."""

    def __init__(self, case: GenerativeCase, rng: np.random.Generator):
        self._case, self._rng = case, rng
        self._held: tuple[np.ndarray, ...] = ()

    def seen(self, *drawn: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the fit after these rows sees: columns of the data that belong together."""
        first = not self._held
        if self._case.workflow == "replace":
            return drawn
        self._held = (
            drawn if first else tuple(np.concatenate(pair) for pair in zip(self._held, drawn, strict=True))
        )
        if self._case.workflow == "accumulate" or first:
            return self._held
        chosen = self._rng.choice(len(self._held[0]), self._case.n, replace=False)
        return tuple(held[chosen] for held in self._held)


_CHAINS: dict[str, Callable[[GenerativeCase, np.random.Generator], list[tuple[float, ...]]]] = {
    "gaussian": _gaussian,
    "kde": _kde,
    "discrete": _discrete,
    "linear_regression": _linear_regression,
}
