"""What the rows of a store are, one file's worth for each way to record: whole chains, or streams of each cell.

With record="chains" a row is one chain, and `cell` and `chain` say which (-1: padding). With record="summary" a row is
what one part knows of one cell: count, mean and sum of squares of every variable by block, and a histogram
(`streaming.Stream`). They are merged in the order of blocks when they are read, as `simcollapse.sweep` does, so that it
changes no bit how a run is cut into parts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from simcollapse import blocks, results, streaming
from simcollapse.runs.layout import Layout

Columns = Mapping[str, np.ndarray]
Variables = dict[str, tuple[tuple[int, ...], Any]]
Done = list[tuple[blocks.Job, dict[str, np.ndarray]]]  # blocks and their records
_INT = np.dtype(np.int32)
_FILLED_BINS, _BIN_BYTES = 300, 3  # of a histogram compressed: numbers that spread over five decades


class Chains:
    """Every chain of a part."""

    def __init__(self, plan: results.Plan, layout: Layout):
        self._plan, self.rows = plan, layout.part_size

    def variables(self, shapes: dict[str, Any]) -> Variables:
        """Shape of a row and dtype of every array."""
        return {"cell": ((), _INT), "chain": ((), _INT)} | {n: (s.shape, s.dtype) for n, s in shapes.items()}

    def num_bytes(self, shapes: dict[str, Any]) -> int:
        """Bytes of a part on the disk, at most."""
        return self.rows * _row_bytes(self.variables(shapes))

    def columns(self, done: Done) -> Columns:
        """Rows of a part out of its finished blocks and their records."""
        return _Joined(self.rows, done)

    def collect(self, columns: Columns, collector: Any) -> None:
        """Add a part that was read to a collector of chains."""
        record = {name: values for name, values in columns.items() if name not in ("cell", "chain")}
        collector.add(columns["cell"], columns["chain"], columns["cell"] >= 0, record)


class _Joined(Mapping[str, np.ndarray]):
    """Rows of blocks one after the other by variable, each joined anew when it is looked up.

    Whoever takes one variable at a time has it in the processor's cache, and leaves the rest of that to the blocks.
    """

    def __init__(self, rows: int, done: Done):
        self._rows = rows
        self._blocks: dict[str, list[np.ndarray]] = {}
        for job, record in done:
            mine = {"cell": job.cells.astype(_INT), "chain": job.chain_numbers.astype(_INT)} | record
            for name, values in mine.items():
                self._blocks.setdefault(name, []).append(values[: job.num_valid])

    def __getitem__(self, name: str) -> np.ndarray:
        return self._join(name, self._blocks[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def by_round(self, width: int, first: int) -> dict[str, np.ndarray]:
        """As the function of this name."""
        mine = {name: blocks for name, blocks in self._blocks.items() if blocks[0].shape[1:] == (width,)}
        return {name: self._join(name, [values[:, first:] for values in mine[name]]) for name in mine}

    def _join(self, name: str, blocks: list[np.ndarray]) -> np.ndarray:
        out = np.empty((self._rows, *blocks[0].shape[1:]), blocks[0].dtype)
        filled = sum(map(len, blocks))
        np.concatenate(blocks, out=out[:filled])
        out[filled:] = -1 if name in ("cell", "chain") else 0
        return out


def by_round(columns: Columns, width: int, first: int) -> dict[str, np.ndarray]:
    """Of a part that holds chains the numbers by round, which have `width` of them, from round `first` on."""
    if isinstance(columns, _Joined):
        return columns.by_round(width, first)
    return {name: values[:, first:] for name, values in columns.items() if values.shape[1:] == (width,)}


class Streams:
    """Streams of the cells that a part touches."""

    def __init__(self, plan: results.Plan, layout: Layout):
        self._plan = plan
        self._part_chains = layout.part_size
        self.rows = -(-layout.part_size // plan.chains) + 1  # cells that a part may touch
        self._blocks = max(-(-layout.part_size // size) for size in layout.block_sizes)

    def variables(self, shapes: dict[str, Any]) -> Variables:
        """Shape of a row and dtype of every array."""
        made: Variables = {"cell": ((), _INT), "chains": ((), _INT)}
        made["frozen"] = ((3,), _INT)  # chain, round and reason of the first that froze, or -1
        for name, width in self._widths(shapes).items():
            made |= {f"{name}.{field}": ((self._blocks, width), float) for field in streaming.MOMENTS}
            made[f"{name}.histogram"] = ((width, streaming.BINS), _INT)
        return made

    def _widths(self, shapes: dict[str, Any]) -> dict[str, int]:
        widths = {name: int(np.prod(shape.shape)) for name, shape in shapes.items()}
        return widths | dict.fromkeys(results.RATES, self._plan.rounds + 1)

    def num_bytes(self, shapes: dict[str, Any]) -> int:
        """Bytes of a part on the disk, about: histograms are nearly all zeros, which compression removes."""
        plain = {k: v for k, v in self.variables(shapes).items() if not k.endswith(".histogram")}
        filled = min(_FILLED_BINS * self.rows, self._part_chains)
        return self.rows * _row_bytes(plain) + filled * _BIN_BYTES * sum(self._widths(shapes).values())

    def columns(self, done: Done) -> Columns:
        """Rows of a part out of its finished blocks and their records."""
        cells = sorted({int(cell) for job, _ in done for cell in job.cells[job.valid]})
        out: dict[str, np.ndarray] = {
            "cell": np.full(self.rows, -1, _INT),
            "chains": np.zeros(self.rows, _INT),
        }
        out["frozen"] = np.full((self.rows, 3), -1, _INT)
        out["cell"][: len(cells)] = cells
        for block, (job, record) in enumerate(done):
            record = record | results.rates(record)
            for row, cell in enumerate(cells):
                here = job.valid & (job.cells == cell)
                if here.any():
                    self._add(out, row, block, here, job, record)
        return out

    def _add(
        self, out: dict[str, np.ndarray], row: int, block: int, here: np.ndarray, job: blocks.Job, record
    ) -> None:
        streams: dict[str, streaming.Stream] = {}
        results.add_chains(streams, record, here)
        for name, stream in streams.items():
            for field in streaming.MOMENTS:
                values = getattr(stream, field)
                shape = (self.rows, self._blocks, len(values))
                out.setdefault(f"{name}.{field}", np.zeros(shape))[row, block] = values
            key, seen = f"{name}.histogram", stream.histogram
            if key not in out:
                out[key] = np.zeros((self.rows, len(seen.counts), streaming.BINS), _INT)
            out[key][row, :, seen.low : seen.high] += seen.counts
        out["chains"][row] += here.sum()
        first = results.first_stopped(self._plan, job.cells, job.chain_numbers, here, record)
        if first is not None and out["frozen"][row, 0] < 0:
            reason = results.chain.REASONS.index(first["reason"])
            out["frozen"][row] = first["chain"], first["round"], reason

    def collect(self, columns: Columns, collector: Any) -> None:
        """Merge a part that was read into a collector of summaries, block by block."""
        for row in np.flatnonzero(columns["cell"] >= 0).tolist():
            cell = int(columns["cell"][row])
            number, k, reason = (int(x) for x in columns["frozen"][row])
            if number >= 0:
                collector.note_frozen(results.where_stopped(self._plan, cell, number, k, reason))
            filled = blocks_of(columns, row)
            for block in filled:
                last = block == filled[-1]
                streams = {name: _stream(columns, name, row, block, last) for name in names(columns)}
                collector.merge(cell, streams, int(columns["chains"][row]) if last else 0)


def names(columns: Columns) -> list[str]:
    """Variables of which a part of streams knows the moments."""
    return [key.removesuffix(".count") for key in columns if key.endswith(".count")]


def blocks_of(columns: Columns, row: int) -> list[int]:
    """Blocks that had chains of the cell in this row of a part of streams."""
    return np.flatnonzero(columns["alive.count"][row].any(axis=-1)).tolist()


def _stream(columns: Columns, name: str, row: int, block: int, last: bool) -> streaming.Stream:
    """What one block showed of a variable; the histogram, which blocks share, goes with the last of them."""
    stream = streaming.Stream(columns[f"{name}.count"].shape[-1])
    for field in streaming.MOMENTS:
        setattr(stream, field, columns[f"{name}.{field}"][row, block])
    if last:
        whole = columns[f"{name}.histogram"][row]
        filled = np.flatnonzero(whole.any(axis=0))
        if len(filled):
            stream.histogram.add(filled[0], whole[:, filled[0] : filled[-1] + 1])
    return stream


def _row_bytes(variables: Variables) -> int:
    return sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in variables.values())


KINDS = {"chains": Chains, "summary": Streams}
