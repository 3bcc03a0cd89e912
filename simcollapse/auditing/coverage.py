"""How often the intervals of an audit cover, by enumeration of every table that it can give: no simulation.

    python -m simcollapse.auditing.coverage

prints the table for the grid below; tests/auditing/test_coverage.py holds it to what is published.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from theory.breakdown import intervals

SIZES = (10, 20, 30, 50, 100, 200)  # rows of the audit
ERROR_RATES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)  # p
PHIS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
PSIS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9)

Interval = Callable[..., tuple[np.ndarray, np.ndarray]]


def _koopman(*table, level):
    return intervals.p_star_interval_score(*table, level=level, corrected=False)


METHODS: dict[str, Interval] = {
    "score": intervals.p_star_interval_score,
    "exact": intervals.p_star_interval_exact,
    "koopman": _koopman,
    "katz": intervals.p_star_interval_katz,
    "wald": intervals.p_star_interval_wald,
}


class Coverage(NamedTuple):
    """What an interval for p* does over a grid of truths, audits of one size."""

    method: str
    size: int  # rows, each wrong with chance p
    mean: float  # over the grid
    least: float
    worst: tuple[float, float, float]  # (p, phi, psi) where it is least
    width: float  # mean over tables and grid


def coverage(
    size: int,
    *,
    method: str = "score",
    level: float = 0.95,
    error_rates: Sequence[float] = ERROR_RATES,
    phis: Sequence[float] = PHIS,
    psis: Sequence[float] = PSIS,
) -> Coverage:
    """Exact coverage of p* in audits of `size` rows drawn at random, at every (p, phi, psi) of a grid.

    n_w ~ Bin(M, p), x_c ~ Bin(n_c, phi), x_w ~ Bin(n_w, psi): all (M+1)(M+2)(M+3)/6 tables, weighted by their
    probability. Tables without a kept row count: their interval is (0, 1).
    """
    table = all_tables(size)
    low, high = METHODS[method](*table, level=level)
    cells = list(itertools.product(error_rates, phis, psis))
    found, width = np.empty(len(cells)), np.empty(len(cells))
    for i, (p, phi, psi) in enumerate(cells):
        chance = table_chance(table, size, p, phi, psi)
        truth = phi / (phi + psi)
        found[i] = np.sum(chance * ((low <= truth) & (truth <= high)))
        width[i] = np.sum(chance * np.nan_to_num(high - low))
    at = int(np.argmin(found))
    return Coverage(method, size, float(found.mean()), float(found[at]), cells[at], float(width.mean()))


def all_tables(size: int) -> tuple[np.ndarray, ...]:
    """(kept_correct, correct, kept_wrong, wrong) of every audit of `size` rows, four arrays of one length."""
    wrong, kept_correct, kept_wrong = np.ogrid[: size + 1, : size + 1, : size + 1]
    n_w, x_c, x_w = np.nonzero((kept_correct <= size - wrong) & (kept_wrong <= wrong))
    return x_c, size - n_w, x_w, n_w


def table_chance(table: tuple[np.ndarray, ...], size: int, p: float, phi: float, psi: float) -> np.ndarray:
    """Probability of each of `all_tables(size)`."""
    x_c, n_c, x_w, n_w = table
    counts = np.arange(size + 1)
    wrong = stats.binom.pmf(counts, size, p)
    correct_kept = stats.binom.pmf(counts[:, None], counts, phi)  # [kept, of]
    wrong_kept = stats.binom.pmf(counts[:, None], counts, psi)
    return wrong[n_w] * correct_kept[x_c, n_c] * wrong_kept[x_w, n_w]


def main() -> None:
    """Print the table of coverage over the grid."""
    print("method   rows  mean    least   at (p, phi, psi)      mean width")
    for method, size in itertools.product(METHODS, SIZES):
        c = coverage(size, method=method)
        print(f"{method:8} {size:4}  {c.mean:.4f}  {c.least:.4f}  {c.worst!s:20}  {c.width:.3f}", flush=True)


if __name__ == "__main__":
    main()
