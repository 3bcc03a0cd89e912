"""Room on a disk."""

import contextlib
import os
import shutil
from pathlib import Path

BLOCK = 512  # bytes of `st_blocks`, whatever the disk


def free_bytes(folder: str | Path) -> int:
    """Free space where the folder is, or would be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def taken_bytes(folder: str | Path) -> int:
    """What the files below the folder take on the disk; 0 if there is none."""
    taken = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                taken += os.lstat(os.path.join(place, name)).st_blocks * BLOCK
    return taken
