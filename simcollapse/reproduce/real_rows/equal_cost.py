"""Workflows at equal training cost: rows that all fits so far have seen, in place of rounds."""

import dataclasses
import json
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.reproduce import claims, precision, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.real_rows import curves
from theory.workflows import fresh_real, linear

NAME = "equal-cost"
DERIVED = "derived here, theory.workflows.linear"
ROWS = 20  # real, and generated in a round
WINDOW = 3
SHARE = 0.5  # of fresh real rows
LEAST_GAP = 1.2  # error of one workflow over that of another, that is called a difference


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 100  # of workflows whose fits see one round's rows
    seed: int = 0


SCALES = {
    "quick": Config(chains=3_000, rounds=60),
    "small": Config(chains=10_000, rounds=200),
    "paper": Config(chains=20_000, rounds=500),
}


class _Way(NamedTuple):
    """A workflow, the rows that fit k sees, and its exact error in rounds 0..K."""

    make: Any
    seen: Any  # of k >= 1
    exact: Any  # of the number of rounds


def _linear(weights) -> Any:
    def exact(rounds: int) -> np.ndarray:
        batches = linear.rounds_of(ROWS, ROWS, rounds)
        return linear.mean_mse_exact(sigma=1.0, batches=batches, weights=weights(batches))

    return exact


def _subsampled(rounds: int) -> np.ndarray:
    return linear.subsampled_mse_recursion(sigma=1.0, n_per_round=ROWS, rounds=rounds)


def _mixed(rounds: int) -> np.ndarray:
    real = round(SHARE * ROWS)
    sizes: dict[str, Any] = {"n_real": real, "n_synthetic": ROWS - real, "real_weight": SHARE, "sigma": 1.0}
    path = fresh_real.mean_mse_exact(**sizes, rounds=rounds)
    # that path starts from as many real rows as a later round has: here round 0 has more
    return path + (1 / ROWS - path[0]) * (1 - SHARE) ** (2 * np.arange(rounds + 1))


WAYS = {
    "replace": _Way(sc.replace, lambda k: ROWS, _linear(lambda b: linear.windowed(b, rounds=1))),
    "window of 3 rounds": _Way(
        lambda: sc.sliding_window(WINDOW),
        lambda k: ROWS * min(k + 1, WINDOW),
        _linear(lambda b: linear.windowed(b, rounds=WINDOW)),
    ),
    "accumulate-subsample": _Way(sc.accumulate_subsample, lambda k: ROWS, _subsampled),
    "real rows deleted at round 1": _Way(
        lambda: sc.delete_real(1),
        lambda k: ROWS * k,
        lambda rounds: linear.deleted_mse_exact(
            sigma=1.0, n_real=ROWS, n_per_round=ROWS, rounds=rounds, at=1
        ),
    ),
    "accumulate": _Way(sc.accumulate, lambda k: ROWS * (k + 1), _linear(linear.accumulated)),
    "half fresh real rows": _Way(lambda: sc.fresh_real(SHARE), lambda k: ROWS, _mixed),
}
COLORS = dict(zip(WAYS, ("#0072B2", "#56B4E9", "#CC79A7", "#332288", "#009E73", "#E69F00"), strict=True))


def cost(way: _Way, rounds: int) -> np.ndarray:
    """Rows that all fits up to each of rounds 0..K have seen, over those of the first fit; shape (K+1,)."""
    return np.cumsum([ROWS, *(way.seen(k) for k in range(1, rounds + 1))]) / ROWS


def affordable(way: _Way, budget: float) -> int:
    """Last round whose cost is within the budget."""
    k = 0
    while cost(way, k + 1)[-1] <= budget:
        k += 1
    return k


