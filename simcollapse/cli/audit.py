"""`simcollapse audit`: its exit code is the verdict, so that a script can act on it."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

if TYPE_CHECKING:
    from simcollapse.auditing import Report

Column = Annotated[str | None, tyro.conf.arg(metavar="COLUMN")]
Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclasses.dataclass(kw_only=True)
class Audit:
    """Say from labelled samples whether a verifier is good enough for its generator. Exit code: 0 safe, 1 collapse,
    2 undecided, 3 bad input."""

    float64: ClassVar[bool] = False  # needs no JAX
    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="FILE")] = None
    """CSV, JSON lines (.jsonl, .ndjson) or Parquet, one row for each generated sample that somebody labelled."""
    correct: Column = None
    """Whether the sample is right: 0/1, true/false, yes/no. Without this: "correct"."""
    kept: Column = None
    """Whether the verifier kept it. Without this: "kept"."""
    true_label: Column = None
    """With --generated-label, instead of --correct: the true class. The verdict is then class by class; not with
    --weight or --cluster."""
    generated_label: Column = None
    """The class that the generator gave."""
    score: Column = None
    """Instead of --kept: the verifier's score, high where it would keep."""
    threshold: Number = None
    """Kept is what scores at least this. Without this: the loosest safe one of 20 that keep 5 %, 10 %, … 100 %; that
    search takes no other column but --correct."""
    group: Column = None
    """Judge each value by itself too, corrected for their number (Holm)."""
    round: Column = None
    """Judge each round by itself too, corrected for any number of looks (headline and exit code are of all rows, at one
    look; --sequential makes them valid for many)."""
    weight: Column = None
    """Of a stratified audit: 1 over the chance to be labelled."""
    cluster: Column = None
    """What samples share that are not independent, as a prompt."""
    level: float = 0.95
    """Of intervals and verdict."""
    exact: bool = False
    """Intervals that cover with at least --level everywhere, not only on average."""
    sequential: bool = False
    """A verdict that stays valid if it is asked for after every label."""
    json: bool = False
    """Print JSON (null where a number is unknown, or no number of labels would do)."""
    png: File = None
    """Also draw the point in the plane of p and psi/phi."""
    example: File = None
    """Instead of an audit: write here (.csv) what a real verifier decided about real predictions, to audit that."""

    def run(self) -> int:
        if self.example is not None:
            return self._write_example(self.example)
        if self.file is None:
            raise ValueError(
                "FILE must be given: a CSV, JSON lines or Parquet file (or --example FILE to get one)"
            )
        report = self._report(self.file)
        try:
            self._print(report)
            sys.stdout.flush()
        except (
            BrokenPipeError,
            SystemExit,
        ):  # the reader has had enough, and rich would exit with 1: the verdict stands
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return report.exit_code

    def _report(self, file: Path) -> "Report":
        from simcollapse.auditing import audit_file

        png = None if self.png is None else _checked(self.png, "png", ".png")
        apart = ("file", "json", "png", "example")
        fields = [field.name for field in dataclasses.fields(self) if field.name not in apart]
        report = audit_file(file, **{name: getattr(self, name) for name in fields})
        if png is not None:
            from simcollapse.auditing.draw import draw

            draw(report).savefig(png, dpi=140, metadata={"Software": None})
        return report

    def _print(self, report: "Report") -> None:
        if self.json:
            from simcollapse.auditing import as_dict

            print(json.dumps(as_dict(report), indent=2, allow_nan=False, ensure_ascii=False))
            return
        from simcollapse.auditing.printing import print_report

        print_report(report)
        if self.png is not None:
            print(f"drawn in {self.png}")

    def _write_example(self, path: Path) -> int:
        from simcollapse.auditing.example import write_example

        if self.file is not None:
            raise ValueError(f"example goes without FILE, got {self.file}")
        rows = write_example(_checked(path, "example", ".csv"))
        print(f"{rows} labelled decisions in {path}; next: simcollapse audit {path} --round round")
        return 0


def _checked(path: Path, name: str, ending: str) -> Path:
    from simcollapse.cli.files import checked_ending

    checked_ending(name, path, (ending,))
    return path
