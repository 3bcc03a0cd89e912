"""The rounds of a chain on disk: what a killed run goes on from.

One folder a round, written by Orbax: under a temporary name first, renamed when complete, so that a round that is
there is whole. The last two are kept.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from simcollapse.runs.directory import locked

KEPT = 2  # rounds; the one before the last stays until the last is complete
_ROUND = re.compile(r"round-(\d+)")


class Saved(NamedTuple):
    """A round as it was saved."""

    round: int
    state: Any  # nested dicts of NumPy arrays
    records: list[dict[str, Any]]  # of rounds 0..round


@contextlib.contextmanager
def alone(folder: Path | str | None) -> Iterator[None]:
    """Hold the folder of a whole run, made if absent, against other processes; of None and "" nothing.

    Raises:
        Busy: another process holds it.
    """
    if not folder:
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with locked(Path(folder)):
        yield


def save(folder: Path, round: int, state: Any, records: list[dict[str, Any]], identity: str = "") -> None:
    """Write round `round`; complete when this returns.

    Args:
        folder: of this chain alone; made if absent.
        round: k.
        state: nested dicts of arrays.
        records: of rounds 0..k; values are numbers or arrays.
        identity: what must be the same to go on from here.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"round-{round}"
    shutil.rmtree(target, ignore_errors=True)
    numbers = [{n: v for n, v in r.items() if not isinstance(v, np.ndarray)} for r in records]
    arrays = {
        str(k): {n: v for n, v in r.items() if isinstance(v, np.ndarray)} for k, r in enumerate(records)
    }
    tree = {"state": jax.tree.map(np.asarray, state), "arrays": {k: v for k, v in arrays.items() if v}}
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        writer.save(
            target,
            args=ocp.args.Composite(
                tree=ocp.args.StandardSave(tree),  # pyright: ignore[reportCallIssue]
                records=ocp.args.JsonSave({"identity": identity, "numbers": numbers}),  # pyright: ignore
            ),
        )
    for k in _rounds(folder)[:-KEPT]:
        shutil.rmtree(folder / f"round-{k}")


def latest(folder: Path, identity: str = "") -> Saved | None:
    """The last complete round below `folder`, None if there is none. What a kill left unfinished is removed.

    Raises:
        ValueError: it was saved under another identity.
    """
    folder = Path(folder).resolve()
    found = _rounds(folder)
    for left in folder.glob("round-*") if folder.is_dir() else ():
        if not _ROUND.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    if not found:
        return None
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        loaded = reader.restore(
            folder / f"round-{found[-1]}",
            args=ocp.args.Composite(
                tree=ocp.args.StandardRestore(),  # pyright: ignore[reportCallIssue]
                records=ocp.args.JsonRestore(),  # pyright: ignore[reportCallIssue]
            ),
        )
    tree, told = loaded["tree"], loaded["records"]
    if told["identity"] != identity:
        raise ValueError(
            f"{folder} holds a run with other settings: use another folder, or remove it. There: "
            f"{told['identity']!r}; now: {identity!r}"
        )
    tree = jax.tree.map(np.asarray, tree)
    arrays = tree.get("arrays") or {}
    records = [numbers | arrays.get(str(k), {}) for k, numbers in enumerate(told["numbers"])]
    return Saved(found[-1], tree["state"], records)


def clear(folder: Path) -> None:
    """Remove what `save` wrote, and the folder if it is empty then."""
    folder = Path(folder)
    for left in folder.glob("round-*") if folder.is_dir() else ():
        shutil.rmtree(left, ignore_errors=True)
    with contextlib.suppress(OSError):  # holds something else, or was never made
        folder.rmdir()


def numbered(tree: Any) -> Any:
    """The tree with whole numbers as keys again, as those of layers: saving makes words of them."""
    if not isinstance(tree, dict):
        return tree
    return {
        int(k) if isinstance(k, str) and k.isdecimal() else k: numbered(value) for k, value in tree.items()
    }


def _rounds(folder: Path) -> list[int]:
    """Complete rounds, in order."""
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(m.group(1)) for m in map(_ROUND.fullmatch, names) if m)
