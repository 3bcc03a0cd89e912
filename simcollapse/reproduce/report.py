"""What a reproduction leaves behind: pictures, the data under them, and the table of claims."""

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import rich.console
import rich.table
import xarray as xr
from matplotlib.figure import Figure
from rich.markup import escape

from simcollapse.reproduce import style
from simcollapse.reproduce.claims import Claim

COLORS = {"yes": "green", "NO": "bold red", "unclear": "yellow"}


def save_data(data: xr.Dataset, path: Path) -> None:
    """`data` as a NetCDF file (version 3, by SciPy: one small file that any tool reads)."""
    data.to_netcdf(path, engine="scipy")


def load_data(path: Path) -> xr.Dataset:
    """What `save_data` wrote, as a picture's `draw` and `compare` want it."""
    with xr.open_dataset(path, engine="scipy") as opened:
        return opened.load()


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """The figure as PNG and SVG; both are the same bytes for the same figure."""
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    with mpl.rc_context(style.SETTINGS):
        figure.savefig(png, dpi=style.DPI, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return [png, svg]


def save_claims(claims: Sequence[Claim], path: Path) -> None:
    """The claims as CSV, one a row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Claim._fields)
        writer.writerows(claims)


def print_claims(title: str, claims: Sequence[Claim], console: rich.console.Console) -> None:
    """The table "claim → measured → agrees?", with what qualifies a claim where something does."""
    table = rich.table.Table(title=title, title_justify="left", show_lines=True)
    qualified = any(claim.qualifier for claim in claims)
    table.add_column("claim", ratio=5)
    if qualified:
        table.add_column("qualifier", ratio=3)
    table.add_column("measured (± 2 standard errors)", ratio=4)
    table.add_column("asked", ratio=2)
    table.add_column("agrees?", no_wrap=True)
    for claim in claims:
        words = escape(claim.statement), escape(claim.source)
        table.add_row(
            f"{words[0]} [dim]{words[1]}[/dim]",
            *([escape(claim.qualifier)] if qualified else []),
            escape(claim.measured),
            escape(claim.wanted),
            f"[{COLORS[claim.verdict]}]{claim.verdict}[/]",
        )
    console.print(table)
