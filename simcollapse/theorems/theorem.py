"""What an entry of the registry is, and what checking one gives."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Configuration(NamedTuple):
    """One setting in which a statement was checked; it agrees when deviation <= limit."""

    label: str  # the setting
    deviation: float
    limit: float
    measure: str  # what the two are: "z", "z <=", "z <", "margin" or "gap" (see `evidence`)

    @property
    def agrees(self) -> bool:
        return self.deviation <= self.limit  # false for NaN

    @property
    def excess(self) -> float:
        """How far beyond the limit, in units of it; orders configurations of different measures."""
        if math.isnan(self.deviation):
            return math.inf
        return (
            (self.deviation - self.limit) / abs(self.limit)
            if self.limit
            else math.copysign(1, self.deviation)
        )


@dataclasses.dataclass(frozen=True)
class Theorem:
    """A checked statement.

    `check(planted)` simulates and compares, one Configuration per setting. With planted=True the error that
    `planted` names is put into the simulation or the formula, and some configuration must then disagree:
    a check that cannot fail shows nothing.
    """

    name: str  # as typed on the command line
    statement: str  # one or two plain sentences
    source: (
        str  # [Key], Theorem n (arXiv vN), or "derived here", and the function of `theory` that computes it
    )
    assumptions: str
    strategy: str  # the independent simulation, what is compared, the false-alarm rate
    planted: str  # the error that `check(True)` commits
    check: Callable[[bool], Iterable[Configuration]]


class Outcome(NamedTuple):
    """A theorem after its check."""

    theorem: Theorem
    planted: bool  # whether its error was planted
    configurations: list[Configuration]
    error: str  # why the check itself broke, "" if it did not
    elapsed_s: float

    @property
    def worst(self) -> Configuration | None:
        return max(self.configurations, key=lambda c: c.excess, default=None)

    @property
    def agrees(self) -> bool:
        """Every configuration agrees."""
        return not self.error and bool(self.configurations) and all(c.agrees for c in self.configurations)

    @property
    def good(self) -> bool:
        """The statement agrees; or, with the error planted, some configuration disagrees."""
        if self.planted:
            return not self.error and not all(c.agrees for c in self.configurations)
        return self.agrees

    @property
    def verdict(self) -> str:
        if self.error:
            return "broken"
        if self.planted:
            return "caught" if self.good else "MISSED"
        return "agrees" if self.good else "FAILS"


def checked(theorem: Theorem, planted: bool) -> Outcome:
    """The outcome of one check; an exception inside it is part of the outcome, so that the others still run."""
    begin = time.perf_counter()
    configurations, error = [], ""
    try:
        configurations.extend(theorem.check(planted))
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Outcome(theorem, planted, configurations, error, time.perf_counter() - begin)
