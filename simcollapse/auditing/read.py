"""A decisions file in pieces, so that its size is no matter: CSV, JSON lines or Parquet, only the columns asked for."""

import io
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import json as arrow_json
from pyarrow import parquet as arrow_parquet

from simcollapse.auditing.columns import Codes

_BLOCK = 1 << 21  # bytes of text read at a time; pyarrow holds a few dozen such blocks
_ROWS = 1 << 18  # rows of Parquet read at a time
ENDINGS = (".csv", ".jsonl", ".ndjson", ".parquet")
_PACKED = (".gz", ".bz2", ".zst", ".lz4")


class FileColumn:
    """One column of some consecutive rows of a file."""

    def __init__(self, label: str, data: Any, first: int):
        self.label = label
        self._data = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
        self._first = first  # rows of the file before these

    def __len__(self) -> int:
        return len(self._data)

    def place(self, index: int) -> str:
        """Where that value stands; rows are counted from 1 below the header."""
        return f"in row {self._first + index + 1}"

    def coded(self) -> Codes:
        """The distinct values, and which of them stands where."""
        data = self._data
        if pa.types.is_nested(data.type):
            raise ValueError(f"{self.label} must hold plain values, got {data.type} {self.place(0)}")
        encoded = data if pa.types.is_dictionary(data.type) else data.dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        return Codes(codes, encoded.dictionary.to_pylist())

    def floats(self) -> np.ndarray:
        """As numbers, NaN where there is none."""
        try:
            return pc.cast(self._data, pa.float64()).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            numbers: Any = pd.to_numeric(pd.Series(self._data.to_pylist()), errors="coerce")
            return numbers.to_numpy(dtype=float)

    def value(self, index: int) -> Any:
        """The value as it came."""
        return self._data[index].as_py()


def read_columns(path: Path, columns: Mapping[str, str]) -> Iterator[dict[str, FileColumn]]:
    """Pieces of the file, each the columns under their roles: `columns` maps role to column name.

    The ending says the format: .csv, .jsonl, .ndjson (these also with .gz, .bz2, .zst, .lz4) or .parquet.

    Raises:
        ValueError: another ending, a column that is not there (those that are get listed), a file without rows
            or one that cannot be parsed.
    """
    names = list(dict.fromkeys(columns.values()))
    first = 0
    try:
        for table in _tables(path, names):
            _check_present(names, table.column_names, path)
            yield {
                role: FileColumn(f"column {name!r} of {path.name}", table.column(name), first)
                for role, name in columns.items()
            }
            first += table.num_rows
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the operating system, not of the decompressor
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if first == 0:
        raise ValueError(f"{path.name} has no rows")


def _tables(path: Path, names: list[str]) -> Iterator[Any]:
    endings = [ending.lower() for ending in path.suffixes]
    packed = len(endings) > 1 and endings[-1] in _PACKED
    ending = endings[-2] if packed else "".join(endings[-1:])
    if ending not in ENDINGS or (packed and ending == ".parquet"):
        raise ValueError(f"a file of decisions must end in {' or '.join(ENDINGS)}, got {path.name}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path.name} is empty")
    reader = {".csv": _csv, ".parquet": _parquet}.get(ending, _json)
    return reader(path, names)


def _csv(path: Path, names: list[str]) -> Iterator[Any]:
    """Every cell as text: what a column holds must not be guessed from the first block."""
    # without threads Arrow knows the number of a bad row
    read = arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False)
    with arrow_csv.open_csv(str(path), read_options=read) as probe:
        _check_present(names, probe.schema.names, path)
    text = {name: pa.string() for name in names}
    convert = arrow_csv.ConvertOptions(include_columns=names, column_types=text, strings_can_be_null=False)
    with arrow_csv.open_csv(str(path), read_options=read, convert_options=convert) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _json(path: Path, names: list[str]) -> Iterator[Any]:
    """One object a line. Each block is parsed by itself, so that types may differ between blocks."""
    with pa.input_stream(str(path), compression="detect") as stream, io.BufferedReader(stream) as lines:
        rows = 0
        while block := lines.readlines(_BLOCK):
            text = b"".join(block)
            if not text.strip():
                continue
            try:
                options = arrow_json.ReadOptions(block_size=len(text) + 1)
                table = arrow_json.read_json(io.BytesIO(text), read_options=options)
            except pa.ArrowInvalid:  # types that differ within the block, or something that is no object
                table = _parsed(block, names, rows, path)
            yield table
            rows += table.num_rows


def _parsed(lines: list[bytes], names: list[str], before: int, path: Path) -> pa.Table:
    """The columns of some lines of JSON as text, whatever their types; `before` rows stand above them."""
    objects = []
    for line in filter(bytes.strip, lines):
        place = f"row {before + len(objects) + 1} of {path.name}"
        try:
            found = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{place} must be a JSON object, one a line: {error}") from error
        if not isinstance(found, dict):
            raise ValueError(f"{place} must be a JSON object, got {reprlib.repr(found)}")
        objects.append(found)
    _check_present(names, list(dict.fromkeys(name for found in objects for name in found)), path)
    return pa.table(
        {name: pa.array([_text(found.get(name)) for found in objects], pa.string()) for name in names}
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _parquet(path: Path, names: list[str]) -> Iterator[Any]:
    with arrow_parquet.ParquetFile(path) as file:
        _check_present(names, file.schema_arrow.names, path)
        for batch in file.iter_batches(batch_size=_ROWS, columns=names):
            yield pa.Table.from_batches([batch])


def _check_present(names: Sequence[str], present: Sequence[str], path: Path) -> None:
    for name in names:
        if name not in present:
            from simcollapse.checks import nearest  # loads JAX, which an audit does without

            hint = nearest(name, present)
            if len(present) == 1 and (found := [mark for mark in ";\t|" if mark in present[0]]):
                hint = f"; it seems to be separated by {found[0]!r}, and must be by commas"
            raise ValueError(f"{path.name} has no column {name!r}; it has {list(present)}{hint}")
        if list(present).count(name) > 1:
            raise ValueError(f"{path.name} has {list(present).count(name)} columns named {name!r}")
