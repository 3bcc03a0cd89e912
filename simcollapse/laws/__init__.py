"""Rounds that are exact in law: sufficient statistics drawn directly. One file per (task, verifier)."""

from types import ModuleType
from typing import Any

from simcollapse.laws import linear_regression_unverified

_LAWS: tuple[ModuleType, ...] = (linear_regression_unverified,)


def find(task: Any, verifier: Any, workflow: Any, least: int) -> tuple[ModuleType | None, str]:
    """The law of a round of `least` samples or more of this combination, or None and why there is none."""
    if workflow.needs_rows:
        return None, f"{type(workflow).__name__} draws among rows, and a law has none"
    for law in _LAWS:
        if isinstance(task, law.TASK) and isinstance(verifier, law.VERIFIER):
            reason = law.why_not(task, least)
            return (None, reason) if reason else (law, "")
    return None, f"no law is known for {type(task).__name__} with {type(verifier).__name__}"
