"""`simcollapse run` and `simcollapse runs`: experiments in run directories."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")]


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
    """Say what it would take: cells, chains, blocks, memory, time (from one block of each program), size; and stop."""
    check: bool = False
    """Afterwards compare with closed forms where they exist, and add z-scores to the summary."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Do every N-th part only, from the I-th on (from 0), for job arrays; the store holds the parts of all."""
    mix_settings: bool = False
    """Go on also with a run that was begun on another machine or version; results then agree to rounding."""
    memory: Annotated[float | None, tyro.conf.arg(metavar="GIB")] = None
    """Memory that a block may take. Without this: a quarter of what the device has."""

    def run(self) -> int:
        import jax

        from simcollapse import runs
        from simcollapse.runs import config as configs

        config = configs.read(self.config, self.set)
        if config.float64 is None:
            config = dataclasses.replace(config, float64=True)
        jax.config.update("jax_enable_x64", config.float64)
        if self.print_config:
            configs.arguments(config)  # a choice that cannot be made is an error here too
            print(configs.to_toml(configs.resolved(config)), end="")
            return 0
        out = Path("runs") / self.config.stem if self.out is None else self.out
        memory = None if self.memory is None else int(self.memory * 2**30)
        if self.dry_run:
            from simcollapse.runs import forecast

            return forecast.print_forecast(forecast.forecast(config, out, memory_bytes=memory))
        made = runs.run(
            config,
            out,
            shard=_shard(self.shard),
            check=self.check,
            mix_settings=self.mix_settings,
            memory_bytes=memory,
        )
        done, parts = len(made.done()), made.layout.num_parts
        if done < parts:
            print(f"{done} of {parts} parts are done in {out}")
            return 0
        print((made.folder / "summary.txt").read_text(encoding="utf-8"), end="")
        print(f"results, log and summary are in {out}")
        return 0


def _shard(words: str | None) -> tuple[int, int] | None:
    if words is None:
        return None
    index, slash, count = words.partition("/")
    if not slash or not index.isdigit() or not count.isdigit():
        raise ValueError(f"shard must look like 0/4, got {words!r}")
    return int(index), int(count)
