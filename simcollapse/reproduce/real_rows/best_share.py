"""How many generated rows to add to n real ones: a law for the best share, fitted to simulations."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import norm

import simcollapse as sc
from simcollapse.reproduce import claims, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves

NAME = "best-share"
DERIVED = "derived here"
GENERATOR = 40  # real rows that the generator was fitted to, others than the model's
BANDWIDTH = 0.4  # of the density estimate and of its generator
OUTCOMES = 20
POWER_TOLERANCE, FACTOR_TOLERANCE = 0.1, 0.1  # of the exponent; relative, of the factor


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    kde_chains: int  # 0 for no density estimate: each n compiles a program of its own
    n_real: tuple[int, ...] = (10, 20, 40, 80, 160, 320)
    shares: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75)  # of generated rows
    seed: int = 0


SCALES = {
    "quick": Config(chains=4_000, kde_chains=0, n_real=(20, 40, 80, 160)),
    "small": Config(chains=40_000, kde_chains=2_000),
    "paper": Config(chains=60_000, kde_chains=3_000),
}


class _Task(NamedTuple):
    make: Callable[[], Any]
    metric: str
    kde: bool = False
    counts: bool = False  # shares of outcomes are fitted


TASKS = {
    "a mean": _Task(curves.mean_task, "squared_error"),
    "a Gaussian's mean": _Task(lambda: sc.gaussian(1, estimator="unbiased"), "squared_error"),
    f"shares of {OUTCOMES} outcomes": _Task(
        lambda: sc.discrete(outcomes=OUTCOMES), "squared_error", counts=True
    ),
    "a kernel density": _Task(
        lambda: sc.kde(1, bandwidth=BANDWIDTH, test=norm.ppf((np.arange(50) + 0.5) / 50)[:, None]),
        "nll",
        kde=True,
    ),
}
REGULAR = tuple(name for name, task in TASKS.items() if not task.kde)


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (task, n_real, share): loss, mean over chains; by (task, n_real): best share of the law fitted to them, its
    standard error, and the exact one; by task: the power law of the best share over n_real.
    """
    by = ("task", "n_real", "share")
    tasks = tuple(TASKS) if config.kde_chains else REGULAR
    shape = (len(tasks), len(config.n_real), len(config.shares))
    loss, error = np.zeros(shape), np.zeros(shape)
    for place in np.ndindex(*shape):
        loss[place], error[place] = _loss(config, *place)
    data = xr.Dataset(
        {"loss": (by, loss), "loss_se": (by, error)},
        coords={"task": list(tasks), "n_real": list(config.n_real), "share": list(config.shares)},
    )
    fits = [[_best(config, j, loss[i, j], error[i, j]) for j in range(shape[1])] for i in range(shape[0])]
    data["best"] = ("task", "n_real"), [[fit.value for fit in row] for row in fits]
    data["best_se"] = ("task", "n_real"), [[fit.error for fit in row] for row in fits]
    theory = [[min(1.0, exact_share(n, TASKS[name])) for n in config.n_real] for name in tasks]
    data["best_theory"] = ("task", "n_real"), theory
    laws = [power_law(data["n_real"].to_numpy(), row) for row in fits]
    for name, values in zip(("power", "factor"), zip(*laws, strict=True), strict=True):
        data[name] = "task", [one.value for one in values]
        data[f"{name}_se"] = "task", [one.error for one in values]
    data.attrs.update(
        title="a law for the best share of generated rows",
        heading=f"n real rows, and generated ones of share s of all; the generator was fitted to {GENERATOR} real rows "
        "of its own\npoints: best share, from a parabola in s through the simulated losses, with two standard errors\n"
        "black: exact, G/(2n), of outcomes (G + 1)/(2(n + 1)); dotted: power law fitted to the points",
        config=json.dumps(dataclasses.asdict(config)),
        note="Only n with a best share inside the simulated ones enter the fitted law. A density estimate's generator "
        f"smooths the data (bandwidth {BANDWIDTH:g}) and its rows smooth the estimate once more, so they are worth "
        "another amount than independent rows.",
    )
    return data


def _loss(config: Config, i: int, j: int, k: int) -> tuple[float, float]:
    """Mean loss of n real rows and generated ones of a share, and its standard error."""
    task, n = list(TASKS.values())[i], config.n_real[j]
    generated = _generated(n, config.shares[k])
    result = (
        sc.simulate(
            task.make(),
            "none",
            sc.fresh_real(n / (n + generated)),
            n_real=GENERATOR,
            n_per_round=n + generated,
            rounds=1,
            chains=config.kde_chains if task.kde else config.chains,
            seed=int(np.random.SeedSequence([config.seed, 23, i, j, k]).generate_state(1)[0]),
            audit=False,
            engine="auto",
            room=n + _generated(n, max(config.shares)) if task.kde else None,  # one program for all shares
            progress=False,
        )[task.metric]
        .isel(round=1)
        .astype(float)
    )
    return float(result.mean()), float(result.std(ddof=1) / np.sqrt(result.size))


def exact_share(n: int, task: _Task) -> float:
    """The best share s of generated rows to add to n real ones, for a generator fitted to G rows of its own.

    The loss of a mean is (1 - s)^2/n of the real rows, s^2/G of the generator and s (1 - s) v/n of its rows, where v is
    the variance of a generated row over that of a real one. v = 1 for an unbiased generator: s = G/(2n). Shares of
    outcomes have v = 1 - 1/G: s = (G + 1)/(2(n + 1)). Of a density estimate it is the former, for comparison.
    """
    return (GENERATOR + 1) / (2 * (n + 1)) if task.counts else GENERATOR / (2 * n)


