"""Where a predicted curve turns: its best round, the latest round that is still safe, and the regime they make."""

import math
from typing import NamedTuple

import numpy as np

from simcollapse.planning.forecast import Forecast
from simcollapse.planning.pipeline import Pipeline

SAME = 1e-9  # relative; closer errors are equal


class Turn(NamedTuple):
    """The best or the latest safe round."""

    round: float
    source: str


def gains(seen: Forecast) -> bool:
    """Whether some round is better than the start; in a simulation, by more than its noise."""
    if len(seen.error) < 2:
        return False
    k = 1 + int(np.argmin(seen.error[1:]))
    if seen.chains is not None:
        gap, std_error = seen.chains.difference(0)
        return bool(gap[k] < -2 * std_error[k])
    return bool(seen.error[k] < seen.error[0] * (1 - SAME))


def best_round(pipeline: Pipeline, seen: Forecast, gain: bool) -> Turn:
    """The round with the least error, 0 without a gain; beyond the curve by what stands for it there."""
    if not gain:
        return Turn(0.0, seen.source)
    lowest = int(np.argmin(seen.error))
    if _endless(pipeline, seen):
        return Turn(math.inf, seen.limit_source)
    if lowest < len(seen.error) - 1:
        return Turn(float(lowest), seen.source)
    if seen.tail is not None and lowest < (later := int(np.argmin(seen.tail))):
        return Turn(float(later), "approximation" if later < len(seen.tail) - 1 else "lower bound")
    return Turn(float(lowest), "lower bound")


def _endless(pipeline: Pipeline, seen: Forecast) -> bool:
    """Whether the error falls for ever: to the noise alone, or to the bias as rounds grow."""
    if seen.limit is None or (pipeline.bias_squared > 0 and not math.isinf(pipeline.last_count)):
        return False
    if pipeline.unlimited and pipeline.bias_squared > 0:
        return False
    followed = seen.error if seen.tail is None else np.concatenate([seen.error, seen.tail[len(seen.error) :]])
    return seen.limit <= followed.min() * (1 + 1e-6)


def latest_safe_round(seen: Forecast, gain: bool, start: float) -> Turn:
    """The last round that is no worse than the start; inf where even the limit is not."""
    if seen.limit is not None and seen.limit <= start * (1 + SAME):
        return Turn(math.inf, seen.limit_source)
    if not gain:
        return Turn(0.0, seen.source)
    last = int(np.flatnonzero(seen.error <= start * (1 + SAME))[-1])
    if last < len(seen.error) - 1:
        return Turn(float(last), seen.source)
    if seen.tail is not None:
        later = int(np.flatnonzero(seen.tail <= seen.tail[0] * (1 + SAME))[-1])
        if last < later:
            return Turn(float(later), "approximation" if later < len(seen.tail) - 1 else "lower bound")
    return Turn(float(last), "lower bound")


def regime(seen: Forecast, best: Turn, start: float) -> str:
    """ "improves" for ever; a gain that "plateaus", or "reverses" below the start; or it "degrades" at once."""
    if best.round == 0:
        flat = seen.limit is not None and math.isclose(seen.limit, start, rel_tol=SAME)
        return "plateaus" if flat and np.allclose(seen.error, start, rtol=SAME) else "degrades"
    if math.isinf(best.round):
        return "improves"
    end = seen.limit if seen.limit is not None else float(seen.error[-1])
    return "plateaus" if end <= start * (1 + SAME) else "reverses"


def error_at(seen: Forecast, best: Turn) -> float:
    """Error at the best round."""
    if math.isinf(best.round):
        assert seen.limit is not None
        return seen.limit
    k = int(best.round)
    if k < len(seen.error):
        return float(seen.error[k])
    assert seen.tail is not None
    return float(seen.tail[k])


def like_best(seen: Forecast, best: Turn) -> tuple[float, float]:
    """First and last round whose error is within two standard errors of the best one's."""
    if seen.chains is None or best.round >= len(seen.error):
        return best.round, best.round
    gap, std_error = seen.chains.difference(int(best.round))
    alike = np.flatnonzero(gap <= 2 * std_error)
    return float(alike[0]), float(alike[-1])
