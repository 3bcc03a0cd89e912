"""Finding and reading real data. What was used is said in `Table.source`, which results record."""

from simcollapse.data.diagnostics import Homoscedasticity, homoscedasticity
from simcollapse.data.finding import find_file
from simcollapse.data.tables import KNOWN, Table, chosen_table, load_table, read_table, standardise

__all__ = [
    "KNOWN",
    "Homoscedasticity",
    "Table",
    "chosen_table",
    "find_file",
    "homoscedasticity",
    "load_table",
    "read_table",
    "standardise",
]
