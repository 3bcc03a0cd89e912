"""Four readings of "a generator and its verifier" side by side: which give a step at p*, which a slope.

One pair of error rates (p, q), four ways for the errors to arise; more rows per dimension make a step steeper and
leave a slope as it is.
"""

import dataclasses
import itertools
import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.feng import predictions, selection

NAME = "breakdown-readings"
READINGS = ("R1", "R4", "R3", "R2")
STEPS = ("R1", "R4")  # what theory says; the claims measure it
THEOREM, DERIVED = "[Feng24], Theorem 4.2", "derived here"
TITLES = {
    "R1": "independent flips, independent verdicts",
    "R4": "a fresh generator and verifier per row",
    "R3": "fixed linear generator and verifier",
    "R2": "independent flips, fixed linear verifier",
}
MARKERS = {"R1": "bernoulli", "R2": "linear", "R3": "linear", "R4": "fresh_linear"}
SIZE_COLORS = ("#9ECAE1", "#4292C6", "#08519C")  # few rows per dimension to many
TOLERANCE = 0.015  # of the lines at the fewest rows per dimension; they are limits for many dimensions
NEAR = 0.05  # either side of p*, where steepness is measured
A_STEP = 0.5  # half of the way from 1 to 0: a fall of more over so short a way is called a step
SAME_SLOPE = 0.02  # a slope's fall agrees with the limit's to within this much
SAME_PLACE = 0.03  # of a crossing and p*
FINE = 161


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    dim: int = 20
    ratios: tuple[int, ...] = (10, 100, 1_000)  # generated rows per dimension
    q: float = 1 / 6  # error rate of the verifier
    rates: int = 5  # error rates p of the generator from 0.1 to 0.7, besides 0.95 and five close to p*
    seed: int = 0


SCALES = {
    "quick": Config(chains=16),
    "small": Config(chains=200, dim=30),
    "paper": Config(chains=1_000, dim=100, rates=13),
}


def compute(config: Config) -> xr.Dataset:
    """By (reading, ratio, p): accuracy and theory; by (reading, p): the limit for unlimited rows."""
    q, p_star = config.q, 1 - config.q
    near = [p_star - NEAR, p_star + NEAR]
    around = p_star + np.array([-1, -0.4, 0, 0.4, 1]) * NEAR
    rates = np.unique(np.round([*np.linspace(0.1, 0.7, config.rates), *around, 0.95], 12))
    fine = np.linspace(0.02, 0.98, FINE)
    parts = []
    for i, reading in enumerate(READINGS):
        task, verifier, over = selection.half_space(reading, config.dim, rates, np.array([q]))
        sizes = []
        for j, ratio in enumerate(config.ratios):
            seed = int(np.random.SeedSequence([config.seed, i, j]).generate_state(1)[0])
            rows = ratio * config.dim
            one = selection.one_round(
                task, verifier, over, ("rate", "q"), rows=rows, chains=config.chains, seed=seed
            ).isel(q=0)

            def line(p, reading=reading, rows=rows):
                return [predictions.accuracy(reading, x, q, rows, config.dim) for x in p]

            one["theory"], one["line"] = ("rate", line(rates)), ("fine", line(fine))
            sizes.append(one)
        part = xr.concat(sizes, xr.Variable("ratio", list(config.ratios)), combine_attrs="override")
        part["limit"] = "fine", predictions.limit(reading, fine, q)
        part["fall"] = (), float(-np.diff(predictions.limit(reading, np.array(near), q))[0])
        parts.append(part)
    data = xr.concat(parts, xr.Variable("reading", list(READINGS)), combine_attrs="override")
    data = data.assign_coords(rate=rates, fine=fine)
    data.attrs.update(
        title="which readings of generator and verifier give a step at p*, which a slope",
        heading="one round: a generator labels rows x ~ N(0, I) with error rate p, a verifier with error rate "
        f"q = {_fraction(q)} keeps the labels that it shares;\nleast squares on what is kept, d = {config.dim}. "
        "Four readings of how the errors arise (R1–R4); accuracy is agreement with the true half-space"
        "\nPoints: simulation, bars of two standard errors",
        p_star=p_star,
        near=near,
        config=json.dumps(dataclasses.asdict(config)),
        note="R1 and R4 tend to a 0/1 step at p* = 1 − q, R3 crosses 1/2 there with a finite slope, R2 does not cross "
        "there: its kept labels are those of the verifier's rule, whatever p.",
    )
    return data


def _fraction(q: float) -> str:
    return f"1/{round(1 / q)}" if q > 0 and abs(1 / q - round(1 / q)) < 1e-9 else f"{q:g}"


