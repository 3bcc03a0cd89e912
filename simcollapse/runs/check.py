"""Results against the closed forms of `theory`: which metrics of which cells have one, and z-scores.

Only forms that are exact for every number of rows are used. The limit of a z-score makes the chance that a correct
simulation fails, over all z-scores of an experiment together, at most FALSE_ALARM. The mean of a skewed statistic is
no normal variable that far out, so the limit grows with the skewness and falls with the number of chains (`limits`).
With too few chains for any limit, or a spread that rare chains carry, nothing is judged, and the reason is counted. In
a collapse the log of a variance is judged in its place, where it is recorded.

Theory is evaluated in NumPy: nothing here compiles.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.box
import rich.console
import rich.markup
import rich.table
from scipy import stats

from simcollapse import grid, named
from simcollapse.runs import forms, limits

FALSE_ALARM = 1e-6  # chance that a correct simulation fails, all z-scores of an experiment together
MISS = 1e-3  # chance that an error of the size `sees` goes unseen
# Relative: what single precision leaves (README: about 1e-6), and the accuracy of the quadratures.
ROUNDING = 3e-6
MOST_SHOWN = 100  # rows written out; all are counted

AGREES, DISAGREES, NOTHING = "agrees", "DISAGREES", "nothing to compare"


class Row(NamedTuple):
    """One metric of one cell in one round."""

    cell: int  # position in the grid
    metric: str
    round: int
    measured: float
    expected: float
    z: float
    limit: float  # of |z|
    sees: float  # relative error that is missed with a chance of at most MISS
    source: str  # the function of `theory`, exact for every number of rows

    @property
    def agrees(self) -> bool:
        return abs(self.z) <= self.limit  # false for NaN


class Report(NamedTuple):
    """All comparisons of an experiment."""

    rows: list[Row]
    unknown: dict[str, int]  # cells that lack a form, or a metric's rounds that were left out, by reason
    verdict: str  # AGREES, DISAGREES or NOTHING


class _Pending(NamedTuple):
    cell: int
    form: forms.Form
    round: int
    mean: float
    error: float


def check(
    cells: Sequence[grid.Cell],
    rounds: int,
    schedules: Sequence[np.ndarray],
    moments: Mapping[str, tuple[np.ndarray, np.ndarray]],
    chains: int,
) -> Report:
    """Every recorded metric of every cell against its closed form, where one is known.

    Args:
        cells: of the grid, in order.
        rounds: K.
        schedules: samples of rounds 1..K of each cell, each of shape (K,).
        moments: mean and standard error over chains by metric, each of shape (cells, K + 1).
        chains: of each cell.

    Raises:
        ValueError: shapes that do not go together.
    """
    _check_shapes(cells, rounds, schedules, moments)
    pending: list[_Pending] = []
    unknown: Counter[str] = Counter()
    alive = moments["alive"][0] if "alive" in moments else np.ones((len(cells), rounds + 1))
    made = [
        forms.cell_of(_choices(cell), schedule, chains)
        for cell, schedule in zip(cells, schedules, strict=True)
    ]
    compared = _chosen([forms.is_costly(cell) for cell in made])
    for number, cell in enumerate(made):
        if not compared[number]:
            unknown[f"left out to save time: {forms.MOST_COSTLY} cells of this kind are compared"] += 1
            continue
        found, reasons = forms.forms_of(cell, set(moments))
        unknown.update(reasons)
        for form in found:
            mean, error = (part[number] for part in moments[form.metric])
            for k in np.flatnonzero(np.isfinite(form.expected)):
                if alive[number, k] < 1:
                    unknown[f"{form.metric}: rounds in which some chain had frozen"] += 1
                elif np.isnan(mean[k]):
                    unknown[f"{form.metric}: rounds without a value"] += 1
                else:
                    pending.append(_Pending(number, form, int(k), float(mean[k]), float(error[k])))
    return _judged(pending, unknown, chains)


def _choices(cell: grid.Cell) -> dict[str, Any]:
    """The cell's choices, names made into what they stand for."""
    made = cell.choices
    return made | {
        "workflow": named.as_workflow(made["workflow"]),
        "verifier": named.as_verifier(made["verifier"], made["task"]),
    }


def _chosen(costly: list[bool]) -> list[bool]:
    """Which cells are compared: all but, where there are many costly ones, some of those, evenly spaced."""
    places = np.flatnonzero(costly)
    count = min(len(places), forms.MOST_COSTLY)
    kept = set(places[np.linspace(0, len(places) - 1, count).round().astype(int)].tolist())
    return [not slow or i in kept for i, slow in enumerate(costly)]


