"""Published figures, computed again: config → simulate → compare with theory and with the claim → draw.

A figure is one or more pictures, each a module with `SCALES` (its configurations), `compute(config)`,
`compare(data)` and `draw(data)`; `draw` computes nothing, so a picture can be redrawn from its saved data. One that
reads real data may have `check(config)`, which raises ValueError for data that it cannot use. One whose data are not a
table, or that saves its rounds, has `configure(config, data=, folder=)`, with `model=` if it can start from a
checkpoint, `continuing=` if its models may go on from round to round, `too_long=` if it reads texts of any length; one
that moves has `animate(data, stem)`; one that needs an extra names it in `EXTRA`, and "all" leaves it
out; one whose run is long may have `preview(config)`, which says in words what it will take.
`KNOWN` lists the figures. A new one is a new module and a row there.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import xarray as xr
from matplotlib.figure import Figure

from simcollapse import terminal
from simcollapse.checks import check_choice, check_whole
from simcollapse.data import chosen_table
from simcollapse.reproduce import report, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.feng import breakdown, readings, rounds, scaling, window
from simcollapse.reproduce.feng_eigenvalues import picture as eigenvalues
from simcollapse.reproduce.kazdan import (
    discrete,
    divisor,
    gaussian,
    gaussian_grid,
    kde,
    kde_bandwidth,
    kde_schedule,
    regression,
)
from simcollapse.reproduce.language import pretrain as lm_pretrain
from simcollapse.reproduce.language import sft as lm_sft
from simcollapse.reproduce.language import summaries as lm_summaries
from simcollapse.reproduce.language import value as lm_value
from simcollapse.reproduce.language import xsum as lm_xsum
from simcollapse.reproduce.language import xsum_checkpoint as lm_xsum_checkpoint
from simcollapse.reproduce.real_rows import (
    best_share,
    delete_real,
    equal_cost,
    golden_ratio,
    real_share,
    strategies,
    strong_collapse,
    value,
)
from simcollapse.reproduce.verify_x_workflow import cells, drift, first_order
from simcollapse.reproduce.yi_regimes import paths, phase_map, real_data, regimes
from simcollapse.reproduce.yi_vae import curves as vae_curves
from simcollapse.reproduce.yi_vae import samples as vae_samples

SCALE_NAMES = ("quick", "small", "paper")  # under a minute on two cores; a few minutes; as long as it takes


class Picture(Protocol):
    """One picture of a figure: a module."""

    NAME: str  # stem of its files

    @property
    def SCALES(self) -> Mapping[str, Any]:
        """Configuration by scale, frozen dataclasses with a field `seed`."""
        ...

    def compute(self, config: Any) -> xr.Dataset:
        """Everything that the picture shows, simulation and theory."""
        ...

    def compare(self, data: xr.Dataset) -> list[Claim]:
        """The paper's claims against `data`."""
        ...

    def draw(self, data: xr.Dataset) -> Figure:
        """The picture of `data`; computes nothing."""
        ...


KNOWN: dict[str, tuple[Any, ...]] = {
    "yi-regimes": (regimes, phase_map, paths, real_data),
    "feng-breakdown": (breakdown,),
    "feng-scaling": (scaling,),
    "breakdown-window": (window,),
    "breakdown-readings": (readings,),
    "breakdown-rounds": (rounds,),
    "kazdan-value": (value, best_share),
    "mixing-golden-ratio": (golden_ratio,),
    "strong-collapse": (strong_collapse,),
    "real-share": (real_share,),
    "subsample-strategies": (strategies, equal_cost),
    "delete-real": (delete_real,),
    "verify-x-workflow": (cells, first_order, drift),
    "kazdan-gaussian": (gaussian, gaussian_grid, divisor),
    "kazdan-regression": (regression,),
    "kazdan-discrete": (discrete,),
    "kazdan-kde": (kde,),
    "kazdan-kde-bandwidth": (kde_bandwidth, kde_schedule),
    "yi-vae": (vae_curves, vae_samples),
    "feng-eigenvalues": (eigenvalues,),
    "feng-summaries": (lm_summaries,),
    "yi-xsum": (lm_xsum,),
    "yi-xsum-checkpoint": (lm_xsum_checkpoint,),
    "kazdan-sft": (lm_sft,),
    "kazdan-value-lm": (lm_value,),
    "kazdan-pretrain": (lm_pretrain,),
}


