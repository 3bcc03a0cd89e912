"""Four selectors of generated answers, three shares: which make a model better than its generator."""

import functools

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.language import common, settings
from simcollapse.reproduce.language.common import EXTRA, at, check, preview
from simcollapse.reproduce.language.settings import Arm, Config, Fit

NAME = "feng-summaries"
SOURCE = "Feng et al. §6.2"
SHARES = (0.125, 0.25, 0.5)  # as published
SELECTORS = ("oracle", "self", "weak", "random")
ALL = "unverified"


def name_of(verifier: str, share: float) -> str:
    """An arm's name."""
    return f"{verifier}-{100 * share:g}"


def _arms(n_prompts: int) -> tuple[Arm, ...]:
    """Every selector at every share; everything unverified; real texts of the same numbers."""
    selected = [
        Arm(name_of(verifier, share), n_prompts, verifier, share)
        for verifier in SELECTORS
        for share in SHARES
    ]
    real = [Arm(name_of("real", share), real=round(share * n_prompts)) for share in SHARES]
    return (*selected, Arm(ALL, n_prompts), *real)


# As published the generator learned from 12.5 % of the texts, and answers the prompts of all.
_QUICK = Config(
    arms=_arms(1_600),
    n_real=200,
    n_prompts=1_600,
    chains=4,
    fit=Fit(max_steps=120),
)
_SMALL = Config(
    arms=_arms(4_000), n_real=500, n_prompts=4_000, chains=3, width=128, layers=3, base_steps=3_000,
    fit=Fit(max_steps=300, learning_rate=1e-3), answered=1_000, batch=64,
)  # fmt: skip
_PAPER = Config(
    arms=_arms(24_000), n_real=3_000, n_prompts=24_000, chains=3, width=256, layers=4, base_steps=20_000,
    fit=Fit(epochs=1, learning_rate=5e-5, warmup=0.03), held_out=2_000, answered=2_000, batch=64,
)  # fmt: skip
SCALES = {"quick": _QUICK, "small": _SMALL, "paper": _PAPER}
configure = functools.partial(settings.configure, published=_PAPER.fit)


def compute(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round)."""
    data = common.runs(config)
    config = common.settings_of(data)
    start = "the generator" if config.continuing else common.started(config)
    data.attrs.update(
        title="models tuned on answers that a verifier selected",
        heading=f"The generator was tuned on {config.n_real:,} real texts and answers {config.n_prompts:,} prompts; "
        f"new models from {start} and what is selected of it.\n{common.words(config, data, 'bars')}",
        note=common.note(config),
    )
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """The paper's orderings, by paired differences over chains, means over the three shares."""
    good = common.quality(data)
    unit = "share of correct answers" if good == "accuracy" else "ROUGE-1"
    mean = {
        v: np.mean([at(data, good, name_of(v, s), 1) for s in SHARES], axis=0) for v in (*SELECTORS, "real")
    }
    generator = at(data, good, ALL, 0)

    def claim(statement, quantity, samples):
        return common.above(statement, SOURCE, f"{unit}: {quantity}", samples)

    p_stars, reached = by_p_star(data, good)
    return [
        claim("random selection makes no better model than the generator", "generator less random",
              generator - mean["random"]),
        claim("everything that was generated makes no better model than the generator",
              "generator less unverified", generator - at(data, good, ALL, 1)),
        claim("an oracle selects better than chance", "oracle less random", mean["oracle"] - mean["random"]),
        claim("an oracle selects better than the generator itself", "oracle less self-selection",
              mean["oracle"] - mean["self"]),
        claim("self-selection is better than chance", "self-selection less random", mean["self"] - mean["random"]),
        claim("self-selection makes a better model than the generator", "self-selection less generator",
              mean["self"] - generator),
        claim("self-selection is better than weak supervision", "self-selection less weak supervision",
              mean["self"] - mean["weak"]),
        claim("an oracle's choice is better than as many real texts", "oracle less real texts",
              mean["oracle"] - mean["real"]),
        claims.rank_correlation(
            "the model is the better, the higher p* of its verifier", SOURCE,
            f"{len(p_stars)} selections (means over seeds)", p_stars, reached, 0.0,
        ),
    ]  # fmt: skip


def by_p_star(data: xr.Dataset, good: str) -> tuple[np.ndarray, np.ndarray]:
    """p* of every selection and what its model reaches, means over chains."""
    arms = [name_of(v, s) for v in SELECTORS for s in SHARES]
    both = [[np.nanmean(at(data, name, arm, 1)) for arm in arms] for name in ("p_star", good)]
    return np.array(both[0]), np.array(both[1])


def draw(data: xr.Dataset) -> Figure:
    """Four panels; computes means over chains only."""
    figure = style.blank(10.0, 7.2)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 2)
    good = common.quality(data)
    _shares(axes[0, 0], data, good)
    _shares(axes[0, 1], data, "loss")
    _shares(axes[1, 0], data, "p_star")
    _p_star(axes[1, 1], data, good)
    style.legend_below(figure, list(axes.flat), 4)
    return figure


def _shares(axis: Axes, data: xr.Dataset, name: str) -> None:
    x = [100 * share for share in SHARES]
    for i, verifier in enumerate(SELECTORS):
        common.bars(
            axis, [at_ * 1.02 ** (i - 1.5) for at_ in x],
            [at(data, name, name_of(verifier, share), 1) for share in SHARES],
            color=common.VERIFIER_COLORS[verifier], marker=common.VERIFIER_MARKERS[verifier],
            label=common.VERIFIER_WORDS[verifier],
        )  # fmt: skip
    if name != "p_star":
        common.bars(
            axis, x, [at(data, name, name_of("real", share), 1) for share in SHARES],
            color="black", marker="D", linestyle=(0, (4, 2)), label="real texts of the same number",
        )  # fmt: skip
        common.level(axis, at(data, name, ALL, 0), "generator", linestyle=(0, (4, 2)))
        common.level(axis, at(data, name, ALL, 1), "all, unverified", color=common.VERIFIER_COLORS["none"])
    if name == "loss":
        common.floor(axis, data)
        axis.set_yscale("log")  # what selection by perplexity leaves is far from real texts
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    if name == "p_star":
        common.level(axis, at(data, "p", ALL, 1), "error rate p of the generator", color="#CC79A7")
    axis.set_xscale("log")
    axis.set_xticks(x, [f"{value:g} %" for value in x])
    axis.minorticks_off()
    axis.set(xlabel="share selected", ylabel=common.LABELS[name])


def _p_star(axis: Axes, data: xr.Dataset, good: str) -> None:
    for verifier in SELECTORS:
        for share, size in zip(SHARES, (3.5, 5.0, 7.0), strict=True):
            arm = name_of(verifier, share)
            x, y = common.estimate(at(data, "p_star", arm, 1)), common.estimate(at(data, good, arm, 1))
            axis.errorbar(
                x.value, y.value, 2 * y.error, 2 * x.error, color=common.VERIFIER_COLORS[verifier],
                marker=common.VERIFIER_MARKERS[verifier], markersize=size, elinewidth=0.9,
            )  # fmt: skip
    common.level(axis, at(data, good, ALL, 0), "generator", linestyle=(0, (4, 2)))
    axis.axvline(float(np.mean(at(data, "p", ALL, 1))), color="#CC79A7")
    axis.set(xlabel="p* of the verifier (larger signs: larger shares)", ylabel=common.LABELS[good])


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "preview"]
