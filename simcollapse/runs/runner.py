"""Runs an experiment into a directory, part by part; the same again goes on where it was left."""

import contextlib
import dataclasses
import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from simcollapse import engine, results
from simcollapse.checks import check_whole
from simcollapse.runs import config as configs
from simcollapse.runs import directory, forecast, layout, summary
from simcollapse.runs.directory import Run
from simcollapse.runs.launch import stopping_on_sigterm
from simcollapse.runs.store import Store

WAIT_S = 0.2  # between two looks for what another process is to make
DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def run(
    config: configs.Config | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    shard: tuple[int, int] | None = None,
    meet: Callable[[], None] | None = None,
    check: bool = False,
    mix_settings: bool = False,
    memory_bytes: int | None = None,
    devices: list | None = None,
    progress: bool | None = None,
) -> Run:
    """Run an experiment into the directory `out`, or go on with it there; the finished run.

    Args:
        config: a `Config`, a mapping with its fields, or a TOML file; choices in a mapping may be ready made.
        out: the run directory; made if absent.
        overrides: such as "chains=100" or "verifier.radius=0.5"; of a TOML file only.
        shard: (i, N): do only every N-th part, from the i-th on (0 <= i < N); other processes do the others.
        meet: where the shards run at the same time: called once this one's parts are done, it returns when all the
            others' are too. Shard 0 makes the directory and writes the summary, the others wait for it to be made.
        check: afterwards compare with closed forms and add z-scores to the summary.
        mix_settings: go on also with a run that was begun under another setting.
        memory_bytes, devices, progress: as in `simcollapse.sweep`.

    Raises:
        ValueError, TypeError: in the configuration, as `simcollapse.sweep`; another configuration or setting than the
            one in `out` (the difference is shown); a damaged store.
        FileExistsError: `out` holds something else.
        Busy: another process writes to `out`.
        FloatingPointError: a result is not finite; names cell, chain and round.
        OSError: `out` cannot be written, or is full; what was finished stays.
        KeyboardInterrupt: interrupted, also by SIGTERM; what was finished stays.
    """
    if isinstance(config, str | Path):
        config = configs.read(config, overrides)
    elif overrides:
        raise ValueError("overrides go with a TOML file, got a ready configuration")
    elif not isinstance(config, configs.Config):
        config = configs.from_table(config)
    shard = None if shard is None else check_shard(shard)
    experiment, plain = prepare(config, memory_bytes=memory_bytes, devices=devices)
    leads = meet is None or shard is None or shard[0] == 0
    with stopping_on_sigterm(), _saying_what_stays(Path(out)):
        while not leads and not (Path(out) / directory.META).exists():
            time.sleep(WAIT_S)  # should shard 0 die, JAX ends this process (`launch`)
        Path(out).mkdir(parents=True, exist_ok=True)
        with directory.locked(Path(out), shard):
            workers = 1 if shard is None else shard[1]
            made = open_or_make(Path(out), plain, experiment, workers, mix_settings, alone=shard is None)
            held = _go_on(made, experiment, shard, progress, summary.asked(made.plan, check))
            if meet is not None:
                meet()
            if leads and _whole(made, shard):
                summary.write(made, experiment, held=held, check=check)
    return made


def _whole(made: Run, shard: tuple[int, int] | None) -> bool:
    """Whether all parts are done; those of other shards may be torn, which only they mend."""
    if shard is not None and made.finished:
        torn = made.store().verify()[1]
        if torn:
            made.log(f"{len(torn)} parts of other shards are torn, which these will compute again")
        return not torn
    return made.finished


def check_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """(i, N) itself; raise unless 0 <= i < N."""
    index, count = shard
    count = check_whole("shard count", count, 1)
    return check_whole("shard index", index, 0, count - 1), count


def prepare(config: configs.Config, **options: Any) -> tuple[engine.Experiment, dict[str, Any]]:
    """The experiment of a configuration, and the configuration resolved to the last default.

    Raises:
        ValueError: float64 differs from what JAX is set to.
    """
    double = bool(jax.config.read("jax_enable_x64"))
    if config.float64 is None:
        config = dataclasses.replace(config, float64=double)
    arguments = configs.arguments(config)
    if config.float64 != double:
        raise ValueError(
            f"float64 is {config.float64} in the config, but JAX is set to {'double' if double else 'single'} "
            f'precision; call jax.config.update("jax_enable_x64", {config.float64}) first'
        )
    return engine.prepare(**arguments, **options), configs.resolved(config)