def run(
    name: str,
    *,
    scale: str = "quick",
    out: str | Path = "results",
    data: str | Path | None = None,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    drop_missing: bool = False,
    model: str | None = None,
    continuing: bool = False,
    too_long: str | None = None,
    seed: int = 0,
) -> list[Claim]:
    """The claims of a published figure, measured; prints them and saves picture and data of each part.

    Args:
        name: a key of `KNOWN`, or "all".
        scale: "quick", "small" or "paper".
        out: folder for PNG, SVG, NetCDF and the claims as CSV; made if absent.
        data: CSV or Parquet file to use in place of the embedded real data, with its response `target`;
            covariates are `columns`, or all others. drop_missing leaves out rows without a value. Or the name of
            a bundled table. Of figures of language models: xsum, helpsteer2, alpaca, tinystories or JSON lines.
        model: checkpoint that figures of language models start from: a folder, a GGUF file or a hub name.
        continuing: models of language figures are tuned from the last round's, not each from the base model.
        too_long: "error", "drop" or "truncate": what happens to texts that are too long; None: as the scale says.
        seed: root of all random numbers.

    Raises:
        ValueError: an unknown name (the nearest known is named), data without target, or data that no part reads.
        FileNotFoundError: no such data file.
    """
    pictures, configs = _configured(
        name,
        scale=scale,
        out=out,
        data=data,
        target=target,
        columns=columns,
        drop_missing=drop_missing,
        model=model,
        continuing=continuing,
        too_long=too_long,
        seed=seed,
    )
    folder, console, started = Path(out), terminal.console(), time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    claims = []
    for picture, config in zip(pictures, configs, strict=True):
        begun = time.perf_counter()
        claims += _one(picture, config, folder, console)
        console.print(f"[dim]{picture.NAME}: {time.perf_counter() - begun:.0f} s[/dim]\n")
    report.save_claims(claims, folder / f"{name}-claims.csv")
    agreeing = sum(claim.agrees for claim in claims)
    console.print(
        f"{name} at scale {scale}: {agreeing} of {len(claims)} claims agree, "
        f"{time.perf_counter() - started:.0f} s; pictures and data in {folder}"
    )
    return claims


def preview(name: str, **options: Any) -> str:
    """What `run` with the same arguments would take, in words. Of figures of language models.

    Raises:
        ValueError: a figure without a preview, and what `run` raises before it begins.
    """
    there = [known for known, pictures in KNOWN.items() if all(hasattr(p, "preview") for p in pictures)]
    check_choice("name", name, [*KNOWN, "all"])
    if name not in there:
        raise ValueError(f"a dry run is there for {', '.join(there)}, got {name!r}")
    given = {"scale": "quick", "out": "results", "seed": 0} | options
    return "\n".join(
        picture.preview(config) for picture, config in zip(*_configured(name, **given), strict=True)
    )


def _configured(
    name: str,
    *,
    scale: str,
    out: str | Path,
    data: str | Path | None = None,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    drop_missing: bool = False,
    model: str | None = None,
    continuing: bool = False,
    too_long: str | None = None,
    seed: int,
) -> tuple[list[Any], list[Any]]:
    """Pictures and their configurations, checked."""
    check_choice("name", name, [*KNOWN, "all"])
    check_choice("scale", scale, SCALE_NAMES)
    seed = check_whole("seed", seed, 0)
    pictures = [p for figure in (KNOWN if name == "all" else [name]) for p in KNOWN[figure]]
    if name == "all":
        pictures = [p for p in pictures if not hasattr(p, "EXTRA")]
    configs = [dataclasses.replace(picture.SCALES[scale], seed=seed) for picture in pictures]
    options = {"model": model, "continuing": continuing, "too_long": too_long}
    options = {option: value for option, value in options.items() if value not in (None, False)}
    if options and not all(hasattr(config, "checkpoint") for config in configs):
        option, value = next(iter(options.items()))
        raise ValueError(f"{option} is given, but {name!r} starts from no checkpoint, got {value!r}")
    if all(hasattr(picture, "configure") for picture in pictures):
        rounds = str(Path(out) / f"{name}-rounds")
        given = {"data": None if data is None else str(data), "folder": rounds} | options
        configs = [p.configure(c, **given) for p, c in zip(pictures, configs, strict=True)]
        data = None
    table = chosen_table(data, target=target, columns=columns, drop_missing=drop_missing)
    if table is not None:
        if not any(hasattr(config, "table") for config in configs):
            raise ValueError(f"data is given, but {name!r} reads no real data")
        configs = [dataclasses.replace(c, table=table) if hasattr(c, "table") else c for c in configs]
    for picture, config in zip(pictures, configs, strict=True):
        if hasattr(picture, "check"):  # before hours are spent on other pictures
            picture.check(config)
    return pictures, configs


def _one(picture: Any, config: Any, folder: Path, console: Any) -> list[Claim]:
    data = picture.compute(config)
    report.save_data(data, folder / f"{picture.NAME}.nc")
    with mpl.rc_context(style.SETTINGS):
        figure = picture.draw(data)
    report.save_figure(figure, folder / picture.NAME)
    if hasattr(picture, "animate"):
        picture.animate(data, folder / picture.NAME)
    claims = [claim._replace(picture=picture.NAME) for claim in picture.compare(data)]
    report.print_claims(f"{picture.NAME}: {data.attrs['title']}", claims, console)
    if data.attrs.get("note"):
        console.print(data.attrs["note"], markup=False, highlight=False)
    return claims


__all__ = ["KNOWN", "SCALE_NAMES", "Claim", "Picture", "preview", "run"]
