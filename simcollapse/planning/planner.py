"""From a described pipeline to the answer: does retraining help, when to stop, and what is at stake."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from simcollapse.checks import check_whole
from simcollapse.planning import closed_form
from simcollapse.planning.description import describe
from simcollapse.planning.forecast import LINEARISED, Forecast, forecast
from simcollapse.planning.pipeline import Pipeline

REGIMES = ("improves", "plateaus", "reverses", "degrades")
WORTH_SAYING = 0.95  # of the best error, below which another radius is mentioned
_SAME = 1e-9  # relative; closer errors are equal


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
    reversal_chance: (
        float | None
    )  # that a verifier so trained ends up worse than the start; None where not known
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


class _Turn(NamedTuple):
    """The best or the latest safe round."""

    round: float
    source: str


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
    gain = _gains(seen)
    best = _best(pipeline, seen, gain)
    safe = _latest_safe(seen, gain, start)
    regime = _regime(seen, best, start)
    mse_best = _at(seen, best)
    shown = slice(0, pipeline.rounds + 1)
    linear = None if seen.linear is None or seen.method == LINEARISED else seen.linear[shown]
    made = Plan(
        pipeline=pipeline,
        regime=regime,
        explanation="",
        best_round=best.round,
        best_range=_range(seen, best),
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
        notes=(*_notes(pipeline, seen, best, safe), *_advice(pipeline, mse_best)),
    )
    return dataclasses.replace(made, explanation=explain(made))


def _gains(seen: Forecast) -> bool:
    """Whether some round is better than the start; in a simulation, by more than its noise."""
    if len(seen.error) < 2:
        return False
    k = 1 + int(np.argmin(seen.error[1:]))
    if seen.chains is not None:
        gap, std_error = seen.chains.difference(0)
        return bool(gap[k] < -2 * std_error[k])
    if seen.error[k] < seen.error[0] * (1 - _SAME):
        return True
    return seen.tail is not None and bool(np.min(seen.tail) < seen.tail[0] * (1 - _SAME))


def _best(pipeline: Pipeline, seen: Forecast, gain: bool) -> _Turn:
    if not gain:
        return _Turn(0.0, seen.source)
    lowest = int(np.argmin(seen.error))
    if _endless(pipeline, seen):
        return _Turn(math.inf, seen.limit_source)
    if lowest < len(seen.error) - 1:
        return _Turn(float(lowest), seen.source)
    if seen.tail is not None and lowest < (later := int(np.argmin(seen.tail))) < len(seen.tail) - 1:
        return _Turn(float(later), "approximation")
    return _Turn(float(lowest), "lower bound")


def _endless(pipeline: Pipeline, seen: Forecast) -> bool:
    """Whether the error falls for ever: to the noise alone, or to the bias as rounds grow."""
    if seen.limit is None or (pipeline.bias_squared > 0 and not math.isinf(pipeline.last_count)):
        return False
    if pipeline.unlimited and pipeline.bias_squared > 0:
        return False
    followed = seen.error if seen.tail is None else np.concatenate([seen.error, seen.tail[len(seen.error) :]])
    return seen.limit <= followed.min() * (1 + 1e-6)


def _latest_safe(seen: Forecast, gain: bool, start: float) -> _Turn:
    if seen.limit is not None and seen.limit <= start * (1 + _SAME):
        return _Turn(math.inf, seen.limit_source)
    if not gain:
        return _Turn(0.0, seen.source)
    last = int(np.flatnonzero(seen.error <= start * (1 + _SAME))[-1])
    if last < len(seen.error) - 1:
        return _Turn(float(last), seen.source)
    if seen.tail is not None:
        later = int(np.flatnonzero(seen.tail <= seen.tail[0] * (1 + _SAME))[-1])
        if last < later < len(seen.tail) - 1:
            return _Turn(float(later), "approximation")
    return _Turn(float(last), "lower bound")


def _regime(seen: Forecast, best: _Turn, start: float) -> str:
    if best.round == 0:
        flat = seen.limit is not None and math.isclose(seen.limit, start, rel_tol=_SAME)
        return "plateaus" if flat and np.allclose(seen.error, start, rtol=_SAME) else "degrades"
    if math.isinf(best.round):
        return "improves"
    end = seen.limit if seen.limit is not None else float(seen.error[-1])
    return "plateaus" if end <= start * (1 + _SAME) else "reverses"


def _at(seen: Forecast, best: _Turn) -> float:
    """Error at the best round."""
    if math.isinf(best.round):
        assert seen.limit is not None
        return seen.limit
    k = int(best.round)
    if k < len(seen.error):
        return float(seen.error[k])
    assert seen.tail is not None
    return float(seen.tail[k])


def _range(seen: Forecast, best: _Turn) -> tuple[float, float]:
    """First and last round whose error is within two standard errors of the best one's."""
    if seen.chains is None or best.round >= len(seen.error):
        return best.round, best.round
    gap, std_error = seen.chains.difference(int(best.round))
    alike = np.flatnonzero(gap <= 2 * std_error)
    return float(alike[0]), float(alike[-1])


def _start_known(pipeline: Pipeline, seen: Forecast) -> bool:
    """Whether round 0 of the curve is exact, which simulated chains are corrected to."""
    return seen.source != "approximation" and pipeline.population is None


