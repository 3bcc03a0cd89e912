"""Accumulate with few real rows at the start: is there a share of real data below which it fails?"""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves
from theory.workflows import linear

NAME = "real-share"
DERIVED = "derived here"
ROWS = 500  # generated in each round
OUTCOMES = 20
JUMP = 1.33  # a step between neighbouring shares by more than this would be called a threshold


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 100
    shares: tuple[float, ...] = (
        0.01,
        0.02,
        0.04,
        0.1,
        0.2,
        0.4,
        1.0,
    )  # real rows of round 0 over a round's rows
    seed: int = 0


SCALES = {
    "quick": Config(chains=3_000, rounds=40, shares=(0.01, 0.04, 0.1, 0.4, 1.0)),
    "small": Config(chains=10_000),
    "paper": Config(
        chains=20_000, shares=(0.01, 0.014, 0.02, 0.03, 0.04, 0.06, 0.1, 0.14, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    ),
}


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (task, share): error after the last round over that of the first fit, exact and simulated."""
    real = [round(s * ROWS) for s in config.shares]
    tasks = {
        "a mean": curves.mean_task(),
        "mean of a Gaussian": sc.gaussian(2, estimator="unbiased"),
        f"shares of {OUTCOMES} outcomes": sc.discrete(outcomes=OUTCOMES),
    }
    first = [1.0, 2.0, 1 - 1 / OUTCOMES]  # squared error of a fit to one real row, exact
    parts = []
    for i, (one, task) in enumerate(zip(first, tasks.values(), strict=True)):
        found = sc.sweep(
            task,
            "none",
            sc.accumulate(),
            over={"n_real": real},
            n_real=ROWS,
            n_per_round=ROWS,
            rounds=config.rounds,
            chains=config.chains,
            seed=config.seed + i,
            engine="auto",
        )["squared_error"].isel(round=-1)
        parts.append(curves.over_chains(found.rename(n_real="share").drop_vars("round")))
        parts[-1] = parts[-1] / xr.DataArray(one / np.array(real), dims="share")
    data = curves.joined(parts, "task", list(tasks)).assign_coords(share=list(config.shares))
    fine = np.geomspace(min(config.shares), 1, 60)
    data["error_theory"] = ("task", "share"), [[_ratio(s, config.rounds) for s in config.shares]] * len(tasks)
    data = data.assign_coords(fine=fine).assign(
        line=("fine", [_ratio(s, config.rounds) for s in fine]),
        replaced=("fine", [1 + s * config.rounds for s in fine]),
    )
    data.attrs.update(
        title="few real rows at the start: accumulate has no threshold",
        heading=f"accumulate: a first fit to ρ × {ROWS} real rows, then {ROWS} generated rows in each of "
        f"{config.rounds} rounds;\nerror after the last round over that of the first fit. "
        "Line: exact for a mean; points: simulation",
        rounds=config.rounds,
        config=json.dumps(dataclasses.asdict(config)),
        note="The factor is 1 + sum ρ/(ρ + i)^2, which falls smoothly from π²/6 at ρ = 1 to 1: fewer real rows make a "
        "worse first fit, and generated rows then add less to it, never more.",
    )
    return data


def _ratio(share: float, rounds: int) -> float:
    """Exact error after the last round over that of the first fit, of a mean."""
    batches = linear.rounds_of(share * ROWS, ROWS, rounds)
    mse = linear.mean_mse_exact(sigma=1.0, batches=batches, weights=linear.accumulated(batches))
    return float(mse[-1] / mse[0])


def compare(data: xr.Dataset) -> list[Claim]:
    """Bounded for every share, without a jump; the exact factor."""
    flat = data.stack(cell=("task", "share"))
    worst = flat.isel(cell=int(np.argmax((flat["error"] - 3 * flat["error_se"]).to_numpy())))
    got = Estimate(float(worst["error"]), float(worst["error_se"]))
    cells = flat.sizes["cell"]
    rows = [
        claims.never_above(
            f"accumulating does not collapse with {float(data['share'].min()):.0%} of real rows either: "
            "the error stays below π²/6 times the first",
            DERIVED,
            "largest factor",
            got,
            float(np.pi**2 / 6),
            cells,
        )
    ]
    one = data.isel(task=0)
    step = one["error"].to_numpy()[1:] / one["error"].to_numpy()[:-1]
    spread = step * np.hypot(
        one["error_se"].to_numpy()[1:] / one["error"].to_numpy()[1:],
        one["error_se"].to_numpy()[:-1] / one["error"].to_numpy()[:-1],
    )
    at = int(np.argmax(np.abs(np.log(step))))
    size = float(np.exp(abs(np.log(step[at]))))
    words = "there is no threshold: neighbouring shares differ by less than a third"
    rows.append(claims.below(words, DERIVED, "largest step", Estimate(size, float(spread[at])), JUMP))
    ends = one.isel(share=[0, -1])
    gain = float(ends["error"][1] - ends["error"][0])
    error = float(np.hypot(*ends["error_se"].to_numpy()))
    words = "the factor rises with the share of real rows: generated rows hurt a good first fit more"
    rows.append(
        claims.above(words, DERIVED, "factor at ρ = 1 less that at the least ρ", Estimate(gain, error), 0.0)
    )
    for i, task in enumerate(data["task"].to_numpy()):
        rows.append(
            curves.on_line(data.isel(task=i), f"the exact factor of a mean holds: {task}", DERIVED, "shares")
        )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """One panel; computes nothing."""
    figure = style.blank(7.2, 4.4)
    style.heading(figure, data.attrs["heading"])
    axis = figure.subplots()
    axis.plot(data["fine"], data["line"], label="accumulate, exact", **style.THEORY)
    axis.plot(data["fine"], data["replaced"], label="replace, exact", **style.APPROXIMATION)
    axis.axhline(np.pi**2 / 6, color="black", linewidth=0.7, linestyle=":")
    axis.annotate(
        "π²/6", (float(data["share"].min()), np.pi**2 / 6), xytext=(0, 4), textcoords="offset points"
    )
    shift = np.exp(np.linspace(-0.05, 0.05, data.sizes["task"]))
    for i, marker in enumerate("so^"[: data.sizes["task"]]):
        one = data.isel(task=i)
        axis.errorbar(
            one["share"] * shift[i], one["error"], 2 * one["error_se"], color=curves.COLORS[i], marker=marker,
            linestyle="none", elinewidth=1.2, capsize=2, zorder=4, label=str(one["task"].item()),
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", ylim=(0.85, 4), xlabel="ρ, real rows over the rows of a round")
    axis.set_ylabel("error over that of the first fit")
    ticks = [1, 1.2, 1.5, 2, 3, 4]
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.legend(loc="upper right")
    return figure
