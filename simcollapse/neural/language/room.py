"""Whether a disk has room for what a run will save: asked before it begins."""

from pathlib import Path

from simcollapse.disk import free_bytes

FLOAT = 4  # bytes of a parameter, as saved
SPARE = 2**20  # bytes of what a run saves besides arrays


def check_room(
    folder: str | Path, needed: float, what: str = "checkpoints in", otherwise: str = "choose another folder"
) -> None:
    """Raise OSError unless `needed` bytes are free where the folder is, or will be; words for the message."""
    free, needed = free_bytes(folder), needed + SPARE
    if free < needed:
        raise OSError(
            f"{what} {folder} take up to {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free: free some, or {otherwise}"
        )
