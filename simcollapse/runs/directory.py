"""A run directory: what was asked for, by which versions on which machine, how it is cut, and what is done.

DIR/config.toml    the resolved configuration
DIR/run.json       setting, hardware, layout, and what the variables mean
DIR/store.zarr     results, a chunk for each part
DIR/done/          a mark with checksums for each finished part
DIR/log.txt        what happened, for people
DIR/summary.txt    the last round of each cell, once all parts are done; summary.json for programs
"""

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import operator
import os
import platform
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from simcollapse import grid, results
from simcollapse.engine import Experiment
from simcollapse.runs import config as configs
from simcollapse.runs import layout as layouts
from simcollapse.runs import records
from simcollapse.runs.chunks import write_atomically
from simcollapse.runs.store import ARRAYS, MARKS, Store, create

FORMAT = 2  # raised with every change of what the files hold, names of chunks and checksums included
META, CONFIG, LOG, LOCK = "run.json", "config.toml", "log.txt", "lock"
ADDED = {"audit": True}  # options that came within this format, with the value that runs before them had
HELD = ("created", "fingerprint", "config", "setting", "hardware", "layout", "attributes", "shapes", "plan")
MAKING = "making"  # there while the directory is made: what else is there then is ours
LOGS = "log"  # what the names of logs begin with; workers have logs of their own
# Of a setting, what decides the bits of a result; the others are only told.
DECISIVE = (
    "backend",
    "device_kind",
    "processor",
    "cpu_threads",
    "xla_flags",
    "jax_version",
    "simcollapse_version",
    "key_implementation",
    "dtype",
)


