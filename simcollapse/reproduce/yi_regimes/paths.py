"""Estimates in the plane: a biased verifier pulls them towards the truth first, then on to its own center."""

import dataclasses
import json
from typing import Any

import matplotlib.ticker
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate, over_chains, ratio, standard_error
from simcollapse.reproduce.yi_regimes import trajectories
from simcollapse.reproduce.yi_regimes.regimes import QUICK_BLOCK, RADIUS, Setting
from simcollapse.reproduce.yi_regimes.trajectories import DERIVED, ONE_ROUND, RATIOS, THEOREM

NAME = "yi-regimes-paths"
EDGE: dict[str, Any] = {"markeredgecolor": "black", "linestyle": "none"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    setting: Setting = Setting(dim=2)
    radius: float = RADIUS
    direction: tuple[float, float] = (2.0, 1.0)  # from the truth to the center
    cloud: int = 150  # chains whose first estimate is drawn
    paths: int = 5  # of them, those whose path is drawn
    block_size: int | None = None
    seed: int = 0


SCALES = {
    "quick": Config(chains=2_000, block_size=QUICK_BLOCK),
    "small": Config(chains=10_000),
    "paper": Config(chains=40_000),
}


def compute(config: Config) -> xr.Dataset:
    """Some paths, the mean path, and the mean squared distances to truth and center, simulated and exact."""
    setting = config.setting
    along = np.asarray(config.direction) / np.linalg.norm(config.direction)
    size = float(np.sqrt(RATIOS["gain, then reversal"] * setting.start))
    bias = size * along
    # Two biases, so that the compiled program is the one of the other pictures; the first is not used.
    result = setting.simulate(
        [0.0, size], [config.radius], along, config.chains, config.seed, config.block_size
    )
    estimate = result["model_coef"].isel(bias=1, radius=0, drop=True).astype(float)  # the truth is 0
    center = xr.DataArray(bias, dims="dim")
    data = xr.merge(
        [
            over_chains((estimate**2).sum("dim"), "to_truth"),
            over_chains(((estimate - center) ** 2).sum("dim"), "to_center"),
            over_chains(estimate, "mean_path"),
        ],
        combine_attrs="override",
    )
    some = estimate.isel(chain=slice(0, config.cloud)).transpose("chain", "round", "dim")
    # Chains that start beyond the truth, seen from the center, are the ones that pass it on their way.
    far = np.argsort(some.isel(round=0).to_numpy() @ along)[: config.paths]
    data["cloud"] = ("cloud", "round", "dim"), some.to_numpy()
    data["path"] = ("path", "round", "dim"), some.to_numpy()[np.sort(far)]
    data["center"] = "dim", bias
    law = setting.law(config.radius, bias)
    data["exact_to_truth"] = "round", law.mse
    data["exact_to_center"] = "round", (law.variance + law.mean**2).sum(axis=1)
    data["exact_path"] = ("round", "dim"), law.mean + bias
    kept = (result["num_kept"].isel(bias=1, radius=0).mean("chain") / setting.dim).to_numpy()[1:]
    data["center_bound"] = "round", setting.bound(config.radius, size, kept)
    data.attrs.update(
        title="estimates in the plane, pulled to the truth and on to the knowledge center",
        heading="linear regression retrained on its own rows (x, y); a verifier keeps those with "
        rf"$|y-x\cdot\theta_c| \leq {config.radius:g}\sigma$; Δ² = {RATIOS['gain, then reversal']:g} V₀"
        f"\n{setting.words}",
        best=int(np.argmin(law.mse)),
        config=json.dumps(dataclasses.asdict(config)),
        simulation=trajectories.provenance(result),
    )
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """First towards the truth, then away from it to the center, along the predicted mean path."""
    best, last = data.attrs["best"], int(data["round"][-1])
    down, up = ratio(data, "to_truth", best, 0), ratio(data, "to_truth", last, best)
    fall = [ratio(data, "to_center", k, k - 1) for k in range(1, last + 1)]
    worst = max(fall, key=lambda one: (one.value - 1) / one.error)
    gap = (data["mean_path"] - data["exact_path"]).transpose("round", "dim").to_numpy()
    error = standard_error(data, "mean_path").transpose("round", "dim").to_numpy()
    center, end = data["center"].to_numpy(), data["mean_path"].isel(round=-1).to_numpy()
    size = np.linalg.norm(center)
    left = Estimate(float(np.linalg.norm(end - center) / size), float(np.linalg.norm(error[-1]) / size))
    return [
        claims.below(
            "the estimates are pulled towards the truth first",
            ONE_ROUND,
            f"E|θ̂ − θ*|², round {best} against round 0",
            Estimate(down.value - 1, down.error),
            0.0,
            percent=True,
        ),
        claims.above(
            "… and away from it afterwards",
            THEOREM,
            f"E|θ̂ − θ*|², round {last} against round {best}",
            Estimate(up.value - 1, up.error),
            0.0,
            percent=True,
        ),
        claims.never_above(
            "all the while the distance to the knowledge center falls",
            THEOREM,
            "largest change of E|θ̂ − θ_c|² in one round",
            Estimate(worst.value - 1, worst.error),
            0.0,
            last,
            percent=True,
        ),
        claims.within(
            "the mean estimate ends at the knowledge center",
            THEOREM,
            f"its distance from the center, round {last}, in units of Δ",
            left,
            0.0,
            0.05,
        ),
        claims.largest_z(
            "the mean path is the predicted one (exact chain)",
            DERIVED,
            "coordinates of the mean path",
            float(np.abs(gap / error).max()),
            gap.size,
        ),
    ]


def draw(data: xr.Dataset) -> Figure:
    """The plane, and the distances over rounds; computes nothing."""
    figure = style.blank(9.2, 5.3)
    style.heading(figure, data.attrs["heading"])
    plane, distances = figure.subplots(1, 2, width_ratios=(1.2, 1))
    _plane(plane, data)
    _distances(distances, data)
    style.legend_below(figure, [plane, distances], 3)
    return figure


def _plane(axis: Axes, data: xr.Dataset) -> None:
    cloud, center = data["cloud"].transpose("cloud", "round", "dim").to_numpy(), data["center"].to_numpy()
    axis.plot(*cloud[:, 0].T, ".", color="#BBBBBB", markersize=4, label="estimates of round 0", zorder=1)
    axis.plot(
        *cloud[:, -1].T, ".", color="#E3A57A", markersize=4, label="estimates of the last round", zorder=1
    )
    for i, path in enumerate(data["path"].transpose("path", "round", "dim").to_numpy()):
        label = "paths from the far side of the truth" if i == 0 else None
        axis.plot(*path.T, color="#56B4E9", linewidth=1.0, marker="o", markersize=2.4, label=label, zorder=2)
        axis.plot(*path[0], color="#56B4E9", marker="o", markersize=6, zorder=2)
    mean, exact = (data[name].transpose("round", "dim").to_numpy() for name in ("mean_path", "exact_path"))
    axis.plot(*exact.T, label="exact chain", **style.THEORY)
    bars = 2 * standard_error(data, "mean_path").transpose("dim", "round").to_numpy()
    label = "simulation, mean over chains (± 2 standard errors)"
    axis.errorbar(*mean.T, yerr=bars[1], xerr=bars[0], label=label, **_dots(filled=True))
    axis.plot(0, 0, marker="*", markersize=17, color=style.TRUTH_COLOR, zorder=6, **EDGE)
    axis.plot(*center, marker="X", markersize=11, color=style.CENTER_COLOR, zorder=6, **EDGE)
    box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.85}
    pointer = {"arrowstyle": "-", "shrinkB": 6, "linewidth": 0.8}
    for words, place, shift in (
        ("truth θ*", (0.0, 0.0), (52, -58)),
        ("knowledge center", (center[0], center[1]), (45, -85)),
    ):
        axis.annotate(
            words,
            place,
            shift,
            textcoords="offset points",
            ha="center",
            bbox=box,
            arrowprops=pointer,
            zorder=7,
        )
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xlabel(r"first coefficient  $\hat\theta_1 - \theta^*_1$")
    axis.set_ylabel(r"second coefficient  $\hat\theta_2 - \theta^*_2$")
    axis.set_title("estimates in the plane")


