"""Bandwidths that shrink from round to round: which keep a kernel density estimate bounded, and which is best.

Normal data in the plane, for which the mean density and its integrated squared error have closed forms: h_t = h_1 t^-a
in fit t = 1, 2, … (round t - 1), h_1 the best bandwidth of one fit; Scott's rule on all rows of a fit; and its textbook
form, scaled by the spread of those rows.
"""

import dataclasses
import functools
import json
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.kazdan import cells, panels
from simcollapse.reproduce.kazdan.cells import DERIVED, NAMES, WORKFLOWS, Cell
from theory.workflows import kde as theory
from theory.workflows import kde_error, kde_scaled

NAME = "kazdan-kde-schedule"
DIM, SIGMA = 2, 1.0
EXPONENTS = (0.0, 0.1, 0.2, 0.3, 0.5)  # simulated
CURVE = tuple(np.linspace(0, 0.8, 41))  # of the exact error
SIZES = cells.SIZES  # for which the best exponent is computed
HORIZON = 10_000  # rounds of the exact inflation
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)
EARLY = 10  # rounds up to which the mean of the textbook rule is compared: later rare chains carry it
TEST = 20  # held-out rows, which this picture does not need: their kernels are most of the cost
GROWTH_TOLERANCE = 0.1  # of a growth in units of h_1^2
PAPER = "[Kazdan24], abstract (v4)"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture; the integrated error is simulated at `error_n` rows, `error_rounds` rounds."""

    chains: int = 100
    n: int = 100
    rounds: int = 100
    error_chains: int = 200
    error_n: int = 32
    error_rounds: int = 30
    seed: int = 0


SCALES = {
    "quick": Config(n=32, rounds=30, error_chains=100),
    "small": Config(n=100, rounds=50),
    "paper": Config(),
}


@functools.lru_cache
def first_bandwidth(n: int) -> float:
    """h_1: the bandwidth of least integrated squared error for a fit to n rows."""

    def error(log_width):
        sizes = {"dim": DIM, "sigma": SIGMA, "n_per_round": n, "rounds": 0}
        return kde_error.replace_mise_exact(bandwidths=np.exp(log_width), **sizes)[0]

    found: Any = minimize_scalar(error, bounds=(-4.0, 1.0), method="bounded")
    return float(np.exp(found.x))


def schedule(n: int, exponent: float, rounds: int) -> np.ndarray:
    """Bandwidths of rounds 0..K."""
    return first_bandwidth(n) * np.arange(1.0, rounds + 2) ** -exponent


def mise(workflow: str, n: int, exponent: float, rounds: int) -> np.ndarray:
    """Exact mean integrated squared error over that of round 0, rounds 0..K."""
    exact = getattr(kde_error, f"{workflow}_mise_exact")
    path = exact(dim=DIM, sigma=SIGMA, n_per_round=n, bandwidths=schedule(n, exponent, rounds), rounds=rounds)
    return path / path[0]


def compute(config: Config) -> xr.Dataset:
    """Simulated: trace and spread (second moment about the real mean, in real variances) by (workflow, exponent,
    round), rule_* of the same by (rule, round), ise by (workflow, exponent), over that of one fit. Exact: their means,
    and the best exponents by (workflow, size).
    """
    width = first_bandwidth(config.n)
    main = Run(config.n, config.rounds, config.chains, (config.seed, 8))
    errors = Run(config.error_n, config.error_rounds, config.error_chains, (config.seed, 10), record=True)
    if main[:3] == errors[:3]:
        data = last = simulated(errors)
    else:
        data, last = simulated(main), simulated(errors)
    data = data[["trace", "trace_error", "spread", "spread_error", "spread_half", "spread_half_error"]]
    last = last[["ise", "ise_error"]].isel(round=-1, drop=True)
    data = xr.merge([data, last, _rules(config), _exact(config)], combine_attrs="drop")
    data.attrs.update(
        title="schedules h_t = h_1 t^-a of a kernel density estimate on its own samples (normal data)",
        heading=f"N(0, I₂), h₁ = {width:.2f} (best of one fit to n = {config.n} rows), no verifier\npoints: means of "
        f"{config.chains} chains with two standard errors; lines: exact means",
        n=config.n,
        error_n=config.error_n,
        error_rounds=config.error_rounds,
        width=width,
        chains=config.chains,
        config=json.dumps(dataclasses.asdict(config)),
        note="Bounded exactly if sum h_t^2 is finite (replace: a > 1/2) or sum h_t^2/t is (accumulate and "
        "accumulate-subsample: any a > 0). Scott's rule shrinks with the rows of a fit: only accumulate is bounded.",
    )
    return data


class Run(NamedTuple):
    """Chains to simulate."""

    n: int
    rounds: int
    chains: int
    seed: tuple[int, ...]
    record: bool = False  # models, for the integrated error of the last round


def simulated(run: Run) -> xr.Dataset:
    """trace, spread, spread_half (what the second half of the rounds so far added) and, of recorded models, ise."""
    groups = [[_cell(run, i, j) for j in range(len(EXPONENTS))] for i in range(len(WORKFLOWS))]
    return cells.collect({"workflow": WORKFLOWS, "exponent": EXPONENTS}, groups, run.rounds)


def _cell(run: Run, i: int, j: int) -> Cell:
    def values():
        task = sc.kde(DIM, bandwidth=first_bandwidth(run.n), test=TEST)
        found = sc.simulate(
            dataclasses.replace(task, exponent=jnp.asarray(EXPONENTS[j], dtype=float)),
            "none",
            WORKFLOWS[i],
            n_real=run.n,
            n_per_round=run.n,
            rounds=run.rounds,
            chains=run.chains,
            seed=int(np.random.SeedSequence((*run.seed, i, j)).generate_state(1)[0]),
            audit=False,
            record_model=run.record,
            block_size=cells.LARGEST_BLOCK,
            progress=False,
        )
        made = _moments(found)
        half = np.arange(run.rounds + 1) // 2
        made["spread_half"] = made["spread"] - made["spread"][:, half]
        if run.record:
            made["ise"] = _last_errors(found, run)
        return made

    return Cell((i, j), values, double=False)


def _last_errors(found: xr.Dataset, run: Run) -> np.ndarray:
    """Integrated squared errors of the last round over the mean one of round 0, (chain, round); NaN before it."""
    sizes = {"dim": DIM, "sigma": SIGMA, "n_per_round": run.n, "rounds": 0}
    start = kde_error.replace_mise_exact(bandwidths=first_bandwidth(run.n), **sizes)[0]
    last = found[["model_points", "model_weight", "model_bandwidth"]].isel(round=-1)
    out = np.full((run.chains, run.rounds + 1), np.nan)
    out[:, -1] = [integrated_error(last.isel(chain=c)) / start for c in range(run.chains)]
    return out


def _moments(found: xr.Dataset) -> dict[str, np.ndarray]:
    """Model variance, and second moment about the real mean; means over coordinates, in units of the real variance."""
    trace, error = (found[v].to_numpy().astype(float) for v in ("trace", "squared_error"))
    return {"trace": trace, "spread": trace + error / (DIM * SIGMA**2)}


def _rules(config: Config) -> xr.Dataset:
    """Scott's rule under accumulate, and its textbook form under replace and accumulate, by round."""
    runs = {
        "scott": ("accumulate", sc.kde(DIM, bandwidth="scott", test=TEST)),
        "textbook_replace": ("replace", sc.kde(DIM, bandwidth="scott", scaled=True, test=TEST)),
        "textbook_accumulate": ("accumulate", sc.kde(DIM, bandwidth="scott", scaled=True, test=TEST)),
    }
    sizes: dict[str, Any] = {"rounds": config.rounds, "chains": config.chains}

    def cell(place, workflow, task):
        def values():
            found = cells.simulate(task, workflow, config.n, seed=(config.seed, 9, place), **sizes)
            made = _moments(found)
            return made | {"log_trace": np.log(made["trace"])}

        return Cell((place,), values)

    groups = [[cell(i, *run)] for i, run in enumerate(runs.values())]
    data = cells.collect({"rule": tuple(runs)}, groups, config.rounds)
    return data.rename({name: f"rule_{name}" for name in data.data_vars})


