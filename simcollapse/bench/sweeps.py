"""How speed depends on the block size and on the number of devices; on CPU the devices are virtual."""

import functools
import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import jax

from simcollapse.bench import measure, programs, timing
from simcollapse.bench.cases import Case
from simcollapse.bench.scale import Scale
from simcollapse.bench.timing import Action

SCALED = Case("gaussian", 10, 100)
SCALED_BLOCK = 64
TIMEOUT_S = 180


def block_sizes(scale: Scale) -> list[dict[str, Any]]:
    """Rate and cost of compiling by block size, all sizes of a case in alternating runs."""
    rows = []
    for case, sizes in scale.swept_blocks:
        programs.forget()
        auto, compiled, start = measure.engine_action(case, scale, "sample")
        chosen = start["block_size"]
        actions, costs = {str(chosen): auto}, {chosen: programs.compile_cost(compiled)}
        for size in sizes:
            if size == chosen:
                continue
            chains = max(auto.size, 2 * size)
            run = functools.partial(case.simulate, chains, block_size=size)
            with programs.recorded() as compiled:
                run()
            actions[str(size)] = Action(run, chains * (case.rounds + 1), chains)
            costs[size] = programs.compile_cost(compiled)
        taken = timing.interleaved(actions, scale.repeats)
        rows += [
            {"case": case.name, "block_size": size, "chosen": size == chosen}
            | timing.summary(taken[str(size)], actions[str(size)].work)
            | costs[size]
            for size in sorted(costs)
        ]
    return rows


def devices(scale: Scale) -> list[dict[str, Any]]:
    """Rate over the number of devices: the real ones where there are several, else virtual CPU devices."""
    real = jax.local_devices()
    if len(real) > 1:
        counts = [c for c in (1, 2, 4, 8, 16) if c <= len(real)]
        rows = [on_devices(count, scale.engine_run_s, scale.repeats) for count in counts]
    else:
        rows = [_in_a_process(count, scale) for count in scale.device_counts]
    base = next((row["rate"] for row in rows if row.get("devices") == 1 and "rate" in row), None)
    for row in rows:
        if base and "rate" in row:
            row["speedup"] = row["rate"] / base
            row["same_bits"] = row["digest"] == rows[0]["digest"]
    return rows


def on_devices(count: int, run_s: float, repeats: int) -> dict[str, Any]:
    """Rate on the first `count` local devices, and a digest of the result's bits (of the same chains for any count)."""
    local = jax.local_devices()[:count]
    run = functools.partial(SCALED.simulate, devices=local, block_size=SCALED_BLOCK)

    def make(chains):
        return Action(functools.partial(run, chains), chains * (SCALED.rounds + 1), chains)

    action = timing.sized(make, 1, run_s, 8 * SCALED_BLOCK)
    taken = timing.interleaved({"engine": action}, repeats)["engine"]
    bits = run(8 * SCALED_BLOCK)["squared_error"].values.tobytes()
    return {
        "case": SCALED.name,
        "devices": len(local),
        "platform": local[0].platform,
        "virtual": False,
        "chains": action.size,
        "block_size": SCALED_BLOCK,
        "digest": hashlib.sha256(bits).hexdigest()[:16],
    } | timing.summary(taken, action.work)


def print_on_devices(count: int, run_s: float, repeats: int) -> None:
    """`on_devices` as one line of JSON: what a process of its own is started for."""
    print(json.dumps(on_devices(count, run_s, repeats)))


def _in_a_process(count: int, scale: Scale) -> dict[str, Any]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()
    # XLA's thread pool picks the code, hence the last bits: the same size for every number of devices
    threads = os.environ.get("NPROC") or str(os.cpu_count() or 1)
    call = f"sweeps.print_on_devices({count}, {scale.engine_run_s}, {scale.repeats})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"from simcollapse.bench import sweeps; {call}"],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "NPROC": threads},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"devices": count, "virtual": True, "error": f"took more than {TIMEOUT_S} seconds"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"devices": count, "virtual": True, "error": lines[-1]}
    return json.loads(done.stdout.splitlines()[-1]) | {"virtual": True}
