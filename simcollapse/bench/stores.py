"""What a run directory costs: throughput with the store and without, two processes on two cores, blocks on devices."""

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import simcollapse as sc
from simcollapse import runs
from simcollapse.bench import timing
from simcollapse.bench.timing import Action
from simcollapse.checks import check_choice
from simcollapse.engine import settings

CHAIN_ROUNDS = 1_000_000
REPEATS = 7
LEAST_SHARE = 0.95  # of the throughput without a store
DEVICE_COUNTS = (1, 2, 4, 8)
BLOCKS_EACH = 64  # of every virtual device
TIMEOUT_S = 240


def experiment(engine: str) -> dict[str, Any]:
    """A sweep of 10^6 chain-rounds: 20 cells of 2,500 chains and 20 rounds, d = 10, n = 100, Gaussian design."""
    ball = sc.none() if engine == "law" else sc.knowledge_ball(bias=0.1, radius=1.0, slack=0.5)
    bias = {} if engine == "law" else {"verifier.radius": [0.5, 0.7, 1.0, 1.5]}
    noise = np.linspace(0.5, 1.5, 20 if engine == "law" else 5).tolist()
    return {
        "task": sc.linear_regression(10),
        "verifier": ball,
        "workflow": sc.replace(),
        "over": {"task.noise": noise, **bias},
        "n_real": 100,
        "n_per_round": 100,
        "rounds": 20,
        "chains": 2500,
        "seed": 0,
        "engine": engine,
    }


def store(engine: str, folder: Path) -> dict[str, Any]:
    """Rates with the results in a run directory in `folder` and without, in turns, both compiled before."""
    given = experiment(engine)
    outs = [folder / f"{engine}-{i}" for i in range(REPEATS + 1)]
    fresh = iter(outs)

    def on():
        runs.run(given, next(fresh), progress=False)

    off = functools.partial(sc.sweep, **given, progress=False)
    begun = time.perf_counter()
    actions = {"off": Action(off, CHAIN_ROUNDS), "on": Action(on, CHAIN_ROUNDS)}
    for action in actions.values():
        action.run()
    warm_s = time.perf_counter() - begun
    taken = timing.interleaved(actions, REPEATS)
    size = sum(f.stat().st_size for f in outs[0].rglob("*") if f.is_file())
    return {
        "engine": engine,
        "parts": runs.open_run(outs[0]).layout.num_parts,
        "bytes": size,
        "warm_up_s": warm_s,
        "share": float(np.median(taken["off"] / taken["on"])),
    } | {name: timing.summary(taken[name], CHAIN_ROUNDS) for name in actions}


_SHARD = """
import sys, time
from pathlib import Path
import simcollapse as sc
from simcollapse import runs
from simcollapse.bench import stores
index, count, out, gate = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
given = stores.experiment("sample")
runs.run(given | {"over": {}, "chains": 300, "block_size": 256}, out / f"warm-{index}", progress=False)  # compiles
given |= {"block_size": 256}
gate.with_name(f"ready-{index}").touch()
while not gate.exists():
    time.sleep(0.001)
begun = time.perf_counter()
runs.run(given, out / "run", shard=(index, count), progress=False)
print(time.perf_counter() - begun)
"""


def processes(count: int, cores: int, folder: Path) -> float:
    """Seconds that the slowest of `count` processes takes for its share; each has cores / count cores of its own."""
    every = sorted(os.sched_getaffinity(0))[:cores]
    each = cores // count
    gate = folder / "gate"
    started = []
    for i in range(count):
        mine = ",".join(map(str, every[i * each : (i + 1) * each]))
        command = ["taskset", "-c", mine, sys.executable, "-c", _SHARD, *map(str, (i, count, folder, gate))]
        environment = {**os.environ, "NPROC": str(each)}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        until = time.monotonic() + TIMEOUT_S
        while not all((folder / f"ready-{i}").exists() for i in range(count)):
            if time.monotonic() > until or any(process.poll() for process in started):
                raise RuntimeError("a process of the benchmark failed")
            time.sleep(0.01)
        gate.touch()
        return max(float(process.communicate(timeout=TIMEOUT_S)[0]) for process in started)
    finally:
        for process in started:
            process.kill()


