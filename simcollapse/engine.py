"""Many chains, many cells: a grid of choices checked, sorted into programs, run block by block, collected."""

import os
import threading
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.progress
import xarray as xr

from simcollapse import blocks, chain, grid, keys, laws, machine, named, results, schedules
from simcollapse.checks import check_choice, check_shape, check_value, check_whole

MOST_TRIES = 2**24  # proposals of a round are counted in 32 bits
PROGRESS_AFTER_S = 2.0
DEVICE_COUNT = "xla_force_host_platform_device_count"  # the one flag of XLA that changes no bit


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
    audit: bool = True,
    engine: str = "sample",
    record: str = "chains",
    record_model: bool = False,
    quantiles: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95),
    common_noise: bool = False,
    block_size: int | None = None,
    room: int | None = None,
    memory_bytes: int | None = None,
    devices: list | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Chains of every cell of a parameter grid.

    Args:
        task, verifier, workflow: the three choices. `verifier` may be a plain function
            `accept(key, batch, model) -> mask` or "none", `workflow` a known name.
        over: swept values by path, for example {"verifier.radius": [0.5, 1], "n_per_round": [100, 1000]}. Values
            of numeric fields share one compiled program; other choices (a workflow, a design) get one each. The
            values of an axis differ.
        n_real: real samples of round 0.
        n_per_round: samples of each later round: a number, a sequence of length K, or a `schedules.Growth`.
        rounds: K >= 0, rounds after round 0.
        chains: independent chains of each cell.
        seed: root of all random numbers, 0 <= seed < 2^32.
        fixed: "generated" (each round generates n samples) or "kept" (draws until n are accepted; where the
            design prescribes the rows, each is redrawn until accepted).
        rejected: "drop" a rejected row, or "resample" its response at the same covariates.
        max_tries: proposals per wanted row before a round goes on with fewer, at most 2^24 (and 2^31 in a round).
        audit: count which rows are correct, for phi, psi, p and p_star; False leaves that unknown (NaN), which saves
            time where only errors matter (of `kde` a third). A verifier that is told which rows are correct counts them
            anyway.
        engine: "sample" (every row is drawn), "law" (exact in law: sums drawn directly; an error where no law
            is known) or "auto" (law where there is one).
        record: "chains" (every chain), or "summary" (mean, variance and quantiles over chains, streamed).
        record_model: also record the fitted model of every round (with record="chains").
        quantiles: in [0, 1], recorded by "summary", from a histogram: relative error below
            `results.QUANTILE_ERROR` for magnitudes from 1e-12 to 1e12, absolute error below 1e-12 under that.
        common_noise: let all cells draw the same random numbers, to compare them on common noise.
        block_size: chains of one block; None for one that fits `memory_bytes` and the processor's cache.
        room: samples of a round that buffers of rows have room for, where these are more than there are: runs of
            several sizes share one compiled program if they name the same. It costs memory, and time for few rows.
            Without a verifier, rounds that use each row of a fixed design once draw other numbers with it.
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
    experiment = prepare(
        task,
        verifier,
        workflow,
        over=over,
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=rounds,
        chains=chains,
        seed=seed,
        fixed=fixed,
        rejected=rejected,
        max_tries=max_tries,
        audit=audit,
        engine=engine,
        record=record,
        record_model=record_model,
        quantiles=quantiles,
        common_noise=common_noise,
        room=room,
        block_size=block_size,
        memory_bytes=memory_bytes,
        devices=devices,
    )
    shapes = results.flatten(experiment.shapes)
    collector = results.collector(experiment.plan, shapes, experiment.memory, max(experiment.block_sizes))
    jobs = [
        job
        for program, size in zip(experiment.programs, experiment.block_sizes, strict=True)
        for job in blocks.jobs(program, size, chains)
    ]
    for job, info in with_progress(run_blocks(experiment, jobs), len(jobs), progress):
        collector.add(job.cells, job.chain_numbers, job.valid, results.flatten(info))
    dataset = collector.dataset()
    dataset.attrs.update(experiment.attributes)
    results.warn_frozen(dataset, collector.first_frozen())
    return dataset


