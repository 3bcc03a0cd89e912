"""Real rows deleted at some round, or leaving by a sliding window: which of the two collapses?"""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves
from theory.workflows import linear

NAME = "delete-real"
CLAIM, DERIVED = "held of accumulating models", "derived here"
ROWS = 20
WINDOW = 5
GROWTH_TOLERANCE = 0.15  # relative, of the growth of a window's error
SETTLED = 1.1  # an error that grows by less over the last half of the rounds is called bounded
FAR = 1_000  # rounds of the exact error that stand for ever


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 60
    deleted_at: tuple[int, ...] = (1, 3, 15)
    seed: int = 0


SCALES = {
    "quick": Config(chains=4_000, rounds=40),
    "small": Config(chains=5_000, rounds=100),
    "paper": Config(chains=10_000, rounds=100),
}


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (workflow, round): squared error of a mean in units of the first fit's, simulated and exact."""
    sizes: dict[str, Any] = {"n_real": ROWS, "n_per_round": ROWS, "rounds": config.rounds}
    deleted = sc.sweep(
        curves.mean_task(),
        "none",
        sc.delete_real(1),
        over={"workflow.at": list(config.deleted_at)},
        chains=config.chains,
        seed=config.seed,
        **sizes,
    )["squared_error"]
    window = sc.simulate(
        curves.mean_task(),
        "none",
        sc.sliding_window(WINDOW),
        chains=config.chains,
        seed=config.seed + 1,
        **sizes,
    )["squared_error"]
    kept = sc.simulate(
        curves.mean_task(),
        "none",
        sc.accumulate(),
        chains=config.chains,
        seed=config.seed + 2,
        engine="auto",
        **sizes,
    )["squared_error"]
    named = {f"real rows deleted at round {t}": deleted.isel({"workflow.at": i}, drop=True)
             for i, t in enumerate(config.deleted_at)}  # fmt: skip
    named = {"accumulate": kept} | named | {f"window of {WINDOW} rounds": window}
    samples = xr.concat(
        [s.drop_vars("workflow.at", errors="ignore") for s in named.values()],
        xr.Variable("workflow", list(named)),
    )
    data = (curves.over_chains(samples) * ROWS).merge(curves.growth(samples))
    batches = linear.rounds_of(ROWS, ROWS, config.rounds)
    exact = [linear.mean_mse_exact(sigma=1.0, batches=batches, weights=linear.accumulated(batches))]
    exact += [_deleted(at, config.rounds) for at in config.deleted_at]
    table = linear.windowed(batches, rounds=WINDOW)
    exact.append(linear.mean_mse_exact(sigma=1.0, batches=batches, weights=table))
    data["error_theory"] = ("workflow", "round"), np.array(exact) * ROWS
    data["ever"] = ("at", [_deleted(at, FAR)[-1] * ROWS for at in config.deleted_at])
    data = data.assign_coords(at=list(config.deleted_at))
    data.attrs.update(
        title="deleting the real rows does not collapse an accumulating model; a sliding window does",
        heading=f"estimating a mean from {ROWS} real rows, then {ROWS} generated rows a round; squared error over that "
        "of the first fit.\nLines: exact; points: simulation, bars of two standard errors",
        config=json.dumps(dataclasses.asdict(config)),
        note="After the deletion every row is generated, and the error still settles: rows of many models average "
        "their errors out. What collapses is forgetting: with a window the error grows by a constant in each round.",
    )
    return data


def _deleted(at: int, rounds: int) -> np.ndarray:
    return linear.deleted_mse_exact(sigma=1.0, n_real=ROWS, n_per_round=ROWS, rounds=rounds, at=at)


def compare(data: xr.Dataset) -> list[Claim]:
    """Bounded after deletion, linear with a window, exact lines."""
    rows, last = [], data.sizes["round"] - 1
    for at, ever in zip(data["at"].to_numpy(), data["ever"].to_numpy(), strict=True):
        one = data.sel(workflow=f"real rows deleted at round {at}")
        got = Estimate(float(one["growth"]), float(one["growth_se"]))
        rows.append(
            claims.below(
                f"“any deletion of the real rows collapses”: it does not, deleted at round {at} "
                f"(factor for ever, exact: {ever:.2f})",
                CLAIM,
                f"error of round {last} over that of round {last // 2}",
                got,
                SETTLED,
            )._replace(
                qualifier="only forgetting collapses (a window): rows of many models average their errors out"
            )
        )
    window = data.sel(workflow=f"window of {WINDOW} rounds")
    theory = window["error_theory"].to_numpy()
    span = last - last // 2
    target = float(theory[last] - theory[last // 2]) / span
    grown = float(window["error"][last] - window["error"][last // 2]) / span
    error = float(np.hypot(window["error_se"][last], window["error_se"][last // 2])) / span
    rows.append(
        claims.within(
            "a sliding window does collapse: its error grows by the same in every round",
            DERIVED,
            "growth a round over the exact one, last half",
            Estimate(grown / target, error / target),
            1.0,
            GROWTH_TOLERANCE,
        )
    )
    early = data.isel(workflow=1)["error"][last], data.isel(workflow=1)["error_se"][last]
    late = data.isel(workflow=-2)["error"][last], data.isel(workflow=-2)["error_se"][last]
    gap = Estimate(float(early[0] - late[0]), float(np.hypot(early[1], late[1])))
    words = "the later the real rows go, the less it costs"
    rows.append(
        claims.above(words, DERIVED, "error with the earliest deletion less that with the latest", gap, 0.0)
    )
    rows.append(
        curves.on_line(
            data, "the exact errors lie on the simulation", DERIVED, "errors by workflow and round"
        )
    )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """One panel; computes nothing."""
    figure = style.blank(7.6, 4.6)
    style.heading(figure, data.attrs["heading"])
    axis = figure.subplots()
    at = curves.some(data.sizes["round"] - 1)
    colors = ("#009E73", "#56B4E9", "#0072B2", "#332288", "#D55E00")
    for i, color in enumerate(colors[: data.sizes["workflow"]]):
        one = data.isel(workflow=i)
        curves.draw(
            axis, at, one["error"][at], one["error_se"][at], one["round"][1:], one["error_theory"][1:],
            color=color, label=str(one["workflow"].item()), marker="so^vD"[i],
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="round k", ylabel="squared error over that of the first fit")
    ticks = [1, 2, 3, 5, 10, 20]
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.legend(loc="upper left")
    return figure
