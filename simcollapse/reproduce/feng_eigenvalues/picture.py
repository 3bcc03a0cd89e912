"""Accuracy of models trained on computed eigenvalues, against how many there are and how well they were verified."""

import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.feng_eigenvalues.settings import SCALES, WORKFLOWS, Config, configure

NAME = "feng-eigenvalues"
EXTRA = "neural"
SOURCE = "Feng et al. §6.1"
CROSSING = 0.65  # published, 5 x 5 matrices
NEAR = 0.1  # of it
AS_GOOD = 0.03  # accuracy within which two ways of decoding are as good
PUBLISHED = {
    "greedy": 0.202,
    "likelihood": 0.192,
    "oracle": 0.604,
}  # Source: [Feng24], Table 1 (v2), 1 % tolerance
WORDS = {
    "greedy": "greedy",
    "likelihood": "most probable\nof the beam",
    "oracle": "best of the\nbeam (oracle)",
}
NONE, ORACLE = "#D55E00", "#009E73"


def compute(config: Config) -> xr.Dataset:
    """Accuracy and audit by (arm, chain, round), Table 1 and the verifiers' rates by chain."""
    from simcollapse.reproduce.feng_eigenvalues.runs import runs  # needs the extra

    data = runs(config)
    p, m = config.problem, config.model
    how = "every eigenvalue" if p.norm == "each" else "their sum of errors"
    data.attrs.update(
        title=f"eigenvalues of {p.size} x {p.size} matrices, learned from a model's own answers",
        heading=f"{p.size} × {p.size} symmetric matrices, {p.entries} entries, {p.encoding} with {p.digits} digits; "
        f"transformer of {m.encoder_layers} + {m.decoder_layers} layers, {m.width} wide. The generator learned from "
        f"{config.n_real:,} true examples;\nnew models from what a noisy oracle keeps of its greedy answers. At most "
        f"{config.fit.max_steps:,} steps a fit. Correct: {how} within {100 * p.tolerance:g} %.\n"
        f"Mean of {config.chains} seeds, bars of two standard errors",
        note=_note(config, data),
    )
    return data


def _note(config: Config, data: xr.Dataset) -> str:
    level = stats.t.sf(claims.SURE, config.chains - 1)
    rates = "; ".join(
        f"{v}: φ {float(data['verifier_phi'].sel(verifier=v).mean()):.3f}, "
        f"ψ {float(data['verifier_psi'].sel(verifier=v).mean()):.3f}, "
        f"p* {float(data['verifier_p_star'].sel(verifier=v).mean()):.3f}"
        for v in data["verifier"].to_numpy()
    )
    return (
        f"Verifiers without truth, on the generator's greedy answers: {rates} (perplexity keeps "
        f"{100 * config.share:g} %). Claims ask for {claims.SURE:g} standard errors over {config.chains} seeds: for a "
        f"difference that is not there, one-sided level {100 * level:.1f} % each (t, {config.chains - 1} degrees of "
        "freedom). Published figures are for 5 x 5 matrices."
    )


def compare(data: xr.Dataset) -> list[Claim]:
    """The paper's findings, by paired differences over chains."""
    p_stars, curve = by_p_star(data)
    generator = _generator(data)
    without, oracle = curve[:, 0], curve[:, -1]
    crossings = _crossings(p_stars, curve, generator)
    ranks = np.array([_rank_correlation(p_stars, one) for one in curve])
    beams = {name: data[f"beam_{name}"].to_numpy() for name in PUBLISHED}
    amounts, followed = by_amount(data, 1.0)
    _, unverified = by_amount(data, 0.5)
    return [
        _above(
            "without verification (p* = 0.5) a new model is worse than the generator",
            "accuracy of the generator less that of the new model",
            generator - without,
        ),
        _above(
            "without verification no amount of data makes a better model than the generator",
            "accuracy of the generator less that of the best new model",
            generator - unverified.max(axis=1),
        ),
        _above(
            "with an oracle a new model is better than the generator",
            "difference of accuracies",
            oracle - generator,
        ),
        _above(
            "an oracle nearly doubles accuracy",
            "accuracy with an oracle over the generator's",
            oracle / generator,
            1.5,
        ),
        _above(
            "with an oracle more data is better",
            f"accuracy with {amounts[-1]:,} rows less that with {amounts[0]:,}",
            followed[:, -1] - followed[:, 0],
        ),
        _above(
            "accuracy rises with p*",
            f"Spearman correlation over {len(p_stars)} values of p*, mean of the chains",
            ranks,
            0.5,
        ),
        claims.within(
            f"new models overtake the generator near p* = {CROSSING:g}",
            SOURCE,
            f"p* at which accuracies are equal, 1 where the oracle's too is lower ({_apart(p_stars, crossings)})",
            _estimate(crossings),
            CROSSING,
            NEAR,
        ),
        _above(
            "they do so below the generator's error rate",
            "error rate p less that p*",
            1 - generator - crossings,
        ),
        _above(
            "the best answer of a beam is right more often than the greedy one",
            "difference of accuracies",
            beams["oracle"] - beams["greedy"],
        ),
        claims.within(
            "the most probable answer of a beam is no better than the greedy one",
            SOURCE,
            "difference of accuracies",
            _estimate(beams["likelihood"] - beams["greedy"]),
            0.0,
            AS_GOOD,
        ),
    ]


