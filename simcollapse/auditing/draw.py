"""An audit as a picture; computes nothing."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from simcollapse.auditing.chart import ratio_ends, top_of
from simcollapse.auditing.estimates import Estimates
from simcollapse.auditing.report import Report
from simcollapse.auditing.thresholds import Curve

_SAFE, _LOST, _BAND = "#56B4E9", "#D55E00", "#009E73"  # of Okabe and Ito, as in all figures
_MARKS = {"safe": "#0072B2", "collapse": "#D55E00", "undecided": "#666666"}
_MOST_NAMES = 12  # points that are named; more names would cover each other


def draw(report: Report) -> Figure:
    """The point in the plane of p and psi/phi, with groups and rounds; beside it p* along the threshold of a score."""
    wide = report.curve is not None
    figure = Figure(figsize=(12.4 if wide else 7.2, 5.4), layout="constrained")
    axes = np.atleast_1d(np.asarray(figure.subplots(1, 2 if wide else 1)))
    _plane(axes[0], report)
    if report.curve is not None:
        _thresholds(axes[1], report.curve, report.threshold)
    e = report.estimates
    star = "unknown" if math.isnan(e.p_star) else f"{e.p_star:.3f}"
    low, high = e.intervals["p_star"]
    figure.suptitle(
        f"{report.verdict.capitalize()}: p = {e.p:.3f}, p* = {star} ({low:.3f} to {high:.3f})",
        fontsize=13,
        fontweight="bold",
    )
    return figure


def _plane(axes: Axes, report: Report) -> None:
    e = report.estimates
    top = top_of(e, *(look.estimates for look in (*report.groups, *report.rounds)))
    p = np.linspace(1 / (1 + top), 1, 200)
    edge = (1 - p) / p
    axes.fill_between([0, *p], [top, *edge], 0, color=_SAFE, alpha=0.18, lw=0, label="p < p*: safe")
    axes.fill_between(p, edge, top, color=_LOST, alpha=0.18, lw=0, label="p > p*: collapse")
    axes.plot(p, edge, color="black", lw=1.4, label=r"p = p*, that is $\psi/\varphi$ = (1 − p)/p")
    for kind, looks in (("group", report.groups), ("round", report.rounds)):
        points = [
            (look.name, look.estimates, look.verdict)
            for look in looks
            if not math.isnan(look.estimates.p_star)
        ]
        if not points:
            continue
        x, y = [one.p for _, one, _ in points], [min(top, _height(one)) for _, one, _ in points]
        if kind == "round":
            axes.plot(x, y, color="0.5", lw=0.8, zorder=2.5)
        marker = "s" if kind == "round" else "o"
        colors = [_MARKS[verdict] for *_, verdict in points]
        words = f"by {kind} (grey: undecided)"
        axes.scatter(x, y, s=26, marker=marker, color=colors, clip_on=False, zorder=3, label=words)
        for (name, _, _), a, b in zip(points if len(points) <= _MOST_NAMES else [], x, y, strict=False):
            axes.annotate(name, (a, b), xytext=(-2, 6), textcoords="offset points", fontsize=8, color="0.25",
                          zorder=6, path_effects=[withStroke(linewidth=2, foreground="white")])  # fmt: skip
    _cross(axes, e, top, _MARKS[report.verdict])
    axes.set_xlim(0, 1)
    axes.set_ylim(0, top)
    axes.set_xlabel("p, share of wrong samples of the generator")
    axes.set_ylabel(r"$\psi/\varphi$: kept among wrong over kept among correct")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False, fontsize=9)


def _cross(axes: Axes, e: Estimates, top: float, color: str) -> None:
    value, low, high = ratio_ends(e)
    words = f"all rows, {100 * e.level:.4g} % intervals"
    if math.isnan(value):
        axes.plot([e.p, e.p], [low, min(high, top)], color=color, lw=2.5, label=words, zorder=4)
        return
    p_low, p_high = e.intervals["p"]
    axes.errorbar(
        e.p,
        min(value, top),
        xerr=[[max(0.0, e.p - p_low)], [max(0.0, p_high - e.p)]],
        yerr=[[max(0.0, value - low)], [max(0.0, min(high, top) - value)]],
        marker="none",
        color=color,
        lw=1.8,
        capsize=3,
        zorder=4,
    )
    axes.plot(
        e.p,
        min(value, top),
        marker="*",
        ms=15,
        mec="white",
        color=color,
        ls="none",
        label=words,
        zorder=5,
        clip_on=False,
    )


def _height(e: Estimates) -> float:
    value = ratio_ends(e)[0]
    return 0.0 if math.isnan(value) else value


def _thresholds(axes: Axes, curve: Curve, chosen: float | None) -> None:
    x = 100 * curve.keep_rate
    axes.fill_between(
        x, curve.low, curve.high, color=_BAND, alpha=0.2, lw=0, label="interval, for all thresholds together"
    )
    axes.plot(x, curve.p_star, color=_BAND, marker="o", ms=4, label="p*")
    axes.plot(x, curve.precision, color="0.45", ls="--", lw=1.2, label="precision (safe above 1/2)")
    axes.axhline(curve.p, color="black", lw=1.4, label=f"p = {curve.p:.3f}")
    if curve.best is not None:
        words = f"keeps most while safe: threshold {curve.threshold[curve.best]:.4g}"
        axes.axvline(x[curve.best], color=_MARKS["safe"], lw=1.4, ls=":", label=words)
    if chosen is not None and (curve.best is None or chosen != curve.threshold[curve.best]):
        kept = np.interp(-chosen, -curve.threshold, x)
        axes.axvline(kept, color="0.4", lw=1, ls="-.", label=f"threshold {chosen:.4g}")
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("kept share of the samples [%], from strict to loose threshold")
    axes.set_ylabel("p*, precision")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False, fontsize=9)
