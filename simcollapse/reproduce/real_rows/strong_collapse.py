"""A fixed share of wrong rows in the training set: more of the same mixture stops helping (strong collapse)."""

import dataclasses
import json

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves
from theory.workflows import contaminated as theory

NAME = "strong-collapse"
DOHMATOB, DERIVED = "Dohmatob et al., arXiv 2410.04840", "derived here"
SHIFT = 2.0  # length of the shift of the wrong rows' coefficients
NOISE = 1.0
FLOOR_TOLERANCE = 0.05  # relative
QUANTITY = "error over that of a quarter of the rows"
FAR_OFF = 0.10  # relative error of the simple formula that is called a failure


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    dim: int = 4
    shares: tuple[float, ...] = (0.0, 0.01, 0.05, 0.2)  # of wrong rows
    sizes: tuple[int, ...] = (100, 400, 1_600, 6_400, 25_600, 102_400)
    few_rows: tuple[int, ...] = (300, 3_000)  # where the simple formula fails
    seed: int = 0


SCALES = {
    "quick": Config(chains=2_000),
    "small": Config(chains=20_000),
    "paper": Config(chains=100_000, sizes=(100, 400, 1_600, 6_400, 25_600, 102_400, 409_600, 1_638_400)),
}


def compute(config: Config) -> xr.Dataset:
    """By (share, rows): squared error, exact and by the simple formula; by (few_rows): where that fails."""
    data = _sweep(config, config.shares, config.sizes, NOISE, config.seed)
    more = dataclasses.replace(config, chains=4 * config.chains)
    weak = _sweep(more, (0.01,), config.few_rows, 0.1, config.seed + 1).isel(share=0, drop=True)
    data = data.merge(weak.rename({name: f"weak_{name}" for name in weak.data_vars} | {"rows": "few_rows"}))
    data.attrs.update(
        title="strong collapse: a fixed share of wrong rows leaves a floor",
        heading=f"least squares, d = {config.dim}: a share p₂ of the rows follows coefficients shifted by c = {SHIFT:g}"
        f" (σ = {NOISE:g}); every row drawn anew.\nLines: exact (F1); dashed: the floor p₂²c²; points: simulation",
        config=json.dumps(dataclasses.asdict(config)),
        note="σ²d/n + p₂²c² leaves out p₁p₂c²d/n, which counts where noise is small: it needs d/n << p₂ or p₂c² << σ².",
    )
    return data


def _sweep(config: Config, shares, sizes, noise: float, seed: int) -> xr.Dataset:
    shift = np.zeros(config.dim)
    shift[0] = SHIFT
    task = sc.linear_regression(config.dim, noise=noise)
    result = sc.sweep(
        task,
        "none",
        sc.contaminated(0.5, coef=shift),
        over={"workflow.share": list(shares), "n_per_round": list(sizes)},
        n_real=100,
        n_per_round=100,
        rounds=1,
        chains=config.chains,
        seed=seed,
        engine="auto",
    )["squared_error"].isel(round=-1)
    names = {"workflow.share": "share", "n_per_round": "rows"}
    data = curves.over_chains(result.rename(names).drop_vars("round"))
    data = data.assign_coords(share=list(shares), rows=list(sizes))
    exact = [[_exact(config.dim, noise, s, n) for n in sizes] for s in shares]
    simple = [[noise**2 * config.dim / n + (s * SHIFT) ** 2 for n in sizes] for s in shares]
    return data.assign(
        error_theory=(("share", "rows"), exact),
        error_simple=(("share", "rows"), simple),
        floor=("share", [theory.mse_limit(shift=SHIFT, synthetic_share=s) for s in shares]),
    )


def _exact(dim: int, noise: float, share: float, rows: int) -> float:
    wrong = round(share * rows)
    if wrong == 0:
        return noise**2 * dim / (rows - dim - 1)
    return theory.least_squares_mse_exact(
        dim=dim, sigma=noise, shift=SHIFT, n_real=rows - wrong, n_synthetic=wrong
    )


