"""Results of a run as one file that other programs read."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from simcollapse import results
from simcollapse.cli.files import write_dataset
from simcollapse.runs import records
from simcollapse.runs.directory import Run

ENDINGS = (".parquet", ".nc", ".csv")


def export(run: Run, path: Path) -> None:
    """Write the results of a finished run to `path`, which appears when it is whole.

    .nc: the labelled arrays, as one NetCDF 3 file. .parquet and .csv: a row for each cell, chain and round (with
    record="summary": for each cell, statistic and round), read part by part.

    Raises:
        ValueError: the run is not finished, or another ending.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"the ending of {path} must be one of {list(ENDINGS)}")
    if path.suffix == ".nc":
        return write_dataset(run.load(), path)
    partial = path.with_name(path.name + ".partial")
    tables = _tables(run)
    first = next(tables)
    if path.suffix == ".csv":
        first.to_csv(partial, index=False)
        for table in tables:
            table.to_csv(partial, index=False, mode="a", header=False)
    else:
        schema = pa.Schema.from_pandas(first, preserve_index=False)
        with pyarrow.parquet.ParquetWriter(partial, schema) as writer:
            writer.write_table(pa.Table.from_pandas(first, schema, preserve_index=False))
            for table in tables:
                writer.write_table(pa.Table.from_pandas(table, schema, preserve_index=False))
    os.replace(partial, path)


def _tables(run: Run) -> Iterator[pd.DataFrame]:
    run.check_finished()
    if isinstance(run.record, records.Streams):
        yield run.load().to_dataframe().reset_index()
        return
    for columns in run.parts():
        yield _table(run, columns)


def _table(run: Run, columns: records.Columns) -> pd.DataFrame:
    """One row for each chain and round of a part."""
    plan = run.plan
    valid = columns["cell"] >= 0
    record = {name: columns[name][valid] for name in run.meta["shapes"]}
    record |= results.rates(record)
    rounds = plan.rounds + 1
    cell = np.repeat(columns["cell"][valid], rounds)
    table = {}
    places = np.array([c.index for c in plan.cells], dtype=int).reshape(len(plan.cells), -1)
    for axis, (path, values) in enumerate(plan.over.items()):
        table[path] = np.asarray(values)[places[cell, axis]]
    table["chain"] = np.repeat(columns["chain"][valid], rounds)
    table["round"] = np.tile(np.arange(rounds), valid.sum())
    for name, values in record.items():
        flat = values.reshape(len(table["round"]), -1)
        for i in range(flat.shape[1]):
            table[name if values.ndim == 2 else f"{name}_{i}"] = flat[:, i]
    return pd.DataFrame(table)
