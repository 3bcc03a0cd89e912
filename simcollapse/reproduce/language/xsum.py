"""Rounds of retraining with and without a verifier: does it end the decline, and is there a gain at first."""

import functools

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.language import common, settings
from simcollapse.reproduce.language.common import EXTRA, at, check, preview
from simcollapse.reproduce.language.settings import Arm, Config, Fit

NAME = "yi-xsum"
SOURCE = "Yi et al. §5.3"
SHARE = 0.125  # as published
VERIFIED, SAME, FULL = "verified", "unverified-same", "unverified-full"
WORDS = {
    VERIFIED: "verified (oracle, best 12.5 %)",
    SAME: "unverified, as many as are kept",
    FULL: "unverified, all that is generated",
}
COLORS = {VERIFIED: "#009E73", SAME: "#777777", FULL: "#D55E00"}
MARKERS = {VERIFIED: "P", SAME: "s", FULL: "D"}
SETTLED = 0.1  # relative change over the last half of the rounds below which a curve counts as a plateau


def arms(generated: int, rounds: int) -> tuple[Arm, ...]:
    """Verified, and unverified at the kept count and at the full count."""
    return (
        Arm(VERIFIED, generated, "oracle", SHARE, rounds=rounds),
        Arm(SAME, round(SHARE * generated), rounds=rounds),
        Arm(FULL, generated, rounds=rounds),
    )


_QUICK = Config(
    arms=arms(1_600, 4), n_real=200, n_prompts=1_600, chains=3, fit=Fit(max_steps=120),
)  # fmt: skip
_SMALL = Config(
    arms=arms(4_000, 6), n_real=500, n_prompts=4_000, chains=3, width=128, layers=3, base_steps=3_000,
    fit=Fit(max_steps=300, learning_rate=1e-3), answered=1_000, batch=64,
)  # fmt: skip
_PAPER = Config(
    arms=arms(24_000, 6), n_real=3_000, n_prompts=24_000, chains=3, width=256, layers=4, base_steps=20_000,
    fit=Fit(epochs=1, learning_rate=5e-5, warmup=0.03), held_out=2_000, answered=2_000, batch=64,
)  # fmt: skip
SCALES = {"quick": _QUICK, "small": _SMALL, "paper": _PAPER}
configure = functools.partial(settings.configure, published=_PAPER.fit)
PANELS = ("quality", "loss", "distinct_2", "self_bleu", "length", "p")


def compute(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round)."""
    data = common.runs(config)
    config = common.settings_of(data)
    data.attrs.update(
        title="retraining on a model's own answers, verified or not",
        heading=f"{config.n_real:,} real texts, then in every round {config.arms[0].generated:,} generated answers "
        f"(replace), each model from {common.started(config)}.\n{common.words(config, data)}",
        note=common.note(config),
    )
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """The paper's orderings, by paired differences (see `common.samples`); of answers' quality and held-out loss."""
    good, last = common.quality(data), int(data["round"][-1])
    rows: list[Claim] = []
    for name, quantity, sign in (
        (good, "correct answers" if good == "accuracy" else "ROUGE-1", 1),
        ("loss", "held-out loss", -1),
    ):
        rows += _orderings(data, name, quantity, sign, last)
    return rows


def _orderings(data, name, quantity, sign, last):
    def worth(arm, k):
        return sign * at(data, name, arm, k)

    def claim(statement, what, samples):
        return common.above(statement, SOURCE, f"{quantity}: {what}", samples)

    late = (worth(VERIFIED, last) - worth(VERIFIED, last - last // 2)) / np.abs(worth(VERIFIED, 0)).mean()
    return [
        claim("retraining without a verifier degrades the model (same kept count)",
              f"loss of quality from round 0 to {last}", worth(SAME, 0) - worth(SAME, last)),
        claim("retraining without a verifier degrades the model (full generated count)",
              f"loss of quality from round 0 to {last}", worth(FULL, 0) - worth(FULL, last)),
        claim("with a verifier the model improves at first", "gain from round 0 to 1",
              worth(VERIFIED, 1) - worth(VERIFIED, 0)),
        claims.within(
            "with a verifier it then rests on a plateau", SOURCE,
            f"{quantity}: change over the last half of the rounds over its value in round 0",
            common.estimate(late), 0.0, SETTLED,
        ),
        claim("in the end it is better with a verifier than without (same kept count)",
              f"difference in round {last}", worth(VERIFIED, last) - worth(SAME, last)),
        claim("in the end it is better with a verifier than without (full generated count)",
              f"difference in round {last}", worth(VERIFIED, last) - worth(FULL, last)),
    ]  # fmt: skip


def draw(data: xr.Dataset) -> Figure:
    """Six panels; computes means over chains only."""
    figure = style.blank(10.5, 6.4)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 3)
    for axis, panel in zip(axes.flat, PANELS, strict=True):
        name = common.quality(data) if panel == "quality" else panel
        for arm in WORDS:
            look = {"color": COLORS[arm], "marker": MARKERS[arm]}
            common.curve(axis, data, name, arm, WORDS[arm], **look)
            if name == "p" and arm == VERIFIED:
                common.curve(
                    axis, data, "p_star", arm, None, color=COLORS[arm], linestyle=(0, (1, 1.5))
                )  # fmt: skip
        if name == "loss":
            common.floor(axis, data)
        common.by_round(axis, "p, and p* of the verifier (dotted)" if name == "p" else common.LABELS[name])
    style.legend_below(figure, list(axes.flat), 4)
    return figure


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "preview"]
