"""Training from the start on what earlier models wrote, under three ways to keep data."""

import functools

import xarray as xr

from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.language import keeping, settings
from simcollapse.reproduce.language.common import EXTRA, check, preview
from simcollapse.reproduce.language.keeping import draw
from simcollapse.reproduce.language.settings import Config, Fit

NAME = "kazdan-pretrain"
SOURCE = "Kazdan et al. §2.3"

_QUICK = Config(
    arms=keeping.arms(1_000, 3), n_real=1_000, n_prompts=1_000, chains=3, whole=True,
    fit=Fit(epochs=8, batch=16),
)  # fmt: skip
_SMALL = Config(
    arms=keeping.arms(10_000, 5), n_real=10_000, n_prompts=10_000, chains=3, whole=True, width=128, layers=3,
    fit=Fit(epochs=4, learning_rate=2e-3), answered=1_000, batch=64, answer=256,
)  # fmt: skip
_PAPER = Config(
    arms=keeping.arms(100_000, 5), n_real=100_000, n_prompts=100_000, chains=3, whole=True, width=256, layers=4,
    fit=Fit(epochs=1, learning_rate=5e-4, warmup=0.03), held_out=2_000, answered=1_000, batch=64, answer=256,
)  # fmt: skip
SCALES = {"quick": _QUICK, "small": _SMALL, "paper": _PAPER}
configure = functools.partial(settings.configure, published=_PAPER.fit)


def compute(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round)."""
    return keeping.compute(config, "pretraining on own texts")


def compare(data: xr.Dataset) -> list[Claim]:
    """The paper's orderings of the workflows."""
    return keeping.compare(data, SOURCE)


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "preview"]
