"""The result of an audit, and the same as plain values for programs."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from simcollapse.auditing.estimates import VERDICTS, Ends, Estimates, Method
from simcollapse.auditing.looks import Look, MoreLabels
from simcollapse.auditing.multiclass import Classes
from simcollapse.auditing.thresholds import Curve


@dataclass(frozen=True)
class Report:
    """What `simcollapse.audit` returns. Rates are NaN where nothing was seen of them."""

    verdict: str  # safe: p < p*, collapse: p > p*, undecided
    estimates: Estimates  # of all rows
    more_labels: MoreLabels  # that would decide
    method: Method
    methods: dict[str, str]  # names of what was computed how
    notes: tuple[str, ...]
    groups: tuple[Look, ...] = ()
    rounds: tuple[Look, ...] = ()
    classes: Classes | None = None
    curve: Curve | None = None  # of a score
    threshold: float | None = None  # of the score, at which `estimates` are
    source: str = "the given rows"

    @property
    def exit_code(self) -> int:
        """0 safe, 1 collapse, 2 undecided."""
        return VERDICTS.index(self.verdict)

    @property
    def p(self) -> float:
        """Share of wrong rows."""
        return self.estimates.p

    @property
    def phi(self) -> float:
        """Kept among the correct."""
        return self.estimates.phi

    @property
    def psi(self) -> float:
        """Kept among the wrong."""
        return self.estimates.psi

    @property
    def precision(self) -> float:
        """Correct among the kept."""
        return self.estimates.precision

    @property
    def p_star(self) -> float:
        """Breakdown point phi/(phi+psi)."""
        return self.estimates.p_star

    @property
    def interval(self) -> Ends:
        """Of p_star."""
        return self.estimates.intervals["p_star"]

    @property
    def margin(self) -> float:
        """p_star - p."""
        return self.estimates.margin

    @property
    def margin_interval(self) -> Ends:
        """Of the margin."""
        return self.estimates.intervals["margin"]


def as_dict(report: Report) -> dict[str, Any]:
    """The report as JSON can hold it: null stands for what is unknown, and for infinitely many labels."""
    e = report.estimates
    out: dict[str, Any] = {
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "source": report.source,
        **_estimates(e),
        "more_labels": report.more_labels._asdict(),
        "method": report.method._asdict(),
        "methods": report.methods,
        "notes": list(report.notes),
    }
    for name, looks in (("groups", report.groups), ("rounds", report.rounds)):
        if looks:
            out[name] = [_look(look) for look in looks]
    if report.classes is not None:
        rows = [row._asdict() | {"share": row.share} for row in report.classes.rows]
        out["classes"] = report.classes._asdict() | {"rows": rows}
    if report.curve is not None:
        out["threshold"] = report.threshold
        out["curve"] = report.curve._asdict() | {"keep_rate": report.curve.keep_rate}
    return _plain(out)


def _estimates(e: Estimates) -> dict[str, Any]:
    return asdict(e)


def _look(look: Look) -> dict[str, Any]:
    more = {} if look.so_far is None else {"so_far": look.so_far}
    return {"name": look.name, **_estimates(look.estimates), "verdict": look.verdict, **more}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
