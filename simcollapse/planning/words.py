"""A plan in plain words: one sentence on what happens and why, and notes on what its numbers rest on."""

import math
from typing import TYPE_CHECKING

import numpy as np

from simcollapse.planning import closed_form
from simcollapse.planning.forecast import Forecast
from simcollapse.planning.pipeline import Pipeline
from simcollapse.planning.turning import Turn

if TYPE_CHECKING:
    from simcollapse.planning.planner import Plan

WORTH_SAYING = 0.95  # of the best error, below which another radius is mentioned


def explain(made: "Plan") -> str:
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


def _reason_of_loss(made: "Plan") -> str:
    if made.bias_squared > made.mse_now:
        return "the verifier's own bias is larger than the error that the real data left"
    return "the verifier's bias and the noise of the rounds together exceed the error that the real data left"


def notes_on(pipeline: Pipeline, seen: Forecast, best: Turn, safe: Turn) -> tuple[str, ...]:
    """What the numbers rest on, one note each."""
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
            more = ": ask for more rounds" if turn.round < len(seen.error) else ""
            notes.append(f"the {name} round is {turn.round:.0f} or later{more}")
        elif turn.source == "approximation" and turn.round >= len(seen.error) and math.isfinite(turn.round):
            notes.append(f"the {name} round lies beyond the curve and is approximate")
    return tuple(notes)


def advice(pipeline: Pipeline, mse_best: float) -> tuple[str, ...]:
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
