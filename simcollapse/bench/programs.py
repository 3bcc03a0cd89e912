"""The engine's compiled programs seen from outside: how long they compile, what they need, whether they stay one."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from simcollapse import blocks


class Program(NamedTuple):
    """One compiled block program and what compiling it took."""

    jitted: Any
    trace_s: float  # tracing and lowering
    xla_s: float  # XLA's part
    block_bytes: int  # arguments, results and scratch of one block; 0 where the backend does not tell


@contextlib.contextmanager
def recorded() -> Iterator[dict[int, Program]]:
    """The programs that the engine runs inside the `with` block, each compiled ahead of its first call.

    JAX keeps what is compiled ahead for the calls that follow, so nothing is compiled twice. Programs that were
    compiled before show no compile time: call `forget` first.
    """
    seen: dict[int, Program] = {}
    compiled_block = blocks.compiled_block

    def recording(static):
        jitted = compiled_block(static)

        def run(*args):
            if id(jitted) not in seen:
                seen[id(jitted)] = _compile(jitted, args)
            return jitted(*args)

        return run

    blocks.compiled_block = recording
    try:
        yield seen
    finally:
        blocks.compiled_block = compiled_block


def block_size(run: Callable[[], object]) -> int:
    """Chains of one block that the engine would use in `run`, which is stopped at its first block."""

    class Stop(Exception):
        """Carries the block size out of the engine."""

    def stopping(static):
        jitted = compiled_block(static)

        def stop(*args):
            raise Stop(jax.tree.leaves(jax.eval_shape(jitted, *args))[0].shape[0])

        return stop

    compiled_block = blocks.compiled_block
    blocks.compiled_block = stopping
    try:
        run()
    except Stop as stop:
        return stop.args[0]
    finally:
        blocks.compiled_block = compiled_block
    raise RuntimeError("the engine ran without asking for a block's program")


def forget() -> None:
    """Drop everything compiled so far, so that the next run compiles as in a fresh process."""
    jax.clear_caches()


def compilations(programs: dict[int, Program]) -> int:
    """How many shapes or devices the programs were compiled for so far."""
    return sum(program.jitted._cache_size() for program in programs.values())


def compile_cost(programs: dict[int, Program]) -> dict[str, float]:
    """Seconds to trace and compile the programs, and bytes that running a block takes."""
    every = list(programs.values())
    return {
        "compile_s": sum(p.trace_s + p.xla_s for p in every),
        "trace_s": sum(p.trace_s for p in every),
        "xla_s": sum(p.xla_s for p in every),
        "block_bytes": max((p.block_bytes for p in every), default=0),
    }


def peak_device_bytes() -> int | None:
    """Most device memory in use so far, where the backend counts it (GPU, TPU)."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use")


def _compile(jitted, args) -> Program:
    begin = time.perf_counter()
    lowered = jitted.lower(*args)
    lowered_at = time.perf_counter()
    compiled = lowered.compile()
    done = time.perf_counter()
    memory = compiled.memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    num_bytes = sum(getattr(memory, part, 0) for part in parts)
    return Program(jitted, lowered_at - begin, done - lowered_at, num_bytes)
