"""How sharp is the transition at p*? Curves for many sizes collapse onto one after rescaling.

Averaging, independent errors (R1), exact in law. The window theory.breakdown.transition_window_asymptotic is
w = sqrt(kappa* d/N) / [s (phi + psi)]; in u = (p* - p)/w accuracy is Phi(s u / sqrt(1 + u^2)) for many dimensions.
"""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline
from scipy.special import ndtr, ndtri

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.feng import selection
from theory import breakdown

NAME = "breakdown-window"
SEPARATION = 1.5547735946  # Phi(it) = 0.94, the Bayes accuracy
DERIVED = "derived here"
TOLERANCE = 0.02  # of the collapse onto the limit for many dimensions and many rows, in accuracy
WIDTH_TOLERANCE = 0.06  # relative, of a measured width
SLOPE_TOLERANCE = 0.02  # of the exponent 1/2
EXACT_UP_TO = 5_000  # kept rows for which the exact accuracy is computed
COLORS = ("#9ECAE1", "#4292C6", "#2171B5", "#08306B", "#FDBE85", "#FD8D3C", "#D94701", "#7F2704")
_FINE_U = np.linspace(-3.2, 3.2, 161)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    dims: tuple[int, ...] = (20, 200)
    ratios: tuple[int, ...] = (30, 300, 3_000, 30_000)  # generated rows per dimension
    phi: float = 0.8
    psi: float = 0.4
    places: int = 13  # values of u, from -3 to 3; with 1 and -1 among them widths need no interpolation
    engine: str = "law"
    seed: int = 0


SCALES = {
    "quick": Config(chains=400),
    "small": Config(chains=4_000),
    "paper": Config(chains=40_000, ratios=(30, 300, 3_000, 30_000, 300_000)),
}


def compute(config: Config) -> xr.Dataset:
    """By (dim, ratio, u): p, accuracy, exact accuracy; by (dim, ratio): window and measured width."""
    u = np.linspace(-3, 3, config.places)
    parts = [
        xr.concat(
            [_one_size(config, u, i, j) for j in range(len(config.ratios))],
            xr.Variable("ratio", list(config.ratios)),
            combine_attrs="override",
        )
        for i in range(len(config.dims))
    ]
    data = xr.concat(parts, xr.Variable("dim", list(config.dims)), combine_attrs="override").assign_coords(
        u=u
    )
    data["limit"], data["limit_at_u"] = ("fine", _limit(_FINE_U)), ("u", _limit(u))
    data = data.assign_coords(fine=_FINE_U)
    data["few_dims"] = "fine", _few_dimensions(data.isel(dim=0))
    data.attrs.update(
        title="the transition at p*: curves for many sizes collapse onto one",
        heading=f"R1, exact in law: flips with rate p; a correct label is kept with probability φ = {config.phi:g}, a "
        f"wrong one with ψ = {config.psi:g}; averaging of what is kept\nGaussian mixture, Bayes accuracy 94 %; d "
        "dimensions, N rows generated; window w = √(κ* d/N) / [s(φ + ψ)]"
        "\nPoints: simulation, bars of two standard errors",
        p_star=float(breakdown.breakdown_point(config.phi, config.psi)),
        separation=SEPARATION,
        config=json.dumps(dataclasses.asdict(config)),
        note="Accuracy is 1/2 at p* whatever the size; the width of the transition falls as √(d/N), so a sharp "
        "breakdown needs many rows per dimension, and few dimensions smear it a little more.",
    )
    return data


def _limit(u: np.ndarray) -> np.ndarray:
    """Accuracy at p = p* - u w, for d/N to 0 with many dimensions."""
    return ndtr(SEPARATION * u / np.sqrt(1 + u**2))


def _few_dimensions(one: xr.Dataset) -> np.ndarray:
    """Exact accuracy at the largest size for which it is known, smooth between the values of u."""
    known = one["exact"].dropna("ratio")
    if known.sizes["ratio"] == 0:
        return np.full(len(_FINE_U), np.nan)
    return ndtr(CubicSpline(one["u"], ndtri(known.isel(ratio=-1)))(_FINE_U))


