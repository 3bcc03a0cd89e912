"""The store of a run: a Zarr array for each result variable, a chunk for each part, a mark for each finished part.

A chunk appears whole or not at all (against a kill), a mark is written after the chunks that it vouches for and holds
their checksums. What a mark does not vouch for is computed again. What a row of the arrays is, `records` says.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.codecs

ARRAYS, MARKS = "store.zarr", "done"
PLACE = "place"


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
        # Blosc takes twice as long as the disk for a third less of random digits; of counts it leaves little.
        codec = None if dtype.kind == "f" else zarr.codecs.BloscCodec(cname="lz4", clevel=1)
        group.create_array(
            name,
            shape=(num_parts * rows, *shape),
            chunks=(rows, *shape),
            dtype=dtype,
            fill_value=0,
            compressors=codec,
            dimension_names=(PLACE, "round", *inner)[: len(shape) + 1],
        )


class Store:
    """The store in the run directory `folder`: so many parts and rows of each, of the run with this `fingerprint`."""

    def __init__(self, folder: Path, num_parts: int, rows: int, fingerprint: str):
        self._folder, self._fingerprint = Path(folder), fingerprint
        self._num_parts, self._rows = num_parts, rows
        try:
            group = zarr.open_group(self._folder / ARRAYS, mode="r+" if os.access(folder, os.W_OK) else "r")
            # a chunk of zeros is written too: every part has all its files
            every: Any = {"write_empty_chunks": True}
            self._arrays = {name: array.with_config(every) for name, array in group.arrays()}
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise DamagedStore(f"{self._folder / ARRAYS} cannot be read ({error}); it is damaged") from None
        for name, array in self._arrays.items():
            if array.shape[0] != num_parts * rows or array.chunks[0] != rows:
                raise DamagedStore(
                    f"{self._folder / ARRAYS / name} has {array.shape[0]} rows in chunks of {array.chunks[0]}, "
                    f"this run has {num_parts * rows} in chunks of {rows}: it is another run's"
                )

    def write(self, number: int, columns: dict[str, np.ndarray]) -> None:
        """Write part `number`, its rows by variable, and mark it as done."""
        if set(columns) != set(self._arrays):
            raise DamagedStore(
                f"{self._folder / ARRAYS} holds {sorted(self._arrays)}, this run makes {sorted(columns)}"
            )
        for name, values in columns.items():
            self._arrays[name][self._places(number)] = values
        mark = {"fingerprint": self._fingerprint, "checksums": self._checksums(number)}
        write_atomically(self._mark(number), json.dumps(mark, indent=1))

    def read(self, number: int) -> dict[str, np.ndarray]:
        """Part `number`, which must be done."""
        return {name: np.asarray(array[self._places(number)]) for name, array in self._arrays.items()}

    def _places(self, number: int) -> slice:
        return slice(number * self._rows, (number + 1) * self._rows)

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

    def verify(self) -> tuple[list[int], list[int]]:
        """Parts that are done and whole, and parts that were marked but are torn: their marks are removed.

        Raises:
            DamagedStore: as of `done`; or a mark that another configuration left.
        """
        whole, torn = [], []
        for number in self.done():
            try:
                mark = json.loads(self._mark(number).read_text(encoding="utf-8"))
                sound = mark["checksums"] == self._checksums(number)
                fingerprint = mark["fingerprint"]
            except (ValueError, KeyError, TypeError, FileNotFoundError):
                sound, fingerprint = False, self._fingerprint
            if fingerprint != self._fingerprint:
                raise DamagedStore(f"{self._mark(number)} was written by a run of another configuration")
            if not sound:
                self._mark(number).unlink()
            (whole if sound else torn).append(number)
        return whole, torn

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

    def _checksums(self, number: int) -> dict[str, str]:
        """Of each array's chunk of part `number`, as the bytes on disk."""
        out = {}
        for name, array in sorted(self._arrays.items()):
            path = (
                self._folder
                / ARRAYS
                / name
                / array.metadata.encode_chunk_key((number,) + (0,) * (array.ndim - 1))
            )
            out[name] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        return out


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file that appears whole or not at all, also if the power goes."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
