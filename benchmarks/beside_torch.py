"""What the benchmarks beside PyTorch share: another interpreter's runs, which alternate with ours, and their ratios.

The other interpreter imports this file too, and need not have JAX or this project.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Jobs = dict[str, Callable[[], Any]]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def parser(description: str | None, *, torch: str = "a Python with PyTorch", repeats: int = 10):
    """A command line with what all of these benchmarks take."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--torch", default=sys.executable, help=torch)
    made.add_argument("--repeats", type=int, default=repeats)
    made.add_argument("--out", type=Path)
    return made


def publish(result: dict[str, Any], out: Path | None) -> None:
    """Print as JSON, and write it."""
    text = json.dumps(result, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n", encoding="utf-8")


def serve(make: Callable[[], tuple[Jobs, dict[str, Any]]]) -> None:
    """PyTorch's side: does a run for each word read, and answers with its seconds.

    make: its jobs, and what else is told of it; called when threads are set, one a core.
    """
    import torch

    torch.set_num_threads(cores())
    jobs, setting = make()
    for job in jobs.values():
        job()
    if (
        torch.get_num_threads() != cores()
    ):  # jobs with threads of their own must leave those of this one as they were
        raise RuntimeError(f"PyTorch has {torch.get_num_threads()} threads, not one a core")
    setting = {"torch": torch.__version__, "threads": torch.get_num_threads()} | setting
    print(json.dumps(setting), flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        jobs[line.strip()]()
        print(time.perf_counter() - begin, flush=True)


@contextlib.contextmanager
def served(*command: str) -> Iterator[tuple[dict[str, Any], Callable[[str], float]]]:
    """What the other side tells of itself, and a function that lets it do a job and gives its seconds."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    asks, answers = child.stdin, child.stdout

    def theirs(name):
        asks.write(name + "\n")
        asks.flush()
        return float(answers.readline())

    try:
        yield json.loads(answers.readline()), theirs
    finally:
        asks.close()
        child.wait()


def compared(
    jobs: Jobs,
    theirs: Callable[[str], float],
    work: dict[str, int],
    units: dict[str, str],
    repeats: int,
    hows: tuple[str, ...] = ("",),
) -> dict[str, Any]:
    """Rates and their ratio for each of our jobs, beside each way, of `hows`, in which the other side does it."""
    taken = {name + how: (name, [], []) for how in hows for name in jobs}
    for _ in range(repeats):
        for asked, (name, own, other) in taken.items():
            begin = time.perf_counter()
            jobs[name]()
            own.append(time.perf_counter() - begin)
            other.append(theirs(asked))
    out = {}
    for asked, (name, own, other) in taken.items():
        ratios = np.array(other) / np.array(own)
        out[asked] = {
            "unit": units[name],
            "jax": work[name] / float(np.median(own)),
            "torch": work[name] / float(np.median(other)),
            "ratio": float(np.median(ratios)),
            "ratio_range": [float(ratios.min()), float(ratios.max())],
        }
    return out


def where() -> dict[str, Any]:
    """Our side and the machine."""
    import jax

    from simcollapse import machine

    return {
        "jax_version": jax.__version__,
        "nproc": os.environ.get("NPROC"),
        "processor": machine.processor(),
    }
