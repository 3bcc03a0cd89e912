"""Where does verification gain, plateau or reverse? The phases over (bias, radius, round), from simulation.

Phases of a round k, by the error relative to the fit on real data and to the best round so far:
"gain" is better than the start and at its best so far (to within `PAST_BEST`), "plateau" is better than the
start and past its best, "reversal" is worse than the start. The closed-form boundaries are lines on the map:
the exact chain, and its linearisation as a labelled approximation.
"""

import dataclasses
import json

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.interpolate import RectBivariateSpline

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.yi_regimes import trajectories
from simcollapse.reproduce.yi_regimes.regimes import Setting
from simcollapse.reproduce.yi_regimes.trajectories import DERIVED, ONE_ROUND, RATIOS, THEOREM

NAME = "yi-regimes-phase-map"
PHASES = ("gain", "plateau", "reversal")
PAST_BEST = 1.2  # times the best error so far: several times the noise of a cell, so that "plateau" is not noise
MOST_CHAINS = 200_000  # simulated in one call, so that the paper scale fits in memory
DECIDED = 4.0  # standard errors from a boundary beyond which the simulation says which side a cell is on
FINE = 60  # points along an axis where boundaries are drawn


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    biases: int
    radii: int
    setting: Setting = Setting()
    most_bias: float = 1.0
    least_radius: float = 0.25
    most_radius: float = 3.0
    shown: tuple[int, ...] = (1, 3, 6, 15)  # rounds
    seed: int = 0


