"""One look for every figure: a colour per workflow, a marker per verifier, a colour per phase.

Theory is a line, simulation is points with bars of two standard errors over chains. The colours are those of
Okabe and Ito (Color Universal Design), distinct under the common colour blindnesses.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WORKFLOW_COLORS = {
    "replace": "#0072B2",
    "accumulate": "#009E73",
    "accumulate_subsample": "#CC79A7",
    "fresh_real": "#E69F00",
}
VERIFIER_MARKERS = {
    "knowledge_ball": "o",
    "none": "s",
    "function": "D",
    "bernoulli": "^",
    "linear": "v",
    "fresh_linear": "<",
    "oracle": "P",
    "random": "X",
}
# Verifiers from faultless to useless; the first is an oracle, the last random.
STRENGTH_COLORS = ("#009E73", "#0072B2", "#E69F00", "#D55E00", "#777777")

PHASE_COLORS = {"gain": "#56B4E9", "plateau": "#F0E442", "reversal": "#D55E00"}
TRUTH_COLOR, CENTER_COLOR = "#009E73", "#D55E00"
THEORY_COLOR, APPROXIMATION_COLOR, BOUND_COLOR = "#000000", "#666666", "#C4C4C4"

THEORY: dict[str, Any] = {"color": THEORY_COLOR, "linewidth": 1.6, "zorder": 3}
APPROXIMATION: dict[str, Any] = {
    "color": APPROXIMATION_COLOR,
    "linewidth": 1.2,
    "linestyle": (0, (4, 2)),
    "zorder": 2,
}
BOUND: dict[str, Any] = {"color": BOUND_COLOR, "linewidth": 5.0, "solid_capstyle": "butt", "zorder": 1.5}
CENTER: dict[str, Any] = {
    "color": CENTER_COLOR,
    "linewidth": 1.2,
    "linestyle": (0, (5, 1, 1, 1)),
    "zorder": 2,
}

DPI = 140  # a figure 8.5 inches wide is then 1190 pixels: sharp at the 900 of a README

SETTINGS: Any = {
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "simcollapse",  # the same picture gives the same file
}


def points(
    workflow: str = "replace", verifier: str = "knowledge_ball", color: str | None = None
) -> dict[str, Any]:
    """Options of `Axes.errorbar` for simulated points of a workflow (or of a color) and a verifier."""
    return {
        "color": color or WORKFLOW_COLORS[workflow],
        "marker": VERIFIER_MARKERS[verifier],
        "linestyle": "none",
        "elinewidth": 1.2,
        "capsize": 2,
        "zorder": 4,
    }


def blank(width: float, height: float) -> Figure:
    """An empty figure, inches; drawn under `SETTINGS` (`matplotlib.rc_context`). Needs no display."""
    return Figure(figsize=(width, height), layout="constrained")


def heading(figure: Figure, words: str) -> None:
    """What is shown, in one or two lines above everything."""
    figure.suptitle(words, fontsize=9.5, x=0.01, ha="left", color="#333333")


def legend_below(figure: Figure, axes: list[Axes], columns: int) -> None:
    """One legend for all axes, below them, each label once."""
    found = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns)
