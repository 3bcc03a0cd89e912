"""Fresh real rows in every round: how much should they weigh? For as many real as generated rows, 0.618."""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves
from theory.workflows import fresh_real as theory
from theory.workflows import linear

NAME = "mixing-golden-ratio"
HE, DERIVED = "He et al., arXiv 2502.18049", "derived here"
ROWS = 60  # of a mean's round, real and generated
GOLDEN = (np.sqrt(5) - 1) / 2
PLACE = 0.04  # tolerance of a best weight
FINE = np.linspace(0.08, 1, 93)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 30
    few_rounds: int = 12  # of least squares, and of reused rows
    shares: tuple[float, ...] = (0.2, 0.5, 0.8)  # of real rows among a round's
    weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    dims: tuple[int, ...] = (6, 24)  # of least squares on 60 + 60 rows
    seed: int = 0


SCALES = {
    "quick": Config(chains=1_500),
    "small": Config(chains=10_000),
    "paper": Config(chains=20_000),
}


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (share, weight): error of a mean; by (dim, weight): of least squares; by (window): real rows reused."""
    weights = list(config.weights)
    mean = sc.sweep(
        curves.mean_task(),
        "none",
        sc.fresh_real(0.5, weight=0.5),
        over={"workflow.share": list(config.shares), "workflow.weight": weights},
        n_real=ROWS,
        n_per_round=ROWS,
        rounds=config.rounds,
        chains=config.chains,
        seed=config.seed,
    )["squared_error"].isel(round=-1)
    names = {"workflow.share": "share", "workflow.weight": "weight"}
    data = curves.over_chains(mean.rename(names).drop_vars("round"), "mean") * ROWS
    parts = [(s * ROWS, (1 - s) * ROWS) for s in config.shares]

    def settled(w):
        return [
            [
                theory.mean_mse_limit(sigma=1.0, n_real=n, n_synthetic=m, real_weight=float(x)) * ROWS
                for x in w
            ]
            for n, m in parts
        ]

    data["mean_theory"] = ("share", "weight"), settled(weights)
    data["mean_line"] = ("share", "fine"), settled(FINE)
    data["best"] = "share", [theory.mean_best_weight_exact(n_real=n, n_synthetic=m) for n, m in parts]

    fits = [_least_squares(config, dim) for dim in config.dims]
    data = data.merge(curves.joined(fits, "dim", list(config.dims)), join="exact")
    data = data.merge(_reused(config), join="exact").assign_coords(fine=FINE, weight=weights)
    data.attrs.update(
        title="the best weight of fresh real rows, and the golden ratio",
        heading="every round sees fresh real rows of total weight w and rows of the last model of weight 1 − w; "
        f"errors after {config.rounds} rounds.\nLines: closed forms; points: simulation, bars of two standard errors",
        rounds=config.rounds,
        config=json.dumps(dataclasses.asdict(config)),
        note="0.618 is exact for a mean; for row-weighted least squares it is the limit of few coefficients per row. "
        "Real rows that are the same in every round are best used alone.",
    )
    return data


def _least_squares(config: Config, dim: int) -> xr.Dataset:
    """Row-weighted least squares on 60 real and 60 generated rows, error in units of sigma^2 d/n."""
    weights = [w for w in config.weights if 0.25 < w < 1]  # settled after these few rounds
    result = sc.sweep(
        sc.linear_regression(dim),
        "none",
        sc.fresh_real(0.5, weight=0.5),
        over={"workflow.weight": weights},
        n_real=2 * ROWS,
        n_per_round=2 * ROWS,
        rounds=config.few_rounds,
        chains=max(200, config.chains // 5),
        seed=config.seed + 1,
    )["squared_error"].isel(round=-1)
    out = curves.over_chains(result.rename({"workflow.weight": "row_weight"}).drop_vars("round"), "rows")
    out = out * (ROWS / dim)
    fine = np.linspace(0.25, 0.95, 71)
    line = [
        theory.weighted_mse_asymptotic(
            dim=dim, sigma=1.0, n_real=ROWS, n_synthetic=ROWS, real_weight=float(w)
        )
        * (ROWS / dim)
        for w in fine
    ]
    at = np.interp(weights, fine, line)
    return out.assign(
        rows_theory=("row_weight", at),
        rows_line=("row_fine", line),
        rows_best=theory.weighted_best_weight_asymptotic(dim=dim, n_real=ROWS, n_synthetic=ROWS),
    ).assign_coords(row_weight=weights, row_fine=fine)


def _reused(config: Config) -> xr.Dataset:
    """The same real rows in every round, pooled with more and more generated ones; against fresh real rows."""
    ratios, n = [0.5, 1.0, 2.0], 20
    found, exact, fresh = [], [], []
    for i, ratio in enumerate(ratios):
        m = round(ratio * n)
        result = sc.simulate(
            curves.mean_task(),
            "none",
            sc.sliding_window(1, keep_real=True),
            n_real=n,
            n_per_round=m,
            rounds=config.few_rounds,
            chains=config.chains,
            seed=config.seed + 10 + i,
        )["squared_error"].isel(round=-1)
        found.append(curves.over_chains(result.drop_vars("round"), "reused") * n)
        batches = linear.rounds_of(n, m, config.few_rounds)
        table = linear.windowed(batches, rounds=1, keep_real=True)
        exact.append(n * linear.mean_mse_exact(sigma=1.0, batches=batches, weights=table)[-1])
        fresh.append(n * theory.mean_mse_limit(sigma=1.0, n_real=n, n_synthetic=m, real_weight=n / (n + m)))
    out = curves.joined(found, "ratio", ratios)
    return out.assign(reused_theory=("ratio", exact), fresh_line=("ratio", fresh))


def compare(data: xr.Dataset) -> list[Claim]:
    """Where simulated errors are least; points on the closed forms; reused rows."""
    rows = [
        claims.within(
            "the best weight for as many real as generated rows is the reciprocal golden ratio",
            HE,
            "vertex of a parabola through the simulated errors",
            _vertex(data.sel(share=0.5, method="nearest")),
            float(GOLDEN),
            PLACE,
        )._replace(
            qualifier="exact for a mean and mixed labels; weighted rows need more by order d/n, a variance by 1/n"
        )
    ]
    for share in (float(s) for s in data["share"] if abs(float(s) - 0.5) > 1e-6):
        one = data.sel(share=share, method="nearest")
        rows.append(
            claims.within(
                f"… and (√(a² + 4a) − a)/2 for a = {share / (1 - share):g} real rows to one generated",
                HE,
                "vertex of a parabola through the simulated errors",
                _vertex(one),
                float(one["best"]),
                PLACE,
            )
        )
    rows.append(curves.on_line(data, "(E1) lies on the simulation", HE, "errors by share and weight", "mean"))
    rows.append(
        claims.on_line(
            "(E6), the limit of many rows and coefficients, lies on row-weighted least squares",
            DERIVED,
            "errors by dimension and weight, relative",
            (data["rows"] / data["rows_theory"] - 1).to_numpy().ravel(),
            (data["rows_se"] / data["rows_theory"]).to_numpy().ravel(),
            0.05,
        )
    )
    more = data["rows_best"].to_numpy()
    rows.append(
        claims.above(
            "qualifier: row-weighted least squares with many coefficients wants more real weight than 0.618",
            DERIVED,
            f"best weight at d = {int(data['dim'][-1])}, n = {ROWS} (closed form)",
            Estimate(float(more[-1]), 0.0),
            float(GOLDEN),
        )
    )
    rows.append(
        curves.on_line(
            data, "the same real rows every round: (E7) lies on the simulation", DERIVED, "ratios", "reused"
        )
    )
    least = data.isel(ratio=int(np.argmin((data["reused"] - 3 * data["reused_se"]).to_numpy())))
    rows.append(
        claims.above(
            "generated rows never help where the same real rows are reused",
            DERIVED,
            "least error over that of the real rows alone",
            Estimate(float(least["reused"]), float(least["reused_se"])),
            1.0,
        )
    )
    return rows


def _vertex(one: xr.Dataset) -> Estimate:
    """Vertex of a weighted parabola through the errors at the five weights around the least one, in log error."""
    weight, error, se = (one[v].to_numpy() for v in ("weight", "mean", "mean_se"))
    middle = int(np.clip(np.argmin(np.abs(weight - float(one["best"]))), 2, len(weight) - 3))
    near = slice(middle - 2, middle + 3)
    x, y, s = weight[near], np.log(error[near]), se[near] / error[near]
    # the same fit to the closed form shows how far a parabola's vertex is from the minimum: taken off
    bias = _fit(x, np.log(one["mean_theory"].to_numpy()[near]), s)[0] - float(one["best"])
    value, spread = _fit(x, y, s)
    return Estimate(value - bias, spread)


def _fit(x, y, s) -> tuple[float, float]:
    coefficients, covariance = np.polyfit(x, y, 2, w=1 / s, cov="unscaled")
    a, b, _ = coefficients
    slope = np.array([b / (2 * a**2), -1 / (2 * a), 0.0])
    return float(-b / (2 * a)), float(np.sqrt(slope @ covariance @ slope))


def draw(data: xr.Dataset) -> Figure:
    """Three panels; computes nothing."""
    figure = style.blank(11.0, 4.3)
    style.heading(figure, data.attrs["heading"])
    first, second, third = figure.subplots(1, 3)
    for i, color in enumerate(curves.COLORS[: data.sizes["share"]]):
        one = data.isel(share=i)
        share = float(one["share"])
        words = f"a = {share / (1 - share):g} real to one generated"
        curves.draw(
            first,
            one["weight"],
            one["mean"],
            one["mean_se"],
            one["fine"],
            one["mean_line"],
            color=color,
            label=words,
        )
        _star(
            first,
            float(one["best"]),
            float(np.interp(float(one["best"]), one["fine"], one["mean_line"])),
            color,
        )
    first.axvline(GOLDEN, color="black", linewidth=0.7, linestyle=":")
    first.set(title="a  estimating a mean", ylabel=f"squared error × {ROWS}/σ²", yscale="log")
    for i, color in enumerate(curves.COLORS[3 : 3 + data.sizes["dim"]]):
        one = data.isel(dim=i)
        words = f"d = {int(one['dim'])}, n = m = {ROWS}"
        curves.draw(
            second, one["row_weight"], one["rows"], one["rows_se"], one["row_fine"], one["rows_line"],
            color=color, label=words,
        )  # fmt: skip
        _star(second, float(one["rows_best"]), float(one["rows_line"].min()), color)
    second.axvline(GOLDEN, color="black", linewidth=0.7, linestyle=":")
    second.set(title="b  least squares, rows weighted", ylabel="squared error × n/(σ² d)", yscale="log")
    for axis in (first, second):
        axis.set_xlabel("weight w of the real rows")
        axis.legend(loc="upper right")
        axis.set_ylim(top=axis.get_ylim()[1] * 1.8)
    x = data["ratio"]
    curves.draw(
        third, x, data["reused"], data["reused_se"], x, data["reused_theory"],
        color=curves.COLORS[4], label="the same real rows",
    )  # fmt: skip
    third.plot(x, data["fresh_line"], color=curves.COLORS[0], label="fresh real rows")
    third.axhline(1, color="black", linewidth=0.7)
    third.set(title="c  fresh or the same real rows", xscale="log", xlabel="generated rows for one real row")
    third.set_ylabel("squared error × n/σ², rows pooled")
    third.set_xticks(list(x.to_numpy()), [f"{v:g}" for v in x.to_numpy()], minor=False)
    third.minorticks_off()
    third.set_ylim(top=third.get_ylim()[1] + 0.3)
    third.legend(loc="upper left")
    return figure


def _star(axis: Axes, x: float, y: float, color: str) -> None:
    axis.plot([x], [y], marker="*", markersize=12, color=color, markeredgecolor="black", zorder=5)
