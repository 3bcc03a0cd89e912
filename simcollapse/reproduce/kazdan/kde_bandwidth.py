"""Which fixed bandwidth a kernel density estimate needs, and when its own samples lower its loss on real data."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.kazdan import cells, panels
from simcollapse.reproduce.kazdan.cells import DERIVED, WORKFLOWS, Cell
from simcollapse.reproduce.kazdan.kde import task_of

NAME = "kazdan-kde-bandwidth"
PAPER = "[Kazdan24], kernel density estimates (v4)"
SET = "moons"
PUBLISHED = (0.01, 0.0316, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0)
BANDWIDTHS = tuple(sorted((*PUBLISHED, 0.0562, 0.178, 0.562)))  # finer where the best one is
SURE = claims.SURE


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int = 100
    sizes: tuple[int, ...] = (10, 32, 100)
    bandwidths: tuple[float, ...] = BANDWIDTHS
    rounds: int = 100
    seed: int = 0


SCALES = {
    "quick": Config(chains=50, sizes=(32,), rounds=30),
    "small": Config(sizes=(10, 100)),
    "paper": Config(),
}


def compute(config: Config) -> xr.Dataset:
    """By (workflow, n, bandwidth, round): nll, and nll_rise, what it gained since round 0."""
    coords = {"workflow": WORKFLOWS, "n": config.sizes, "bandwidth": config.bandwidths}
    groups = [
        [_cell(config, i, j, k) for k in range(len(config.bandwidths))]  # which share a compiled program
        for j in reversed(range(len(config.sizes)))
        for i in range(len(WORKFLOWS))
    ]
    data = cells.collect(coords, groups, config.rounds)
    data.attrs.update(
        title=f"bandwidths of a kernel density estimate on its own samples ({SET})",
        heading=f"{SET} (noise 0.05, d = 2), Gaussian kernel of fixed bandwidth on all rows of a fit, n new rows a "
        f"round, no verifier\npoints: means of {config.chains} chains with two standard errors",
        shown=list(shown_rounds(config.rounds)),
        chains=config.chains,
        config=json.dumps(dataclasses.asdict(config)),
        note="Synthetic rows lower the loss only where the bandwidth is too narrow for the real rows at hand: the pool "
        "then smooths, as a wider kernel would have.",
    )
    return data


def shown_rounds(rounds: int) -> tuple[int, ...]:
    """Rounds that get a line."""
    return tuple(sorted({0, rounds // 10, round(rounds * 0.3), rounds}))


def _cell(config: Config, i: int, j: int, k: int) -> Cell:
    def values():
        width = jnp.asarray(config.bandwidths[k], dtype=float)
        found = cells.simulate(
            dataclasses.replace(task_of(SET, 1.0), bandwidth=width),
            WORKFLOWS[i],
            config.sizes[j],
            rounds=config.rounds,
            chains=config.chains,
            seed=(config.seed, 7, i, j, k),
        )
        nll = found["nll"].to_numpy().astype(float)
        return {"nll": nll, "nll_rise": nll - nll[:, :1]}

    return Cell((i, j, k), values, double=False)


def compare(data: xr.Dataset) -> list[Claim]:
    """Where accumulating helps, why, and that replacing never does."""
    last, rounds = data.isel(round=-1), int(data["round"][-1])
    rise, error = last["nll_rise"], last["nll_rise_error"]
    better = (rise + SURE * error < 0).sel(workflow="accumulate")
    first = data["nll"].isel(round=0).sel(workflow="accumulate")
    best = first.idxmin("bandwidth")
    sure = (rise / error).sel(workflow="accumulate")
    surest = sure.where(sure == sure.min(), drop=True)
    n, width = int(surest["n"][0]), float(surest["bandwidth"][0])
    fall = rise.sel(workflow="accumulate", n=n, bandwidth=width)
    narrow = (better["bandwidth"] < best).broadcast_like(better)
    never = rise.sel(workflow="replace") - SURE * error.sel(workflow="replace")
    return [
        claims.below(
            "at some bandwidths, adding synthetic rows lowers the test loss below that of the real ones alone",
            PAPER,
            f"rise of the loss after {rounds} rounds of accumulating at n = {n}, h = {width:g}, nats "
            f"(it falls in {int(better.sum())} of {better.size} cells)",
            Estimate(float(fall), float(error.sel(workflow="accumulate", n=n, bandwidth=width))),
            0.0,
        ),
        claims.all_of(
            "… only where the kernel was too narrow for the real rows: a wider one would have done better at once",
            DERIVED,
            "such cells with h below the best one of round 0",
            int((better & narrow).sum()),
            int(better.sum()),
        ),
        claims.below(
            "… and accumulating does not reach the loss that the best bandwidth has without it",
            DERIVED,
            "lowest loss of round 0 less the lowest after the last round, nats; the n where it is largest",
            _gain(data),
            0.0,
        ),
        claims.all_of(
            "replacing raises the test loss at every bandwidth",
            PAPER,
            f"cells (n, h) whose loss is higher after {rounds} rounds",
            int((never > 0).sum()),
            never.size,
        ),
    ]


def _gain(data: xr.Dataset) -> Estimate:
    """The largest, over n, of the lowest loss of round 0 less the lowest of the last round under accumulate."""
    found = []
    for n in data["n"].to_numpy():
        one = data.sel(workflow="accumulate", n=n)
        start, end = (one.isel(round=k) for k in (0, -1))
        a, b = int(start["nll"].to_numpy().argmin()), int(end["nll"].to_numpy().argmin())
        error = np.hypot(float(start["nll_error"][a]), float(end["nll_error"][b]))
        found.append(Estimate(float(start["nll"][a] - end["nll"][b]), float(error)))
    return max(found, key=lambda e: e.value)


def draw(data: xr.Dataset) -> Figure:
    """Loss over bandwidth, rows of panels for n, columns for workflows, shades for rounds; computes nothing."""
    sizes, shown = data["n"].to_numpy(), [int(k) for k in np.atleast_1d(data.attrs["shown"])]
    figure = style.blank(10.0, 2.5 * len(sizes) + 1.2)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(sizes), len(WORKFLOWS), sharex=True, sharey="row", squeeze=False)
    for row, n in zip(axes, sizes, strict=True):
        for axis, workflow in zip(row, WORKFLOWS, strict=True):
            _panel(axis, data.sel(workflow=workflow, n=n), workflow, shown)
        row[0].set_ylabel(f"n = {n}\nneg. log-likelihood of\nreal data, nats a row")
    for axis in axes[-1]:
        axis.set_xlabel("bandwidth h")
    panels.titles(axes[0], WORKFLOWS)
    grey = [str(1 - share * 0.8) for share in np.linspace(panels.LIGHTEST, 1, len(shown))]
    figure.legend(
        handles=[
            *(
                panels.key_of_line(f"round {k}", color=g, marker="s", markersize=4)
                for g, k in zip(grey, shown, strict=True)
            ),
            panels.key_of_line("best h of round 0", color="black", linestyle=":", linewidth=1.0),
        ],
        loc="outside lower center",
        ncols=6,
    )
    return figure


def _panel(axis: Axes, one: xr.Dataset, workflow: str, shown: list[int]) -> None:
    for color, k in zip(panels.shades(workflow, len(shown)), shown, strict=True):
        at = one.sel(round=k)
        panels.means(axis, at["bandwidth"].to_numpy(), at, "nll", color, linestyle="-", linewidth=0.9)
    start = one["nll"].isel(round=0)
    axis.axvline(float(start.idxmin("bandwidth")), color="black", linestyle=":", linewidth=1.0, zorder=1)
    axis.set_xscale("log")
    axis.set_yscale("log")
