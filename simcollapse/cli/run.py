"""`simcollapse run`: an experiment in a run directory, by one process or many."""

import dataclasses
import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")]
Whole = Annotated[int | None, tyro.conf.arg(metavar="INT")]


@dataclasses.dataclass(kw_only=True)
class Run:
    """Run the experiment that a TOML file describes into a directory; the same command goes on where it was left."""

    float64: ClassVar[bool] = False  # the configuration says
    config: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG.toml")]
    """What to run; docs/scaling.md describes it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The run directory. Without this: runs/ and the name of the file."""
    set: Words = ()
    """Override the file, as in --set chains=100 verifier.radius=0.5 'over.n_per_round=[100, 200]'."""
    print_config: bool = False
    """Print the whole resolved configuration and stop."""
    dry_run: bool = False
    """Say what it would take (cells, blocks, memory, time from a few blocks of each program, size on disk) and stop."""
    check: bool = False
    """Afterwards compare with closed forms where they exist, and add z-scores to the summary; exit code 1 if they
    disagree."""
    memory: Annotated[float | None, tyro.conf.arg(metavar="GIB")] = None
    """Memory that a block may take. Without this: a quarter of what the device has."""
    mix_settings: bool = False
    """Go on also with a run that was begun on another machine or version; results then agree to rounding."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Do every N-th part only, from the I-th on (from 0), for job arrays; the store holds the parts of all."""
    processes: Whole = None
    """Run in so many processes on this machine, as one cluster."""
    distributed: bool = False
    """Be one process of a cluster that JAX finds (SLURM, Open MPI, TPU) or that the next three options describe."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Address of process 0, reachable from all."""
    process_count: Whole = None
    """Processes of the cluster."""
    process_index: Whole = None
    """Which of them this is, from 0."""
    heartbeat: int = 100
    """Seconds after which a silent process counts as lost, and the others end."""

    def run(self) -> int:
        from simcollapse.runs import launch

        cluster = launch.Cluster(self.coordinator, self.process_count, self.process_index, self.heartbeat)
        launch.check(cluster)
        shard, memory_bytes = _shard(self.shard), self._memory_bytes()
        if self.processes is not None and (self.distributed or self.shard is not None):
            raise ValueError("--processes goes neither with --distributed nor with --shard")
        if self.distributed and self.shard is not None:
            raise ValueError("--distributed shares the parts out itself; it does not go with --shard")
        if not self.distributed and any(x is not None for x in cluster[:3]):
            raise ValueError("--coordinator, --process-count and --process-index go with --distributed")
        config = self._config()
        if self.print_config:
            return _print_config(config)
        out = self._out()
        if self.dry_run:
            return self._dry_run(config, out, memory_bytes)
        many = self.distributed or self.processes is not None
        if many and launch.WORKER not in os.environ:
            return self._supervise(out)
        return self._work(config, out, cluster, shard, memory_bytes)

    def _out(self) -> Path:
        return Path("runs") / self.config.stem if self.out is None else self.out

    def _config(self) -> Any:
        """The configuration, and JAX set to its precision."""
        import jax

        from simcollapse.runs import config as configs

        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())  # for "module:function" in the file
        config = configs.read(self.config, self.set)
        if config.float64 is None:
            config = dataclasses.replace(config, float64=True)
        if not isinstance(config.float64, bool):
            raise TypeError(f"float64 must be true or false, got {config.float64!r}")
        jax.config.update("jax_enable_x64", config.float64)
        return config

    def _memory_bytes(self) -> int | None:
        if self.memory is None:
            return None
        if not 0 < self.memory < math.inf:
            raise ValueError(f"--memory must be a positive number of GiB, got {self.memory}")
        return math.ceil(self.memory * 2**30)

    def _dry_run(self, config: Any, out: Path, memory_bytes: int | None) -> int:
        from simcollapse.runs import forecast, runner

        experiment, _ = runner.prepare(config, memory_bytes=memory_bytes)
        forecast.print_forecast(forecast.forecast(experiment, out))
        return 0

    def _supervise(self, out: Path) -> int:
        from simcollapse.runs import launch

        given = launch.Cluster(self.coordinator, self.process_count, self.process_index, self.heartbeat)
        if self.processes is None:
            clusters, names = [given], [f"process-{os.getpid() if given.index is None else given.index}"]
        else:
            clusters = launch.local_clusters(self.processes, self.heartbeat)
            names = [f"process-{i}" for i in range(self.processes)]
        commands = [self._command(out, cluster) for cluster in clusters]
        return launch.supervise(commands, [out / f"log-{name}.txt" for name in names], out)

    def _command(self, out: Path, cluster: Any) -> list[str]:
        """The command line of one worker."""
        words = [
            "run",
            str(self.config),
            "--out",
            str(out),
            "--distributed",
            "--heartbeat",
            str(cluster.heartbeat_s),
        ]
        if cluster.coordinator is not None:
            words += ["--coordinator", cluster.coordinator]
            words += ["--process-count", str(cluster.count), "--process-index", str(cluster.index)]
        words += ["--memory", str(self.memory)] if self.memory is not None else []
        words += ["--check"] if self.check else []
        words += ["--mix-settings"] if self.mix_settings else []
        return [*words, "--set", *self.set] if self.set else words

    def _work(self, config: Any, out: Path, cluster: Any, shard: Any, memory_bytes: int | None) -> int:
        from simcollapse import runs
        from simcollapse.runs import launch

        options: dict[str, Any] = {
            "check": self.check,
            "mix_settings": self.mix_settings,
            "memory_bytes": memory_bytes,
        }
        if not self.distributed:
            return _tell(runs.run(config, out, shard=shard, **options))
        shard = launch.join(cluster)
        made = runs.run(config, out, shard=shard, meet=launch.leave, **options)
        return _tell(made) if shard[0] == 0 else 0


def _print_config(config: Any) -> int:
    from simcollapse.runs import config as configs

    configs.arguments(config)  # a choice that cannot be made is an error here too
    print(configs.to_toml(configs.resolved(config)), end="")
    return 0


def _tell(made: Any) -> int:
    """Print how far the run is; 1 where a check against closed forms disagreed."""
    from simcollapse.runs import summary

    done, parts = len(made.done()), made.layout.num_parts
    written = made.folder / summary.TEXT
    if done < parts or not written.exists():  # another shard writes it, or has a torn part to mend first
        print(f"{done} of {parts} parts are done in {made.folder}; the last shard writes the summary")
        return 0
    print(written.read_text(encoding="utf-8"), end="")
    print(f"results, log and summary are in {made.folder}")
    return 1 if summary.disagrees(made) else 0


def _shard(words: str | None) -> tuple[int, int] | None:
    if words is None:
        return None
    index, slash, count = words.partition("/")
    if not slash or not index.isdigit() or not count.isdigit():
        raise ValueError(f"shard must look like 0/4, got {words!r}")
    from simcollapse.runs.runner import check_shard

    return check_shard((int(index), int(count)))
