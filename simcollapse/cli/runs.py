"""`simcollapse runs`: look at run directories, draw them, and take results out."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Union

import tyro

Folder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]


@dataclasses.dataclass(kw_only=True)
class List:
    """The runs in a folder, a line each."""

    folder: Folder = Path("runs")
    """Folder of run directories."""

    def run(self) -> int:
        from simcollapse.runs import show

        return show.print_list(self.folder)


@dataclasses.dataclass(kw_only=True)
class Show:
    """One run: what it is, how far, on what, and its summary."""

    folder: Folder
    """Run directory."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        from simcollapse.cli.files import write_json
        from simcollapse.runs import open_run, show

        run = open_run(self.folder)
        if self.json:
            write_json(show.as_dict(run))
            return 0
        return show.print_run(run)


@dataclasses.dataclass(kw_only=True)
class Plot:
    """Draw a metric over rounds, a line for each cell."""

    folder: Folder
    """Run directory."""
    metric: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Which one. Without this: the task's first."""
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to. Without this: METRIC.png in the run directory."""

    def run(self) -> int:
        from simcollapse.cli.files import checked_ending
        from simcollapse.runs import open_run, picture, summary

        run = open_run(self.folder)
        metric = summary.metric_of(run, self.metric)
        png = checked_ending("png", self.png or self.folder / f"{metric}.png", (".png",))
        assert png is not None
        picture.plot(run, metric).savefig(png, dpi=140, metadata={"Software": None})
        print(f"drawn in {png}")
        return 0


@dataclasses.dataclass(kw_only=True)
class Export:
    """Write the results of a finished run as one file: Parquet, NetCDF or CSV, by its ending."""

    folder: Folder
    """Run directory."""
    to: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """With the ending .parquet, .nc or .csv."""

    def run(self) -> int:
        from simcollapse.cli.files import checked_ending
        from simcollapse.runs import export, open_run

        path = checked_ending("the file", self.to, export.ENDINGS)
        assert path is not None
        export.export(open_run(self.folder), path)
        print(f"written to {path}")
        return 0


_ACTIONS = {"list": List, "show": Show, "plot": Plot, "export": Export}
_Action = Union[  # noqa: UP007 (built from a table)
    tuple(Annotated[c, tyro.conf.subcommand(name, prefix_name=False)] for name, c in _ACTIONS.items())
]


@dataclasses.dataclass(kw_only=True)
class Runs:
    """Look at run directories: list, show, plot, export."""

    float64: ClassVar[bool] = True
    action: Annotated[_Action, tyro.conf.OmitArgPrefixes]  # pyright: ignore[reportInvalidTypeForm]
    """What to do."""

    def run(self) -> int:
        return self.action.run()
