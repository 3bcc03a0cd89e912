"""Real data named on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simcollapse.checks import nearest


def read(
    data: str | None,
    *,
    target: str | None,
    columns: Sequence[str] | None,
    drop_missing: bool,
    standardise: bool,
) -> Any:
    """The table that the options name (`simcollapse.data.Table`), or None without `data`.

    Raises:
        ValueError: options that do not go together, an unknown column or bundled table, a broken file.
        FileNotFoundError: no such file.
    """
    from simcollapse import data as tables

    of_a_file = {"target": target, "columns": columns, "drop_missing": drop_missing}
    given = [name for name, value in of_a_file.items() if value]
    if data is None:
        given += ["standardise"] if standardise else []
        if given:
            raise ValueError(f"{given[0]} goes with data, got it without")
        return None
    if data in tables.KNOWN and not Path(data).is_file():
        if given:
            raise ValueError(f"{given[0]} belongs to a file, and {data!r} is a bundled table")
        table = tables.load_table(data)
    elif target is None:
        hint = nearest(data, tables.KNOWN)
        raise ValueError(f"data {data!r} needs target, the column to predict{hint}")
    else:
        table = tables.read_table(data, target=target, columns=columns, drop_missing=drop_missing)
    return tables.standardise(table) if standardise else table
