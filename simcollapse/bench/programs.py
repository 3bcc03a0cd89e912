"""The engine's compiled programs seen from outside: how long they compile, what they need, whether they stay one."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from simcollapse import engine


class Program(NamedTuple):
    """One compiled block program and the arguments of its latest block."""

    static: Any
    jitted: Any
    args: tuple


@contextlib.contextmanager
def recorded() -> Iterator[dict[int, Program]]:
    """The programs that the engine runs inside the `with` block, filled in as it runs them."""
    seen: dict[int, Program] = {}
    compiled_block = engine._compiled_block

    def recording(static):
        jitted = compiled_block(static)

        def run(*args):
            seen[id(jitted)] = Program(static, jitted, args)
            return jitted(*args)

        return run

    engine._compiled_block = recording
    try:
        yield seen
    finally:
        engine._compiled_block = compiled_block


def compilations(programs: dict[int, Program]) -> int:
    """How many shapes or devices the programs were compiled for so far."""
    return sum(program.jitted._cache_size() for program in programs.values())


def compile_cost(programs: dict[int, Program]) -> dict[str, float]:
    """Seconds to trace and to compile the programs anew, ahead of time, and bytes that running them takes."""
    trace_s = xla_s = 0.0
    num_bytes = 0
    for program in programs.values():
        fresh = engine._compiled_block.__wrapped__(program.static)  # past the cache, so that it is traced again
        begin = time.perf_counter()
        lowered = fresh.lower(*program.args)
        lowered_at = time.perf_counter()
        compiled = lowered.compile()
        trace_s += lowered_at - begin
        xla_s += time.perf_counter() - lowered_at
        memory = compiled.memory_analysis()
        if memory is not None:  # not every backend tells
            num_bytes += memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return {"compile_s": trace_s + xla_s, "trace_s": trace_s, "xla_s": xla_s, "block_bytes": num_bytes}


def peak_device_bytes() -> int | None:
    """Most device memory in use so far, where the backend counts it (GPU, TPU)."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use")
