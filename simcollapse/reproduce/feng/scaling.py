"""Error against the number n' of selected rows: Fig. 3 of [Feng24].

A Gaussian mixture whose Bayes rule is right on 94 % of rows; labels flipped with probability p. Selected by an
oracle, by weak linear verifiers, or at random. What the paper shows, an oracle that improves throughout and a weak
verifier with a best size near 10^4, appears for flips checked by a fixed linear rule (R2) and logistic regression
with a fixed total penalty; with independent errors (R1) every verifier with p* > p improves throughout.
"""

import dataclasses
import itertools
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.feng import selection
from theory import breakdown

NAME = "feng-scaling"
SEPARATION = 1.5547735946  # Phi(it) = 0.94, the Bayes accuracy
VERIFIERS: dict[str, float | str | None] = {
    "oracle": "oracle",
    "angle π/12": np.pi / 12,
    "angle π/6": np.pi / 6,
    "random": None,
}
MARKERS = {"oracle": "oracle", "angle π/12": "linear", "angle π/6": "linear", "random": "random"}
COLORS = dict(zip(VERIFIERS, (*style.STRENGTH_COLORS[:3], style.STRENGTH_COLORS[-1]), strict=True))
WEAK = "angle π/12"  # the verifier of panel c, and the one whose best size is near 10^4
FIGURE, DERIVED = "[Feng24], Fig. 3", "derived here"
FINE = 120  # points that a line is drawn with
RIDGE = 0.01  # penalty of panel b, small against the variance of a feature
TOLERANCE = 0.003  # of the lines, in units of the error; they are limits for many dimensions
FACTOR = 2.0  # "near": within this factor
DECIDED = 4.0  # standard errors between two verifiers beyond which the simulation says which is better
PAST = 3.0  # times the best size: where the error must have risen again


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture; sizes are numbers of selected rows."""

    chains: int
    sizes: tuple[int, ...]  # panel a
    other_dims: tuple[int, ...]  # panel c, beside `dim`; the first is simulated
    other_sizes: tuple[int, ...]  # of its simulation
    other_chains: int
    points: int  # of theory on each line of panels a and c, a tenth of a second each; cubic between them
    dim: int = 100
    p: float = 0.3
    generated: int = 1_000_000  # of which n' are selected, panel b
    independent_sizes: int = 7  # panel b
    independent_chains: int = 20
    seed: int = 0


SCALES = {
    "quick": Config(8, (300, 800, 2_000), (10, 20), (200, 600, 6_000), 100, 9),
    "small": Config(
        20, (300, 1_000, 3_000, 10_000, 30_000), (20, 50, 200), (400, 1_400, 5_000, 20_000), 300, 15,
        independent_chains=100,
    ),
    "paper": Config(
        50,
        (300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000),
        (20, 50, 200),
        (400, 1_400, 5_000, 20_000, 100_000),
        1_000,
        25,
        independent_sizes=12,
        independent_chains=1_000,
    ),
}  # fmt: skip


def compute(config: Config) -> xr.Dataset:
    """Errors by (verifier, size) for R2 and R1, and by (dim, size) of one weak verifier, with theory."""
    data = xr.merge([_linear(config), _dims(config), _independent(config)], combine_attrs="override")
    data["p_star"] = "verifier", [_p_star(v) for v in VERIFIERS.values()]
    data.attrs.update(
        title="error against the number of selected rows",
        heading=f"Gaussian mixture, Bayes accuracy 94 %, d = {config.dim}; labels flipped with probability "
        f"p = {config.p:g}, then selected, up to N₁ = {_power(config.generated)} generated\n"
        "R2: the verifier is a fixed linear rule at an angle to the truth; R1: its errors are independent of x, "
        "as many as those of that rule\nPoints: simulation, bars of two standard errors; rings: best sizes",
        p=config.p,
        bayes=float(ndtr(-SEPARATION)),
        config=json.dumps(dataclasses.asdict(config)),
        note="The paper's shape, an oracle that improves throughout and a weak verifier with a best size near 10⁴, is "
        "that of R2 with logistic regression and a fixed total penalty: kept labels are those of the verifier's own "
        "rule, to which the fit drifts as the penalty fades. There the order of p* is not the order of the errors at "
        "every size; with independent errors (R1) it is.",
    )
    return data


def _power(count: int) -> str:
    exponent = round(np.log10(count))
    return (
        f"10{str(exponent).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
        if 10**exponent == count
        else f"{count}"
    )


def _mistake(verifier: float | str | None) -> float:
    """Share of rows that the verifier labels wrongly."""
    if verifier is None:
        return 0.5
    return 0.0 if isinstance(verifier, str) else float(ndtr(-SEPARATION * np.cos(verifier)))


def _p_star(verifier: float | str | None) -> float:
    q = _mistake(verifier)
    return float(breakdown.breakdown_point(1 - q, q))


def _task(dim: int, p: float, **learner: Any) -> Any:
    return sc.gaussian_mixture(SEPARATION * np.eye(dim)[0], generator=sc.flips(p), **learner)


def _fading(dim: int, p: float) -> Any:
    """Logistic regression with a fixed total penalty: 1/n' on the mean loss."""
    return _task(dim, p, learner="logistic", penalty=1.0, loss="sum")


