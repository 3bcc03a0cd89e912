"""One number per workflow without a verifier: error of round k over that of one fit is a_k for every regular task.

k + 1 for replace, sum 1/i^2 for accumulate, 3 sum 1/i^2 - 2 for accumulate-subsample (sums over i = 1..k + 1); and
what does not obey it, with laws of its own.
"""

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, estimates, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from theory.workflows import (
    first_order,
    gaussian_replace,
    gaussian_subsample,
    kde,
    linear_regression_subsample,
)

NAME = "first-order-law"
DERIVED = "derived here, theory.workflows.first_order"
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
WORDS = {"replace": "k + 1", "accumulate": "Σ 1/i²", "accumulate_subsample": "3 Σ 1/i² − 2"}
TASKS = {
    "regression": "least squares, squared error",
    "mean": "Gaussian, squared error of the mean",
    "distance": "Gaussian, squared $W_2$ distance",
    "discrete": "10 outcomes, squared error",
}
MARKERS = dict(zip(TASKS, "os^D", strict=True))
OUTCOMES = 10
AT_ONCE = 2  # programs: compiling one leaves part of two cores idle
SECOND_ORDER = 0.04  # relative: what is left at these sizes of terms k/n and 1/n
PROPORTION = 0.08  # relative, of the law for rows and dimensions in proportion, at 50 rows
BANDWIDTH, KDE_ROWS = 0.5, 100
OLS_DIM, OLS_ROWS = 20, 50
UNBIASED_ROWS, UNBIASED_DIM = 4, 4
UNBIASED_CHAINS = 20  # times those of other tasks: their rows are few and their tails heavy
EXCEPTIONS = {
    "unbiased": f"Gaussian mean, divisor n − 1, n = {UNBIASED_ROWS}: as k^(1/n)",
    "ols": f"least squares, d/n = {OLS_DIM / OLS_ROWS:g}: a higher plateau",
    "kde": "KDE, excess variance, fixed bandwidth: as log k",
}
OF = {"unbiased": "accumulate_subsample", "ols": "accumulate_subsample", "kde": "accumulate"}
LOOKS = {"unbiased": ("#D55E00", "s"), "ols": ("#332288", "^"), "kde": ("#56B4E9", "D")}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 100
    large: int = 10_000  # rows a round where rounds are drawn in law
    small: int = 100  # … and where every row is kept and drawn from
    drawn_chains: int = 400  # of sample-level chains
    exceptions: tuple[str, ...] = tuple(EXCEPTIONS)
    block_size: int = 100
    seed: int = 0


SCALES = {
    "quick": Config(chains=2_000, rounds=20, small=60, drawn_chains=600, exceptions=("unbiased", "ols")),
    "small": Config(chains=8_000, rounds=50, drawn_chains=800),
    "paper": Config(chains=20_000, drawn_chains=2_000),
}


class _Job(NamedTuple):
    names: tuple[str, ...]  # of the results
    run: Callable[[], tuple[xr.DataArray, ...]]  # each by (chain, round)


def compute(config: Config) -> xr.Dataset:
    """ratio by (task, workflow, round), and other_ratio by (exception, round), over one fit's own error; theory."""
    regular = [
        _job(config, task, i)
        for i in range(len(WORKFLOWS))
        for task in ("regression", "distance", "discrete")
    ]
    odd = [_exception(config, name) for name in config.exceptions]
    jobs = odd + regular[::-1]  # the slow ones first
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip([job.names for job in jobs], pool.map(lambda job: job.run(), jobs), strict=True))
    by_name = {
        name: samples for names, group in found.items() for name, samples in zip(names, group, strict=True)
    }
    table = {name: estimates.over_chains(samples, "ratio") for name, samples in by_name.items()}
    data = xr.concat(
        [
            xr.concat([table[f"{t} {w}"] for w in WORKFLOWS], xr.Variable("workflow", list(WORKFLOWS)))
            for t in TASKS
        ],
        xr.Variable("task", list(TASKS)),
    ).transpose("task", "workflow", "round", "other_round")
    others = xr.concat(
        [table[n] for n in config.exceptions], xr.Variable("exception", list(config.exceptions))
    )
    data = data.merge(
        others.rename(ratio="other_ratio", ratio_covariance="other_ratio_covariance"), combine_attrs="drop"
    )
    laws = [first_order.error_factor_asymptotic(workflow=w, rounds=config.rounds) for w in WORKFLOWS]
    data["law"] = ("workflow", "round"), np.array(laws)
    data["other_law"] = (
        ("exception", "round"),
        np.array([own_law(n, config.rounds) for n in config.exceptions]),
    )
    limits = [first_order.error_factor_limit(workflow=w) for w in WORKFLOWS]
    data["limit"] = "workflow", np.array(limits)
    data.attrs = {
        "title": "without a verifier one number per workflow says how much retraining costs",
        "heading": "error of a model over that of one fit on real data; lines: theory, points: simulation with two "
        f"standard errors\nleft: {config.large} rows a round (accumulate-subsample {config.small})",
        "config": json.dumps(dataclasses.asdict(config)),
        "note": "Each simulated mean is divided by the exact expected error of one fit. The KDE's bandwidth stays the "
        "same, so it smooths every row once more.",
    }
    return data


