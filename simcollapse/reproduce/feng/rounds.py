"""Retraining chains: p, phi, psi, p* and accuracy from round to round, with a linear verifier and without.

Reading R3: the generator is the model fitted in the round before. Each fit is the bisector of the old rule and the
verifier's, so the chain goes to the verifier's own rule: the knowledge center of classification.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import simcollapse as sc
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.feng import retraining, selection
from theory import breakdown

NAME = "breakdown-rounds"
SEPARATION = 1.5547735946  # of the mixture in the last panel: Phi(it) = 0.94
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
VERIFIER_WORDS = {"linear": "a linear verifier", "none": "no verifier"}
ARMS = tuple(VERIFIER_WORDS)
EVERYTHING = (
    -1e6
)  # a margin that every row has: a verifier that keeps all, in the same program as one that does not
DERIVED = "derived here"
TOLERANCE = 0.01  # of the predicted accuracies, which are limits for many dimensions
# Degrees, of the predicted mean angles: limits for many dimensions; without a verifier the angle falls steeply, and
# chains that lag behind pull the mean up (by 2.5 degrees in 20 dimensions, 1.3 in 40).
ANGLE_TOLERANCE = {"linear": 0.5, "none": 2.0}
NEAR_ACCURACY, NEAR_HALF = 0.015, 0.05  # what is left of the way is sampling noise, which never ends
NEAR_RULE = 0.25  # share of the first angle to the verifier's rule
NAMES = {"replace": "replace", "accumulate": "accumulate", "accumulate_subsample": "accumulate-subsample"}
WITHOUT: dict[str, Any] = {"linestyle": (0, (2, 1.5))}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    dim: int = 20
    n_real: int = 40  # rows with true labels, round 0
    n_per_round: int = 1_000  # rows generated in each later round
    rounds: int = 10
    theta_ver: float = np.pi / 6  # angle between the verifier's rule and the truth
    block_size: int | None = 32
    seed: int = 0


SCALES = {
    "quick": Config(chains=64),
    "small": Config(chains=500, dim=40, n_real=80, n_per_round=2_000),
    "paper": Config(chains=2_000, dim=100, n_real=200, n_per_round=5_000, rounds=20),
}


def compute(config: Config) -> xr.Dataset:
    """By (workflow, verifier, round): accuracy, angles, audit and predictions; mixture_… for the last panel."""
    chains = [
        _chains(config, sc.half_space(config.dim, generator=sc.fitted()), 0.0, w, i)
        for i, w in enumerate(WORKFLOWS)
    ]
    data = xr.concat(chains, xr.Variable("workflow", list(WORKFLOWS)), combine_attrs="override")
    mixture = sc.gaussian_mixture(SEPARATION * np.eye(config.dim)[0], generator=sc.fitted(), labels="bayes")
    last = _chains(config, mixture, SEPARATION, "replace", len(WORKFLOWS))
    data = xr.merge([data, last.rename({name: f"mixture_{name}" for name in last.data_vars})])
    q = config.theta_ver / np.pi
    data.attrs.update(
        title="retraining chains: p, φ, ψ, p* and accuracy from round to round",
        heading="R3: each model labels the rows of the next round, a fixed linear rule at the angle "
        f"{_in_pi(config.theta_ver)} to the truth keeps the labels that it shares, or all are kept; least squares\n"
        f"x ~ N(0, I), d = {config.dim}; round 0: {config.n_real} true labels, then {config.n_per_round} generated a "
        "round; accuracy is agreement with the true half-space",
        verifier_accuracy=1 - q,
        verifier_angle=float(np.degrees(config.theta_ver)),
        config=json.dumps(dataclasses.asdict(config)),
        note="With a verifier the first round gains: the bisector of two rules that err about as much, in different "
        "directions, is better than either. Then the model's mistakes become the verifier's: ψ rises towards φ (as far "
        "as the noise of each fit lets it), so p* falls to 1/2, p goes to the verifier's own error q, and the accuracy "
        "to 1 − q. The margin p* − p stays positive throughout: being on the safe side of p* says that kept labels are "
        "mostly right, not that the next model is better. Without a verifier φ = ψ = 1, p* = 1/2 and every refit adds "
        "noise to the rule. On a mixture least squares also turns to the class means, so the chain comes to rest "
        "between the truth and the verifier's rule, and without a verifier it rests nearer to the truth still.",
    )
    return data


def _in_pi(angle: float) -> str:
    share = np.pi / angle
    return f"π/{round(share)}" if abs(share - round(share)) < 1e-9 else f"{angle:.3g}"


def _chains(config: Config, task: Any, separation: float, workflow: str, position: int) -> xr.Dataset:
    """Simulation and prediction of one workflow, by (verifier, round)."""
    arms = [sc.linear(angle=config.theta_ver), sc.linear(angle=config.theta_ver, threshold=EVERYTHING)]
    result = sc.sweep(
        task,
        arms[0],
        getattr(sc, workflow)(),
        over={"verifier": arms},
        n_real=config.n_real,
        n_per_round=config.n_per_round,
        rounds=config.rounds,
        chains=config.chains,
        seed=int(np.random.SeedSequence([config.seed, position]).generate_state(1)[0]),
        block_size=config.block_size,
    ).assign_coords(verifier=list(ARMS))
    out = selection.summary(result)
    out = out.drop_vars("kept")
    for name in ("angle", "verifier_angle"):
        degrees = result[name].astype(float) * (180 / np.pi)
        out[name] = degrees.mean("chain")
        out[f"{name}_error"] = degrees.std("chain", ddof=1) / np.sqrt(config.chains)
    return xr.merge([out, _predicted(config, separation, workflow)], combine_attrs="override").transpose(
        "verifier", "round"
    )


def _predicted(config: Config, separation: float, workflow: str) -> xr.Dataset:
    """What theory says of the same, by (verifier, round); names end in _theory."""
    found = [
        retraining.predict(
            dim=config.dim,
            separation=separation,
            n_real=config.n_real,
            n_per_round=config.n_per_round,
            rounds=config.rounds,
            theta_ver=theta,
            workflow=workflow,
        )
        for theta in (config.theta_ver, None)
    ]
    rates = {name: np.array([getattr(one, name) for one in found]) for name in ("p", "phi", "psi")}
    angle = np.degrees([one.truth_angle for one in found])
    values = rates | {
        "p_star": _p_star(rates["phi"], rates["psi"]),
        "angle": angle,
        "verifier_angle": np.degrees([one.verifier_angle for one in found]),
        "accuracy": 1 - angle / 180,
    }
    return xr.Dataset({f"{name}_theory": (("verifier", "round"), value) for name, value in values.items()})


def _p_star(phi: np.ndarray, psi: np.ndarray) -> np.ndarray:
    out = np.full(phi.shape, np.nan)
    there = np.isfinite(phi)
    out[there] = breakdown.breakdown_point(phi[there], psi[there])
    return out


def compare(data: xr.Dataset) -> list[Claim]:
    """Gain, then the verifier's own rule; the audit on the way; without a verifier; the mixture; the prediction."""
    last = int(data["round"][-1])
    rows = [*_destination(data, last), *_audit(data, last), *_workflows(data, last), *_mixture(data, last)]
    for verifier, words in VERIFIER_WORDS.items():
        one = data.sel(verifier=verifier)
        rows.append(
            claims.on_line(
                f"the predicted chain lies on the simulation ({words}; many dimensions)",
                DERIVED,
                "accuracies by workflow and round",
                (one["accuracy"] - one["accuracy_theory"]).to_numpy().ravel(),
                one["accuracy_error"].to_numpy().ravel(),
                TOLERANCE,
            )
        )
    return rows