def _std_errors(pipeline: Pipeline, seen: Forecast, best: _Turn) -> dict[str, float]:
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


def explain(made: Plan) -> str:
    """One sentence on what happens and why."""
    pipeline, now = made.pipeline, made.mse_now
    if made.regime == "improves":
        if made.bias_squared > 0:
            return (
                "More rounds always help: they grow, so their noise vanishes and the error falls to the square of the "
                "verifier's bias."
            )
        return (
            "More rounds always help: the verifier has no bias, so the error falls to the noise that the rounds' own "
            "samples leave."
        )
    if made.regime == "plateaus" and made.best_round == 0:
        return "Nothing changes: a round neither adds noise nor removes any."
    least = "at least " if made.sources["best_round"] == "lower bound" else ""
    stop = f"round {least}{made.best_round:.0f}"
    if made.regime == "plateaus":
        return (
            f"Retraining helps, most at {stop}, and then levels off: the verifier's bias is small enough that no "
            "later round is worse than the fit on real data."
            if made.mse_limit is not None
            else f"Retraining helps, most at {stop}, and in the rounds looked at never falls behind the fit on "
            "real data."
        )
    if made.regime == "reverses":
        end = made.latest_safe_round
        least = "at least " if made.sources["latest_safe_round"] == "lower bound" else ""
        turn = f"after {least}round {end:.0f}"
        why = _reason_of_loss(made)
        return (
            f"Retraining helps at first, most at {stop}, and then hurts: {turn} the model is worse than the fit on "
            f"real data, because {why}."
        )
    if not pipeline.verified:
        bounded = made.mse_limit is not None and math.isfinite(made.mse_limit)
        grows = "levels off above the fit on real data" if bounded else "grows without end"
        return f"Keep the fit on real data: without a verifier rounds only add noise, and the error {grows}."
    noise = 0.0 if made.mse_limit is None else made.mse_limit - made.bias_squared
    if noise >= max(now * (1 - 1e-6), made.bias_squared):
        return (
            "Keep the fit on real data: rounds are so small that the noise they add outweighs what the verifier "
            "removes."
        )
    return (
        "Keep the fit on real data: it is already closer to the truth than this verifier can pull it, and the "
        "first round makes it worse."
    )


def _reason_of_loss(made: Plan) -> str:
    if made.bias_squared > made.mse_now:
        return "the verifier's own bias is larger than the error that the real data left"
    return "the verifier's bias and the noise of the rounds together exceed the error that the real data left"


def _notes(pipeline: Pipeline, seen: Forecast, best: _Turn, safe: _Turn) -> tuple[str, ...]:
    notes = []
    if pipeline.verified and np.ndim(pipeline.bias) == 0 and pipeline.bias:
        where = (
            "is a shift of every prediction" if pipeline.population is not None else "lies along the diagonal"
        )
        if pipeline.dim > 1 and (pipeline.population is not None or pipeline.design == "orthogonal"):
            notes.append(f"the bias, given as one number, {where}; give a vector to place it elsewhere")
    if np.ndim(pipeline.n_per_round) == 1:
        notes.append(f"rounds after {pipeline.rounds} are taken to have as many samples as that one")
    if seen.empty > 1e-3:
        notes.append(
            f"in {seen.empty:.1%} of runs some round keeps no sample in some direction; the curve then keeps that "
            "direction's previous fit"
        )
    if seen.chains is not None and seen.chains.frozen > 0:
        notes.append(f"{seen.chains.frozen:.1%} of the chains froze: a round kept too little to be fitted")
    if seen.check is not None:
        notes.append(_checked(seen))
    if pipeline.population is not None:
        notes.append("the table is taken as the truth, its noise as equal in every row")
    if seen.limit is None:
        notes.append("no form is known for the limit")
    for name, turn in (("best", best), ("latest safe", safe)):
        if turn.source == "lower bound":
            notes.append(f"the {name} round is {turn.round:.0f} or later: ask for more rounds")
        elif turn.source == "approximation" and turn.round >= len(seen.error) and math.isfinite(turn.round):
            notes.append(f"the {name} round lies beyond the curve and is approximate")
    return tuple(notes)


def _advice(pipeline: Pipeline, mse_best: float) -> tuple[str, ...]:
    """What another radius would do, where that is worth saying."""
    other = closed_form.best_bound(pipeline)
    if other is None or not other[2] < WORTH_SAYING * mse_best:
        return ()
    bound, round, error = other
    words = "wider" if bound > pipeline.bound else "narrower"
    return (
        f"a {words} verifier would serve better: with radius + slack near {bound:.2g} the error at round {round:.0f} "
        f"would be about {error:.3g} (linearised)",
    )


def _checked(seen: Forecast) -> str:
    check = seen.check
    assert check is not None
    length = min(check.error.shape[1], len(seen.error))
    gap = seen.error[:length] / check.mean[:length] - 1
    worst = int(np.argmax(np.abs(gap)))
    spread = check.std_error[worst] / check.mean[worst]
    return (
        f"against {len(check.error)} chains simulated with the table's own rows and residuals the curve is at most "
        f"{abs(gap[worst]):.1%} {'high' if gap[worst] > 0 else 'low'} (round {worst}, standard error {spread:.1%})"
    )
