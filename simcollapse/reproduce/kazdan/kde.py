"""Kernel density estimates refitted to their own samples, over rounds, with a fixed bandwidth for each data set.

Data sets and bandwidths are the paper's; a row of normal data is added, for which the likelihood has a closed form.
Moments have one for every data set: they depend on it through its variance alone.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm, qmc

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.kazdan import cells, panels
from simcollapse.reproduce.kazdan.cells import DERIVED, PAPER, WORKFLOWS, Cell
from simcollapse.tasks import point_sets
from theory.workflows import kde as theory
from theory.workflows import kde_error

NAME = "kazdan-kde"
BANDWIDTHS = {
    "blobs": 0.5,
    "circles": 0.1,
    "moons": 0.1,
    "swiss_roll": 1.0,
    "normal": 0.5,
}  # from 0.1, 0.5, 1
LABELS = {"swiss_roll": "swiss roll", "normal": "normal"}
TEST = 500  # held-out rows, as in the published runs
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)
LIMIT_TOLERANCE = 0.03  # nats: what a pool of finite size leaves of the limit of many rows
LATE = 5  # rounds from which on the pool holds many times n rows
SURE = claims.SURE


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int = 100
    sets: tuple[str, ...] = ("blobs", "circles", "moons", "swiss_roll")
    sizes: tuple[int, ...] = cells.SIZES
    rounds: int = 100
    seed: int = 0

    @property
    def all_sets(self) -> tuple[str, ...]:
        """The normal law last."""
        return (*self.sets, "normal")


SCALES = {
    "quick": Config(chains=50, sets=("blobs", "circles", "moons"), sizes=(100,), rounds=30),
    "small": Config(sizes=(10, 32, 100)),
    "paper": Config(),
}


def task_of(name: str, bandwidth, **options):
    """The estimate on the data set `name`.

    N(0, I_2) is made in the form of the planar sets, to share their compiled programs; its held-out rows have exactly
    its first two moments.
    """
    if name != "normal":
        return sc.kde(name, bandwidth=bandwidth, test=TEST, **options)
    none = np.zeros(1)
    normal = point_sets.arcs(np.zeros((1, 2)), none, none, none, 1.0)
    return sc.kde(normal, bandwidth=bandwidth, test=normal_points(TEST), **options)


def normal_points(count: int) -> np.ndarray:
    """Points spread evenly as N(0, I_2), (count, 2), with mean 0 and second moment I: means over them are the law's
    for quadratic functions, and close for others.
    """
    halton = qmc.Halton(2, rng=np.random.default_rng(0)).random(count)
    points = norm.ppf(halton)
    points = points - points.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(points.T @ points / count), points.T).T


def compute(config: Config) -> xr.Dataset:
    """By (workflow, set, n, round): nll, trace, mean_error (share of the real data's variance) and their exact means.

    nll_rise is the likelihood lost since round 0; log_nll_half and second_half, what the second half of the rounds
    so far added to log nll and to the second moment about the real mean, that in units of bandwidth^2 a coordinate.
    """
    sets = config.all_sets
    coords = {"workflow": WORKFLOWS, "set": sets, "n": config.sizes}
    planar = [j for j, name in enumerate(sets) if name != "swiss_roll"]
    families = [family for family in (planar, [j for j in range(len(sets)) if j not in planar]) if family]
    tasks = [task_of(name, BANDWIDTHS[name]) for name in sets]
    groups = [
        [_cell(config, i, j, k) for j in family]  # which share a compiled program
        for k in reversed(range(len(config.sizes)))  # the longest first
        for family in families
        for i in range(len(WORKFLOWS))
    ]
    data = cells.collect(coords, groups, config.rounds)
    _add_theory(data, config, tasks)
    shown = ", ".join(f"{BANDWIDTHS[name]:g} ({LABELS.get(name, name)})" for name in sets)
    data.attrs.update(
        title="kernel density estimates on their own samples: replace, accumulate, accumulate-subsample",
        heading="Gaussian kernel of fixed bandwidth h on all rows of a fit, n new rows a round, no verifier\n"
        f"h = {shown}; points: medians of {config.chains} chains, bars: 90 % of them\n"
        "last row: means with two standard errors; lines: exact means, and the limit of many rows",
        chains=config.chains,
        config=json.dumps(dataclasses.asdict(config)),
        note="At a constant bandwidth nothing is bounded: the mean density spreads by k h^2 under replace and by h^2 "
        "log k under the two others. kazdan-kde-bandwidth shows which schedules are bounded.",
    )
    return data


def _cell(config: Config, i: int, j: int, k: int) -> Cell:
    def values():
        name = config.all_sets[j]
        task = task_of(name, BANDWIDTHS[name])
        found = cells.simulate(
            task,
            WORKFLOWS[i],
            config.sizes[k],
            rounds=config.rounds,
            chains=config.chains,
            seed=(config.seed, 6, i, j, k),
        )
        nll, trace, error = (found[v].to_numpy().astype(float) for v in ("nll", "trace", "squared_error"))
        variance = np.asarray(task.data.variance, dtype=float)
        mean_error = error / variance.sum()
        second = (trace + mean_error) * variance.mean() / BANDWIDTHS[name] ** 2
        half = np.arange(config.rounds + 1) // 2
        return {
            "nll": nll,
            "nll_rise": nll - nll[:, :1],
            "log_nll_half": np.log(nll)
            - np.log(nll[:, half]),  # of a loss that is positive at these bandwidths
            "trace": trace,
            "mean_error": mean_error,
            "second_half": second - second[:, half],
        }

    return Cell((i, j, k), values, double=False)


def _add_theory(data: xr.Dataset, config: Config, tasks: list[Any]) -> None:
    """The closed forms: of moments from the real data's variance a coordinate, of the loss from their density."""
    variances = [float(np.mean(task.data.variance)) for task in tasks]
    limits = {
        (w, name): nll_limit(w, name, task, config.rounds)
        for name, task in zip(config.all_sets, tasks, strict=True)
        for w in WORKFLOWS[:2]
    }
    shape = data["trace"].shape
    names = ("trace_theory", "mean_error_theory", "second_half_theory", "nll_limit")
    arrays = {name: np.full(shape, np.nan) for name in names}
    half = np.arange(config.rounds + 1) // 2
    for place in np.ndindex(*shape[:-1]):
        workflow, name, n = WORKFLOWS[place[0]], config.all_sets[place[1]], config.sizes[place[2]]
        sigma = float(np.sqrt(variances[place[1]]))
        sizes = {"sigma": sigma, "bandwidths": BANDWIDTHS[name], "rounds": config.rounds}
        exact = getattr(theory, f"{workflow}_moments_exact")(n_per_round=n, **sizes)
        kind = "replace" if workflow == "replace" else "accumulate"
        second = getattr(theory, f"{kind}_second_moment_exact")(**sizes) / BANDWIDTHS[name] ** 2
        arrays["trace_theory"][place] = exact.variance / sigma**2
        arrays["mean_error_theory"][place] = exact.mean_error / sigma**2
        arrays["second_half_theory"][place] = second - second[half]
        kind = "replace" if workflow == "replace" else "accumulate_subsample"  # accumulate has the same limit
        arrays["nll_limit"][place] = limits[kind, name]
    for name, array in arrays.items():
        data[name] = data["trace"].dims, array


def nll_limit(workflow: str, name: str, task: Any, rounds: int) -> np.ndarray:
    """Negative log-likelihood of the held-out rows for many rows a round, nats, shape (K + 1,)."""
    width = BANDWIDTHS[name]
    if name == "normal" and workflow == "replace":
        return kde_error.replace_nll_limit(dim=2, sigma=1.0, bandwidths=width, rounds=rounds)
    if name == "normal":
        return kde_error.accumulate_nll_limit(dim=2, sigma=1.0, bandwidth=width, rounds=rounds)
    common: dict[str, Any] = {
        "test": np.asarray(task.test, dtype=float).T,
        "points": curve_points(task.data),
        "sigma": float(task.data.noise),
        "rounds": rounds,
    }
    if workflow == "replace":
        return kde_error.replace_held_out_nll_limit(**common, bandwidths=width)
    return kde_error.accumulate_held_out_nll_limit(**common, bandwidth=width)


def curve_points(data: Any) -> np.ndarray:
    """Points spread evenly over a toy set without its noise, (M, D), closer than the kernels are wide."""
    if data.dim == 3:
        t = np.pi * (1.5 + 3 * (np.arange(140) + 0.5) / 140)
        t, y = (axis.ravel() for axis in np.meshgrid(t, 21 * (np.arange(28) + 0.5) / 28))
        return np.stack([t * np.cos(t), y, t * np.sin(t)], axis=1)
    share = (np.arange(64) + 0.5) / 64
    angle = np.asarray(data.start)[:, None] + np.asarray(data.sweep)[:, None] * share
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.asarray(data.radius)[:, None, None]
    return np.unique((np.asarray(data.center)[:, None] + arc).reshape(-1, 2), axis=0).astype(float)


def compare(data: xr.Dataset) -> list[Claim]:
    """The abstract's three claims, each followed by what qualifies it; closed forms on the simulation."""
    last = data.isel(round=-1)
    rounds = int(data["round"][-1])
    rise = {w: (last["nll_rise"].sel(workflow=w), last["nll_rise_error"].sel(workflow=w)) for w in WORKFLOWS}
    return [
        claims.above(
            "(a) replacing all data: the test loss diverges",
            PAPER,
            f"rise of the log loss from round {rounds // 2} to {rounds}, mean over cells",
            _mean_half(last, "replace"),
            0.0,
        ),
        _all(
            "(b) accumulating: test losses stay far below those of replacing",
            PAPER,
            f"cells with less than half of replace's rise after {rounds} rounds",
            _less(rise["accumulate"], rise["replace"], 0.5),
            last,
        )._replace(
            qualifier="bounded only if Σ h²_k/k is finite; at constant h the density spreads as h² log k"
        ),
        _growth(
            last,
            "accumulate",
            "… but they are not bounded: at constant h the mean density spreads as h² log k",
        ),
        claims.above(
            "… so that the loss of a kernel that is wide enough still rises, slowly",
            DERIVED,
            f"rise of the log loss from round {rounds // 2} to {rounds}, normal data, n = {int(last['n'][-1])}",
            Estimate(
                float(last["log_nll_half"].sel(workflow="accumulate", set="normal")[-1]),
                float(last["log_nll_half_error"].sel(workflow="accumulate", set="normal")[-1]),
            ),
            0.0,
        ),
        claims.above(
            "(c) a fixed budget drawn from all rows degrades further than accumulating",
            PAPER,
            f"its rise after {rounds} rounds, on a scale from accumulate's (0) to replace's (1), mean over cells",
            _between(rise),
            0.0,
        ),
        claims.below(
            "… slowly and gradually rather than explosively",
            PAPER,
            "the same",
            _between(rise),
            0.5,
        )._replace(qualifier="no plateau at constant h: h² log k, as under accumulate"),
        _growth(
            last, "accumulate_subsample", "… and is no plateau for this task: it spreads as h² log k too"
        ),
        *_closed_forms(data),
    ]


def _between(rise: dict) -> Estimate:
    """Where the loss under accumulate_subsample lies between the two others', mean over cells."""
    low, sub, high = (rise[w] for w in ("accumulate", "accumulate_subsample", "replace"))
    whole = high[0] - low[0]
    place = (sub[0] - low[0]) / whole
    # first order in the three independent errors
    error = np.sqrt(sub[1] ** 2 + ((1 - place) * low[1]) ** 2 + (place * high[1]) ** 2) / whole
    return Estimate(float(place.mean()), float(np.sqrt((error**2).sum()) / place.notnull().sum()))


def _mean_half(last: xr.Dataset, workflow: str) -> Estimate:
    """What the second half of the rounds added to the log loss, mean over cells."""
    one = last.sel(workflow=workflow)
    error = np.sqrt((one["log_nll_half_error"] ** 2).sum()) / one["log_nll_half"].notnull().sum()
    return Estimate(float(one["log_nll_half"].mean()), float(error))


def _all(statement: str, source: str, what: str, agree: xr.DataArray, last: xr.Dataset) -> Claim:
    there = last["nll"].sel(workflow="replace").notnull()
    return claims.all_of(statement, source, what, int((agree & there).sum()), int(there.sum()))


def _less(one, other, share: float) -> xr.DataArray:
    """Whether a rise is below `share` of another one, by more than `SURE` standard errors."""
    gap = share * other[0] - one[0]
    return gap > SURE * np.hypot(share * other[1], one[1])


def _growth(last: xr.Dataset, workflow: str, statement: str) -> Claim:
    """Growth of the second moment in the second half of the rounds, over cells, weighed by their precision."""
    one = last.sel(workflow=workflow)
    weight = 1 / one["second_half_error"] ** 2
    value = float((weight * one["second_half"]).sum() / weight.sum())
    rounds = int(last["round"])
    return claims.above(
        statement,
        DERIVED,
        f"its second moment's growth from round {rounds // 2} to {rounds}, in h² a coordinate, all cells "
        f"(exact: {float(one['second_half_theory'].max()):.3f})",
        Estimate(value, float(weight.sum() ** -0.5)),
        0.0,
    )


def _closed_forms(data: xr.Dataset) -> list[Claim]:
    checked = data.sel(round=[k for k in CHECKED if k <= int(data["round"][-1])])
    rows = []
    for name, words in (("trace", "model variance"), ("mean_error", "error of the mean")):
        worst, number = 0.0, 0
        for workflow in WORKFLOWS:
            one = checked.sel(workflow=workflow)
            flat = one[[name, f"{name}_error", f"{name}_theory"]].stack(cell=("set", "n")).dropna("cell")
            off, error = cells.pooled(flat, name, flat[f"{name}_theory"], "cell")
            found = cells.largest(off / error)
            worst, number = max(worst, found[0]), number + found[1]
        what = "means over sets and n, by workflow and round"
        rows.append(
            claims.largest_z(
                f"the closed form lies on the simulation ({words})", DERIVED, what, worst, number
            )
        )
    most = checked.sel(set="normal", workflow="accumulate", n=int(data["n"][-1]))
    most = most.sel(round=most["round"] >= LATE)
    rows.append(
        claims.on_line(
            "the loss of many rows (its growth is (d/2) log log k) is near: normal data, accumulate",
            DERIVED,
            f"rounds from {LATE} on at n = {int(most['n'])}, less the limit, nats",
            (most["nll"] - most["nll_limit"]).to_numpy(),
            most["nll_error"].to_numpy(),
            LIMIT_TOLERANCE,
        )
    )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """Loss of every set, and variance of the last, (rows) by workflow (columns), shades for n; computes nothing."""
    sets = [str(name) for name in data["set"].to_numpy()]
    figure = style.blank(10.0, 2.1 * (len(sets) + 1) + 0.8)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(sets) + 1, len(WORKFLOWS), sharex=True, sharey="row")
    for column, workflow in zip(axes.T, WORKFLOWS, strict=True):
        colors = panels.shades(workflow, data.sizes["n"])
        for axis, name in zip(column, [*sets, sets[-2]], strict=True):
            is_loss = axis is not column[-1]
            for i, color in enumerate(colors):
                one = data.sel(workflow=workflow, set=name).isel(n=i)
                _curve(axis, one, "nll" if is_loss else "trace", color)
            axis.set_yscale("log")
        column[-1].set_xlabel("round k (0 = fit on real data)")
    panels.titles(axes[0], WORKFLOWS)
    for axis, name in zip(axes[:, 0], sets, strict=False):
        axis.set_ylabel(f"{LABELS.get(name, name)}\nneg. log-likelihood of\nreal data, nats a row")
    axes[-1, 0].set_ylabel(f"{LABELS.get(sets[-2], sets[-2])}\nmodel variance\nover the real one")
    figure.legend(
        handles=[
            *panels.keys_of_sizes(data["n"].to_numpy()),
            panels.key_of_line("exact mean", color="black", linewidth=1.3),
            panels.key_of_line("limit of many rows", **style.APPROXIMATION),
        ],
        loc="outside lower center",
        ncols=7,
    )
    return figure


def _curve(axis: Axes, one: xr.Dataset, name: str, color) -> None:
    at = panels.shown(int(one["round"][-1]))
    if name == "trace":
        axis.plot(one["round"], one["trace_theory"], color="black", linewidth=0.9, zorder=2.5)
    else:
        axis.plot(one["round"], one["nll_middle"], color=color, linewidth=0.9, zorder=2.5)
        axis.plot(one["round"], one["nll_limit"], **style.APPROXIMATION)
    points = panels.means if name == "trace" else panels.medians
    points(axis, at, one.isel(round=at), name, color)
