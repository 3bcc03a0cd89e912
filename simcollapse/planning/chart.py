"""A curve as a bar chart of block characters, for a terminal."""

import numpy as np
from rich.text import Text

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HEIGHT = 9  # rows of characters
_WIDTH = 64  # columns for bars
_MARGIN = 13  # columns for labels
_LOG_FROM = 40.0  # ratio of largest to smallest value from which the scale is logarithmic


def bars(values: np.ndarray, *, level: float, best: int | None, plain: bool = False) -> Text:
    """One bar for each round 0..K: green up to `level` (the start), red above; `best` is marked below.

    Where there are more rounds than columns, evenly spaced ones are shown. plain: ASCII only.
    """
    shown = np.unique(np.rint(np.linspace(0, len(values) - 1, min(len(values), _WIDTH))).astype(int))
    if best is not None and best not in shown and best < len(values):
        shown[np.argmin(np.abs(shown - best))] = best
    height, start, scale = _heights(values[shown], level)
    width = max(1, min(4, _WIDTH // len(shown)))
    out = Text()
    for row in range(_HEIGHT - 1, -1, -1):
        out.append(f"{_label(row, start, scale):>{_MARGIN}} ", style="dim")
        out.append("|" if plain else "┤", style="dim")
        for k, top in zip(shown, height, strict=True):
            _cell(out, row, top, start, width, values[k] > level * (1 + 1e-9), k == best, plain)
        out.append("\n")
    out.append(_axis(shown, width, plain))
    if best is not None and best in shown:
        place = int(np.flatnonzero(shown == best)[0])
        mark = "^" if plain else "▲"
        out.append(f"\n{'':{_MARGIN + 2 + place * width}}")
        out.append(f"{mark} best", style="bold green")
    return out


def _heights(values, level):
    """Heights of bars and of the level in rows of characters, and the function back to values."""
    low, high = float(np.min(values)), float(max(np.max(values), level))
    if low > 0 and high / low > _LOG_FROM:
        floor = np.log(low / 2)
        span = np.log(high) - floor
        return (
            (np.log(values) - floor) / span * _HEIGHT,
            (np.log(level) - floor) / span * _HEIGHT,
            lambda row: float(np.exp(floor + row / _HEIGHT * span)),
        )
    top = high if high > 0 else 1.0
    return values / top * _HEIGHT, level / top * _HEIGHT, lambda row: row / _HEIGHT * top


def _cell(out, row, top, start, width, worse, best, plain):
    """One bar's part in one row; the level of the start shows where no bar covers it."""
    filled = float(np.clip(top - row, 0, 1))
    if filled == 0 or (plain and filled < 0.5):
        on_level = row < start <= row + 1 and row + 1 > top
        out.append(("-" if plain else "╌") * width if on_level else " " * width, style="yellow")
        return
    block = "#" if plain else _EIGHTHS[max(1, round(filled * 8))]
    bar = max(1, width - 1)
    style = "bold bright_green" if best else ("red" if worse else "green")
    out.append(block * bar, style=style)
    out.append(" " * (width - bar))


def _label(row, start, scale):
    """Axis label of the row's upper edge: every third row, and the level of the start."""
    if row < start <= row + 1:
        return f"start {scale(start):.3g}"
    return f"{scale(row + 1):.3g}" if row % 4 == 0 and not row <= start <= row + 2 else ""


def _axis(shown, width, plain):
    line = ("+" if plain else "└") + ("-" if plain else "─") * (width * len(shown))
    labels = [" "] * (width * len(shown) + 4)
    every = 5 if width > 1 else 10  # bars
    for place in range(0, len(shown), every):
        word = str(shown[place])
        labels[place * width : place * width + len(word)] = word
    return Text(f"{'':{_MARGIN + 1}}{line}\n{'round':>{_MARGIN}}  {''.join(labels).rstrip()}", style="dim")
