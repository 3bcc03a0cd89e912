"""Many chains, many cells: `vmap` over chains, blocks of fixed size, every local device in turn.

A block is B chains of cells that share one compiled program. Which device runs a block, and when, changes no
bit of its result; the block size is part of the setting that does (see `settings`).
"""

import concurrent.futures
import functools
import os
import threading
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.progress
import xarray as xr

from simcollapse import chain, grid, keys, laws, results, schedules, verifiers, workflows
from simcollapse.checks import check_choice, check_shape, check_value, check_whole

CPU_BLOCK_BYTES = 2**20  # rows of one draw of one block; measured: it should stay in a core's cache
GPU_BLOCK_SHARE = 0.1  # of the device's memory
LEAST_BLOCKS = 8  # a small experiment is still cut in so many, so that several devices have work
LEAST_BLOCK = 16  # … but never finer than this
MOST_TRIES = 2**24  # proposals of a round are counted in 32 bits
PROGRESS_AFTER_S = 2.0


def simulate(task, verifier, workflow, *, n_real, n_per_round, rounds, chains, seed, **options) -> xr.Dataset:
    """Chains of one experiment; `sweep` without a grid, see there for arguments and errors.

    Returns a Dataset with dimensions `chain` and `round` (round 0 is the fit on real data).
    """
    return sweep(
        task,
        verifier,
        workflow,
        over={},
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=rounds,
        chains=chains,
        seed=seed,
        **options,
    )


