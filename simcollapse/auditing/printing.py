"""A report for people: the verdict, tables and a picture in the terminal."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from simcollapse.auditing.chart import plane
from simcollapse.auditing.estimates import SAFE, Estimates
from simcollapse.auditing.looks import POWER, Look
from simcollapse.auditing.multiclass import Classes
from simcollapse.auditing.report import Report
from simcollapse.auditing.thresholds import Curve
from simcollapse.auditing.words import explain

_COLOURS = {"safe": "green", "collapse": "red", "undecided": "yellow"}
_RATES = (
    ("p", "p, wrong among all"),
    ("phi", "phi, kept among correct"),
    ("psi", "psi, kept among wrong"),
    ("precision", "precision, correct among kept"),
    ("p_star", "p* = phi/(phi+psi)"),
    ("margin", "margin p* - p"),
)


def print_report(report: Report, console: Console | None = None) -> None:
    """Print verdict, counts, rates, every look, what to know about them, and the picture."""
    console = Console() if console is None else console
    plain = not console.encoding.lower().startswith("utf")

    def say(words: str = "", **style) -> None:
        console.print(words, highlight=False, markup=False, **style)

    console.print(f"[bold {_COLOURS[report.verdict]}]{report.verdict.upper()}[/]  ", end="", highlight=False)
    say(explain(report))
    say(f"\n{_counts(report)}", style="dim")
    console.print(_rates(report, plain))
    say(_more(report))
    for title, looks in (("group", report.groups), ("round", report.rounds)):
        if looks:
            say(f"\nby {title}: {report.methods[title + 's']}", style="dim")
            console.print(_looks(title, looks, plain))
    if report.classes is not None:
        say(f"\nby true class: {report.methods['verdict']}", style="dim")
        console.print(_classes(report.classes, plain))
    if report.curve is not None:
        say(f"\nby threshold of the score: {report.methods['curve']}", style="dim")
        console.print(_curve(report.curve, plain))
        say(_advice(report.curve))
    console.print()
    console.print(plane(report.estimates, plain=plain), soft_wrap=True)
    say(f"\nverdict: {report.methods['verdict']}, level {100 * report.method.level:.4g} %")
    names = (("p_star", "p*"), ("margin", "margin"), ("precision", "precision"), ("rates", "other rates"))
    say(f"intervals: {'; '.join(f'{words}: {report.methods[name]}' for name, words in names)}")
    if "design" in report.methods:
        say(f"design: {report.methods['design']}")
    for note in report.notes:
        say(f"- {note}")


def _counts(report: Report) -> str:
    e = report.estimates
    at = "" if report.threshold is None else f" · kept where the score is at least {report.threshold:.6g}"
    return (
        f"{report.source}: {e.rows} rows, {e.correct} correct ({e.kept_correct} kept), {e.wrong} wrong "
        f"({e.kept_wrong} kept), {e.kept} kept in all{at}"
    )


def _rates(report: Report, plain: bool) -> Table:
    e = report.estimates
    table = _table(plain, ("", "left"), ("estimate", "right"), (f"{_level(e)} interval", "left"))
    for name, words in _RATES:
        value, (low, high) = getattr(e, name), e.intervals[name]
        bold = "bold" if name in ("p_star", "margin") else ""
        table.add_row(words, _number(value), f"{low:.4f} to {high:.4f}", style=bold)
    return table


def _looks(title: str, looks: Sequence[Look], plain: bool) -> Table:
    so_far = any(look.so_far for look in looks)
    heads = [(title, "left"), *((head, "right") for head in ("rows", "kept", "p", "phi", "psi", "p*"))]
    heads += [("interval", "left"), ("verdict", "left")]
    table = _table(plain, *heads, *([("so far", "left")] if so_far else []))
    for look in looks:
        e = look.estimates
        low, high = e.intervals["p_star"]
        cells = [look.name, str(e.rows), str(e.kept)]
        cells += [_number(value, 3) for value in (e.p, e.phi, e.psi, e.p_star)]
        cells += [f"{low:.3f} to {high:.3f}", _coloured(look.verdict)]
        table.add_row(*cells, *([_coloured(look.so_far)] if look.so_far else []))
    return table


def _classes(classes: Classes, plain: bool) -> Table:
    heads = [("class", "left"), *((head, "right") for head in ("rows", "kept", "correct", "share"))]
    table = _table(plain, *heads, ("strongest rival", "left"), ("kept", "right"), ("verdict", "left"))
    for row in classes.rows:
        rival = row.rival or "none"
        cells = [row.name, str(row.rows), str(row.kept), str(row.kept_correct), _number(row.share, 3)]
        table.add_row(*cells, rival, str(row.kept_rival), _coloured(row.verdict))
    return table


def _curve(curve: Curve, plain: bool) -> Table:
    heads = ("threshold", "keeps", "phi", "psi", "precision", "p*")
    table = _table(plain, *((head, "right") for head in heads), ("interval", "left"), ("verdict", "left"))
    for i, verdict in enumerate(curve.verdict):
        rates = [_number(float(v[i]), 3) for v in (curve.phi, curve.psi, curve.precision, curve.p_star)]
        interval = f"{curve.low[i]:.3f} to {curve.high[i]:.3f}"
        best = "bold" if i == curve.best else ""
        keeps = f"{100 * curve.keep_rate[i]:.1f} %"
        table.add_row(f"{curve.threshold[i]:.6g}", keeps, *rates, interval, _coloured(verdict), style=best)
    return table


def _advice(curve: Curve) -> str:
    if curve.best is None:
        return f"no threshold is safe (p = {curve.p:.3f})"
    at = curve.best
    return (
        f"p = {curve.p:.3f}; the threshold that keeps most while safe: {float(curve.threshold[at])!r}, "
        f"which keeps {100 * curve.keep_rate[at]:.1f} %"
    )


def _more(report: Report) -> str:
    rows, kept = report.more_labels
    if rows == 0:
        return "more labels to decide: none, this is decided"
    if math.isinf(rows):
        return "more labels to decide: no number would, if correct and wrong are as even as they look"
    chance = "about every second time" if report.method.sequential else f"with probability {POWER:g}"
    return (
        f"more labels to decide ({chance}, if the shares are as they look): about {rows:.0f} rows drawn "
        f"like these, or {kept:.0f} kept ones"
    )


def _level(e: Estimates) -> str:
    return f"{100 * e.level:.4g} %"


def _number(value: float, digits: int = 4) -> str:
    return "?" if math.isnan(value) else f"{value:.{digits}f}"


def _coloured(verdict: str | None) -> str:
    return f"[{_COLOURS[verdict or SAFE]}]{verdict}[/]"


def _table(plain: bool, *columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), safe_box=plain)
    for name, side in columns:
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    return table
