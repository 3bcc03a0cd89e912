"""Verifier x workflow x task: error over rounds. A workflow decides how fast, the verifier decides where to."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, estimates, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.verify_x_workflow import predictions
from simcollapse.reproduce.verify_x_workflow.settings import (
    NAMES,
    SETTINGS,
    VERIFIERS,
    WORKFLOWS,
    simulate,
)

NAME = "verify-x-workflow"
YI, DERIVED = "[Yi26], Theorem 4.1 (v3)", "derived here"
AT_ONCE = 2  # programs: compiling one leaves part of two cores idle
EARLY = 3  # round of a comparison of speeds
CHECKED = (0, 1, 2, 5, 10, 20, 50, 100)  # rounds at which theory is compared
LIGHT = 0.5  # rounds over rows a round up to which a Gaussian's squared error has light enough tails
CLOSE = 0.1  # relative, of the linear form; it is for small deviations
DENSITIES = ("gaussian", "density")  # whose verifier cuts tails
SHORT = 0.08  # of the way: what a hundred rows a round change of the mean's way for unlimited rows
LONG = 2000  # rounds after which a density with fresh real rows has settled
WEAK = "needs a verifier that rejects more: this one keeps nearly all rows of a good model"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    rounds: int = 100
    tasks: tuple[str, ...] = tuple(SETTINGS)
    block_size: int = 32
    seed: int = 0


SCALES = {
    "quick": Config(chains=96, rounds=20, tasks=("regression",), block_size=48),
    "small": Config(chains=200, rounds=50),
    "paper": Config(chains=400),
}


def compute(config: Config) -> xr.Dataset:
    """By (task, verifier, workflow, round): error and share, exact and approximate error; see `settings`."""
    jobs = [(t, w) for w in reversed(WORKFLOWS) for t in config.tasks]  # the slow workflows first

    def run(job):
        place = [config.seed, list(SETTINGS).index(job[0]), WORKFLOWS.index(job[1])]
        found = simulate(
            *job,
            rounds=config.rounds,
            chains=config.chains,
            seed=int(np.random.SeedSequence(place).generate_state(1)[0]),
            block_size=config.block_size,
        )
        return xr.merge([estimates.over_chains(found[name], name) for name in ("error", "share")])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = dict(zip(jobs, pool.map(run, jobs), strict=True))
    data = xr.concat(
        [
            xr.concat([parts[t, w] for w in WORKFLOWS], xr.Variable("workflow", list(WORKFLOWS)))
            for t in config.tasks
        ],
        xr.Variable("task", list(config.tasks)),
    )
    data = data.transpose("task", "verifier", "workflow", "round", "other_round")
    for name, form in (("exact", predictions.exact), ("approximate", predictions.approximate)):
        table = [
            [[form(t, i, w, config.rounds) for w in WORKFLOWS] for i in range(len(VERIFIERS))]
            for t in config.tasks
        ]
        data[name] = ("task", "verifier", "workflow", "round"), np.array(table)
    biases = np.array([SETTINGS[t].biases for t in config.tasks])
    data["center_error"] = ("task", "verifier"), np.where(biases > 0, biases, np.nan) ** 2
    data.attrs = {
        "title": "a workflow decides how fast a model moves, the verifier decides where to",
        "heading": "mean error over chains; solid: exact; dashed: approximate (small deviations, unlimited rows, many "
        "dimensions); bars: two standard errors",
        "config": json.dumps(dataclasses.asdict(config)),
        "note": "Verified rows only: the others are dropped. Fresh real data: a fifth of a round's rows, not judged. "
        "The likelihood verifier of a density cuts tails: a Gaussian fit narrows for ever, kernels widen theirs again.",
    }
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """Gain, drift, where it ends and what holds it back; closed forms."""
    rows = []
    for task in data["task"].to_numpy():
        one = data.sel(task=task)
        rows += [*_gains(one, str(task)), *_ends(one, str(task))]
    return rows + _theory(data)


def _ratio(one: xr.Dataset, verifier: str, workflow: str, round: int, to: int) -> Estimate:
    cell = one.sel(verifier=verifier, workflow=workflow)[["error", "error_covariance"]]
    return estimates.ratio(cell, "error", round, to)


def _gains(one: xr.Dataset, task: str) -> list[Claim]:
    last, title = one.sizes["round"] - 1, SETTINGS[task].title
    worst = max(WORKFLOWS, key=lambda w: _ratio(one, "unbiased", w, last, 0).value)
    rows = [
        claims.below(
            f"an unbiased verifier: the error ends below the first fit's in every workflow ({title})",
            DERIVED,
            f"error of round {last} over the first fit's, worst workflow ({NAMES[worst]})",
            _ratio(one, "unbiased", worst, last, 0),
            1.0,
        )._replace(qualifier=_width(task)),
        claims.below(
            f"a biased verifier: near-term gain under replace ({title})",
            YI,
            "error of round 1 over the first fit's",
            _ratio(one, "biased", "replace", 1, 0),
            1.0,
        )._replace(qualifier=WEAK if task in DENSITIES else ""),
        claims.above(
            f"… and then a rise towards the verifier's center ({title})",
            YI,
            f"error of round {last} over that of round 1",
            _ratio(one, "biased", "replace", last, 1),
            1.0,
        ),
    ]
    if task == "gaussian":
        rows.append(
            claims.above(
                "… a verifier of densities is no cure: under replace its cut tails narrow the fit without end",
                f"{DERIVED}, theory.workflows.truncated_gaussian",
                f"unbiased verifier, replace: error of round {last} over that of round {last // 2}",
                _ratio(one, "unbiased", "replace", last, last // 2),
                1.0,
            )
        )
    return rows


def _ends(one: xr.Dataset, task: str) -> list[Claim]:
    """Claims on the share of the way to the center of the strongly biased verifier."""
    last, title = one.sizes["round"] - 1, SETTINGS[task].title
    rows = [
        claims.above(
            f"strongly biased, {NAMES[workflow]}: the model is nearer the verifier's center than the truth ({title})",
            DERIVED,
            f"share of the way from the truth to the center, round {last}",
            _share(one, workflow, last),
            0.5,
        )._replace(qualifier=_stop(task, workflow))
        for workflow in (WORKFLOWS if task != "gaussian" else ("replace",))
    ]
    if task in DENSITIES:
        rows += _on_its_way(one, task)
    rows.append(
        claims.above(
            f"fresh real data hold the model back ({title})",
            DERIVED,
            f"share of the way under replace less that with fresh real data, round {last}",
            _less(_share(one, "replace", last), _share(one, "fresh_real", last)),
            0.0,
        )
    )
    rows.append(
        claims.above(
            f"accumulating slows the drift ({title})",
            DERIVED,
            f"share of the way under replace less that under accumulate, round {EARLY}",
            _less(_share(one, "replace", EARLY), _share(one, "accumulate", EARLY)),
            0.0,
        )
    )
    return rows


def _width(task: str) -> str:
    """What keeps the fit of a density from its truth, whose verifier cuts tails."""
    if task == "gaussian":
        return "holds for regression and classification; a density's cut tails narrow the fit (below)"
    if task == "density":
        variance = predictions.kernel_limit().variance
        return (
            "holds for regression and classification; under replace kernels widen a density until as much is cut, to "
            f"{variance:.2f} times the variance"
        )
    return ""


def _stop(task: str, workflow: str) -> str:
    """Where a density stops on its way to the verifier's center, or how slowly it goes on."""
    if task == "gaussian":
        share = predictions.stopping_share(task)
        return f"regression and classification; a density narrows before its mean arrives, for ever at {share:.2f}"
    if task != "density" or workflow == "replace":
        return ""
    if workflow == "fresh_real":
        share = predictions.population_share(task, workflow, LONG)
        return f"for regression and classification; here the real rows hold it, for ever at {share:.2f}"
    slow = 1 - predictions.kernel_limit().decay
    return f"in the end; what is left of the way of a density of narrow kernels falls as k^−{slow:.3f}"