def sweep(
    task,
    verifier,
    workflow,
    *,
    over: dict[str, Any],
    n_real: int,
    n_per_round: Any,
    rounds: int,
    chains: int,
    seed: int,
    fixed: str = "generated",
    rejected: str = "drop",
    max_tries: int = 1000,
    engine: str = "sample",
    record: str = "chains",
    record_model: bool = False,
    quantiles: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95),
    common_noise: bool = False,
    block_size: int | None = None,
    memory_bytes: int | None = None,
    devices: list | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Chains of every cell of a parameter grid.

    Args:
        task, verifier, workflow: the three choices. `verifier` may be a plain function
            `accept(key, batch, model) -> mask` or "none", `workflow` a known name.
        over: swept values by path, for example {"verifier.radius": [0.5, 1], "n_per_round": [100, 1000]}. Values
            of numeric fields share one compiled program; other choices (a workflow, a design) get one each.
        n_real: real samples of round 0.
        n_per_round: samples of each later round: a number, a sequence of length K, or a `schedules.Growth`.
        rounds: K >= 0, rounds after round 0.
        chains: independent chains of each cell.
        seed: root of all random numbers, 0 <= seed < 2^32.
        fixed: "generated" (each round generates n samples) or "kept" (draws until n are accepted; where the
            design prescribes the rows, each is redrawn until accepted).
        rejected: "drop" a rejected row, or "resample" its response at the same covariates.
        max_tries: proposals per wanted row before a round goes on with fewer, at most 2^24 (and 2^31 in a round).
        engine: "sample" (every row is drawn), "law" (exact in law: sums drawn directly; an error where no law
            is known) or "auto" (law where there is one).
        record: "chains" (every chain), or "summary" (mean, variance and quantiles over chains, streamed).
        record_model: also record the fitted model of every round (with record="chains").
        quantiles: in [0, 1], recorded by "summary", from a histogram: relative error below
            `results.QUANTILE_ERROR` for magnitudes from 1e-12 to 1e12, absolute error below 1e-12 under that.
        common_noise: let all cells draw the same random numbers, to compare them on common noise.
        block_size: chains of one block; None for one that fits `memory_bytes` and the processor's cache.
        memory_bytes: memory that a block may take; None for a quarter of what the device has.
        devices: JAX devices to use; None for all local ones.
        progress: show a progress bar; None to show one on a terminal after two seconds.

    Returns:
        Dataset with the grid's paths, `chain` and `round` as dimensions: the task's metrics; the counts
        num_generated, num_correct, num_kept, num_kept_correct and num_used; the audit acceptance_rate, phi, psi,
        p and p_star (NaN where a denominator is 0, as in round 0); alive and reason. Attributes carry the
        configuration and the setting.

    Raises:
        ValueError: an argument outside its range, an unknown path or name, a law that does not exist.
        TypeError: an argument of the wrong kind.
        MemoryError: the result or one chain cannot fit; says what it would need.
        FloatingPointError: a metric became NaN or infinite; names cell, chain and round.
    """
    rounds, chains = check_whole("rounds", rounds, 0), check_whole("chains", chains, 1)
    seed = check_whole("seed", seed, 0)
    if seed >= 2**32:
        raise ValueError(f"seed must be < 2^32, got {seed}")
    check_choice("fixed", fixed, ("generated", "kept"))
    check_choice("rejected", rejected, ("drop", "resample"))
    check_choice("engine", engine, ("sample", "law", "auto"))
    check_choice("record", record, ("chains", "summary"))
    check_quantiles(quantiles)
    sampling = chain.Sampling(fixed, rejected, check_whole("max_tries", max_tries, 1, MOST_TRIES))
    workflow = as_workflow(workflow)
    _check_kinds(task, workflow)
    choices = {
        "task": task,
        "verifier": as_verifier(verifier, task),
        "workflow": workflow,
        "n_real": n_real,
        "n_per_round": n_per_round,
        "fixed": fixed,
        "rejected": rejected,
    }
    over = grid.axes_of(choices, over)
    cells = grid.cells(choices, over)
    programs = _group(cells, sampling, rounds, engine, record_model and record == "chains")
    memory = results.Memory(memory_bytes)
    plan = results.Plan(
        over=over,
        cells=cells,
        rounds=rounds,
        chains=chains,
        record=record,
        quantiles=tuple(quantiles),
        engine={p.loop_static.law is not None for p in programs},
    )
    devices = list(devices) if devices is not None else jax.local_devices()
    if not devices:
        raise ValueError("devices must have at least one device, got none")
    sizes = [_block_size(p, chains, block_size, memory, devices[0]) for p in programs]
    shapes = _common_shapes(programs)
    collector = results.collector(plan, shapes, memory, max(sizes))

    jobs = [
        _Job(program, begin, size, chains)
        for program, size in zip(programs, sizes, strict=True)
        for begin in range(0, len(program.cells) * chains, size)
    ]
    root = keys.root(seed)
    done = _dispatch(jobs, devices, root, common_noise)
    for job, info in _with_progress(done, len(jobs), progress):
        collector.add(job.cells, job.chain_numbers, job.valid, info)
    dataset = collector.dataset()
    dataset.attrs.update(
        settings(devices, sizes),
        seed=seed,
        n_real=str(n_real),
        n_per_round=str(n_per_round),
        rounds=rounds,
        chains=chains,
        fixed=fixed,
        rejected=rejected,
        common_noise=int(common_noise),
        task=repr_short(task),
        verifier=repr_short(choices["verifier"]),
        workflow=repr_short(workflow),
        max_tries=sampling.max_tries,
        over=[f"{path}: {repr_short(tuple(values))}" for path, values in over.items()],
    )
    results.warn_frozen(dataset, collector.first_frozen())
    return dataset


def settings(devices: list, sizes: list[int]) -> dict[str, Any]:
    """What results agree to the bit within, and only to rounding across; stored with every result."""
    return {
        "backend": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "num_devices": len(devices),
        "jax_version": jax.__version__,
        "simcollapse_version": _version(),
        "dtype": str(jnp.zeros(()).dtype),
        "key_implementation": keys.IMPLEMENTATION,
        "block_sizes": sizes,
        "cpu_threads": int(os.environ.get("NPROC", 0)) or _cores(),
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_quantiles(quantiles) -> None:
    """Raise unless `quantiles` is a sequence of numbers in [0, 1]."""
    check_shape("quantiles", quantiles, (None,))
    check_value("quantiles", quantiles, "unit")


def as_verifier(verifier: Any, task: Any) -> Any:
    """`verifier` itself, or a plain function wrapped as one.

    Raises:
        TypeError: neither a verifier nor a function.
    """
    if isinstance(verifier, str):
        check_choice("verifier", verifier, verifiers.KNOWN)
        if verifier != "none":
            raise ValueError(f"verifier {verifier!r} has arguments; make it with simcollapse.{verifier}(...)")
        return verifiers.none()
    if not (hasattr(verifier, "accept") and hasattr(verifier, "init")):
        verifier = verifiers.from_function(verifier) if not hasattr(verifier, "decide") else verifier
    if hasattr(verifier, "decide"):
        verifier = verifier.decide(task)
    return verifier


def as_workflow(workflow):
    """`workflow` itself, or the one of that name.

    Raises:
        ValueError: an unknown name; the nearest known is named.
    """
    if isinstance(workflow, str):
        check_choice("workflow", workflow, workflows.KNOWN)
        return workflows.KNOWN[workflow]()
    return workflow


def repr_short(thing) -> str:
    """`thing` as one readable line, arrays written by value when small and by shape otherwise."""
    if not hasattr(thing, "__dataclass_fields__"):
        if hasattr(thing, "shape"):
            array = np.asarray(thing)
            return (
                repr(array.item())
                if array.ndim == 0
                else np.array2string(array, separator=", ")
                if array.size <= 8
                else f"array{array.shape}"
            )
        if callable(thing):
            return getattr(thing, "__name__", "function")
        return f"({', '.join(map(repr_short, thing))})" if isinstance(thing, tuple) else repr(thing)
    inside = ", ".join(
        f"{name}={repr_short(getattr(thing, name))}"
        for name in thing.__dataclass_fields__
        if getattr(thing, name) is not None
    )
    return f"{type(thing).__name__}({inside})"


def _check_kinds(task, workflow):
    if not hasattr(task, "generate"):
        raise TypeError(f"task must be a task such as linear_regression(...), got {task!r}")
    if not hasattr(workflow, "training"):
        raise TypeError(f"workflow must be a workflow such as replace(), got {workflow!r}")


class _Static(NamedTuple):
    """All that decides a compiled program, hashable."""

    treedef: Any
    batched: tuple[bool, ...]  # which leaves of (task, verifier, workflow) carry a chain axis
    sampling: chain.Sampling
    law: ModuleType | None
    capacity: int | None
    limit: int
    rounds: int
    record_model: bool


class _Program(NamedTuple):
    """Cells that share a compiled program and a schedule."""

    loop_static: _Static
    cells: list[int]  # their positions in the grid
    index: np.ndarray  # (cells, axes), the grid index of each
    leaves: list  # shared leaves as they are, batched ones stacked over cells
    schedule: np.ndarray  # (K + 1,)


class _Job(NamedTuple):
    """One block: `size` chains from place `begin` on, of a program's cells one after the other; the last is padded."""

    program: _Program
    begin: int
    size: int
    chains: int  # of each cell

    @property
    def _places(self) -> np.ndarray:
        return np.arange(self.begin, self.begin + self.size)

    @property
    def _last(self) -> int:
        return len(self.program.cells) * self.chains - 1

    @property
    def positions(self) -> np.ndarray:
        """Which of the program's cells each chain belongs to."""
        return np.minimum(self._places, self._last) // self.chains

    @property
    def cells(self) -> np.ndarray:
        """The same as positions in the grid."""
        return np.asarray(self.program.cells)[self.positions]

    @property
    def chain_numbers(self) -> np.ndarray:
        """Number of each chain within its cell."""
        return (np.minimum(self._places, self._last) % self.chains).astype(np.uint32)

    @property
    def valid(self) -> np.ndarray:
        """False for padding."""
        return self._places <= self._last


def _group(cells, sampling, rounds, engine, record_model) -> list[_Program]:
    """Cells sorted into programs: equal structure, shapes and schedule go together."""
    groups: dict[Any, list[int]] = {}
    parts = []
    for position, cell in enumerate(cells):
        made = cell.choices
        task, workflow = made["task"], as_workflow(made["workflow"])
        _check_kinds(task, workflow)
        verifier = as_verifier(made["verifier"], task)
        if hasattr(verifier, "check_task"):
            verifier.check_task(task)
        check_choice("fixed", made["fixed"], ("generated", "kept"))
        check_choice("rejected", made["rejected"], ("drop", "resample"))
        how = sampling._replace(fixed=made["fixed"], rejected=made["rejected"])
        n_real = check_whole("n_real", made["n_real"], 1)
        counts = schedules.resolve(made["n_per_round"], rounds)
        task.check_sizes(n_real, counts, workflow.fits_alone, getattr(workflow, "size", None))
        schedule = np.concatenate([[n_real], counts])
        leaves, treedef = jax.tree.flatten((task, verifier, workflow))
        law = _law(task, verifier, workflow, int(schedule.min()), engine)
        signature = (
            treedef,
            tuple((np.shape(x), str(x.dtype)) for x in leaves),
            how,
            law,
            schedule.tobytes(),
        )
        parts.append((leaves, schedule))
        groups.setdefault(signature, []).append(position)
    return [
        _program(signature, members, [parts[m] for m in members], cells, rounds, record_model)
        for signature, members in groups.items()
    ]


