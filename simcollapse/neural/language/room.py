"""Whether a disk has room for what a run will save: asked before it begins, and said where it fills all the same."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from simcollapse.disk import free_bytes, taken_bytes

FLOAT = 4  # bytes of a parameter, as saved
SPARE = 2**20  # bytes of what a run saves besides arrays


def check_room(
    folder: str | Path, needed: float, what: str = "checkpoints in", otherwise: str = "choose another folder"
) -> None:
    """Raise OSError unless there is room for `needed` bytes below the folder, those already there among them.

    Args:
        folder: of a run, begun or not.
        needed: most that it holds at once.
        what, otherwise: words for the message.
    """
    free, taken, needed = free_bytes(folder), taken_bytes(folder), needed + SPARE
    if free + taken < needed:
        there = f", {taken / 1e9:.3g} GB of them are there" if taken > SPARE else ""
        raise OSError(
            f"{what} {folder} take up to {needed / 1e9:.3g} GB{there}, {free / 1e9:.3g} GB are free: free some, or "
            f"{otherwise}"
        )


@contextlib.contextmanager
def full_is_said(folder: Path, but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Raise OSError that names the folder of a run for an error of a full disk, of any library, `but` this one."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        if not any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
            raise
        raise OSError(
            f"the disk is full: {free_bytes(folder) / 1e9:.3g} GB are free in {folder}. What was fitted and written "
            "whole is kept there: free some, and the same command goes on from there"
        ) from error
