"""Where a data file lies: the path as given, else the same path under $SIMCOLLAPSE_DATA."""

import os
from pathlib import Path

VARIABLE = "SIMCOLLAPSE_DATA"
CACHE = "XDG_CACHE_HOME"  # as on every Unix; without it ~/.cache


def cache_folder() -> Path:
    """Where results are kept that take long and depend on nothing but the program and public data."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache") / "simcollapse"


def find_file(path: str | Path) -> Path:
    """The file that `path` names: as given, else relative to the folder that $SIMCOLLAPSE_DATA names.

    Raises:
        FileNotFoundError: neither is a file; the message names every place that was looked at.
    """
    places = [Path(path).expanduser()]
    root = os.environ.get(VARIABLE)
    if root and not places[0].is_absolute():
        places.append(Path(root) / path)
    for place in places:
        if place.is_file():
            return place
    hint = "" if root else f" (${VARIABLE} is not set; it would be looked at too)"
    raise FileNotFoundError(f"no data file at {' or '.join(map(str, places))}{hint}")