class Experiment(NamedTuple):
    """A grid that was checked and sorted into programs, ready to be cut into blocks."""

    plan: results.Plan
    programs: list[blocks.Program]
    block_sizes: list[int]  # chains of one block of each program
    shapes: chain.Info  # of one chain
    memory: results.Memory
    devices: list
    seed: int
    common_noise: bool
    attributes: dict[str, Any]  # of the result: configuration and setting


def prepare(
    task,
    verifier,
    workflow,
    *,
    over,
    n_real,
    n_per_round,
    rounds,
    chains,
    seed,
    fixed="generated",
    rejected="drop",
    max_tries=1000,
    audit=True,
    engine="sample",
    record="chains",
    record_model=False,
    quantiles=(0.05, 0.25, 0.5, 0.75, 0.95),
    common_noise=False,
    room=None,
    block_size=None,
    memory_bytes=None,
    devices=None,
) -> Experiment:
    """The experiment that `sweep` would run, without running it; arguments and errors as there."""
    rounds, chains = check_whole("rounds", rounds, 0), check_whole("chains", chains, 1)
    seed = check_whole("seed", seed, 0)
    if seed >= 2**32:
        raise ValueError(f"seed must be < 2^32, got {seed}")
    check_choice("fixed", fixed, ("generated", "kept"))
    check_choice("rejected", rejected, ("drop", "resample"))
    check_choice("engine", engine, ("sample", "law", "auto"))
    check_choice("record", record, ("chains", "summary"))
    check_quantiles(quantiles)
    room = None if room is None else check_whole("room", room, 1)
    if not isinstance(audit, bool):
        raise TypeError(f"audit must be True or False, got {audit!r}")
    sampling = chain.Sampling(fixed, rejected, check_whole("max_tries", max_tries, 1, MOST_TRIES), audit)
    workflow = named.as_workflow(workflow)
    named.check_kinds(task, workflow)
    choices = {
        "task": task,
        "verifier": named.as_verifier(verifier, task),
        "workflow": workflow,
        "n_real": n_real,
        "n_per_round": n_per_round,
        "fixed": fixed,
        "rejected": rejected,
    }
    over = grid.axes_of(choices, over)
    memory = results.Memory(memory_bytes)
    memory.check_cells(over)
    cells = grid.cells(choices, over)
    programs = _group(cells, sampling, rounds, engine, record_model and record == "chains", room)
    plan = results.Plan(
        over=over,
        cells=cells,
        rounds=rounds,
        chains=chains,
        record=record,
        quantiles=tuple(quantiles),
        engine={p.loop_static.law is not None for p in programs},
        words=_descriptions(cells),
        model_dims=getattr(task, "model_dims", {}),
        undefined=_undefined(cells),
    )
    devices = _devices(devices)
    sizes = [blocks.block_size(p, chains, block_size, memory, devices[0]) for p in programs]
    attributes = settings(devices, sizes) | {
        "seed": seed,
        "n_real": str(n_real),
        "n_per_round": str(n_per_round),
        "rounds": rounds,
        "chains": chains,
        "fixed": fixed,
        "rejected": rejected,
        "common_noise": int(common_noise),
        "task": named.repr_short(task),
        "verifier": named.repr_short(choices["verifier"]),
        "workflow": named.repr_short(workflow),
        "max_tries": sampling.max_tries,
        "audit": int(audit),
        "over": [f"{path}: {named.repr_short(tuple(values))}" for path, values in over.items()],
    }
    shapes = blocks.common_shapes(programs)
    return Experiment(plan, programs, sizes, shapes, memory, devices, seed, bool(common_noise), attributes)


def run_blocks(experiment: Experiment, jobs: list[blocks.Job]):
    """Each of `jobs` and its Info as NumPy arrays, in order, on the experiment's devices."""
    return blocks.dispatch(jobs, experiment.devices, keys.root(experiment.seed), experiment.common_noise)