def open_or_make(
    folder: Path,
    plain: dict[str, Any],
    experiment: engine.Experiment,
    workers: int,
    mix_settings: bool = False,
    alone: bool = False,
) -> Run:
    """The run in `folder`, which must be of this configuration, or a new one there, cut for so many `workers`.

    A run of another setting that has no finished part is made anew, if this process is `alone` there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with directory.making(folder):
        if not (folder / directory.META).exists():
            return _make(folder, plain, experiment, workers)
        made = directory.open_run(folder)
        directory.check_same_config(made, plain)
        other = directory.other_setting(made, experiment.attributes)
        if other and alone and not made.done():
            made.log(f"begun under another setting, and no part was done: {'; '.join(other)}")
            directory.clear(made)
            return _make(folder, plain, experiment, workers)
        if other and not made.finished:
            directory.check_mixing(made, other, mix_settings)
            made.log(f"warning: goes on under another setting: {'; '.join(other)}")
            made = directory.note_mixed(made, "; ".join(other))
        return made


def _make(folder: Path, plain: dict[str, Any], experiment: engine.Experiment, workers: int) -> Run:
    forecast.check_disk(folder, experiment, workers * len(experiment.devices))
    made = directory.make(folder, plain, experiment, workers * len(experiment.devices))
    made.log(f"made: {made.layout.num_parts} parts of {made.layout.part_size} chains; {_words(experiment)}")
    return made


def _words(experiment: engine.Experiment) -> str:
    told = experiment.attributes
    return (
        f"simcollapse {told['simcollapse_version']}, jax {told['jax_version']}, {len(experiment.devices)} × "
        f"{told['device_kind']} ({told['processor']}), {told['dtype']}"
    )


def _go_on(
    made: Run,
    experiment: engine.Experiment,
    shard: tuple[int, int] | None,
    progress: bool | None,
    ask: summary.Asked,
) -> dict[int, list[summary.Piece]]:
    """Compute the parts that are neither done nor another shard's; what they add to the moments that are asked for."""
    store = made.store()
    left = store.sweep_up() if shard is None else 0
    mine = [n for n in range(made.layout.num_parts) if shard is None or n % shard[1] == shard[0]]
    whole, torn = store.verify(mine)
    store.unmark(torn)
    parts = sorted(set(mine) - set(whole))
    share = "" if shard is None else f" of shard {shard[0]}/{shard[1]}"
    told = f"{len(whole)} of {len(mine)} parts{share} were done"
    told += f", {len(torn)} were torn and are computed again" if torn else ""
    told += f", {left} half-written files removed" if left else ""
    made.log(f"{told}; computing {len(parts)} on {len(experiment.devices)} device(s)")
    begun, finished = time.perf_counter(), 0
    held, plan = {}, made.plan
    try:
        for number, columns in _computed(made, store, experiment, parts, progress):
            finished += 1
            held[number] = summary.pieces(plan, columns, ask)
            made.log(f"part {number} done")
    except KeyboardInterrupt:
        made.log(f"interrupted after {finished} parts")
        raise
    except (OSError, ArithmeticError) as error:
        with contextlib.suppress(OSError):
            made.log(f"stopped after {finished} parts: {error}")
        raise
    rate = (
        finished * made.layout.part_size * max(made.plan.rounds, 1) / max(time.perf_counter() - begun, 1e-9)
    )
    made.log(
        f"{finished} parts computed, {rate:,.0f} chain-rounds/s" if finished else "nothing was left to do"
    )
    return held


def _computed(
    made: Run, store: Store, experiment: engine.Experiment, parts: list[int], progress: bool | None
) -> Iterator[tuple]:
    """Compute and write `parts`; yield each and its columns once it is marked."""
    plan, record, cut = experiment.plan, made.record, made.layout
    experiment = experiment._replace(block_sizes=list(cut.block_sizes))
    queue = {number: layout.jobs(experiment, cut, number) for number in parts}
    jobs = [job for number in parts for job in queue[number]]
    done = engine.with_progress(engine.run_blocks(experiment, jobs), len(jobs), progress)
    with contextlib.closing(done):
        for number in parts:
            finished = []
            for _ in queue.pop(number):
                job, info = next(done)
                values = results.flatten(info)
                results.check_finite(values, plan, job.cells, job.chain_numbers, job.valid)
                finished.append((job, values))
            columns = record.columns(finished)
            store.write(number, columns)
            yield number, columns


@contextlib.contextmanager
def _saying_what_stays(folder: Path) -> Iterator[None]:
    """Let an error of the disk name its file and say how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        words = f"{error.strerror}; what was finished stays, and the same command goes on with it"
        raise OSError(error.errno, words, error.filename or str(folder)) from error
