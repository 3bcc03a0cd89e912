"""All of a benchmark as one dictionary that JSON can hold: the setting, the cases, the sweeps, the targets."""

import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

from simcollapse import keys, machine, memory
from simcollapse.bench import cases, figures, generative, grid_cells, measure, programs, sweeps, targets
from simcollapse.bench.scale import Scale

SCHEMA = 1  # of the dictionary; grows when a key changes its meaning
FORGOTTEN_AFTER = 30  # parts: many more programs take all mappings of memory that a process may have
SECTIONS = {  # what can be measured alone, and the lists of the report that it fills
    "regression": ("sample", "law", "block_sizes", "devices"),
    "mixtures": ("mixture",),
    "generative": ("generative", "growth"),
    "figures": ("figures",),
}


def collect(
    scale: Scale,
    say: Callable[[str], None] = lambda _: None,
    save: Callable[[dict], None] = lambda _: None,
    only: str | None = None,
) -> dict[str, Any]:
    """Everything measured at `scale`; `say` is told what comes next, `save` gets what there is after each part.

    `only` names one of `SECTIONS`; None measures all. The last thing set is `complete`, so that a report that was cut
    short shows it.
    """
    say("warming up")
    jax.random.normal(keys.root(0), dtype=float).block_until_ready()  # starting JAX belongs to no case
    parts, skipped = _parts(scale)
    wanted = SECTIONS[only] if only else [name for names in SECTIONS.values() for name in names]
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "scale": scale.name,
        "complete": False,
        "setting": setting(),
        "skipped": [item for name in wanted for item in skipped.get(name, [])],
    } | {name: [] for names in SECTIONS.values() for name in names}
    for number, (name, words, measured) in enumerate(part for part in parts if part[0] in wanted):
        if number % FORGOTTEN_AFTER == FORGOTTEN_AFTER - 1:
            programs.forget()
        say(words)
        made = measured(scale)
        report[name] += made if isinstance(made, list) else [made]
        report["summary"] = grid_cells.summaries(report["generative"])
        report["targets"] = targets.judged(report)
        report["memory"] = {
            "peak_process_bytes": memory.peak_bytes(),
            "peak_device_bytes": programs.peak_device_bytes(),
        }
        save(report)
    report["complete"] = True
    save(report)
    return report


def _parts(scale: Scale) -> tuple[list[Any], dict[str, list[dict[str, str]]]]:
    """What is measured, as the list it goes to, words and a function of the scale; and the cases left out, by list."""
    sample_cases, skipped = cases.grid(scale.dims, scale.ns, True, scale.designs)
    law_cases, law_skipped = cases.grid(scale.law_dims, scale.law_ns, False, scale.law_designs)
    left_out = {"sample": skipped, "law": [item for item in law_skipped if item not in skipped]}
    if len(scale.cells) > 1:
        left_out["generative"] = generative.grid()[1]
    parts: list[Any] = [
        ("sample", f"every row drawn: {c.name}", functools.partial(measure.sample_level, c))
        for c in sample_cases
    ]
    parts += [
        ("law", f"exact in law: {c.name}", functools.partial(measure.exact_in_law, c)) for c in law_cases
    ]
    parts += [
        ("mixture", f"classification: {c.name}", functools.partial(measure.mixture, c))
        for c in scale.mixtures
    ]
    parts += [("block_sizes", "block sizes", sweeps.block_sizes), ("devices", "devices", sweeps.devices)]
    parts += [("generative", c.name, functools.partial(grid_cells.cell, c)) for c in scale.cells]
    parts += [
        ("growth", f"{c.name} by rounds", functools.partial(grid_cells.growth, c, lengths))
        for c, lengths in scale.growths
    ]
    parts += [
        ("figures", f"{name} at scale {size}", lambda _, name=name, size=size: figures.measured(name, size))
        for name, size in scale.figures
    ]
    return parts, left_out


def setting() -> dict[str, Any]:
    """Where and with what the numbers were taken; no date and no path."""
    device = jax.local_devices()[0]
    return {
        "device": device.platform,
        "device_kind": device.device_kind,
        "num_devices": len(jax.local_devices()),
        "machine": platform.machine(),
        "processor": machine.processor(),
        "cpu_threads": machine.cores(),
        "xla_cpu_threads": int(os.environ.get("NPROC", 0)) or machine.cores(),
        "blas": _blas(),
        "dtype": str(jnp.zeros(()).dtype),
        "baseline_dtype": str(np.zeros(()).dtype),
        "key_implementation": keys.IMPLEMENTATION,
        "versions": {name: _version(name) for name in ("simcollapse", "jax", "jaxlib", "numpy")}
        | {"python": platform.python_version()},
    }


def _blas() -> str:
    libraries = [info for info in threadpoolctl.threadpool_info() if info.get("user_api") == "blas"]
    return ", ".join(sorted({f"{info['internal_api']} {info['version']}" for info in libraries}))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
