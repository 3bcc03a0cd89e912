"""What generated texts are worth beside real ones: loss over a grid of both numbers, and the best share of them."""

import functools

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.language import common, settings
from simcollapse.reproduce.language.common import EXTRA, at, check, preview
from simcollapse.reproduce.language.settings import Arm, Config, Fit

NAME = "kazdan-value-lm"
SOURCE = "Kazdan et al. §4"
LEVEL = 0.95  # of intervals


def name_of(real: int, synthetic: int) -> str:
    """An arm's name."""
    return f"{real}+{synthetic}"


def _arms(real: tuple[int, ...], synthetic: tuple[int, ...]) -> tuple[Arm, ...]:
    return tuple(Arm(name_of(r, s), real=r, synthetic=s) for r in real for s in synthetic)


# The generator learned from other real texts than the models.
_QUICK = Config(
    arms=_arms((50, 150, 450, 1_350), (0, 150, 450, 1_350)),
    n_real=450,
    n_prompts=1_350,
    chains=3,
    fit=Fit(max_steps=120),
)
_SMALL = Config(
    arms=_arms((50, 150, 450, 1_350, 4_050), (0, 50, 150, 450, 1_350, 4_050)), n_real=1_350, n_prompts=4_050,
    chains=4, width=128, layers=3, base_steps=3_000, fit=Fit(max_steps=300, learning_rate=1e-3), batch=64,
)  # fmt: skip
_PAPER = Config(
    arms=_arms((128, 512, 2_048, 4_096), (0, 512, 2_048, 8_192)), n_real=4_096, n_prompts=8_192,
    chains=3, width=256, layers=4, base_steps=20_000, fit=Fit(epochs=1, learning_rate=8e-6, warmup=0.03), batch=64,
)  # fmt: skip
SCALES = {"quick": _QUICK, "small": _SMALL, "paper": _PAPER}
configure = functools.partial(settings.configure, published=_PAPER.fit)


def compute(config: Config) -> xr.Dataset:
    """Metrics by (arm, chain, round), the models in round 1."""
    data = common.runs(config)
    config = common.settings_of(data)
    data.attrs.update(
        title="what generated texts are worth beside real ones",
        heading=f"Models tuned on real texts and on answers of a generator that learned from {config.n_real:,} other "
        f"real texts, none verified.\n{common.words(config, data, 'bars')}",
        note=f"{common.note(config)} The best share is that of the least loss in the grid, seed by seed; intervals "
        f"{100 * LEVEL:g} %, by t over seeds.",
    )
    return data


