"""Run directories for people: a list of them, and one."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from simcollapse import terminal
from simcollapse.runs import summary
from simcollapse.runs.chunks import DamagedStore
from simcollapse.runs.directory import LOG, META, Run, open_run

CHOICES = ("task", "verifier", "workflow")


def print_list(folder: Path, console: Console | None = None) -> int:
    """Print a line for each run directory in `folder`.

    Raises:
        FileNotFoundError: no such folder.
    """
    console = terminal.console() if console is None else console
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("run", "begun", *CHOICES, "cells", "chains", "rounds", "done"):
        table.add_column(name)
    found = sorted(path.parent for path in folder.glob(f"*/{META}"))
    wrong = []
    for path in found:
        try:
            run = open_run(path)
            plan = run.plan
            words = [_names(run, choice) for choice in CHOICES]
            sizes = [str(len(plan.cells)), str(plan.chains), str(plan.rounds)]
            table.add_row(path.name, run.meta["created"][:16], *words, *sizes, _progress(run))
        except (ValueError, OSError) as error:
            table.add_row(path.name, "", "", "", "", "", "", "", "cannot be read")
            wrong.append(str(error))
    console.print(table if found else f"no runs in {folder}")
    for words in wrong:
        console.print(words, markup=False, highlight=False, soft_wrap=True)
    return 0


def _names(run: Run, choice: str) -> str:
    """Name of a choice of a run; of one that is swept, all of them."""
    config = run.meta["config"]
    return ", ".join(dict.fromkeys(map(_name, config["over"].get(choice, [config[choice]]))))


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
    for choice in CHOICES:
        if choice not in config["over"]:
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
