"""Simulated errors with their standard errors, and how they are drawn beside their theory."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


def mean_task(dim: int = 1) -> Any:
    """Estimating `dim` means with known variance 1: regression on an orthogonal design. Errors are chi-square."""
    return sc.linear_regression(dim, design="orthogonal")


def over_chains(samples: xr.DataArray, name: str = "error") -> xr.Dataset:
    """`name`, the mean over chains, and `name`_se, its standard error."""
    samples = samples.astype(float)
    spread = samples.std("chain", ddof=1) / np.sqrt(samples.sizes["chain"])
    return xr.Dataset({name: samples.mean("chain"), f"{name}_se": spread})


def joined(parts: list[xr.Dataset], dim: str, values: list) -> xr.Dataset:
    """`parts` side by side along a new dimension."""
    out: Any = xr.concat(parts, xr.Variable(dim, values))
    return out


def growth(samples: xr.DataArray) -> xr.Dataset:
    """`growth`, mean of the last round over that of the middle one, and `growth_se`, from the same chains."""
    last = samples.sizes["round"] - 1
    late, early = (samples.isel(round=k, drop=True).astype(float) for k in (last, last // 2))
    ratio = late.mean("chain") / early.mean("chain")
    spread = (late - ratio * early).std("chain", ddof=1) / np.sqrt(samples.sizes["chain"])
    return xr.Dataset({"growth": ratio, "growth_se": spread / early.mean("chain")})


def on_line(data: xr.Dataset, statement: str, source: str, what: str, name: str = "error") -> Claim:
    """Every simulated point lies on its exact `name`_theory: the largest |z| is no larger than chance explains."""
    there = np.isfinite(data[f"{name}_theory"]) & (data[f"{name}_se"] > 0)
    z = ((data[name] - data[f"{name}_theory"]) / data[f"{name}_se"]).where(there)
    return claims.largest_z(statement, source, what, float(abs(z).max()), int(there.sum()))


def draw(
    axis: Axes, x, points, errors, line_x, line, *, color: str, label: str, marker: str = "s", style_of=None
) -> None:
    """A theory line, and simulated points with bars of two standard errors."""
    axis.plot(line_x, line, color=color, linewidth=1.4, zorder=2.5, **(style_of or {}))
    axis.errorbar(
        np.asarray(x),
        np.asarray(points),
        2 * np.asarray(errors),
        color=color,
        marker=marker,
        linestyle="none",
        elinewidth=1.2,
        capsize=2,
        zorder=4,
        label=label,
    )


def some(rounds: int, number: int = 16) -> np.ndarray:
    """Rounds that are drawn as points: about `number` of 1..K, evenly on a log scale."""
    return np.unique(np.round(np.geomspace(1, rounds, number)).astype(int))


__all__ = ["COLORS", "draw", "growth", "joined", "mean_task", "on_line", "over_chains", "some", "style"]