def _generated(n: int, share: float) -> int:
    return round(n * share / (1 - share))


def _best(config: Config, j: int, loss: np.ndarray, error: np.ndarray) -> Estimate:
    """Vertex of the parabola in the share that fits the losses best: for a mean the loss is one, 1 - s + s^2 n/G."""
    n = config.n_real[j]
    share = np.array([_generated(n, s) / (n + _generated(n, s)) for s in config.shares])
    (a, b, _), covariance = np.polyfit(share, loss, 2, w=1 / error, cov="unscaled")
    slope = np.array([b / (2 * a**2), -1 / (2 * a), 0.0])
    return Estimate(float(-b / (2 * a)), float(np.sqrt(slope @ covariance @ slope)))


def power_law(n_real: np.ndarray, best: list[Estimate]) -> tuple[Estimate, Estimate]:
    """Exponent p and factor c of best share = c (G/n)^p, by weighted least squares of logs."""
    inside = [i for i, one in enumerate(best) if 4 * one.error < one.value < 0.7]
    if len(inside) < 3:
        nothing = Estimate(float("nan"), float("nan"))
        return nothing, nothing
    x = np.log(GENERATOR / n_real[inside])
    y = np.log([best[i].value for i in inside])
    spread = np.array([best[i].error / best[i].value for i in inside])
    (power, log_factor), covariance = np.polyfit(x, y, 1, w=1 / spread, cov="unscaled")
    factor = float(np.exp(log_factor))
    return (
        Estimate(float(power), float(np.sqrt(covariance[0, 0]))),
        Estimate(factor, factor * float(np.sqrt(covariance[1, 1]))),
    )


def compare(data: xr.Dataset) -> list[Claim]:
    """The fitted law, its exponent and factor by task; that it is the exact one."""
    rows = []
    for name in REGULAR:
        one = data.sel(task=name)
        rows += [
            claims.within(
                f"the best share falls as 1/n ({name})",
                DERIVED,
                "fitted exponent of G/n",
                Estimate(float(one["power"]), float(one["power_se"])),
                1.0,
                POWER_TOLERANCE,
            ),
            claims.within(
                "… with the factor 1/2: half as many generated rows as their generator saw real ones, whatever n",
                DERIVED,
                "fitted factor",
                Estimate(float(one["factor"]), float(one["factor_se"])),
                0.5,
                FACTOR_TOLERANCE * 0.5,
            ),
        ]
    inside = data["best_theory"] < 0.7
    off = (data["best"] - data["best_theory"]).sel(task=list(REGULAR)).where(inside)
    z, number = off / data["best_se"], int(off.notnull().sum())
    rows.append(
        claims.largest_z(
            "the best share is G/(2n), of shares of outcomes (G + 1)/(2(n + 1))",
            DERIVED,
            "best shares by task and n",
            float(abs(z).max()),
            number,
        )
    )
    if data.sizes["task"] == len(REGULAR):
        return rows
    few = data.isel(task=-1, n_real=-1)
    rows.append(
        claims.above(
            "a density estimate of fixed bandwidth gains less from them: its losses are least at a smaller share",
            DERIVED,
            f"G/(2n) less the best share at n = {int(few['n_real'])}",
            Estimate(float(few["best_theory"] - few["best"]), float(few["best_se"])),
            0.0,
        )
    )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """Best share over n, and the losses behind one of them; computes nothing."""
    figure = style.blank(9.6, 4.6)
    style.heading(figure, data.attrs["heading"])
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    n = data["n_real"].to_numpy()
    left.plot(n, data["best_theory"].isel(task=0), **style.THEORY, label="G/(2n)")
    shift = np.exp(np.linspace(-0.04, 0.04, data.sizes["task"]))
    middle = data.sizes["n_real"] // 2
    for i, (color, marker) in enumerate(zip(curves.COLORS, "so^D"[: data.sizes["task"]], strict=False)):
        one = data.isel(task=i)
        there = (one["best"] > 2 * one["best_se"]) & (one["best"] < 1)
        words = f"{one['task'].item()}: "
        if np.isfinite(one["power"]):
            words += f"({float(one['factor']):.2f} ± {2 * float(one['factor_se']):.2f}) "
            words += f"(G/n)^({float(one['power']):.2f} ± {2 * float(one['power_se']):.2f})"
        else:
            words += "no power law (fewer than 3 best shares between 0 and 0.7)"
        left.errorbar(
            n * shift[i], one["best"].where(there), 2 * one["best_se"], color=color, marker=marker, linestyle="none",
            elinewidth=1.2, label=words,
        )  # fmt: skip
        left.plot(n, np.minimum(1, float(one["factor"]) * (GENERATOR / n) ** float(one["power"])), color=color,
                  linewidth=0.9, linestyle=":")  # fmt: skip
        at = one.isel(n_real=middle)
        base = float(at["loss"][0])
        gain, error = (at["loss"] - base) / (base if i < 3 else 1), at["loss_se"] / (base if i < 3 else 1)
        right.errorbar(at["share"], gain, 2 * error, color=color, marker=marker, linewidth=0.8)
    left.set(
        xscale="log", yscale="log", xlabel="real rows of the model, n", ylabel="best share of generated rows"
    )
    left.set_xticks(n, [str(int(v)) for v in n])
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1]
    left.set_yticks(ticks, [f"{t:g}" for t in ticks])
    left.minorticks_off()
    right.axhline(0, color="black", linewidth=0.7)
    right.set(xlabel="share s of generated rows", title=f"n = {int(n[middle])}")
    right.set_ylabel("loss over that of real rows alone, less 1\n(density: less that loss, nats)")
    style.legend_below(figure, [left], 2)
    return figure