@precision.single
def compute(config: Config) -> xr.Dataset:
    """By (workflow, round): squared error of a mean over the first fit's, simulated and exact, and cost; NaN beyond
    the budget, which is the cost of `rounds` rounds of `replace`.
    """
    budget = config.rounds + 1.0
    shape = (len(WAYS), config.rounds + 1)
    arrays = {name: np.full(shape, np.nan) for name in ("error", "error_se", "error_theory", "cost")}
    for i, way in enumerate(WAYS.values()):
        last = affordable(way, budget)
        result = sc.simulate(
            curves.mean_task(),
            "none",
            way.make(),
            n_real=ROWS,
            n_per_round=ROWS,
            rounds=last,
            chains=config.chains,
            seed=int(np.random.SeedSequence([config.seed, 17, i]).generate_state(1)[0]),
            audit=False,
            engine="auto",
            progress=False,
        )["squared_error"]
        found = curves.over_chains(result) * ROWS
        for name in ("error", "error_se"):
            arrays[name][i, : last + 1] = found[name]
        arrays["error_theory"][i, : last + 1] = way.exact(last) * ROWS
        arrays["cost"][i, : last + 1] = cost(way, last)
    data = xr.Dataset(
        {name: (("workflow", "round"), array) for name, array in arrays.items()},
        coords={"workflow": list(WAYS), "round": np.arange(shape[1])},
    )
    data.attrs.update(
        title="workflows at equal training cost",
        heading=f"estimating a mean from {ROWS} real rows, then {ROWS} rows a round; error over that of the first fit, "
        "by rows that all fits so far have seen.\nLines: exact; points: simulation, bars of two standard errors",
        budget=budget,
        config=json.dumps(dataclasses.asdict(config)),
        note="Cost is what fits read; drawing rows and storing them is not counted. At the cost of K rounds of replace "
        "accumulate has had about sqrt(2 K) rounds.",
    )
    return data


def _last(data: xr.Dataset, name: str) -> tuple[int, Estimate]:
    """Last affordable round, and its error."""
    one = data.sel(workflow=name)
    k = int(one["cost"].notnull().sum()) - 1
    return k, Estimate(float(one["error"][k]), float(one["error_se"][k]))


def _over(data: xr.Dataset, name: str, other: str) -> Estimate:
    top, bottom = _last(data, name)[1], _last(data, other)[1]
    value = top.value / bottom.value
    return Estimate(value, value * float(np.hypot(top.error / top.value, bottom.error / bottom.value)))


def compare(data: xr.Dataset) -> list[Claim]:
    """Who has the smaller error for the same rows read."""
    budget = int(data.attrs["budget"])
    words = f"error over {{}}'s at the cost of {budget} first fits"
    rows = [
        claims.below(
            f"at equal training cost accumulating has the smaller error than {name}",
            DERIVED,
            words.format(name),
            _over(data, "accumulate", name),
            1 / LEAST_GAP,
        )
        for name in ("replace", "window of 3 rounds", "accumulate-subsample", "real rows deleted at round 1")
    ]
    k, got = _last(data, "accumulate")
    rows.append(
        claims.never_above(
            f"… in {k} rounds, in place of {budget - 1}; its bound π²/6 holds at any budget",
            "[Gerstgrasser24]",
            "error over that of the first fit",
            got,
            float(np.pi**2 / 6),
            1,
        )
    )
    rows.append(
        claims.below(
            "a fixed budget drawn from all rows beats replacing at the same cost and the same number of rounds",
            DERIVED,
            words.format("replace"),
            _over(data, "accumulate-subsample", "replace"),
            1 / LEAST_GAP,
        )
    )
    rows.append(
        claims.below(
            "new real rows are worth more than any way to keep old ones: half of each round real and nothing kept "
            "is below accumulate-subsample",
            DERIVED,
            words.format("accumulate-subsample"),
            _over(data, "half fresh real rows", "accumulate-subsample"),
            1 / LEAST_GAP,
        )
    )
    rows.append(
        curves.on_line(
            data, "the exact errors lie on the simulation", DERIVED, "errors by workflow and round"
        )
    )
    return rows


def draw(data: xr.Dataset) -> Figure:
    """Error over cost; computes nothing."""
    figure = style.blank(8.4, 4.8)
    style.heading(figure, data.attrs["heading"])
    axis = figure.subplots()
    for name, marker in zip(data["workflow"].to_numpy(), "soDv^P", strict=True):
        one = data.sel(workflow=name).dropna("round", subset=["cost"])
        at = np.concatenate([[0], curves.some(one.sizes["round"] - 1, 10)])
        curves.draw(
            axis, one["cost"][at], one["error"][at], one["error_se"][at], one["cost"], one["error_theory"],
            color=COLORS[str(name)], label=f"{name} ({one.sizes['round'] - 1} rounds)", marker=marker,
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="rows that all fits have seen, over those of the first fit")
    axis.set_ylabel("squared error over that of the first fit")
    ticks = [t for t in (1, 1.5, 2, 3, 5, 10, 30, 100, 300) if t < axis.get_ylim()[1]]
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    style.legend_below(figure, [axis], 2)
    return figure
