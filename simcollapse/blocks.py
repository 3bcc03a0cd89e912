"""Blocks: cells that share a compiled program are cut into blocks of chains, which the devices run in turn.

A block is B chains, one device, one compiled program, the last one padded. Which device runs a block, and when,
changes no bit of its result; the block size does (`engine.settings`).
"""

import concurrent.futures
import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import chain, keys, laws, results
from simcollapse.checks import check_whole

CPU_BLOCK_BYTES = 1.2 * 2**20  # rows of one draw of one block; measured: it should stay in a core's cache
CPU_POOL_BYTES = 2**24  # of the states of one block: pools of rows should not leave the caches altogether
GPU_BLOCK_SHARE = 0.1  # of the device's memory
ROW_COPIES = 4  # of the rows of a draw that are alive at once: covariates, responses, masks, products
LEAST_BLOCKS = 8  # a small experiment is still cut in so many, so that several devices have work
LEAST_BLOCK = 16  # … but never finer than this
MOST_ROWS = 2**31 - 1  # of a buffer: places are int32


class Static(NamedTuple):
    """All that decides a compiled program, hashable."""

    treedef: Any
    batched: tuple[bool, ...]  # which leaves of (task, verifier, workflow) carry a chain axis
    sampling: chain.Sampling
    law: ModuleType | None
    capacity: int | None
    limit: int
    ranked: int
    rounds: int
    record_model: bool
    most_real: int | None


class Program(NamedTuple):
    """Cells that share a compiled program and a schedule."""

    loop_static: Static
    cells: list[int]  # their positions in the grid
    index: np.ndarray  # (cells, axes), the grid index of each
    leaves: list  # shared leaves as they are, batched ones stacked over cells
    schedule: np.ndarray  # (K + 1,)


class Job(NamedTuple):
    """One block: `size` chains from place `begin` on, of a program's cells one after the other.

    Places from `end` on are padding.
    """

    program: Program
    begin: int
    end: int
    size: int
    chains: int  # of each cell

    @property
    def _places(self) -> np.ndarray:
        return np.arange(self.begin, self.begin + self.size)

    @property
    def positions(self) -> np.ndarray:
        """Which of the program's cells each chain belongs to."""
        return np.minimum(self._places, self.end - 1) // self.chains

    @property
    def cells(self) -> np.ndarray:
        """The same as positions in the grid."""
        return np.asarray(self.program.cells)[self.positions]

    @property
    def chain_numbers(self) -> np.ndarray:
        """Number of each chain within its cell."""
        return (np.minimum(self._places, self.end - 1) % self.chains).astype(np.uint32)

    @property
    def num_valid(self) -> int:
        """How many are not padding, which comes last."""
        return min(self.size, self.end - self.begin)

    @property
    def valid(self) -> np.ndarray:
        """False for padding."""
        return self._places < self.end


def jobs(program: Program, size: int, chains: int, begin: int = 0, end: int | None = None) -> list[Job]:
    """The blocks of `size` chains that a program's places from `begin` to before `end` (None: all) are cut into."""
    end = len(program.cells) * chains if end is None else end
    return [Job(program, first, min(first + size, end), size, chains) for first in range(begin, end, size)]


def program(signature, members, parts, cells, rounds, record_model, room) -> Program:
    """The cells at positions `members`, which have `signature` in common; `parts` are their leaves and schedules.

    Buffers have room for rounds of `room` samples (None: of those that there are): equal rooms, equal programs.
    """
    treedef, _, how, law, _ = signature
    schedule = parts[0][1]
    task, verifier, workflow = treedef.unflatten(parts[0][0])
    columns = list(zip(*(leaves for leaves, _ in parts), strict=True)) or []
    batched = tuple(any(leaf is not column[0] for leaf in column) for column in columns)
    leaves = [
        np.stack([np.asarray(x) for x in c]) if b else c[0] for c, b in zip(columns, batched, strict=True)
    ]
    rows = np.maximum(schedule, room or 0) * task.rows_per_sample
    capacity, limit, most_real = None, 0, None
    if workflow.needs_rows and law is None:
        capacity, limit = int(rows.sum()), workflow.limit(rows)
    elif task.needs_rows:
        capacity = int(rows.max() if workflow.fits_alone else rows.sum())
    if capacity is not None:
        if capacity > MOST_ROWS:
            raise MemoryError(
                f"a buffer would need places for {capacity:,} rows, there can be {MOST_ROWS:,}; use fewer rows or "
                "rounds, or a workflow without a row buffer"
            )
        most_real = int(rows[0])
    ranked = int(rows[1:].max(initial=1)) if hasattr(verifier, "score") else 0
    static = Static(treedef, batched, how, law, capacity, limit, ranked, rounds, record_model, most_real)
    index = np.array([cells[m].index for m in members], dtype=np.uint32).reshape(len(members), -1)
    return Program(static, members, index, leaves, np.asarray(schedule))