def _devices(given) -> list[Any]:
    if given is None:
        return jax.local_devices()
    if isinstance(given, str) or not all(isinstance(device, jax.Device) for device in given):
        raise TypeError(f"devices must be a list of JAX devices, such as jax.devices(), got {given!r}")
    if not given:
        raise ValueError("devices must have at least one device, got none")
    return list(given)


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
        "cpu_threads": int(os.environ.get("NPROC", 0)) or machine.cores(),
        "processor": machine.processor(),
        "xla_flags": " ".join(f for f in os.environ.get("XLA_FLAGS", "").split() if DEVICE_COUNT not in f),
    }


def check_quantiles(quantiles) -> None:
    """Raise unless `quantiles` is a sequence of numbers in [0, 1]."""
    check_shape("quantiles", quantiles, (None,))
    check_value("quantiles", quantiles, "unit")


def _group(cells, sampling, rounds, engine, record_model, room) -> list[blocks.Program]:
    """Cells sorted into programs: equal structure, shapes and schedule go together."""
    groups: dict[Any, list[int]] = {}
    tasks = [cell.choices["task"] for cell in cells]
    may_have_room = room is not None and hasattr(tasks[0], "with_room") and all(t is tasks[0] for t in tasks)
    roomy: dict[bytes, Any] = {}
    parts = []
    for position, cell in enumerate(cells):
        made = cell.choices
        task, workflow = made["task"], named.as_workflow(made["workflow"])
        named.check_kinds(task, workflow)
        verifier = named.as_verifier(made["verifier"], task)
        named.check_match(task, verifier)
        check_choice("fixed", made["fixed"], ("generated", "kept"))
        check_choice("rejected", made["rejected"], ("drop", "resample"))
        how = sampling._replace(fixed=made["fixed"], rejected=made["rejected"])
        if hasattr(verifier, "score") and how[:2] != ("generated", "drop"):
            raise ValueError(
                f"verifier {type(verifier).__name__} keeps a share of what a round generates, which needs "
                f"fixed='generated' and rejected='drop', got fixed={how.fixed!r}, rejected={how.rejected!r}"
            )
        n_real = check_whole("n_real", made["n_real"], 1)
        counts = schedules.resolve(made["n_per_round"], rounds)
        task.check_sizes(n_real, counts, workflow.fits_alone, getattr(workflow, "size", None))
        if hasattr(workflow, "check_task"):
            workflow.check_task(task)
        drawn = workflow.parts(counts) if hasattr(workflow, "parts") else (counts,)
        for sizes in drawn:
            task.check_sizes(n_real, sizes[sizes > 0], False)
        schedule = np.concatenate([[n_real], counts])
        law = _law(task, verifier, workflow, how, np.concatenate([schedule[:1], *drawn]), engine)
        if law is not None and hasattr(law, "reduced"):
            task = law.reduced(task)
        # not for verifiers that draw real rows themselves, which may be more than a round has
        if law is None and may_have_room and getattr(verifier, "keeps_every_row", False):
            if schedule.tobytes() not in roomy:  # made once, so that all chains share its arrays
                roomy[schedule.tobytes()] = task.with_room(room, schedule)
            task = roomy[schedule.tobytes()]
        leaves, treedef = jax.tree.flatten((task, verifier, workflow))
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
        blocks.program(signature, members, [parts[m] for m in members], cells, rounds, record_model, room)
        for signature, members in groups.items()
    ]


def _descriptions(cells) -> dict[str, str]:
    """What each metric of the cells' tasks and verifiers is."""
    words: dict[str, str] = {}
    for cell in cells:
        for choice in ("verifier", "task"):
            words |= getattr(cell.choices[choice], "descriptions", {})
    return words


def _undefined(cells) -> tuple[str, ...]:
    """Metrics that may have no value in some cell."""
    return tuple(sorted({name for cell in cells for name in getattr(cell.choices["task"], "undefined", ())}))


def _law(task, verifier, workflow, how, sizes, engine):
    if engine == "sample":
        return None
    law, why = laws.find(task, verifier, workflow, how, sizes)
    if law is None and engine == "law":
        raise ValueError(
            f"engine='law' needs a known law, and there is none: {why}. Use engine='sample' or 'auto'"
        )
    return law


def with_progress(done, total, show):
    """`done` itself, with a progress bar once two seconds have passed; `show` as in `sweep`."""
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
