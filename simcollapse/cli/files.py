"""What commands write."""

import json
import os
from pathlib import Path
from typing import Any

from simcollapse.checks import check_choice


def checked_ending(name: str, path: Path | None, endings: tuple[str, ...]) -> Path | None:
    """`path` itself, once it is sure that a file of a known kind can be put there; nothing is computed before.

    Raises:
        ValueError: another ending.
        FileNotFoundError: its folder does not exist.
    """
    if path is None:
        return None
    if path.suffix not in endings:
        check_choice(f"the ending of {name}", path.suffix, endings)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {path.parent}")
    return path


def write_json(value: dict[str, Any]) -> None:
    """Print `value` as JSON, refusing what JSON cannot hold."""
    print(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def write_dataset(dataset, path: Path) -> None:
    """Write a result as NetCDF 3 or, one row for each chain and round, as CSV; the file appears when it is whole."""
    partial = path.with_name(path.name + ".partial")
    if path.suffix == ".csv":
        dataset.to_dataframe().to_csv(partial)
    else:
        plain = {
            key: value if isinstance(value, (int, float, str)) else str(value)
            for key, value in dataset.attrs.items()
        }
        dataset.assign_attrs(plain).to_netcdf(partial, engine="scipy")
    os.replace(partial, path)