def _on_its_way(one: xr.Dataset, task: str) -> list[Claim]:
    """How far the mean of a density comes, whose verifier cuts tails."""
    last, title = one.sizes["round"] - 1, SETTINGS[task].title
    worst = min(WORKFLOWS, key=lambda w: _share(one, w, last).value)
    rows = [
        claims.above(
            f"… it moves towards the center in every workflow ({title})",
            DERIVED,
            f"share of the way, round {last}, worst workflow ({NAMES[worst]})",
            _share(one, worst, last),
            0.0,
        )
    ]
    for workflow in WORKFLOWS if task == "density" else ("replace",):
        words = "stops short of it" if task == "gaussian" else "is"
        form = "truncated_gaussian" if task == "gaussian" else "truncated_kde"
        rows.append(
            claims.within(
                f"… and {words} where theory has it for unlimited rows ({title}, {NAMES[workflow]})",
                f"{DERIVED}, theory.workflows.{form}",
                f"share of the way, round {last}",
                _share(one, workflow, last),
                predictions.population_share(task, workflow, last),
                SHORT,
            )
        )
    return rows


def _share(one: xr.Dataset, workflow: str, round: int) -> Estimate:
    cell = one.sel(verifier="strongly biased", workflow=workflow).isel(round=round, other_round=round)
    return Estimate(float(cell["share"]), float(np.sqrt(cell["share_covariance"])))