_DEVICES = """
import json, sys, time
import jax
import simcollapse as sc
from simcollapse import blocks, engine, keys
from simcollapse.bench import stores
count, each = len(jax.devices()), int(sys.argv[1])
given = stores.experiment("law") | {"over": {}, "rounds": 1, "block_size": 16, "chains": 16 * count * each}
made = engine.prepare(**given)
jobs = blocks.jobs(made.programs[0], 16, given["chains"])
taken = []
for _ in range(6):
    begun = time.perf_counter()
    for _ in engine.run_blocks(made, jobs):
        pass
    taken.append(time.perf_counter() - begun)
print(json.dumps({"devices": count, "blocks": len(jobs), "block_s": sorted(taken[1:])[2] / len(jobs)}))
"""


def devices(count: int) -> dict[str, Any]:
    """Seconds of each of many nearly empty blocks on `count` virtual devices, as many blocks for each."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
    command = [sys.executable, "-c", _DEVICES, str(BLOCKS_EACH)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True
    )
    return json.loads(done.stdout)


def _stores() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as place:
        return [store(engine, Path(place)) for engine in ("sample", "law")]


def _processes() -> dict[str, Any] | None:
    """None on a machine with one core."""
    if len(os.sched_getaffinity(0)) < 2:
        return None
    rows: dict[str, list[float]] = {"one process, one core": [], "two processes, a core each": []}
    for _ in range(3):
        for name, count in zip(rows, (1, 2), strict=True):
            with tempfile.TemporaryDirectory() as place:
                rows[name].append(processes(count, count, Path(place)))
    medians = {name: statistics.median(values) for name, values in rows.items()}
    one, two = medians.values()
    return {"median_s": medians, "efficiency": one / two / 2}


QUESTIONS = {
    "store": _stores,
    "processes": _processes,
    "devices": lambda: [devices(count) for count in DEVICE_COUNTS],
}


def measure(only: Sequence[str] = (), before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything in plain values; of `QUESTIONS` perhaps `only` some, put into what was measured `before`.

    Raises:
        ValueError: an unknown question; it was another setting before.
    """
    for question in only:
        check_choice("only", question, QUESTIONS)
    setting = settings(jax.local_devices(), [])
    del setting["block_sizes"]
    if before is not None and before["setting"] != setting:
        raise ValueError(f"measured under another setting before: {before['setting']}, now it is {setting}")
    made = {"schema": 1, "chain_rounds": CHAIN_ROUNDS, "setting": setting} | (before or {})
    return made | {question: QUESTIONS[question]() for question in only or QUESTIONS}


def to_markdown(made: dict[str, Any]) -> str:
    """The measurements as tables."""
    lines = []
    if "store" in made:
        lines += [
            "**A run directory against results in memory**, 10⁶ chain-rounds, d=10, n=100",
            "",
            "| engine | in memory, chain-rounds/s | in a run directory | share | parts | size |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
    for row in made.get("store", []):
        lines.append(
            f"| {row['engine']} | {row['off']['rate']:,.0f} | {row['on']['rate']:,.0f} | {row['share']:.1%} | "
            f"{row['parts']} | {row['bytes'] / 2**20:.0f} MiB |"
        )
    if lines:
        lines += ["", f"Medians of {REPEATS} runs in turns, summary included; compiled before.", ""]
    if made.get("processes") is not None:
        told = "; ".join(f"{name}: {value:.2f} s" for name, value in made["processes"]["median_s"].items())
        lines += [f"{told}; efficiency {made['processes']['efficiency']:.1%}.", ""]
    if "devices" in made:
        lines += ["| virtual devices | blocks | time of a nearly empty block |", "| --- | --- | --- |"]
    for row in made.get("devices", []):
        lines.append(f"| {row['devices']} | {row['blocks']} | {1e3 * row['block_s']:.2f} ms |")
    return "\n".join(lines) + "\n"
