"""The registry of checked statements: what is known about retraining, and how this program sees that it holds.

    simcollapse theorems                  every statement against a simulation
    simcollapse theorems --self-test      every check with an error planted, which it must catch

Each entry names an independent simulation and an error. A later entry adds a module or a function, and a
line below. Here, and nowhere in the simulator, `simcollapse` and `theory` meet.
"""

import json
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.table

from simcollapse.checks import nearest
from simcollapse.theorems import (
    accumulate,
    audits,
    breakdown,
    contraction,
    designs,
    engine,
    exact_chain,
    generative,
    kept_data,
    learning,
    noise,
    qualified,
    stopping,
    truncated_normal,
    workflows,
)
from simcollapse.theorems.theorem import Configuration, Outcome, Theorem, checked

KNOWN: dict[str, Theorem] = {
    theorem.name: theorem
    for theorem in (
        truncated_normal.MOMENTS,
        contraction.ONE_ROUND,
        contraction.RATE_THEOREM,
        contraction.DECAY,
        exact_chain.EXACT,
        exact_chain.RANDOM_COUNT,
        exact_chain.BOUND,
        stopping.LIMIT,
        stopping.BEST,
        stopping.REGIMES,
        stopping.REVERSAL,
        stopping.WORTH,
        accumulate.RECURSION,
        accumulate.POWER_LAW,
        accumulate.SUBSAMPLE,
        designs.POPULATION,
        designs.FIXED,
        workflows.GROWTH,
        workflows.PLATEAU,
        workflows.FRESH,
        workflows.SUBSAMPLE,
        noise.ALONE,
        noise.VERIFIED,
        engine.ENGINES,
        engine.INFINITE,
        engine.SCALE,
        engine.ROTATION,
        breakdown.FAIR_COIN,
        breakdown.AVERAGING,
        breakdown.MIRROR,
        breakdown.AGREEMENT,
        breakdown.RATES,
        breakdown.MOMENTS,
        breakdown.PROPORTION,
        breakdown.OWN_DIRECTION,
        breakdown.NOT_GAUSSIAN,
        breakdown.ENGINES,
        learning.CLASS_POINTS,
        learning.FIXED_RULES,
        learning.STEP,
        learning.WINDOW,
        learning.ROWS_NEEDED,
        learning.PAYS,
        learning.SUREST,
        learning.ANISOTROPIC,
        learning.LOGISTIC,
        learning.BEST_SIZE,
        audits.COVERAGE,
        audits.SIZE,
        audits.ALWAYS,
        audits.PLURALITY,
        generative.LOG_VOLUME,
        generative.MEAN_COVARIANCE,
        generative.HETEROZYGOSITY,
        kept_data.CONSERVED,
        kept_data.TYPICAL,
        kept_data.TYPICAL_KEPT,
        kept_data.UNIVERSAL,
        kept_data.FEW_REAL,
        kept_data.DELETED,
        kept_data.REUSED,
        kept_data.ONLY_REAL,
        kept_data.WORTH,
        qualified.DISTANCE,
        qualified.GROWING_BUDGET,
        qualified.BANDWIDTHS,
        qualified.WRONG_ROWS,
        qualified.WEIGHTS,
        qualified.FIXATION,
        qualified.CROWDED,
        qualified.ARRIVING,
    )
}


def run(
    names: Iterable[str] | None = None, *, on_outcome: Callable[[Outcome], Any] | None = None
) -> list[Outcome]:
    """Outcomes of the named theorems, of all when None; `on_outcome` is called after each.

    Raises:
        ValueError: an unknown name; names the nearest known one.
    """
    return _check(names, planted=False, on_outcome=on_outcome)


def self_test(
    names: Iterable[str] | None = None, *, on_outcome: Callable[[Outcome], Any] | None = None
) -> list[Outcome]:
    """As `run`, with each theorem's error planted: an outcome is good when its check caught the error.

    Raises:
        ValueError: an unknown name; names the nearest known one.
    """
    return _check(names, planted=True, on_outcome=on_outcome)


