"""`simcollapse info`: what this installation runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = (
    "simcollapse",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "xarray",
    "matplotlib",
    "scikit-learn",
    "flax",
    "optax",
)
_SHOWN_FILES = 4


def collect() -> dict[str, Any]:
    """Versions, devices, precision and data sets, as plain values."""
    import jax
    import jax.numpy as jnp

    from simcollapse import keys
    from simcollapse.data import KNOWN
    from simcollapse.data.finding import VARIABLE

    root = os.environ.get(VARIABLE, "")
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "backend": jax.default_backend(),
        "devices": [{"id": d.id, "platform": d.platform, "kind": d.device_kind} for d in jax.local_devices()],
        "processes": jax.process_count(),
        "dtype": str(jnp.zeros(()).dtype),
        "key_implementation": keys.IMPLEMENTATION,
        "cpu_threads": int(os.environ["NPROC"]) if os.environ.get("NPROC", "").isdigit() else None,
        "data": {"bundled": sorted(KNOWN), "variable": VARIABLE, "root": root, "found": _found(root)},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _found(root: str) -> dict[str, list[str]]:
    """Files of each folder below the data root."""
    folder = Path(root)
    if not root or not folder.is_dir():
        return {}
    sets = sorted(p for p in folder.iterdir() if p.is_dir())
    return {p.name: sorted(str(f.relative_to(p)) for f in p.rglob("*") if f.is_file()) for p in sets}


def print_info(found: dict[str, Any]) -> None:
    """Print what `collect` returned."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    versions = [f"{name} {number}" for name, number in found["versions"].items() if number]
    absent = [name for name, number in found["versions"].items() if not number]
    table.add_row(
        "versions", ", ".join(versions) + (f" (not installed: {', '.join(absent)})" if absent else "")
    )
    kinds = [f"{d['platform']}:{d['id']} {d['kind']}" for d in found["devices"]]
    table.add_row("devices", f"{len(kinds)}: {', '.join(kinds)}; {found['processes']} process(es)")
    table.add_row("numbers", f"{found['dtype']}, keys {found['key_implementation']}")
    table.add_row("XLA's CPU threads", str(found["cpu_threads"] or "not fixed (NPROC is not set)"))
    table.add_row("bundled data", ", ".join(found["data"]["bundled"]))
    data = found["data"]
    if not data["found"]:
        table.add_row(
            "other data", f"none: {data['variable']} {'names no folder' if data['root'] else 'is not set'}"
        )
    for name, files in data["found"].items():
        more = f", … {len(files)} files" if len(files) > _SHOWN_FILES else ""
        table.add_row(f"data: {name}", ", ".join(files[:_SHOWN_FILES]) + more)
    if data["found"]:
        table.add_row("found below", data["root"])
    Console().print(table, highlight=False, soft_wrap=False)
