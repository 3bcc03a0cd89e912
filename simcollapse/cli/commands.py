"""What can be asked for: one dataclass for each command, its fields the options.

Nothing heavy is imported here: `simcollapse --help` should not wait for JAX.
"""

import dataclasses
import gc
import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Union

import tyro

from simcollapse.cli.audit import Audit
from simcollapse.cli.lm_loop import LmLoop
from simcollapse.cli.run import Run
from simcollapse.cli.runs import Runs

Whole = Annotated[int | None, tyro.conf.arg(metavar="INT")]
Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]
Numbers = Annotated[tuple[float, ...], tyro.conf.arg(metavar="FLOAT ...")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Source = Annotated[str | None, tyro.conf.arg(metavar="FILE")]
Column = Annotated[str | None, tyro.conf.arg(metavar="COLUMN")]


class Command(Protocol):
    """A parsed command."""

    float64: ClassVar[bool]  # whether it compares with closed forms, and so wants double precision

    def run(self) -> int: ...  # the exit code


@dataclasses.dataclass(kw_only=True)
class DataOptions:
    """Real data in place of a described one."""

    data: Source = None
    """Real data: a CSV or Parquet file, or the name of a bundled table (diabetes)."""
    target: Column = None
    """Column of the file to predict."""
    columns: Words = ()
    """Covariates; without this, all other columns."""
    drop_missing: bool = False
    """Leave out rows that lack a value."""

    def given(self) -> dict[str, Any]:
        """As the reading functions take them."""
        columns = self.columns or None
        return {
            "data": self.data,
            "target": self.target,
            "columns": columns,
            "drop_missing": self.drop_missing,
        }


@dataclasses.dataclass(kw_only=True)
class PipelineOptions(DataOptions):
    """A regression pipeline: real data, generator, verifier, workflow."""

    standardise: bool = False
    """Scale each covariate of --data to mean 0 and standard deviation 1."""
    dim: Whole = None
    """Number of coefficients. Not with --data."""
    noise: Number = None
    """Standard deviation of the real noise, unit of y. Not with --data."""
    n_real: Whole = None
    """Real samples of round 0: per direction on the orthogonal design, else in all. With --data: all its rows."""
    n_per_round: Numbers = ()
    """Samples of each later round: one number (inf: no sampling noise), or one for each round."""
    n_increment: float = 0.0
    """So many more samples in each round than in the one before."""
    n_ratio: float = 1.0
    """So many times the samples of the round before."""
    radius: Number = None
    """The verifier accepts |y - x.center| <= radius |x| + slack. Neither: no verifier."""
    slack: float = 0.0
    """See --radius; unit of y."""
    bias: Numbers = ()
    """Verifier's center minus truth: its length, or one number for each coefficient. With --data one number is a
    shift of every prediction, and several start with the intercept."""
    trained_on: Whole = None
    """Instead of --bias: real samples, not used elsewhere, that the verifier's center was fitted to."""
    workflow: Annotated[str, tyro.conf.arg(metavar="{replace,accumulate,accumulate_subsample}")] = "replace"
    """What a round trains on: its own samples, all so far, or a subsample of all so far."""
    subsample: Whole = None
    """Rows of each fit under accumulate_subsample. Without this: as many as the round generated."""
    design: Annotated[str | None, tyro.conf.arg(metavar="{orthogonal,gaussian}")] = None
    """Covariates: each direction alone (without this option), or fresh Gaussian rows. Not with --data."""
    rejected: Annotated[str, tyro.conf.arg(metavar="{drop,resample}")] = "drop"
    """What becomes of a rejected sample: left out, or its response drawn again at the same covariates."""
    rounds: int = 20
    """Rounds after the fit on real data."""

    def description(self) -> dict[str, Any]:
        """As `simcollapse.planning.describe` takes it."""
        names = ("dim", "noise", "n_real", "radius", "slack", "trained_on", "workflow", "subsample", "design")
        described = {name: getattr(self, name) for name in (*names, "rejected", "rounds")}
        bias = None if not self.bias else self.bias[0] if len(self.bias) == 1 else self.bias
        from simcollapse import data as tables

        table = tables.chosen_table(**self.given())
        if self.standardise:
            if table is None:
                raise ValueError("standardise goes with data, got it without")
            table = tables.standardise(table)
        return described | {"bias": bias, "n_per_round": self._schedule(), "table": table}

    def _schedule(self) -> Any:
        from simcollapse.checks import check_value
        from simcollapse.schedules import geometric_growth, linear_growth

        check_value("n_increment", self.n_increment, "nonnegative")
        check_value("n_ratio", self.n_ratio, "positive")
        grows = [n for n, v in (("n_increment", self.n_increment), ("n_ratio", self.n_ratio - 1)) if v != 0]
        if not grows:
            return (
                None
                if not self.n_per_round
                else self._one()
                if len(self.n_per_round) == 1
                else self.n_per_round
            )
        if len(grows) > 1 or len(self.n_per_round) != 1:
            raise ValueError(f"{grows[0]} goes with one number for n_per_round and no other growth")
        start: Any = self._one()
        return (
            linear_growth(start, self.n_increment)
            if self.n_increment
            else geometric_growth(start, self.n_ratio)
        )

    def _one(self) -> float:
        value = self.n_per_round[0]
        return int(value) if math.isfinite(value) and value == int(value) else value


@dataclasses.dataclass(kw_only=True)
class Plan(PipelineOptions):
    """Predict what retraining does to a pipeline: regime, best stopping round, error now, at best, in the limit."""

    float64: ClassVar[bool] = True
    chains: Whole = None
    """Simulated chains where no closed form exists (without this: what a few seconds allow; 0: none)."""
    seed: int = 0
    """Of the simulation."""
    json: bool = False
    """Print JSON (null where a number is infinite or unknown)."""
    png: File = None
    """Also draw the predicted curve."""

    def run(self) -> int:
        from simcollapse.cli.files import checked_ending, write_json
        from simcollapse.planning import as_dict, draw, plan, print_plan

        png = checked_ending("png", self.png, (".png",))
        made = plan(**self.description(), chains=self.chains, seed=self.seed)
        if png is not None:
            draw(made).savefig(png, dpi=140, metadata={"Software": None})
        if self.json:
            write_json(as_dict(made))
            return 0
        print_plan(made)
        if png is not None:
            print(f"drawn in {png}")
        return 0


@dataclasses.dataclass(kw_only=True)
class Simulate(PipelineOptions):
    """Simulate chains of a regression pipeline and print the mean of every round."""

    float64: ClassVar[bool] = True
    chains: int = 1000
    """Independent runs."""
    seed: int = 0
    """Root of all random numbers."""
    engine: Annotated[str, tyro.conf.arg(metavar="{sample,law,auto}")] = "auto"
    """Draw every row, or sums from their exact law where it is known (auto: where there is one)."""
    fixed: Annotated[str, tyro.conf.arg(metavar="{generated,kept}")] = "generated"
    """What --n-per-round counts."""
    max_tries: int = 1000
    """Proposals for each wanted row before a round goes on with fewer."""
    out: File = None
    """Also write every chain: NetCDF (.nc) or CSV (.csv)."""

    def run(self) -> int:
        from simcollapse.cli import rounds
        from simcollapse.cli.files import checked_ending, write_dataset

        out = checked_ending("out", self.out, (".nc", ".csv"))
        result = rounds.simulate(
            self.description(),
            chains=self.chains,
            seed=self.seed,
            engine=self.engine,
            fixed=self.fixed,
            max_tries=self.max_tries,
        )
        rounds.print_rounds(result)
        if out is not None:
            write_dataset(result, out)
            print(f"written to {out}")
        return 0


@dataclasses.dataclass(kw_only=True)
class Reproduce(DataOptions):
    """Compute a published figure again and compare it with its claims; exit code 1 if one is not confirmed.

    yi-vae takes --data digits or mnist, saves its rounds below --out, and goes on from them when started again.
    Figures of language models (feng-summaries, yi-xsum, yi-xsum-checkpoint, kazdan-sft, kazdan-value-lm,
    kazdan-pretrain) do so too, and take --model with --data xsum, helpsteer2, alpaca, tinystories or a file of JSON
    lines, --too-long for these, and --continuing. With fewer texts than the scale asks for, all numbers of texts are
    reduced alike, down to a tenth; the run says so.
    """

    float64: ClassVar[bool] = True
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Which one, as yi-regimes; or all."""
    scale: Annotated[str, tyro.conf.arg(metavar="{quick,small,paper}")] = "quick"
    """Under a minute on two cores, some minutes, or the size of the paper."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results")
    """Folder for pictures and data."""
    model: Annotated[str | None, tyro.conf.arg(metavar="CHECKPOINT")] = None
    """Language models start from it: a folder, a GGUF file or a hub name."""
    continuing: bool = False
    """Language models are tuned from the last round's model, not each from the base model."""
    too_long: Annotated[str | None, tyro.conf.arg(metavar="{error,drop,truncate}")] = None
    """Texts of --data that are too long; without this as the scale says (how many there are is printed)."""
    seed: int = 0
    """Root of all random numbers."""
    dry_run: bool = False
    """Of language models: time a few steps and answers, say what the run would take (time, memory, disk), and stop."""

    def run(self) -> int:
        from simcollapse import reproduce

        options = {"scale": self.scale, "out": self.out, "seed": self.seed, "model": self.model}
        options |= {"continuing": self.continuing, "too_long": self.too_long}
        if self.dry_run:
            print(reproduce.preview(self.name, **options, **self.given()))
            return 0
        gc.freeze()  # what is imported stays; looking through it again took a fifth of the time to trace and compile
        claims = reproduce.run(self.name, **options, **self.given())
        failing = [claim for claim in claims if not claim.agrees]
        if failing:
            print(
                f"{len(failing)} of {len(claims)} claims are not confirmed (unclear: too few chains to tell):"
            )
            for claim in failing:
                print(f"- {claim.verdict}: {claim.statement}")
        return 1 if failing else 0


