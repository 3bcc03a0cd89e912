"""Finding and reading real data. What was used is said in `Table.source`, which results record."""

from simcollapse.data.diagnostics import Homoscedasticity, homoscedasticity
from simcollapse.data.finding import find_file
from simcollapse.data.tables import (
    KNOWN,
    PointTable,
    Table,
    chosen_table,
    load_table,
    read_points,
    read_table,
    standardise,
)

__all__ = [
    "KNOWN",
    "Homoscedasticity",
    "PointTable",
    "Table",
    "chosen_table",
    "find_file",
    "homoscedasticity",
    "load_table",
    "read_points",
    "read_table",
    "standardise",
]
