"""A plan as a picture."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simcollapse.planning.planner import Plan

_GAIN, _LOSS, _LIMIT, _STAR = (
    "#56B4E9",
    "#D55E00",
    "#CC79A7",
    "#009E73",
)  # of Okabe and Ito, as in all figures
_LOG_FROM = 40.0  # ratio of largest to smallest value from which the scale is logarithmic
_LINEAR_FROM = 0.03  # a smaller error of the linear form would not be seen


def draw(made: Plan) -> Figure:
    """The predicted curve with its start, best round, latest safe round and limit; computes nothing."""
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    axes = figure.subplots()
    _sides(axes, made)
    _levels(axes, made)
    _curve(axes, made)
    _turns(axes, made)
    _frame(axes, made)
    figure.suptitle(f"{made.regime.capitalize()}: {_headline(made)}", fontsize=13, fontweight="bold")
    axes.set_title(_subtitle(made), fontsize=9, color="0.35")
    return figure


def _sides(axes: Axes, made: Plan) -> None:
    """The areas between the curve and the start."""
    gain = made.mse_now - made.curve
    for sign, color, words in ((1, _GAIN, "better than now"), (-1, _LOSS, "worse than now")):
        if np.any(sign * gain > 1e-9 * made.mse_now):
            axes.fill_between(
                np.arange(len(gain)),
                made.curve,
                made.mse_now,
                where=(sign * gain >= 0).tolist(),
                interpolate=True,
                color=color,
                alpha=0.2,
                linewidth=0,
                label=words,
            )


def _levels(axes: Axes, made: Plan) -> None:
    axes.axhline(
        made.mse_now, color="0.35", lw=1.2, ls="--", label=f"now, the fit on real data: {made.mse_now:.3g}"
    )
    limit, source = made.mse_limit, made.sources["mse_limit"]
    if limit is not None and math.isfinite(limit):
        words = f"limit: {limit:.3g}" + ("" if source == "exact" else f" ({source})")
        axes.axhline(limit, color=_LIMIT, lw=1.4, ls="-.", label=words)


def _curve(axes: Axes, made: Plan) -> None:
    rounds = np.arange(len(made.curve))
    if made.linear is not None and made.linear_gap is not None and made.linear_gap > _LINEAR_FROM:
        words = f"linear approximation (off by up to {made.linear_gap:.0%})"
        axes.plot(rounds, made.linear, color="0.6", lw=1.2, ls=":", label=words)
    simulated = bool(np.any(made.std_error > 0))
    words = f"{made.method}, ± 2 standard errors" if simulated else made.sources["curve"]
    spread = 2 * made.std_error if simulated else None
    axes.errorbar(
        rounds,
        made.curve,
        yerr=spread,
        color="black",
        marker="o",
        ms=4,
        capsize=2,
        label=f"predicted ({words})",
    )


def _turns(axes: Axes, made: Plan) -> None:
    """Marks at the best and at the latest safe round, where they lie on the curve."""
    best, safe = made.best_round, made.latest_safe_round
    if best < len(made.curve):
        change = f" ({made.mse_best / made.mse_now - 1:+.0%})".replace("-", "\N{MINUS SIGN}") if best else ""
        words = f"best: round {best:.0f}, {made.mse_best:.3g}{change}"
        axes.plot(
            best, made.mse_best, marker="*", ms=16, color=_STAR, mec="white", ls="none", label=words, zorder=5
        )
    if 0 < safe < len(made.curve) - 1:
        axes.axvline(safe, color=_LOSS, lw=1.2, ls=":", label=f"latest safe round: {safe:.0f}")


def _frame(axes: Axes, made: Plan) -> None:
    shown = np.append(made.curve, made.mse_now)
    if shown.min() > 0 and shown.max() / shown.min() > _LOG_FROM:
        axes.set_yscale("log")
    else:
        limit = made.mse_limit if made.mse_limit is not None and math.isfinite(made.mse_limit) else 0.0
        axes.set_ylim(0, 1.08 * max(shown.max(), limit))
    axes.set_xlim(-0.4, len(made.curve) - 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round of retraining (0 is the fit on real data)")
    if made.pipeline.population is not None:
        axes.set_ylabel(r"excess risk  $E\,|X(\hat\theta_k-\theta^*)|^2/N$  [unit of $y^2$]")
    else:
        axes.set_ylabel(r"mean squared error  $E\,|\hat\theta_k-\theta^*|^2$")
    axes.legend(frameon=False, fontsize=9)


def _headline(made: Plan) -> str:
    if math.isinf(made.best_round):
        return "more rounds always help"
    if made.best_round == 0:
        return "keep the fit on real data"
    words = f"best at round {made.best_round:.0f}"
    if made.regime == "reverses":
        return f"{words}, worse than now after round {made.latest_safe_round:.0f}"
    return f"{words}, no worse than now later"


def _subtitle(made: Plan) -> str:
    pipeline = made.pipeline
    counts = pipeline.counts(pipeline.rounds)
    each = f"{counts[0]:g}" if counts[0] == counts[-1] else f"{counts[0]:g} to {counts[-1]:g}"
    each += " per direction" if pipeline.design == "orthogonal" else ""
    first = [f"{pipeline.dim} coefficients, noise {pipeline.noise:.4g}"]
    first.append(f"{pipeline.n_real} real samples, {each} a round")
    rows = "the table's own rows" if pipeline.design == "table" else f"{pipeline.design} design"
    second = [pipeline.workflow, rows]
    if pipeline.verified:
        known = (
            f"trained on {pipeline.trained_on}"
            if pipeline.trained_on
            else f"bias {math.sqrt(made.bias_squared):.3g}"
        )
        second.insert(0, f"verifier bound {pipeline.bound:g}, {known}")
    return " · ".join(first) + "\n" + " · ".join(second)
