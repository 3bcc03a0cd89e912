"""Time and memory of whole figures: each in a process of its own, start, compiling and drawing included."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from simcollapse import memory

FIGURES = (
    "kazdan-gaussian",
    "kazdan-regression",
    "kazdan-discrete",
    "kazdan-kde",
    "kazdan-kde-bandwidth",
    "kazdan-value",
    "mixing-golden-ratio",
    "strong-collapse",
    "real-share",
    "subsample-strategies",
    "delete-real",
    "verify-x-workflow",
)
TIMEOUT_S = 1800


def measured(name: str, scale: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Wall and processor seconds and peak memory of `simcollapse reproduce NAME --scale SCALE`.

    exit_code is 1 where a claim was not confirmed. A figure that fails or takes too long has an `error` in its row.
    """
    row: dict[str, Any] = {"figure": name, "figure_scale": scale}
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["reproduce", name, "--scale", scale, "--out", folder]
        code = f"from simcollapse.bench import figures; figures.print_run({arguments!r})"
        try:
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return row | {"error": f"took more than {timeout_s:.0f} seconds"}
    seconds = time.perf_counter() - begin
    if done.returncode:
        return row | {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return row | {"wall_s": seconds} | json.loads(done.stdout.splitlines()[-1])


def print_run(arguments: Sequence[str]) -> None:
    """Run the command line and print what it took as one line of JSON: what a process of its own is started for."""
    from simcollapse import cli

    exit_code = cli.main(arguments)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    took = {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": memory.peak_bytes(),
        "exit_code": exit_code,
    }
    print(json.dumps(took))