def _made(verifier: float | str | None, reading: str) -> Any:
    if reading == "R2" and isinstance(verifier, float):
        return sc.linear(angle=verifier)
    q = _mistake(verifier)
    return sc.bernoulli(1 - q, q)


def _errors(now: xr.Dataset) -> dict[str, np.ndarray]:
    return {"error": 1 - now["accuracy"].to_numpy(), "error_error": now["accuracy_error"].to_numpy()}


def _selected(task: Any, verifiers: list, size: int, most: int, chains: int, seed: int) -> xr.Dataset:
    """One round that selects `size` rows. As many as `most` fit in the buffer, so that sizes share a program."""
    return selection.one_round(
        task,
        verifiers[0],
        {"verifier": verifiers},
        ("verifier",),
        rows=size,
        chains=chains,
        seed=seed,
        n_real=most,
        fixed="kept",
        block_size=8,  # rows are kept in memory
    )


def _linear(config: Config) -> xr.Dataset:
    """Panel a, R2: error, error_error, measured_p_star (verifier, size); line (verifier, fine)."""
    task, most = _fading(config.dim, config.p), max(config.sizes)
    kinds = [[n for n, v in VERIFIERS.items() if isinstance(v, float) == linear] for linear in (True, False)]
    columns = []
    for j, size in enumerate(config.sizes):
        parts = []
        for i, names in enumerate(kinds):
            made = [_made(VERIFIERS[name], "R2") for name in names]
            part = _selected(
                task, made, size, _buffer(size, config.sizes), config.chains, _seed(config, 0, i, j)
            )
            parts.append(part.assign_coords(verifier=names))
        columns.append(xr.concat(parts, "verifier", combine_attrs="override").sel(verifier=list(VERIFIERS)))
    now = xr.concat(columns, xr.Variable("size", list(config.sizes)), combine_attrs="override")
    now = now.transpose("verifier", "size")
    nodes = np.geomspace(min(config.sizes), max(10 * most, 200_000), config.points)
    fine = np.geomspace(nodes[0], nodes[-1], FINE)
    out = xr.Dataset(coords={"verifier": list(VERIFIERS), "size": list(config.sizes), "fine": fine})
    for name, values in _errors(now).items():
        out[name] = ("verifier", "size"), values
    out["measured_p_star"] = ("verifier", "size"), now["p_star"].to_numpy()

    def theory(sizes):
        return [[_theory(n, config.dim, config.p, v) for n in sizes] for v in VERIFIERS.values()]

    out["theory"] = ("verifier", "size"), theory(config.sizes)
    out["line"] = ("verifier", "fine"), _smooth(nodes, np.array(theory(nodes)), fine)
    best = [
        breakdown.best_selection_size(config.dim, config.p, SEPARATION, v) if isinstance(v, float) else None
        for v in VERIFIERS.values()
    ]
    out["best_size"] = "verifier", [np.nan if b is None else b.num_selected for b in best]
    out["best_error"] = "verifier", [np.nan if b is None else b.error for b in best]
    return out


