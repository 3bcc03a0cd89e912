"""TOML files read strictly: what is no TOML, an unknown key and a missing one are errors that say where."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcollapse.checks import check_keys


def read_toml(path: str | Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        OSError: no such file, or it cannot be read.
        ValueError: not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from None


def check_table(kind: Any, given: Any, place: str) -> None:
    """Raise unless `given`, which stands at `place`, is a table of what the dataclass `kind` takes.

    Raises:
        ValueError: an unknown key; the nearest known is named.
        TypeError: no table, or a missing key.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{place} must be a table, got {given!r}")
    fields = dataclasses.fields(kind)
    needed = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    check_keys(place, given, [f.name for f in fields], needed)