def _one_size(config: Config, u: np.ndarray, i: int, j: int) -> xr.Dataset:
    dim, rows = config.dims[i], config.ratios[j] * config.dims[i]
    window = float(breakdown.transition_window_asymptotic(config.phi, config.psi, SEPARATION, dim, rows))
    p = float(breakdown.breakdown_point(config.phi, config.psi)) - u * window
    one = selection.one_round(
        sc.gaussian_mixture(SEPARATION * np.eye(dim)[0], generator=sc.flips(0.5), learner="averaging"),
        sc.bernoulli(config.phi, config.psi),
        {"task.generator.p": p.tolist()},
        ("u",),
        rows=rows,
        chains=config.chains,
        seed=int(np.random.SeedSequence([config.seed, i, j]).generate_state(1)[0]),
        engine=config.engine,
        block_size=256,  # no rows are drawn
    )
    out = one[["accuracy", "accuracy_error"]]
    out["p"], out["window"] = ("u", p), ((), window)
    out["exact"] = "u", _exact(config, dim, rows, p)
    out["fine_p"] = "fine", float(breakdown.breakdown_point(config.phi, config.psi)) - _FINE_U * window
    level = float(_limit(np.array(1.0)))
    order = np.argsort(p)
    curve = [np.asarray(v)[order] for v in (p, out["accuracy"], out["accuracy_error"])]
    ends = [selection.crossing(*curve, level=at) for at in (level, 1 - level)]
    out["width"] = (), (ends[1].value - ends[0].value) / 2
    out["width_error"] = (), float(np.hypot(ends[0].error, ends[1].error)) / 2
    return out


def _exact(config: Config, dim: int, rows: int, p: np.ndarray) -> np.ndarray:
    """Expected accuracy at the expected number of kept rows; NaN where it would take long."""
    out = np.full(len(p), np.nan)
    for k, rate in enumerate(p):
        kept = round(float(breakdown.keep_rate(rate, config.phi, config.psi)) * rows)
        if kept <= EXACT_UP_TO:
            precision = float(breakdown.precision(rate, config.phi, config.psi))
            out[k] = breakdown.averaging_accuracy_exact(kept, dim, precision, SEPARATION)
    return out


def compare(data: xr.Dataset) -> list[Claim]:
    """Half right at p*; exact accuracies; collapse; width and its exponent."""
    at = data.sel(u=0.0, method="nearest")
    z = ((data["accuracy"] - data["exact"]) / data["accuracy_error"]).to_numpy()
    return [
        claims.largest_z(
            "p* predicts where accuracy crosses 1/2: at p = p* it is 1/2, whatever the size (R1)",
            "[Feng24], Theorem 4.2",
            "accuracies by d and N/d",
            float(np.abs((at["accuracy"] - 0.5) / at["accuracy_error"]).max()),
            at["accuracy"].size,
        ),
        claims.largest_z(
            "the closed form lies on the simulation (averaging, exact at every size)",
            DERIVED,
            f"accuracies by d, N/d and p, where at most {EXACT_UP_TO} rows are kept",
            float(np.nanmax(np.abs(z))),
            int(np.isfinite(z).sum()),
        ),
        *_collapse(data),
        *_width_claims(data.isel(dim=-1)),
    ]


def _collapse(data: xr.Dataset) -> list[Claim]:
    big = data.isel(dim=-1)
    rows = [
        claims.on_line(
            f"rescaled by the window, all sizes collapse onto one curve, Φ(su/√(1 + u²)) (d = {int(big['dim'])})",
            DERIVED,
            "accuracies by N/d and u",
            (big["accuracy"] - big["limit_at_u"]).to_numpy().ravel(),
            big["accuracy_error"].to_numpy().ravel(),
            TOLERANCE,
        )
    ]
    for dim in data["dim"].to_numpy():
        one = data.sel(dim=dim)
        mean, spread = one["accuracy"].to_numpy(), one["accuracy_error"].to_numpy()  # (ratio, u)
        rows.append(
            claims.on_line(
                f"… and in d = {dim} the curves for different N agree with each other",
                DERIVED,
                "differences from the largest N by N/d and u",
                (mean[:-1] - mean[-1]).ravel(),
                np.hypot(spread[:-1], spread[-1]).ravel(),
                TOLERANCE,
            )
        )
    return rows