def by_p_star(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Values of p*, rising, and accuracy (chain, p*) with the largest amount after one round."""
    most = int(data["arm_amount"].max())
    one = data.isel(arm=np.flatnonzero((data["arm_workflow"] == "replace") & (data["arm_amount"] == most)))
    one = one.isel(arm=np.argsort(one["arm_p_star"].to_numpy()))
    return one["arm_p_star"].to_numpy(), one["accuracy"].sel(round=1).transpose("chain", "arm").to_numpy()


def by_amount(data: xr.Dataset, p_star: float) -> tuple[np.ndarray, np.ndarray]:
    """Amounts, rising, and accuracy (chain, amount) with this p* after one round."""
    one = data.isel(arm=np.flatnonzero((data["arm_workflow"] == "replace") & (data["arm_p_star"] == p_star)))
    one = one.isel(arm=np.argsort(one["arm_amount"].to_numpy()))
    return one["arm_amount"].to_numpy(), one["accuracy"].sel(round=1).transpose("chain", "arm").to_numpy()


def _generator(data: xr.Dataset) -> np.ndarray:
    """Accuracy of round 0, (chain,)."""
    return data["accuracy"].isel(arm=0).sel(round=0).to_numpy()


def crossing(p_stars: np.ndarray, accuracy: np.ndarray, generator: float) -> float:
    """p* at which the line through the points first reaches the generator; an end where it stays on one side."""
    above = accuracy >= generator
    if above.all():
        return float(p_stars[0])
    if not above.any():
        return float(p_stars[-1])
    # The last change from below to above: below it some model still falls short.
    i = np.flatnonzero(~above)[-1]
    if i == len(p_stars) - 1:
        return float(p_stars[-1])
    share = (generator - accuracy[i]) / (accuracy[i + 1] - accuracy[i])
    return float(p_stars[i] + share * (p_stars[i + 1] - p_stars[i]))


def _crossings(p_stars: np.ndarray, accuracy: np.ndarray, generator: np.ndarray) -> np.ndarray:
    """(chain,), of accuracy (chain, p*) and each chain's generator."""
    return np.array([crossing(p_stars, a, g) for a, g in zip(accuracy, generator, strict=True)])


def _apart(p_stars: np.ndarray, crossings: np.ndarray) -> str:
    """How many chains have no crossing but the end of the line."""
    return f"{int(np.sum(crossings == p_stars[-1]))} of {len(crossings)} seeds"


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's; 0 where all y are equal."""
    if np.ptp(y) == 0:
        return 0.0
    found: Any = stats.spearmanr(x, y)
    return float(found[0])


def _above(statement: str, quantity: str, samples: np.ndarray, limit: float = 0.0) -> Claim:
    return claims.above(statement, SOURCE, quantity, _estimate(samples), limit)


def _estimate(samples: np.ndarray) -> Estimate:
    return Estimate(float(np.mean(samples)), float(np.std(samples, ddof=1) / np.sqrt(len(samples))))


def draw(data: xr.Dataset) -> Figure:
    """Four panels; computes means over chains only."""
    figure = style.blank(10.0, 7.4)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 2)
    _draw_amounts(axes[0, 0], data)
    _draw_p_star(axes[0, 1], data)
    _draw_table(axes[1, 0], data)
    _draw_rounds(axes[1, 1], data)
    return figure


def _draw_amounts(axis: Axes, data: xr.Dataset) -> None:
    one = data["arm_p_star"].to_numpy()[data["arm_workflow"].to_numpy() == "replace"]
    values, counts = np.unique(one, return_counts=True)
    followed = values[counts > 1]
    colors = _colors(len(followed))
    for p_star, color in zip(followed, colors, strict=True):
        amounts, accuracy = by_amount(data, p_star)
        _bars(axis, amounts, accuracy, color, f"p* = {p_star:g}")
    _level(axis, data)
    axis.set(xscale="log", xlabel="computed examples kept, n'", ylabel="accuracy", title="amount of data")
    axis.legend()


