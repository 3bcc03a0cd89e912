"""Accumulating does not stop the drift to the verifier's center: it slows it from rho^k to k^-(1 - rho)."""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, estimates, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from theory import knowledge_center, truncated_normal

NAME = "accumulate-drift"
DERIVED = "derived here, theory.knowledge_center.accumulate_deviation"
WORKFLOWS = ("replace", "accumulate")
DIM, BIAS = 2, 0.4
LINEAR = (
    0.02  # relative accuracy of the linear form at these deviations, as in the theorem `accumulate-power-law`
)
EXPONENT = 0.03  # of the fitted exponent: that accuracy over the rounds of the fit
LATE = 0.2  # share of the rounds, on a log scale of rounds, before which no exponent is fitted
VISIBLE = 6.0  # standard errors of a distance that is drawn and compared: less is noise


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 100
    radii: tuple[float, ...] = (1.0, 1.5, 2.0)  # of the ball, in noise standard deviations
    n: int = 100  # rows per direction: real, and generated in a round
    block_size: int = 64
    seed: int = 0


SCALES = {
    "quick": Config(chains=480, rounds=40),
    "small": Config(chains=2_000),
    "paper": Config(chains=10_000),
}


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (workflow, radius, round): mean distance to the center over that of the truth, and theory."""
    parts = []
    for i, name in enumerate(WORKFLOWS):
        found = sc.sweep(
            sc.linear_regression(np.zeros(DIM), design="orthogonal"),
            sc.knowledge_ball(bias=BIAS, radius=1.0),
            {"replace": sc.replace, "accumulate": sc.accumulate}[name](),
            over={"verifier.radius": list(config.radii)},
            n_real=config.n,
            n_per_round=config.n,
            rounds=config.rounds,
            chains=config.chains,
            seed=int(np.random.SeedSequence([config.seed, 31, i]).generate_state(1)[0]),
            audit=False,
            record_model=True,
            block_size=config.block_size,
            progress=False,
        )
        left = 1 - found["model_coef"].mean("dim") * np.sqrt(DIM) / BIAS
        parts.append(estimates.over_chains(left.rename({"verifier.radius": "radius"}), "left"))
    data = xr.concat(parts, xr.Variable("workflow", list(WORKFLOWS)))
    data = data.transpose("workflow", "radius", "round", "other_round").drop_vars("verifier", errors="ignore")
    rates = np.array([float(knowledge_center.contraction_rate(r, 1.0)) for r in config.radii])
    kept = np.array([float(truncated_normal.moments(0.0, r, 1.0)[2]) for r in config.radii])
    k = np.arange(config.rounds + 1)
    data["rate"], data["nu"] = ("radius", rates), ("radius", 1 / kept)  # real rows over kept rows of a round
    slow = knowledge_center.accumulate_deviation(k, rate=rates[:, None], nu=1 / kept[:, None])
    data["theory"] = ("workflow", "radius", "round"), np.stack([rates[:, None] ** k, slow])
    data.attrs = {
        "title": "accumulating does not stop the drift to the verifier's center, it slows it to a power law",
        "heading": f"regression in {DIM} dimensions, {config.n} rows per direction a round, a ball of radius r about a "
        f"center {BIAS:g} from the truth\n(unit: noise sd). Distance of the mean model from the center, over that of "
        "the truth. Lines: linear theory; bars: two standard errors",
        "config": json.dumps(dataclasses.asdict(config)),
        "note": f"Distances below {VISIBLE:g} standard errors are left out. The exponent is fitted to late rounds, "
        "against log(k + nu + rho/2), for which the exact product of Gamma functions is a power to order 1/k^2.",
    }
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """Exponents, rates, and that neither stops."""
    rows = []
    for i, radius in enumerate(data["radius"].to_numpy()):
        one = data.isel(radius=i)
        rate = float(one["rate"])
        rows.append(
            claims.within(
                f"under accumulate the distance to the center falls as k^−(1 − ρ), radius {radius:g}",
                DERIVED,
                f"fitted exponent, ρ = {rate:.3f}",
                exponent(one.sel(workflow="accumulate")),
                1 - rate,
                EXPONENT,
            )
        )
    for i, radius in enumerate(data["radius"].to_numpy()):
        one = data.isel(radius=i).sel(workflow="accumulate")
        last = one.sizes["round"] - 1
        rows.append(
            claims.below(
                f"accumulating does not stop the drift, radius {radius:g}",
                DERIVED,
                f"distance of round {last} over that of round {last // 2}",
                estimates.ratio(one[["left", "left_covariance"]], "left", last, last // 2),
                1.0,
            )
        )
    for name, words in (("replace", "replace: ρ^k"), ("accumulate", "accumulate: the product of rounds")):
        one = data.sel(workflow=name)
        error = estimates.standard_error(one, "left")
        seen = (one["left"] > VISIBLE * error) & (one["round"] > 0)
        rows.append(
            claims.on_line(
                f"the linear law lies on the simulation ({words})",
                DERIVED if name == "accumulate" else "[Yi26], Theorem 4.1 (v3)",
                "distances by radius and round, over the distance of the truth",
                (one["left"] - one["theory"]).where(seen).to_numpy().ravel(),
                error.to_numpy().ravel(),
                LINEAR,
            )
        )
    return rows


def exponent(one: xr.Dataset) -> Estimate:
    """Minus the slope of log distance on log(k + nu + rho/2) over late rounds, weighing rounds evenly in log k."""
    last = one.sizes["round"] - 1
    late = np.unique(np.geomspace(max(2.0, LATE * last), last, 12).round().astype(int))
    x = np.log(late + float(one["nu"]) + float(one["rate"]) / 2)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    mean = one["left"].to_numpy()[late]
    covariance = one["left_covariance"].transpose("round", "other_round").to_numpy()[np.ix_(late, late)]
    slope = weights / mean
    return Estimate(float(-weights @ np.log(mean)), float(np.sqrt(slope @ covariance @ slope)))


def draw(data: xr.Dataset) -> Figure:
    """The same distances on a linear and on a logarithmic scale of rounds; computes nothing."""
    figure = style.blank(9.2, 4.6)
    style.heading(figure, data.attrs["heading"])
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, data, first=0)
    _panel(right, data, first=1)
    far = min(25, data.sizes["round"] - 1)
    lowest = float((data["left"].where(_seen(data))).min())
    left.set(xlabel="round k", title=r"a  replace: straight here, $\rho^k$", xlim=(-0.5, far + 0.5))
    left.set(yscale="log", ylim=(0.7 * lowest, 1.3), ylabel="distance to the center / that of the truth")
    right.set(xscale="log", xlabel="round k", title=r"b  accumulate: straight here, $k^{-(1-\rho)}$")
    style.legend_below(figure, [left], 2)
    return figure


def _seen(data: xr.Dataset) -> xr.DataArray:
    return data["left"] > VISIBLE * estimates.standard_error(data, "left")


def _panel(axis: Axes, data: xr.Dataset, first: int) -> None:
    error, seen = estimates.standard_error(data, "left"), _seen(data)
    for name in WORKFLOWS:
        for i, marker in zip(range(data.sizes["radius"]), "os^Dv", strict=False):
            place = {"workflow": WORKFLOWS.index(name), "radius": i}
            one = data.isel(place)
            color = style.WORKFLOW_COLORS[name]
            axis.plot(one["round"][first:], one["theory"][first:], color=color, linewidth=1.2, zorder=2.5)
            few = np.unique(
                np.concatenate([np.arange(first, 8), np.geomspace(8, one.sizes["round"] - 1, 10)])
            )
            few = few.round().astype(int)
            few = few[seen.isel(place).to_numpy()[few]]
            label = f"{name}, r = {float(one['radius']):g} (ρ = {float(one['rate']):.2f})"
            look = style.points(color=color) | {"marker": marker, "markersize": 4}
            axis.errorbar(
                one["round"][few], one["left"][few], 2 * error.isel(place)[few], **look, label=label
            )
