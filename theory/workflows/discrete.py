"""A distribution over m outcomes refitted to its own draws (empirical frequencies), without a verifier.

p is the true distribution, p_k the model of round k; round 0 draws n_0 = n_real real points, round k >= 1
draws n_k points from p_{k-1}. Rounds count from 0; the pages count fits from 1, so their k is k + 1 here.
Results concern

* heterozygosity H(p) = 1 - sum p_i^2, the chance that two draws differ. The same factor multiplies each
  expected product p_i p_j of different outcomes; E p_k = p always.
* surviving outcomes: how many have p_k,i > 0.
* fixation: p_k is one outcome, for good. Outcome i is that one with probability p_i.

Expected entropy has no closed form. Under `replace` the points of round k, traced back to round 0, have a random
number of distinct ancestors, each an independent draw of p: a points have as many parents as a balls occupy
of n_{k-1} boxes. The functions that use this take time and memory of order n^2 for n points per round.

probabilities: shape (m,), >= 0, sum 1. ValueError for an argument out of range.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular
from scipy.special import gamma, log1p, poch, rgamma, xlog1py, xlogy

from theory.arguments import FloatArray, counts, nonnegative, positive_scalar, require, whole

_SUM_ERROR = 1e-6  # decimals and float32 pass as probabilities; what remains is divided out


def _distribution(value: ArrayLike) -> FloatArray:
    """Checked probabilities with sum 1 to rounding, shape (m,)."""
    array = nonnegative("probabilities", value)
    require(array.ndim == 1, "probabilities", "a vector of shape (m,)", f"an array of shape {array.shape}")
    total = array.sum()
    require(abs(total - 1) <= _SUM_ERROR, "probabilities", "numbers with sum 1", f"sum {total}")
    return array / total


def _rows(n_real: int, n_per_round: ArrayLike, rounds: int, *, least_real: int = 1) -> FloatArray:
    """Points drawn in rounds 0..K, whole and finite, shape (K+1,)."""
    real = whole("n_real", n_real, least=least_real)
    later = counts("n_per_round", n_per_round, whole("rounds", rounds), integer=True)
    require(np.isfinite(later), "n_per_round", "finite", n_per_round)
    return np.concatenate([[real], later])


def heterozygosity(probabilities: ArrayLike) -> float:
    """H(p) = 1 - sum p_i^2, in [0, 1 - 1/m]."""
    p = _distribution(probabilities)
    return float(np.sum(p * (1 - p)))


def replace_heterozygosity_exact(
    *, probabilities: ArrayLike, n_real: int, n_per_round: ArrayLike, rounds: int
) -> FloatArray:
    """Exact E H(p_k) under `replace`, rounds 0..K, shape (K+1,): H(p) prod_{j=0..k} (1 - 1/n_j).

    It stays above 0 for ever exactly if sum 1/n_j converges (and no n_j is 1).
    Source: Wright-Fisher theory; unequal counts derived here, WORKFLOWS D1 and A19.
    """
    rows = _rows(n_real, n_per_round, rounds)
    return heterozygosity(probabilities) * np.exp(np.cumsum(log1p(-1 / rows)))


def accumulate_heterozygosity_exact(
    *, probabilities: ArrayLike, n_real: int, n_per_round: ArrayLike, rounds: int
) -> FloatArray:
    """Exact E H(p_k) under `accumulate`, rounds 0..K, shape (K+1,): H(p) prod_{j=0..k} (1 - n_j/N_j^2).

    N_j = n_0 + ... + n_j is the pool of round j. At least H(p) (1 - 2/n_real) for any counts.
    Source: derived here, WORKFLOWS D2 and A18 (a Polya urn fed in batches).
    """
    rows = _rows(n_real, n_per_round, rounds)
    pool = np.cumsum(rows)
    return heterozygosity(probabilities) * np.exp(np.cumsum(log1p(-rows / pool**2)))


def accumulate_heterozygosity_limit(*, probabilities: ArrayLike, n_real: int, n_per_round: int) -> float:
    """Limit of `accumulate_heterozygosity_exact` for k -> inf with a constant n_per_round = n: a plateau.

    H(p) (1 - 1/n_0) Gamma(r+1)^2 / [Gamma(r+1+a) Gamma(r+1-a)], r = n_0/n, a = 1/sqrt(n). For n_0 = n it is
    H(p) sin(pi a)/(pi a); for n = 1, H(p) (n_0-1)/(n_0+1).
    Source: derived here, WORKFLOWS D2 and A18; n = 1 is the classical Polya urn.
    """
    real, rows = whole("n_real", n_real, least=1), whole("n_per_round", n_per_round, least=1)
    start, step = real / rows + 1, rows**-0.5
    later = 1 / (poch(start, step) * poch(start, -step))
    return float(heterozygosity(probabilities) * (1 - 1 / real) * later)


def accumulate_subsample_heterozygosity_exact(
    *, probabilities: ArrayLike, n_real: int, n_per_round: ArrayLike, rounds: int, budget: int | None = None
) -> FloatArray:
    """Exact E H(p_k) under `accumulate_subsample`, rounds 0..K, shape (K+1,).

    Model k is fitted to s_k = min(budget, N_k) points drawn without replacement from the pool of N_k; budget
    is n_real if not given. With pool heterozygosity H(p) V_k and b = n_{k+1}:

        E H(p_k) = H(p) V_k u_k,   u_k = (s_k-1) N_k / [s_k (N_k-1)],   V_0 = 1 - 1/n_0,
        V_{k+1} = V_k {1 - (b/N_{k+1})^2 [(N_k-s_k)/(s_k (N_k-1)) + u_k/b]}.

    Equal counts n: H(p) (1-1/n) prod_{j=2..k+1} [1 - (3n-1)/(n j (n j - 1))]. n_real >= 2.
    Source: derived here, WORKFLOWS D3 and A17.
    """
    rows = _rows(n_real, n_per_round, rounds, least_real=2)
    limit = rows[0] if budget is None else whole("budget", budget, least=1)
    pool = np.cumsum(rows)
    fitted = np.minimum(limit, pool)
    kept = (fitted - 1) * pool / (fitted * (pool - 1))
    spread = (pool - fitted) / (fitted * (pool - 1))
    loss = (rows[1:] / pool[1:]) ** 2 * (spread[:-1] + kept[:-1] / rows[1:])
    pooled = (1 - 1 / rows[0]) * np.cumprod(np.concatenate([[1.0], 1 - loss]))
    return heterozygosity(probabilities) * pooled * kept


def accumulate_subsample_heterozygosity_limit(*, probabilities: ArrayLike, n_per_round: int) -> float:
    """Limit of `accumulate_subsample_heterozygosity_exact`, k -> inf, n_real = n_per_round = budget = n.

    H(p) (1-1/n) Gamma(2-1/n) / [Gamma(2-r+) Gamma(2-r-)], r± = [1 ± sqrt(12n-3)]/(2n): a plateau, about
    H(p) [1 - (pi^2/2 - 2)/n].
    Source: derived here, WORKFLOWS D3 and A15.
    """
    n = whole("n_per_round", n_per_round, least=1)
    roots = (1 + np.sqrt(12 * n - 3) * np.array([1, -1])) / (2 * n)
    later = gamma(2 - 1 / n) * np.prod(rgamma(2 - roots))
    return float(heterozygosity(probabilities) * (1 - 1 / n) * later)


@lru_cache(maxsize=2)  # rounds of equal size share a table
def _occupancy(balls: int, boxes: int) -> FloatArray:
    """P(a balls occupy j of the boxes), a = 1..balls down, j = 1..min(balls, boxes) across."""
    occupied = np.arange(1.0, min(balls, boxes) + 1)
    hit, miss = occupied / boxes, 1 - occupied / boxes
    table = np.zeros((balls, len(occupied)))
    table[0, 0] = 1
    for a in range(1, balls):
        table[a] = table[a - 1] * hit
        table[a, 1:] += table[a - 1, :-1] * miss[:-1]
    table.flags.writeable = False
    return table


def _over_ancestors(of_count: Callable[[FloatArray], FloatArray], rows: FloatArray) -> FloatArray:
    """E of_count(ancestors in round 0 of all points of round k), rounds 0..K, shape (K+1,)."""
    sizes = [int(n) for n in rows]
    path = [of_count(rows[:1])[0]]
    values = of_count(np.arange(1.0, min(sizes[:2]) + 1))
    for boxes, balls in pairwise(sizes):
        table = _occupancy(balls, boxes)
        values = table @ values[: table.shape[1]]
        path.append(values[-1])
    return np.array(path)


def _outcomes_drawn(p: FloatArray, draws: FloatArray) -> FloatArray:
    """E number of different outcomes in that many draws, sum_i [1 - (1-p_i)^a]; shape of draws."""
    return -np.expm1(xlog1py(draws[:, None], -p)).sum(axis=1)


def _several_drawn(p: FloatArray, draws: FloatArray) -> FloatArray:
    """P(the draws are not all equal), 1 - sum_i p_i^a without cancellation; shape of draws."""
    return -(p * np.expm1(xlogy(draws[:, None] - 1, p))).sum(axis=1)


def accumulate_survivors_exact(*, probabilities: ArrayLike, n_real: int, rounds: int) -> FloatArray:
    """Exact expected number of surviving outcomes under `accumulate`, rounds 0..K, shape (K+1,).

    sum_i [1 - (1-p_i)^n_real] in every round: what round 0 saw stays in the pool. The entry of round 0 holds
    for every workflow.
    Source: derived here, WORKFLOWS D4.
    """
    real = whole("n_real", n_real, least=1)
    seen = _outcomes_drawn(_distribution(probabilities), np.array([float(real)]))
    return np.repeat(seen, whole("rounds", rounds) + 1)


def replace_survivors_exact(
    *, probabilities: ArrayLike, n_real: int, n_per_round: ArrayLike, rounds: int
) -> FloatArray:
    """Exact expected number of surviving outcomes under `replace`, rounds 0..K, shape (K+1,).

    sum_i [1 - E (1-p_i)^A], A the distinct ancestors in round 0 of the n_k points of round k. Close to 2n/k for
    m >> n and 1 << k << n.
    Source: derived here, WORKFLOWS D4.
    """
    p, rows = _distribution(probabilities), _rows(n_real, n_per_round, rounds)
    return _over_ancestors(lambda draws: _outcomes_drawn(p, draws), rows)


def replace_unfixed_exact(
    *, probabilities: ArrayLike, n_real: int, n_per_round: ArrayLike, rounds: int
) -> FloatArray:
    """Exact P(at least two outcomes survive) under `replace`, rounds 0..K, shape (K+1,).

    1 - sum_i E p_i^A, A as in `replace_survivors_exact`; accurate far into the tail, which decays as (1-1/n)^k.
    It is P(T > k) for the round T of fixation.
    Source: derived here, WORKFLOWS D5.
    """
    p, rows = _distribution(probabilities), _rows(n_real, n_per_round, rounds)
    return _over_ancestors(lambda draws: _several_drawn(p, draws), rows)


def replace_fixation_time_exact(*, probabilities: ArrayLike, n_real: int, n_per_round: int) -> float:
    """Exact expected round of fixation E T under `replace`, 0 if the real draws are all equal.

    E T = sum_k P(T > k) over `replace_unfixed_exact`, summed by one triangular solve f = g + A f with A the
    occupancy matrix. The page counts fits from 1: its E T is one more.
    Source: derived here, WORKFLOWS D5.
    """
    p = _distribution(probabilities)
    real, n = whole("n_real", n_real, least=1), whole("n_per_round", n_per_round, least=1)
    at_real = _several_drawn(p, np.array([float(real)]))[0]
    if n == 1:  # one point is fixed from round 1 on
        return float(at_real)
    to_real = _occupancy(n, real)
    after = to_real @ _several_drawn(p, np.arange(1.0, to_real.shape[1] + 1))
    several = slice(1, None)  # one ancestor is the absorbing state
    chain = np.eye(n - 1) - _occupancy(n, n)[several, several]
    return float(at_real + solve_triangular(chain, after[several], lower=True)[-1])


def replace_fixation_time_asymptotic(*, probabilities: ArrayLike, n_per_round: float) -> float:
    """Expected round of fixation under `replace` for n -> inf, n_real = n_per_round = n: diffusion.

    -2n sum_i (1-p_i) ln(1-p_i). Above `replace_fixation_time_exact` by about (1/3) ln n + c + 1, with c from
    0.5 (two equal outcomes) to 0.7 (many equal ones) fitted over n = 10..300.
    Source: Kimura and Ohta's diffusion, summed over outcomes; WORKFLOWS D6.
    """
    p, n = _distribution(probabilities), positive_scalar("n_per_round", n_per_round)
    return float(-2 * n * np.sum(xlog1py(1 - p, -p)))