def _simulate(
    config: Config, place: tuple[int, ...], task: Any, workflow: str, n: int, chains: int
) -> xr.Dataset:
    return sc.simulate(
        task,
        "none",
        workflow,
        n_real=n,
        n_per_round=n,
        rounds=config.rounds,
        chains=chains,
        seed=int(np.random.SeedSequence([config.seed, 41, *place]).generate_state(1)[0]),
        audit=False,
        engine="auto",
        block_size=config.block_size,
        progress=False,
    )


def _job(config: Config, task: str, i: int) -> _Job:
    """A regular task under a workflow, by its own one-fit error; "distance" gives the mean of the same runs too."""
    workflow = WORKFLOWS[i]
    law = workflow != "accumulate_subsample"
    n, chains = (config.large, config.chains) if law else (config.small, config.drawn_chains)

    @precision.single
    def run() -> tuple[xr.DataArray, ...]:
        place = (list(TASKS).index(task), i)
        if task == "regression":  # on one repeated covariate: a mean with known variance
            made = sc.linear_regression(np.zeros(1), design="orthogonal")
            return (_simulate(config, place, made, workflow, n, chains)["squared_error"] * n,)
        if task == "discrete":
            found = _simulate(config, place, sc.discrete(outcomes=OUTCOMES), workflow, n, chains)
            return (found["squared_error"] * n / (1 - 1 / OUTCOMES),)
        found = _simulate(config, place, sc.gaussian(1), workflow, n, chains)
        squared = found["squared_error"]
        distance = squared + np.expm1(found["log_trace"] / 2) ** 2
        one_fit = gaussian_replace.wasserstein_exact(sigma=1.0, n_real=n, n_per_round=n, rounds=0)[0]
        return squared * n, distance / one_fit

    names = ("mean", "distance") if task == "distance" else (task,)
    return _Job(tuple(f"{name} {workflow}" for name in names), run)


def _exception(config: Config, name: str) -> _Job:
    """A task that leaves the law, by its own one-fit error."""

    @precision.single
    def run() -> tuple[xr.DataArray, ...]:
        place, workflow = (9, list(EXCEPTIONS).index(name)), OF[name]
        if name == "unbiased":
            task = sc.gaussian(UNBIASED_DIM, estimator="unbiased")
            found = _simulate(
                config, place, task, workflow, UNBIASED_ROWS, UNBIASED_CHAINS * config.drawn_chains
            )
            return (found["squared_error"] * UNBIASED_ROWS / UNBIASED_DIM,)
        if name == "ols":
            found = _simulate(
                config,
                place,
                sc.linear_regression(np.zeros(OLS_DIM)),
                workflow,
                OLS_ROWS,
                config.drawn_chains,
            )
            return (found["squared_error"] * (OLS_ROWS - OLS_DIM - 1) / OLS_DIM,)
        found = _simulate(
            config, place, sc.kde(1, bandwidth=BANDWIDTH, test=20), workflow, KDE_ROWS, config.drawn_chains
        )
        return ((found["trace"] - 1) / _kde_excess(0)[0],)

    return _Job((name,), run)


def _kde_excess(rounds: int) -> np.ndarray:
    found = kde.accumulate_moments_exact(sigma=1.0, n_per_round=KDE_ROWS, bandwidths=BANDWIDTH, rounds=rounds)
    return found.variance - 1


def own_law(name: str, rounds: int) -> np.ndarray:
    """The law of a key of `EXCEPTIONS`, rounds 0..K; exact but for "ols" (rows and dimensions in proportion)."""
    if name == "unbiased":
        return UNBIASED_ROWS * gaussian_subsample.mean_error_ratio_exact(
            n_per_round=UNBIASED_ROWS, rounds=rounds, covariance="unbiased"
        )
    if name == "ols":
        return linear_regression_subsample.subsample_growth_asymptotic(
            ratio=OLS_DIM / OLS_ROWS, rounds=rounds
        )
    return _kde_excess(rounds) / _kde_excess(0)[0]


