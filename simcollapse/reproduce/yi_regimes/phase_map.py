"""Where does verification gain, plateau or reverse? The phases over (bias, radius, round), from simulation.

Phases of a round k, by the error relative to the fit on real data and to the best round so far:
"gain" is better than the start and at its best so far (to within `PAST_BEST`), "plateau" is better than the
start and past its best, "reversal" is worse than the start. The closed-form boundaries are lines on the map:
the exact chain, and its linearisation as a labelled approximation.
"""

import dataclasses
import itertools
import json
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from scipy.interpolate import RectBivariateSpline

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.yi_regimes import trajectories
from simcollapse.reproduce.yi_regimes.regimes import QUICK_BLOCK, RADIUS, Setting
from simcollapse.reproduce.yi_regimes.trajectories import DERIVED, ONE_ROUND, RATIOS, THEOREM

NAME = "yi-regimes-phase-map"
PHASES = ("gain", "plateau", "reversal")
PAST_BEST = (
    1.2  # times the best error so far: several times the noise of a cell, so that "plateau" is not noise
)
MOST_CHAINS = 200_000  # simulated in one call, so that the paper scale fits in memory
DECIDED = 4.0  # standard errors from a boundary beyond which the simulation says which side a cell is on
FINE = 60  # points along an axis where boundaries are drawn
OFF: dict[str, Any] = {"color": "#444444", "marker": "x", "markersize": 3.5, "linestyle": "none"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    biases: int
    radii: int
    setting: Setting = Setting()
    most_bias: float = 1.0
    least_radius: float = 0.25
    most_radius: float = 3.5
    shown: tuple[int, ...] = (1, 3, 6, 12)  # rounds
    block_size: int | None = None
    seed: int = 0


SCALES = {
    "quick": Config(chains=300, biases=11, radii=10, block_size=QUICK_BLOCK),
    "small": Config(chains=1_000, biases=21, radii=18),
    "paper": Config(chains=4_000, biases=41, radii=35),
}


def compute(config: Config) -> xr.Dataset:
    """By (bias, radius, round): simulated `error`, `phase` and `progress`, exact and linearised errors."""
    setting = config.setting
    biases = np.linspace(0, config.most_bias, config.biases)
    radii = np.linspace(config.least_radius, config.most_radius, config.radii)
    at_once = max(1, MOST_CHAINS // (config.biases * config.chains))
    parts = [_simulate(config, biases, radii[i : i + at_once], i) for i in range(0, len(radii), at_once)]
    data = xr.concat(parts, "radius", combine_attrs="override")
    start = float(data["error"].isel(round=0).mean())  # round 0 does not know the verifier: one number
    exact = np.array([_exact(setting, biases, r) for r in radii])  # (radius, bias, round)
    data["exact"] = ("radius", "bias", "round"), exact
    data["relative"] = data["error"] / start
    data["phase"] = _phase(data["relative"], data["past_best"])
    data["exact_phase"] = _phase(data["exact"] / setting.start, _past_best(data["exact"]))
    data["safe"] = _latest_safe(data["relative"])

    data = xr.merge([data, _boundaries(config, exact, biases, radii)], combine_attrs="override")
    data.attrs.update(
        title="phases over (bias, radius, round), linear regression",
        heading="linear regression retrained on its own rows (x, y); a verifier keeps those with "
        r"$|y-x\cdot\theta_c| \leq r$; its bias is $\Delta = |\theta_c-\theta^*|$"
        f"\n{setting.words}",
        radius_of_regimes=RADIUS,
        v0=setting.start,
        start=start,
        config=json.dumps(dataclasses.asdict(config)),
    )
    return data


def _boundaries(config: Config, exact: np.ndarray, biases: np.ndarray, radii: np.ndarray) -> xr.Dataset:
    """What the lines on the map are level lines of, on a fine grid (float32: they are only drawn)."""
    setting, shown = config.setting, list(config.shown)
    fine_biases = np.linspace(0, config.most_bias, FINE)
    fine_radii = np.linspace(config.least_radius, config.most_radius, FINE)
    # The logarithm of the exact error is smooth in both: splines follow it between the grid's points.
    log = np.log(exact / setting.start)
    between = [
        RectBivariateSpline(radii, biases, log[..., k])(fine_radii, fine_biases) for k in range(log.shape[-1])
    ]
    linear = np.array([[setting.linearised(r, b) for b in fine_biases] for r in fine_radii]) / setting.start
    fine = {"exact": np.exp(np.stack(between, axis=-1)), "linear": linear}
    dims, grid = ("fine_radius", "fine_bias", "shown"), {"fine_bias": fine_biases, "fine_radius": fine_radii}
    out = xr.Dataset(coords={**grid, "shown": shown})
    for name, values in fine.items():
        out[f"{name}_relative"] = dims, values[..., shown].astype(np.float32)
    past = fine["exact"] / np.minimum.accumulate(fine["exact"], axis=-1)
    out["exact_past_best"] = dims, past[..., shown].astype(np.float32)
    out["exact_crossing"] = dims[:2], _crossing(fine["exact"]).astype(np.float32)
    return out


def _simulate(config: Config, biases: np.ndarray, radii: np.ndarray, position: int) -> xr.Dataset:
    """Means over chains at some of the radii; each call draws its own noise."""
    setting = config.setting
    seed = int(np.random.SeedSequence([config.seed, position]).generate_state(1)[0])
    diagonal = np.ones(setting.dim)
    result = setting.simulate(
        biases.tolist(), radii.tolist(), diagonal, config.chains, seed, config.block_size
    )
    error = result["squared_error"].astype(float)
    # The truth is 0, the center at bias/sqrt(d) in every direction.
    progress = result["model_coef"].astype(float).sum("dim") / np.sqrt(setting.dim)
    progress = progress / result["bias"].where(result["bias"] > 0)
    root = np.sqrt(config.chains)
    return xr.Dataset(
        {
            "error": error.mean("chain"),
            "error_error": error.std("chain", ddof=1) / root,
            "past_best": _past_best_of_halves(error),
            "progress": progress.mean("chain"),
            "progress_error": progress.std("chain", ddof=1) / root,
        },
        attrs={"simulation": trajectories.provenance(result), "chains": config.chains},
    )


def _exact(setting: Setting, biases: np.ndarray, radius: float) -> np.ndarray:
    """Exact errors for all biases at one radius, shape (biases, K + 1): one direction each, then d of them."""
    along = biases / np.sqrt(setting.dim)
    law = setting.law(radius, along)
    return setting.dim * (law.variance + (law.mean + along) ** 2).T


def _past_best(error: xr.DataArray) -> xr.DataArray:
    """Error over the least error so far."""
    axis = error.get_axis_num("round")
    return error / error.copy(data=np.minimum.accumulate(error.to_numpy(), axis=axis))


def _past_best_of_halves(error: xr.DataArray) -> xr.DataArray:
    """Mean error over the least so far, the best round chosen by one half of the chains, measured by the other.

    Without halves the least of many noisy means would be too low. Mean over both ways round.
    """
    odd = (error["chain"] % 2 == 1).to_numpy()
    means = [
        error.isel(chain=np.flatnonzero(half)).mean("chain").transpose(..., "round").to_numpy()
        for half in (odd, ~odd)
    ]
    ratios = []
    for chosen, measured in (means, means[::-1]):
        best = np.zeros(chosen.shape, dtype=int)
        for k in range(1, chosen.shape[-1]):
            earlier = np.take_along_axis(chosen, best[..., k - 1, None], axis=-1)[..., 0]
            best[..., k] = np.where(chosen[..., k] < earlier, k, best[..., k - 1])
        ratios.append(measured / np.take_along_axis(measured, best, axis=-1))
    like = error.isel(chain=0, drop=True).transpose(..., "round")
    return like.copy(data=(ratios[0] + ratios[1]) / 2)


def _phase(relative: xr.DataArray, past_best: xr.DataArray) -> xr.DataArray:
    """Index into PHASES; `relative` is the error over that of the start."""
    return xr.where(relative > 1, 2, xr.where(past_best > PAST_BEST, 1, 0)).astype("int32")


def _latest_safe(relative: xr.DataArray) -> xr.DataArray:
    """Latest round no worse than the start (whose own `relative` counts as 1)."""
    no_worse = (relative <= 1) | (relative["round"] == 0)
    return (no_worse * relative["round"]).max("round").astype("int32")


def _crossing(relative: np.ndarray) -> np.ndarray:
    """When the error is last back at the start's, in rounds, between them by its logarithm; K if it ends below.

    relative, shape (…, K + 1), is the error over the start's. Never below gives less than 1.
    """
    log = np.log(relative)
    log[..., 0] = 0.0
    last = log.shape[-1] - 1
    latest = last - (log[..., ::-1] <= 0).argmax(axis=-1)
    low = np.take_along_axis(log, latest[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(log, np.minimum(latest + 1, last)[..., None], axis=-1)[..., 0]
    between = latest - low / np.where(high > low, high - low, 1)
    return np.where(latest == last, latest, np.where(latest == 0, np.exp(-log[..., 1]), between))


def compare(data: xr.Dataset) -> list[Claim]:
    """Side of the start by cell and round; the exact chain; selectivity sets the pace and not the goal."""
    later = data.isel(round=slice(1, None))
    side = (later["relative"] - 1) / (later["error_error"] / data.attrs["start"])
    same = np.sign(side) == np.sign(later["exact"] - data.attrs["v0"])
    decided = np.abs(side) > DECIDED
    first, last = dict(round=0), dict(round=-1)
    z = np.log(later["error"] / later["exact"]) / (later["error_error"] / later["error"])
    rows = [
        claims.all_of(
            "whether the first round helps is decided by bias, selectivity and sample sizes as predicted",
            ONE_ROUND,
            f"(bias, radius) cells that the simulation decides (of {side.isel(first).size})",
            int((same & decided).isel(first).sum()),
            int(decided.isel(first).sum()),
        ),
        claims.all_of(
            "a gain is kept or reversed in each later round where the exact chain says so",
            DERIVED,
            f"(bias, radius, round) cells that the simulation decides (of {side.size})",
            int((same & decided).sum()),
            int(decided.sum()),
        ),
        claims.largest_z(
            "the closed form lies on the simulation (exact chain)",
            DERIVED,
            "errors by bias, radius and round",
            float(np.abs(z).max()),
            z.size,
        ),
    ]
    # At the largest bias the way to the center is longest, so its share is measured best.
    far = later.isel(bias=-1)
    pace = far["progress"].isel(first)
    error = far["progress_error"].isel(first)
    falls = pace.diff("radius") / np.hypot(error.to_numpy()[1:], error.to_numpy()[:-1])
    worst = int(falls.to_numpy().argmax())
    step = Estimate(float(pace.diff("radius")[worst]), float(np.hypot(error[worst + 1], error[worst])))
    rows.append(
        claims.never_above(
            "a more selective verifier (smaller radius) goes to its center faster",
            THEOREM,
            "largest change of the first round's progress as the radius grows",
            step,
            0.0,
            falls.size,
        )
    )
    arrived = far.sel(radius=far["radius"] <= data.attrs["radius_of_regimes"]).isel(last)
    goal = arrived.isel(radius=int(np.abs(arrived["progress"].to_numpy() - 1).argmax()))
    rows.append(
        claims.within(
            "… and no further: the limit does not depend on the radius",
            DERIVED,
            f"way from truth (0) to center (1) in the last round, farthest from 1 of {arrived.sizes['radius']} radii",
            Estimate(float(goal["progress"]), float(goal["progress_error"])),
            1.0,
            0.05,
        )
    )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """Phases at four rounds, and the latest safe round; computes nothing."""
    figure = style.blank(9.2, 7.0)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    phases = [axes[0, 0], axes[0, 1], axes[0, 2], axes[1, 0]]
    for axis, k in zip(phases, data["shown"].to_numpy(), strict=True):
        _phases(axis, data.sel(round=k, shown=k))
        axis.set_title(f"after {k} rounds" if k > 1 else "after 1 round")
    _draw_safe(figure, axes[1, 1], data)
    axes[1, 1].set_title("latest safe round")
    for axis in [*phases, axes[1, 1]]:
        _mark_regimes(axis, data)
    for axis in axes[:, 0]:
        axis.set_ylabel("verifier radius r / σ\n(small = selective)")
    for axis in (axes[0, 2], axes[1, 0], axes[1, 1]):
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("verifier bias Δ / σ")
    _legend(axes[1, 2])
    return figure


def _phases(axis: Axes, now: xr.Dataset) -> None:
    cells = now[["phase", "exact_phase"]].transpose("radius", "bias")
    axis.pcolormesh(
        now["bias"],
        now["radius"],
        cells["phase"],
        cmap=ListedColormap([style.PHASE_COLORS[p] for p in PHASES]),
        norm=BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3),
        alpha=0.75,
        linewidth=0,
        rasterized=True,
    )
    off = np.argwhere((cells["phase"] != cells["exact_phase"]).to_numpy())
    axis.plot(now["bias"].to_numpy()[off[:, 1]], now["radius"].to_numpy()[off[:, 0]], **OFF)
    _level(axis, now, "exact_relative", 1.0, style.THEORY)
    _level(axis, now, "linear_relative", 1.0, style.APPROXIMATION)
    _level(axis, now.where(now["exact_relative"] <= 1), "exact_past_best", PAST_BEST, style.THEORY)


def _level(axis: Axes, now: xr.Dataset, name: str, level: float, look: dict[str, Any]) -> None:
    values = now[name].transpose("fine_radius", "fine_bias").to_numpy()
    if np.nanmin(values) < level < np.nanmax(values):
        axis.contour(
            now["fine_bias"],
            now["fine_radius"],
            values,
            levels=[level],
            colors=look["color"],
            linewidths=look["linewidth"],
            linestyles=[look.get("linestyle", "-")],
        )


def _draw_safe(figure: Figure, axis: Axes, data: xr.Dataset) -> None:
    most = int(data["round"][-1])
    edges = [k for k in (0, 1, 2, 4, 8) if k < most] + [most, most + 1]
    names = [f"{a}–{b - 1}" if b > a + 1 else f"{a}" for a, b in itertools.pairwise(edges[:-1])] + [
        f"≥ {most}"
    ]
    colors = mpl.colormaps["cividis"].resampled(len(names))
    mesh = axis.pcolormesh(
        data["bias"],
        data["radius"],
        data["safe"].transpose("radius", "bias"),
        cmap=colors,
        norm=BoundaryNorm(edges, colors.N),
        linewidth=0,
        rasterized=True,
    )
    # A crossing of exactly `most` means never, so the last line is drawn just below it.
    crossing = data["exact_crossing"].transpose("fine_radius", "fine_bias").to_numpy()
    levels = [k for k in (*edges[1:-2], most - 1e-3) if crossing.min() < k < crossing.max()]
    axis.contour(
        data["fine_bias"],
        data["fine_radius"],
        crossing,
        levels=levels,
        colors="white",
        linewidths=1.3,
    )
    bar = figure.colorbar(mesh, ax=axis, location="bottom", aspect=25, pad=0.02, spacing="uniform")
    bar.set_ticks([(a + b) / 2 for a, b in itertools.pairwise(edges)], labels=names)
    bar.ax.tick_params(labelsize=8.5, length=0)


def _mark_regimes(axis: Axes, data: xr.Dataset) -> None:
    for letter, q in zip("abcd", RATIOS.values(), strict=True):
        axis.annotate(
            letter,
            (np.sqrt(q * data.attrs["v0"]), data.attrs["radius_of_regimes"]),
            ha="center",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "black", "lw": 0.8},
        )


def _legend(axis: Axes) -> None:
    axis.set_axis_off()
    words = {
        "gain": "gain: better than the fit on real\ndata, and at its best so far",
        "plateau": f"plateau: still better, but {100 * (PAST_BEST - 1):.0f} % or\nmore past its best round",
        "reversal": "reversal: worse than the fit\non real data",
    }
    handles: list[Any] = [Patch(color=style.PHASE_COLORS[p], alpha=0.75, label=words[p]) for p in PHASES]
    white = {"color": "white", "path_effects": [Stroke(linewidth=2.6, foreground="black"), Normal()]}
    ring = {"color": "black", "marker": "o", "markerfacecolor": "white", "markersize": 9, "linestyle": "none"}
    handles += [
        Line2D([], [], **style.THEORY, label="boundary, exact chain"),
        Line2D([], [], **white, linewidth=1.6, label="the same, between numbers of\nrounds (last panel)"),
        Line2D([], [], **style.APPROXIMATION, label="boundary, linearised chain"),
        Line2D([], [], **OFF, label="simulation off the exact chain"),
        Line2D([], [], **ring, label="settings of the four regimes"),
    ]
    axis.legend(handles=handles, loc="center left", borderaxespad=0, labelspacing=0.7, fontsize=9.5)
