"""The state of a fit on disk, which an interrupted fit goes on from to the same bits."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from simcollapse.neural import checkpoints
from simcollapse.neural.language import room
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.tuning import Tuning

Tree = Any


class State(NamedTuple):
    """Where a fit is."""

    free: Tree  # what moves: parameters, or adapters
    moments: Tree
    losses: list[float]  # of the steps so far


def identity(config: Config, settings: Tuning, key: jax.Array, params: Tree, rows: Tree) -> str:
    """Words that two fits share only if they are the same."""
    how = dataclasses.replace(settings, save_every=None)
    return f"{config} {how} {digest((jax.random.key_data(key), rows, params))}"


def digest(tree: Tree) -> str:
    """Hexadecimal digits that trees of arrays share only if they are the same."""
    seen = hashlib.sha256()
    for x in jax.tree.leaves(tree):
        x = np.ascontiguousarray(x)
        seen.update(f"{x.shape} {x.dtype}".encode())
        seen.update(x.data)
    return seen.hexdigest()


def save(folder: Path, state: State, identity: str) -> None:
    """Write the state, complete when this returns."""
    tree = {
        "free": _numbered(state.free),
        "moments": _numbered(state.moments),
        "losses": np.array(state.losses),
    }
    checkpoints.save(folder, len(state.losses), tree, [], identity)


def latest(folder: Path, like: State, identity: str) -> State | None:
    """The last state saved, as host arrays; None if there is none. `like` has its form.

    Raises:
        ValueError: it is of another fit.
    """
    saved = checkpoints.latest(folder, identity)
    if saved is None:
        return None
    state = saved.state
    return State(_as(like.free, state["free"]), _as(like.moments, state["moments"]), state["losses"].tolist())


def check_room(folder: Path, state: State) -> None:
    """Raise OSError unless the disk has room for the saved states of a fit."""
    needed = (checkpoints.KEPT + 1) * sum(x.nbytes for x in jax.tree.leaves((state.free, state.moments)))
    room.check_room(folder, needed, "saved states of the fit in", "fit without save_every")


def _numbered(tree: Tree) -> dict[str, Any]:
    return {str(i): x for i, x in enumerate(jax.tree.leaves(tree))}


def _as(like: Tree, numbered: dict[str, Any]) -> Tree:
    form = jax.tree.structure(like)
    return jax.tree.unflatten(form, [numbered[str(i)] for i in range(form.num_leaves)])
