"""Supervised tuning on what earlier models answered, under three ways to keep data."""

import functools

import xarray as xr

from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.language import keeping, settings
from simcollapse.reproduce.language.common import EXTRA, check, preview
from simcollapse.reproduce.language.keeping import draw
from simcollapse.reproduce.language.settings import Config, Fit

NAME = "kazdan-sft"
SOURCE = "Kazdan et al. §2.3"

# Passes, not steps, as published: a pool that grows takes more of them.
_QUICK = Config(
    arms=keeping.arms(400, 4), n_real=400, n_prompts=400, chains=3, fit=Fit(epochs=8),
)  # fmt: skip
_SMALL = Config(
    arms=keeping.arms(2_000, 6), n_real=2_000, n_prompts=2_000, chains=3, width=128, layers=3, base_steps=3_000,
    fit=Fit(epochs=3, learning_rate=1e-3), answered=1_000, batch=64,
)  # fmt: skip
_PAPER = Config(
    arms=keeping.arms(12_500, 8), n_real=12_500, n_prompts=12_500, chains=3, width=256, layers=4, base_steps=20_000,
    fit=Fit(epochs=1, learning_rate=8e-6, warmup=0.03), held_out=1_000, answered=1_000, batch=64,
)  # fmt: skip
SCALES = {"quick": _QUICK, "small": _SMALL, "paper": _PAPER}
configure = functools.partial(settings.configure, published=_PAPER.fit)


def compute(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round)."""
    return keeping.compute(config, "supervised tuning on own answers")


def compare(data: xr.Dataset) -> list[Claim]:
    """The paper's orderings of the workflows."""
    return keeping.compare(data, SOURCE)


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "preview"]
