"""How long and how a fit of a language model trains."""

import dataclasses

import numpy as np

from simcollapse.checks import check_fields, option, parameter
from simcollapse.neural.language.config import PRECISIONS

SCHEDULES = ("constant", "cosine")
LOSS_ON = ("completion", "all")


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How long and how a fit trains. Build it with `tuning(...)`."""

    epochs: int | None = option("count or none", "passes over the rows; None: max_steps says where to end")
    max_steps: int | None = option("count or none", "optimiser steps at most; None: no cap")
    batch: int = option("count", "rows of a batch; with packing, bins of several rows")
    accumulation: int = option("count", "batches of a step")
    learning_rate: float = parameter("positive", doc="of AdamW, at its largest")
    schedule: str = option("word", "of the learning rate after its rise; cosine falls to 0", SCHEDULES)
    warmup: float = parameter("unit", doc="share of the steps in which the learning rate rises")
    weight_decay: float = parameter("nonnegative", doc="of AdamW, on matrices")
    clip: float = parameter("positive", doc="largest norm of a gradient")
    loss_on: str = option("word", "tokens whose loss counts", LOSS_ON)
    packing: bool = option("flag", "several rows side by side in one, none of which sees another")
    precision: str = option("word", "of what is computed; parameters are float32", PRECISIONS)
    remat: bool = option("flag", "compute layers again for gradients: less memory, more time")
    rank: int | None = option("count or none", "of low-rank adapters; None: all parameters move")
    alpha: float = parameter("positive", doc="of the adapters, whose product is multiplied by alpha / rank")
    save_every: int | None = option("count or none", "steps between two saved states, see `Tuner.fit`")


def tuning(
    epochs: int | None = None,
    *,
    max_steps: int | None = None,
    batch: int = 8,
    accumulation: int = 1,
    learning_rate: float = 5e-5,
    schedule: str = "constant",
    warmup: float = 0.0,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    loss_on: str = "completion",
    packing: bool = False,
    precision: str = "float32",
    remat: bool = False,
    rank: int | None = None,
    alpha: float = 16.0,
    save_every: int | None = None,
) -> Tuning:
    """How a fit trains: one pass, unless epochs or max_steps is given; with both, what ends first ends it.

    Raises:
        ValueError, TypeError: a value outside its range.
    """
    made = Tuning(
        epochs=1 if epochs is None and max_steps is None else epochs,
        max_steps=max_steps,
        batch=batch,
        accumulation=accumulation,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        clip=clip,
        loss_on=loss_on,
        packing=packing,
        precision=precision,
        remat=remat,
        rank=rank,
        alpha=alpha,
        save_every=save_every,
    )
    return check_fields(made, "tuning")


def rate(how: Tuning, step: int, steps: int) -> np.float32:
    """The learning rate of step 0, 1, … of `steps`; a share `warmup` of them rises to it."""
    rising = how.warmup * steps
    if step < rising:
        return np.float32(how.learning_rate * (step + 1) / (rising + 1))
    if how.schedule == "constant":
        return np.float32(how.learning_rate)
    return np.float32(how.learning_rate * 0.5 * (1 + np.cos(np.pi * (step - rising) / (steps - rising))))