def _check_shapes(cells, rounds, schedules, moments):
    if len(schedules) != len(cells):
        raise ValueError(
            f"schedules must have one entry for each of {len(cells)} cells, got {len(schedules)}"
        )
    for schedule in schedules:
        if np.shape(schedule) != (rounds,):
            raise ValueError(f"each schedule must have shape ({rounds},), got {np.shape(schedule)}")
    for name, pair in moments.items():
        for part in pair:
            if np.shape(part) != (len(cells), rounds + 1):
                raise ValueError(
                    f"moments[{name!r}] must have shape {(len(cells), rounds + 1)}, got {np.shape(part)}"
                )


def _judged(pending: list[_Pending], unknown: Counter[str], chains: int) -> Report:
    alpha = FALSE_ALARM / max(len(pending), 1)
    limit_by_skewness = functools.cache(functools.partial(limits.limit_of, alpha, chains))
    rows = []
    for cell, form, k, mean, error in pending:
        expected = float(form.expected[k])
        if form.range is None:
            limit = limit_by_skewness(float(np.broadcast_to(form.skewness, form.expected.shape)[k]))
        else:
            error = max(error, form.range / chains)  # equal numbers show no spread, and may be rare luck
            limit = limits.limit_of_bounded(alpha, chains, form.range, error)
        if np.isnan(limit):
            unknown[f"{form.metric}: rounds with too few chains for a limit of z, {chains}"] += 1
            continue
        z = _z(mean, error, expected)
        sees = (limit + stats.norm.isf(MISS)) * error / abs(expected) if expected else np.inf
        rows.append(Row(cell, form.metric, k, mean, expected, z, limit, float(sees), form.source))
    verdict = NOTHING if not rows else AGREES if all(row.agrees for row in rows) else DISAGREES
    return Report(rows, dict(unknown), verdict)


def _z(mean: float, error: float, expected: float) -> float:
    """The z-score, what rounding explains left out; a gap without any spread is infinitely far."""
    gap = mean - expected
    beyond = max(abs(gap) - ROUNDING * abs(expected), 0.0)
    if beyond == 0:
        return 0.0
    # equal numbers may show the spread of their rounding
    return float(np.copysign(beyond / error if error > 1e-12 * abs(mean) else np.inf, gap))


def as_dict(report: Report) -> dict[str, Any]:
    """The report in plain types, for JSON: by metric and source, and the rows that are furthest off."""
    shown = sorted(report.rows, key=_excess, reverse=True)[:MOST_SHOWN]
    return {
        "verdict": report.verdict,
        "false_alarm": FALSE_ALARM,
        "num_compared": len(report.rows),
        "num_disagreeing": sum(not row.agrees for row in report.rows),
        "unknown": report.unknown,
        "by_metric": [_group(rows) for rows in _groups(report.rows)],
        "rows": [_plain(row) for row in shown],
    }


def _plain(row: Row) -> dict[str, Any]:
    """JSON knows no infinity and no NaN."""
    return {
        name: str(value) if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in (row._asdict() | {"agrees": row.agrees}).items()
    }


def _excess(row: Row) -> float:
    """|z| over its limit; 0 for a z of 0, whose limit may be infinite."""
    return 0.0 if row.z == 0 else np.inf if not np.isfinite(row.z) else abs(row.z) / row.limit


def _groups(rows: Iterable[Row]) -> list[list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.metric, row.source), []).append(row)
    return list(groups.values())


def _group(rows: list[Row]) -> dict[str, Any]:
    worst = max(rows, key=_excess)
    return {
        "metric": worst.metric,
        "source": worst.source,
        "compared": len(rows),
        "disagreeing": sum(not row.agrees for row in rows),
        "worst": _plain(worst),
    }


def print_report(report: Report, console: rich.console.Console) -> None:
    """A line a metric and closed form, the worst z of each; then what was not compared, and the verdict."""
    if report.rows:
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
        for name in ("metric", "closed form"):
            table.add_column(name)
        for name in ("compared", "worst z", "limit", "cell", "round"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for rows in _groups(report.rows):
            worst = max(rows, key=_excess)
            bad = any(not row.agrees for row in rows)
            word = f"[bold red]{DISAGREES}[/]" if bad else f"[green]{AGREES}[/]"
            table.add_row(
                rich.markup.escape(worst.metric),
                rich.markup.escape(worst.source),
                str(len(rows)),
                f"{worst.z:.3g}",
                f"{worst.limit:.3g}",
                str(worst.cell),
                str(worst.round),
                word,
            )
        console.print(table)
    for reason, count in report.unknown.items():
        console.print(f"not compared, {count}: {reason}", markup=False, highlight=False)
    words = f"against theory: {report.verdict}"
    if report.rows:
        words += (
            f" (correct results disagree with a chance of at most {FALSE_ALARM:g}, all comparisons together)"
        )
    console.print(words, markup=False, highlight=False, soft_wrap=True)
