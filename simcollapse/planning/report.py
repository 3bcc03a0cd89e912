"""A plan for people (a table and a chart in the terminal) and for programs (a dict of plain values)."""

import math
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from simcollapse.planning.chart import bars
from simcollapse.planning.planner import Plan

_COLOURS = {"improves": "green", "plateaus": "green", "reverses": "yellow", "degrades": "red"}


def as_dict(made: Plan) -> dict[str, Any]:
    """The plan as JSON can hold it: numbers are finite; null stands for infinity or for what is unknown.

    `infinite` and `unknown` list the keys whose null means the one or the other.
    """
    numbers = {
        name: getattr(made, name)
        for name in (
            "best_round",
            "latest_safe_round",
            "mse_now",
            "mse_best",
            "mse_limit",
            "bias_squared",
            "worth",
            "reversal_chance",
        )
    }
    infinite = [name for name, value in numbers.items() if value is not None and math.isinf(value)]
    unknown = [name for name, value in numbers.items() if value is None]
    out = {
        "regime": made.regime,
        "explanation": made.explanation,
        **numbers,
        "best_round": _whole(made.best_round),
        "latest_safe_round": _whole(made.latest_safe_round),
        "best_range": [_whole(k) for k in made.best_range],
        "infinite": infinite,
        "unknown": unknown,
        "error": made.error_unit,
        "method": made.method,
        "sources": made.sources,
        "std_errors": made.std_errors,
        "curve": {
            "round": list(range(len(made.curve))),
            "mse": made.curve,
            "std_error": made.std_error,
            "linear": made.linear,
        },
        "linear_gap": made.linear_gap,
        "notes": list(made.notes),
        "pipeline": made.pipeline.words(),
    }
    return _plain(out)


def _whole(round: float) -> int | None:
    return int(round) if math.isfinite(round) else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else None
    return value.item() if isinstance(value, np.generic) else value


def print_plan(made: Plan, console: Console | None = None) -> None:
    """Print the plan: verdict, numbers with their sources, the predicted curve, what to know about them."""
    console = Console() if console is None else console
    plain = not console.encoding.lower().startswith("utf")
    console.print(
        f"[bold {_COLOURS[made.regime]}]{made.regime.upper()}[/]  {made.explanation}", highlight=False
    )
    console.print(f"\n{_pipeline_words(made)}", highlight=False, style="dim")
    console.print(_numbers(made, plain))
    best = int(made.best_round) if made.best_round < len(made.curve) else None
    console.print(bars(made.curve, level=made.mse_now, best=best, plain=plain), soft_wrap=True)
    console.print(f"\n{made.error_unit}", highlight=False)
    console.print(f"curve: {made.method}{_linear_words(made)}", highlight=False)
    for note in made.notes:
        console.print(f"- {note}", highlight=False)


def _pipeline_words(made: Plan) -> str:
    p = made.pipeline
    each = "per direction" if p.design == "orthogonal" else "in all"
    what = (
        f"table {p.population.source}, {p.dim} coefficients"
        if p.population is not None
        else f"{p.dim} coefficients"
    )
    words = [f"{what}, noise {p.noise:.4g}", f"{p.n_real} real samples {each}", f"{_count_words(p)} a round"]
    if p.verified:
        slack = f" + {p.slack:g}" if p.slack and p.radius else ""
        size = f"slack {p.slack:g}" if not p.radius else f"radius {p.radius:g}{slack}"
        center = f"trained on {p.trained_on} real samples" if p.trained_on else f"bias {_bias_words(p)}"
        words.append(f"verifier with {size}, {center}; rejected: {p.rejected}")
    else:
        words.append("no verifier")
    design = [] if p.population is not None else [f"{p.design} design"]
    return " · ".join([*words, p.workflow, *design])


def _count_words(pipeline) -> str:
    counts = pipeline.counts(pipeline.rounds)
    first, last = counts[0], counts[-1]
    return f"{first:g}" if first == last else f"{first:g} … {last:g}"


def _bias_words(pipeline) -> str:
    if np.ndim(pipeline.bias) == 0:
        return f"{pipeline.bias:g}"
    return f"of norm {np.linalg.norm(pipeline.bias):.3g}"


def _linear_words(made: Plan) -> str:
    if made.linear_gap is None:
        return ""
    return f"; its linear approximation is off by up to {made.linear_gap:.1%}"


def _numbers(made: Plan, plain: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), safe_box=plain)
    for name, side in (("", "left"), ("error", "right"), ("against now", "right"), ("source", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    unit = " per direction" if made.pipeline.design == "orthogonal" else ""
    table.add_row("now (round 0, fit on real data)", *_error(made, "mse_now"))
    table.add_row(f"best: {_round_words(made, 'best_round')}", *_error(made, "mse_best"), style="bold")
    table.add_row("in the limit", *_error(made, "mse_limit"))
    table.add_row(
        "latest safe round", _round_words(made, "latest_safe_round"), "", made.sources["latest_safe_round"]
    )
    worth = "any number" if math.isinf(made.worth) else f"{made.worth:.0f}"
    table.add_row(f"real samples{unit} worth as much", worth, "", made.sources["mse_best"])
    if made.reversal_chance is not None:
        table.add_row(
            "chance that the limit is worse than now", f"{made.reversal_chance:.1%}", "", "over verifiers"
        )
    return table


def _round_words(made: Plan, name: str) -> str:
    value = getattr(made, name)
    if math.isinf(value):
        return "never stop" if name == "best_round" else "all"
    if name == "best_round":
        low, high = made.best_range
        words = f"round {value:.0f}"
        return words if low == high else f"{words} ({low:.0f} to {high:.0f} are as good)"
    return f"{value:.0f}"


def _error(made: Plan, name: str) -> tuple[str, str, str]:
    value = getattr(made, name)
    if value is None:
        return "?", "", made.sources[name]
    if math.isinf(value):
        return "infinite", "", made.sources[name]
    times = value / made.mse_now
    change = f"{times - 1:+.0%}" if times < 10 else f"× {times:.3g}"
    spread = made.std_errors.get(name)
    number = f"{value:.4g}" + (f" ± {spread:.1g}" if spread else "")
    return number, "" if name == "mse_now" else change, made.sources[name]