def integrated_error(model: xr.Dataset) -> float:
    """integral (p - N(0, I_2))^2 of one recorded model."""
    weight = model["model_weight"].to_numpy().astype(float)
    points = model["model_points"].to_numpy().astype(float)[weight > 0]
    share, variance = weight[weight > 0] / weight.sum(), float(model["model_bandwidth"]) ** 2
    length = np.sum(points**2, axis=1)
    squares = np.maximum(length[:, None] + length[None] - 2 * points @ points.T, 0.0)
    own = share @ _kernel(squares, 2 * variance) @ share
    return float(own - 2 * share @ _kernel(length, 1 + variance) + _kernel(0.0, 2.0))


def _kernel(squares, variance: float):
    """Density of N(0, variance I_2) at points of these squared lengths."""
    return np.exp(-squares / (2 * variance)) / (2 * np.pi * variance)


def _exact(config: Config) -> xr.Dataset:
    n, rounds = config.n, config.rounds
    shape = (len(WORKFLOWS), len(EXPONENTS), rounds + 1)
    trace, spread = np.zeros(shape), np.zeros(shape)
    for i, workflow in enumerate(WORKFLOWS):
        for j, exponent in enumerate(EXPONENTS):
            sizes = {"sigma": SIGMA, "bandwidths": schedule(n, exponent, rounds), "rounds": rounds}
            trace[i, j] = getattr(theory, f"{workflow}_moments_exact")(n_per_round=n, **sizes).variance
            kind = "replace" if workflow == "replace" else "accumulate"
            spread[i, j] = getattr(theory, f"{kind}_second_moment_exact")(**sizes)
    every = np.arange(1.0, HORIZON + 2)
    long = [
        theory.accumulate_second_moment_exact(sigma=SIGMA, bandwidths=schedule(n, a, HORIZON), rounds=HORIZON)
        for a in EXPONENTS
    ]
    scott = kde_scaled.scott_factors(dim=DIM, counts=n * every)
    scott_long = theory.accumulate_second_moment_exact(sigma=SIGMA, bandwidths=scott, rounds=HORIZON)
    factors = {
        "textbook_replace": np.full(rounds + 1, scott[0]),
        "textbook_accumulate": scott[: rounds + 1],
    }
    textbook = [
        kde_scaled.replace_variance_exact(n_per_round=n, factors=factors["textbook_replace"], rounds=rounds),
        kde_scaled.accumulate_variance_exact(
            n_per_round=n, factors=factors["textbook_accumulate"], rounds=rounds
        ),
    ]
    end = config.error_rounds
    curve = [[mise(w, config.error_n, a, end)[-1] for a in CURVE] for w in WORKFLOWS]
    best = [[best_exponent(w, m, config.rounds) for m in SIZES] for w in WORKFLOWS]
    by = ("workflow", "exponent", "round")
    return xr.Dataset(
        {
            "trace_theory": (by, trace),
            "spread_theory": (by, spread),
            "spread_long": (("exponent", "long_round"), np.array(long)),
            "scott_long": ("long_round", scott_long),
            "textbook_theory": (("textbook", "round"), np.array(textbook)),
            "mise_curve": (("workflow", "curve"), np.array(curve)),
            "best_exponent": (("workflow", "size"), np.array(best)),
            "limit": ("exponent", [bounded_limit(n, a) for a in EXPONENTS]),
        },
        coords={
            "workflow": list(WORKFLOWS),
            "exponent": list(EXPONENTS),
            "round": np.arange(rounds + 1),
            "long_round": np.arange(HORIZON + 1),
            "curve": list(CURVE),
            "size": list(SIZES),
            "textbook": list(factors),
        },
        attrs={},
    )


