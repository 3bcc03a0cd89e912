"""Room on a disk."""

import shutil
from pathlib import Path


def free_bytes(folder: str | Path) -> int:
    """Free space where the folder is, or would be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
