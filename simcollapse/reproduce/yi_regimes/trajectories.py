"""Error over rounds for several verifier biases: what `regimes` and `real_data` share.

A Dataset of trajectories has, by (regime, round): `error`, the simulated mean of the squared error of the
estimate with `error_covariance`; `theory` and `linearised`, predictions of it; `progress`, how far the mean
estimate went along the way from the truth (0) to the knowledge center (1), with `progress_covariance` (NaN
without bias). And by regime: `bias2`, the squared error of the knowledge center itself, and `size`, the bias
in words.
"""

import json
from typing import Any

import matplotlib.ticker
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate, ratio, standard_error

# Bias squared over V0, the squared error of the fit on real data, for each regime in turn.
RATIOS = {"improvement": 0.0, "gain, then plateau": 0.5, "gain, then reversal": 2.5, "degradation": 9.0}
THEOREM = "[Yi26], Theorem 4.1"
ONE_ROUND = "[Yi26], Theorem 3.1"
DERIVED = "derived here"


def provenance(result: xr.Dataset) -> str:
    """The simulation's own attributes as one string, for a Dataset that is saved."""
    return json.dumps({k: v if isinstance(v, int | float | str) else str(v) for k, v in result.attrs.items()})


def compare(data: xr.Dataset, symbol: str) -> list[Claim]:
    """The claims on the four regimes; `symbol` names the error in the table."""
    of = {name: data.sel(regime=name) for name in RATIOS}
    last, best = (
        int(data["round"][-1]),
        {name: int(one["theory"].argmin("round")) for name, one in of.items()},
    )
    rows = []

    def change(name, round, to=0):
        got = ratio(of[name], "error", round, to)
        return Estimate(got.value - 1, got.error)

    for name in ("gain, then plateau", "gain, then reversal"):
        rows.append(
            claims.below(
                f"near-term gain: a verifier with Δ² = {RATIOS[name]:g} V₀ first lowers the error",
                ONE_ROUND,
                f"{symbol}, round {best[name]} against round 0",
                change(name, best[name]),
                0.0,
                percent=True,
            )
        )
    worst = max(
        (change("improvement", k, k - 1) for k in range(1, last + 1)), key=lambda e: e.value / e.error
    )
    rows.append(
        claims.never_above(
            "an unbiased verifier keeps improving as samples grow: no round is worse than the one before",
            THEOREM,
            "largest change in one round",
            worst,
            0.0,
            last,
            percent=True,
        )
    )
    rows.append(
        claims.below(
            "… and ends far below the fit on real data",
            THEOREM,
            f"{symbol}, round {last} against round 0",
            change("improvement", last),
            -0.5,
            percent=True,
        )
    )
    rows.append(
        claims.below(
            "plateau: where Δ² < V₀ the gain is kept",
            DERIVED,
            f"{symbol}, round {last} against round 0",
            change("gain, then plateau", last),
            0.0,
            percent=True,
        )
    )
    rows.append(
        claims.above(
            "reversal: where Δ² > V₀ the gain is lost again",
            DERIVED,
            f"{symbol}, round {last} against round 0",
            change("gain, then reversal", last),
            0.0,
            percent=True,
        )
    )
    rows.append(
        claims.above(
            "a bias too large for the first round to help degrades at once",
            ONE_ROUND,
            f"{symbol}, round 1 against round 0",
            change("degradation", 1),
            0.0,
            percent=True,
        )
    )
    for name in ("gain, then reversal", "degradation"):
        error = float(standard_error(of[name], "progress")[-1])
        rows.append(
            claims.within(
                f"the estimates converge to the knowledge center, not to the truth (Δ² = {RATIOS[name]:g} V₀)",
                THEOREM,
                f"way from truth (0) to center (1), round {last}",
                Estimate(float(of[name]["progress"][-1]), error),
                1.0,
                0.05,
            )
        )
    rows.append(_best_rounds(of, best))
    return rows