SCALES = {
    "quick": Config(chains=300, biases=11, radii=9),
    "small": Config(chains=1_000, biases=21, radii=17),
    "paper": Config(chains=4_000, biases=41, radii=34),
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
    data["safe"] = _safe_rounds(data["relative"])

    fine_biases = np.linspace(0, config.most_bias, FINE)
    fine_radii = np.linspace(config.least_radius, config.most_radius, FINE)
    log_ratio = np.log(exact / setting.start)
    between = np.stack([
        RectBivariateSpline(radii, biases, log_ratio[..., k])(fine_radii, fine_biases)
        for k in range(setting.rounds + 1)
    ], axis=-1)  # the logarithm is smooth in both: splines follow it between the grid's points
    linear = np.array([[setting.linearised(r, b) for b in fine_biases] for r in fine_radii]) / setting.start
    data = data.assign_coords(fine_bias=fine_biases, fine_radius=fine_radii)
    for name, values in (("exact", np.exp(between)), ("linear", linear)):
        fine = xr.DataArray(values, dims=("fine_radius", "fine_bias", "round"))
        data[f"{name}_relative"], data[f"{name}_past_best"] = fine, _past_best(fine)
        data[f"{name}_crossing"] = _crossing(fine)
    data.attrs.update(
        title="phases over (bias, radius, round), linear regression",
        radius_of_regimes=2.0,
        v0=setting.start,
        start=start,
        shown=list(config.shown),
        config=json.dumps(dataclasses.asdict(config)),
    )
    return data


def _simulate(config: Config, biases: np.ndarray, radii: np.ndarray, position: int) -> xr.Dataset:
    """Means over chains at some of the radii; each call draws its own noise."""
    setting = config.setting
    result = sc.sweep(
        setting.task,
        sc.knowledge_ball(bias=0.0, radius=1.0),
        sc.replace(),
        over={"verifier.bias": biases.tolist(), "verifier.radius": radii.tolist()},
        n_real=setting.n_real,
        n_per_round=setting.schedule,
        rounds=setting.rounds,
        chains=config.chains,
        seed=int(np.random.SeedSequence([config.seed, position]).generate_state(1)[0]),
        record_model=True,
    ).rename({"verifier.bias": "bias", "verifier.radius": "radius"})
    result = result.assign_coords(bias=biases, radius=radii)  # as float64, whatever the simulation used
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
    means = [error.isel(chain=np.flatnonzero(half)).mean("chain").transpose(..., "round").to_numpy() for half in (odd, ~odd)]
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


def _safe_rounds(relative: xr.DataArray) -> xr.DataArray:
    """How many rounds in a row, from round 1 on, are no worse than the start."""
    return (relative.isel(round=slice(1, None)) <= 1).astype("int32").cumprod("round").sum("round").astype("int32")


def _crossing(relative: xr.DataArray) -> xr.DataArray:
    """First k >= 1 at which the error is back at the start's, between rounds by its logarithm; K if it never is.

    0 to 1 where the first round is already worse, in proportion.
    """
    log = np.log(relative.transpose(..., "round").to_numpy())
    worse = log[..., 1:] > 0
    after = np.where(worse.any(axis=-1), worse.argmax(axis=-1) + 1, log.shape[-1] - 1)
    high = np.take_along_axis(log, after[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(log, after[..., None] - 1, axis=-1)[..., 0]
    share = np.where(high > 0, -low / np.where(high > low, high - low, 1), 1)
    crossing = np.where(after == 1, np.where(high > 0, np.exp(-high), 1), after - 1 + share)
    return relative.isel(round=0, drop=True).copy(data=crossing)


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
    goal = arrived.isel(radius=int(np.abs(arrived["progress"] - 1).to_numpy().argmax()))
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
    figure = style.blank(9.2, 6.6)
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    places = [axes[0, 0], axes[0, 1], axes[0, 2], axes[1, 0]]
    for letter, axis, k in zip("abcd", places, np.atleast_1d(data.attrs["shown"]), strict=True):
        _phases(axis, data, int(k))
        axis.set_title(f"{letter}  after round {k}" if k > 1 else f"{letter}  after one round")
    _latest_safe(figure, axes[1, 1], data)
    axes[1, 1].set_title("e  latest safe round")
    for axis in [*places, axes[1, 1]]:
        _mark_regimes(axis, data)
    for axis in axes[:, 0]:
        axis.set_ylabel("verifier radius r / σ  (small = selective)")
    for axis in (axes[0, 2], axes[1, 0], axes[1, 1]):
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("verifier bias Δ / σ")
    _legend(axes[1, 2])
    return figure


def _phases(axis: Axes, data: xr.Dataset, k: int) -> None:
    now = data.sel(round=k)
    colors = ListedColormap([style.PHASE_COLORS[p] for p in PHASES])
    axis.pcolormesh(
        now["bias"],
        now["radius"],
        now["phase"].transpose("radius", "bias"),
        cmap=colors,
        norm=BoundaryNorm([-0.5, 0.5, 1.5, 2.5], 3),
        alpha=0.75,
        linewidth=0,
        rasterized=True,
    )
    where = np.argwhere((now["phase"] != now["exact_phase"]).transpose("radius", "bias").to_numpy())
    axis.plot(now["bias"].to_numpy()[where[:, 1]], now["radius"].to_numpy()[where[:, 0]], "x", color="#444444", markersize=3.5)
    for name, look in (("exact", style.THEORY), ("linear", style.APPROXIMATION)):
        options = {"colors": look["color"], "linewidths": look["linewidth"], "linestyles": [look.get("linestyle", "-")]}
        relative = now[f"{name}_relative"].transpose("fine_radius", "fine_bias")
        axis.contour(now["fine_bias"], now["fine_radius"], relative, levels=[1.0], **options)
        past = now[f"{name}_past_best"].where(now[f"{name}_relative"] <= 1).transpose("fine_radius", "fine_bias")
        if name == "exact" and float(past.max()) > PAST_BEST:
            options["linewidths"] = 1.0
            axis.contour(now["fine_bias"], now["fine_radius"], past, levels=[PAST_BEST], **options)


def _latest_safe(figure: Figure, axis: Axes, data: xr.Dataset) -> None:
    most = int(data["round"][-1])
    edges = [k for k in (0, 1, 2, 3, 4, 6, 8, 11) if k < most] + [most, most + 1]
    colors = mpl.colormaps["cividis"].resampled(len(edges) - 1)
    mesh = axis.pcolormesh(
        data["bias"],
        data["radius"],
        data["safe"].transpose("radius", "bias"),
        cmap=colors,
        norm=BoundaryNorm(edges, colors.N),
        linewidth=0,
        rasterized=True,
    )
    for name, look, color in (("exact", style.THEORY, "white"), ("linear", style.APPROXIMATION, "#BBBBBB")):
        levels = [k for k in (1, 2, 4, 8) if k < most]
        lines = axis.contour(
            data["fine_bias"],
            data["fine_radius"],
            data[f"{name}_crossing"].transpose("fine_radius", "fine_bias"),
            levels=levels,
            colors=color,
            linewidths=look["linewidth"] - 0.3,
            linestyles=[look.get("linestyle", "-")],
        )
        if name == "exact":
            axis.clabel(lines, fmt="%d", fontsize=8.5)
    bar = figure.colorbar(mesh, ax=axis, location="bottom", aspect=30, pad=0.02, ticks=[k + 0.0 for k in edges[:-1]])
    bar.set_ticklabels([*map(str, edges[:-2]), f"≥ {most}"])
    bar.ax.tick_params(labelsize=8, length=2)


def _mark_regimes(axis: Axes, data: xr.Dataset) -> None:
    for letter, q in zip("abcd", RATIOS.values(), strict=True):
        place = np.sqrt(q * data.attrs["v0"]), data.attrs["radius_of_regimes"]
        axis.annotate(letter, place, ha="center", va="center", fontsize=8, annotation_clip=False,
                      bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "black", "lw": 0.8})


def _legend(axis: Axes) -> None:
    axis.set_axis_off()
    words = {
        "gain": "gain: better than the fit on real\ndata, and at its best so far",
        "plateau": f"plateau: still better, but {100 * (PAST_BEST - 1):.0f} % or\nmore past its best round",
        "reversal": "reversal: worse than the fit\non real data",
    }
    handles = [Patch(color=style.PHASE_COLORS[p], alpha=0.75, label=words[p]) for p in PHASES]
    exact, linear = style.THEORY, style.APPROXIMATION
    handles += [
        Line2D([], [], color=exact["color"], linewidth=exact["linewidth"], label="boundary, exact chain"),
        Line2D([], [], color=linear["color"], linewidth=linear["linewidth"], linestyle=linear["linestyle"],
               label="boundary, linearised chain"),
        Line2D([], [], color="#444444", marker="x", markersize=3.5, linestyle="none",
               label="simulated cell off the exact chain"),
        Line2D([], [], color="black", marker="o", markerfacecolor="white", markersize=9, linestyle="none",
               label="settings of the four regimes"),
    ]
    axis.legend(handles=handles, loc="center left", borderaxespad=0, labelspacing=0.8, fontsize=9.5)
