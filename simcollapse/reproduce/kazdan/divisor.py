"""Divide the scatter by n or by n - 1? Two statements about collapse turn on it.

Accumulate-subsample plateaus for the maximum-likelihood covariance (divisor n) and grows for ever, as k^(1/n), for the
unbiased one. Under replace the squared Wasserstein distance to the truth diverges for the unbiased one and is bounded
by 2 tr Sigma_0 for the other.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.kazdan import cells
from simcollapse.reproduce.kazdan.cells import DERIVED, PAPER, Cell
from theory.workflows import gaussian_replace, gaussian_subsample

NAME = "kazdan-gaussian-divisor"
ESTIMATORS = ("mle", "unbiased")
LABELS = {"mle": "divisor n (maximum likelihood)", "unbiased": "divisor n − 1 (unbiased)"}
LOOKS = {"mle": ("#333333", "o"), "unbiased": ("#D55E00", "s")}
TRACE_TOLERANCE = 0.02  # of a share of the variance
EXPONENT_TOLERANCE = 0.2  # of the exponent times n
SQUARES = 0.6  # rounds over n up to which fourth moments are light enough: they grow as exp(2 k/n)
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    n: int = 10
    dim: int = 3  # of the subsampled fits
    rounds: int = 100
    distance_n: int = 32
    distance_chains: int = 4_000
    seed: int = 0


SCALES = {
    "quick": Config(chains=4_000, rounds=30),
    "small": Config(chains=4_000),
    "paper": Config(chains=16_000, distance_chains=10_000),
}


def compute(config: Config) -> xr.Dataset:
    """By divisor and round: trace under accumulate-subsample, W_2^2 under replace (d = 1), and their closed forms."""
    coords = {"divisor": ESTIMATORS}
    groups = [[make(config, i)] for i in range(len(ESTIMATORS)) for make in (_trace, _distance)]
    rounds = config.rounds
    data = cells.collect(coords, groups, rounds)
    subsample: dict[str, Any] = {"n_per_round": config.n, "rounds": rounds}
    replace = {"n_real": config.distance_n, "n_per_round": config.distance_n, "rounds": rounds}
    data["trace_theory"] = (
        data["trace"].dims,
        np.array([gaussian_subsample.covariance_ratio_exact(**subsample, covariance=c) for c in ESTIMATORS]),
    )
    data["distance_theory"] = (
        data["distance"].dims,
        np.array(
            [gaussian_replace.wasserstein_exact(sigma=1.0, **replace, covariance=c) for c in ESTIMATORS]
        ),
    )
    data["growth"] = "round", gaussian_subsample.covariance_ratio_asymptotic(**subsample)
    data.attrs.update(
        title="Gaussian fitting: what the divisor of the covariance decides",
        heading="left: accumulate-subsample, trace of the covariance over its start; right: replace, d = 1, squared "
        "Wasserstein distance to the truth over σ₀²\npoints: means over chains with two standard errors; lines: "
        "closed forms",
        n=config.n,
        dim=config.dim,
        distance_n=config.distance_n,
        plateau=gaussian_subsample.covariance_ratio_limit(n_per_round=config.n),
        reached=gaussian_subsample.covariance_ratio_exact(**subsample)[-1],
        config=json.dumps(dataclasses.asdict(config)),
        note="The published scripts divide by n. Means of the distance are shown up to round "
        f"{_light(config.rounds, config.distance_n)}: later rare chains carry them.",
    )
    return data


def _trace(config: Config, i: int) -> Cell:
    def values():
        task = sc.gaussian(config.dim, estimator=ESTIMATORS[i])
        found = cells.simulate(
            task,
            "accumulate_subsample",
            config.n,
            rounds=config.rounds,
            chains=config.chains,
            seed=(config.seed, 8, i),
            alone=True,
        )
        trace = found["trace"].to_numpy().astype(float)
        share = trace / trace.mean(axis=0)
        # of mean 0: its standard error is that of the log of the growth since that round, chain by chain
        return {"trace": trace, "since": share - share[:, [_start(config.rounds)]]}

    return Cell((i,), values, double=False)


def _distance(config: Config, i: int) -> Cell:
    def values():
        found = cells.simulate(
            sc.gaussian(1, estimator=ESTIMATORS[i]),
            "replace",
            config.distance_n,
            rounds=config.rounds,
            chains=config.distance_chains,
            seed=(config.seed, 9, i),
        )
        log_trace = found["log_trace"].astype(float)
        return {"distance": found["squared_error"] + (np.exp(log_trace / 2) - 1) ** 2}

    return Cell((i,), values, double=False)


def _start(rounds: int) -> int:
    """Round from which growth is counted."""
    return min(10, rounds // 2)


def _light(rounds: int, n: int) -> int:
    """Last round whose mean squared distance is not yet carried by rare chains."""
    return min(rounds, int(SQUARES * n))


def compare(data: xr.Dataset) -> list[Claim]:
    """A plateau and growth; bounded and divergent."""
    rounds, n = int(data["round"][-1]), data.attrs["n"]
    light = _light(rounds, data.attrs["distance_n"])
    last, near = data.isel(round=-1), data.isel(round=light)
    start = _start(rounds)
    grown = data.sel(divisor="unbiased")
    exponent, exact = (
        _exponent(grown, "trace", start, rounds),
        _exponent(grown, "trace_theory", start, rounds),
    )
    return [
        claims.within(
            f"(c) with a fixed budget the error plateaus: the mean trace tends to {data.attrs['plateau']:.3f}",
            f"{PAPER}; the height: {DERIVED}",
            f"mean trace after {rounds} rounds, n = {n}, divisor n",
            cells.estimate(last.sel(divisor="mle"), "trace"),
            data.attrs["reached"],
            TRACE_TOLERANCE,
        )._replace(qualifier="divisor n only: for n − 1 the trace grows as k^(1/n)"),
        claims.above(
            "… but not for divisor n − 1: the mean trace keeps growing",
            DERIVED,
            f"mean trace after {rounds} rounds over that after {start}, n = {n}, divisor n − 1",
            _growth(grown, start, rounds),
            1.0,
        ),
        claims.within(
            "… as k^(1/n), after many rounds",
            DERIVED,
            f"exponent between rounds {start} and {rounds}, times n",
            Estimate(exponent.value * n, exponent.error * n),
            exact.value * n,
            EXPONENT_TOLERANCE,
        ),
        _z(data, "trace", rounds, "mean trace, accumulate-subsample, both divisors"),
        claims.above(
            "under replace the expected squared Wasserstein distance diverges: holds for divisor n − 1",
            "[Shumailov24]; " + DERIVED,
            f"its mean in round {light} over that of divisor n",
            _quotient(near),
            1.0,
        )._replace(qualifier="divisor n − 1 only: with divisor n it is at most 2 tr Σ₀"),
        claims.never_above(
            "… and not for divisor n, where it stays below 2 tr Σ₀",
            DERIVED,
            f"mean squared distance over tr Σ₀ in round {rounds}, divisor n",
            cells.estimate(last.sel(divisor="mle"), "distance"),
            2.0,
            1,
        ),
        _z(data, "distance", light, f"squared distance, replace, both divisors, rounds to {light}"),
    ]


def _growth(one: xr.Dataset, start: int, end: int) -> Estimate:
    value = float(one["trace"][end] / one["trace"][start])
    return Estimate(value, value * float(one["since_error"][end]))


def _exponent(one: xr.Dataset, name: str, start: int, end: int) -> Estimate:
    span = np.log((end + 1) / (start + 1))
    error = one["since_error"][end] if name == "trace" else 0.0
    return Estimate(float(np.log(one[name][end] / one[name][start]) / span), float(error / span))


def _quotient(near: xr.Dataset) -> Estimate:
    top, bottom = (cells.estimate(near.sel(divisor=d), "distance") for d in ("unbiased", "mle"))
    value = top.value / bottom.value
    return Estimate(value, value * float(np.hypot(top.error / top.value, bottom.error / bottom.value)))


def _z(data: xr.Dataset, name: str, until: int, what: str) -> Claim:
    one = data.sel(round=[k for k in CHECKED if k <= until])
    z, number = cells.largest((one[name] - one[f"{name}_theory"]) / one[f"{name}_error"])
    return claims.largest_z(
        f"the closed form lies on the simulation ({what})", DERIVED, "means by divisor and round", z, number
    )


def draw(data: xr.Dataset) -> Figure:
    """Trace under accumulate-subsample, distance under replace; computes nothing."""
    figure = style.blank(9.4, 4.4)
    style.heading(figure, data.attrs["heading"])
    left, right = figure.subplots(1, 2)
    rounds = int(data["round"][-1])
    for divisor in ESTIMATORS:
        one = data.sel(divisor=divisor)
        _panel(left, one, "trace", divisor, rounds)
        _panel(right, one, "distance", divisor, _light(rounds, data.attrs["distance_n"]))
    fits = data["round"] + 1
    left.plot(
        fits,
        data["growth"],
        color=LOOKS["unbiased"][0],
        linestyle=":",
        linewidth=1.4,
        label="~ (k + 1)^(1/n)",
    )
    left.axhline(
        data.attrs["plateau"], color="#333333", linewidth=0.9, linestyle=":", label="plateau, divisor n"
    )
    left.set(title=f"a  accumulate-subsample, n = {data.attrs['n']}")
    left.set_ylabel(r"$\mathrm{E\,tr}\,\Sigma_k/\mathrm{tr}\,\Sigma_0$")
    right.axhline(2, **style.BOUND, label="2 tr Σ₀")
    right.set(yscale="log", title=f"b  replace, d = 1, n = {data.attrs['distance_n']}")
    right.set_ylabel(r"$\mathrm{E}\,W_2^2/\mathrm{tr}\,\Sigma_0$")
    for axis in (left, right):
        axis.set(xscale="log", xlabel="fits k + 1 (1 = on real data)")
    style.legend_below(figure, [left, right], 5)
    return figure


def _panel(axis: Axes, one: xr.Dataset, name: str, divisor: str, until: int) -> None:
    color, marker = LOOKS[divisor]
    axis.plot(one["round"] + 1, one[f"{name}_theory"], color=color, linewidth=1.4, label=LABELS[divisor])
    few = one.sel(round=[k for k in (0, 1, 2, 4, 7, 12, 19, 31, 50, 79, 100) if k <= until])
    look: dict[str, Any] = style.points(color=color) | {"marker": marker}
    axis.errorbar(few["round"] + 1, few[name], 2 * few[f"{name}_error"], **look)
