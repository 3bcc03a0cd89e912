"""Run directories for people: lists, one run, a picture."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from simcollapse import terminal
from simcollapse.runs import summary
from simcollapse.runs.directory import LOG, META, Run, open_run
from simcollapse.runs.store import DamagedStore

MOST_LINES = 40  # cells in one picture


def print_list(folder: Path, console: Console | None = None) -> int:
    """Print a line for each run directory in `folder`.

    Raises:
        FileNotFoundError: no such folder.
    """
    console = terminal.console() if console is None else console
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("run", "begun", "task", "verifier", "workflow", "cells", "chains", "rounds", "done"):
        table.add_column(name)
    found = sorted(path.parent for path in folder.glob(f"*/{META}"))
    wrong = []
    for path in found:
        try:
            run = open_run(path)
            config, plan = run.meta["config"], run.plan
            words = [_name(config.get(k)) for k in ("task", "verifier", "workflow")]
            sizes = [str(len(plan.cells)), str(plan.chains), str(plan.rounds)]
            table.add_row(path.name, run.meta["created"][:16], *words, *sizes, _progress(run))
        except (ValueError, OSError) as error:
            table.add_row(path.name, "", "", "", "", "", "", "", "cannot be read")
            wrong.append(str(error))
    console.print(table if found else f"no runs in {folder}")
    for words in wrong:
        console.print(words, markup=False, highlight=False, soft_wrap=True)
    return 0


def _name(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(choice.get("name", choice.get("object", "")).split("(")[0])
    return str(choice)


def _progress(run: Run) -> str:
    try:
        done, parts = len(run.done()), run.layout.num_parts
    except DamagedStore:
        return "damaged"
    return "all" if done == parts else f"{done} of {parts} parts"


def as_dict(run: Run) -> dict[str, Any]:
    """What is known of a run, in plain values."""
    done, parts = len(run.done()), run.layout.num_parts
    told = {k: run.meta[k] for k in ("created", "config", "setting", "hardware")}
    return told | {"folder": str(run.folder), "done": done, "parts": parts, "finished": done == parts}


def print_run(run: Run) -> int:
    """Print what a run is, how far it is, the end of its log, and its summary."""
    config = run.meta["config"]
    for choice in ("task", "verifier", "workflow"):
        given = ", ".join(f"{k}={v}" for k, v in config[choice].items() if k != "name")
        print(f"{choice}: {_name(config[choice])}({given})")
    plan = run.plan
    print(f"{len(plan.cells)} cells × {plan.chains} chains × {plan.rounds} rounds, seed {config['seed']}")
    for path, values in plan.over.items():
        print(f"over {path}: {', '.join(map(str, values))}")
    setting = run.meta["setting"]
    print(
        f"begun {run.meta['created']} on {run.meta['hardware']['host']}: {setting['backend']} "
        f"({setting['processor']}), {setting['dtype']}, jax {setting['jax_version']}, simcollapse "
        f"{setting['simcollapse_version']}"
    )
    print(f"done: {_progress(run)}")
    print("\n".join((run.folder / LOG).read_text(encoding="utf-8").splitlines()[-3:]))
    written = run.folder / summary.TEXT
    if written.exists():
        print("\n" + written.read_text(encoding="utf-8"), end="")
    return 0


def plot(run: Run, metric: str) -> Figure:
    """Mean of `metric` over rounds, one line for each cell, with bars of two standard errors over chains.

    Raises:
        ValueError: the run is not finished, or has too many cells for one picture.
    """
    from simcollapse.reproduce import style

    run.check_finished()
    plan = run.plan
    if len(plan.cells) > MOST_LINES:
        raise ValueError(
            f"{len(plan.cells)} cells do not fit in one picture, at most {MOST_LINES} do; export them"
        )
    mean, error = summary.moments(run)[metric]
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(plan.cells)))
        for position, (cell, colour) in enumerate(zip(plan.cells, colours, strict=True)):
            where = [
                f"{path} = {values[i]}"
                for (path, values), i in zip(plan.over.items(), cell.index, strict=True)
            ]
            axes.errorbar(
                np.arange(plan.rounds + 1),
                mean[position],
                2 * error[position],
                color=colour,
                marker="o",
                markersize=3,
                capsize=2,
                label=", ".join(where),
            )
        if np.nanmin(mean) > 0 and np.nanmax(mean) > 10 * np.nanmin(mean):
            axes.set_yscale("log")
        axes.set_xlabel("round")
        axes.set_ylabel(metric)
        words = plan.words.get(metric, metric)
        axes.set_title(
            f"{words}\nmean over {plan.chains} chains ± 2 standard errors", loc="left", fontsize="medium"
        )
        if plan.over:
            axes.legend(fontsize="small", ncols=1 + len(plan.cells) // 12)
    return figure