def compare(data: xr.Dataset) -> list[Claim]:
    """How far accuracy falls close to p*, with the most rows; where it crosses 1/2; theory on simulation."""
    rows = [_shape(data, name) for name in READINGS]
    rows += [_steepens(data, name) for name in STEPS]
    most = data.isel(ratio=-1)
    rows += [_crosses(most, name) for name in ("R1", "R4", "R3")]
    beyond = most.sel(reading="R2").sel(rate=data.attrs["near"][1], method="nearest")
    rows.append(
        claims.above(
            "R2 does not break down at p*: beyond it most answers are right",
            DERIVED,
            f"accuracy at p = p* + {NEAR}",
            Estimate(float(beyond["accuracy"]), float(beyond["accuracy_error"])),
            0.5,
        )
    )
    rows.append(
        claims.on_line(
            "the closed form lies on the simulation (all readings; rows and dimensions in proportion)",
            DERIVED,
            "accuracies by reading, rows per dimension and p",
            (data["accuracy"] - data["theory"]).to_numpy().ravel(),
            data["accuracy_error"].transpose(*data["accuracy"].dims).to_numpy().ravel(),
            TOLERANCE,
        )
    )
    return rows


def _shape(data: xr.Dataset, name: str) -> Claim:
    """A step or a slope, with the most rows."""
    one = data.isel(ratio=-1).sel(reading=name)
    got = _fall(one, data.attrs["near"])
    quantity = f"fall of accuracy from p* − {NEAR} to p* + {NEAR}, {int(one['ratio'])} rows per dimension"
    if name in STEPS:
        words = f"{name} gives a step: accuracy falls by more than half of its range in 2 × {NEAR} of p"
        return claims.above(words, DERIVED if name == "R4" else THEOREM, quantity, got, A_STEP)
    words = f"{name} gives a slope: the fall stays that of unlimited rows"
    return claims.within(words, DERIVED, quantity, got, float(one["fall"]), SAME_SLOPE)


def _steepens(data: xr.Dataset, name: str) -> Claim:
    falls = [
        _fall(data.sel(reading=name).isel(ratio=i), data.attrs["near"]) for i in range(data.sizes["ratio"])
    ]
    gains = [
        Estimate(b.value - a.value, float(np.hypot(a.error, b.error))) for a, b in itertools.pairwise(falls)
    ]
    least = min(gains, key=lambda e: e.value - claims.SURE * e.error)
    words = f"… and more rows per dimension steepen it each time ({name})"
    return claims.above(words, DERIVED, "least gain of the fall", least, 0.0)


def _crosses(most: xr.Dataset, name: str) -> Claim:
    one = most.sel(reading=name)
    rate, accuracy, error = (one[v].to_numpy() for v in ("rate", "accuracy", "accuracy_error"))
    got = selection.crossing(rate, accuracy, error)
    return claims.within(
        f"p* predicts where accuracy crosses 1/2 ({name})",
        THEOREM if name == "R1" else DERIVED,
        "crossing minus p*",
        Estimate(got.value - float(most.attrs["p_star"]), got.error),
        0.0,
        SAME_PLACE,
    )


def _fall(one: xr.Dataset, near) -> Estimate:
    """Accuracy just before p* minus accuracy just after."""
    before, after = (one.sel(rate=p, method="nearest") for p in near)
    error = np.hypot(float(before["accuracy_error"]), float(after["accuracy_error"]))
    return Estimate(float(before["accuracy"] - after["accuracy"]), float(error))


def draw(data: xr.Dataset) -> Figure:
    """A panel for each reading; computes nothing."""
    figure = style.blank(9.2, 7.4)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for letter, axis, name in zip("abcd", axes.flat, READINGS, strict=True):
        _panel(axis, data.sel(reading=name), data.attrs["p_star"], MARKERS[name])
        axis.set_title(f"{letter}  {name}: {TITLES[name]}")
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy of the model")
    for axis in axes[1]:
        axis.set_xlabel("error rate p of the generator")
    style.legend_below(figure, list(axes.flat), 2)
    return figure


def _panel(axis: Axes, one: xr.Dataset, p_star: float, verifier: str) -> None:
    axis.axhline(0.5, color="black", linewidth=0.6, zorder=0)
    axis.axvline(p_star, color=style.CENTER_COLOR, linewidth=1.0, linestyle=(0, (5, 1, 1, 1)), zorder=1)
    axis.annotate(
        "p* = 1 − q",
        (p_star, 0.02),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        fontsize=9.5,
        color=style.CENTER_COLOR,
    )
    axis.plot(one["fine"], one["limit"], label="theory, unlimited rows", **style.THEORY)
    for i, color in enumerate(SIZE_COLORS[-one.sizes["ratio"] :]):
        cell, words = one.isel(ratio=i), f"{int(one['ratio'][i])} rows per dimension"
        axis.plot(
            cell["fine"], cell["line"], color=color, linewidth=1.3, zorder=2.5, label=f"theory, {words}"
        )
        bars = 2 * cell["accuracy_error"]
        axis.errorbar(cell["rate"], cell["accuracy"], bars, **style.points(verifier=verifier, color=color))
    axis.set(xlim=(0, 1), ylim=(-0.02, 1.02))
