"""What a run would take, before it is started: cells, blocks, memory, time from a calibration, size on disk."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from simcollapse import blocks, disk, engine, results, terminal
from simcollapse.runs import layout as layouts
from simcollapse.runs import records

CALIBRATED = 2  # blocks for each that runs at the same time
SPARE_BYTES = 64 * 2**20  # left free on the disk


def forecast(experiment: engine.Experiment, out: Path, *, calibrate: bool = True) -> dict[str, Any]:
    """What running `experiment` into `out` would take, in plain values; times in seconds.

    With `calibrate`, a block of each program is compiled and a few are run.

    Raises:
        OSError: the disk has too little space; says what would need less.
    """
    check_disk(out, experiment, len(experiment.devices))
    cut = layouts.lay_out(experiment, len(experiment.devices))
    at_once = blocks.blocks_at_once(experiment.devices)
    programs = [
        _program(experiment, cut, i, at_once, calibrate=calibrate) for i in range(len(experiment.programs))
    ]
    chains = sum(cut.places)
    made = {
        "cells": len(experiment.plan.cells),
        "chains": chains,
        "chain_rounds": chains * experiment.plan.rounds,
        "programs": programs,
        "blocks": sum(p["blocks"] for p in programs),
        "parts": cut.num_parts,
        "devices": len(experiment.devices),
        "memory_per_device_bytes": max(p["block_bytes"] for p in programs)
        * -(-at_once // len(experiment.devices)),
        "device_bytes": experiment.memory.device_bytes(experiment.devices[0]),
        "output_bytes": output_bytes(experiment, cut),
        "free_bytes": disk.free_bytes(out),
    }
    if calibrate:
        made["compile_s"] = sum(p["compile_s"] for p in programs)
        made["run_s"] = sum(p["run_s"] for p in programs)
    return made


def _program(experiment, cut, which, at_once, *, calibrate) -> dict[str, Any]:
    program, size = experiment.programs[which], cut.block_sizes[which]
    row_bytes, kept_bytes = blocks.chain_bytes(program)
    num_blocks = -(-cut.places[which] // size)
    task, verifier, workflow = program.loop_static.treedef.unflatten(program.leaves)
    made = {
        "task": type(task).__name__,
        "verifier": type(verifier).__name__,
        "workflow": type(workflow).__name__,
        "engine": "sample" if program.loop_static.law is None else "law",
        "cells": len(program.cells),
        "block_size": size,
        "blocks": num_blocks,
        "block_bytes": size * (blocks.ROW_COPIES * row_bytes + kept_bytes),
    }
    if not calibrate:
        return made
    jobs = blocks.jobs(program, size, experiment.plan.chains, end=min(size, cut.places[which]))
    first_s = _seconds(experiment, jobs)
    some = jobs * CALIBRATED * at_once
    block_s = _seconds(experiment, some) / len(some)
    return made | {"compile_s": max(0.0, first_s - at_once * block_s), "run_s": num_blocks * block_s}


def _seconds(experiment, jobs) -> float:
    begun = time.perf_counter()
    for _ in engine.run_blocks(experiment, jobs):
        pass
    return time.perf_counter() - begun


def output_bytes(experiment: engine.Experiment, cut: layouts.Layout) -> int:
    """Size of the store, about; counts take less, as they are compressed."""
    record = records.KINDS[experiment.plan.record](experiment.plan, cut)
    return cut.num_parts * record.num_bytes(results.flatten(experiment.shapes))


def check_disk(out: Path, experiment: engine.Experiment, workers: int) -> None:
    """Raise OSError when the store would not fit on the disk."""
    needed, free = output_bytes(experiment, layouts.lay_out(experiment, workers)), disk.free_bytes(out)
    if needed + SPARE_BYTES > free:
        less = "" if experiment.plan.record == "summary" else "record='summary', "
        raise OSError(
            f"the results would take {_size(needed)}, and there are {_size(free)} free at {out}; use {less}fewer "
            "cells, chains or rounds, or another --out"
        )


def print_forecast(made: dict[str, Any], console: Console | None = None) -> None:
    """Print what `forecast` returned."""
    console = terminal.console() if console is None else console
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in (
        "task",
        "verifier",
        "workflow",
        "engine",
        "cells",
        "blocks",
        "chains of a block",
        "compile",
        "run",
    ):
        table.add_column(
            name, justify="left" if name in ("task", "verifier", "workflow", "engine") else "right"
        )
    for p in made["programs"]:
        times = [_time(p["compile_s"]), _time(p["run_s"])] if "run_s" in p else ["", ""]
        words = (p[k] for k in ("task", "verifier", "workflow", "engine", "cells", "blocks", "block_size"))
        table.add_row(*map(str, words), *times)
    console.print(
        f"{made['cells']:,} cells, {made['chains']:,} chains, {made['chain_rounds']:,} chain-rounds; "
        f"{made['blocks']:,} blocks in {made['parts']:,} parts on {made['devices']} device(s)"
    )
    console.print(table)
    console.print(
        f"memory of a device: {_size(made['memory_per_device_bytes'])} (may take {_size(made['device_bytes'])}); "
        f"output: at most about {_size(made['output_bytes'])} ({_size(made['free_bytes'])} free)"
    )
    if "run_s" in made:
        console.print(
            f"time here: {_time(made['run_s'])}, and {_time(made['compile_s'])} to compile (measured on "
            "one block of each program)"
        )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.3g} TiB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
