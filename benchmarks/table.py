"""A results file as Markdown tables, for the README.

python benchmarks/table.py benchmarks/results/cpu-2core.json
"""

import json
from pathlib import Path

import tyro

from simcollapse.bench import tables


def main(file: tyro.conf.Positional[Path]) -> None:
    """Print the tables of `file`, written by `simcollapse bench --out`."""
    print(tables.to_markdown(json.loads(file.read_text(encoding="utf-8"))), end="")


if __name__ == "__main__":
    tyro.cli(main)
