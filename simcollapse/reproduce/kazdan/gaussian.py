"""Mean and covariance refitted to their own samples, over rounds: what each workflow keeps of the real data.

Columns and shades are those of the paper's figure; its lines are means over 100 chains. Under `replace` a mean of
traces, determinants or likelihoods is carried by rare chains, so points are medians here, and the exact lines say
what they are means of.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.kazdan import cells, gaussian_runs, panels
from simcollapse.reproduce.kazdan.cells import DERIVED, PAPER, WORKFLOWS
from simcollapse.reproduce.kazdan.gaussian_runs import Config
from theory.workflows import first_order, gaussian_replace

NAME = "kazdan-gaussian"
SCALES = gaussian_runs.SCALES
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)  # rounds that are compared with closed forms: neighbours say the same
TAIL = 4  # the mean under replace is compared up to round n/4: later its chi-squares have too heavy tails
RATE_TOLERANCE = 0.15  # relative, of the rate at which typical chains collapse: a limit for many rounds
FACTOR_TOLERANCE = 0.15  # of error factors, where terms of order 1/n and noise remain
LEFT_TOLERANCE = 0.05  # of a share of the variance
ROWS = {
    "mean_error": r"error of the mean" + "\n" + r"$|\mu_k-\mu_0|^2/\mathrm{tr}\,\Sigma_0$",
    "trace": r"$\mathrm{tr}\,\Sigma_k/\mathrm{tr}\,\Sigma_0$",
    "log_det": r"$\log_{10}\,\det\Sigma_k/\det\Sigma_0$",
    "nll": "excess neg. log-likelihood\nof real data, nats a row",
}
LINES = {
    "mean_error": "mean_error_theory",
    "trace": "trace_theory",
    "log_det": "log_det_theory",
    "nll": "nll_theory",
}


def compute(config: Config) -> xr.Dataset:
    """`gaussian_runs.runs`, and the rate at which typical chains collapse under replace."""
    data = gaussian_runs.runs(config).copy()
    rates = [
        [gaussian_replace.lyapunov_exponents_exact(dim=d, n_per_round=n)[0] for n in config.sizes]
        for d in config.dims
    ]
    data["typical_rate"] = ("dim", "n"), np.array(rates)
    data.attrs.update(
        title="Gaussian fitting on its own samples: replace, accumulate, accumulate-subsample",
        heading=f"x ~ N(μ₀, Σ₀) in d = {config.shown} dimensions; each round fits mean and covariance (divisor n, "
        "as published) and draws n new rows;\nno verifier; points: medians of "
        f"{config.chains} chains, bars: 90 % of them; lines: closed forms",
        chains=config.chains,
        shown=config.shown,
        factor_limit=first_order.error_factor_limit(workflow="accumulate"),
        note="Under replace the mean trace falls as (1 - 1/n)^k, the typical one faster: rare chains carry the mean. "
        "With n <= d rows the covariance is singular from the first fit on: its determinant is 0 and the likelihood "
        "is not defined. The divisor matters: see kazdan-gaussian-divisor.",
    )
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """The three claims of the abstract, each followed by what qualifies it; closed forms on the simulation."""
    last = data.isel(round=-1)
    return [
        *_replace(data, last),
        *_accumulate(data, last),
        *_subsample(data, last),
        *_closed_forms(data),
        *_singular(data),
    ]


def _factor(data: xr.Dataset, workflow: str, where: xr.DataArray) -> Estimate:
    """Error of the mean after the last round, in errors of one fit (1/n), over cells; weighed by their dimensions."""
    one = data.sel(workflow=workflow).isel(round=-1)
    weight = (where * one["dim"]).where(where, 0.0)
    weight = weight / weight.sum()
    value = float((weight * one["mean_error"] * one["n"]).sum())
    return Estimate(value, float(np.sqrt(((weight * one["mean_error_error"] * one["n"]) ** 2).sum())))


def _everywhere(data: xr.Dataset) -> xr.DataArray:
    return (data["dim"] > 0) & (data["n"] > 0)


def _replace(data: xr.Dataset, last: xr.Dataset) -> list[Claim]:
    n, rounds, dim = int(data["n"][0]), int(data["round"][-1]), data.attrs["shown"]
    few = data.sel(workflow="replace", dim=dim, n=n)
    many = last.sel(workflow="replace").isel(dim=-1, n=-1)
    start, rate = rounds // 2, float(few["typical_rate"])
    before, after = (cells.estimate(few.isel(round=k), "log_trace") for k in (start, rounds))
    slope = (after.value - before.value) / (rounds - start)
    # steps of different rounds are independent but for the direction of the largest axis
    error = np.sqrt(max(after.error**2 - before.error**2, 0.0)) / (rounds - start)
    return [
        claims.below(
            "(a) replacing all data by synthetic data collapses",
            PAPER,
            f"mean log₁₀ of the trace left after {rounds} rounds, d = {dim}, n = {n}",
            Estimate(after.value / np.log(10), after.error / np.log(10)),
            -1.0,
        )._replace(
            qualifier="the mean trace falls as (1 − 1/n)^(k+1), typical chains faster: rare ones carry the mean"
        ),
        claims.within(
            "… at a pace of k/n: many rows a round keep (1 − 1/n)^(k+1) of the trace on average",
            DERIVED,
            f"trace left after {rounds} rounds, d = {int(many['dim'])}, n = {int(many['n'])}",
            cells.estimate(many, "trace"),
            float(many["trace_theory"]),
            LEFT_TOLERANCE,
        ),
        claims.within(
            f"… and typical chains collapse faster than the mean trace: log tr falls at rate λ₁ = {rate:.3f} a round, "
            f"the mean at {np.log1p(-1 / n):.3f}",
            DERIVED,
            f"slope of mean log tr over λ₁, rounds {start} to {rounds}, d = {dim}, n = {n}",
            Estimate(slope / rate, error / abs(rate)),
            1.0,
            RATE_TOLERANCE,
        ),
    ]


def _accumulate(data: xr.Dataset, last: xr.Dataset) -> list[Claim]:
    every, rounds = _everywhere(data), int(data["round"][-1])
    got = _factor(data, "accumulate", every)
    trace = last.sel(workflow="accumulate")
    deviation = (trace["trace"] - trace["trace_theory"]).to_numpy().ravel()
    return [
        claims.never_above(
            "(b) accumulating keeps models stable: the error does not diverge, it stays below π²/6 times that of "
            "one fit",
            f"{PAPER}; the factor: [Gerstgrasser24]",
            f"error of the mean after {rounds} rounds over 1/n, all cells",
            got,
            data.attrs["factor_limit"],
            1,
        )._replace(
            qualifier="factor π²/6 and a covariance that stays: for divisor n and n − 1, any d, singular fits too"
        ),
        claims.on_line(
            "… and the covariance keeps ∏(1 − 1/(n i²)) of its trace, at least sin(x)/x with x = π/√n, also for n ≤ d",
            DERIVED,
            "traces after the last round by d and n, less the closed form",
            deviation,
            trace["trace_error"].to_numpy().ravel(),
            LEFT_TOLERANCE,
        ),
    ]


def _subsample(data: xr.Dataset, last: xr.Dataset) -> list[Claim]:
    rounds, least = int(data["round"][-1]), min(100, int(data["n"].max()))
    every = _everywhere(data)
    factors = {w: _factor(data, w, every) for w in WORKFLOWS}
    sub = factors["accumulate_subsample"]
    reached = float(first_order.error_factor_asymptotic(workflow="accumulate_subsample", rounds=rounds)[-1])
    return [
        claims.above(
            "(c) a fixed budget drawn from all rows degrades further than accumulating",
            PAPER,
            f"its error of the mean over accumulate's, round {rounds}, all cells",
            _quotient(sub, factors["accumulate"]),
            1.0,
        ),
        claims.below(
            "… slowly and gradually rather than explosively",
            PAPER,
            f"its error of the mean over replace's, round {rounds}, all cells",
            _quotient(sub, factors["replace"]),
            1.0,
        )._replace(
            qualifier="a plateau for divisor n; for n − 1 it grows as k^(1/n) (kazdan-gaussian-divisor)"
        ),
        claims.within(
            "… and with divisor n it is a plateau, at π²/2 − 2 = 2.93 times the error of one fit (n many; "
            f"{reached:.2f} after so many rounds)",
            DERIVED,
            f"error of the mean after {rounds} rounds over 1/n, cells with n ≥ {least}",
            _factor(data, "accumulate_subsample", _everywhere(data) & (data["n"] >= least)),
            reached,
            FACTOR_TOLERANCE,
        ),
    ]


def _quotient(top: Estimate, bottom: Estimate) -> Estimate:
    """Of independent estimates, to first order in their errors."""
    value = top.value / bottom.value
    return Estimate(value, value * float(np.hypot(top.error / top.value, bottom.error / bottom.value)))


def _closed_forms(data: xr.Dataset) -> list[Claim]:
    checked = data.sel(round=[k for k in CHECKED if k <= int(data["round"][-1])])
    rows = []
    for name, words in (("mean_error", "error of the mean"), ("trace", "mean trace")):
        for workflow in WORKFLOWS[1:]:
            one = checked.sel(workflow=workflow)
            off, error = cells.pooled(one, name, one[f"{name}_theory"], "n")
            z, number = cells.largest(off / error)
            rows.append(
                _on_simulation(f"{words}, {cells.NAMES[workflow]}", "means over n, by d and round", z, number)
            )
    one = checked.sel(workflow="replace")
    early = one["mean_error"].where(one["round"] <= one["n"] / TAIL)
    off, error = cells.pooled(one.assign(mean_error=early), "mean_error", one["mean_error_theory"], "n")
    z, number = cells.largest(off / error)
    rows.append(
        _on_simulation(
            f"error of the mean, replace, rounds to n/{TAIL}", "means over n, by d and round", z, number
        )
    )
    z, number = cells.largest((one["log_det"] - one["log_det_theory"]) / one["log_det_error"])
    rows.append(_on_simulation("mean log determinant, replace", "cells with n > d, by round", z, number))
    return rows


def _on_simulation(what: str, comparisons: str, z: float, number: int) -> Claim:
    return claims.largest_z(
        f"the closed form lies on the simulation ({what})", DERIVED, comparisons, z, number
    )


def _singular(data: xr.Dataset) -> list[Claim]:
    small = data["n"] <= data["dim"]
    if not bool(small.any()):
        return []
    undefined = data["log_det_middle"].isnull().all("round") & (data["trace_middle"] > 0).all("round")
    agreeing, total = int((undefined & small).sum()), int(small.sum()) * data.sizes["workflow"]
    words = "with n ≤ d rows the covariance is singular in every round and workflow (trace and mean are still right)"
    return [claims.all_of(words, DERIVED, "cells with n ≤ d", agreeing, total)]


def draw(data: xr.Dataset) -> Figure:
    """Four metrics (rows) by workflow (columns), shades for n; computes nothing."""
    figure = style.blank(10.0, 10.4)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(ROWS), len(WORKFLOWS), sharex=True, sharey="row")
    one = data.sel(dim=data.attrs["shown"])
    for column, workflow in zip(axes.T, WORKFLOWS, strict=True):
        colors = panels.shades(workflow, one.sizes["n"])
        for axis, name in zip(column, ROWS, strict=True):
            for i, color in enumerate(colors):
                _curve(axis, one.sel(workflow=workflow).isel(n=i), name, color)
            axis.set_yscale("linear" if name == "log_det" else "log")
        _singular_note(column[2], one)
        column[-1].set_xlabel("round k (0 = fit on real data)")
    panels.titles(axes[0], WORKFLOWS)
    _typical(axes[1, 0], one)
    for axis, words in zip(axes[:, 0], ROWS.values(), strict=True):
        axis.set_ylabel(words)
    figure.legend(
        handles=[
            *panels.keys_of_sizes(one["n"].to_numpy()),
            panels.key_of_line("exact", color="black", linewidth=1.3),
            panels.key_of_line("to first order in 1/n", color="black", **panels.DASHED),
        ],
        loc="outside lower center",
        ncols=7,
    )
    return figure


def _curve(axis: Axes, one: xr.Dataset, name: str, color) -> None:
    scale = np.log(10) if name == "log_det" else 1.0
    axis.plot(one["round"], one[LINES[name]] / scale, color=color, linewidth=1.3, zorder=2.5)
    if name == "nll" and not one["nll_theory"].notnull().any():
        axis.plot(one["round"], one["nll_first_order"], color=color, **panels.DASHED)
    at = panels.shown(int(one["round"][-1]))
    few = one.isel(round=at)
    if name == "log_det":
        few = few.assign({f"log_det_{q}": few[f"log_det_{q}"] / scale for q in cells.QUANTILES})
    if name == "nll":
        few = few.assign({f"nll_{q}": np.exp(few[f"log_nll_{q}"]) for q in cells.QUANTILES})
    panels.medians(axis, at, few, name, color)


def _typical(axis: Axes, one: xr.Dataset) -> None:
    """The rate of typical chains at the smallest n, through the last median."""
    few = one.sel(workflow="replace").isel(n=0)
    k, rate = few["round"].to_numpy(), float(few["typical_rate"])
    end = float(few["log_trace_middle"][-1])
    axis.plot(k, np.exp(end + rate * (k - k[-1])), color="black", linewidth=1.0, linestyle=":", zorder=3)
    half = len(k) // 2
    axis.annotate(
        r"typical rate $e^{\lambda_1 k}$",
        (k[half], np.exp(end + rate * (k[half] - k[-1]))),
        xytext=(-6, -6),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8.5,
    )


def _singular_note(axis: Axes, one: xr.Dataset) -> None:
    small = [int(n) for n in one["n"] if n <= one.attrs["shown"]]
    if small:
        words = f"n = {', '.join(map(str, small))}: singular, det = 0"
        axis.annotate(words, (0.03, 0.05), xycoords="axes fraction", fontsize=8.5, color="#555555")
