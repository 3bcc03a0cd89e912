"""How data are kept over rounds, without a verifier: the claims and panels of `kazdan-sft` and `kazdan-pretrain`."""

import xarray as xr
from matplotlib.figure import Figure

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.language import common
from simcollapse.reproduce.language.common import at
from simcollapse.reproduce.language.settings import WORKFLOWS, Arm, Config

WORDS = {"replace": "replace", "accumulate": "accumulate", "accumulate_subsample": "accumulate-subsample"}
MARKERS = {"replace": "s", "accumulate": "o", "accumulate_subsample": "^"}
STEADY = 0.05  # relative change of the loss below which a workflow does not degrade
PANELS = ("loss", "quality", "distinct_2", "length")


def arms(generated: int, rounds: int) -> tuple[Arm, ...]:
    """The three workflows."""
    return tuple(Arm(workflow, generated, workflow=workflow, rounds=rounds) for workflow in WORKFLOWS)


def compute(config: Config, title: str) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round)."""
    data = common.runs(config)
    config = common.settings_of(data)
    data.attrs.update(
        title=title,
        heading=f"Every model from {common.started(config)}: {config.n_real:,} real texts, then as many generated in "
        f"every round, none verified.\n{common.words(config, data)}",
        note=common.note(config),
    )
    return data


def compare(data: xr.Dataset, source: str) -> list[Claim]:
    """Replace degrades, accumulate does not, accumulate-subsample lies between; by paired differences over chains."""
    last = int(data["round"][-1])
    loss = {arm: at(data, "loss", arm, last) for arm in WORKFLOWS}
    first = at(data, "loss", "replace", 0)

    def claim(statement, quantity, samples):
        return common.above(statement, source, quantity, samples)

    variety = at(data, "distinct_2", "replace", 0) - at(data, "distinct_2", "replace", last)
    return [
        claim("replacing real texts by generated ones degrades the model",
              f"held-out loss: rise from round 0 to {last}, nats a token", loss["replace"] - first),
        claims.below(
            "accumulating them does not", source,
            f"held-out loss: rise from round 0 to {last} over its value in round 0",
            common.estimate((loss["accumulate"] - first) / first.mean()), STEADY,
        ),
        claim("accumulating with a subsample of fixed size is better than replacing",
              f"held-out loss: difference in round {last}, nats a token",
              loss["replace"] - loss["accumulate_subsample"]),
        claim("accumulating with a subsample of fixed size is worse than accumulating",
              f"held-out loss: difference in round {last}, nats a token",
              loss["accumulate_subsample"] - loss["accumulate"]),
        claim("replacing loses variety", f"distinct-2 of answers: fall from round 0 to {last}", variety),
    ]  # fmt: skip


def draw(data: xr.Dataset) -> Figure:
    """Four panels; computes means over chains only."""
    figure = style.blank(9.5, 6.6)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 2)
    for axis, panel in zip(axes.flat, PANELS, strict=True):
        name = common.quality(data) if panel == "quality" else panel
        for arm in WORKFLOWS:
            common.curve(
                axis, data, name, arm, WORDS[arm], color=style.WORKFLOW_COLORS[arm], marker=MARKERS[arm]
            )
        if name == "loss":
            common.floor(axis, data)
        common.by_round(axis, common.LABELS[name])
    style.legend_below(figure, list(axes.flat), 4)
    return figure
