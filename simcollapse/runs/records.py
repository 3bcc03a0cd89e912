"""What the rows of a store are, one file's worth for each way to record: whole chains, or streams of each cell.

With record="chains" a row is one chain, and `cell` and `chain` say which (-1: padding). With record="summary" a row is
what one part knows of one cell: count, mean, sum of squares and histogram of every variable (`streaming.Stream`); parts
that share a cell are merged when they are read, in their order.
"""

from typing import Any

import numpy as np

from simcollapse import blocks, results, streaming
from simcollapse.runs.layout import Layout

Columns = dict[str, np.ndarray]
_INT = np.dtype(np.int32)


class Chains:
    """Every chain of a part."""

    def __init__(self, plan: results.Plan, layout: Layout):
        self._plan, self.rows = plan, layout.part_size

    def variables(self, shapes: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape of a row and dtype of every array."""
        return {"cell": ((), _INT), "chain": ((), _INT)} | {n: (s.shape, s.dtype) for n, s in shapes.items()}

    def columns(self, done: list[tuple[blocks.Job, dict[str, np.ndarray]]]) -> Columns:
        """Rows of a part out of its finished blocks and their records."""
        made: dict[str, list[np.ndarray]] = {}
        for job, record in done:
            mine = {"cell": job.cells.astype(_INT), "chain": job.chain_numbers.astype(_INT)} | record
            for name, values in mine.items():
                made.setdefault(name, []).append(values[job.valid])
        out = {}
        for name, pieces in made.items():
            values = np.concatenate(pieces)
            padding = np.zeros((self.rows - len(values), *values.shape[1:]), values.dtype)
            out[name] = np.concatenate([values, padding - 1 if name in ("cell", "chain") else padding])
        return out

    def collect(self, columns: Columns, collector: Any) -> None:
        """Add a part that was read to a collector of chains."""
        record = {name: values for name, values in columns.items() if name not in ("cell", "chain")}
        collector.add(columns["cell"], columns["chain"], columns["cell"] >= 0, record)


class Streams:
    """Streams of the cells that a part touches."""

    def __init__(self, plan: results.Plan, layout: Layout):
        self._plan = plan
        self.rows = -(-layout.part_size // plan.chains) + 1  # cells that a part may touch

    def variables(self, shapes: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape of a row and dtype of every array."""
        widths = {name: int(np.prod(shape.shape)) for name, shape in shapes.items()}
        widths |= dict.fromkeys(results.RATES, self._plan.rounds + 1)
        made: dict[str, tuple[tuple[int, ...], Any]] = {"cell": ((), _INT), "chains": ((), _INT)}
        made["frozen"] = ((3,), _INT)  # chain, round and reason of the first that froze, or -1
        for name, width in widths.items():
            made |= {f"{name}.{field}": ((width,), float) for field in streaming.FIELDS[:-1]}
            made[f"{name}.histogram"] = ((width, streaming.BINS), _INT)
        return made

    def columns(self, done: list[tuple[blocks.Job, dict[str, np.ndarray]]]) -> Columns:
        """Rows of a part out of its finished blocks and their records."""
        streams: dict[int, dict[str, streaming.Stream]] = {}
        counts: dict[int, int] = {}
        frozen: dict[int, list[int]] = {}
        for job, record in done:
            record = record | results.rates(record)
            for cell in np.unique(job.cells[job.valid]):
                here = job.valid & (job.cells == cell)
                results.add_chains(streams.setdefault(cell, {}), record, here)
                counts[cell] = counts.get(cell, 0) + int(here.sum())
                first = results.first_stopped(self._plan, job.cells, job.chain_numbers, here, record)
                if first is not None:
                    reason = results.chain.REASONS.index(first["reason"])
                    frozen.setdefault(cell, [first["chain"], first["round"], reason])
        cells = sorted(streams)
        out = {
            "cell": self._padded(np.array(cells, _INT), -1),
            "chains": self._padded(np.array([counts[c] for c in cells], _INT)),
            "frozen": self._padded(np.array([frozen.get(c, [-1] * 3) for c in cells], _INT), -1),
        }
        for name in streams[cells[0]]:
            for field in streaming.FIELDS:
                values = np.stack([getattr(streams[c][name], field) for c in cells])
                out[f"{name}.{field}"] = self._padded(values.astype(_INT) if field == "histogram" else values)
        return out

    def _padded(self, values: np.ndarray, fill: int = 0) -> np.ndarray:
        shape = (self.rows - len(values), *values.shape[1:])
        return np.concatenate([values, np.full(shape, fill, values.dtype)])

    def collect(self, columns: Columns, collector: Any) -> None:
        """Merge a part that was read into a collector of summaries."""
        names = [key.removesuffix(".count") for key in columns if key.endswith(".count")]
        for i in np.flatnonzero(columns["cell"] >= 0):
            streams = {}
            for name in names:
                stream = streams[name] = streaming.Stream(columns[f"{name}.count"].shape[1])
                for field in streaming.FIELDS:
                    setattr(stream, field, columns[f"{name}.{field}"][i].astype(getattr(stream, field).dtype))
            cell = int(columns["cell"][i])
            number, k, reason = (int(x) for x in columns["frozen"][i])
            if number >= 0:
                collector.note_frozen(results.where_stopped(self._plan, cell, number, k, reason))
            collector.merge(cell, streams, int(columns["chains"][i]))


KINDS = {"chains": Chains, "summary": Streams}