def best_exponent(workflow: str, n: int, rounds: int) -> float:
    """The exponent of least exact error after the last round."""
    found: Any = minimize_scalar(
        lambda a: mise(workflow, n, a, rounds)[-1],
        bounds=(0.0, 1.0),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(found.x) if found.fun < mise(workflow, n, 0.0, rounds)[-1] else 0.0


def bounded_limit(n: int, exponent: float) -> float:
    """Second moment under accumulate for k -> inf, h_1^2 sum_j j^-2a/(j+1) beyond the real one; inf for a = 0."""
    if exponent == 0:
        return float("inf")
    cut = 100_000  # the sum beyond is an integral to within 1/cut of it
    j = np.arange(1.0, cut)
    head = np.sum(j ** (-2 * exponent) / (j + 1))
    tail = (cut - 0.5) ** (-2 * exponent) / (2 * exponent)
    return float(SIGMA**2 + first_bandwidth(n) ** 2 * (head + tail))


def compare(data: xr.Dataset) -> list[Claim]:
    """Bounded or not, the best exponent, and the closed forms on the simulation."""
    rounds = int(data["round"][-1])
    half = rounds // 2
    acc = data.sel(workflow="accumulate")
    last = acc.isel(round=-1)
    width = float(data.attrs["width"]) ** 2
    fixed, shrunk = (acc.sel(exponent=a) for a in (0.0, 0.3))
    grown = (fixed["spread_theory"].isel(round=-1) - fixed["spread_theory"].isel(round=half)) / width
    over = (last["spread"] - last["limit"]).sel(exponent=list(EXPONENTS[1:]))
    worst = int(over.to_numpy().argmax())
    scott = data.sel(rule="scott").isel(round=-1)
    limit = SIGMA**2 + theory.accumulate_scott_inflation_limit(dim=DIM, n_per_round=int(data.attrs["n"]))
    replaced = data.sel(rule="textbook_replace")
    ise = data[["ise", "ise_error"]]
    kept, lost = (ise.sel(workflow=w) for w in ("accumulate", "replace"))
    return [
        claims.within(
            "accumulating is not enough for a bounded estimate: at constant h the second moment grows as h² log k",
            DERIVED,
            f"growth from round {half} to {rounds}, in h²",
            _growth(fixed, width),
            float(grown),
            GROWTH_TOLERANCE,
        ),
        claims.below(
            "… it is bounded iff Σ h²_t/t is finite: with h_t = h₁ t^−a for any a > 0",
            DERIVED,
            f"growth from round {half} to {rounds} at a = 0.3 over that at a = 0",
            _over(_growth(shrunk, width), _growth(fixed, width)),
            0.25,
        ),
        claims.never_above(
            "… by σ² + h₁² Σ j^−2a/(j+1)",
            DERIVED,
            f"second moment after {rounds} rounds less that limit, the a > 0 where it is largest",
            Estimate(
                float(over[worst]), float(last["spread_error"].sel(exponent=list(EXPONENTS[1:]))[worst])
            ),
            0.0,
            len(EXPONENTS) - 1,
        ),
        claims.never_above(
            "… and for Scott's rule on the growing pool, by its own limit",
            DERIVED,
            f"second moment after {rounds} rounds less {limit:.4f}",
            Estimate(float(scott["rule_spread"]) - limit, float(scott["rule_spread_error"])),
            0.0,
            1,
        ),
        claims.above(
            "Scott's rule as in the textbooks, times the rows' own spread: replacing grows exponentially",
            DERIVED,
            f"log₁₀ of the median model variance after {rounds} rounds over that of round 0",
            _median_growth(replaced),
            0.5,
        ),
        claims.below(
            "the best exponent under accumulate is above 0: near 1/(d+4), what one growing real data set would want",
            DERIVED,
            f"integrated error after {data.attrs['error_rounds']} rounds at a = 0.2 over that at a = 0",
            _over(_point(kept, 0.2), _point(kept, 0.0)),
            1.0,
        ),
        claims.above(
            "… and under replace 0 for few rows: a kernel that shrinks does not bring lost rows back",
            DERIVED,
            f"integrated error after {data.attrs['error_rounds']} rounds at a = 0.3 over that at a = 0",
            _over(_point(lost, 0.3), _point(lost, 0.0)),
            1.0,
        ),
        *_closed_forms(data),
    ]


def _point(one: xr.Dataset, exponent: float) -> Estimate:
    at = one.sel(exponent=exponent)
    return Estimate(float(at["ise"]), float(at["ise_error"]))


def _over(one: Estimate, other: Estimate) -> Estimate:
    value = one.value / other.value
    return Estimate(value, float(abs(value) * np.hypot(one.error / one.value, other.error / other.value)))


def _growth(one: xr.Dataset, width: float) -> Estimate:
    """Growth of the second moment in the second half of the rounds, in units of `width`."""
    last = one.isel(round=-1)
    return Estimate(float(last["spread_half"]) / width, float(last["spread_half_error"]) / width)


def _median_growth(one: xr.Dataset) -> Estimate:
    """log10 of the growth of a median variance since round 0."""
    log = one["rule_log_trace_middle"] / np.log(10)
    # a median's standard error is 1.25 times a mean's for near normal values
    error = 1.25 * float(one["rule_log_trace_error"].isel(round=-1)) / np.log(10)
    return Estimate(float(log.isel(round=-1) - log.isel(round=0)), error)


def _closed_forms(data: xr.Dataset) -> list[Claim]:
    checked = data.sel(round=[k for k in CHECKED if k <= int(data["round"][-1])])
    rows = []
    for name, words in (("trace", "model variance"), ("spread", "second moment")):
        z = (checked[name] - checked[f"{name}_theory"]) / checked[f"{name}_error"]
        rows.append(_on_simulation(words, "workflows, exponents and rounds", *cells.largest(z)))
    early = checked.sel(round=checked["round"] <= EARLY)
    found = early["rule_trace"].sel(rule=list(data["textbook"].to_numpy())).rename(rule="textbook")
    error = early["rule_trace_error"].sel(rule=list(data["textbook"].to_numpy())).rename(rule="textbook")
    z = (found - early["textbook_theory"]) / error
    rows.append(
        _on_simulation(f"textbook rule, rounds to {EARLY}", "workflows and rounds", *cells.largest(z))
    )
    exact = data["mise_curve"].interp(curve=data["exponent"].to_numpy()).rename(curve="exponent")
    z = (data["ise"] - exact) / data["ise_error"]
    rows.append(_on_simulation("integrated squared error", "workflows and exponents", *cells.largest(z)))
    return rows


def _on_simulation(what: str, comparisons: str, z: float, number: int) -> Claim:
    return claims.largest_z(
        f"the closed form lies on the simulation ({what})", DERIVED, comparisons, z, number
    )


def draw(data: xr.Dataset) -> Figure:
    """Inflation over rounds, error over exponents, best exponents, the textbook rule; computes nothing."""
    figure = style.blank(10.0, 7.6)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 2)
    _inflation(axes[0, 0], data)
    _error(axes[0, 1], data)
    _best(axes[1, 0], data)
    _textbook(axes[1, 1], data)
    return figure