class Busy(OSError):
    """Another process writes to the run directory."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory that exists."""

    folder: Path
    meta: Mapping[str, Any]  # run.json

    @property
    def layout(self) -> layouts.Layout:
        """How the run is cut into parts."""
        return layouts.from_dict(self.meta["layout"])

    @property
    def plan(self) -> results.Plan:
        """What the run produces; its cells know their place in the grid, not their choices."""
        plain = dict(self.meta["plan"])
        over = plain.pop("over")
        index = np.ndindex(*(len(values) for values in over.values()))
        return results.Plan(
            **plain
            | {
                "over": over,
                "cells": [grid.Cell(place, {}) for place in index],
                "engine": set(plain["engine"]),
                "quantiles": tuple(plain["quantiles"]),
                "undefined": tuple(plain["undefined"]),
                "model_dims": {name: tuple(dims) for name, dims in plain["model_dims"].items()},
            }
        )

    @property
    def record(self) -> records.Chains | records.Streams:
        """What the rows of the store are."""
        return records.KINDS[self.meta["plan"]["record"]](self.plan, self.layout)

    def store(self) -> Store:
        """The run's store."""
        return Store(self.folder, self.layout.num_parts, self.record.rows, self.meta["fingerprint"])

    def done(self) -> list[int]:
        """Finished parts."""
        return self.store().done()

    @property
    def finished(self) -> bool:
        """Whether every part is done."""
        return len(self.done()) == self.layout.num_parts

    def load(self, memory_bytes: int | None = None) -> xr.Dataset:
        """The result, as `simcollapse.sweep` returns it.

        Raises:
            ValueError: the run is not finished.
            MemoryError: it does not fit; read the store part by part instead (`parts`).
        """
        self.check_finished()
        plan, record = self.plan, self.record
        shapes = {n: jax.ShapeDtypeStruct(tuple(s), np.dtype(d)) for n, (s, d) in self.meta["shapes"].items()}
        collector = results.collector(
            plan, shapes, results.Memory(memory_bytes), max(self.layout.block_sizes)
        )
        for columns in self.parts():
            record.collect(columns, collector)
        dataset = collector.dataset()
        dataset.attrs.update(self.meta["attributes"])
        results.warn_frozen(dataset, collector.first_frozen())
        return dataset

    def parts(self) -> Iterator[records.Columns]:
        """Every finished part's rows by variable, in order."""
        store = self.store()
        for number in store.done():
            yield store.read(number)

    def log(self, words: str) -> None:
        """Add a line to the log."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(f"{now} [{socket.gethostname()} {os.getpid()}] {words}\n")

    def check_finished(self) -> None:
        """Raise ValueError unless every part is done."""
        done, parts = len(self.done()), self.layout.num_parts
        if done < parts:
            raise ValueError(
                f"{self.folder} is not finished: {done} of {parts} parts are done. The command that made it, or "
                f"`simcollapse run {self.folder / CONFIG} --out {self.folder}`, goes on with it"
            )


def open_run(folder: str | Path) -> Run:
    """The run in `folder`.

    Raises:
        FileNotFoundError: no run there.
        ValueError: damaged, or written in another format.
    """
    folder = Path(folder)
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        number = operator.index(meta["format"])
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} is not a run directory: it has no {META}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / META} is damaged: {error}") from None
    if number != FORMAT:
        advice = (
            "install a newer one" if number > FORMAT else "use that version for it, or name another directory"
        )
        raise ValueError(
            f"{folder} was written by simcollapse {meta.get('setting', {}).get('simcollapse_version')} in format "
            f"{number}, this version reads and writes format {FORMAT}: {advice}"
        )
    absent = [name for name in HELD if name not in meta]
    if absent:
        raise ValueError(f"{folder / META} is damaged: it lacks {absent[0]!r}")
    return Run(folder, meta)


def make(folder: Path, plain: dict[str, Any], experiment: Experiment, workers: int) -> Run:
    """A new run directory for a resolved configuration, in a folder that is empty but for locks.

    Raises:
        FileExistsError: something else lies there.
    """
    strange = sorted(p.name for p in folder.iterdir() if not p.name.startswith((LOGS, LOCK)))
    if strange and MAKING not in strange:
        raise FileExistsError(
            f"out {str(folder)!r} is not empty and no run directory (it has {strange[0]!r}); name another one"
        )
    (folder / MAKING).touch()
    for name in (CONFIG, ARRAYS, MARKS):  # of a process that was killed here
        _remove(folder / name)
    layout = layouts.lay_out(experiment, workers)
    plan = experiment.plan
    shapes = results.flatten(experiment.shapes)
    attributes = {k: v for k, v in experiment.attributes.items() if k != "num_devices"}
    meta = {
        "format": FORMAT,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "fingerprint": fingerprint(plain),
        "config": plain,
        "setting": {name: attributes[name] for name in DECISIVE},
        "hardware": hardware(experiment),
        "layout": layout.as_dict(),
        "attributes": attributes,
        "shapes": {name: [list(s.shape), str(s.dtype)] for name, s in shapes.items()},
        "plan": {
            "over": {path: grid.coordinates(values).tolist() for path, values in plan.over.items()},
            "rounds": plan.rounds,
            "chains": plan.chains,
            "record": plan.record,
            "quantiles": list(plan.quantiles),
            "engine": sorted(plan.engine),
            "words": plan.words,
            "model_dims": {name: list(dims) for name, dims in plan.model_dims.items()},
            "undefined": list(plan.undefined),
        },
    }
    record = records.KINDS[plan.record](plan, layout)
    create(folder, layout.num_parts, record.rows, record.variables(shapes))
    write_atomically(folder / CONFIG, configs.to_toml(plain).encode())
    write_atomically(folder / META, json.dumps(meta, indent=1).encode())  # with it the directory is whole
    (folder / MAKING).unlink()
    return Run(folder, meta)


def clear(run: Run) -> None:
    """Let a run of which no part is done be made anew; killed in between, too."""
    (run.folder / MAKING).touch()
    (run.folder / META).unlink()


def check_same_config(run: Run, plain: dict[str, Any]) -> None:
    """Raise ValueError, which shows the difference, unless the run is of this resolved configuration."""
    changed = configs.differences(ADDED | run.meta["config"], plain)
    if changed:
        shown = "; ".join(changed[:8]) + ("; …" if len(changed) > 8 else "")
        raise ValueError(f"{run.folder} holds a run of another config ({shown}); name another --out")


def other_setting(run: Run, setting: Mapping[str, Any]) -> list[str]:
    """How a setting differs from the one that the run was made under, in words; empty if it does not."""
    return configs.differences(run.meta["setting"], {name: setting[name] for name in DECISIVE})


def check_mixing(run: Run, other: list[str], mix_settings: bool) -> None:
    """Raise ValueError unless a run may go on under a setting that is `other` than its own."""
    if mix_settings:
        return
    began = f"{run.folder} was begun under another setting ({'; '.join(other)})"
    if not run.done():
        raise ValueError(
            f"{began}, and no part is done: give the command once without shards and cluster, which begins it anew, "
            "or remove the directory"
        )
    raise ValueError(
        f"{began}, and results would agree to rounding only; --mix-settings goes on all the same and says so in the "
        "run"
    )


def note_mixed(run: Run, words: str) -> Run:
    """The run, which goes on under another setting, as its result will say."""
    attributes = run.meta["attributes"]
    told = [*attributes.get("mixed_settings", []), words]
    meta = {**run.meta, "attributes": attributes | {"mixed_settings": list(dict.fromkeys(told))}}
    write_atomically(run.folder / META, json.dumps(meta, indent=1).encode())
    return Run(run.folder, meta)


def fingerprint(plain: Mapping[str, Any]) -> str:
    """Of a resolved configuration."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def hardware(experiment: Experiment) -> dict[str, Any]:
    """What the run was begun on."""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "devices": [f"{d.platform}: {d.device_kind}" for d in experiment.devices],
        "memory_bytes": experiment.memory.host_bytes,
    }


@contextlib.contextmanager
def locked(folder: Path, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Hold the run directory for writing: alone, or, with `shard`, beside other shards. Ends with the process.

    Raises:
        Busy: another process holds it.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(_lock(folder / LOCK, fcntl.LOCK_EX if shard is None else fcntl.LOCK_SH))
        if shard is not None:
            held.enter_context(_lock(folder / f"{LOCK}-{shard[0]}-of-{shard[1]}", fcntl.LOCK_EX))
        yield


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """Wait until no other process makes the run directory, and keep others from it."""
    with open(folder / f"{LOCK}-making", "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _lock(path: Path, how: int) -> Iterator[None]:
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip() or "other processes, each a shard of it"
            raise Busy(
                f"{path.parent} is being written by {who}; wait for it, or name another --out"
            ) from None
        file.truncate(0)  # who is named there was killed
        if how == fcntl.LOCK_EX:
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield
        if how == fcntl.LOCK_EX:
            file.truncate(0)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