def _choices(static: Static, batched_leaves, shared_leaves):
    """Task, verifier and workflow from their leaves."""
    batched_leaves, shared_leaves = iter(batched_leaves), iter(shared_leaves)
    leaves = [next(batched_leaves) if b else next(shared_leaves) for b in static.batched]
    return static.treedef.unflatten(leaves)


def _loop(static: Static, batched_leaves, shared_leaves) -> chain.Loop:
    task, verifier, workflow = _choices(static, batched_leaves, shared_leaves)
    return chain.Loop(
        task,
        verifier,
        workflow,
        static.sampling,
        static.law,
        static.capacity,
        static.limit,
        static.ranked,
        static.record_model,
        static.rounds,
        static.most_real,
    )


# A program takes some 240 mappings of memory for each shape and precision, of which Linux gives a process 65,530.
@functools.lru_cache(maxsize=64)
def compiled_block(static: Static):
    """The jitted program of a block; made once for equal choices, so a second call does not compile again.

    It gives the packed Info of every chain, with axes (chain, round).
    """

    def one(batched_leaves, shared_leaves, root, cell, chain_number, schedule):
        loop = _loop(static, batched_leaves, shared_leaves)
        return chain.run_chain(keys.chain_key(root, cell, chain_number), loop, schedule)[1]

    return jax.jit(jax.vmap(one, in_axes=(0, None, None, 0, 0, None)))


def one_chain_shapes(program: Program):
    """Shapes of the State and Info of one chain, and of the rows of one draw."""
    batched, shared = _split_leaves(program, np.zeros(1, dtype=int))
    shapes = (
        tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in batched),
        tuple((leaf.shape, str(leaf.dtype)) for leaf in shared),
    )
    return _traced_shapes(program.loop_static, *shapes, bool(jax.config.read("jax_enable_x64")))


@functools.lru_cache(maxsize=512)
def _traced_shapes(static: Static, batched, shared, x64: bool):
    """The same by shape, kept because tracing a chain takes longer than a short simulation; `x64` is only a key."""
    batched, shared = ([jax.ShapeDtypeStruct(*leaf) for leaf in leaves] for leaves in (batched, shared))
    root = keys.root(0)

    def started(batched, shared, root):
        return chain.start(root, _loop(static, batched, shared), jnp.int32(1))

    state, info = jax.eval_shape(started, batched, shared, root)

    def drawn(batched, shared, key):
        task = _choices(static, batched, shared)[0]
        return task.generate(key, task.truth_model(), jnp.int32(0), jnp.asarray(True))

    rounds = static.rounds + 1
    info = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rounds, *x.shape), x.dtype), info)
    return state, info, jax.eval_shape(drawn, batched, shared, root)


def common_shapes(programs):
    """Info of one chain, the same for every program, or the cells could not share a result."""
    shapes = [one_chain_shapes(program)[1] for program in programs]
    described = {str(jax.tree.map(lambda s: s.shape, info)) for info in shapes}
    if len(described) > 1:
        raise ValueError(
            "over puts cells side by side whose records differ in shape (tasks of different dimension with "
            "record_model=True?); leave record_model off, or run them one by one"
        )
    return shapes[0]


def _split_leaves(program, positions):
    """Batched leaves gathered for the block's chains, and the shared ones."""
    pairs = list(zip(program.leaves, program.loop_static.batched, strict=True))
    return [leaf[positions] for leaf, b in pairs if b], [leaf for leaf, b in pairs if not b]