def _inflation(axis: Axes, data: xr.Dataset) -> None:
    one = data.sel(workflow="accumulate")
    at = panels.shown(int(data["round"][-1]))
    for color, exponent in zip(panels.shades("accumulate", len(EXPONENTS)), reversed(EXPONENTS), strict=True):
        exact = one["spread_long"].sel(exponent=exponent)
        axis.plot(data["long_round"] + 1, exact, color=color, linewidth=1.3)
        few = one.sel(exponent=exponent).isel(round=at)
        panels.means(axis, at + 1, few, "spread", color)
        axis.annotate(f"a = {exponent:g}", (HORIZON, float(exact[-1])), xytext=(3, 0), textcoords="offset points",
                      va="center", fontsize=8.5, color=color)  # fmt: skip
    axis.plot(data["long_round"] + 1, data["scott_long"], color="black", linewidth=1.1, linestyle=":")
    axis.annotate("Scott", (HORIZON, float(data["scott_long"][-1])), xytext=(3, -9), textcoords="offset points",
                  va="center", fontsize=8.5)  # fmt: skip
    few = data.sel(rule="scott").isel(round=at)
    panels.means(axis, at + 1, few, "rule_spread", "black", markerfacecolor="none")
    axis.set_xscale("log")
    axis.set_title("accumulate: bounded for a > 0")
    axis.set_xlabel("fit t = k + 1")
    axis.set_ylabel("second moment of the model\nover the real variance")


