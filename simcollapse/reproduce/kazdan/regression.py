"""Least squares refitted to its own labels at the same rows in every round: a fixed design, as in the published runs.

Each (d, n) has one Gaussian design, and closed forms are those given the design. Fits are of least norm, as published,
where rows may not span every direction: with n <= d, and in subsamples that hold too few different rows of the design.
Those cells, and those of nearly square designs, are computed in double precision: they are all but singular.
"""

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
from theory.workflows import first_order, linear_regression_minimum_norm, linear_regression_subsample

NAME = "kazdan-regression"
MOST_RATIO = (
    0.4  # of d to n for a subsample: n of k n rows hold 63 % of the design's, and at 0.45 the error diverges
)
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)
LAW_TOLERANCE = 0.06  # relative: the law of subsamples is for many dimensions, off by a few per cent at d = 3
LEAST_ROWS = (
    31  # … and for many rows: a subsample of 10 may hold hardly more different ones than coefficients
)
FACTOR_TOLERANCE = 0.12  # of error factors


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int = 100
    dims: tuple[int, ...] = cells.DIMS
    sizes: tuple[int, ...] = cells.SIZES
    rounds: int = 100
    shown: tuple[int, ...] = (1, 10, 100)
    seed: int = 0


SCALES = {
    "quick": Config(chains=800, dims=(3,), sizes=(10, 32), rounds=30, shown=(3,)),
    "small": Config(dims=(1, 10, 31), sizes=(10, 32, 100), shown=(1, 10, 31)),
    "paper": Config(),
}


def design(config: Config, j: int, k: int) -> np.ndarray:
    """The rows of a cell, (n, d), standard normal."""
    seed = np.random.SeedSequence([config.seed, 5, j, k])
    return np.random.default_rng(seed).standard_normal((config.sizes[k], config.dims[j]))


def compute(config: Config) -> xr.Dataset:
    """By (workflow, dim, n, round): error |coef - truth|^2 over the noise variance, which is the test error beyond the
    noise for isotropic x; error_theory (exact given the design, or the law of subsamples) and error_first_order.
    """
    coords = {"workflow": WORKFLOWS, "dim": config.dims, "n": config.sizes}
    sizes = range(len(config.sizes))
    in_law = [i for i, workflow in enumerate(WORKFLOWS) if workflow != "accumulate_subsample"]
    drawn = WORKFLOWS.index("accumulate_subsample")
    longest = list(reversed(range(len(config.dims))))  # first
    groups = [
        [_cell(config, drawn, j, k) for k in part] for j in longest for part in _alike(config, drawn, j)
    ]
    groups += [[_cell(config, i, j, k) for k in sizes] for j in longest for i in in_law]
    data = cells.collect(coords, groups, config.rounds)
    theory, first = np.full(data["error"].shape, np.nan), np.full(data["error"].shape, np.nan)
    spanned = np.zeros(theory.shape[:-1], dtype=np.int8)
    for place in np.ndindex(*theory.shape[:-1]):
        i, j, k = place
        theory[place], first[place] = _predicted(config, *place)
        spanned[place] = fitted(WORKFLOWS[i], config.dims[j], config.sizes[k])
    data["error_theory"], data["error_first_order"] = (
        (data["error"].dims, theory),
        (data["error"].dims, first),
    )
    data["spanned"] = data["error"].dims[:-1], spanned
    data.attrs.update(
        title="linear regression on its own labels, one design for all rounds",
        heading="y = x·θ* + N(0, σ²), the same n rows x in every round, labels drawn from the last fit; no verifier\n"
        f"points: means of {config.chains} chains with two standard errors (tails are light); lines: closed forms",
        shown=list(config.shown),
        chains=config.chains,
        config=json.dumps(dataclasses.asdict(config)),
        note="One Gaussian design a cell, closed forms given it; the published runs draw one for each chain. Every "
        "coefficient of the truth is 1. With n <= d rows the fit of least norm misses what no row sees of it; for "
        "subsamples that need it no closed form is known.",
    )
    return data


