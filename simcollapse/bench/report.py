"""All of a benchmark as one dictionary that JSON can hold: the setting, the cases, the sweeps, the targets."""

import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

from simcollapse import keys
from simcollapse.bench import cases, measure, programs, sweeps, targets
from simcollapse.bench.scale import Scale

SCHEMA = 1  # of the dictionary; grows when a key changes its meaning


def collect(scale: Scale, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Everything measured at `scale`; `say` is told what comes next."""
    say("warming up")
    cases.Case("gaussian", 2, 100).simulate(16)  # starting JAX belongs to no case
    sample_cases, skipped = cases.grid(scale.dims, scale.ns, True, scale.designs)
    law_cases, law_skipped = cases.grid(scale.law_dims, scale.law_ns, False, scale.law_designs)
    skipped += [item for item in law_skipped if item not in skipped]
    report: dict[str, Any] = {"schema": SCHEMA, "scale": scale.name, "setting": setting(), "skipped": skipped}
    report["sample"] = _each(sample_cases, measure.sample_level, "every row drawn", scale, say)
    report["law"] = _each(law_cases, measure.exact_in_law, "exact in law", scale, say)
    say("block sizes")
    report["block_sizes"] = sweeps.block_sizes(scale) if scale.block_sizes else []
    say("devices")
    report["devices"] = sweeps.devices(scale) if scale.device_counts else []
    report["targets"] = targets.judged(report["sample"], report["law"], report["block_sizes"])
    report["memory"] = {
        "peak_process_bytes": peak_process_bytes(),
        "peak_device_bytes": programs.peak_device_bytes(),
    }
    return report


def setting() -> dict[str, Any]:
    """Where and with what the numbers were taken; no date and no path."""
    device = jax.local_devices()[0]
    return {
        "device": device.platform,
        "device_kind": device.device_kind,
        "num_devices": len(jax.local_devices()),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpu_threads": _cpu_threads(),
        "xla_cpu_threads": int(os.environ.get("NPROC", 0)) or _cpu_threads(),
        "blas": _blas(),
        "dtype": str(jnp.zeros(()).dtype),
        "baseline_dtype": str(np.zeros(()).dtype),
        "key_implementation": keys.IMPLEMENTATION,
        "versions": {name: _version(name) for name in ("simcollapse", "jax", "jaxlib", "numpy")}
        | {"python": platform.python_version()},
    }


def peak_process_bytes() -> int:
    """Most memory that this process had in use so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def _each(some_cases, measured, words, scale, say):
    rows = []
    for case in some_cases:
        say(f"{words}: {case.name}")
        rows.append(measured(case, scale))
    return rows


def _cpu_threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def _blas() -> str:
    libraries = [info for info in threadpoolctl.threadpool_info() if info.get("user_api") == "blas"]
    return ", ".join(sorted({f"{info['internal_api']} {info['version']}" for info in libraries}))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
