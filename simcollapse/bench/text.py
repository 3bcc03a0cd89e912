"""A table as text, and numbers as its cells show them."""

from typing import NamedTuple


class Table(NamedTuple):
    """Cells as text, ready for any renderer."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


def number(value: float) -> str:
    """Three significant digits, thousands separated: 12,300 or 1.23 M."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def times(value: float) -> str:
    """How many times as fast."""
    return f"{value:.0f}×" if value >= 20 else f"{value:.3g}×"


def seconds(value: float) -> str:
    """Two significant digits below ten seconds."""
    return f"{value:.2g} s" if value < 10 else f"{value:,.0f} s"