def compare(data: xr.Dataset) -> list[Claim]:
    """The floor; that more rows stop helping; the exact error; where the simple formula fails."""
    last, before = data.isel(rows=-1), data.isel(rows=-2)
    rows = []
    for share in (float(s) for s in data["share"][-2:]):
        one = last.sel(share=share)
        floor = float(one["floor"])
        got = Estimate(float(one["error"]) / floor, float(one["error_se"]) / floor)
        words = f"the error of unlimited rows is p₂²c² (p₂ = {share:g})"
        quantity = f"error over it, {int(one['rows'])} rows"
        rows.append(
            claims.within(words, DOHMATOB, quantity, got, 1.0, FLOOR_TOLERANCE)._replace(
                qualifier="σ²d/n + p₂²c² also needs d/n ≪ p₂ or p₂c² ≪ σ²: below"
            )
        )
        more = before.sel(share=share)
        got = Estimate(
            float(one["error"] / more["error"]),
            float(np.hypot(one["error_se"], more["error_se"]) / more["error"]),
        )
        words = "… so that four times the rows of the same mixture hardly help"
        rows.append(claims.above(words, DOHMATOB, QUANTITY, got, 0.9))
    one, more = last.sel(share=0.0), before.sel(share=0.0)
    clean = float(one["error"] / more["error"])
    spread = clean * float(np.hypot(one["error_se"] / one["error"], more["error_se"] / more["error"]))
    words = "… and without wrong rows quarter it"
    rows.append(claims.within(words, DERIVED, QUANTITY, Estimate(clean, spread), 0.25, 0.03))
    rows.append(curves.on_line(data, "(F1) lies on the simulation", DERIVED, "errors by share and rows"))
    off = 1 - data["weak_error_simple"] / data["weak_error"]
    error = data["weak_error_simple"] * data["weak_error_se"] / data["weak_error"] ** 2
    for n in (int(v) for v in data["few_rows"]):
        one = Estimate(float(off.sel(few_rows=n)), float(error.sel(few_rows=n)))
        words = "qualifier: σ²d/n + p₂²c² is too low where noise is small (p₂ = 0.01, σ = 0.1)"
        rows.append(
            claims.above(words, DERIVED, f"what it misses of the error, {n} rows", one, FAR_OFF, percent=True)
        )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """Two panels; computes nothing."""
    figure = style.blank(9.0, 4.3)
    style.heading(figure, data.attrs["heading"])
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    for i, color in enumerate(curves.COLORS[: data.sizes["share"]]):
        one = data.isel(share=i)
        curves.draw(
            left, one["rows"], one["error"], one["error_se"], one["rows"], one["error_theory"],
            color=color, label=f"p₂ = {float(one['share']):g}",
        )  # fmt: skip
        if float(one["floor"]) > 0:
            left.axhline(float(one["floor"]), color=color, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    left.set(xscale="log", yscale="log", xlabel="rows n", ylabel="squared error of the coefficients")
    left.set_title("a  more rows of the same mixture")
    left.legend(ncols=2, loc="lower left")
    x = np.arange(data.sizes["few_rows"])
    right.bar(
        x - 0.2,
        data["weak_error"],
        0.38,
        yerr=2 * data["weak_error_se"],
        color=curves.COLORS[0],
        label="simulated",
    )
    right.bar(x + 0.2, data["weak_error_simple"], 0.38, color="#C4C4C4", label="σ²d/n + p₂²c²")
    for at, exact in zip(x, data["weak_error_theory"].to_numpy(), strict=True):
        right.plot([at - 0.4, at], [exact] * 2, **style.THEORY, label="exact (F1)" if at == 0 else None)
    right.set_xticks(x, [f"n = {int(n)}" for n in data["few_rows"]])
    right.set(title="b  where the simple formula fails", ylabel="squared error, p₂ = 0.01, σ = 0.1")
    right.legend()
    return figure