def _draw_p_star(axis: Axes, data: xr.Dataset) -> None:
    p_stars, accuracy = by_p_star(data)
    _bars(axis, p_stars, accuracy, "#0072B2", None)
    _level(axis, data)
    places = _crossings(p_stars, accuracy, _generator(data))
    got = _estimate(places)
    axis.axvspan(
        got.value - 2 * got.error, got.value + 2 * got.error, color="#CC79A7", alpha=0.25, linewidth=0
    )
    told = []
    if np.any(places < p_stars[-1]):
        told.append(f"crossing at {got.value:.2f} ± {2 * got.error:.2f}")
    if np.any(places == p_stars[-1]):
        told.append(f"no crossing below 1 in {_apart(p_stars, places)}")
    axis.axvline(got.value, color="#CC79A7", label="; ".join(told))
    axis.axvline(
        CROSSING, color="#666666", linestyle=(0, (1, 2)), label=f"published {CROSSING:g} (5 × 5 matrices)"
    )
    most = int(data["arm_amount"].max())
    axis.set(xlabel="breakdown point p* of the verifier", ylabel="accuracy", title=f"verifier, n' ≈ {most:,}")
    axis.legend(loc="best")


def _draw_table(axis: Axes, data: xr.Dataset) -> None:
    config = json.loads(data.attrs["config"])
    at = np.arange(len(WORDS))
    got = [_estimate(data[f"beam_{name}"].to_numpy()) for name in WORDS]
    axis.bar(
        at - 0.2, [g.value for g in got], 0.4, yerr=[2 * g.error for g in got], color="#0072B2", capsize=2,
        label=f"here, within {100 * config['problem']['tolerance']:g} %",
    )  # fmt: skip
    axis.bar(
        at + 0.2,
        [PUBLISHED[n] for n in WORDS],
        0.4,
        color="#BBBBBB",
        label="published, 5 × 5, within 1 %",
    )
    for i, g in enumerate(got):
        axis.annotate(
            f"{100 * g.value:.1f} %", (i - 0.2, g.value + 2 * g.error), ha="center", va="bottom", fontsize=8
        )
        axis.annotate(
            f"{100 * PUBLISHED[list(WORDS)[i]]:.1f} %", (i + 0.2, PUBLISHED[list(WORDS)[i]]),
            ha="center", va="bottom", fontsize=8,
        )  # fmt: skip
    axis.set_xticks(at, list(WORDS.values()))
    axis.set(ylabel="accuracy of the generator", title="decoding")
    axis.legend(loc="upper left", fontsize=8)


def _draw_rounds(axis: Axes, data: xr.Dataset) -> None:
    several = data.isel(arm=np.flatnonzero(data["arm_rounds"] > 1))
    for i in range(several.sizes["arm"]):
        arm = several.isel(arm=i)
        workflow, p_star = str(arm["arm_workflow"].item()), float(arm["arm_p_star"])
        accuracy = arm["accuracy"].transpose("chain", "round").to_numpy()
        there = np.isfinite(accuracy).all(axis=0)
        mean = accuracy[:, there].mean(axis=0)
        error = accuracy[:, there].std(axis=0, ddof=1) / np.sqrt(len(accuracy))
        axis.errorbar(
            arm["round"].to_numpy()[there] + 0.03 * (WORKFLOWS.index(workflow) - 1), mean, 2 * error,
            color=style.WORKFLOW_COLORS[workflow], linestyle="-" if p_star == 1 else (0, (1, 1.5)),
            marker="P" if p_star == 1 else "s", capsize=2, linewidth=1.3,
            label=f"{workflow}, {'oracle' if p_star == 1 else 'none'}",
        )  # fmt: skip
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="round k", ylabel="accuracy", title="several rounds")
    if several.sizes["arm"]:
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.45 * (high - low))  # the legend stands above the lines
        axis.legend(fontsize=8, ncols=2, loc="upper right")


def _bars(axis: Axes, x: np.ndarray, values: np.ndarray, color: str, label: str | None) -> None:
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    options: dict[str, Any] = {"color": color, "marker": "o", "capsize": 2, "linewidth": 1.2, "label": label}
    axis.errorbar(x, values.mean(axis=0), 2 * error, **options)


def _level(axis: Axes, data: xr.Dataset) -> None:
    got = _estimate(_generator(data))
    axis.axhspan(got.value - 2 * got.error, got.value + 2 * got.error, color="black", alpha=0.12, linewidth=0)
    axis.axhline(got.value, color="black", linewidth=1.0, linestyle=(0, (4, 2)), label="generator")


def _colors(number: int) -> list[str]:
    """From none to an oracle."""
    strongest_first: list[str] = [*style.STRENGTH_COLORS]
    return strongest_first[::-1][5 - number :] if number <= 5 else ["#0072B2"] * number


__all__ = ["EXTRA", "NAME", "SCALES", "compare", "compute", "configure", "draw"]
