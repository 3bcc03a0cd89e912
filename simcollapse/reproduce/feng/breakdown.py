"""Accuracy against the generator's error rate, for verifiers of different strength: Fig. 2 of [Feng24].

Three readings of generator and verifier, prediction against simulation: independent errors (R1, the theorem's own
assumption), a fixed linear generator and verifier (R3), flips checked by a fixed linear verifier (R2). And, for
many random verifiers of one generator, the proxy p* against the accuracy reached.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import qmc

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.feng import predictions, selection

NAME = "feng-breakdown"
READINGS = ("R1", "R3", "R2")
MISTAKES = (0.0, 1 / 12, 1 / 6, 1 / 3)  # error rates q of the verifiers, angles pi q where they are linear
MISTAKE_WORDS = ("0", "1/12", "1/6", "1/3")
THEOREM, DERIVED, FIGURE = "[Feng24], Theorem 4.2", "derived here", "[Feng24], Fig. 2"
TOLERANCE = 0.01  # of the lines, which are limits for many dimensions
DECIDED = 4.0  # standard errors beyond which the simulation says which side of a value a cell is on
STRONG = 0.7  # what is called a strong rank correlation
MOST_DIFFERENT = 0.05  # a crossing this far from p* is another one: a step of the grid
FINE = 181  # error rates at which lines are drawn


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rates: int = 19  # error rates of the generator, from 0.05 to 0.95
    dim: int = 20
    rows: int = 2_000  # generated
    mistakes: tuple[float, ...] = MISTAKES
    verifiers: int = 32  # random ones of one generator, a power of 2
    few_rows: int = 500  # generated for each of these
    p: float = 0.3  # error rate of that generator
    seed: int = 0


SCALES = {
    "quick": Config(chains=40),
    "small": Config(chains=200, rows=5_000, dim=50, few_rows=1_250),
    "paper": Config(chains=1_000, rates=37, rows=20_000, dim=100, verifiers=128, few_rows=2_500),
}


def compute(config: Config) -> xr.Dataset:
    """By (reading, q, p): accuracy, audit and theory; by (reading, verifier): random verifiers of one generator."""
    rates, mistakes = np.linspace(0.05, 0.95, config.rates), np.array(config.mistakes)
    fine = np.linspace(0.01, 0.99, FINE)
    parts: list[xr.Dataset] = []
    for position, reading in enumerate(READINGS):
        task, verifier, over = selection.half_space(reading, config.dim, rates, mistakes)
        part = selection.one_round(
            task,
            verifier,
            over,
            ("rate", "q"),
            rows=config.rows,
            chains=config.chains,
            seed=_seed(config, position),
        )
        part = part.assign_coords(rate=rates, q=mistakes, fine=fine).transpose("q", "rate", ...)

        def line(p, reading=reading):
            rows = [
                [predictions.accuracy(reading, x, q, config.rows, config.dim) for x in p] for q in mistakes
            ]
            return np.array(rows)

        part["theory"] = ("q", "rate"), line(rates)
        part["line"] = ("q", "fine"), line(fine)
        part["limit"] = ("q", "fine"), np.array([predictions.limit(reading, fine, q) for q in mistakes])
        parts.append(part)
    data = xr.concat(parts, xr.Variable("reading", list(READINGS)), combine_attrs="override")
    data["breakdown"] = "q", 1 - mistakes
    data = xr.merge([data, _random_verifiers(config)], combine_attrs="override")
    data.attrs.update(
        title="accuracy against the generator's error rate, and the proxy p* against accuracy",
        heading="one round: a generator labels rows x ~ N(0, I) with error rate p, a verifier with error rate q keeps "
        "the labels that it shares;\nleast squares on what is kept. "
        f"d = {config.dim}, {config.rows} rows generated; accuracy is agreement with the true half-space"
        "\nPoints: simulation, bars of two standard errors",
        few_rows=config.few_rows,
        generator=config.p,
        config=json.dumps(dataclasses.asdict(config)),
        note="R1 and R2 flip labels independently of x, R3 labels by a rule at the angle πp. A verdict is independent "
        "of x in R1, a fixed linear rule at the angle πq in R2 and R3. The breakdown point of each verifier, "
        "p* = φ/(φ + ψ), is 1 − q in R1 and R2; in R3 it depends on p, and equals p where p = 1 − q.",
    )
    return data


def _random_verifiers(config: Config) -> xr.Dataset:
    """Many verifiers of one generator: random (phi, psi) in R1, random rules in R3; variables named random_…."""
    points = qmc.Sobol(2, rng=config.seed).random(config.verifiers)
    independent = [sc.bernoulli(0.2 + 0.8 * a, b) for a, b in points]
    linear = [sc.linear(angle=0.9 * np.pi * a, alignment=2 * b - 1) for a, b in points]
    kinds = {"R1": independent, "R3": linear}
    parts: list[xr.Dataset] = []
    for position, (reading, verifiers) in enumerate(kinds.items()):
        task, _, over = selection.half_space(reading, config.dim, np.array([config.p]), np.zeros(1))
        part = selection.one_round(
            task,
            verifiers[0],
            over | {"verifier": verifiers},
            ("rate", "verifier"),
            rows=config.few_rows,
            chains=config.chains,
            seed=_seed(config, len(READINGS) + position),
        )
        parts.append(part.isel(rate=0))
    data = xr.concat(parts, xr.Variable("random_reading", list(kinds)), combine_attrs="override")
    return data.rename({name: f"random_{name}" for name in data.data_vars})


def _seed(config: Config, part: int) -> int:
    return int(np.random.SeedSequence([config.seed, part]).generate_state(1)[0])


def compare(data: xr.Dataset) -> list[Claim]:
    """Crossing and side by the breakdown point; the proxy; better than the generator; theory on simulation."""
    of = {name: data.sel(reading=name) for name in READINGS}
    rows = [_crossing(of[name], name) for name in ("R1", "R3")]
    rows += [_sides(of[name], name) for name in ("R1", "R3")]
    rows.append(_beyond(of["R2"]))
    for name in ("R1", "R3"):
        one = data.sel(random_reading=name)
        kind = "verifiers (φ, ψ)" if name == "R1" else "linear rules as verifiers"
        rows.append(
            claims.rank_correlation(
                f"the proxy p* correlates strongly with performance ({name}, generator with p = "
                f"{data.attrs['generator']:g})",
                "[Feng24], section 4",
                f"{one.sizes['verifier']} random {kind}",
                one["random_p_star"].to_numpy(),
                one["random_accuracy"].to_numpy(),
                STRONG,
            )
        )
    rows += _surpass(of)
    for name in READINGS:
        one = of[name]
        rows.append(
            claims.on_line(
                f"the closed form lies on the simulation ({name}; least squares, rows and dimensions in proportion)",
                DERIVED,
                "accuracies by q and p",
                (one["accuracy"] - one["theory"]).to_numpy().ravel(),
                one["accuracy_error"].to_numpy().ravel(),
                TOLERANCE,
            )
        )
    return rows


def _crossing(one: xr.Dataset, name: str) -> Claim:
    found = []
    for i in range(one.sizes["q"]):
        cell = one.isel(q=i)
        if float(cell["q"]) > 0:
            rate, accuracy, error = (cell[v].to_numpy() for v in ("rate", "accuracy", "accuracy_error"))
            there = np.isfinite(accuracy)
            got = selection.crossing(rate[there], accuracy[there], error[there])
            found.append(Estimate(got.value - float(cell["breakdown"]), got.error))
    worst = max(found, key=lambda e: abs(e.value) + 2 * e.error if np.isfinite(e.value) else np.inf)
    return claims.within(
        f"p* predicts where accuracy crosses 1/2 ({name})",
        f"{THEOREM}, {FIGURE}" if name == "R1" else FIGURE,
        f"crossing minus 1 − q, farthest of {len(found)} verifiers",
        worst,
        0.0,
        MOST_DIFFERENT,
    )


def _sides(one: xr.Dataset, name: str) -> Claim:
    """The audited p* and p against the accuracy, cell by cell."""
    side = (one["accuracy"] - 0.5) / one["accuracy_error"]
    decided = np.abs(side) > DECIDED
    same = np.sign(side) == np.sign(one["p_star"] - one["p"])
    return claims.all_of(
        f"accuracy is above 1/2 exactly where the audited p* exceeds the audited p ({name})",
        f"{THEOREM}, {FIGURE}" if name == "R1" else DERIVED,
        f"(q, p) cells that the simulation decides (of {side.size})",
        int((same & decided).sum()),
        int(decided.sum()),
    )


def _beyond(one: xr.Dataset) -> Claim:
    """R2 does not break down at p*."""
    beyond = one["accuracy"].where((one["rate"] > one["breakdown"] + 1e-9) & (one["q"] > 0))
    excess = ((beyond - 0.5) / one["accuracy_error"]).min("q").dropna("rate")
    first = float(excess["rate"][0])
    cell = one.sel(rate=first)
    i = int(((cell["accuracy"] - 0.5).where(cell["breakdown"] < first - 1e-9)).fillna(np.inf).argmin("q"))
    got = Estimate(float(cell["accuracy"][i]), float(cell["accuracy_error"][i]))
    return claims.above(
        "in R2 accuracy does not cross 1/2 at p*: just beyond it most answers are right, because the kept labels are "
        "those of the verifier's rule",
        DERIVED,
        f"accuracy at p = {first:.2f}, verifier with p* = {1 - float(cell['q'][i]):.2f}",
        got,
        0.5,
    )


def _surpass(of: dict[str, xr.Dataset]) -> list[Claim]:
    rows = []
    for name, wins, words in (
        ("R1", lambda one: one["rate"] < one["breakdown"] - 1e-9, "wherever p < p*"),
        ("R3", lambda one: one["q"] < one["rate"] - 1e-9, "wherever the verifier is the better of the two"),
    ):
        one = of[name]
        gain = (one["accuracy"] - (1 - one["rate"])) / one["accuracy_error"]
        asked = wins(one) & (np.abs(gain) > DECIDED)
        rows.append(
            claims.all_of(
                f"selection surpasses the generator {words} ({name})",
                FIGURE,
                "(q, p) cells that the simulation decides",
                int(((gain > 0) & asked).sum()),
                int(asked.sum()),
            )
        )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """A panel for each reading, and the proxy against performance; computes nothing."""
    figure = style.blank(9.4, 7.8)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 2)
    titles = {
        "R1": "independent errors",
        "R3": "two fixed linear rules",
        "R2": "flips, and a fixed linear verifier",
    }
    for letter, axis, name in zip("abc", axes.flat, READINGS, strict=False):
        _panel(axis, data.sel(reading=name), name)
        axis.set_title(f"{letter}  {name}: {titles[name]}")
    _proxy(figure, axes[1, 1], data)
    style.legend_below(figure, list(axes.flat[:3]), 4)
    return figure


def _panel(axis: Axes, one: xr.Dataset, reading: str) -> None:
    marker = "bernoulli" if reading == "R1" else "linear"
    axis.plot([0, 1], [1, 0], color="#BBBBBB", linewidth=1.0, zorder=0, label="1 − p, the generator")
    axis.axhline(0.5, color="black", linewidth=0.6, zorder=0)
    words = dict(zip(MISTAKES, MISTAKE_WORDS, strict=True))
    for q, color in zip(one["q"].to_numpy(), style.STRENGTH_COLORS, strict=False):
        cell, named = one.sel(q=q), words.get(float(q), f"{q:.3g}")
        axis.plot(cell["fine"], cell["limit"], color=color, linewidth=0.9, linestyle=":", zorder=2)
        axis.plot(
            cell["fine"],
            cell["line"],
            color=color,
            linewidth=1.5,
            zorder=3,
            label=f"verifier with q = {named}",
        )
        bars = 2 * cell["accuracy_error"]
        axis.errorbar(cell["rate"], cell["accuracy"], bars, **style.points(verifier=marker, color=color))
        if q > 0:
            axis.plot(float(cell["breakdown"]), 0.5, **_star(color))
    axis.plot([], [], color="black", linewidth=0.9, linestyle=":", label="theory, unlimited rows")
    axis.plot([], [], color="black", linewidth=1.5, label="theory, so many rows")
    axis.plot([], [], **_star("white"), label="breakdown point p* = 1 − q")
    axis.set(
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
        xlabel="error rate p of the generator",
        ylabel="accuracy of the model",
    )


def _star(color: str) -> dict[str, Any]:
    return {
        "marker": "*",
        "markersize": 13,
        "color": color,
        "markeredgecolor": "black",
        "markeredgewidth": 0.7,
        "linestyle": "none",
        "zorder": 6,
    }


def _proxy(figure: Figure, axis: Axes, data: xr.Dataset) -> None:
    axis.axhline(0.5, color="black", linewidth=0.6, zorder=0)
    axis.axvline(data.attrs["generator"], color="black", linewidth=0.6, zorder=0)
    shown = None
    for name, marker in (("R1", "bernoulli"), ("R3", "linear")):
        one = data.sel(random_reading=name)
        keep = one["random_kept"] / data.attrs["few_rows"]
        shown = axis.scatter(
            one["random_p_star"],
            one["random_accuracy"],
            c=keep,
            cmap="viridis",
            vmin=0,
            vmax=1,
            marker=style.VERIFIER_MARKERS[marker],
            s=26,
            edgecolors="black",
            linewidths=0.4,
            label=f"{name}: random {'φ and ψ' if name == 'R1' else 'linear rules'}",
        )
    bar = figure.colorbar(shown, ax=axis, pad=0.02, aspect=28)
    bar.set_label("share of rows kept")
    axis.legend(loc="lower right")
    axis.set(
        xlim=(0, 1.02),
        ylim=(-0.02, 1.02),
        xlabel="proxy p* = φ/(φ + ψ), audited",
        ylabel="accuracy of the model",
    )
    axis.set_title(f"d  many verifiers of a generator with p = {data.attrs['generator']:g}")
