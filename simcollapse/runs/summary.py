"""The summary of a finished run: every cell's last round, for people and for programs."""

import io
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from simcollapse import engine, results, terminal
from simcollapse.checks import check_choice
from simcollapse.runs import records
from simcollapse.runs.chunks import write_atomically
from simcollapse.runs.directory import Run
from simcollapse.streaming import merged_moments

TEXT, JSON = "summary.txt", "summary.json"
MOST_CELLS = 50  # in the text
_AUDIT = ("acceptance_rate", "p_star")

Moments = dict[str, tuple[np.ndarray, np.ndarray]]


class Piece(NamedTuple):
    """What one part knows of one variable of some cells, by round."""

    name: str
    cells: Any  # positions in the grid
    count: np.ndarray
    mean: np.ndarray
    square: np.ndarray  # sum of squares about the mean


class Asked(NamedTuple):
    """Which moments of a run are computed."""

    first: int = 0  # in the rounds from this one on
    names: frozenset[str] | None = None  # of these numbers, None: of all

    def has(self, name: str) -> bool:
        """Whether a number is among them."""
        return self.names is None or name in self.names


EVERYTHING = Asked()


def asked(plan: results.Plan, check: bool) -> Asked:
    """What `write` needs: the last round of what it tells; for a check everything."""
    return EVERYTHING if check else Asked(plan.rounds, frozenset({*plan.words, *_AUDIT, "alive"}))


def pieces(plan: results.Plan, columns: records.Columns, ask: Asked) -> list[Piece]:
    """What a part adds to the moments of a run that are asked for."""
    return list((_of_streams if plan.record == "summary" else _of_chains)(columns, plan.rounds + 1, ask))


def moments(run: Run, held: dict[int, list[Piece]] | None = None, ask: Asked = EVERYTHING) -> Moments:
    """Mean over chains and its standard error of every number that is asked for, (cells, rounds) each.

    Parts are merged in order. Those that this process computed itself may be `held`, which is emptied; the others are
    read.
    """
    held = {} if held is None else held
    plan, store = run.plan, run.store()
    shape = (len(plan.cells), plan.rounds + 1 - ask.first)
    sums: dict[str, list[np.ndarray]] = {}
    for number in store.done():
        mine = held.pop(number, None)
        if mine is None:
            mine = pieces(plan, store.read(number), ask)
        for name, touched, count, mean, square in mine:
            if name not in sums:
                sums[name] = [np.zeros(shape) for _ in range(3)]
            before = [a[touched] for a in sums[name]]
            for now, merged in zip(sums[name], merged_moments(before, (count, mean, square)), strict=True):
                now[touched] = merged
    out = {}
    for name, (n, m, s) in sums.items():
        mean = np.where(n > 0, m, np.nan)
        variance = np.where(n > 1, s / np.maximum(n - 1, 1), np.nan)
        out[name] = (mean, np.sqrt(variance / np.maximum(n, 1)))
    return out


def _of_chains(columns: records.Columns, width: int, ask: Asked) -> Iterator[Piece]:
    """Pieces of a part that holds chains. Numbers with more axes than rounds are left out.

    Chains of a cell stand together, padding comes last.
    """
    cell = columns["cell"]
    rows = int(np.count_nonzero(cell >= 0))
    cells, first, chains = np.unique(cell[:rows], return_index=True, return_counts=True)
    record = {name: values[:rows] for name, values in records.by_round(columns, width, ask.first).items()}
    for name, values in (record | results.rates(record)).items():
        if ask.has(name):
            yield Piece(name, cells, *_grouped_moments(values, first, chains))


