"""The same runs after their last round, on the whole grid of dimensions and rows."""

import itertools

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.kazdan import cells, gaussian_runs, panels
from simcollapse.reproduce.kazdan.cells import DERIVED, NAMES, WORKFLOWS
from simcollapse.reproduce.kazdan.gaussian_runs import Config

NAME = "kazdan-gaussian-grid"
SCALES = gaussian_runs.SCALES
ROWS = {
    "mean_error": "error of the mean\n" + r"$|\mu_k-\mu_0|^2/\mathrm{tr}\,\Sigma_0$",
    "trace": r"$\mathrm{tr}\,\Sigma_k/\mathrm{tr}\,\Sigma_0$",
    "log_det": r"$\log_{10}(\det\Sigma_k/\det\Sigma_0)$" + "\nby dimension",
    "log_nll": r"$\log_{10}$ excess NLL," + "\nnats a row",
}
LINES = {"mean_error": "mean_error_theory", "trace": "trace_theory", "log_det": "log_det_theory"}
LIMITS = {"log_det": (-19.0, 1.0), "log_nll": (-4.0, 34.0)}  # an arrow says where a point is beyond them


def compute(config: Config) -> xr.Dataset:
    """`gaussian_runs.runs`, its last round."""
    whole = gaussian_runs.runs(config)
    data = whole.isel(round=[-1])
    data.attrs.update(
        title="Gaussian fitting on its own samples: the whole grid after the last round",
        heading=f"after {config.rounds} rounds, by rows a round n and dimensions d; points: medians of "
        f"{config.chains} chains, bars: 90 % of them;\nlines: closed forms of means (of the log determinant under "
        "replace); grey: n ≤ d, where the covariance is singular",
        chains=config.chains,
        note="Mean and trace depend on d only through their noise; determinant and likelihood need n well above d, in "
        "every workflow: with n = 3 d a single fit already loses most of the volume.",
    )
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """The order of the workflows in every dimension."""
    last = data.isel(round=-1)
    ratio = last["mean_error"] * last["n"]
    error = last["mean_error_error"] * last["n"]
    mean, variance = ratio.mean("n"), (error**2).sum("n") / last.sizes["n"] ** 2
    order = ("accumulate", "accumulate_subsample", "replace")
    steps = []
    for low, high in itertools.pairwise(order):
        gap = mean.sel(workflow=high) - mean.sel(workflow=low)
        steps.append(gap / (variance.sel(workflow=high) + variance.sel(workflow=low)) ** 0.5)
    clear = sum(int((step > claims.SURE).sum()) for step in steps)
    return [
        claims.all_of(
            "accumulate < accumulate-subsample < replace: the same order of errors in every dimension",
            cells.PAPER,
            f"steps of the error of the mean (means over n), each by more than {claims.SURE:g} standard errors",
            clear,
            2 * last.sizes["dim"],
        ),
        _dimension_free(last),
    ]


def _dimension_free(last: xr.Dataset) -> Claim:
    one = last.sel(workflow=list(WORKFLOWS[1:]))
    off, error = cells.pooled(one, "trace", one["trace_theory"], "dim")
    worst, number = cells.largest(off / error)
    return claims.largest_z(
        "the mean trace left depends on n and the number of rounds alone, not on d, also for n ≤ d",
        DERIVED,
        "means over d by workflow (without replace: rare chains) and n, less the closed form",
        worst,
        number,
    )


def draw(data: xr.Dataset) -> Figure:
    """Metrics (rows) by dimension (columns), a colour for each workflow; computes nothing."""
    last = _in_decades(data.isel(round=-1))
    figure = style.blank(10.4, 8.6)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(ROWS), last.sizes["dim"], sharex=True, sharey="row", squeeze=False)
    for column, dim in zip(axes.T, last["dim"].to_numpy(), strict=True):
        for axis, name in zip(column, ROWS, strict=True):
            for i, workflow in enumerate(WORKFLOWS):
                _points(axis, last.sel(workflow=workflow, dim=dim), name, workflow, 1 + 0.09 * (i - 1))
            axis.set_xscale("log")
            if name not in LIMITS:
                axis.set_yscale("log")
            elif dim >= last["n"][0]:
                edge = float(last["n"].where(last["n"] <= dim).max()) * 1.6
                axis.axvspan(float(last["n"][0]) / 1.6, edge, color="#EEEEEE", zorder=0, linewidth=0)
        column[0].set_title(f"d = {dim}", loc="center")
        column[-1].set_xlabel("rows a round n")
        column[0].set_xlim(float(last["n"][0]) / 1.6, float(last["n"][-1]) * 1.6)
    for axis, (name, words) in zip(axes[:, 0], ROWS.items(), strict=True):
        axis.set_ylabel(words)
        if name in LIMITS:
            axis.set_ylim(LIMITS[name])
    style.legend_below(figure, [axes[0, 0]], 3)
    return figure


def _in_decades(last: xr.Dataset) -> xr.Dataset:
    """Logarithms to base 10, that of the determinant divided by d."""
    scale = {"log_det": 1 / last["dim"] / np.log(10), "log_nll": 1 / np.log(10)}
    named = [
        ("log_det_theory", "log_det"),
        *((f"{name}_{q}", name) for name in scale for q in cells.QUANTILES),
    ]
    return last.assign({name: last[name] * scale[base] for name, base in named})


def _points(axis: Axes, one: xr.Dataset, name: str, workflow: str, shift: float) -> None:
    color, n = style.WORKFLOW_COLORS[workflow], one["n"].to_numpy()
    panels.medians(axis, n * shift, one, name, color, label=NAMES[workflow])
    if name in LINES:
        axis.plot(n, one[LINES[name]], color=color, linewidth=1.2, zorder=2)
    if name not in LIMITS:
        return
    low, high = LIMITS[name]
    for x, y in zip(n, one[f"{name}_middle"].to_numpy(), strict=True):
        if y < low or y > high:
            end, above = (high, True) if y > high else (low, False)
            place, side = (x, end), "top" if above else "bottom"
            words = f"{'↑' if above else '↓'} {y:.0f}"
            axis.annotate(
                words,
                place,
                xytext=(-3, 0),
                textcoords="offset points",
                ha="right",
                va=side,
                fontsize=8.5,
                color=color,
            )
