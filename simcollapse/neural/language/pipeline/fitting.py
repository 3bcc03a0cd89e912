"""The fits of a run: on one device or several, and gone on from where one was interrupted."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from simcollapse.neural import checkpoints
from simcollapse.neural.language import lora, models, names, sharding
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.pipeline.settings import Settings, devices_of, tuning_of
from simcollapse.neural.language.room import FLOAT
from simcollapse.neural.language.training import Tuner

Tree = Any
STATES = 3  # what a saved fit holds of what moves: it and Adam's two moments


@dataclasses.dataclass(frozen=True)
class Fitting:
    """A fitter of `task.TextTask`. Build it with `fitting(...)`."""

    tuner: Tuner
    folder: Path | None  # where a fit is saved while it goes

    @property
    def config(self) -> Config:
        """Of the model."""
        return self.tuner.config

    def fit(self, key: jax.Array, params: Tree, rows: Tree) -> tuple[Tree, dict[str, float]]:
        """See `Tuner.fit`; the model is on the first device, which writes and measures."""
        params, report = self.tuner.fit(key, params, rows, folder=self.folder)
        mesh = self.tuner.mesh
        return (params if mesh is None else jax.device_put(params, mesh.devices.flat[0])), report


def fitting(s: Settings, config: Config, folder: Path | None = None) -> Fitting:
    """How this run fits; saved in `folder` where `[fit] save_every` asks for it.

    Raises:
        ValueError: more devices than there are.
    """
    number, there = devices_of(s), jax.devices()
    if number > len(there):
        raise ValueError(f"fit.devices must be at most {len(there)}, which JAX has here; got {number}")
    mesh = sharding.mesh(devices=there[:number]) if number > 1 else None
    return Fitting(Tuner(config, tuning_of(s), mesh), folder)


def saved_bytes(s: Settings, config: Config) -> int:
    """Most that is on disk at once of a fit that goes."""
    how = tuning_of(s)
    if how.save_every is None:
        return 0
    moves = names.parameters(config) if how.rank is None else lora.parameters(models.shapes(config), how.rank)
    return (checkpoints.KEPT + 1) * STATES * moves * FLOAT


__all__ = ["Fitting", "fitting", "saved_bytes"]
