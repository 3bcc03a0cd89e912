"""How these figures look: a column for each workflow in its colour, light to dark from few rows to many."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from simcollapse.reproduce import style
from simcollapse.reproduce.kazdan.cells import NAMES

LIGHTEST = 0.35  # share of the workflow's colour in the lightest shade
DASHED: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.2, "zorder": 2}


def shades(workflow: str, count: int) -> list[str]:
    """Colours from light to the workflow's own."""
    full = np.array(colors.to_rgb(style.WORKFLOW_COLORS[workflow]))
    return [colors.to_hex(1 - share * (1 - full)) for share in np.linspace(LIGHTEST, 1, count)]


def shown(rounds: int, number: int = 10) -> np.ndarray:
    """Rounds at which points are drawn, 0 and the last among them."""
    return np.unique(np.linspace(0, rounds, number + 1).round().astype(int))


def medians(axis: Axes, x: np.ndarray, one: xr.Dataset, name: str, color: Any, **look: Any) -> None:
    """Medians over chains with bars over 90 % of them, for what has heavy tails."""
    middle = one[f"{name}_middle"].to_numpy()
    bars = np.stack([middle - one[f"{name}_low"], one[f"{name}_high"] - middle])
    axis.errorbar(x, middle, bars, **(_points(color) | look))


def means(axis: Axes, x: np.ndarray, one: xr.Dataset, name: str, color: Any, **look: Any) -> None:
    """Means over chains with bars of two standard errors."""
    axis.errorbar(x, one[name], 2 * one[f"{name}_error"], **(_points(color) | look))


def _points(color: Any) -> dict[str, Any]:
    small = {"markersize": 3.6, "elinewidth": 0.9, "capsize": 0}
    return style.points(verifier="none", color=color) | small


def titles(axes: Sequence[Axes], workflows: Sequence[str]) -> None:
    """The workflow above each column, in its colour."""
    for axis, workflow in zip(axes, workflows, strict=True):
        axis.set_title(NAMES[workflow], color=style.WORKFLOW_COLORS[workflow], loc="center")


def keys_of_sizes(sizes: Iterable[int]) -> list[Line2D]:
    """Legend entries of the shades, in grey."""
    sizes = list(sizes)
    grey = [str(1 - share * 0.8) for share in np.linspace(LIGHTEST, 1, len(sizes))]
    return [
        Line2D([], [], color=g, marker="s", markersize=4, label=f"n = {n}")
        for g, n in zip(grey, sizes, strict=True)
    ]


def key_of_line(label: str, **look: Any) -> Line2D:
    """A legend entry of a line."""
    return Line2D([], [], label=label, **look)
