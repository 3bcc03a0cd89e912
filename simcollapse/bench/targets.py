"""What speed is promised (for two CPU cores), what was measured, and why a missed target was missed."""

from collections.abc import Iterator
from typing import Any

LOOP_TARGETS = {("gaussian", 10, 100): 20, ("fixed", 10, 100): 40}
LOOP_TARGETS |= {(design, *size): 50 for design in ("gaussian", "fixed") for size in ((1, 100), (100, 1000))}
LOOPS = {"loop": "pinv(X)", "loop_gram": "pinv(X'X)"}  # the two fits of the published scripts
LIMIT_TARGET = 0.6  # of the random-number limit, Gaussian design
LAW_TARGET = 10  # times the sample level, where that was measured (n = 1000)
MIXTURE_SIZE = (10, 1000)
MIXTURE_TARGETS = {"sample": 10, "law": 200}  # times the plain loop
MANY_ROWS_TARGET = 1.1  # cost in law of a million rows a round over that of a thousand
COMPILE_TARGET_S = 10
GRID_MEAN_TARGET, GRID_WORST_TARGET = 100, 10  # times the plain loop, best engine of each cell
LINEAR_TARGET = 1.1  # exponent of the rounds under `accumulate`
GAUSSIAN_FIGURE_S, ALL_FIGURES_S = 60, 900  # at the scale of the paper


