"""The store of a run: a Zarr array for each result variable, a chunk for each part, a mark for each finished part.

A chunk appears whole or not at all (against a kill), a mark is written after the chunks that it vouches for and holds
their checksums. What a mark does not vouch for is computed again. What a row of the arrays is, `records` says; what
their files are, `chunks`.

Nothing waits for the disk: what a power cut leaves of a part has another checksum, or no mark.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simcollapse.runs import chunks
from simcollapse.runs.chunks import Chunks, DamagedStore, checksum

ARRAYS, MARKS = "store.zarr", "done"


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
    (folder / ARRAYS).mkdir()
    (folder / ARRAYS / chunks.METADATA).write_text(json.dumps(chunks.GROUP, indent=1), encoding="utf-8")
    for name, (shape, kind) in variables.items():
        chunks.create(folder / ARRAYS / name, rows, num_parts, shape, kind)


class Store:
    """The store in the run directory `folder`: so many parts and rows of each, of the run with this `fingerprint`.

    Raises:
        DamagedStore: not what `create` made for such a run.
    """

    def __init__(self, folder: Path, num_parts: int, rows: int, fingerprint: str):
        self._folder, self._fingerprint = Path(folder), fingerprint
        self._num_parts = num_parts
        try:
            group = json.loads((self._folder / ARRAYS / chunks.METADATA).read_text(encoding="utf-8"))
            if group["node_type"] != "group":
                raise ValueError("not a Zarr group")
            found = sorted((self._folder / ARRAYS).glob(f"*/{chunks.METADATA}"))
            self._arrays = {path.parent.name: Chunks(path.parent) for path in found}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DamagedStore(
                f"{self._folder / ARRAYS} cannot be read ({error}); it is damaged: name another directory"
            ) from None
        for name, held in self._arrays.items():
            if held.length != num_parts * rows or held.shape[0] != rows:
                raise DamagedStore(
                    f"{self._folder / ARRAYS / name} has {held.length} rows in chunks of {held.shape[0]}, "
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
        chunks.write_atomically(self._mark(number), json.dumps(mark).encode(), sync=False)

    def read(self, number: int) -> dict[str, np.ndarray]:
        """Part `number`, which must be done.

        Raises:
            DamagedStore: a chunk that is not what was written.
        """
        fingerprint, checksums = self._read_mark(number)
        self._check_fingerprint(number, fingerprint)
        self._check_names(checksums)
        out = {}
        for name, held in self._arrays.items():
            data = held.bytes_of(number)
            if data is None or checksum(data) != checksums[name]:
                raise DamagedStore(
                    f"{held.path(number)} is torn or missing; the command that made the run computes it again"
                )
            out[name] = held.decode(data)
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
        found = ((name, held.bytes_of(number)) for name, held in self._arrays.items())
        return all(data is not None and checksum(data) == checksums[name] for name, data in found)

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