@dataclasses.dataclass(kw_only=True)
class Theorems:
    """Check the registered theorems against independent simulations."""

    float64: ClassVar[bool] = True
    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME ...]")] = ()
    """Which ones; without any, all."""
    self_test: bool = False
    """Plant each check's error, and demand that the check sees it."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        from simcollapse import theorems

        return theorems.main_run(list(self.names), self_test=self.self_test, json=self.json)


@dataclasses.dataclass(kw_only=True)
class Bench:
    """Measure speed on this machine, against plain NumPy loops and the hardware's limit."""

    float64: ClassVar[bool] = False  # speed is stated in JAX's own default
    quick: bool = False
    """One small case of everything, but no whole figure."""
    only: Annotated[str | None, tyro.conf.arg(metavar="SECTION")] = None
    """Measure regression, mixtures, generative or figures alone."""
    json: bool = False
    """Print JSON."""
    out: File = None
    """Also write the JSON here."""

    def run(self) -> int:
        from simcollapse import bench

        return bench.main_run(json=self.json, quick=self.quick, out=self.out, only=self.only)


@dataclasses.dataclass(kw_only=True)
class Selftest:
    """Check this installation on this device: precision, random numbers, determinism, theory against simulation."""

    float64: ClassVar[bool] = True
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        from simcollapse import selftest

        return selftest.main_run(json=self.json)


