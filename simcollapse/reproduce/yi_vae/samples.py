"""Sample grids: real images, the first model, later rounds with and without a verifier, all real data."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from simcollapse.reproduce import style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.yi_vae.settings import FULL, SAME, SCALES, STRONG, WEAK, WORDS, Config, configure

NAME = "yi-vae-samples"
EXTRA = "neural"
ANIMATED = (STRONG, WEAK, SAME, FULL)
FRAME_MS, LAST_MS = 600, 2_000
BETWEEN = 2  # pixels between images
PIXELS = 84  # of an image in the animation at most
GAP, BAR, TITLE = 18, 8, 18  # pixels: between grids, of the line that shows how far it has come, of a title


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
    axis.set_title(words, fontsize=8)
    axis.set_axis_off()


def mosaic(images: np.ndarray) -> np.ndarray:
    """One picture of images (label, sample, y, x), a row for each label; uint8, 255 is full ink.

    Between images are `BETWEEN` pixels without ink: those of 8 x 8 pixels fill their squares.
    """
    ink = np.asarray(images).astype(np.int8).view(np.uint8)
    ink = np.pad(ink, ((0, 0), (0, 0), (0, BETWEEN), (0, BETWEEN)))
    labels, samples, height, width = ink.shape
    return ink.transpose(0, 2, 1, 3).reshape(labels * height, samples * width)


def animate(data: xr.Dataset, stem: Path) -> list[Path]:
    """The grids over rounds: an animated GIF, and its frames as PNG in a folder of its own, one a round."""
    frames = [_frame(data, k) for k in range(data.sizes["round"])]
    folder = stem.with_name(f"{stem.name}-by-round")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".gif"), *(folder / f"round-{k:02d}.png" for k in range(len(frames)))]
    for frame, path in zip(frames, paths[1:], strict=True):
        frame.save(path)
    times: Any = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    greys = [17 * round(ink / 17) for ink in range(256)]  # 16 of them: a quarter of the size
    few = [frame.point(greys) for frame in frames]
    few[0].save(paths[0], save_all=True, append_images=few[1:], duration=times, loop=0)
    return paths


def _frame(data: xr.Dataset, k: int) -> Image.Image:
    """Round k: above what does not change, real images and those of two models of real ones; below every arm."""
    above = {
        "real": data["shown_real"],
        "round 0: first model": data["shown"].sel(arm=STRONG, round=0),
        "trained on all real images": data["shown_reference"],
    }
    below = {f"round {k}, {WORDS[arm]}": data["shown"].sel(arm=arm, round=k) for arm in ANIMATED}
    scale = max(1, PIXELS // (3 * data.sizes["x"]))
    rows = [[_titled(words, x.to_numpy(), scale) for words, x in row.items()] for row in (above, below)]
    width, height = (size + GAP for size in rows[0][0].size)
    frame = Image.new("L", (len(below) * width - GAP, 2 * height + BAR), 255)
    for i, row in enumerate(rows):
        for j, part in enumerate(row):
            frame.paste(part, (j * width, i * height + BAR))
    done = k / max(data.sizes["round"] - 1, 1)  # how far the rounds have come
    frame.paste(230, (0, 0, frame.width, BAR))
    frame.paste(90, (0, 0, round(frame.width * done), BAR))
    return frame


def _titled(words: str, images: np.ndarray, scale: int) -> Image.Image:
    """A mosaic below its title."""
    grid = np.kron(255 - mosaic(images), np.ones((scale, scale), dtype=np.uint8))
    out = Image.new("L", (grid.shape[1], grid.shape[0] + TITLE), 255)
    ImageDraw.Draw(out).text((2, 2), words, fill=0, font=ImageFont.load_default(11))
    out.paste(Image.fromarray(grid), (0, TITLE))
    return out


__all__ = ["EXTRA", "NAME", "SCALES", "animate", "compare", "compute", "configure", "draw"]