def _grouped_moments(values: np.ndarray, first: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Count, mean and sum of squares about it of groups of rows, NaN left out, (groups, rounds) each.

    Group i is `sizes`[i] rows from `first`[i] on.
    """
    count = np.repeat(sizes.astype(float)[:, None], values.shape[1], axis=1)
    if values[0, 0] == values[-1, -1] and np.all(values == values[0, 0]):  # as many counts are
        return count, np.full_like(count, values[0, 0]), np.zeros_like(count)
    rows = values.astype(float, copy=False)
    known = ~np.isnan(rows)
    if not known.any():
        return np.zeros_like(count), np.zeros_like(count), np.zeros_like(count)
    whole = known.all()
    if not whole:
        count, rows = np.add.reduceat(known, first, dtype=float), np.where(known, rows, 0)
    mean = np.add.reduceat(rows, first) / np.maximum(count, 1)
    gaps = rows - (mean if len(first) == 1 else np.repeat(mean, sizes, axis=0))
    if not whole:
        gaps *= known
    return count, mean, np.add.reduceat(np.square(gaps, out=gaps), first)


def _of_streams(columns: records.Columns, width: int, ask: Asked) -> Iterator[Piece]:
    """Pieces of a part that holds streams, block by block."""
    for row in np.flatnonzero(columns["cell"] >= 0).tolist():
        for block in records.blocks_of(columns, row):
            for name in filter(ask.has, records.names(columns)):
                moments = [columns[f"{name}.{field}"][row, block] for field in ("count", "mean", "square")]
                if len(moments[0]) == width:
                    yield Piece(name, columns["cell"][row], *(m[ask.first :] for m in moments))


def write(
    run: Run,
    experiment: engine.Experiment,
    *,
    held: dict[int, list[Piece]] | None = None,
    check: bool = False,
) -> dict[str, Any]:
    """Write summary.txt and summary.json of a finished run, with z-scores against closed forms where asked.

    `held` is as of `moments`, of what is `asked`.
    """
    found = moments(run, held, asked(run.plan, check))
    plain = summarise(run, found)
    words, told = text(plain), "summary written"
    if check:
        plain["check"], table = _check(run, experiment, found)
        words += f"\n{table}"
        told += f", checked against closed forms: {plain['check']['verdict']}"
    write_atomically(run.folder / JSON, json.dumps(_finite(plain), indent=1, allow_nan=False).encode())
    write_atomically(run.folder / TEXT, words.encode())
    run.log(told)
    return plain


def _check(run: Run, experiment: engine.Experiment, found: Moments) -> tuple[dict[str, Any], str]:
    """Plain values and words of a check against closed forms."""
    from simcollapse.runs import check  # imports `theory`, which a plain run does not need

    cells = experiment.plan.cells
    schedules = {c: p.schedule[1:] for p in experiment.programs for c in p.cells}
    by_cell = [schedules[c] for c in range(len(cells))]
    report = check.check(cells, run.plan.rounds, by_cell, found, run.plan.chains)
    written = io.StringIO()
    check.print_report(report, Console(file=written, width=terminal.PLAIN_WIDTH))
    return check.as_dict(report), written.getvalue()


def summarise(run: Run, found: Moments) -> dict[str, Any]:
    """The last round of every cell in plain values."""
    plan = run.plan
    metrics = [name for name in plan.words if name in found]
    names = [*metrics, *(n for n in _AUDIT if not np.isnan(found[n][0]).all())]
    cells = []
    for position, cell in enumerate(plan.cells):
        where = {path: values[i] for (path, values), i in zip(plan.over.items(), cell.index, strict=True)}
        numbers = {
            name: {
                "mean": float(found[name][0][position, -1]),
                "std_error": float(found[name][1][position, -1]),
            }
            for name in names
        }
        frozen = plan.chains - round(plan.chains * float(found["alive"][0][position, -1]))
        cells.append({"cell": where, "num_frozen": frozen, "last_round": numbers})
    return {
        "cells": len(cells),
        "chains": plan.chains,
        "rounds": plan.rounds,
        "num_frozen": sum(cell["num_frozen"] for cell in cells),
        "by_cell": cells,
    }


def text(plain: dict[str, Any]) -> str:
    """The summary as a table of plain text."""
    shown = plain["by_cell"][:MOST_CELLS]
    axes, names = list(shown[0]["cell"]), list(shown[0]["last_round"])
    rows = [[*axes, *names, "frozen"]]
    for cell in shown:
        numbers = (f"{v['mean']:.4g} ± {2 * v['std_error']:.1g}" for v in cell["last_round"].values())
        rows.append([*(short(v) for v in cell["cell"].values()), *numbers, str(cell["num_frozen"])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(word.rjust(w) for word, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    more = plain["cells"] - len(shown)
    head = (
        f"{plain['cells']} cells × {plain['chains']} chains × {plain['rounds']} rounds; "
        f"{plain['num_frozen']} chains froze. Means of round {plain['rounds']}, ± two standard errors:"
    )
    tail = [f"… and {more} more cells (summary.json)"] if more > 0 else []
    return "\n".join([head, "", *lines, *tail]) + "\n"


def disagrees(run: Run) -> bool:
    """Whether the summary's check against closed forms found a disagreement."""
    plain = json.loads((run.folder / JSON).read_text(encoding="utf-8"))
    return plain.get("check", {}).get("num_disagreeing", 0) > 0


def metric_of(run: Run, name: str | None) -> str:
    """`name` itself, or the first metric of the run.

    Raises:
        ValueError: there is no such number by round; the nearest known is named.
    """
    by_round = [n for n, (shape, _) in run.meta["shapes"].items() if shape == [run.plan.rounds + 1]]
    if name is None:
        return next(iter(run.plan.words))
    check_choice("metric", name, [*by_round, *results.RATES])
    return name


def short(value: Any) -> str:
    """A value of an axis as a word."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _finite(plain: Any) -> Any:
    """`plain` with None for what JSON cannot hold."""
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