def judged(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target that these results can decide: name, required, measured, met, and the reason if not."""
    sample, law, mixture = report["sample"], report["law"], report["mixture"]
    return [
        *_loop(sample),
        *_limit(sample),
        *_law(law),
        *_mixture(mixture),
        *_compile([*sample, *law, *mixture], report["block_sizes"]),
        *_grid(report.get("generative", []), report.get("summary", [])),
        *_growth(report.get("growth", [])),
        *_figures(report.get("figures", [])),
    ]


def fraction_of_limit(row: dict) -> float:
    """Share of the measured limit that the engine reaches."""
    return row["speedup"]["limit"]


def _loop(sample) -> Iterator[dict[str, Any]]:
    for row in sample:
        required = LOOP_TARGETS.get((row["design"], row["dim"], row["n"]))
        if required is None:
            continue
        for name, loop in LOOPS.items():
            measured = row["speedup"][name]
            yield _target(
                f"times the plain loop, {loop}",
                row["case"],
                f">= {required}",
                measured,
                measured >= required,
                _why_slow(row, measured / fraction_of_limit(row), required),
            )


def _why_slow(row, possible, required) -> str:
    """Why the engine is less than `required` times a loop that the limit is `possible` times as fast as."""
    share = f"{fraction_of_limit(row):.0%}"
    if possible >= required:
        return f"the engine reaches {share} of a limit that is {possible:.1f} times the loop"
    what = f"random numbers{', matrix products' * (row['design'] == 'fixed')}"
    return (
        f"the limit itself ({what}) is only {possible:.1f} times the loop; the engine reaches {share} of it"
    )


def _limit(sample) -> Iterator[dict[str, Any]]:
    for row in sample:
        if row["design"] != "gaussian":
            continue
        measured = fraction_of_limit(row)
        round_us, limit_us = (1e6 / row["rates"][name]["rate"] for name in ("engine", "limit"))
        reason = f"a chain-round takes {round_us:.3g} us, of which its random numbers alone {limit_us:.3g} us"
        yield _target(
            "share of the random-number limit",
            row["case"],
            f">= {LIMIT_TARGET}",
            measured,
            measured >= LIMIT_TARGET,
            reason,
        )


def _law(law) -> Iterator[dict[str, Any]]:
    for row in law:
        if "sample" not in row["speedup"]:
            continue
        measured = row["speedup"]["sample"]
        law_us, sample_us = (1e6 / row["rates"][name]["rate"] for name in ("engine", "sample"))
        reason = f"a chain-round takes {law_us:.3g} us in law, {sample_us:.3g} us with every row drawn"
        yield _target(
            "exact in law, times sample level",
            row["case"],
            f">= {LAW_TARGET}",
            measured,
            measured >= LAW_TARGET,
            reason,
        )


def _mixture(mixture) -> Iterator[dict[str, Any]]:
    for row in mixture:
        if (row["dim"], row["n"]) != MIXTURE_SIZE:
            continue
        required, measured = MIXTURE_TARGETS[row["engine"]], row["speedup"]["loop"]
        law = row["engine"] == "law"
        round_us, loop_us = (1e6 / row["rates"][name]["rate"] for name in ("engine", "loop"))
        reason = f"a chain-round takes {round_us:.3g} us, {loop_us:.3g} us in the loop"
        yield _target(
            f"times the plain loop, classification{', exact in law' * law}",
            row["case"],
            f">= {required}",
            measured,
            measured >= required,
            reason if law else _why_slow(row, measured / fraction_of_limit(row), required),
        )
        if "many" in row["speedup"]:
            many_us = 1e6 / row["rates"]["many"]["rate"]
            yield _target(
                "cost in law of 10⁶ rows a round over that of 10³",
                row["case"],
                f"<= {MANY_ROWS_TARGET}",
                row["speedup"]["many"],
                row["speedup"]["many"] <= MANY_ROWS_TARGET,
                f"a chain-round takes {round_us:.3g} us, with 10⁶ rows {many_us:.3g} us",
            )


def _compile(rows, blocks) -> Iterator[dict[str, Any]]:
    costs = [(f"{row['case']}, {row['engine']}", row["compile"]["compile_s"]) for row in rows]
    costs += [
        (f"{row['case']}, sample, compared with the law", row["sample_compile"]["compile_s"])
        for row in rows
        if "sample_compile" in row
    ]
    costs += [(f"{row['case']}, block of {row['block_size']}", row["compile_s"]) for row in blocks]
    if costs:
        name, slowest = max(costs, key=lambda cost: cost[1])
        yield _target(
            "seconds to compile, slowest program",
            name,
            f"< {COMPILE_TARGET_S}",
            slowest,
            slowest < COMPILE_TARGET_S,
            "see the compile column of each case",
        )


def _grid(cells, summary) -> Iterator[dict[str, Any]]:
    for row in summary:
        if row["workflow"] != "all":
            continue
        ours = sorted(
            (cell for cell in cells if row["task"] in (cell["task"], "all")), key=lambda cell: cell["best"]
        )
        name, measured = "all four tasks" if row["task"] == "all" else row["task"], row["geometric_mean"]
        where = "; ".join(f"{cell['case']} ({cell['best']:.3g})" for cell in ours[:3])
        reason = f"slowest: {where}"
        yield _target(
            "times the plain loop, geometric mean of the grid",
            name,
            f">= {GRID_MEAN_TARGET}",
            measured,
            measured >= GRID_MEAN_TARGET,
            reason,
        )
        yield _target(
            "times the plain loop, worst cell of the grid",
            row["worst_case"],
            f">= {GRID_WORST_TARGET}",
            row["worst"],
            row["worst"] >= GRID_WORST_TARGET,
            f"{row['below_ten']} of {row['cells']} cells are below; {_cell_costs(ours[0])}",
        )


def _cell_costs(cell) -> str:
    costs = {name: 1e6 / rate["rate"] for name, rate in cell["rates"].items()}
    engine = min((name for name in costs if name != "loop"), key=lambda name: costs[name])
    words = "in law" if engine == "law" else "with every row drawn"
    return f"there a chain-round takes {costs[engine]:.3g} us {words}, {costs['loop']:.3g} us in the loop"


def _lengths(seconds: dict[Any, float]) -> str:
    """How much longer the longest chain took than the one before, per round."""
    *_, (short, before), (long, last) = sorted((int(k), s) for k, s in seconds.items())
    return (
        f"a round took {last / long / (before / short):.2f} times as long with K = {long} as with K = {short}"
    )


def _growth(rows) -> Iterator[dict[str, Any]]:
    for row in rows:
        for engine, measured in row["exponent"].items():
            if engine != "loop":
                yield _target(
                    "exponent of a chain's time in its rounds",
                    f"{row['case']}, {engine}",
                    f"<= {LINEAR_TARGET}",
                    measured,
                    measured <= LINEAR_TARGET,
                    _lengths(row["chain_s"][engine]),
                )


def _figures(rows) -> Iterator[dict[str, Any]]:
    whole = [row for row in rows if row["figure_scale"] == "paper" and "error" not in row]
    for row in whole:
        if row["figure"] == "kazdan-gaussian":
            measured = row["wall_s"]
            yield _target(
                "seconds of a figure, compiling included",
                row["figure"],
                f"< {GAUSSIAN_FIGURE_S}",
                measured,
                measured < GAUSSIAN_FIGURE_S,
                f"it takes {row['cpu_s']:.0f} seconds of processor time",
            )
    if whole and len(whole) == len(rows):
        measured = sum(row["wall_s"] for row in whole)
        slow = sorted(whole, key=lambda row: -row["wall_s"])[:3]
        yield _target(
            "seconds of all figures together",
            f"{len(whole)} figures",
            f"< {ALL_FIGURES_S}",
            measured,
            measured < ALL_FIGURES_S,
            "slowest: " + ", ".join(f"{row['figure']} ({row['wall_s']:.0f} s)" for row in slow),
        )


def _target(name, case, required, measured, met, reason) -> dict[str, Any]:
    made = {"target": name, "case": case, "required": required, "measured": measured, "met": bool(met)}
    return made | ({} if met else {"reason": reason})