def compare(data: xr.Dataset) -> list[Claim]:
    """Every regular task on its curve; plateaus; exceptions off it and on their own."""
    last = data.sizes["round"] - 1
    shown = [k for k in (0, 1, 2, 5, 10, 20, 50, 100) if k <= last]
    error = estimates.standard_error(data, "ratio")
    rows = []
    for workflow in WORKFLOWS:
        one, spread = data.sel(workflow=workflow, round=shown), error.sel(workflow=workflow, round=shown)
        off = (one["ratio"] - one["law"]) / one["law"]
        rows.append(
            claims.on_line(
                f"every regular task's error is {WORDS[workflow]} times that of one fit ({workflow})",
                DERIVED,
                "ratios by task and round, relative",
                off.to_numpy().ravel(),
                (spread / one["law"]).to_numpy().ravel(),
                SECOND_ORDER,
            )
        )
    for name in data["exception"].to_numpy():
        rows += _odd(data.sel(exception=name), str(name), last, shown)
    return rows


def _odd(one: xr.Dataset, name: str, last: int, shown: list[int]) -> list[Claim]:
    error = estimates.standard_error(one, "other_ratio")
    usual = float(one["law"].sel(workflow=OF[name])[last])
    got = Estimate(float(one["other_ratio"][last]) / usual, float(error[last]) / usual)
    off = ((one["other_ratio"] - one["other_law"]) / one["other_law"]).sel(round=shown).to_numpy()
    spread = (error / one["other_law"]).sel(round=shown).to_numpy()
    words = f"error over one fit's by round, relative ({EXCEPTIONS[name]})"
    own = "… and has a law of its own"
    if name == "ols":
        on_own = claims.on_line(own, "derived here, theory.workflows", words, off, spread, PROPORTION)
    else:
        z = float(np.abs(off / spread).max())
        on_own = claims.largest_z(own, "derived here, theory.workflows", words, z, len(shown))
    statement = f"an exception to the law of {OF[name]}: {EXCEPTIONS[name]}"
    return [claims.above(statement, DERIVED, f"ratio of round {last} over the law's", got, 1.0), on_own]


def draw(data: xr.Dataset) -> Figure:
    """Regular tasks on three curves; exceptions on their own; computes nothing."""
    figure = style.blank(9.6, 5.0)
    style.heading(figure, data.attrs["heading"])
    left, right = figure.subplots(1, 2)
    _laws(left, data, named=True)
    for task in TASKS:
        for workflow in WORKFLOWS:
            one = data.sel(task=task, workflow=workflow)
            label = TASKS[task] if workflow == "accumulate" else None
            _points(left, one, "ratio", style.WORKFLOW_COLORS[workflow], MARKERS[task], label)
    _laws(right, data.isel(workflow=[1, 2]), named=False)
    for name in data["exception"].to_numpy():
        one, (color, marker) = data.sel(exception=name), LOOKS[str(name)]
        right.plot(one["round"] + 1, one["other_law"], color=color, linewidth=1.3)
        _points(right, one, "other_ratio", color, marker, EXCEPTIONS[str(name)])
    left.set(title="a  regular tasks: three curves", ylabel="error / error of one fit")
    right.set(title="b  exceptions, and the curves they leave")
    for axis, ticks in ((left, (1, 2, 3, 5, 10, 30, 100)), (right, (1, 1.5, 2, 3, 4, 6))):
        axis.set(xscale="log", yscale="log", xlabel="fits k + 1")
        top = axis.get_ylim()[1]
        axis.set_yticks([t for t in ticks if t < top], [f"{t:g}" for t in ticks if t < top])
        axis.minorticks_off()
    style.legend_below(figure, [left, right], 2)
    return figure


def _laws(axis: Axes, data: xr.Dataset, named: bool) -> None:
    for workflow in data["workflow"].to_numpy():
        one, color = data.sel(workflow=workflow), style.WORKFLOW_COLORS[str(workflow)]
        look: dict[str, Any] = (
            {"linewidth": 1.5} if named else {"linewidth": 1.1, "linestyle": (0, (4, 2)), "alpha": 0.8}
        )
        label = f"{str(workflow).replace('_', '-')}: {WORDS[str(workflow)]}" if named else None
        axis.plot(one["round"] + 1, one["law"], color=color, zorder=2, label=label, **look)
        if np.isfinite(float(one["limit"])):
            axis.axhline(float(one["limit"]), color=color, linewidth=0.7, linestyle=":")


def _points(axis: Axes, one: xr.Dataset, name: str, color: str, marker: str, label: str | None) -> None:
    fits = one["round"] + 1
    few = np.unique(np.geomspace(1, len(fits), 9).round().astype(int)) - 1
    error = estimates.standard_error(one, name)
    look = style.points(color=color) | {"marker": marker, "markersize": 4, "capsize": 0}
    axis.errorbar(fits[few], one[name][few], 2 * error[few], **look, label=label)
