"""From a described pipeline to the answer: does retraining help, when to stop, and what is at stake."""

import dataclasses
from typing import Any

import numpy as np
from scipy import stats

from simcollapse.checks import check_whole
from simcollapse.planning import turning, words
from simcollapse.planning.description import describe
from simcollapse.planning.forecast import LINEARISED, Forecast, forecast
from simcollapse.planning.pipeline import Pipeline

REGIMES = ("improves", "plateaus", "reverses", "degrades")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The answer for one pipeline. Errors are `error_unit`; rounds count from 0, the fit on real data.

    `sources` says of each number whether it is "exact" (to quadrature), an "approximation", from a
    "simulation" (then `std_errors` has its standard error), a "lower bound" or "unknown".
    """

    pipeline: Pipeline
    regime: str  # one of REGIMES
    explanation: str
    best_round: float  # inf: every further round helps
    best_range: tuple[float, float]  # rounds that cannot be told from the best one; wider only if simulated
    latest_safe_round: float  # last round no worse than the fit on real data; inf: all are
    mse_now: float
    mse_best: float
    mse_limit: float | None  # None: unknown
    bias_squared: float
    worth: float  # real samples whose fit is as good as the best round
    reversal_chance: float | None  # that a verifier so trained ends up worse than the start; None: not known
    curve: np.ndarray  # (K+1,)
    std_error: np.ndarray  # (K+1,), 0 where nothing was simulated
    linear: np.ndarray | None  # (K+1,), the form linearised at the center
    linear_gap: float | None  # its largest error relative to the curve
    method: str
    sources: dict[str, str]
    std_errors: dict[str, float]
    notes: tuple[str, ...]

    @property
    def error_unit(self) -> str:
        """What `curve` is."""
        if self.pipeline.population is not None:
            return "excess risk E|X (fit - truth)|²/N, unit of y squared"
        return "mean squared error E|fit - truth|², unit of the coefficients squared"


def plan(*, chains: int | None = None, seed: int = 0, **description: Any) -> Plan:
    """What retraining does to the pipeline that `description` (see `describe`) says.

    The curve is exact for the orthogonal design under `replace` and without a verifier; with a table under
    `replace` it is a closed form to first order, checked by a simulation; else it is simulated. Beyond the
    curve's rounds the schedule's last count goes on.

    Args:
        chains: simulated chains where they are needed; None for what a few seconds allow, 0 for none.
        seed: of the simulation.

    Raises:
        ValueError, TypeError: an argument outside its range or of the wrong kind.
    """
    pipeline = describe(**description)
    if chains is not None:
        chains = check_whole("chains", chains, 0)
    seen = forecast(pipeline, chains=chains, seed=check_whole("seed", seed, 0))
    start = float(seen.error[0])
    gain = turning.gains(seen)
    best = turning.best_round(pipeline, seen, gain)
    safe = turning.latest_safe_round(seen, gain, start)
    mse_best = turning.error_at(seen, best)
    shown = slice(0, pipeline.rounds + 1)
    linear = None if seen.linear is None or seen.method == LINEARISED else seen.linear[shown]
    made = Plan(
        pipeline=pipeline,
        regime=turning.regime(seen, best, start),
        explanation="",
        best_round=best.round,
        best_range=turning.like_best(seen, best),
        latest_safe_round=safe.round,
        mse_now=start,
        mse_best=mse_best,
        mse_limit=seen.limit,
        bias_squared=pipeline.bias_squared if pipeline.verified else 0.0,
        worth=pipeline.worth(mse_best),
        reversal_chance=_reversal_chance(pipeline, seen),
        curve=seen.error[shown],
        std_error=seen.std_error[shown],
        linear=linear,
        linear_gap=None if linear is None else float(np.max(np.abs(linear / seen.error[shown] - 1))),
        method=seen.method,
        sources={
            "curve": seen.source,
            "mse_now": "exact" if _start_known(pipeline, seen) else seen.source,
            "best_round": best.source,
            "mse_best": best.source,
            "mse_limit": seen.limit_source,
            "latest_safe_round": safe.source,
        },
        std_errors=_std_errors(pipeline, seen, best),
        notes=(*words.notes_on(pipeline, seen, best, safe), *words.advice(pipeline, mse_best)),
    )
    return dataclasses.replace(made, explanation=words.explain(made))


def _start_known(pipeline: Pipeline, seen: Forecast) -> bool:
    """Whether round 0 of the curve is exact, which simulated chains are corrected to."""
    return seen.source != "approximation" and pipeline.population is None


def _std_errors(pipeline: Pipeline, seen: Forecast, best: turning.Turn) -> dict[str, float]:
    if seen.chains is None:
        return {}
    out = {} if _start_known(pipeline, seen) else {"mse_now": float(seen.std_error[0])}
    if best.round < len(seen.error):
        out["mse_best"] = float(seen.std_error[int(best.round)])
    return out


def _reversal_chance(pipeline: Pipeline, seen: Forecast) -> float | None:
    """P(limit > start) over verifiers trained on m samples: the bias squared is (sigma^2/m) chi-square_D."""
    if pipeline.trained_on is None or seen.limit is None or pipeline.design == "gaussian":
        return None
    room = pipeline.start - (seen.limit - pipeline.bias_squared)
    return float(stats.chi2.sf(room * pipeline.trained_on / pipeline.noise**2, pipeline.dim))