def _destination(data: xr.Dataset, last: int) -> list[Claim]:
    one = data.sel(verifier="linear", workflow="replace")
    start = float(one["verifier_angle"][0])
    return [
        claims.above(
            "a verifier that errs elsewhere than the model first improves it: selection surpasses the generator (R3)",
            "[Feng24], Fig. 2",
            "accuracy, round 1 minus round 0 (replace)",
            _change(one, "accuracy", 0, 1),
            0.0,
        ),
        claims.within(
            "… then the chain goes to the verifier's own accuracy, 1 − q (replace)",
            DERIVED,
            f"accuracy, round {last}",
            _at(one, "accuracy", last),
            data.attrs["verifier_accuracy"],
            NEAR_ACCURACY,
        ),
        claims.below(
            "… because it goes to the verifier's own rule (replace)",
            DERIVED,
            f"angle to that rule, round {last} over round 0",
            Estimate(*(value / start for value in _at(one, "verifier_angle", last))),
            NEAR_RULE,
        ),
    ]


def _audit(data: xr.Dataset, last: int) -> list[Claim]:
    later = data.sel(verifier="linear").isel(round=slice(1, None))
    end = later.sel(workflow="replace").isel(round=-1)
    return [
        claims.within(
            "on the way the verifier comes to pass the model's mistakes: p* falls to 1/2 (replace)",
            DERIVED,
            f"audited p*, round {last}",
            Estimate(float(end["p_star"]), _p_star_error(end, data.attrs["chains"])),
            0.5,
            NEAR_HALF,
        ),
        claims.all_of(
            "… while p stays below p* throughout: the safe side of p* does not promise a better next model",
            DERIVED,
            "rounds, by workflow, have audited p < p*",
            int((later["p"] < later["p_star"]).sum()),
            later["p"].size,
        ),
    ]


