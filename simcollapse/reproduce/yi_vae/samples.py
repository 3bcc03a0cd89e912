"""Sample grids: real images, the first model, later rounds with and without a verifier, all real data."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from simcollapse.reproduce import style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.yi_vae.settings import FULL, SAME, SCALES, STRONG, WEAK, WORDS, Config, configure

NAME = "yi-vae-samples"
EXTRA = "neural"
ANIMATED = (STRONG, WEAK, SAME, FULL)
FRAME_MS, LAST_MS = 600, 2_000
PIXELS = 84  # of an image in the animation at most


def compute(config: Config) -> xr.Dataset:
    """Images of chain 0, from the same latents in every round and arm."""
    from simcollapse.reproduce.yi_vae.runs import runs  # needs the extra

    found = runs(config)
    data = found[["shown", "shown_real", "shown_reference"]]
    data.attrs = found.attrs | {"title": f"samples of a CVAE of {config.data}, round by round", "note": ""}
    return data


def compare(data: xr.Dataset) -> list[Claim]:
    """Nothing is claimed of single images."""
    return []


def draw(data: xr.Dataset) -> Figure:
    """As the paper's Fig. 1: six grids."""
    last = data.sizes["round"] - 1
    early = max(1, last // 2)
    grids = {
        "real": data["shown_real"],
        "round 0: first model": data["shown"].sel(arm=STRONG, round=0),
        "trained on all real images": data["shown_reference"],
        f"round {early}, {WORDS[STRONG]}": data["shown"].sel(arm=STRONG, round=early),
        f"round {last}, {WORDS[STRONG]}": data["shown"].sel(arm=STRONG, round=last),
        f"round {last}, {WORDS[WEAK]}": data["shown"].sel(arm=WEAK, round=last),
        f"round {early}, {WORDS[SAME]}": data["shown"].sel(arm=SAME, round=early),
        f"round {last}, {WORDS[SAME]}": data["shown"].sel(arm=SAME, round=last),
        f"round {last}, {WORDS[FULL]}": data["shown"].sel(arm=FULL, round=last),
    }
    figure = style.blank(9.0, 10.6)
    for axis, (words, images) in zip(figure.subplots(3, 3).flat, grids.items(), strict=True):
        _show(axis, words, images.to_numpy())
    return figure


def _show(axis: Axes, words: str, images: np.ndarray) -> None:
    axis.imshow(mosaic(images), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(words, fontsize=8.5)
    axis.set_axis_off()


def mosaic(images: np.ndarray) -> np.ndarray:
    """One picture of images (label, sample, y, x), a row for each label; uint8, 255 is full ink."""
    ink = np.asarray(images).astype(np.int8).view(np.uint8)
    labels, samples, height, width = ink.shape
    return ink.transpose(0, 2, 1, 3).reshape(labels * height, samples * width)


def animate(data: xr.Dataset, stem: Path) -> list[Path]:
    """The grids over rounds, as a GIF: arms side by side, one frame a round."""
    scale = max(1, PIXELS // (3 * data.sizes["x"]))
    frames = []
    for k in range(data.sizes["round"]):
        parts = [255 - mosaic(data["shown"].sel(arm=arm, round=k).to_numpy()) for arm in ANIMATED]
        gap = np.full((parts[0].shape[0], 2 * data.sizes["x"] // 3), 200, dtype=np.uint8)
        row = np.concatenate([x for part in parts for x in (part, gap)][:-1], axis=1)
        row = np.kron(row, np.ones((scale, scale), dtype=np.uint8))
        bar = np.full((8, row.shape[1]), 230, dtype=np.uint8)  # how far the rounds have come
        bar[:, : round(row.shape[1] * k / max(data.sizes["round"] - 1, 1))] = 90
        frames.append(Image.fromarray(np.concatenate([bar, row])))
    path = stem.with_suffix(".gif")
    times: Any = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0)
    return [path]


__all__ = ["EXTRA", "NAME", "SCALES", "animate", "compare", "compute", "configure", "draw"]