def _distances(axis: Axes, data: xr.Dataset) -> None:
    rounds, best = data["round"].to_numpy(), int(data.attrs["best"])
    axis.set_yscale("log")
    axis.plot(rounds, data["center_bound"], label="published bound (Theorem 4.1)", **style.BOUND)
    for name, filled in (("to_truth", True), ("to_center", False)):
        axis.plot(rounds, data[f"exact_{name}"], **style.THEORY)
        bars = 2 * standard_error(data, name).to_numpy()
        axis.errorbar(rounds, data[name], bars, **_dots(filled=filled))
    last, half = len(rounds) - 1, len(rounds) // 2
    truth, center = data["exact_to_truth"].to_numpy(), data["exact_to_center"].to_numpy()
    axis.annotate("to the truth", (last, truth[last]), (2, 9), textcoords="offset points", ha="right")
    axis.annotate("to the center", (half, center[half]), (12, 8), textcoords="offset points")
    axis.annotate(
        f"round {best}: closest\nto the truth",
        (best, truth[best]),
        (half - 1.5, 0.6 * truth[best]),
        arrowprops={"arrowstyle": "->", "shrinkB": 5},
    )
    axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axis.set_xlabel("round k (0 = fit on real data)")
    axis.set_ylabel("mean squared distance of the estimate")
    axis.set_title("first nearer to the truth, then away")


def _dots(*, filled: bool) -> dict[str, Any]:
    look = style.points() | {"markersize": 4.5}
    return look if filled else look | {"markerfacecolor": "white"}
