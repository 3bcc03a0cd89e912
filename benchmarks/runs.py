"""What does a run directory cost, do two processes halve the time, what does a block on one more device cost?

python benchmarks/runs.py --out benchmarks/results/runs-cpu-2core.json
"""

import json
from pathlib import Path

import tyro

from simcollapse.bench import stores


def main(out: Path | None = None, only: tuple[str, ...] = ()) -> None:
    """Measure (about four minutes), print tables, and write them and the JSON to `out`.

    `--only store` (or `processes`, `devices`) measures one thing again; `out` keeps the others.
    """
    before = json.loads(out.read_text(encoding="utf-8")) if only and out is not None else None
    made = stores.measure(only, before)
    tables = stores.to_markdown(made)
    print(tables, end="")
    if out is not None:
        out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(tables, encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
