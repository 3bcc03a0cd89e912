"""What generated rows are worth beside real ones: by the quality of their generator, and by task."""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import curve_fit

import simcollapse as sc
from simcollapse.reproduce import claims, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves

NAME = "kazdan-value"
KAZDAN, DERIVED = "[Kazdan24], section 4", "derived here"
REAL = 40  # rows that the model is trained on, beside generated ones
OUTCOMES = 20
SHARE_TOLERANCE = 0.05  # of a fitted best share, beyond the interval


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    qualities: tuple[float, ...] = (0.25, 0.5, 1.0, 4.0)  # real rows of the generator over those of the model
    ratios: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # generated rows over real ones
    seed: int = 0


SCALES = {
    "quick": Config(chains=10_000),
    "small": Config(chains=30_000),
    "paper": Config(chains=50_000, ratios=(0.05, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)),
}


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (task, quality, ratio): error over that of the real rows alone, simulated and exact."""
    tasks = {"regression": curves.mean_task(), "a Gaussian's mean": sc.gaussian(1, estimator="unbiased")}
    tasks[f"shares of {OUTCOMES} outcomes"] = sc.discrete(outcomes=OUTCOMES)
    alone = [1 / REAL, 1 / REAL, (1 - 1 / OUTCOMES) / REAL]  # squared error of the real rows alone, exact
    parts = [
        xr.concat(
            [_one_quality(task, one, q, config, i) for q in config.qualities],
            xr.Variable("quality", list(config.qualities)),
        )
        for i, (task, one) in enumerate(zip(tasks.values(), alone, strict=True))
    ]
    data = curves.joined(parts, "task", list(tasks)).assign_coords(ratio=list(config.ratios))
    fine = np.geomspace(min(config.ratios), max(config.ratios), 80)
    data["error_theory"] = (
        ("task", "quality", "ratio"),
        [[[_exact(q, r, t) for r in config.ratios] for q in config.qualities] for t in (False, False, True)],
    )
    data["line"] = ("quality", "fine"), [[_exact(q, r) for r in fine] for q in config.qualities]
    data["best"] = ("quality", [_best_share(q) for q in config.qualities])
    reused = [_reused(config, r, i) for i, r in enumerate(config.ratios)]
    data = data.merge(curves.joined(reused, "ratio", list(config.ratios)))
    data["same_theory"] = ("ratio", [1 + r / (1 + r) ** 2 for r in config.ratios])
    data = data.assign_coords(fine=fine)
    data.attrs.update(
        title="when a little generated data helps",
        heading=f"{REAL} real rows and r × {REAL} generated ones, pooled; the generator was fitted to g × {REAL} real "
        "rows of its own.\nError over that of the real rows alone; lines: exact; points: simulation",
        config=json.dumps(dataclasses.asdict(config)),
        note="A little helps whenever the generator saw other real rows, however few: its errors are new. The best "
        "share of generated rows is g/2 for g < 2, and all that can be had beyond. Rows of a model fitted to the same "
        "real rows never help these unbiased fits.",
    )
    return data


def _one_quality(task, alone: float, quality: float, config: Config, number: int) -> xr.Dataset:
    """Round 0 is the generator; the one round after it mixes its rows with fresh real ones."""
    parts = []
    for ratio in config.ratios:
        generated = round(ratio * REAL)
        result = sc.simulate(
            task,
            "none",
            sc.fresh_real(REAL / (REAL + generated)),
            n_real=round(quality * REAL),
            n_per_round=REAL + generated,
            rounds=1,
            chains=config.chains,
            seed=int(
                np.random.SeedSequence(
                    [config.seed, number, round(1000 * quality), generated]
                ).generate_state(1)[0]
            ),
            engine="auto",
        )["squared_error"].isel(round=1, drop=True)
        parts.append(curves.over_chains(result) / alone)
    return curves.joined(parts, "ratio", list(config.ratios))


def _reused(config: Config, ratio: float, number: int) -> xr.Dataset:
    """Rows of a model that was fitted to the very real rows that they are pooled with."""
    result = sc.simulate(
        curves.mean_task(),
        "none",
        sc.accumulate(),
        n_real=REAL,
        n_per_round=round(ratio * REAL),
        rounds=1,
        chains=8 * config.chains,
        seed=config.seed + 100 + number,
        engine="auto",
    )["squared_error"].isel(round=1, drop=True)
    return curves.over_chains(result, "same") * REAL


def _exact(quality: float, ratio: float, discrete: bool = False) -> float:
    """E|fit - truth|^2 over that of n real rows, for these and r n rows of a model fitted to g n others.

    1/(1 + r) + r^2/(g (1 + r)^2): the rows' own errors, and the generator's with the squared share of its rows. The
    variance of a draw of fitted shares is 1 - 1/(g n) times the truth's (`discrete`).
    """
    own = 1 - 1 / round(quality * REAL) if discrete else 1.0
    return (1 + own * ratio) / (1 + ratio) ** 2 + ratio**2 / (quality * (1 + ratio) ** 2)


def _best_share(quality: float) -> float:
    """The share r/(1+r) of generated rows that makes `_exact` least: g/2, at most 1."""
    return min(1.0, quality / 2)


def compare(data: xr.Dataset) -> list[Claim]:
    """A little helps; more hurts with a weak generator; the best share; reused rows never help."""
    mean = data.isel(task=0)
    rows = []
    for q in (float(v) for v in data["quality"]):
        one = mean.sel(quality=q)
        little = one.isel(ratio=0)
        got = Estimate(float(little["error"]), float(little["error_se"]))
        words = f"a little generated data helps, from a generator with {q:g} times the real rows"
        quantity = f"error over that of the real rows alone, r = {float(little['ratio']):g}"
        rows.append(claims.below(words, DERIVED, quantity, got, 1.0))
        much = one.isel(ratio=-1)
        got = Estimate(float(much["error"]), float(much["error_se"]))
        if q < 1:
            rows.append(claims.above("… and much of it hurts", KAZDAN, "the same at the largest r", got, 1.0))
        elif q > 1:
            rows.append(
                claims.below("… and much of it helps more", KAZDAN, "the same at the largest r", got, 0.5)
            )
        if q < 2:
            share, error = _fitted_share(one)
            words = f"the best share of generated rows is g/2 (g = {q:g})"
            got = Estimate(share, error)
            rows.append(
                claims.within(words, DERIVED, "best share of the fitted law", got, q / 2, SHARE_TOLERANCE)
            )
    for i, task in enumerate(data["task"].to_numpy()):
        words = f"the exact law holds: {task}"
        rows.append(curves.on_line(data.isel(task=i), words, DERIVED, "errors by quality and ratio"))
    least = data.isel(ratio=int(np.argmin((data["same"] - 3 * data["same_se"]).to_numpy())))
    got = Estimate(float(least["same"]), float(least["same_se"]))
    words = "rows of a model fitted to the same real rows never help an unbiased fit"
    rows.append(claims.above(words, DERIVED, "least error over that of the real rows alone", got, 1.0))
    return rows


def _fitted_share(one: xr.Dataset) -> tuple[float, float]:
    """Best share of the law error = 1 - s + s^2/g in the share s, with g fitted to the simulated errors."""
    share = (one["ratio"] / (1 + one["ratio"])).to_numpy()
    (weight,), covariance = curve_fit(
        lambda s, w: 1 - s + w * s**2,
        share,
        one["error"].to_numpy(),
        p0=[1.0],
        sigma=one["error_se"].to_numpy(),
        absolute_sigma=True,
    )
    return float(1 / (2 * weight)), float(np.sqrt(covariance[0, 0]) / (2 * weight**2))


def draw(data: xr.Dataset) -> Figure:
    """Two panels; computes nothing."""
    figure = style.blank(9.6, 4.6)
    style.heading(figure, data.attrs["heading"])
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    mean = data.isel(task=0)
    for i, color in enumerate(curves.COLORS[: data.sizes["quality"]]):
        one = mean.isel(quality=i)
        curves.draw(
            left, one["ratio"], one["error"], one["error_se"], one["fine"], one["line"],
            color=color, label=f"g = {float(one['quality']):g}",
        )  # fmt: skip
    x = data["ratio"]
    curves.draw(
        left,
        x,
        data["same"],
        data["same_se"],
        x,
        data["same_theory"],
        color="#777777",
        label="same real rows",
        marker="D",
    )
    left.axhline(1, color="black", linewidth=0.7)
    left.set(xscale="log", yscale="log", xlabel="generated rows for one real row, r", title="a  a mean")
    left.set_ylabel("error over that of the real rows alone")
    left.set_xticks(list(x.to_numpy()), [f"{v:g}" for v in x.to_numpy()])
    ticks = [0.3, 0.5, 0.7, 1, 1.5, 2, 3]
    left.set_yticks(ticks, [f"{t:g}" for t in ticks])
    left.minorticks_off()
    left.legend(loc="upper left", ncols=2)
    for i, marker in enumerate("so^"[: data.sizes["task"]]):
        for j, color in enumerate(curves.COLORS[: data.sizes["quality"]]):
            one = data.isel(task=i, quality=j)
            words = str(one["task"].item()) if j == 0 else None
            right.errorbar(
                one["error_theory"], one["error"], 2 * one["error_se"], color=color, marker=marker, linestyle="none",
                elinewidth=1.0, label=words,
            )  # fmt: skip
    low, high = 0.2, float(data["error_theory"].max()) * 1.1
    right.plot([low, high], [low, high], **style.THEORY)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="exact",
        ylabel="simulated",
        title="b  three tasks, one law",
    )
    for axis in (right.xaxis, right.yaxis):
        axis.set_ticks(ticks, [f"{t:g}" for t in ticks])
    right.minorticks_off()
    right.legend(loc="upper left")
    return figure
