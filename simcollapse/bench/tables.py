"""A benchmark's dictionary as tables: on a terminal, and as Markdown for the README."""

from collections.abc import Iterable
from typing import Any

import rich.table

from simcollapse.bench import cell_tables
from simcollapse.bench.targets import fraction_of_limit
from simcollapse.bench.text import Table, number, seconds, times


def tables(report: dict[str, Any]) -> list[Table]:
    """Every table of a report; the empty ones are left out."""
    made = [
        throughput(report),
        law(report),
        mixture(report),
        *cell_tables.tables(report),
        precision(report),
        block_sizes(report),
        devices(report),
        targets(report),
        skipped(report),
    ]
    return [table for table in made if table.rows]


def throughput(report) -> Table:
    """Sample level against the NumPy programs and the limit."""
    rows = [
        [
            row["case"],
            _rates(row, "engine"),
            _rates(row, "loop"),
            times(row["speedup"]["loop"]),
            times(row["speedup"]["loop_gram"]),
            times(row["speedup"]["loop_solve"]),
            times(row["speedup"]["vectorised"]),
            f"{fraction_of_limit(row):.0%}",
            seconds(row["compile"]["compile_s"]),
            seconds(row["call_s"]),
            str(row["block_size"]),
        ]
        for row in report["sample"]
    ]
    return Table(
        "Every row drawn, ball verifier, about half accepted",
        [
            "case",
            "chain-rounds/s (fastest)",
            "plain loop",
            "speedup",
            "over loop with pinv(X'X)",
            "over loop with solve",
            "over vectorised NumPy",
            "of the limit",
            "compile",
            "one block",
            "chains of a block",
        ],
        rows,
        "Plain loop: one chain at a time, least squares by the pseudo-inverse of X, as one published script fits; the "
        "next columns have the same loop with the pseudo-inverse of X'X, as the other does, and with "
        "numpy.linalg.solve. Limit: the same random numbers alone, on a fixed design "
        "also the matrix products. One block: seconds of the smallest call. Rates are of the median run, in brackets "
        "of the fastest; ratios are medians over alternating runs.",
    )


def law(report) -> Table:
    """Exact in law against sample level, no verifier."""
    rows = [
        [
            row["case"],
            _rates(row, "engine"),
            _rates(row, "sample") if "sample" in row["rates"] else "",
            times(row["speedup"]["sample"]) if "sample" in row["speedup"] else "",
            times(row["speedup"]["loop"]),
            times(row["speedup"]["vectorised"]),
            seconds(row["compile"]["compile_s"]),
        ]
        for row in report["law"]
    ]
    columns = [
        "case",
        "exact in law, chain-rounds/s",
        "every row drawn",
        "speedup",
        "over plain loop",
        "over vectorised NumPy",
        "compile",
    ]
    return Table("Exact in law, no verifier", columns, rows)


def mixture(report) -> Table:
    """Classification: both engines against the NumPy programs."""
    rows = [
        [
            f"{row['case']}, {'exact in law' if row['engine'] == 'law' else 'every row drawn'}",
            _rates(row, "engine"),
            _rates(row, "loop"),
            times(row["speedup"]["loop"]),
            times(row["speedup"]["vectorised"]),
            f"{fraction_of_limit(row):.0%}" if "limit" in row["speedup"] else "",
            times(row["speedup"]["sample"]) if "sample" in row["speedup"] else "",
            seconds(row["compile"]["compile_s"]),
        ]
        for row in report["mixture"]
    ]
    columns = [
        "case",
        "chain-rounds/s (fastest)",
        "plain loop",
        "speedup",
        "over vectorised NumPy",
        "of the limit",
        "over every row drawn",
        "compile",
    ]
    note = (
        "Ridge regression, flipped labels, independent verdicts (R1). Limit: the same random numbers alone."
    )
    return Table("Classification of a Gaussian mixture", columns, rows, note)


