"""Least squares under `accumulate_subsample`, dimensions in proportion to rows: growth of the error.

Setting as in `linear_regression`: each round adds n labelled rows to the pool and fits n rows drawn from it without
replacement; d, n -> inf with ratio d/n at a fixed round. The pool's design is new Gaussian rows each round
("gaussian") or copies of the first n of them ("reused"). Rounds count from 0. For ratio -> 0 both give the factor
3 H_{k+1}^(2) - 2 of `linear_regression.accumulate_subsample_mse_asymptotic`.

Derivation (cavity method, not rigorous; the page solves its equations numerically, here they reduce to scalar
recursions). With i = k+1, model i predicts a training row x as u_i = z_i + psi_i, z what it would be without that
row and psi = L phi the row's own influence, phi_i from round i. In units of the first fit's error,
r_i = E z_i^2 = E psi_i^2 and f_i = E phi_i^2 are related by r_i = f_i + 2 E phi_i p_i + E p_i^2, p_i = psi_i - phi_i.
That later labels come from earlier models makes sum E u phi' = 0, which closes the equations.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from scipy.optimize import root_scalar
from scipy.stats import binom

from theory.arguments import FloatArray, choice, positive_scalar, require, whole

_DESIGNS = ("gaussian", "reused")
_MOST_COPIES = 30  # of one row in a subsample: more have a chance below 1/31! = 1e-34
_RELATIVE = 1e-14  # accuracy of the root, near rounding


def _fresh_growth(ratio: float) -> Iterator[float]:
    """r_1, r_2, ... for new rows each round.

    With c_i = 1/(i - ratio), R_i = sum_{j<i} r_j and F_i = sum_{j<i} f_j c_{j+1}:
    E phi_i phi_j = (1-ratio) c_i f_j for j < i, E phi_i p_i = (1-ratio) c_i F_i, and
    f_i = 1 + ratio [R_i - t_i/c_i]/[i (1-ratio)], t_i = r_i - f_i.
    """
    i, r_sum, weighted, pooled = 1, 0.0, 0.0, 0.0
    while True:
        cross = (1 - ratio) / (i - ratio) * weighted  # E phi_i p_i
        rest = 2 * cross + pooled
        own = 1 + ratio * (r_sum - (i - ratio) * rest) / (i * (1 - ratio))
        yield own + rest
        share = 1 / (i + 1 - ratio)
        r_sum, weighted = r_sum + own + rest, weighted + own * share
        pooled += 2 * cross * share + own * share**2
        i += 1


def _gain(ratio: float, i: int) -> tuple[float, float]:
    """g with E l = ratio for the leverage l = D g/(1 + D g) of a row, D ~ Bin(i, 1/i) its copies in the fit.

    Returns g and E l (1-l).
    """
    copies = np.arange(min(i, _MOST_COPIES) + 1)
    chance = binom.pmf(copies, i, 1 / i)
    seen = 1 - chance[0]
    require(
        ratio < seen, "ratio", f"< {seen:.6g}, the share of distinct rows in the fit of round {i - 1}", ratio
    )

    def excess(gain: float) -> float:
        return float(chance @ (copies * gain / (1 + copies * gain))) - ratio

    # E l <= g, and E l >= seen g/(1+g); twice the second bound leaves room for rounding
    bounds = (ratio, 2 * ratio / (seen - ratio))
    gain = root_scalar(excess, bracket=bounds, xtol=ratio * _RELATIVE).root
    return gain, float(chance @ (copies * gain / (1 + copies * gain) ** 2))


def _reused_growth(ratio: float) -> Iterator[float]:
    """r_1, r_2, ... for one design in all rounds.

    E phi_i phi_j = 1/i for j < i; m_j = E psi_j psi_i does not depend on i > j. The labels y_1..y_i of a row have
    sum E y^2 = i + ratio R_i and E mean(y)^2 = 1/i + (ratio/i^2) [2 i (H_i-1) + R_i + 2 M_i], in noise variances,
    R_i = sum_{j<i} r_j, M_i = sum_{j<l<i} m_j; f_i follows from the moments of the leverage.
    """
    unit = ratio / (1 - ratio)
    i, harmonic, r_sum, m_sum, pairs, pooled = 1, 1.0, 0.0, 0.0, 0.0, 0.0
    while True:
        gain, spread = _gain(ratio, i)
        cross = (harmonic - 1) / i  # E phi_i p_i
        rest = 2 * cross + pooled
        labels = i + ratio * r_sum
        mean_label = 1 / i + ratio / i**2 * (2 * i * (harmonic - 1) + r_sum + 2 * pairs)
        squared = ratio - spread  # E l^2; the part of single labels in it is E l^2/D = gain spread
        together = i * (squared - gain * spread) / (i - 1) if i > 1 else 0.0
        apart = (squared - together) / i
        own = apart * (labels - i * ratio * rest) + together * (mean_label - ratio * rest)
        own /= unit * spread
        yield own + rest
        share = 1 / (i + 1)
        pairs += m_sum
        m_sum += pooled + cross * (1 + share) + (own + harmonic) * share
        r_sum, harmonic = r_sum + own + rest, harmonic + share
        pooled += 2 * cross * share + own * share**2
        i += 1


def subsample_growth_asymptotic(*, ratio: float, rounds: int, design: str = "gaussian") -> FloatArray:
    """E|theta_k - truth|^2 over that of the first fit, d, n -> inf with d/n = ratio in (0, 1); shape (K+1,).

    It tends to a plateau only for ratio < 1/2 ("gaussian") or < 0.450 ("reused"): beyond, the scatter between models
    makes labels noisier faster than the pool averages it out, and the error grows as a power of k, for "gaussian"
    with exponent (2 ratio - 1)/(1 - ratio). design "reused" needs ratio < 1 - (1-1/(k+1))^(k+1) in every round, the
    share of the design's rows that occur in the fit (down to 1 - 1/e = 0.632): beyond it the fit is rank deficient.
    Source: derived here; WORKFLOWS B7 gives the equations that these recursions solve.
    """
    share = positive_scalar("ratio", ratio)
    require(share < 1, "ratio", "in (0, 1)", ratio)
    growth = _reused_growth if choice("design", design, _DESIGNS) == "reused" else _fresh_growth
    return np.array(list(islice(growth(share), whole("rounds", rounds) + 1)))


def subsample_mse_asymptotic(
    *, dim: int, sigma: float, n_per_round: int, rounds: int, design: str = "gaussian"
) -> FloatArray:
    """E|theta_k - truth|^2 under `accumulate_subsample`, d, n -> inf in proportion, rounds 0..K, shape (K+1,).

    sigma^2 d/(n-d-1), exact in round 0, times `subsample_growth_asymptotic` at d/n; n_real = n_per_round = n. Off by
    a few per cent at n = 40, d = 4.
    Source: as there.
    """
    d, n = whole("dim", dim, least=1), whole("n_per_round", n_per_round, least=1)
    require(n > d + 1, "n_per_round", f"> dim + 1 = {d + 1}", n_per_round)
    first = positive_scalar("sigma", sigma) ** 2 * d / (n - d - 1)
    return first * subsample_growth_asymptotic(ratio=d / n, rounds=rounds, design=design)
