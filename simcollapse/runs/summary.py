"""The summary of a finished run: every cell's last round, for people and for programs."""

import json
import math
from typing import Any

import numpy as np

from simcollapse import engine, results
from simcollapse.checks import nearest
from simcollapse.runs.directory import Run
from simcollapse.runs.store import write_atomically

TEXT, JSON = "summary.txt", "summary.json"
MOST_CELLS = 50  # in the text
_AUDIT = ("acceptance_rate", "p_star")

Moments = dict[str, tuple[np.ndarray, np.ndarray]]


def moments(run: Run) -> Moments:
    """Mean over chains and its standard error, (cells, K + 1) each, of every recorded number, read part by part."""
    cells, plan = len(run.plan.cells), run.plan
    shape = (cells, plan.rounds + 1)
    sums: dict[str, list[np.ndarray]] = {}
    for columns in run.parts():
        for name, cell, count, mean, square in _pieces(run, columns):
            if name not in sums:
                sums[name] = [np.zeros(shape) for _ in range(3)]
            n, m, s = (a[cell] for a in sums[name])
            total, delta = n + count, mean - m
            share = count / np.maximum(total, 1)
            sums[name][2][cell] = s + square + delta**2 * n * share  # Chan, Golub and LeVeque (1979)
            sums[name][1][cell] = m + delta * share
            sums[name][0][cell] = total
    out = {}
    for name, (n, m, s) in sums.items():
        mean = np.where(n > 0, m, np.nan)
        variance = np.where(n > 1, s / np.maximum(n - 1, 1), np.nan)
        out[name] = (mean, np.sqrt(variance / np.maximum(n, 1)))
    return out


def _pieces(run, columns):
    """Name, cell, count, mean and sum of squares by round of what a part knows; numbers with more axes are left out."""
    width = run.plan.rounds + 1
    if "chains" in columns:  # streams
        for i in np.flatnonzero(columns["cell"] >= 0):
            for key in columns:
                name, _, field = key.rpartition(".")
                if field == "count" and columns[key].shape[1] == width:
                    yield (
                        name,
                        columns["cell"][i],
                        *(columns[f"{name}.{f}"][i] for f in ("count", "mean", "square")),
                    )
        return
    record = {k: v for k, v in columns.items() if k not in ("cell", "chain")}
    record = record | results.rates(record)
    for cell in np.unique(columns["cell"][columns["cell"] >= 0]):
        here = columns["cell"] == cell
        for name, values in record.items():
            if values.ndim == 2:
                rows = np.asarray(values[here], dtype=float)
                known = ~np.isnan(rows)
                count = known.sum(axis=0)
                mean = np.where(known, rows, 0).sum(axis=0) / np.maximum(count, 1)
                yield name, cell, count, mean, (np.where(known, rows - mean, 0) ** 2).sum(axis=0)


def write(run: Run, experiment: engine.Experiment, *, check: bool = False) -> dict[str, Any]:
    """Write summary.txt and summary.json of a finished run, with z-scores against closed forms where asked."""
    found = moments(run)
    report = None
    if check:
        from simcollapse.runs import check as checks  # imports `theory`, which a plain run does not need

        cells = experiment.plan.cells
        by_cell = {c: p.schedule for p in experiment.programs for c in p.cells}
        report = checks.check(
            cells, run.plan.rounds, [by_cell[c] for c in range(len(cells))], found, run.plan.chains
        )
    plain = summarise(run, found)
    if report is not None:
        plain["check"] = checks.as_dict(report)
    write_atomically(run.folder / JSON, json.dumps(_finite(plain), indent=1, allow_nan=False))
    write_atomically(run.folder / TEXT, text(plain))
    run.log(
        f"summary written{'' if report is None else ', checked against closed forms: ' + str(report.verdict)}"
    )
    return plain


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
        rows.append([*(_short(v) for v in cell["cell"].values()), *numbers, str(cell["num_frozen"])])
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
    return plain.get("check", {}).get("verdict") == "disagrees"


def metric_of(run: Run, name: str | None) -> str:
    """`name` itself, or the first metric of the run; raise ValueError (the nearest known is named) if unknown."""
    known = list(run.meta["shapes"]) + list(results.RATES)
    if name is None:
        return next(iter(run.plan.words))
    if name not in known:
        raise ValueError(f"metric must be one of {known}, got {name!r}{nearest(name, known)}")
    return name


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _finite(plain: Any) -> Any:
    """`plain` with None for what JSON cannot hold."""
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
