"""When to stop: best round, reversal round, regimes; linearised, `replace`, orthogonal design.

With rho the contraction rate, V0 = d sigma^2/n_real, S the stationary variance and t = rho^k,

    MSE_k = t^2 (V0 - S) + (1 - t)^2 Delta^2 + S,

a parabola in t: everything here is its vertex and where it crosses V0. A gain needs V0 > S. Rounds are real
numbers here unless a name says integer. All functions take the keyword arguments of `mse_trajectory`
(n_per_round one number, kept rows per direction), and raise ValueError for one out of range.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import positive_scalar, whole
from theory.knowledge_center.orthogonal import Linear, linear_model


def _mse(model: Linear, round: float) -> float:
    """MSE_k of the module docstring, for any real k >= 0 or inf."""
    left = np.exp(round * model.log_rate)
    pulled = -np.expm1(round * model.log_rate)
    return left**2 * model.room + pulled**2 * model.bias2 + model.floor


def _best_round(model: Linear) -> float:
    if model.frozen or model.room <= 0:
        return 0.0
    if model.bias2 == 0:
        return np.inf
    # ln(1 + room/bias^2), written so that a tiny bias neither overflows nor cancels
    gain = np.logaddexp(0.0, np.log(model.room) - np.log(model.bias2))
    return float(gain / -model.log_rate)


def _best_integer_round(model: Linear) -> float:
    best = _best_round(model)
    if not np.isfinite(best):
        return best
    # The parabola is monotone on either side of its vertex, so only the two neighbours compete.
    return min((float(np.floor(best)), float(np.ceil(best))), key=lambda k: _mse(model, k))


def best_round(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_per_round: float = np.inf,
) -> float:
    """Round k* >= 0 with the least linearised MSE, as a real number; round 0 is the fit on real data.

    k* = ln(Delta^2/(Delta^2 + V0 - S))/ln rho; inf for no bias (it improves for ever), 0.0 where no round
    is better than the start (V0 <= S, or no verifier at all).
    Source: derived here: the vertex t = Delta^2/(Delta^2 + V0 - S) of the parabola.
    """
    return _best_round(
        linear_model(
            dim=dim,
            sigma=sigma,
            n_real=n_real,
            bound=bound,
            verifier_bias=verifier_bias,
            n_per_round=n_per_round,
        )
    )


def best_integer_round(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_per_round: float = np.inf,
) -> float:
    """Whole round with the least linearised MSE (the earlier one in a tie), or inf for no bias, as a float.

    One of the two neighbours of `best_round`; 0.0 exactly where the first round already degrades.
    Source: derived here (module docstring).
    """
    return _best_integer_round(
        linear_model(
            dim=dim,
            sigma=sigma,
            n_real=n_real,
            bound=bound,
            verifier_bias=verifier_bias,
            n_per_round=n_per_round,
        )
    )


def best_mse(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_per_round: float = np.inf,
    integer: bool = False,
) -> float:
    """Linearised MSE at `best_round` (or, with integer=True, at `best_integer_round`), in squared data units.

    Delta^2 (V0 - S)/(Delta^2 + V0 - S) + S <= V0; V0 itself where no round is better than the start. Whole
    rounds do no better than that, and no better than V0 where the first round already degrades.
    Source: derived here: the parabola at its vertex; for S = 0 the risk of the best shrinkage towards the
    center.
    """
    model = linear_model(
        dim=dim, sigma=sigma, n_real=n_real, bound=bound, verifier_bias=verifier_bias, n_per_round=n_per_round
    )
    if model.frozen or model.room <= 0:
        return model.start
    if integer:
        best = _best_integer_round(model)
        return model.start if best == 0 else _mse(model, best)
    return model.bias2 * model.room / (model.bias2 + model.room) + model.floor


def reversal_round(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_per_round: float = np.inf,
) -> float:
    """Latest round whose linearised MSE is no worse than that of the start, as a real number.

    k_rev = ln((Delta^2 - (V0-S))/(Delta^2 + (V0-S)))/ln rho = 2 artanh((V0-S)/Delta^2)/(-ln rho), where V0
    > S and Delta^2 > V0 - S. A value below 1 means that the first whole round is already worse. Elsewhere:
    0.0 if every round is worse than the start (V0 <= S), inf if none ever is (Delta^2 <= V0 - S, or a chain
    that never moves).
    Source: derived here: the second root of MSE_k = V0; the first is k = 0.
    """
    model = linear_model(
        dim=dim, sigma=sigma, n_real=n_real, bound=bound, verifier_bias=verifier_bias, n_per_round=n_per_round
    )
    if model.frozen:
        return np.inf
    if model.room <= 0:
        return 0.0
    if model.bias2 <= model.room:
        return np.inf
    return float(2 * np.arctanh(model.room / model.bias2) / -model.log_rate)


def first_round_improves(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_per_round: float = np.inf,
) -> bool:
    """Whether the linearised MSE of round 1 is below that of round 0.

    (1 - rho)^2 Delta^2 + d sigma^2 rho/n_1 < (1 - rho^2) V0; n_per_round is the kept count n_1 of that round.
    Source: derived here; compare [Yi26], Theorem 3.1 (arXiv v3), which states the one-round condition.
    """
    model = linear_model(
        dim=dim, sigma=sigma, n_real=n_real, bound=bound, verifier_bias=verifier_bias, n_per_round=n_per_round
    )
    # Divided by 1 - rho: the noise term is S (1 + rho).
    return bool(model.lost > 0 and model.lost * model.bias2 < (1 + model.rate) * model.room)


def regime(
    *,
    dim: int,
    sigma: float,
    n_real: float,
    bound: float,
    verifier_bias: ArrayLike,
    n_per_round: float = np.inf,
) -> str:
    """Fate of the linearised chain: "improves", "plateaus", "reverses" or "degrades".

    With room V0 - S > 0:
      "improves"  no bias: every round is better than the one before;
      "plateaus"  0 < Delta^2 <= V0 - S: a gain, then a limit no worse than the start;
      "reverses"  Delta^2 > V0 - S and (1 - rho) Delta^2 < (1 + rho)(V0 - S): a gain, then a loss;
      "degrades"  (1 - rho) Delta^2 >= (1 + rho)(V0 - S): worse from the first whole round on.
    Without room (V0 <= S) there is never a gain: "degrades". A chain that never moves (no verifier and
    n_per_round = inf, or V0 = S without bias) "plateaus".
    Source: derived here (module docstring).
    """
    model = linear_model(
        dim=dim, sigma=sigma, n_real=n_real, bound=bound, verifier_bias=verifier_bias, n_per_round=n_per_round
    )
    if model.frozen:
        return "plateaus"
    if model.room <= 0 or model.lost * model.bias2 >= (1 + model.rate) * model.room:
        return "degrades"
    if model.bias2 == 0:
        return "improves"
    return "plateaus" if model.bias2 <= model.room else "reverses"


def verifier_worth(n_real: float, n_verifier: float, dim: int, sigma: float) -> float:
    """Best-stopped MSE with a verifier whose center is the fit on n_verifier other real rows per direction.

    d sigma^2/(n_real + n_verifier), in squared data units: verification is worth at most pooling the
    verifier's data. It is the mean over such verifiers, stopping at a round that does not depend on which
    one was drawn. Orthogonal design, linearised, n_per_round = inf. ValueError for an argument out of
    range; the counts may be inf.
    Source: derived here: E Delta^2 = d sigma^2/n_verifier enters MSE_k linearly, so the vertex of the
    averaged parabola is Delta^2 V0/(Delta^2 + V0) at that mean.
    """
    real = positive_scalar("n_real", n_real, infinite=True)
    verifier = positive_scalar("n_verifier", n_verifier, infinite=True)
    return whole("dim", dim, least=1) * positive_scalar("sigma", sigma) ** 2 / (real + verifier)
