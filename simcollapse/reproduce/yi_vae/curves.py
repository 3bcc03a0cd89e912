"""What retraining does to an image generator, with and without a discriminator as verifier, from round to round."""

import importlib
import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from simcollapse.data.images import load_images
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.yi_vae.settings import (
    FULL,
    MORE,
    SAME,
    SCALES,
    STRONG,
    WEAK,
    WORDS,
    Config,
    configure,
)

NAME = "yi-vae"
EXTRA = "neural"
SOURCE = "Yi et al. §5.2"
SETTLED = 0.1  # relative change over the last half of the rounds below which a curve counts as a plateau

COLORS = {STRONG: "#009E73", WEAK: "#E69F00", SAME: "#777777", FULL: "#D55E00", MORE: "#0072B2"}
MARKERS = {STRONG: "o", WEAK: "v", SAME: "s", FULL: "D", MORE: "^"}
PANELS = (
    ("fid", "Fréchet distance to real in\nfeatures of a classifier trained\nhere; dotted: of what is kept"),
    ("elbo", "ELBO of held-out\nreal images, nats"),
    ("log_likelihood_bound", "importance-weighted\nbound, nats"),
    ("sample_accuracy", "samples taken for their label"),
    ("coverage", "coverage of real images"),
    ("p", "p (solid) and p* (dotted)"),
)
DOTTED = {"fid": ("kept_fid", (STRONG, WEAK, MORE)), "p": ("p_star", tuple(WORDS))}  # and for which arms


def check(config: Config) -> None:
    """Raise ImportError without the extra, FileNotFoundError or ValueError without the data."""
    importlib.import_module("simcollapse.neural")
    load_images(config.data)


def compute(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round)."""
    from simcollapse.reproduce.yi_vae.runs import runs  # needs the extra

    data = runs(config).drop_vars(["shown", "shown_real", "shown_reference"])
    first = {arm.name: arm for arm in config.arms}[STRONG]
    last = first.generated + first.increment * (config.rounds - 1)
    data.attrs.update(
        title=f"retraining a CVAE on its own images of {config.data}",
        heading=f"{config.data}, {config.architecture} CVAE: {first.n_real} real images, then {first.generated:,} to "
        f"{last:,} generated a round ({first.workflow}); a discriminator keeps the best\n{100 * first.share:g} % of "
        f"each class. It learned from {_rows(config, STRONG):,} (strong) or {_rows(config, WEAK):,} (weak) other real "
        f"images and as many of round 0.\nAt most {config.fit.max_steps:,} steps a fit; mean of {config.chains} seeds, "
        "bands of two standard errors",
        note=_note(config, data),
    )
    return data


def _rows(config: Config, name: str) -> int:
    return next(arm.verifier_rows for arm in config.arms if arm.name == name)


def _note(config: Config, data: xr.Dataset) -> str:
    level = stats.t.sf(claims.SURE, config.chains - 1)
    return (
        f"Correct: the classifier ({100 * data.attrs['classifier_accuracy']:.2f} % on held-out real images) gives the "
        f"label at least {config.confidence:g}. The Fréchet distance is in that classifier's features; it is not "
        f"Inception FID. Claims ask for {claims.SURE:g} standard errors over {config.chains} seeds: for a difference "
        f"that is not there, one-sided level {100 * level:.1f} % each (t, {config.chains - 1} degrees of freedom)."
    )


def compare(data: xr.Dataset) -> list[Claim]:
    """The paper's orderings, by paired differences over chains; both of distance and of likelihood."""
    last = int(data["round"][-1])
    rows: list[Claim] = []
    for name in ("fid", "elbo"):
        quantity, sign = ("Fréchet distance", 1) if name == "fid" else ("ELBO", -1)
        rows += _worse(data, name, quantity, sign, last)
    rows += [
        _difference(
            data,
            "the verifier lowers the error rate of what is generated",
            "error rate p, round 1 less last round",
            lambda d: d["p"].sel(arm=STRONG, round=1) - d["p"].sel(arm=STRONG, round=last),
        ),
        _difference(
            data,
            "what is kept is correct more often than what is generated (φ > ψ)",
            "φ − ψ in round 1",
            lambda d: (d["phi"] - d["psi"]).sel(arm=STRONG, round=1),
        ),
    ]
    return rows


