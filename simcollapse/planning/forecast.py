"""The predicted curve from the best source there is, how far it was followed, and where it ends."""

import math
from typing import NamedTuple

import numpy as np

from simcollapse.planning import closed_form, simulated
from simcollapse.planning.pipeline import Pipeline
from simcollapse.planning.simulated import Simulated

TAIL = 3000  # rounds that an approximation is followed beyond the curve
_EXACT_SECONDS = 2.5  # spent at most on following the exact chain beyond the curve
_DELTA_ROUNDS = 60  # followed by a form that costs about 30 ms a round


LINEARISED = "closed form linearised at the center"


class Forecast(NamedTuple):
    """Expected errors of rounds 0..H, H >= K, and what is known beyond."""

    error: np.ndarray  # (H+1,)
    std_error: np.ndarray  # (H+1,), 0 where nothing was simulated
    source: str  # "exact", "approximation" or "simulation"
    method: str
    chains: Simulated | None  # that the curve was taken from
    linear: np.ndarray | None  # (T+1,), T >= H, the form linearised at the center
    tail: np.ndarray | None  # (T+1,), what stands for the curve beyond H
    limit: float | None
    limit_source: str
    check: Simulated | None  # chains that an approximate curve was checked against
    empty: float  # chance that some round keeps nothing in some direction, where it is known


def forecast(pipeline: Pipeline, *, chains: int | None, seed: int) -> Forecast:
    """The pipeline's expected errors.

    Args:
        chains: simulated chains where there is no exact form; None for what a few seconds allow, 0 for none.
        seed: of the simulation.

    Raises:
        ValueError: there is no closed form and a simulation would take too long.
    """
    linear = closed_form.linear_curve(pipeline, TAIL)
    limit, limit_source = closed_form.limit(pipeline)
    common = {"linear": linear, "limit": limit, "limit_source": limit_source}
    affordable = simulated.affordable_chains(pipeline) if chains is None else chains
    horizon = _horizon(pipeline, linear)
    try:
        exact = closed_form.exact_curve(pipeline, horizon)
        failed = ""
    except ArithmeticError as error:
        exact, failed = None, str(error)
    if exact is not None:
        silent = np.zeros_like(exact.mse)
        return Forecast(
            exact.mse,
            silent,
            "exact",
            exact.method,
            None,
            tail=linear,
            check=None,
            empty=exact.empty,
            **common,
        )
    chains_run = simulated.run(pipeline, chains=affordable, seed=seed) if affordable >= 2 else None
    if pipeline.design == "table" and pipeline.workflow == "replace":
        wanted = int(np.clip(horizon, pipeline.rounds, max(_DELTA_ROUNDS, pipeline.rounds)))
        error = closed_form.table_curve(pipeline, wanted)
        method = "closed form for the table's rows, to first order in 1/samples"
        method = method if pipeline.trained_on is None else LINEARISED
        return _approximate(error, method, linear, chains_run, common)
    if chains_run is not None:
        method = f"{len(chains_run.error)} simulated chains"
        method += f" (no exact curve: {failed})" if failed else ""
        tail = _gaussian_tail(pipeline, linear) if _gaussian(pipeline) else linear
        return Forecast(
            chains_run.mean, chains_run.std_error, "simulation", method, chains_run, tail=tail, check=None,
            empty=0.0, **common,
        )  # fmt: skip
    if linear is None:
        raise ValueError(
            f"this pipeline has no closed form and {simulated.FEWEST_CHAINS} simulated chains of it would take "
            "too long; use fewer samples or rounds, or give chains to wait for it"
        )
    if (
        _gaussian(pipeline)
        and (delta := closed_form.gaussian_delta_curve(pipeline, pipeline.rounds)) is not None
    ):
        return _approximate(delta, "closed form to first order in 1/samples", linear, None, common)
    return _approximate(linear[: pipeline.rounds + 1], LINEARISED, linear, None, common)


def _approximate(error, method, linear, check, common) -> Forecast:
    return Forecast(
        error,
        np.zeros_like(error),
        "approximation",
        method,
        None,
        tail=linear,
        check=check,
        empty=0.0,
        **common,
    )


def _gaussian(pipeline: Pipeline) -> bool:
    return pipeline.verified and pipeline.design == "gaussian" and pipeline.workflow == "replace"


def _gaussian_tail(pipeline: Pipeline, linear: np.ndarray | None) -> np.ndarray | None:
    """The more accurate of the two forms, as far as it is worth following."""
    wanted = _turning_points(linear, pipeline.rounds)
    if wanted <= pipeline.rounds or wanted > _DELTA_ROUNDS:
        return linear
    delta = closed_form.gaussian_delta_curve(pipeline, wanted)
    return linear if delta is None else delta


def _turning_points(linear: np.ndarray | None, rounds: int) -> int:
    """Rounds after which the linear form has passed its best round and fallen behind its start, with a margin."""
    if linear is None:
        return rounds
    last = len(linear) - 1
    best, safe = int(np.argmin(linear)), int(np.flatnonzero(linear <= linear[0])[-1])
    wanted = rounds
    if best < last:
        wanted = max(wanted, math.ceil(1.5 * best) + 5)
    if safe < last:
        wanted = max(wanted, math.ceil(1.2 * safe) + 5)
    return wanted


def _horizon(pipeline: Pipeline, linear: np.ndarray | None) -> int:
    """Rounds to follow the closed form: past both turning points, as far as time allows."""
    if not pipeline.verified:
        return max(pipeline.rounds, 1)
    starts = 8 if pipeline.trained_on is not None else len(np.unique(np.abs(pipeline.bias_vector)))
    seconds = (0.004 + 0.001 * starts) * (4.5 if pipeline.rejected == "drop" else 1)  # a round, measured
    allowed = max(pipeline.rounds, int(_EXACT_SECONDS / seconds))
    return min(_turning_points(linear, pipeline.rounds), allowed)