def _error(axis: Axes, data: xr.Dataset) -> None:
    for workflow in WORKFLOWS:
        one, color = data.sel(workflow=workflow), style.WORKFLOW_COLORS[workflow]
        axis.plot(data["curve"], one["mise_curve"], color=color, linewidth=1.3, label=NAMES[workflow])
        panels.means(axis, data["exponent"].to_numpy(), one, "ise", color)
        place = int(one["mise_curve"].to_numpy().argmin())
        axis.plot(
            data["curve"][place], one["mise_curve"][place], marker="v", color="black", markersize=6, zorder=5
        )
    axis.set_yscale("log")
    axis.set_title("integrated squared error, best exponent (▾)")
    axis.set_xlabel("exponent a")
    axis.set_ylabel(
        f"after {data.attrs['error_rounds']} rounds of n = {data.attrs['error_n']},\nover that of one fit"
    )
    axis.legend()


def _best(axis: Axes, data: xr.Dataset) -> None:
    for workflow in WORKFLOWS:
        one = data["best_exponent"].sel(workflow=workflow)
        axis.plot(data["size"], one, color=style.WORKFLOW_COLORS[workflow], marker="o", linewidth=1.3)
    axis.axhline(1 / (DIM + 4), **style.APPROXIMATION)
    axis.annotate("1/(d+4)", (float(data["size"][1]), 1 / (DIM + 4)), xytext=(0, -12), textcoords="offset points",
                  fontsize=8.5, color=style.APPROXIMATION_COLOR)  # fmt: skip
    axis.set_xscale("log")
    axis.set_title(f"best exponent after {int(data['round'][-1])} rounds (exact)")
    axis.set_xlabel("rows a round n")
    axis.set_ylabel("exponent a of least error")


def _textbook(axis: Axes, data: xr.Dataset) -> None:
    at = panels.shown(int(data["round"][-1]))
    for rule in data["textbook"].to_numpy():
        workflow = str(rule).removeprefix("textbook_")
        color = style.WORKFLOW_COLORS[workflow]
        axis.plot(data["round"], data["textbook_theory"].sel(textbook=rule), color=color, linewidth=1.3)
        one = data.sel(rule=rule).isel(round=at)
        panels.medians(axis, at, one, "rule_trace", color)
        axis.annotate(NAMES[workflow], (at[-1], float(one["rule_trace_middle"][-1])), xytext=(-4, 6),
                      textcoords="offset points", ha="right", fontsize=9, color=color)  # fmt: skip
    axis.set_yscale("log")
    axis.set_title("Scott's rule times the rows' own spread")
    axis.set_xlabel("round k")
    axis.set_ylabel("model variance over the real one\n(medians, 90 %; lines: exact means)")