def _less(first: Estimate, second: Estimate) -> Estimate:
    """Their difference; they share no random numbers."""
    return Estimate(first.value - second.value, float(np.hypot(first.error, second.error)))


def _theory(data: xr.Dataset) -> list[Claim]:
    """Exact errors in z-scores, the linear form to within its own accuracy."""
    error = estimates.standard_error(data, "error")
    shown = [k for k in CHECKED if k < data.sizes["round"]]
    z = ((data["error"] - data["exact"]) / error).sel(round=shown)
    light = z["round"] <= LIGHT * xr.DataArray(
        [SETTINGS[str(t)].n_per_round for t in data["task"].to_numpy()], dims="task"
    )
    z = z.where(light | (data["task"] != "gaussian"))
    linear = data.sel(task="regression", workflow="accumulate", verifier=["unbiased", "biased"], round=shown)
    off = (linear["error"] - linear["approximate"]) / linear["approximate"]
    spread = error.sel(task="regression", workflow="accumulate", verifier=["unbiased", "biased"], round=shown)
    return [
        claims.largest_z(
            "the exact errors lie on the simulation (without a verifier; the ball under replace)",
            DERIVED,
            "errors by task, verifier, workflow and round",
            float(np.abs(z).max()),
            int(z.notnull().sum()),
        ),
        claims.on_line(
            "the linear form lies on the simulation (regression, accumulate, unbiased and biased)",
            f"{DERIVED}, theory.knowledge_center.accumulate_trajectory",
            "errors by verifier and round, relative",
            off.to_numpy().ravel(),
            (spread / linear["approximate"]).to_numpy().ravel(),
            CLOSE,
        ),
    ]


def draw(data: xr.Dataset) -> Figure:
    """A row for each task, a column for each verifier; computes nothing."""
    tasks = [str(t) for t in data["task"].to_numpy()]
    figure = style.blank(9.6, 1.1 + 2.4 * len(tasks))
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(len(tasks), len(VERIFIERS), sharex=True, sharey="row", squeeze=False)
    error = estimates.standard_error(data, "error")
    for i, task in enumerate(tasks):
        for j, verifier in enumerate(VERIFIERS):
            axis = axes[i, j]
            for workflow in WORKFLOWS:
                place = {"task": task, "verifier": verifier, "workflow": workflow}
                _curve(axis, data.sel(place), error.sel(place), workflow)
            axis.axhline(
                float(data["error"].sel(task=task, verifier=verifier).isel(round=0).mean()),
                color="#555555", linewidth=0.8, linestyle=":", label="first fit",
            )  # fmt: skip
            center = float(data["center_error"].sel(task=task, verifier=verifier))
            if np.isfinite(center):
                axis.axhline(center, **style.CENTER, label="the verifier's center")
            axis.set(xscale="log", yscale="log")
            if i == 0:
                axis.set_title("no verifier" if verifier == "none" else verifier, loc="center")
            if i == len(tasks) - 1:
                axis.set_xlabel("fits k + 1")
        axes[i, 0].set_ylabel(f"{SETTINGS[task].title}\n{SETTINGS[task].measured}")
    style.legend_below(figure, [axes[-1, -1]], 3)
    return figure


def _curve(axis, cell: xr.Dataset, error: xr.DataArray, workflow: str) -> None:
    fits, color = cell["round"] + 1, style.WORKFLOW_COLORS[workflow]
    axis.plot(fits, cell["exact"], color=color, linewidth=1.3, zorder=2.5)
    axis.plot(fits, cell["approximate"], color=color, linewidth=1.0, linestyle=(0, (4, 2)), zorder=2)
    few = np.unique(np.geomspace(1, len(fits), 9).round().astype(int)) - 1
    look = style.points(color=color) | {"markersize": 3.2, "elinewidth": 0.9, "capsize": 0}
    axis.errorbar(fits[few], cell["error"][few], 2 * error[few], **look, label=NAMES[workflow])