def _law(task, verifier, workflow, least, engine):
    if engine == "sample":
        return None
    law, why = laws.find(task, verifier, workflow, least)
    if law is None and engine == "law":
        raise ValueError(
            f"engine='law' needs a known law, and there is none: {why}. Use engine='sample' or 'auto'"
        )
    return law


def _program(signature, members, parts, cells, rounds, record_model) -> _Program:
    treedef, _, how, law, _ = signature
    schedule = parts[0][1]
    task, _, workflow = treedef.unflatten(parts[0][0])
    columns = list(zip(*(leaves for leaves, _ in parts), strict=True)) or []
    batched = tuple(any(leaf is not column[0] for leaf in column) for column in columns)
    leaves = [jnp.stack(c) if b else c[0] for c, b in zip(columns, batched, strict=True)]
    rows = np.asarray(schedule) * task.rows_per_sample
    capacity, limit = None, 0
    if workflow.needs_rows:
        capacity, limit = int(rows.sum()), int(workflow.size or rows[1:].max(initial=1))
    static = _Static(treedef, batched, how, law, capacity, limit, rounds, record_model)
    index = np.array([cells[m].index for m in members], dtype=np.uint32).reshape(len(members), -1)
    return _Program(static, members, index, leaves, np.asarray(schedule))


def _choices(static: _Static, batched_leaves, shared_leaves):
    """Task, verifier and workflow from their leaves."""
    batched_leaves, shared_leaves = iter(batched_leaves), iter(shared_leaves)
    leaves = [next(batched_leaves) if b else next(shared_leaves) for b in static.batched]
    return static.treedef.unflatten(leaves)


def _run_one(static: _Static, batched_leaves, shared_leaves, root, cell, chain_number, schedule):
    """State and Info of one chain; `vmap` gives it the chain axis."""
    task, verifier, workflow = _choices(static, batched_leaves, shared_leaves)
    loop = chain.Loop(
        task,
        verifier,
        workflow,
        static.sampling,
        static.law,
        static.capacity,
        static.limit,
        static.record_model,
    )
    return chain.run_chain(keys.chain_key(root, cell, chain_number), loop, schedule, static.rounds)


@functools.lru_cache(maxsize=128)
def _compiled_block(static: _Static):
    """The jitted program of a block; made once for equal choices, so a second call does not compile again."""

    def one(*args):
        return _run_one(static, *args)[1]

    return jax.jit(jax.vmap(one, in_axes=(0, None, None, 0, 0, None)))


def _one_chain_shapes(program: _Program):
    """Shapes of the State and Info of one chain, and of one draw of rows."""
    batched, shared = _split_leaves(program, np.zeros(1, dtype=int))
    shapes = (
        tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in batched),
        tuple((leaf.shape, str(leaf.dtype)) for leaf in shared),
    )
    return _traced_shapes(
        program.loop_static, *shapes, program.index.shape[1], bool(jax.config.read("jax_enable_x64"))
    )