@dataclasses.dataclass(kw_only=True)
class Info:
    """Say what this installation would run on: versions, devices, precision, data sets."""

    float64: ClassVar[bool] = True
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        from simcollapse.cli import files, info

        found = info.collect()
        if self.json:
            files.write_json(found)
        else:
            info.print_info(found)
        return 0


COMMANDS: dict[str, Any] = {
    "plan": Plan,
    "simulate": Simulate,
    "audit": Audit,
    "run": Run,
    "runs": Runs,
    "reproduce": Reproduce,
    "lm-loop": LmLoop,
    "theorems": Theorems,
    "bench": Bench,
    "selftest": Selftest,
    "info": Info,
}


def parse(arguments: Sequence[str]) -> Command:
    """The command that `arguments` ask for; tyro prints help or what it does not understand, and exits."""
    # Built from a table, which no type checker can follow.
    choices: Any = Union[tuple(Annotated[c, tyro.conf.subcommand(name)] for name, c in COMMANDS.items())]  # noqa: UP007
    return tyro.cli(
        choices,
        prog="simcollapse",
        description="Will a model collapse when it is retrained on its own data, and is the verifier good enough? "
        f"Version {version()}.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def version() -> str:
    """The installed version."""
    try:
        return installed_version("simcollapse")
    except PackageNotFoundError:
        return "not installed"