def precision(report) -> Table:
    """Accuracy beside speed: how long until the mean squared error is known to one percent."""
    rows = []
    for row in [*report["sample"], *report["law"]]:
        name = "exact in law" if row["engine"] == "law" else "every row drawn"
        taken = [seconds(row["seconds_to_error"][who]) for who in ("engine", "vectorised", "loop")]
        rows.append([f"{row['case']}, {name}", f"{row['chains_for_error']:,.0f}", *taken])
    return Table(
        "Seconds until the standard error of the last round's mean squared error is 1 % of it",
        ["case", "chains", "simcollapse", "vectorised NumPy", "plain loop"],
        rows,
        "Computed: chains = (standard deviation over chains / (0.01 mean))², times rounds, over the measured rate; "
        "without the compile time.",
    )


def block_sizes(report) -> Table:
    """Rate by block size; the chosen one is marked."""
    rows = [
        [
            row["case"],
            f"{row['block_size']}{' (chosen)' if row['chosen'] else ''}",
            number(row["rate"]),
            seconds(row["compile_s"]),
            f"{row['block_bytes'] / 2**20:.1f} MiB",
        ]
        for row in report["block_sizes"]
    ]
    return Table(
        "Block size", ["case", "chains of a block", "chain-rounds/s", "compile", "memory of a block"], rows
    )


def devices(report) -> Table:
    """Rate by number of devices."""
    rows = []
    for row in report["devices"]:
        kind = "virtual" if row["virtual"] else row["platform"]
        if "error" in row:
            rows.append([f"{row['devices']} {kind}", f"failed: {row['error']}", "", ""])
        else:
            same = "yes" if row.get("same_bits") else "no"
            rows.append([f"{row['devices']} {kind}", number(row["rate"]), times(row.get("speedup", 1)), same])
    note = (
        "Virtual devices share one processor: they show what dispatching costs, not what more devices bring."
    )
    virtual = any(row["virtual"] for row in report["devices"])
    columns = ["devices", "chain-rounds/s", "over one device", "same bits"]
    return Table("Devices", columns, rows, note if virtual else "")


def targets(report) -> Table:
    """What was promised and what came, with the reason for each target missed."""
    rows = [
        [
            item["target"],
            item["case"],
            item["required"],
            f"{item['measured']:.3g}",
            "met" if item["met"] else f"missed: {item['reason']}",
        ]
        for item in report["targets"]
    ]
    note = "Stated for two CPU cores, in single precision."
    return Table("Targets", ["target", "case", "required", "measured", "verdict"], rows, note)


def skipped(report) -> Table:
    """Cases left out, and why."""
    rows = [[item["case"], item["reason"]] for item in report["skipped"]]
    return Table("Left out", ["case", "reason"], rows)


def heading(report) -> str:
    """One line: device, threads, precision, generator, versions."""
    setting = report["setting"]
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    processor = f" ({setting['processor']})" if setting["device"] == "cpu" and setting["processor"] else ""
    return (
        f"{setting['num_devices']} × {setting['device_kind']}{processor}, {setting['cpu_threads']} CPU threads, "
        f"{setting['dtype']} (NumPy {setting['baseline_dtype']}, {setting['blas']}), "
        f"{setting['key_implementation']} keys; {versions}; scale {report['scale']}"
    )


def footing(report) -> str:
    """One line: memory."""
    memory = report["memory"]
    words = (
        f"Peak memory of the process, NumPy programs included: {memory['peak_process_bytes'] / 2**30:.2f} GiB"
    )
    if memory["peak_device_bytes"] is not None:
        words += f"; of the device: {memory['peak_device_bytes'] / 2**30:.2f} GiB"
    return words + "."


def to_rich(table: Table) -> rich.table.Table:
    """A table for the terminal; all columns but the first to the right where they hold numbers."""
    drawn = rich.table.Table(title=table.title, caption=table.note or None, title_justify="left")
    for position, column in enumerate(table.columns):
        text = position == 0 or column in ("reason", "verdict", "case")
        drawn.add_column(column, justify="left" if text else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def to_markdown(report: dict[str, Any]) -> str:
    """The whole report as Markdown, for the README or a page of results."""
    parts = [heading(report) + "."]
    for table in tables(report):
        parts.append(f"**{table.title}**")
        parts.append(
            "\n".join([_line(table.columns), _line(["---"] * len(table.columns)), *map(_line, table.rows)])
        )
        if table.note:
            parts.append(table.note)
    return "\n\n".join([*parts, footing(report)]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rates(row, name) -> str:
    rates = row["rates"][name]
    return f"{number(rates['rate'])} ({number(rates['best_rate'])})"