def _smooth(nodes: np.ndarray, values: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Values between the nodes along the last axis, smooth in both logarithms."""
    return np.exp(CubicSpline(np.log(nodes), np.log(values), axis=-1)(np.log(fine)))


def _buffer(size: int, sizes: tuple[int, ...]) -> int:
    """Rows that the buffer of `size` rows holds: small sizes share one, or the largest would slow them all."""
    steps = [3_000, *[n for n in sizes if n > 3_000]]
    return next(step for step in [min(3_000, max(sizes)), *steps] if step >= size)


def _theory(size: float, dim: int, p: float, verifier: float | str | None) -> float:
    return breakdown.logistic_selection_error(size, dim, p, SEPARATION, verifier)


def _dims(config: Config) -> xr.Dataset:
    """Panel c, R2: the weak verifier in other dimensions; dim_line (dim, fine), and simulation in the first."""
    turn, first = VERIFIERS[WEAK], config.other_dims[0]
    assert isinstance(turn, float)
    made, most = [_made(turn, "R2")], max(config.other_sizes)
    task = _fading(first, config.p)
    parts = [
        _selected(task, made, size, most, config.other_chains, _seed(config, 1, 0, j))
        for j, size in enumerate(config.other_sizes)
    ]
    now = xr.concat(parts, xr.Variable("other_size", list(config.other_sizes)), combine_attrs="override")
    now = now.isel(verifier=0)
    out = xr.Dataset(coords={"other_dim": list(config.other_dims), "other_size": list(config.other_sizes)})
    for name, values in _errors(now).items():
        out[f"other_{name}"] = "other_size", values
    out["other_theory"] = "other_size", [_theory(n, first, config.p, turn) for n in config.other_sizes]
    nodes = np.geomspace(9, 3_000, config.points)  # per dimension; the equations are solved from 9 on
    fine = np.geomspace(nodes[0], nodes[-1], FINE)
    lines = [[_theory(n * d, d, config.p, turn) for n in nodes] for d in config.other_dims]
    out["other_fine"] = ("other_dim", "scaled"), np.outer(config.other_dims, fine)
    out["other_line"] = ("other_dim", "scaled"), _smooth(nodes, np.array(lines), fine)
    best = [breakdown.best_selection_size(d, config.p, SEPARATION, turn) for d in config.other_dims]
    out["other_best_size"] = "other_dim", [b.num_selected for b in best]
    out["other_best_error"] = "other_dim", [b.error for b in best]
    return out


def _independent(config: Config) -> xr.Dataset:
    """Panel b, R1: independent_… by (verifier, independent), the last size being all that is kept of N1."""
    task = _task(config.dim, config.p, penalty=RIDGE)
    made = [_made(v, "R1") for v in VERIFIERS.values()]
    generated = np.round(np.geomspace(config.generated / 1_000, config.generated, config.independent_sizes))
    parts = [
        selection.one_round(
            task,
            made[0],
            {"verifier": made},
            ("verifier",),
            rows=int(n),
            chains=config.independent_chains,
            seed=_seed(config, 2, 0, j),
            engine="auto",
            block_size=16,  # no rows are drawn, but a scatter matrix for each chain is
        )
        for j, n in enumerate(generated)
    ]
    now = xr.concat(parts, xr.Variable("independent", generated), combine_attrs="override")
    now = now.transpose("verifier", "independent")
    out = xr.Dataset()
    for name, values in _errors(now).items():
        out[f"independent_{name}"] = ("verifier", "independent"), values
    rates = [_mistake(v) for v in VERIFIERS.values()]
    keep = np.array([float(breakdown.keep_rate(config.p, 1 - q, q)) for q in rates])
    quality = np.array([float(breakdown.signed_quality(config.p, 1 - q, q)) for q in rates])
    sizes = keep[:, None] * generated
    out["independent_size"] = ("verifier", "independent"), now["kept"].to_numpy()
    fine = np.geomspace(sizes.min(), config.generated, 60)

    def error(c, n):
        return 1 - breakdown.mixture_ridge_accuracy(SEPARATION, c, RIDGE, config.dim / n)

    out["independent_theory"] = ("verifier", "independent"), error(quality[:, None], sizes)
    out["independent_line"] = ("verifier", "independent_fine"), error(quality[:, None], fine)
    return out.assign_coords(independent_fine=fine)


def _seed(config: Config, *part: int) -> int:
    return int(np.random.SeedSequence([config.seed, *part]).generate_state(1)[0])


def compare(data: xr.Dataset) -> list[Claim]:
    """Oracle throughout, best size of the weak verifier, independent errors, better than the generator, theory."""
    rows = [*_sizes(data), _order(data), *_independent_claims(data), *_selected_rows(data)]
    for words, prefix, what in (
        ("R2, logistic", "", "errors by verifier and size"),
        ("R2, other dimension", "other_", "errors by size"),
        ("R1, ridge", "independent_", "errors by verifier and size"),
    ):
        deviation = data[f"{prefix}error"] - data[f"{prefix}theory"]
        spread = data[f"{prefix}error_error"].transpose(*deviation.dims)
        rows.append(
            claims.on_line(
                f"the closed form lies on the simulation ({words}; rows and dimensions in proportion)",
                DERIVED,
                what,
                deviation.to_numpy().ravel(),
                spread.to_numpy().ravel(),
                TOLERANCE,
            )
        )
    return rows


def _sizes(data: xr.Dataset) -> list[Claim]:
    """R2: the oracle improves throughout, a weak verifier has a best size."""
    oracle, best = data.sel(verifier="oracle"), float(data["best_size"].sel(verifier=WEAK))
    words = "past its best size the weak verifier's error rises again"
    rows = [
        _falls(
            oracle["error"],
            oracle["error_error"],
            "size",
            "with an oracle the error falls throughout (R2, logistic)",
            FIGURE,
        ),
        claims.within(
            "a weak verifier (angle π/12) has a best data size near 10⁴ (R2, logistic, closed form)",
            FIGURE,
            f"log₁₀ of the best size, {best:.0f} rows",
            Estimate(float(np.log10(best)), 0.0),
            4.0,
            float(np.log10(FACTOR)),
        ),
        _rises(
            data["other_error"],
            data["other_error_error"],
            "other_size",
            float(data["other_best_size"][0]),
            f"{words} (R2, {WEAK}, simulated in d = {int(data['other_dim'][0])})",
        ),
    ]
    for name in ("angle π/12", "angle π/6"):
        one = data.sel(verifier=name)
        if float(data["size"][-1]) >= PAST * float(one["best_size"]):
            place = f"{words} (R2, {name}, as drawn)"
            rows.append(_rises(one["error"], one["error_error"], "size", float(one["best_size"]), place))
    return rows


def _order(data: xr.Dataset) -> Claim:
    """R2: p* does not order the errors."""
    few = data.isel(size=0).sel(verifier=["oracle", WEAK])
    gap = float(few["error"][0] - few["error"][1])
    return claims.above(
        "in R2 the order of p* is not that of the errors: on few rows the weak verifier beats the oracle, as it "
        "keeps rows far from the boundary",
        DERIVED,
        f"error with the oracle minus with the weak verifier, n' = {int(data['size'][0])}",
        Estimate(gap, float(np.linalg.norm(few["error_error"].to_numpy()))),
        0.0,
    )


def _selected_rows(data: xr.Dataset) -> list[Claim]:
    """R2: better than the generator; the audit."""
    last = data.isel(size=-1).sel(verifier=["oracle", "angle π/12", "angle π/6"])
    worst = int((last["error"] + claims.SURE * last["error_error"]).argmax("verifier"))
    audit = float(np.abs(data["measured_p_star"] - data["p_star"]).max())
    return [
        claims.below(
            f"selection surpasses the generator, which errs on {100 * data.attrs['p']:g} % of rows (R2)",
            FIGURE,
            f"error with n' = {int(data['size'][-1])}, worst of three verifiers",
            Estimate(float(last["error"][worst]), float(last["error_error"][worst])),
            data.attrs["p"],
            percent=True,
        ),
        claims.within(
            "the audit finds the p* of each verifier (R2)",
            DERIVED,
            "farthest audited p* from φ/(φ + ψ) of its rule",
            Estimate(audit, 0.0),
            0.0,
            0.05,
        ),
    ]


def _independent_claims(data: xr.Dataset) -> list[Claim]:
    """R1: everybody improves, in the order of p*."""
    error, spread = data["independent_error"], data["independent_error_error"]
    rows = [
        _falls(error, spread, "independent",
               "with independent errors every verifier with p* > p improves throughout (R1)", "[Feng24], Theorem 4.2")
    ]  # fmt: skip
    same, decided = 0, 0
    for a, b in itertools.combinations(range(data.sizes["verifier"]), 2):
        gap = (error[a] - error[b]) / np.hypot(spread[a], spread[b])
        sure = np.abs(gap) > DECIDED
        ranked = np.sign(gap) == np.sign(data["p_star"][b] - data["p_star"][a])
        same, decided = same + int((ranked & sure).sum()), decided + int(sure.sum())
    rows.append(
        claims.all_of(
            "the proxy p* ranks the verifiers as their errors do (R1, equal numbers generated)",
            "[Feng24], section 4",
            "pairs of verifiers, by size, that the simulation decides",
            same,
            decided,
        )
    )
    return rows


def _falls(error: xr.DataArray, spread: xr.DataArray, along: str, words: str, source: str) -> Claim:
    """No size is worse than the one before."""
    change = error.diff(along).to_numpy().ravel()
    before, after = spread.isel({along: slice(None, -1)}), spread.isel({along: slice(1, None)})
    noise = np.hypot(before.to_numpy(), after.to_numpy()).ravel()
    worst = int((change / noise).argmax())
    got = Estimate(float(change[worst]), float(noise[worst]))
    return claims.never_above(words, source, "largest change from a size to the next", got, 0.0, change.size)


def _rises(error: xr.DataArray, spread: xr.DataArray, along: str, best: float, words: str) -> Claim:
    """The error with the most rows is above that near the best size."""
    near = int(np.abs(np.log(error[along].to_numpy() / best)).argmin())
    gain = Estimate(float(error[-1] - error[near]), float(np.hypot(spread[-1], spread[near])))
    quantity = f"error with {int(error[along][-1])} rows minus with {int(error[along][near])}"
    return claims.above(words, FIGURE, quantity, gain, 0.0)


def draw(data: xr.Dataset) -> Figure:
    """R2 large on the left; R1 and other dimensions on the right; computes nothing."""
    figure = style.blank(10.2, 6.8)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplot_mosaic([["a", "b"], ["a", "c"]], width_ratios=[1.35, 1])
    _draw_linear(axes["a"], data)
    _draw_independent(axes["b"], data)
    _draw_dims(axes["c"], data)
    axes["a"].set_title("a  R2: logistic, fixed total penalty")
    axes["b"].set_title("b  R1: ridge, independent errors")
    axes["c"].set_title("c  R2, angle π/12: the best size grows with d")
    for axis in axes.values():
        axis.set(xscale="log", yscale="log", xlabel="selected rows n'", ylabel="error of the model")
        axis.axhline(data.attrs["bayes"], color="black", linewidth=0.8, linestyle=":", zorder=0)
    for axis, ticks in ((axes["a"], (0.06, 0.07, 0.08, 0.1, 0.15, 0.2, 0.3)), (axes["b"], (0.06, 0.08, 0.1, 0.2, 0.3)),
                        (axes["c"], (0.06, 0.07, 0.08))):  # fmt: skip
        axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
        axis.minorticks_off()
    style.legend_below(figure, [axes["a"]], 4)
    return figure


def _draw_linear(axis: Axes, data: xr.Dataset) -> None:
    for name, color in COLORS.items():
        one = data.sel(verifier=name)
        words = f"{name}, p* = {float(one['p_star']):.2f}"
        axis.plot(data["fine"], one["line"], color=color, linewidth=1.6, zorder=3)
        look = style.points(verifier=MARKERS[name], color=color)
        axis.errorbar(data["size"], one["error"], 2 * one["error_error"], label=words, **look)
        if np.isfinite(one["best_size"]):
            axis.plot(float(one["best_size"]), float(one["best_error"]), **_ring())
            axis.annotate(
                f"best at {float(one['best_size']):.0f}", (float(one["best_size"]), float(one["best_error"])),
                xytext=(0, 8), textcoords="offset points", ha="center", va="bottom", fontsize=9, color=color,
            )  # fmt: skip
    axis.text(0.98, data.attrs["bayes"], "Bayes error", transform=axis.get_yaxis_transform(), ha="right", va="top",
              fontsize=8.5)  # fmt: skip
    axis.set_ylim(0.0565, 0.36)


def _ring() -> dict[str, Any]:
    return {
        "marker": "o",
        "markersize": 11,
        "markerfacecolor": "none",
        "color": "black",
        "linestyle": "none",
        "zorder": 5,
    }


def _draw_independent(axis: Axes, data: xr.Dataset) -> None:
    for name, color in COLORS.items():
        one = data.sel(verifier=name)
        axis.plot(data["independent_fine"], one["independent_line"], color=color, linewidth=1.4, zorder=3)
        look = style.points(verifier="bernoulli", color=color)
        axis.errorbar(
            one["independent_size"], one["independent_error"], 2 * one["independent_error_error"], **look
        )
    axis.set_ylim(0.0565, 0.45)


def _draw_dims(axis: Axes, data: xr.Dataset) -> None:
    weak = data.sel(verifier=WEAK)
    shades = ("#9ECAE1", "#4292C6", "#2171B5", "#08306B")
    lines = [
        (int(d), data["other_fine"].sel(other_dim=d), data["other_line"].sel(other_dim=d))
        for d in data["other_dim"]
    ]
    lines.append((int(json.loads(data.attrs["config"])["dim"]), data["fine"], weak["line"]))
    for (dim, x, y), shade in zip(sorted(lines, key=lambda line: line[0]), shades, strict=False):
        axis.plot(x, y, color=shade, linewidth=1.5, zorder=3, label=f"d = {dim}")
        if dim == int(data["other_dim"][0]):
            look = style.points(verifier="linear", color=shade)
            axis.errorbar(data["other_size"], data["other_error"], 2 * data["other_error_error"], **look)
    axis.legend(loc="upper right")
    axis.plot(data["other_best_size"], data["other_best_error"], **_ring())
    axis.plot(float(weak["best_size"]), float(weak["best_error"]), **_ring())
    axis.set_ylim(0.059, 0.088)
