"""A metric of a run over rounds, as a picture."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from simcollapse import results
from simcollapse.reproduce import style
from simcollapse.runs import summary
from simcollapse.runs.directory import Run

MOST_LINES = 40  # cells in one picture
_MARKERS, _DASHES = "os^DvPX", ("-", "--", "-.", ":")  # coprime in number, so 28 pairs
_LINE: dict[str, Any] = {"linewidth": 1.2, "markersize": 4}
_LETTERS = 95  # of labels that stand beside each other below the axes


def plot(run: Run, metric: str) -> Figure:
    """Mean of `metric` over rounds, one line for each cell, with bars of two standard errors over chains.

    Colours tell the longest axis of the grid, markers and dashes the others.

    Raises:
        ValueError: the run is not finished, has too many cells for one picture, or no value of `metric`.
    """
    run.check_finished()
    plan = run.plan
    if len(plan.cells) > MOST_LINES:
        raise ValueError(
            f"{len(plan.cells)} cells do not fit in one picture, at most {MOST_LINES} do; export them"
        )
    mean, error = summary.moments(run, ask=summary.Asked(names=frozenset({metric})))[metric]
    if np.isnan(mean).all():
        raise ValueError(f"{metric} has no value in any round of {run.folder}")
    looks, legend = _looks(plan.over)
    widest = max((len(str(line.get_label())) for line in legend), default=0)
    columns = max(1, _LETTERS // (widest + 8))  # a line and gaps take as much as 8 letters
    with mpl.rc_context(style.SETTINGS):
        figure = style.blank(7.2, 4.4 + 0.2 * -(-len(legend) // columns))
        axes = figure.subplots()
        rounds = np.arange(plan.rounds + 1)
        for cell, middle, half in zip(plan.cells, mean, 2 * error, strict=True):
            axes.errorbar(rounds, middle, half, capsize=2, **_LINE | looks[cell.index])
        if np.nanmin(mean) > 0 and np.nanmax(mean) > 10 * np.nanmin(mean):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round")
        axes.set_ylabel(metric)
        words = results.describe(metric, plan.words).get("long_name", metric)
        style.heading(figure, f"{words}\nmean over {plan.chains} chains ± 2 standard errors")
        if legend:
            figure.legend(handles=legend, loc="outside lower center", ncols=columns)
    return figure


def _looks(over: Mapping[str, Any]) -> tuple[dict[tuple[int, ...], dict[str, Any]], list[Line2D]]:
    """How the line of each cell looks, by its place in the grid, and the lines of the legend."""
    labels = [[f"{path} = {summary.short(value)}" for value in values] for path, values in over.items()]
    paths = list(over)
    longest = max(range(len(paths)), key=lambda i: (len(labels[i]), paths[i] == "workflow"), default=0)
    colours = _colours(paths[longest], over[paths[longest]]) if paths else ["black"]
    looks: dict[tuple[int, ...], dict[str, Any]] = {}
    lines: dict[str, dict[str, Any]] = {}
    for place in np.ndindex(*map(len, labels)):
        rest = ", ".join(labels[i][place[i]] for i in range(len(paths)) if i != longest)
        number = len(lines)
        line = {"marker": _MARKERS[number % len(_MARKERS)], "linestyle": _DASHES[number % len(_DASHES)]}
        looks[place] = {"color": colours[place[longest] if place else 0]} | lines.setdefault(rest, line)
    told: dict[str, dict[str, Any]] = {}
    if paths:
        told |= {label: {"color": colour} for label, colour in zip(labels[longest], colours, strict=True)}
    told |= {rest: {"color": "black"} | line for rest, line in lines.items() if rest}
    return looks, [Line2D([], [], label=label, **_LINE | look) for label, look in told.items()]


def _colours(path: str, values: Any) -> Any:
    """Of a workflow the one that it has in every figure, of other values from dark to light."""
    if path == "workflow" and set(values) <= set(style.WORKFLOW_COLORS):
        return [style.WORKFLOW_COLORS[value] for value in values]
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.85, len(values))))
