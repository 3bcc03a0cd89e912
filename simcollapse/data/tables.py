"""Tables for regression: a bundled set by name, or the user's own CSV or Parquet file, every column checked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simcollapse.checks import nearest
from simcollapse.data.finding import find_file

_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
}


class Table(NamedTuple):
    """Covariates and one response, all finite, in the units of the source."""

    X: np.ndarray  # (N, D)
    y: np.ndarray  # (N,)
    names: tuple[str, ...]  # of the D covariates
    source: str  # where it came from and what was left out
    target: str  # name of the response


def load_table(name: str) -> Table:
    """The bundled table `name`, one of `KNOWN`; needs no network.

    "diabetes": 442 patients, 10 covariates in their own units (age in years, bmi in kg/m², …), response a
    measure of disease progression one year later (points, 25 to 346).

    Raises:
        ValueError: an unknown name; the nearest known is named.
    """
    if name not in KNOWN:
        raise ValueError(
            f"table must be one of {sorted(KNOWN)} (read_table reads a file), got {name!r}{nearest(str(name), KNOWN)}"
        )
    return KNOWN[name]()


def read_table(
    path: str | Path, *, target: str, columns: Sequence[str] | None = None, drop_missing: bool = False
) -> Table:
    """The table in a CSV or Parquet file.

    Args:
        path: found by `find_file`; the ending says the format (.csv, also compressed as .csv.gz, or .parquet).
        target: the column to predict.
        columns: the covariates; None for all others.
        drop_missing: leave out rows in which a used column has no value, and say in `source` how many.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, an unknown column (the nearest known is named), a column that is not numeric,
            a missing or infinite value (with its row, counted from 1 below the header), or too few rows.
    """
    file = find_file(path)
    frame = _read(file)
    for name in [target, *(columns or [])]:
        _check_column(name, frame, file)
    chosen = [str(c) for c in frame.columns if c != target] if columns is None else list(columns)
    if target in chosen or len(set(chosen)) < len(chosen) or not chosen:
        raise ValueError(
            f"columns must name one or more covariates, each once and not the target, got {chosen}"
        )
    used = [*chosen, target]
    numbers = np.column_stack([_numeric(frame[name], name, file) for name in used])
    numbers, left_out = _complete(numbers, used, file, drop_missing)
    if len(numbers) < len(chosen) + 3:
        raise ValueError(
            f"{file.name} must have at least {len(chosen) + 3} complete rows to fit {len(chosen)} covariates "
            f"and an intercept, got {len(numbers)}"
        )
    return Table(
        numbers[:, :-1], numbers[:, -1], tuple(chosen), f"{file.name}, {len(numbers)} rows{left_out}", target
    )


class PointTable(NamedTuple):
    """Rows without a response, all finite, in the units of the source."""

    X: np.ndarray  # (N, D)
    names: tuple[str, ...]  # of the D columns
    source: str  # where they came from and what was left out


def read_points(
    path: str | Path, *, columns: Sequence[str] | None = None, drop_missing: bool = False
) -> PointTable:
    """The rows in a CSV or Parquet file, without a response; arguments and errors as for `read_table`."""
    file = find_file(path)
    frame = _read(file)
    used = [str(c) for c in frame.columns] if columns is None else list(columns)
    for name in used:
        _check_column(name, frame, file)
    if len(set(used)) < len(used) or not used:
        raise ValueError(f"columns must name one or more columns, each once, got {used}")
    numbers = np.column_stack([_numeric(frame[name], name, file) for name in used])
    numbers, left_out = _complete(numbers, used, file, drop_missing)
    return PointTable(numbers, tuple(used), f"{file.name}, {len(numbers)} rows{left_out}")


def chosen_table(
    data: str | Path | None,
    *,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    drop_missing: bool = False,
) -> Table | None:
    """The bundled table or the file that `data` names; None without `data`. Else as `read_table`.

    Raises:
        ValueError: options that do not go together, an unknown column or bundled table, a broken file.
        FileNotFoundError: no such file.
    """
    of_a_file = {"target": target, "columns": columns, "drop_missing": drop_missing}
    given = [f"{name}={value!r}" for name, value in of_a_file.items() if value]
    if data is None:
        if given:
            raise ValueError(f"{given[0].split('=')[0]} goes with data, got {given[0]} without it")
        return None
    if str(data) in KNOWN and not Path(data).is_file():
        if given:
            raise ValueError(
                f"{given[0].split('=')[0]} belongs to a file, and {str(data)!r} is a bundled table"
            )
        return load_table(str(data))
    if target is None:
        hint = nearest(str(data), KNOWN)
        raise ValueError(f"data {str(data)!r} needs target, the column to predict{hint}")
    return read_table(data, target=target, columns=columns, drop_missing=drop_missing)


def standardise(table: Table) -> Table:
    """`table` with each covariate shifted to mean 0 and scaled to standard deviation 1 (divisor N).

    Raises:
        ValueError: a covariate that is the same in every row.
    """
    spread = table.X.std(axis=0)
    constant = spread <= 1e-12 * np.abs(table.X).max(axis=0)  # rounding of a mean leaves about 1e-16
    if constant.any():
        raise ValueError(
            f"column {table.names[int(constant.argmax())]!r} is the same in every row; leave it out"
        )
    return table._replace(X=(table.X - table.X.mean(axis=0)) / spread)


def _diabetes() -> Table:
    from sklearn.datasets import load_diabetes  # slow to import, needed only here

    bundle: Any = load_diabetes(scaled=False)
    X, y = np.asarray(bundle["data"], dtype=float), np.asarray(bundle["target"], dtype=float)
    source = f"diabetes, {len(X)} rows, bundled with scikit-learn (Efron, Hastie, Johnstone, Tibshirani 2004)"
    return Table(X, y, tuple(bundle["feature_names"]), source, "disease progression")


KNOWN: dict[str, Callable[[], Table]] = {"diabetes": _diabetes}


def _read(file: Path) -> pd.DataFrame:
    endings = [s.lower() for s in file.suffixes]
    ending = (
        endings[-2]
        if len(endings) > 1 and endings[-1] in (".gz", ".bz2", ".xz", ".zip")
        else "".join(endings[-1:])
    )
    if ending not in _READERS:
        raise ValueError(f"a table must end in {' or '.join(_READERS)}, got {file.name}")
    try:
        return _READERS[ending](file)
    except (ValueError, OSError) as error:  # of the parsers: an empty file, a broken one
        raise ValueError(f"{file.name} cannot be read as a {ending[1:]} table: {error}") from error


def _check_column(name: str, frame: pd.DataFrame, file: Path) -> None:
    present = [str(c) for c in frame.columns]
    if name not in present:
        raise ValueError(f"{file.name} has no column {name!r}; it has {present}{nearest(str(name), present)}")


def _numeric(column: Any, name: str, file: Path) -> np.ndarray:
    """The column (a Series) as floats, NaN where it has no value."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    dates = pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column)
    numbers: Any = pd.Series(np.nan, column.index) if dates else pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(numbers.isna() & column.notna())
    if len(bad):
        row = int(bad[0])
        raise ValueError(
            f"column {name!r} of {file.name} must be numeric, got {str(column.iloc[row])!r} in row {row + 1}; "
            "leave it out or encode it as numbers"
        )
    return numbers.to_numpy(dtype=float)


def _complete(
    numbers: np.ndarray, names: list[str], file: Path, drop_missing: bool
) -> tuple[np.ndarray, str]:
    """Rows without a missing value, and a note on how many were left out."""
    infinite = np.argwhere(np.isinf(numbers))
    if len(infinite):
        row, column = infinite[0]
        raise ValueError(
            f"column {names[column]!r} of {file.name} must be finite, got {numbers[row, column]} in row {row + 1}"
        )
    missing = np.isnan(numbers)
    rows = np.asarray(missing.any(axis=1))
    if not rows.any():
        return numbers, ""
    if not drop_missing:
        row = int(rows.argmax())
        raise ValueError(
            f"column {names[int(missing[row].argmax())]!r} of {file.name} has no value in row {row + 1} "
            f"({rows.sum()} of {len(rows)} rows lack one); with drop_missing such rows are left out"
        )
    return numbers[~rows], f" ({rows.sum()} of {len(rows)} left out for a missing value)"