def fitted(workflow: str, dim: int, n: int) -> bool:
    """Whether least squares has one solution in every round."""
    return n > dim if workflow != "accumulate_subsample" else dim <= MOST_RATIO * n


def _kind(config: Config, i: int, j: int, k: int) -> tuple[bool, bool]:
    """Whether fits are of least norm, and whether they are computed in double precision."""
    dim, n = config.dims[j], config.sizes[k]
    short = not fitted(WORKFLOWS[i], dim, n)
    return short, short or cells.needs_double(dim, n)


def _alike(config: Config, i: int, j: int) -> list[list[int]]:
    """Numbers of the sizes whose cells may share programs, since fits and precision are the same."""
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for k in range(len(config.sizes)):
        kinds.setdefault(_kind(config, i, j, k), []).append(k)
    return list(kinds.values())


def _cell(config: Config, i: int, j: int, k: int) -> Cell:
    dim, n = config.dims[j], config.sizes[k]
    short, double = _kind(config, i, j, k)

    def values():
        rows, truth = design(config, j, k), np.ones(dim)
        found = cells.simulate(
            sc.linear_regression(truth, design="fixed", rows=rows, least_norm=short),
            WORKFLOWS[i],
            n,
            rounds=config.rounds,
            chains=config.chains,
            seed=(config.seed, 5, i, j, k),
        )
        return {"error": found["squared_error"]}

    return Cell((i, j, k), values, double)