def _workflows(data: xr.Dataset, last: int) -> list[Claim]:
    end = data.sel(verifier="linear").isel(round=last)
    rows = []
    for name in WORKFLOWS[1:]:
        two = end.sel(workflow=[name, "replace"])
        gap = float(two["verifier_angle"][0] - two["verifier_angle"][1])
        rows.append(
            claims.above(
                f"{NAMES[name]} goes there more slowly than replace",
                DERIVED,
                f"difference of the angles to the verifier's rule, degrees, round {last}",
                Estimate(gap, float(np.linalg.norm(two["verifier_angle_error"].to_numpy()))),
                0.0,
            )
        )
    rows.append(
        claims.below(
            "without a verifier each refit adds noise: accuracy falls (replace)",
            DERIVED,
            f"accuracy, round {last} minus round 0",
            _change(data.sel(verifier="none", workflow="replace"), "accuracy", 0, last),
            0.0,
        )
    )
    return rows


def _mixture(data: xr.Dataset, last: int) -> list[Claim]:
    deviation = data["mixture_angle"] - data["mixture_angle_theory"]
    return [
        claims.below(
            "on a Gaussian mixture the chain does not reach the verifier's rule, but rests nearer to the truth: least "
            "squares also turns to the means",
            DERIVED,
            f"angle to the truth in degrees, round {last} (the verifier's: {data.attrs['verifier_angle']:g})",
            _at(data.sel(verifier="linear"), "mixture_angle", last),
            data.attrs["verifier_angle"] * (1 - NEAR_RULE),
        ),
        *(
            claims.on_line(
                f"the predicted chain lies on the simulation (Gaussian mixture, {words}; many dimensions)",
                DERIVED,
                "angles to the truth in degrees, by round",
                deviation.sel(verifier=verifier).to_numpy(),
                data["mixture_angle_error"].sel(verifier=verifier).to_numpy(),
                ANGLE_TOLERANCE[verifier],
            )
            for verifier, words in VERIFIER_WORDS.items()
        ),
    ]


def _at(one: xr.Dataset, name: str, round: int) -> Estimate:
    return Estimate(float(one[name].isel(round=round)), float(one[f"{name}_error"].isel(round=round)))


def _change(one: xr.Dataset, name: str, before: int, after: int) -> Estimate:
    """Change between two rounds; the errors added as if independent, which chains that remember make too large."""
    a, b = _at(one, name, before), _at(one, name, after)
    return Estimate(b.value - a.value, float(np.hypot(a.error, b.error)))


def _p_star_error(now: xr.Dataset, chains: int) -> float:
    """Binomial standard error of phi/(phi + psi) from the rows of all chains (delta method)."""
    rows = chains * json.loads(now.attrs["config"])["n_per_round"]
    phi, psi, p = (float(now[name]) for name in ("phi", "psi", "p"))
    return float(np.sqrt(breakdown.p_star_variance_delta(phi, psi, (1 - p) * rows, p * rows)))


