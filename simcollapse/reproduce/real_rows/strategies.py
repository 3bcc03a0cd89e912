"""A fixed training budget, drawn from all rows so far: how should they be drawn?"""

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
from theory.workflows import first_order, linear

NAME = "subsample-strategies"
DERIVED = "derived here"
KAZDAN = "[Kazdan24], section 2"
ROWS = 32
RADIUS = 1.5  # of the verifier's ball about the truth, in noise sd
GROWTH = 1.25  # of the error from the middle round to the last; replace doubles it. Less is called a plateau
AS_GOOD = 1.2  # error over that of uniform draws, up to which a strategy is called as good


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 40
    decays: tuple[float, ...] = (0.9, 0.5)
    seed: int = 0


SCALES = {
    "quick": Config(chains=1_500, rounds=24),
    "small": Config(chains=4_000, rounds=100),
    "paper": Config(chains=8_000, rounds=100),
}


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (strategy, round): squared error of a mean, and trace of a Gaussian's covariance, with the same budget."""
    uniform, stratified = sc.accumulate_subsample(), sc.accumulate_subsample(strategy="stratified")
    named = {
        "uniform": (uniform, "none"),
        "stratified": (stratified, "none"),
        **{
            f"age, decay {x:g}": (sc.accumulate_subsample(strategy="age", decay=x), "none")
            for x in config.decays
        },
        "replace (same budget)": (sc.replace(), "none"),
        "uniform of verified rows": (uniform, "ball"),
        "rejected rows weigh 0.2": (
            sc.accumulate_subsample(strategy="verifier", rejected_weight=0.2),
            "ball",
        ),
    }
    parts = []
    for i, (workflow, judge) in enumerate(named.values()):
        verifier = sc.knowledge_ball(bias=0.0, radius=RADIUS) if judge == "ball" else "none"
        result = sc.simulate(
            curves.mean_task(),
            verifier,
            workflow,
            n_real=ROWS,
            n_per_round=ROWS,
            rounds=config.rounds,
            chains=config.chains,
            seed=config.seed + i,
            audit=False,
            engine="auto",
        )["squared_error"]
        parts.append((curves.over_chains(result) * ROWS).merge(curves.growth(result)))
    data = curves.joined(parts, "strategy", list(named))
    exact = np.full((len(named), config.rounds + 1), np.nan)
    exact[0] = _uniform(config.rounds)
    exact[2 + len(config.decays)] = 1 + np.arange(config.rounds + 1)
    data["error_theory"] = ("strategy", "round"), exact
    limit = first_order.error_factor_limit(workflow="accumulate_subsample")
    data.attrs.update(
        title="a fixed budget: uniform and stratified draws plateau, young rows collapse, a verifier repays its cost",
        heading=f"estimating a mean: {ROWS} rows generated a round, all kept, every fit sees {ROWS} of them; squared "
        "error over that of the first fit.\nLines: exact where known; points: simulation, bars of two standard errors",
        limit=limit,
        config=json.dumps(dataclasses.asdict(config)),
        note=f"The verifier keeps rows within {RADIUS:g} noise sd of the truth: no paper has these strategies; the "
        "published one is uniform.",
    )
    return data


def _uniform(rounds: int) -> np.ndarray:
    """Exact error of a mean with known variance under accumulate-subsample (B6), rounds 0..K, over the first fit's."""
    return ROWS * linear.subsampled_mse_recursion(sigma=1.0, n_per_round=ROWS, rounds=rounds)


def compare(data: xr.Dataset) -> list[Claim]:
    """Which strategies plateau and which grow, and what a verifier is worth."""
    last = data.sizes["round"] - 1
    rows = []
    for name in ("uniform", "stratified"):
        got = _growth(data.sel(strategy=name))
        words = f"{name} draws plateau"
        source = KAZDAN if name == "uniform" else DERIVED
        rows.append(claims.below(words, source, f"error of round {last} over round {last // 2}", got, GROWTH))
    young = [str(s) for s in data["strategy"].to_numpy() if str(s).startswith("age")][-1]
    for name in (young, "replace (same budget)"):
        got = _growth(data.sel(strategy=name))
        words = f"preferring young rows collapses ({name})"
        rows.append(
            claims.above(words, DERIVED, f"error of round {last} over round {last // 2}", got, GROWTH)
        )
    for name, words in (
        ("stratified", "stratified draws are as good as uniform ones"),
        ("uniform of verified rows", "verified rows are better than all rows"),
        ("rejected rows weigh 0.2", "rejected rows at a fifth of the weight still leave a verifier's gain"),
    ):
        one, base = data.sel(strategy=name).isel(round=last), data.sel(strategy="uniform").isel(round=last)
        ratio = float(one["error"] / base["error"])
        spread = ratio * float(np.hypot(one["error_se"] / one["error"], base["error_se"] / base["error"]))
        limit = 1.0 if name != "stratified" else AS_GOOD
        quantity = f"error over that of uniform draws, round {last}"
        rows.append(claims.below(words, DERIVED, quantity, Estimate(ratio, spread), limit))
    rows.append(curves.on_line(data, "the exact errors lie on the simulation", DERIVED, "errors by round"))
    return rows


def _growth(one: xr.Dataset) -> Estimate:
    return Estimate(float(one["growth"]), float(one["growth_se"]))


def draw(data: xr.Dataset) -> Figure:
    """One panel; computes nothing."""
    figure = style.blank(8.4, 4.8)
    style.heading(figure, data.attrs["heading"])
    axis = figure.subplots()
    at = curves.some(data.sizes["round"] - 1)
    colors = ("#CC79A7", "#882255", "#E69F00", "#D55E00", "#0072B2", "#009E73", "#56B4E9")
    for i, color in enumerate(colors[: data.sizes["strategy"]]):
        one = data.isel(strategy=i)
        line = one["error_theory"][1:] if np.isfinite(one["error_theory"]).any() else one["error"][1:]
        dotted = None if np.isfinite(one["error_theory"]).any() else {"linestyle": ":"}
        curves.draw(
            axis, at, one["error"][at], one["error_se"][at], one["round"][1:], line,
            color=color, label=str(one["strategy"].item()), marker="soDv^PX"[i], style_of=dotted,
        )  # fmt: skip
    axis.axhline(data.attrs["limit"], color="black", linewidth=0.7, linestyle=":")
    axis.set(xscale="log", yscale="log", xlabel="round k", ylabel="squared error over that of the first fit")
    style.legend_below(figure, [axis], 3)
    return figure