@functools.lru_cache(maxsize=512)
def _traced_shapes(static: _Static, batched, shared, num_axes: int, x64: bool):
    """The same by shape, kept because tracing a chain takes longer than a short simulation; `x64` is only a key."""
    batched, shared = ([jax.ShapeDtypeStruct(*leaf) for leaf in leaves] for leaves in (batched, shared))
    root = keys.root(0)
    state, info = jax.eval_shape(
        functools.partial(_run_one, static),
        batched,
        shared,
        root,
        jax.ShapeDtypeStruct((num_axes,), np.uint32),
        jax.ShapeDtypeStruct((), np.uint32),
        jax.ShapeDtypeStruct((static.rounds + 1,), np.int32),
    )

    def noise(batched, shared, key):
        task = _choices(static, batched, shared)[0]
        return task.generate(key, task.truth_model(), jnp.int32(0), jnp.asarray(True)).noise

    return state, info, jax.eval_shape(noise, batched, shared, root)


def _common_shapes(programs):
    """Info of one chain, the same for every program, or the cells could not share a result."""
    shapes = [_one_chain_shapes(program)[1] for program in programs]
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


def _block_size(program, chains, asked, memory, device) -> int:
    """Chains of one block: the user's, or what cache and memory suggest; the same for any number of devices."""
    state, info, noise = _one_chain_shapes(program)
    task = program.loop_static.treedef.unflatten(program.leaves)[0]
    # a Gaussian design also draws the covariates; on a prescribed one the matrix products like larger blocks
    row_bytes = results.num_bytes([noise]) * (2 if task.prescribed else task.dim + 2)
    per_chain = 4 * row_bytes + 3 * results.num_bytes(state) + results.num_bytes(info)
    limit = memory.device_bytes(device)
    if per_chain > limit:
        raise MemoryError(
            f"one chain needs {per_chain / 2**20:,.0f} MiB, a block may take {limit / 2**20:,.0f} MiB; "
            "use fewer rows or rounds, a workflow without a row buffer, or a larger memory_bytes"
        )
    if asked is not None:
        return min(check_whole("block_size", asked, 1), max(1, limit // per_chain))
    total = len(program.cells) * chains
    if device.platform == "cpu":
        size = CPU_BLOCK_BYTES // row_bytes
    else:
        size = int(GPU_BLOCK_SHARE * limit / per_chain)
    size = min(size, -(-total // LEAST_BLOCKS), limit // per_chain, 2**16)
    size = 2 ** int(np.ceil(np.log2(max(size, 1))))
    return int(min(max(size, LEAST_BLOCK), 2 ** int(np.ceil(np.log2(total)))))


def _dispatch(jobs, devices, root, common_noise):
    """Each job and its Info as NumPy arrays, in order; blocks go to the devices in turn."""
    # On CPU two blocks at a time on one device fill the gaps of operations that use a single thread.
    at_once = max(len(devices), 2 if devices[0].platform == "cpu" else len(devices))

    x64 = bool(jax.config.read("jax_enable_x64"))

    def run(i):
        job = jobs[i]
        program = job.program
        device = devices[i % len(devices)]
        position = job.positions
        cell = program.index[position]
        if common_noise:
            cell = np.zeros_like(cell)
        batched, shared = _split_leaves(program, position)
        args = (batched, shared, root, cell, job.chain_numbers, program.schedule.astype(np.int32))
        with jax.enable_x64(x64):  # a setting of the calling thread, which this thread does not have
            info = _compiled_block(program.loop_static)(*jax.device_put(args, device))
            return job, jax.tree.map(np.asarray, info)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        waiting: list = []
        try:
            for i in range(len(jobs)):
                waiting.append(pool.submit(run, i))
                if i == 0:
                    concurrent.futures.wait(waiting)  # compiles once, before others could do it beside
                if len(waiting) > 2 * at_once:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _with_progress(done, total, show):
    """`done` itself, with a progress bar once two seconds have passed."""
    console = rich.console.Console(stderr=True)
    if show is False or (show is None and not console.is_terminal):
        yield from done
        return
    bar = rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task_id = bar.add_task("simulating", total=total)
    timer = threading.Timer(PROGRESS_AFTER_S, bar.start)
    timer.start()
    try:
        for item in done:
            bar.advance(task_id)
            yield item
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("simcollapse")
    except PackageNotFoundError:
        return "not installed"
