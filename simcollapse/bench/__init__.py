"""Speed of the engine against plain NumPy and against the hardware's limit: `simcollapse bench`.

Question: how many chain-rounds a second, at what cost of compiling. A chain-round draws N rows, judges them, fits a
model and records the audit. Three sections measure kinds of tasks (`regression`, `mixtures`, `generative`), one whole
figures. Baselines, limit and targets are described where they are made: `baselines`, `mixtures`, `generative_loops`,
`limit`, `targets`.
"""

import json as json_format
from pathlib import Path
from typing import Any

import rich.console

from simcollapse.bench import report, tables
from simcollapse.bench.scale import FULL, QUICK
from simcollapse.checks import check_choice


def main_run(
    json: bool = False, quick: bool = False, out: Path | None = None, only: str | None = None
) -> int:
    """Measure everything and print it; 0, since a missed target is a result.

    Args:
        json: print JSON instead of tables (what goes on is told on stderr either way).
        quick: one small case of everything, under a minute, instead of all sizes.
        only: one section of `report.SECTIONS`; None for all.
        out: also write the JSON to this file, anew after each part, so that an interrupted run leaves what it had.

    Raises:
        ValueError: no such section.
    """
    if only is not None:
        check_choice("only", only, list(report.SECTIONS))
    told = rich.console.Console(stderr=True)
    with told.status("starting") as status:
        measured = report.collect(
            QUICK if quick else FULL,
            say=lambda words: status.update(f"measuring {words}"),
            save=lambda so_far: _write(so_far, out),
            only=only,
        )
    if json:
        print(_text(measured))
        return 0
    console = rich.console.Console()
    console.print(tables.heading(measured))
    for table in tables.tables(measured):
        console.print()
        console.print(tables.to_rich(table))
    console.print(tables.footing(measured))
    if out is not None:
        console.print(f"written to {out}")
    return 0


def _write(measured: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        Path(out).write_text(_text(measured) + "\n", encoding="utf-8")


def _text(measured: dict[str, Any]) -> str:
    return json_format.dumps(measured, indent=1, allow_nan=False)