def _width_claims(one: xr.Dataset) -> list[Claim]:
    last = one.isel(ratio=-1)
    x = -np.log(one["ratio"].to_numpy())  # of d/N
    weight = (x - x.mean()) / np.sum((x - x.mean()) ** 2)  # of least squares
    noise = (one["width_error"] / one["width"]).to_numpy()
    exponent = float(weight @ np.log(one["width"].to_numpy()))
    return [
        claims.within(
            "the width of the transition is that of the closed form",
            DERIVED,
            f"measured over predicted width, d = {int(one['dim'])}, N/d = {int(last['ratio'])}",
            Estimate(float(last["width"] / last["window"]), float(last["width_error"] / last["window"])),
            1.0,
            WIDTH_TOLERANCE,
        ),
        claims.within(
            "the width falls as (d/N) to the power 1/2",
            DERIVED,
            f"exponent over {one.sizes['ratio']} sizes, d = {int(one['dim'])}",
            Estimate(exponent, float(np.linalg.norm(weight * noise))),
            0.5,
            SLOPE_TOLERANCE,
        ),
    ]


def draw(data: xr.Dataset) -> Figure:
    """Curves as they are, rescaled, and their widths; computes nothing."""
    figure = style.blank(10.4, 5.0)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(1, 3, width_ratios=[1.1, 1.1, 1])
    colors = iter(COLORS)
    for i in range(data.sizes["dim"]):
        for j in range(data.sizes["ratio"]):
            _curve(axes, data.isel(dim=i, ratio=j), next(colors))
    axes[1].plot(-data["fine"], data["limit"], label="theory, many dimensions", **style.THEORY)
    words = f"theory, d = {int(data['dim'][0])}"
    axes[1].plot(-data["fine"], data["few_dims"], label=words, **style.APPROXIMATION)
    for axis, place in ((axes[0], data.attrs["p_star"]), (axes[1], 0.0)):
        axis.axhline(0.5, color="black", linewidth=0.6, zorder=0)
        axis.axvline(place, color=style.CENTER_COLOR, linewidth=1.0, linestyle=(0, (5, 1, 1, 1)), zorder=1)
        axis.set(ylim=(0, 1), ylabel="accuracy of the model")
    axes[0].set(xlabel="error rate p of the generator", title="a  as they are")
    axes[0].annotate("p*", (data.attrs["p_star"], 0.03), xytext=(4, 0), textcoords="offset points",
                     color=style.CENTER_COLOR)  # fmt: skip
    axes[1].set(xlabel="(p − p*) / w", title="b  rescaled", xlim=(-3.3, 3.3))
    _widths(axes[2], data)
    style.legend_below(figure, [axes[0], axes[1]], 5)
    return figure


def _curve(axes, one: xr.Dataset, color: str) -> None:
    words = f"d = {int(one['dim'])}, N/d = {int(one['ratio'])}"
    look = style.points(verifier="bernoulli", color=color)
    bars = 2 * one["accuracy_error"]
    axes[0].plot(one["fine_p"], one["limit"], color=color, linewidth=0.9, zorder=2)
    axes[0].errorbar(one["p"], one["accuracy"], bars, label=words, **look)
    axes[1].errorbar(-one["u"], one["accuracy"], bars, **look)


def _widths(axis: Axes, data: xr.Dataset) -> None:
    axis.plot(1 / data["ratio"], data["window"].isel(dim=0), label="theory, w", **style.THEORY)
    for i, color in zip(range(data.sizes["dim"]), (COLORS[1], COLORS[5]), strict=False):
        one = data.isel(dim=i)
        look = style.points(verifier="bernoulli", color=color)
        axis.errorbar(
            1 / data["ratio"], one["width"], 2 * one["width_error"], label=f"d = {int(one['dim'])}", **look
        )
    axis.set(xscale="log", yscale="log", xlabel="dimensions per row d/N", ylabel="width of the transition in p",
             title="c  measured widths")  # fmt: skip
    axis.legend(loc="upper left")