def _best_rounds(of: dict[str, xr.Dataset], best: dict[str, int]) -> Claim:
    """The predicted best stopping rounds are the measured ones, or tie with them."""
    cases, ties = [], 0
    for name in ("gain, then plateau", "gain, then reversal", "degradation"):
        found = int(of[name]["error"].argmin("round"))
        got = ratio(of[name], "error", best[name], found)
        ties += found == best[name] or got.value - claims.SURE * got.error <= 1
        cases.append(f"{found} ({best[name]})")
    what = f"best rounds are the predicted ones or tie with them: measured (predicted) {', '.join(cases)}"
    return claims.all_of("the best round to stop is predictable", DERIVED, what, ties, len(cases))


def log_deviation(data: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """ln(error / theory) and its standard error. Of the logarithm: the mean of a squared error is skewed."""
    log_ratio = xr.apply_ufunc(np.log, data["error"] / data["theory"])
    return log_ratio, standard_error(data, "error") / data["error"]


def draw(figure: Figure, data: xr.Dataset) -> None:
    """Four panels, one a regime."""
    axes = figure.subplots(2, 2, sharex=True)
    for letter, axis, name in zip("abcd", axes.flat, RATIOS, strict=True):
        _panel(axis, data.sel(regime=name), data.attrs)
        axis.set_title(f"{letter}  {name}: {data['size'].sel(regime=name).item()}")
    for axis in axes[:, 0]:
        axis.set_ylabel(data.attrs["error_label"])
    for axis in axes[1]:
        axis.set_xlabel("round k (0 = fit on real data)")
    style.legend_below(figure, list(axes.flat), 3)


def _panel(axis: Axes, one: xr.Dataset, attrs: dict[str, Any]) -> None:
    rounds, start, bias2 = one["round"].to_numpy(), float(one["error"][0]), float(one["bias2"])
    bars = 2 * standard_error(one, "error").to_numpy()
    high = 1.18 * max(float(one["error"].max()), bias2, start)
    axis.errorbar(rounds, one["error"], bars, label="simulation (± 2 standard errors)", **style.points())
    axis.plot(rounds, one["theory"], label=attrs["theory_label"], **style.THEORY)
    axis.plot(rounds, one["linearised"], label=attrs["linearised_label"], **style.APPROXIMATION)
    if "bound" in one and np.isfinite(one["bound"]).all():
        axis.plot(rounds, one["bound"], label="published bound (Theorem 4.1)", **style.BOUND)
    if bias2 > 0:
        axis.plot(
            rounds, np.full(len(rounds), bias2), label="Δ², error of the knowledge center", **style.CENTER
        )
    axis.axhline(start, color="black", linewidth=0.8, zorder=1)
    axis.axhspan(start, high, color=style.PHASE_COLORS["reversal"], alpha=0.10, linewidth=0, zorder=0)
    axis.axhspan(0, start, color=style.PHASE_COLORS["gain"], alpha=0.13, linewidth=0, zorder=0)
    axis.set_ylim(0, high)
    axis.set_xlim(-0.5, rounds[-1] + 0.5)
    axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axis.text(
        rounds[-1] + 0.3,
        start,
        "V₀, fit on real data",
        ha="right",
        va="bottom",
        fontsize=8.5,
        color="#333333",
    )
    _mark_best(axis, rounds, one["theory"].to_numpy(), bias2)


def _mark_best(axis: Axes, rounds: np.ndarray, theory: np.ndarray, bias2: float) -> None:
    best = int(theory.argmin())
    words = "never stop" if bias2 == 0 else "do not start" if best == 0 else f"stop at round {rounds[best]}"
    axis.plot(
        rounds[best],
        theory[best],
        marker="o",
        markersize=11,
        markerfacecolor="none",
        color="black",
        linestyle="none",
        zorder=5,
        label="best round to stop",
    )
    late = best > 0.7 * rounds[-1]
    axis.annotate(
        words,
        (rounds[best], theory[best]),
        xytext=(4, 12) if late else (3, -14) if best else (9, -9),
        textcoords="offset points",
        ha="right" if late else "left",
        va="bottom" if late else "center",
        fontsize=9.5,
        bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
        zorder=3.5,
    )