def chain_bytes(program: Program) -> tuple[int, int]:
    """Memory that one chain takes in a block: for the rows of a draw, and for its state and record."""
    state, info, data = one_chain_shapes(program)
    task, verifier, _ = program.loop_static.treedef.unflatten(program.leaves)
    row_bytes = task.draw_bytes(data)
    if hasattr(verifier, "prepare_bytes"):
        row_bytes = max(row_bytes, verifier.prepare_bytes(task))
    return row_bytes, 3 * results.num_bytes(state) + results.num_bytes(info)


def block_size(program, chains, asked, memory, device) -> int:
    """Chains of one block: the user's, or what cache and memory suggest; the same for any number of devices."""
    row_bytes, kept_bytes = chain_bytes(program)
    per_chain = ROW_COPIES * row_bytes + kept_bytes
    limit = memory.device_bytes(device)
    if per_chain > limit:
        raise MemoryError(
            f"one chain needs {_mebibytes(per_chain)}, a block may take {_mebibytes(limit)}; use fewer rows or "
            "rounds, a workflow without a row buffer, or a larger memory_bytes (simcollapse run: --memory)"
            + _by_law(program)
        )
    if asked is not None:
        return min(check_whole("block_size", asked, 1), max(1, limit // per_chain))
    total = len(program.cells) * chains
    if device.platform == "cpu":
        size = int(CPU_BLOCK_BYTES / (row_bytes if program.loop_static.law is None else kept_bytes))
        size = min(size, CPU_POOL_BYTES // results.num_bytes(one_chain_shapes(program)[0]))
    else:
        size = int(GPU_BLOCK_SHARE * limit / per_chain)
    size = min(size, -(-total // LEAST_BLOCKS), limit // per_chain, 2**16)
    size = 2 ** int(np.log2(max(size, 1)))
    return int(min(max(size, LEAST_BLOCK), 2 ** int(np.ceil(np.log2(total)))))


def _mebibytes(count: int) -> str:
    mebibytes = count / 2**20
    return f"{mebibytes:,.0f} MiB" if mebibytes >= 10 else f"{mebibytes:.2g} MiB"


def _by_law(program) -> str:
    """A hint at the other engine, where a law is known."""
    static = program.loop_static
    task, verifier, workflow = static.treedef.unflatten(program.leaves)
    law, _ = laws.find(task, verifier, workflow, static.sampling, program.schedule)
    return "" if static.law is not None or law is None else "; engine='law' draws no rows"


def blocks_at_once(devices) -> int:
    """Blocks that run at the same time."""
    # On CPU two blocks at a time on one device fill the gaps of operations that use a single thread.
    return max(len(devices), 2 if devices[0].platform == "cpu" else len(devices))


def dispatch(jobs, devices, root, common_noise):
    """Each job and its Info as NumPy arrays, in order; blocks go to the devices in turn."""
    at_once = blocks_at_once(devices)
    x64 = bool(jax.config.read("jax_enable_x64"))

    def run(job, device, compiled):
        program = job.program
        position = job.positions
        cell = program.index[position]
        if common_noise:
            cell = np.zeros_like(cell)
        batched, shared = _split_leaves(program, position)
        args = (batched, shared, root, cell, job.chain_numbers, program.schedule.astype(np.int32))
        # settings of the calling thread, which this thread does not have; products in full precision, because GPUs
        # and TPUs otherwise round float32 to 10 or 7 bits, and results are compared with closed forms
        with jax.enable_x64(x64), jax.default_matmul_precision("highest"):
            packed = compiled(*jax.device_put(args, device))
            return job, chain.unpack(jax.tree.map(np.asarray, packed), one_chain_shapes(program)[1])

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        waiting: list = []
        try:
            for i, job in enumerate(jobs):
                # looked up here: two threads may both find nothing, and make it twice. Of calls of one program that
                # come together JAX compiles in one alone
                compiled = compiled_block(job.program.loop_static)
                waiting.append(pool.submit(run, job, devices[i % len(devices)], compiled))
                if len(waiting) > 2 * at_once:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