def _worse(data: xr.Dataset, name: str, quantity: str, sign: int, last: int) -> list[Claim]:
    """Claims of one metric; `sign` 1 if a larger value is worse."""
    worse = sign * data[name]

    def at(arm, k):
        return worse.sel(arm=arm, round=k, drop=True)

    def gain(arm):
        return at(arm, 0) - at(arm, 1)

    unit = "" if name == "fid" else ", nats"
    change = [sign * (at(STRONG, last) - at(STRONG, last - last // 2)), at(STRONG, 0).mean("chain")]
    settled = _estimate(change[0] / abs(change[1]))
    return [
        _difference(
            data,
            f"retraining without a verifier degrades the model ({WORDS[SAME]})",
            f"{quantity}: loss from round 0 to {last}{unit}",
            lambda d: at(SAME, last) - at(SAME, 0),
        ),
        _difference(
            data,
            f"retraining without a verifier degrades the model ({WORDS[FULL]})",
            f"{quantity}: loss from round 0 to {last}{unit}",
            lambda d: at(FULL, last) - at(FULL, 0),
        ),
        _difference(
            data,
            "with a verifier the model improves at first",
            f"{quantity}: gain from round 0 to 1{unit}",
            lambda d: gain(STRONG),
        ),
        claims.within(
            "with a verifier it then rests on a plateau",
            SOURCE,
            f"{quantity}: change over the last half of the rounds over its value in round 0",
            settled,
            0.0,
            SETTLED,
        ),
        _difference(
            data,
            "in the end it is better with a verifier than without (same kept count)",
            f"{quantity}: difference in round {last}{unit}",
            lambda d: at(SAME, last) - at(STRONG, last),
        ),
        _difference(
            data,
            "in the end it is better with a verifier than without (full generated count)",
            f"{quantity}: difference in round {last}{unit}",
            lambda d: at(FULL, last) - at(STRONG, last),
        ),
        _difference(
            data,
            "a better verifier has a better plateau",
            f"{quantity}: difference in round {last}{unit}",
            lambda d: at(WEAK, last) - at(STRONG, last),
        ),
        _difference(
            data,
            "the early gain is larger with fewer real images",
            f"{quantity}: difference of the gains from round 0 to 1{unit}",
            lambda d: gain(STRONG) - gain(MORE),
        ),
    ]


def _difference(data: xr.Dataset, statement: str, quantity: str, of: Any) -> Claim:
    return claims.above(statement, SOURCE, quantity, _estimate(of(data)), 0.0)


def _estimate(samples: xr.DataArray) -> Estimate:
    values = samples.to_numpy().astype(float)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


def draw(data: xr.Dataset) -> Figure:
    """Six panels; computes means over chains only."""
    figure = style.blank(10.5, 6.8)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(2, 3)
    for axis, (name, label) in zip(axes.flat, PANELS, strict=True):
        for arm in data["arm"].to_numpy():
            _line(axis, data, name, str(arm), {"linewidth": 1.4})
            other, arms = DOTTED.get(name, ("", ()))
            if arm in arms and other in data:
                dotted = {"linewidth": 1.2, "linestyle": (0, (1, 1.5))}
                _line(axis, data, other, str(arm), dotted, label=False)
        axis.set(xlabel="round k", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis, name in ((axes[0, 0], "reference_fid"), (axes[0, 1], "reference_elbo")):
        axis.axhline(data.attrs[name], color="black", linewidth=0.9, linestyle=(0, (4, 2)))
        axis.annotate(
            "trained on all real images", (0.98, data.attrs[name]), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=8,
        )  # fmt: skip
    style.legend_below(figure, list(axes.flat), 3)
    return figure


def _line(
    axis: Axes, data: xr.Dataset, name: str, arm: str, options: dict[str, Any], *, label: bool = True
) -> None:
    """Mean over chains with a band of two standard errors; rounds without a value are left out."""
    values = data[name].sel(arm=arm).transpose("chain", "round").to_numpy()
    there = np.isfinite(values).all(axis=0)
    at, values = data["round"].to_numpy()[there], values[:, there]
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    axis.plot(
        at, mean, color=COLORS[arm], marker=MARKERS[arm], markersize=3.5,
        label=WORDS[arm] if label else None, **options,
    )  # fmt: skip
    axis.fill_between(at, mean - 2 * error, mean + 2 * error, color=COLORS[arm], alpha=0.18, linewidth=0)


def settings_of(data: xr.Dataset) -> dict[str, Any]:
    """The configuration that `data` was computed with."""
    return json.loads(data.attrs["config"])


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "settings_of"]
