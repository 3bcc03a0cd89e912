"""Whether a disk has room for what a run will save: asked before it begins."""

import shutil
from pathlib import Path

FLOAT = 4  # bytes of a parameter, as saved


def check_room(folder: str | Path, needed: float) -> None:
    """Raise OSError unless `needed` bytes are free where the folder is, or will be."""
    place = Path(folder).resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OSError(
            f"checkpoints in {folder} take up to {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free: free some, "
            "or choose another folder"
        )
