"""The store of a run: a Zarr array for each result variable, a chunk for each part, a mark for each finished part.

A chunk appears whole or not at all (against a kill), a mark is written after the chunks that it vouches for and holds
their checksums. What a mark does not vouch for is computed again. What a row of the arrays is, `records` says.

Chunks are written and read here, not through zarr: it takes milliseconds an array, and in a thread of its own, where an
interrupt does not reach it. Any reader of Zarr can open the store. Nothing waits for the disk: what a power cut leaves
of a part has another checksum, or no mark.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
import zarr.codecs

ARRAYS, MARKS = "store.zarr", "done"
PLACE = "place"
_LEVEL = 1  # of Zstandard: the fastest
_ZSTD = numcodecs.Zstd(level=_LEVEL)  # one thread, so the same bytes for the same numbers


class DamagedStore(ValueError):
    """The store holds something that no run of this configuration wrote."""


def create(
    folder: Path, num_parts: int, rows: int, variables: dict[str, tuple[tuple[int, ...], Any]]
) -> None:
    """The empty store, in a run directory that has none.

    Args:
        folder: the run directory.
        num_parts: parts of the run.
        rows: of one part in each array.
        variables: shape of a row and dtype by name.
    """
    (folder / MARKS).mkdir()
    group = zarr.create_group(folder / ARRAYS)
    for name, (shape, kind) in variables.items():
        dtype = np.dtype(kind)
        inner = [f"{name}_dim_{i}" for i in range(len(shape) - 1)]
        group.create_array(
            name,
            shape=(num_parts * rows, *shape),
            chunks=(rows, *shape),
            dtype=dtype,
            fill_value=0,
            serializer=zarr.codecs.BytesCodec(endian="little"),
            compressors=zarr.codecs.ZstdCodec(level=_LEVEL) if _compressed(dtype) else None,
            chunk_key_encoding={"name": "default", "separator": "."},  # files, not a folder for each
            dimension_names=(PLACE, "round", *inner)[: len(shape) + 1],
        )


def _compressed(dtype: np.dtype) -> bool:
    """Of random digits compression leaves nearly all, of counts little."""
    return dtype.kind != "f"


class Store:
    """The store in the run directory `folder`: so many parts and rows of each, of the run with this `fingerprint`.

    Raises:
        DamagedStore: not what `create` made for such a run.
    """

    def __init__(self, folder: Path, num_parts: int, rows: int, fingerprint: str):
        self._folder, self._fingerprint = Path(folder), fingerprint
        self._num_parts = num_parts
        try:
            group = zarr.open_group(self._folder / ARRAYS, mode="r")
            self._arrays = {
                name: _Chunks(self._folder / ARRAYS / name, array) for name, array in group.arrays()
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedStore(
                f"{self._folder / ARRAYS} cannot be read ({error}); it is damaged: name another directory"
            ) from None
        for name, chunks in self._arrays.items():
            if chunks.length != num_parts * rows or chunks.shape[0] != rows:
                raise DamagedStore(
                    f"{self._folder / ARRAYS / name} has {chunks.length} rows in chunks of {chunks.shape[0]}, "
                    f"this run has {num_parts * rows} in chunks of {rows}: it is another run's"
                )

    def write(self, number: int, columns: Mapping[str, np.ndarray]) -> None:
        """Write part `number`, its rows by variable, each taken once, and mark it as done.

        Raises:
            OSError: names the file that could not be written.
        """
        self._check_names(columns)
        checksums = {name: self._arrays[name].write(number, columns[name]) for name in sorted(columns)}
        mark = {"fingerprint": self._fingerprint, "checksums": checksums}
        write_atomically(self._mark(number), json.dumps(mark).encode(), sync=False)

    def read(self, number: int) -> dict[str, np.ndarray]:
        """Part `number`, which must be done.

        Raises:
            DamagedStore: a chunk that is not what was written.
        """
        fingerprint, checksums = self._read_mark(number)
        self._check_fingerprint(number, fingerprint)
        self._check_names(checksums)
        out = {}
        for name, chunks in self._arrays.items():
            data = chunks.bytes_of(number)
            if data is None or _checksum(data) != checksums[name]:
                raise DamagedStore(
                    f"{chunks.path(number)} is torn or missing; the command that made the run computes it again"
                )
            out[name] = chunks.decode(data)
        return out

    def _check_names(self, names: Iterable[str]) -> None:
        if set(names) != set(self._arrays):
            raise DamagedStore(
                f"{self._folder / ARRAYS} is damaged: it holds {sorted(self._arrays)}, this run makes {sorted(names)}"
            )

    def done(self) -> list[int]:
        """Parts that are marked as done, in order.

        Raises:
            DamagedStore: a mark of another run, or of a part that this run does not have.
        """
        numbers = []
        for path in self._marks():
            number = int(path.stem)
            if number >= self._num_parts:
                raise DamagedStore(f"{path} marks a part that this run, of {self._num_parts}, does not have")
            numbers.append(number)
        return sorted(numbers)

    def verify(self, parts: Iterable[int] | None = None) -> tuple[list[int], list[int]]:
        """Of `parts` (None: all), those that are done and whole, and those that are marked but torn.

        Raises:
            DamagedStore: as of `done`; or a mark that another configuration left.
        """
        wanted = None if parts is None else set(parts)
        whole, torn = [], []
        for number in self.done():
            if wanted is None or number in wanted:
                (whole if self._sound(number) else torn).append(number)
        return whole, torn

    def _sound(self, number: int) -> bool:
        try:
            fingerprint, checksums = self._read_mark(number)
        except DamagedStore:
            return False
        self._check_fingerprint(number, fingerprint)
        self._check_names(checksums)
        found = ((name, chunks.bytes_of(number)) for name, chunks in self._arrays.items())
        return all(data is not None and _checksum(data) == checksums[name] for name, data in found)

    def _read_mark(self, number: int) -> tuple[str, dict[str, str]]:
        path = self._mark(number)
        try:
            mark = json.loads(path.read_text(encoding="utf-8"))
            return str(mark["fingerprint"]), dict(mark["checksums"])
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            raise DamagedStore(f"{path} is damaged ({error})") from None

    def _check_fingerprint(self, number: int, fingerprint: str) -> None:
        if fingerprint != self._fingerprint:
            raise DamagedStore(
                f"{self._mark(number)} was written by a run of another configuration; move it away"
            )

    def unmark(self, parts: Iterable[int]) -> None:
        """Take the marks of torn parts away."""
        for number in parts:
            self._mark(number).unlink()

    def sweep_up(self) -> int:
        """Remove what a killed writer left half written; how many files that were. Only for who writes alone."""
        left = [*(self._folder / ARRAYS).rglob("*.partial"), *(self._folder / MARKS).glob("*.partial")]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _marks(self) -> Iterator[Path]:
        for path in (self._folder / MARKS).iterdir():
            if path.suffix == ".json" and path.stem.isdigit():
                yield path
            elif path.suffix != ".partial":
                raise DamagedStore(f"{path} is not a mark of this run; move it away")

    def _mark(self, number: int) -> Path:
        return self._folder / MARKS / f"{number:06d}.json"


class _Chunks:
    """The chunks of one array, one for each part."""

    def __init__(self, folder: Path, array: Any):
        self._folder, self._key = folder, array.metadata.encode_chunk_key
        self.length, self.shape, self._dtype = array.shape[0], array.chunks, array.dtype

    def path(self, number: int) -> Path:
        """Where the chunk of part `number` is."""
        return self._folder / self._key((number,) + (0,) * (len(self.shape) - 1))

    def write(self, number: int, values: np.ndarray) -> str:
        """Write the chunk of part `number`; its checksum."""
        if values.shape != self.shape or values.dtype != self._dtype:
            raise DamagedStore(
                f"{self._folder} holds {self._dtype} chunks of shape {self.shape}, this run makes {values.dtype} "
                f"ones of {values.shape}"
            )
        plain = np.ascontiguousarray(values, self._dtype.newbyteorder("<"))
        data = _ZSTD.encode(plain) if _compressed(self._dtype) else plain.data.cast("B")
        write_atomically(self.path(number), data, sync=False)
        return _checksum(data)

    def bytes_of(self, number: int) -> bytes | None:
        """The chunk of part `number` as it is on disk, None if it is not."""
        try:
            return self.path(number).read_bytes()
        except FileNotFoundError:
            return None

    def decode(self, data: bytes) -> np.ndarray:
        """The values of a chunk that was read."""
        plain = _ZSTD.decode(data) if _compressed(self._dtype) else data
        kind = self._dtype.newbyteorder("<")
        return np.frombuffer(plain, kind).astype(self._dtype, copy=False).reshape(self.shape)


def _checksum(data: bytes | memoryview) -> str:
    """Length and CRC-32: against torn and decayed files, not against people, and at memory's speed."""
    return f"{len(data)}-{zlib.crc32(data):08x}"


def write_atomically(path: Path, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a file that appears whole or not at all; with `sync` also if the power goes.

    Raises:
        OSError: with `path` as its filename.
    """
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise
