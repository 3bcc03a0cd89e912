"""The point in the plane of p and psi/phi, in characters for a terminal."""

import math

import numpy as np
from rich.text import Text

from simcollapse.auditing.estimates import Estimates

_WIDTH, _HEIGHT = 60, 14  # characters
_MARGIN = 8  # columns for labels
_TOPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # of the axis of psi/phi


def ratio_ends(e: Estimates) -> tuple[float, float, float]:
    """psi/phi and its interval, from those of p*: (1-p*)/p*; inf where p* may be 0."""
    low, high = e.intervals["p_star"]
    value = math.nan if math.isnan(e.p_star) else _ratio(e.p_star)
    return value, _ratio(high), _ratio(low)


def top_of(*points: Estimates) -> float:
    """Where the axis of psi/phi ends: above every point and the first one's interval, if that is possible."""
    wanted = [ratio_ends(e)[0] for e in points] + [ratio_ends(points[0])[2]]
    highest = max((1.05 * height for height in wanted if math.isfinite(height)), default=1.0)
    return next((top for top in _TOPS if top >= highest), _TOPS[-1])


def plane(e: Estimates, *, plain: bool = False) -> Text:
    """The point with its intervals; shaded where p > p*, that is psi/phi > (1-p)/p. plain: ASCII only."""
    shade, bar, stick, mark = (".", "-", "|", "O") if plain else ("░", "─", "│", "●")
    top = top_of(e)
    x = (np.arange(_WIDTH) + 0.5) / _WIDTH
    y = top * (1 - (np.arange(_HEIGHT) + 0.5) / _HEIGHT)
    cells = np.where(y[:, None] * x > 1 - x, shade, " ")
    styles = np.where(cells == shade, "red", "")
    value, low, high = ratio_ends(e)
    column = _place(e.p, 1.0, _WIDTH)
    first, last = (_HEIGHT - 1 - _place(end, top, _HEIGHT) for end in (high, low))
    cells[first : last + 1, column] = stick
    styles[first : last + 1, column] = "bold"
    if not math.isnan(value):
        row = _HEIGHT - 1 - _place(value, top, _HEIGHT)
        left, right = (_place(end, 1.0, _WIDTH) for end in e.intervals["p"])
        cells[row, left : right + 1] = bar
        cells[row, column] = mark
        styles[row, left : right + 1] = "bold"
    return _framed(cells, styles, top, plain)


def _framed(cells: np.ndarray, styles: np.ndarray, top: float, plain: bool) -> Text:
    out = Text(f"{'psi/phi':>{_MARGIN}}\n", style="dim")
    for row in range(_HEIGHT):
        label = f"{top * (1 - row / _HEIGHT):.2g}" if row % (_HEIGHT // 2) == 0 else ""
        out.append(f"{label:>{_MARGIN}} {'|' if plain else '┤'}", style="dim")
        for character, style in zip(cells[row], styles[row], strict=True):
            out.append(str(character), style=str(style) or None)
        out.append("\n")
    line = ("+" if plain else "└") + ("-" if plain else "─") * _WIDTH
    out.append(f"{'0':>{_MARGIN}} {line}\n", style="dim")
    ticks = "".join(f"{share:<{_WIDTH // 5}.1f}" for share in (0, 0.2, 0.4, 0.6, 0.8)) + "1"
    out.append(f"{'p':>{_MARGIN}}  {ticks}\n", style="dim")
    words = f"{'.' if plain else '░'} p > p*: training on what is kept teaches what is wrong"
    out.append(f"{'':{_MARGIN}}  {words}", style="dim")
    return out


def _place(value: float, top: float, cells: int) -> int:
    return int(np.clip(min(value, top) / top * cells, 0, cells - 1))


def _ratio(p_star: float) -> float:
    return math.inf if p_star <= 0 else (1 - p_star) / p_star
