"""The generative grid and the figures as tables."""

from typing import Any

import numpy as np

from simcollapse.bench.text import Table, number, seconds, times

ENGINES = {"law": "exact in law", "sample": "every row drawn"}


def tables(report: dict[str, Any]) -> list[Table]:
    """Every table of these sections, empty ones too; a report of before they were measured has none."""
    if "generative" not in report:
        return []
    return [summary(report), cells(report), sizes(report), rounds(report), figures(report)]


def summary(report) -> Table:
    """Geometric mean and worst cell by task and workflow."""
    rows = [
        [
            row["task"],
            row["workflow"],
            str(row["cells"]),
            times(row["geometric_mean"]),
            times(row["worst"]),
            row["worst_case"],
            str(row["below_ten"]),
        ]
        for row in report["summary"]
    ]
    return Table(
        "Refitted to their own samples: times the plain loop, best engine of each cell",
        ["task", "workflow", "cells", "geometric mean", "worst", "worst case", "cells below 10×"],
        rows,
    )


def cells(report) -> Table:
    """Every cell of the grid."""
    rows = []
    for row in report["generative"]:
        line = [row["case"], str(row["rounds"]), number(row["rates"]["loop"]["rate"])]
        for engine in ENGINES:
            there = engine in row["speedup"]
            line += (
                [number(row["rates"][engine]["rate"]), times(row["speedup"][engine])] if there else ["", ""]
            )
        rows.append([*line, seconds(sum(row["compile_s"].values()))])
    columns = ["case", "rounds", "plain loop, chain-rounds/s"]
    for words in ENGINES.values():
        columns += [f"{words}, chain-rounds/s", "speedup"]
    note = (
        "Plain loop: one chain at a time in NumPy, as the published scripts do; the density estimate by scikit-learn. "
        "Loop and engine run the same number of rounds, fewer where a chain of the loop would take many "
        "seconds: under accumulate a round of the loop costs the whole pool, so more rounds would favour the engine. "
        "No law: under accumulate-subsample, which chooses among rows, and of a density estimate. Compile: seconds "
        "spent at this cell; cells that share a program follow each other, and the first pays."
    )
    return Table("Refitted to their own samples: the whole grid", [*columns, "compile"], rows, note)


def sizes(report) -> Table:
    """How a chain-round's cost grows with n and with d, by engine: exponents over the last two sizes of the grid."""
    rows = []
    for task, workflow in dict.fromkeys((row["task"], row["workflow"]) for row in report["generative"]):
        ours = [row for row in report["generative"] if (row["task"], row["workflow"]) == (task, workflow)]
        for engine, words in {**ENGINES, "loop": "plain loop"}.items():
            there = [row for row in ours if engine in row["rates"]]
            found = [_slopes(there, engine, by, fixed) for by, fixed in (("n", "dim"), ("dim", "n"))]
            if all(found):
                rows.append([task, workflow, words, *found])
    note = (
        "Exponents: microseconds of a chain-round go as n^a where n grows from the middle of the grid to its end, at "
        "the middle d, and as d^b at the middle n. Discrete: d is the number of outcomes."
    )
    return Table(
        "How cost grows with the sizes", ["task", "workflow", "program", "with n", "with d"], rows, note
    )


def _slopes(rows, engine: str, by: str, fixed: str) -> str:
    """Exponent of `by` from the middle of the grid to its end, where `fixed` is in the middle; empty if it is not."""
    values = sorted({row[fixed] for row in rows})
    if not values:
        return ""
    middle = values[len(values) // 2]
    cost = {row[by]: 1 / row["rates"][engine]["rate"] for row in rows if row[fixed] == middle}
    if len(cost) < 2:
        return ""
    grown = sorted(cost)
    low, high = grown[(len(grown) - 1) // 2], grown[-1]
    return f"{np.log(cost[high] / cost[low]) / np.log(high / low):.2f}"


def rounds(report) -> Table:
    """Seconds of one chain by its number of rounds."""
    rows = []
    for row in report["growth"]:
        for engine, words in {**ENGINES, "loop": "plain loop"}.items():
            if engine in row["chain_s"]:
                taken = [f"{length}: {_short(t)}" for length, t in row["chain_s"][engine].items()]
                rows.append([row["case"], words, ", ".join(taken), f"{row['exponent'][engine]:.2f}"])
    note = "Time of one chain by its number of rounds K, and the exponent of K over the larger half; 1 is linear."
    return Table("How cost grows with the rounds", ["case", "program", "time by K", "exponent"], rows, note)


def figures(report) -> Table:
    """Time and memory of whole figures."""
    rows = []
    for row in report["figures"]:
        if "error" in row:
            rows.append([row["figure"], row["figure_scale"], f"failed: {row['error']}", "", ""])
        else:
            memory = f"{row['peak_bytes'] / 2**30:.2f} GiB"
            took = [f"{row['wall_s']:.0f} s", f"{row['cpu_s']:.0f} s"]
            rows.append([row["figure"], row["figure_scale"], *took, memory])
    note = "A process each; start, compiling, closed forms and drawing included."
    return Table("Figures", ["figure", "scale", "time", "processor time", "peak memory"], rows, note)


def _short(value: float) -> str:
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e-6:.3g} µs"
