"""Run directories: experiments that are written as they go, survive being killed, and can be shared by many machines.

    from simcollapse import runs

    run = runs.run("experiment.toml", "runs/first")  # the same command goes on where it was left
    result = run.load()

A run is cut into parts of several blocks (`layout`), whose results are chunks of a Zarr store (`store`) in a directory
(`directory`) that also says what was asked for (`config`), by whom and on what.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcollapse.runs.chunks import DamagedStore
    from simcollapse.runs.config import Config, read
    from simcollapse.runs.directory import Busy, Run, open_run
    from simcollapse.runs.runner import run

__all__ = ["Busy", "Config", "DamagedStore", "Run", "open_run", "read", "run"]

# Imported at first use: a process that only watches others (`launch`) starts no JAX.
_HOME = {
    "simcollapse.runs.config": ("Config", "read"),
    "simcollapse.runs.directory": ("Busy", "Run", "open_run"),
    "simcollapse.runs.runner": ("run",),
    "simcollapse.runs.store": ("DamagedStore",),
}


def __getattr__(name: str):
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