def _check(names, *, planted, on_outcome):
    outcomes = []
    for theorem in [_find(name) for name in (KNOWN if names is None else names)]:
        outcomes.append(checked(theorem, planted))
        if on_outcome is not None:
            on_outcome(outcomes[-1])
    return outcomes


def _find(name):
    if name not in KNOWN:
        raise ValueError(f"unknown theorem {name!r}{nearest(name, KNOWN)}; known are {', '.join(KNOWN)}")
    return KNOWN[name]


def table(outcomes: list[Outcome]) -> rich.table.Table:
    """One row a theorem: how many settings were checked, the worst of them against its limit, the verdict."""
    planted = any(outcome.planted for outcome in outcomes)
    made = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    made.add_column("theorem, planted error" if planted else "theorem", min_width=26)
    for column in ("settings", "worst deviation", "limit"):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    for outcome in outcomes:
        worst = outcome.worst
        name = outcome.theorem.name + (f"\n  {outcome.theorem.planted}" if outcome.planted else "")
        made.add_row(
            rich.markup.escape(name),
            str(len(outcome.configurations)),
            f"{worst.measure.split()[0]} {worst.deviation:.3g}" if worst else "-",
            f"{worst.limit:.3g}" if worst else "-",
            f"[{'green' if outcome.good else 'bold red'}]{outcome.verdict}[/]",
        )
    return made


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """`outcome` in plain types, for JSON."""
    theorem = outcome.theorem
    words = {
        name: getattr(theorem, name)
        for name in ("name", "statement", "source", "assumptions", "strategy", "planted")
    }
    return words | {
        "self_test": outcome.planted,
        "verdict": outcome.verdict,
        "good": outcome.good,
        "error": outcome.error,
        "elapsed_s": outcome.elapsed_s,
        "configurations": [
            # JSON knows no infinity
            c._asdict()
            | {"deviation": c.deviation if isfinite(c.deviation) else str(c.deviation), "agrees": c.agrees}
            for c in outcome.configurations
        ],
    }


def main_run(names: list[str] | None = None, self_test: bool = False, json: bool = False) -> int:
    """Print the outcomes and return the exit code: 0 when all are good, else 1. The command `simcollapse theorems`.

    Args:
        names: theorems to check; all when empty or None.
        self_test: plant each theorem's error and see it caught.
        json: print one JSON document with every configuration in place of the table.

    Raises:
        ValueError: an unknown name; names the nearest known one.
    """
    progress = rich.console.Console(stderr=True)
    chosen = [_find(name).name for name in names] if names else list(KNOWN)

    def report(outcome):
        progress.print(
            f"{outcome.theorem.name}: {outcome.verdict} ({outcome.elapsed_s:.1f} s)", highlight=False
        )

    outcomes = _check(chosen, planted=self_test, on_outcome=report)
    if json:
        print(_dumped(outcomes))
    else:
        console = rich.console.Console()
        console.print(table(outcomes))
        for line in _complaints(outcomes):
            console.print(line, markup=False, highlight=False)
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _dumped(outcomes):
    return json.dumps([as_dict(outcome) for outcome in outcomes], indent=2)


def _complaints(outcomes):
    """What to read about each outcome that is not good."""
    for outcome in outcomes:
        if outcome.good:
            continue
        yield f"\n{outcome.theorem.name}: {outcome.theorem.statement}"
        if outcome.error:
            yield f"  the check itself broke: {outcome.error}"
        elif outcome.planted:
            yield f"  did not see: {outcome.theorem.planted}"
        for c in outcome.configurations:
            if not c.agrees:
                yield f"  {c.label}: {c.measure} {c.deviation:.4g}, limit {c.limit:.4g}"


__all__ = ["KNOWN", "Configuration", "Outcome", "Theorem", "as_dict", "main_run", "run", "self_test", "table"]