def grid(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of real and of generated texts, rising, and loss (chain, real, synthetic)."""
    real, synthetic = (np.unique(data[f"arm_{kind}"].to_numpy()) for kind in ("real", "synthetic"))
    loss = np.stack([[at(data, "loss", name_of(r, s), 1) for s in synthetic] for r in real])
    return real, synthetic, np.moveaxis(loss, -1, 0)


def best_share(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of real texts, and the share of generated ones with the least loss, (chain, real)."""
    real, synthetic, loss = grid(data)
    best = synthetic[loss.argmin(axis=-1)]
    return real, best / (best + real)


def slope(real: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Change of the best share for ten times the real texts, by least squares, (chain,)."""
    x = np.log10(real) - np.log10(real).mean()
    return (share - share.mean(axis=1, keepdims=True)) @ x / (x @ x)


def compare(data: xr.Dataset) -> list[Claim]:
    """Generated texts help where real ones are few and harm where they are many; by differences over chains."""
    real, synthetic, loss = grid(data)
    generator = common.settings_of(data).n_real
    added = int(
        np.abs(synthetic - generator).argmin()
    )  # fixed before the run: as many as the generator learned from
    same = int(np.abs(real - synthetic[added]).argmin())
    gain = loss[:, :, 0] - loss[:, :, added]
    share = best_share(data)[1]
    unit = "nats a token"

    def claim(statement, quantity, samples):
        return common.above(statement, SOURCE, quantity, samples)

    return [
        claim(f"{synthetic[added]:,} generated texts help beside {real[0]:,} real ones",
              f"held-out loss: fall by them, {unit}", gain[:, 0]),
        claim(f"{synthetic[added]:,} generated texts harm beside {real[-1]:,} real ones",
              f"held-out loss: rise by them, {unit}", -gain[:, -1]),
        claim("generated texts are worth the less, the more real ones there are",
              f"held-out loss: fall beside {real[0]:,} less that beside {real[-1]:,}, {unit}",
              gain[:, 0] - gain[:, -1]),
        claims.below(
            "the best share of generated texts falls with the number of real ones", SOURCE,
            "change of the best share for ten times the real texts", common.estimate(slope(real, share)), 0.0,
        ),
        claim(f"with {real[0]:,} real texts the best share is not 0", "best share", share[:, 0]),
        claim("real texts are worth more than as many generated ones",
              f"held-out loss: {real[0]:,} real + {synthetic[added]:,} generated less "
              f"{real[same]:,} real, {unit}", loss[:, 0, added] - loss[:, same, 0]),
    ]  # fmt: skip


def draw(data: xr.Dataset) -> Figure:
    """Three panels; computes means over chains only."""
    figure = style.blank(11.0, 4.2)
    style.heading(figure, data.attrs["heading"])
    axes = figure.subplots(1, 3)
    _losses(axes[0], data)
    _gains(axes[1], data)
    _shares(axes[2], data)
    return figure


def _colors(number: int) -> list[str]:
    """Few real texts light, many dark."""
    ramp = ("#9ECAE1", "#6BAED6", "#4292C6", "#2171B5", "#08306B")
    return [ramp[round(i)] for i in np.linspace(0, len(ramp) - 1, number)]


def _places(synthetic: np.ndarray) -> np.ndarray:
    return np.arange(len(synthetic))


def _losses(axis: Axes, data: xr.Dataset) -> None:
    real, synthetic, loss = grid(data)
    for i, (r, color) in enumerate(zip(real, _colors(len(real)), strict=True)):
        samples = [loss[:, i, j] for j in range(len(synthetic))]
        common.bars(axis, _places(synthetic), samples, color=color, marker="o", label=f"{r:,} real")
    common.floor(axis, data)
    axis.set_xticks(_places(synthetic), [f"{s:,}" for s in synthetic])
    axis.set(xlabel="generated texts added", ylabel=common.LABELS["loss"])
    axis.legend(fontsize=8, loc="upper right")


def _gains(axis: Axes, data: xr.Dataset) -> None:
    real, synthetic, loss = grid(data)
    for i, (r, color) in enumerate(zip(real, _colors(len(real)), strict=True)):
        samples = [loss[:, i, 0] - loss[:, i, j] for j in range(len(synthetic))]
        common.bars(axis, _places(synthetic), samples, color=color, marker="o", label=f"{r:,} real")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(_places(synthetic), [f"{s:,}" for s in synthetic])
    axis.set(xlabel="generated texts added", ylabel="fall of the loss by them, nats a token")


def _shares(axis: Axes, data: xr.Dataset) -> None:
    real, share = best_share(data)
    wide = stats.t.isf((1 - LEVEL) / 2, len(share) - 1)
    got = [common.estimate(share[:, i]) for i in range(len(real))]
    axis.errorbar(
        real, [g.value for g in got], [wide * g.error for g in got], color="#0072B2", marker="o", capsize=2
    )
    for one in share:
        axis.plot(real, one, color="#0072B2", alpha=0.25, linewidth=0.8)
    got = common.estimate(slope(real, share))
    axis.set_title(
        f"slope {got.value:.2f} ± {wide * got.error:.2f} for ten times the real texts",
        fontsize=9,
        fontweight="normal",
    )
    axis.set(
        xscale="log",
        xlabel="real texts",
        ylabel="share of generated texts with the least loss",
        ylim=(-0.25, 1.25),
    )


__all__ = ["EXTRA", "NAME", "SCALES", "check", "compare", "compute", "configure", "draw", "preview"]
