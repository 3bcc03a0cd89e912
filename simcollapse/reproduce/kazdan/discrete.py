"""Shares of outcomes refitted to their own draws: diversity, surviving outcomes, entropy over rounds."""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.kazdan import cells, panels
from simcollapse.reproduce.kazdan.cells import DERIVED, PAPER, WORKFLOWS, Cell
from theory.workflows import discrete

NAME = "kazdan-discrete"
LAWS = ("uniform", "zipf")
MARKERS = {"uniform": "o", "zipf": "^"}
LINES = {"uniform": "-", "zipf": (0, (4, 1.5))}
ROWS = {
    "heterozygosity": "heterozygosity\n$H(p_k)/H(p)$",
    "survivors": "surviving outcomes",
    "entropy": "entropy $S(p_k)/S(p)$",
}
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)
SHARE_TOLERANCE = 0.03  # of a share of the diversity


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int = 100
    outcomes: int = 100
    exponent: float = 1.0  # of the Zipf law
    sizes: tuple[int, ...] = cells.SIZES
    rounds: int = 100
    shown: tuple[int, ...] = (10, 100, 1000)
    seed: int = 0


SCALES = {
    "quick": Config(outcomes=20, sizes=(10, 32), rounds=30, shown=(10, 32)),
    "small": Config(sizes=(10, 32, 100), shown=(10, 32, 100)),
    "paper": Config(),
}


def compute(config: Config) -> xr.Dataset:
    """By (workflow, law, n, round): heterozygosity and entropy as shares of the truth's, surviving outcomes, and the
    closed forms heterozygosity_theory and survivors_theory (NaN where there is none).
    """
    coords = {"workflow": WORKFLOWS, "law": LAWS, "n": config.sizes}
    groups = [
        [_cell(config, i, j, k) for k in range(len(config.sizes)) for j in range(len(LAWS))]
        for i in range(len(WORKFLOWS))
    ]
    data = cells.collect(coords, groups, config.rounds)
    kept, alive = np.full(data["entropy"].shape, np.nan), np.full(data["entropy"].shape, np.nan)
    for place in np.ndindex(*kept.shape[:-1]):
        kept[place], alive[place] = _predicted(config, *place)
    data["heterozygosity_theory"] = data["entropy"].dims, kept
    data["survivors_theory"] = data["entropy"].dims, alive
    limits = [
        discrete.accumulate_subsample_heterozygosity_limit(probabilities=[0.5, 0.5], n_per_round=n) * 2
        for n in config.sizes
    ]
    data["plateau"] = "n", np.array(limits)
    data.attrs.update(
        title="shares of outcomes refitted to their own draws",
        heading=f"{config.outcomes} outcomes, alike or with Zipf's law (exponent {config.exponent:g}); each round "
        "counts n draws of the last model (or of all rounds so far); no verifier\n"
        f"points: means of {config.chains} chains with two standard errors; lines: closed forms "
        "(entropy: joined points)",
        shown=list(config.shown),
        outcomes=config.outcomes,
        chains=config.chains,
        config=json.dumps(dataclasses.asdict(config)),
        note="The expected share of the heterozygosity is the same for every law. Expected entropy has no closed form.",
    )
    return data


def _task(config: Config, law: str):
    return sc.discrete(outcomes=config.outcomes, zipf=config.exponent if law == "zipf" else None)


def _truth(config: Config, law: str) -> np.ndarray:
    weights = np.arange(1.0, config.outcomes + 1) ** (-config.exponent if law == "zipf" else 0.0)
    return weights / weights.sum()


def _cell(config: Config, i: int, j: int, k: int) -> Cell:
    def values():
        truth = _truth(config, LAWS[j])
        found = cells.simulate(
            _task(config, LAWS[j]),
            WORKFLOWS[i],
            config.sizes[k],
            rounds=config.rounds,
            chains=config.chains,
            seed=(config.seed, 6, i, j, k),
        )
        return {
            "heterozygosity": found["heterozygosity"] / (1 - np.sum(truth**2)),
            "survivors": found["survivors"],
            "entropy": found["entropy"] / -np.sum(truth * np.log(truth)),
        }

    return Cell((i, j, k), values, double=False)


def _predicted(config: Config, i: int, j: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected share of the heterozygosity, and expected survivors."""
    workflow, truth, n = WORKFLOWS[i], _truth(config, LAWS[j]), config.sizes[k]
    sizes = {"probabilities": truth, "n_real": n, "rounds": config.rounds}
    kept = getattr(discrete, f"{workflow}_heterozygosity_exact")(**sizes, n_per_round=n)
    if workflow == "replace":
        alive = discrete.replace_survivors_exact(**sizes, n_per_round=n)
    else:
        alive = discrete.accumulate_survivors_exact(**sizes)
        if workflow == "accumulate_subsample":
            alive = np.where(np.arange(config.rounds + 1) == 0, alive, np.nan)
    return kept / discrete.heterozygosity(truth), alive


def compare(data: xr.Dataset) -> list[Claim]:
    """Diversity lost, kept, and kept in part; closed forms on the simulation."""
    last, rounds = data.isel(round=-1), int(data["round"][-1])
    n, more = (int(size) for size in data["n"][:2])
    few = last.sel(n=n).mean("law")
    share = f"share of the heterozygosity left after {rounds} rounds, both laws, n = "
    at = {w: _both_laws(last.sel(workflow=w, n=more if w == "replace" else n)) for w in WORKFLOWS}
    return [
        claims.below("(a) replacing loses the diversity", PAPER, f"{share}{more}", at["replace"], 0.5),
        claims.within(
            "(b) accumulating keeps it: ∏(1 − 1/(n i²)) of it, at least sin(x)/x with x = π/√n",
            f"{PAPER}; the share: {DERIVED}",
            f"{share}{n}",
            at["accumulate"],
            float(few.sel(workflow="accumulate")["heterozygosity_theory"]),
            SHARE_TOLERANCE,
        ),
        claims.within(
            "(c) with a fixed budget it plateaus lower",
            f"{PAPER}; the height: {DERIVED}",
            f"{share}{n}",
            at["accumulate_subsample"],
            float(few["plateau"]),
            2 * SHARE_TOLERANCE,
        ),
        _support(data),
        *_closed_forms(data),
    ]


def _both_laws(one: xr.Dataset) -> Estimate:
    errors = one["heterozygosity_error"].to_numpy()
    return Estimate(float(one["heterozygosity"].mean()), float(np.linalg.norm(errors) / len(errors)))


def _support(data: xr.Dataset) -> Claim:
    one = data.sel(workflow="accumulate")
    same = (one["survivors"] == one["survivors"].isel(round=0)).all("round")
    words = (
        "accumulate never loses an outcome that the real data showed: survivors do not change after round 0"
    )
    return claims.all_of(words, DERIVED, "cells by law and n", int(same.sum()), same.size)


def _closed_forms(data: xr.Dataset) -> list[Claim]:
    checked = data.sel(round=[k for k in CHECKED if k <= int(data["round"][-1])])
    rows = []
    for workflow in WORKFLOWS:
        one = checked.sel(workflow=workflow)
        if workflow == "replace":  # later few chains are not fixed yet
            one = one.where(one["round"] <= one["n"])
        rows.append(_z(one, "heterozygosity", f"heterozygosity, {cells.NAMES[workflow]}"))
    one = checked.sel(workflow="replace")
    rows.append(_z(one.where(one["survivors_theory"] > 1.5), "survivors", "surviving outcomes, replace"))
    return rows


def _z(one: xr.Dataset, name: str, what: str) -> Claim:
    moving = one[f"{name}_error"] > 0
    z, number = cells.largest(((one[name] - one[f"{name}_theory"]) / one[f"{name}_error"]).where(moving))
    return claims.largest_z(
        f"the closed form lies on the simulation ({what})", DERIVED, "means by law, n and round", z, number
    )


def draw(data: xr.Dataset) -> Figure:
    """Metrics (rows) by workflow (columns), shades for n, markers for the law; computes nothing."""
    figure = style.blank(10.0, 9.0)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(ROWS), len(WORKFLOWS), sharex=True, sharey="row")
    sizes = np.atleast_1d(data.attrs["shown"])
    for column, workflow in zip(axes.T, WORKFLOWS, strict=True):
        for i, color in enumerate(panels.shades(workflow, len(sizes))):
            for law in LAWS:
                for axis, name in zip(column, ROWS, strict=True):
                    _curve(axis, data.sel(workflow=workflow, law=law, n=sizes[i]), name, law, color)
        column[-1].set_xlabel("round k (0 = fit on real data)")
    panels.titles(axes[0], WORKFLOWS)
    for axis, (name, words) in zip(axes[:, 0], ROWS.items(), strict=True):
        axis.set_ylabel(words)
        if name == "survivors":
            axis.set_yscale("log")
        else:
            axis.set_ylim(-0.03, 1.03)
    figure.legend(
        handles=[
            *panels.keys_of_sizes(sizes),
            *[
                panels.key_of_line(
                    words, color="black", linestyle=LINES[law], marker=MARKERS[law], markersize=4
                )
                for law, words in zip(LAWS, ("all outcomes alike", "Zipf"), strict=True)
            ],
        ],
        loc="outside lower center",
        ncols=5,
    )
    return figure


def _curve(axis: Axes, one: xr.Dataset, name: str, law: str, color) -> None:
    if name == "entropy":  # no closed form: joined means
        axis.plot(one["round"], one["entropy"], color=color, linewidth=0.8, linestyle=LINES[law], zorder=2)
    else:
        axis.plot(
            one["round"], one[f"{name}_theory"], color=color, linewidth=1.2, linestyle=LINES[law], zorder=2.5
        )
    at = panels.shown(int(one["round"][-1]))
    panels.means(axis, at, one.isel(round=at), name, color, marker=MARKERS[law])