def _predicted(config: Config, i: int, j: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best closed form of the mean error, and the one to first order: what noise adds to one fit, times a_k."""
    workflow, dim, n = WORKFLOWS[i], config.dims[j], config.sizes[k]
    given = {"design": design(config, j, k), "truth": np.ones(dim), "sigma": 1.0, "rounds": config.rounds}
    replace = linear_regression_minimum_norm.replace_fixed_design_mse_exact(**given)
    factor = first_order.error_factor_asymptotic(workflow=workflow, rounds=config.rounds)
    if workflow == "replace":
        exact = replace
    elif workflow == "accumulate":
        exact = linear_regression_minimum_norm.accumulate_fixed_design_mse_exact(**given)
    else:
        exact = np.full(config.rounds + 1, np.nan)
        if fitted(workflow, dim, n):
            exact = replace[0] * linear_regression_subsample.subsample_growth_asymptotic(
                ratio=dim / n, rounds=config.rounds, design="reused"
            )
    return exact, replace[0] + (replace[1] - replace[0]) * (factor - 1)


def compare(data: xr.Dataset) -> list[Claim]:
    """Linear growth, a bound, a plateau that d/n lifts; closed forms on the simulation."""
    rounds = int(data["round"][-1])
    whole, data = data, data.drop_vars("spanned").where(data["spanned"] == 1)
    growth = {w: _growth(data.sel(workflow=w), rounds) for w in WORKFLOWS}
    return [
        claims.within(
            "(a) replacing labels: the test error grows linearly with the rounds, without end",
            f"{PAPER}; the slope: [Dohmatob24], [Gerstgrasser24]",
            f"error after {rounds} rounds over that of one fit, over {rounds + 1}; all cells",
            Estimate(growth["replace"].value / (rounds + 1), growth["replace"].error / (rounds + 1)),
            1.0,
            FACTOR_TOLERANCE,
        ),
        claims.never_above(
            "(b) accumulating them: it stays below π²/6 times that of one fit",
            f"{PAPER}; the factor: [Gerstgrasser24]",
            f"error after {rounds} rounds over that of one fit; all cells",
            growth["accumulate"],
            np.pi**2 / 6,
            1,
        )._replace(
            qualifier="π²/6 is for one design reused; with fresh designs it is less (theory: accumulate_mse_exact)"
        ),
        *_subsample(data, growth, rounds),
        *_closed_forms(data),
        *_few_rows(whole),
    ]


def _few_rows(data: xr.Dataset) -> list[Claim]:
    """What fits of least norm lose, n <= d."""
    few = data.where(data["n"] <= data["dim"])
    if not bool(few["error"].notnull().any()):
        return []
    checked = few.sel(round=[k for k in CHECKED if k <= int(data["round"][-1])])
    one = checked.sel(workflow=["replace", "accumulate"])
    off, error = cells.pooled(one, "error", one["error_theory"], "n")
    z, number = cells.largest(off / error)
    words = "the closed form lies on the simulation (n ≤ d, fits of least norm, replace and accumulate)"
    found = [claims.largest_z(words, DERIVED, "means over n, by workflow, d and round", z, number)]
    dim, n = int(data["dim"].max()), int(data["n"].min())
    if n == dim:  # whose rows see all of the truth
        return found
    first = data.sel(workflow="replace", dim=dim, n=n)["error_theory"].to_numpy()
    unseen, rounds = 2 * first[0] - first[1], int(data["round"][-1])
    last = data.sel(workflow="accumulate", dim=dim, n=n).isel(round=-1)
    return [
        *found,
        claims.above(
            "with n < d rows accumulating bounds the error of noise, and never finds what the first rows did not see",
            DERIVED,
            f"error after {rounds} rounds over that unseen part of the truth, d = {dim}, n = {n}",
            Estimate(float(last["error"]) / unseen, float(last["error_error"]) / unseen),
            1.0,
        ),
    ]


def _subsample(data: xr.Dataset, growth: dict[str, Estimate], rounds: int) -> list[Claim]:
    one = data.sel(workflow="accumulate_subsample")
    few = one.where(one["dim"] <= 0.04 * one["n"])
    rows = [
        claims.above(
            "(c) a fixed budget drawn from all rows degrades further than accumulating",
            PAPER,
            f"error after {rounds} rounds over that of one fit; all cells",
            growth["accumulate_subsample"],
            float(growth["accumulate"].value),
        ),
        claims.below(
            "… slowly rather than explosively",
            PAPER,
            f"error after {rounds} rounds over that of one fit; all cells",
            growth["accumulate_subsample"],
            float(growth["replace"].value) / 3,
        )._replace(
            qualifier="a plateau for d < 0.45 n on a reused design; from there on it grows as a power of k"
        ),
    ]
    if bool(few["error"].notnull().any()):
        limit = 3 * float(np.sum(1 / np.arange(1.0, rounds + 2) ** 2)) - 2
        rows.append(
            claims.within(
                f"… for n far above d it plateaus, at 3 Σ1/i² − 2 ({limit:.2f} after so many rounds, π²/2 − 2 = 2.93 "
                "for ever)",
                DERIVED,
                "the same over cells with d ≤ n/25",
                _growth(few, rounds),
                limit,
                3 * FACTOR_TOLERANCE,
            )
        )
    large = one["error_theory"].isel(round=-1) / one["error_theory"].isel(round=0)
    dim, n = _most_crowded(large)
    cell = one.sel(dim=dim, n=n)
    rows.append(
        claims.above(
            "… but the plateau rises with d/n, where the first-order factor is too low",
            DERIVED,
            f"error after {rounds} rounds over the first-order prediction, d = {dim}, n = {n}",
            _over(cell, "error_first_order", rounds),
            1.0,
        )
    )
    return rows


def _most_crowded(growth: xr.DataArray) -> tuple[int, int]:
    """(d, n) of the largest predicted growth, of the most dimensions where it is about the same."""
    best = growth.where(growth > 0.97 * growth.max())
    dim = int(best["dim"].where(best.notnull().any("n")).max())
    return dim, int(best.sel(dim=dim).idxmax("n"))


def _over(cell: xr.Dataset, line: str, round: int) -> Estimate:
    at = cell.isel(round=round)
    return Estimate(float(at["error"] / at[line]), float(at["error_error"] / at[line]))


def _growth(one: xr.Dataset, round: int) -> Estimate:
    """Error over that of one fit (exact given the design), over cells, weighed by their dimensions."""
    first = one["error_first_order"].isel(round=0)
    at = one.isel(round=round)
    weight = (one["dim"] + 0 * first).where(at["error"].notnull(), 0.0)
    weight = weight / weight.sum()
    value = float((weight * (at["error"] / first).fillna(0.0)).sum())
    return Estimate(value, float(np.sqrt(((weight * at["error_error"] / first).fillna(0.0) ** 2).sum())))


def _closed_forms(data: xr.Dataset) -> list[Claim]:
    checked = data.sel(round=[k for k in CHECKED if k <= int(data["round"][-1])])
    rows = []
    for workflow in ("replace", "accumulate"):
        one = checked.sel(workflow=workflow)
        off, error = cells.pooled(one, "error", one["error_theory"], "n")
        z, number = cells.largest(off / error)
        words = (
            f"the closed form lies on the simulation (test error, {cells.NAMES[workflow]}, given the design)"
        )
        rows.append(claims.largest_z(words, DERIVED, "means over n, by d and round", z, number))
    one = checked.sel(workflow="accumulate_subsample").where((data["dim"] >= 3) & (data["n"] >= LEAST_ROWS))
    off, error = cells.pooled(one, "error", one["error_theory"], "n")
    rows.append(
        claims.on_line(
            "the law of subsamples for d in proportion to n lies on the simulation (d ≥ 3, n > 30)",
            f"{DERIVED} (cavity method)",
            "relative deviations, means over n, by d and round",
            off.to_numpy().ravel(),
            error.to_numpy().ravel(),
            LAW_TOLERANCE,
        )
    )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """A row for each dimension shown, a column for each workflow; computes nothing."""
    dims = np.atleast_1d(data.attrs["shown"])
    figure = style.blank(10.0, 1.6 + 2.7 * len(dims))
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(dims), len(WORKFLOWS), sharex=True, sharey="row", squeeze=False)
    for row, dim in zip(axes, dims, strict=True):
        for axis, workflow in zip(row, WORKFLOWS, strict=True):
            _panel(axis, data.sel(workflow=workflow, dim=dim), workflow)
        row[0].set_ylabel(f"d = {dim}\n" + r"$|\hat\theta_k-\theta^*|^2/\sigma^2$")
    panels.titles(axes[0], WORKFLOWS)
    for axis in axes[-1]:
        axis.set_xlabel("round k (0 = fit on real data)")
    figure.legend(
        handles=[
            *panels.keys_of_sizes(data["n"].to_numpy()),
            panels.key_of_line("closed form", color="black", linewidth=1.3),
            panels.key_of_line("to first order in d/n", color="black", **panels.DASHED),
        ],
        loc="outside lower center",
        ncols=7,
    )
    return figure


def _panel(axis: Axes, data: xr.Dataset, workflow: str) -> None:
    at = panels.shown(int(data["round"][-1]))
    for i, color in enumerate(panels.shades(workflow, data.sizes["n"])):
        one = data.isel(n=i)
        axis.plot(one["round"], one["error_theory"], color=color, linewidth=1.3, zorder=2.5)
        if workflow == "accumulate_subsample" and one["spanned"]:
            axis.plot(one["round"], one["error_first_order"], color=color, **panels.DASHED)
        panels.means(axis, at, one.isel(round=at), "error", color)
    axis.set_yscale("log")
    short = [int(n) for n, spanned in zip(data["n"], data["spanned"], strict=True) if not spanned]
    if short:
        words = f"least norm: n = {', '.join(map(str, short))}"
        axis.annotate(words, (0.03, 0.98), xycoords="axes fraction", va="top", fontsize=8.0, color="#555555")