def draw(data: xr.Dataset) -> Figure:
    """Accuracy, angle to the verifier, p and p*, phi and psi, the mixture; computes nothing."""
    figure = style.blank(10.6, 7.0)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 3)
    _draw(axes[0, 0], data, "accuracy", ARMS)
    axes[0, 0].axhline(data.attrs["verifier_accuracy"], **style.CENTER)
    axes[0, 0].set(ylabel="accuracy of the model", title="a  accuracy")
    _draw(axes[0, 1], data, "verifier_angle", ("linear",))
    axes[0, 1].set(
        ylabel="angle to the verifier's rule, degrees", title="b  way to the verifier", yscale="log"
    )
    ticks = [t for t in (3, 5, 10, 20, 40) if t < 1.3 * float(data["verifier_angle"].max())]
    axes[0, 1].set_yticks(ticks, [f"{t}" for t in ticks])
    axes[0, 1].minorticks_off()
    _draw(axes[0, 2], data, "p", ("linear",))
    _draw(axes[0, 2], data, "p_star", ("linear",), marker="D")
    axes[0, 2].axhline(1 - data.attrs["verifier_accuracy"], **style.CENTER)
    axes[0, 2].set(ylabel="p, and breakdown point p*", title="c  p (▼) and p* (◆)", ylim=(0, 0.85))
    _draw(axes[1, 0], data, "phi", ("linear",))
    _draw(axes[1, 0], data, "psi", ("linear",), marker="D")
    axes[1, 0].set(ylabel="share kept", title="d  φ (▼) and ψ (◆)", ylim=(0, 1.03))
    _draw_mixture(axes[1, 1], data)
    for axis in axes.flat:
        axis.set_xlabel("round k (0 = fit on real data)")
        axis.set_xlim(-0.4, float(data["round"][-1]) + 0.4)
    _legend(axes[1, 2])
    return figure


def _draw(axis: Axes, data: xr.Dataset, name: str, verifiers, *, marker: str | None = None) -> None:
    for workflow in WORKFLOWS:
        for verifier in verifiers:
            one = data.sel(workflow=workflow, verifier=verifier)
            look = style.points(workflow, verifier)
            if verifier == "none":
                look["markerfacecolor"] = "white"
            if marker:
                look["marker"] = marker
            style_of_line = WITHOUT if verifier == "none" else {}
            axis.plot(
                one["round"], one[f"{name}_theory"], color=look["color"], linewidth=1.3, **style_of_line
            )
            bars = 2 * one[f"{name}_error"] if f"{name}_error" in one else None
            axis.errorbar(one["round"], one[name], bars, **look)


def _draw_mixture(axis: Axes, data: xr.Dataset) -> None:
    for verifier in ARMS:
        one = data.sel(verifier=verifier)
        look = style.points("replace", verifier)
        if verifier == "none":
            look["markerfacecolor"] = "white"
        line = WITHOUT if verifier == "none" else {}
        axis.plot(one["round"], one["mixture_angle_theory"], color=look["color"], linewidth=1.3, **line)
        axis.errorbar(one["round"], one["mixture_angle"], 2 * one["mixture_angle_error"], **look)
    axis.axhline(data.attrs["verifier_angle"], **style.CENTER)
    axis.set(ylabel="angle to the truth, degrees", title="e  Gaussian mixture, replace", ylim=(0, None))


def _legend(axis: Axes) -> None:
    axis.set_axis_off()
    handles = [Line2D([], [], color=style.WORKFLOW_COLORS[w], linewidth=4, label=NAMES[w]) for w in WORKFLOWS]
    dots = {"color": "black", "linewidth": 1.3}
    handles += [
        Line2D([], [], marker=style.VERIFIER_MARKERS["linear"], label="with the linear verifier", **dots),
        Line2D([], [], marker=style.VERIFIER_MARKERS["none"], markerfacecolor="white", label="without a verifier",
               **dots, **WITHOUT),
        Line2D([], [], **style.CENTER, label="the verifier's own rule (knowledge center)"),
    ]  # fmt: skip
    axis.legend(handles=handles, loc="upper left", borderaxespad=0, labelspacing=0.8,
                title="points: simulation, ± 2 standard errors\nlines: prediction", alignment="left",
                title_fontsize=9.5)  # fmt: skip
