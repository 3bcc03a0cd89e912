"""An array of a store: its metadata as Zarr 3 writes it, and one chunk, a file, for each part.

Metadata and chunks are written and read here, not through zarr, which takes milliseconds an array and works in a thread
of its own, where an interrupt does not reach it. Any reader of Zarr can open what is written.
"""

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

METADATA = "zarr.json"
PLACE = "place"
GROUP = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
_LEVEL = 1  # of Zstandard: the fastest
_ZSTD = numcodecs.Zstd(level=_LEVEL)  # one thread, so the same bytes for the same numbers
_WHOLE = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_DTYPES = ("bool", *_WHOLE, "float16", "float32", "float64")  # named alike by NumPy and Zarr
# Of an array's metadata, what says where numbers are and what they mean; the rest may differ by the writer.
_DECISIVE = "node_type", "zarr_format", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs"


class DamagedStore(ValueError):
    """The store holds something that no run of this configuration wrote."""


def create(folder: Path, rows: int, parts: int, shape: tuple[int, ...], kind: Any) -> None:
    """The array `folder`, without chunks; a row has `shape`, a part so many `rows`.

    Raises:
        TypeError: numbers of a kind that Zarr has no name for.
    """
    if np.dtype(kind).name not in _DTYPES:
        raise TypeError(f"{folder.name} must be numbers of one of the kinds {', '.join(_DTYPES)}, got {kind}")
    folder.mkdir()
    plain = metadata(folder.name, rows, parts, tuple(shape), np.dtype(kind))
    (folder / METADATA).write_text(json.dumps(plain, indent=1), encoding="utf-8")


def metadata(name: str, rows: int, parts: int, shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    """What Zarr 3 says about such an array."""
    order = {} if dtype.itemsize == 1 else {"configuration": {"endian": "little"}}
    pack = {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": False}}
    inner = [f"{name}_dim_{i}" for i in range(len(shape) - 1)]
    return {
        "shape": [parts * rows, *shape],
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [rows, *shape]}},
        # files, not a folder for each
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": dtype.type(0).item(),
        "codecs": [{"name": "bytes"} | order, *([pack] if _compressed(dtype) else [])],
        "attributes": {},
        "dimension_names": [PLACE, "round", *inner][: len(shape) + 1],
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _compressed(dtype: np.dtype) -> bool:
    """Of random digits compression leaves nearly all, of counts little."""
    return dtype.kind != "f"


class Chunks:
    """The chunks of the array `folder`, one for each part.

    Raises:
        ValueError, LookupError, TypeError, OSError: its metadata are not such as `create` writes.
    """

    def __init__(self, folder: Path):
        plain = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        self.length, *row = plain["shape"]
        self.shape = tuple(plain["chunk_grid"]["configuration"]["chunk_shape"])
        if plain["data_type"] not in _DTYPES:
            raise ValueError(
                f"{folder / METADATA} has a data type that no run writes: {plain['data_type']!r}"
            )
        self._dtype = np.dtype(plain["data_type"])
        self._little = self._dtype.newbyteorder("<")
        mine = metadata(folder.name, self.shape[0], 0, tuple(row), self._dtype) | {"shape": plain["shape"]}
        changed = [key for key in _DECISIVE if plain[key] != mine[key]]
        if changed:
            raise ValueError(f"{folder / METADATA} says of {changed[0]} what no run writes")
        self._folder, self._key = str(folder), (".0" * len(row))

    def path(self, number: int) -> str:
        """Where the chunk of part `number` is."""
        return f"{self._folder}{os.sep}c.{number}{self._key}"

    def write(self, number: int, values: np.ndarray) -> str:
        """Write the chunk of part `number`; its checksum."""
        if values.shape != self.shape or values.dtype != self._dtype:
            raise DamagedStore(
                f"{self._folder} holds {self._dtype} chunks of shape {self.shape}, this run makes {values.dtype} "
                f"ones of {values.shape}"
            )
        plain = np.ascontiguousarray(values, self._little)
        data = _ZSTD.encode(plain) if _compressed(self._dtype) else plain.data.cast("B")
        write_atomically(self.path(number), data, sync=False)
        return checksum(data)

    def bytes_of(self, number: int) -> bytes | None:
        """The chunk of part `number` as it is on disk, None if it is not."""
        try:
            with open(self.path(number), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def decode(self, data: bytes) -> np.ndarray:
        """The values of a chunk that was read."""
        plain = _ZSTD.decode(data) if _compressed(self._dtype) else data
        return np.frombuffer(plain, self._little).astype(self._dtype, copy=False).reshape(self.shape)


def checksum(data: bytes | memoryview) -> str:
    """Length and CRC-32: against torn and decayed files, not against people, and at memory's speed."""
    return f"{len(data)}-{zlib.crc32(data):08x}"


def write_atomically(path: Path | str, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a file that appears whole or not at all; with `sync` also if the power goes.

    Raises:
        OSError: with `path` as its filename.
    """
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb", buffering=0) as file:
            left = memoryview(data)
            while left:  # a disk that fills up, and a signal, take a piece
                left = left[file.write(left) :]
            if sync:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise
