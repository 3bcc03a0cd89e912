"""Rounds that are exact in law: sufficient statistics drawn directly. One file per (task, verifier)."""

from types import ModuleType
from typing import Any

import numpy as np

from simcollapse.laws import (
    discrete_unverified,
    gaussian_mixture_independent,
    gaussian_unverified,
    linear_regression_unverified,
)

_LAWS: tuple[ModuleType, ...] = (
    linear_regression_unverified,
    gaussian_mixture_independent,
    gaussian_unverified,
    discrete_unverified,
)


def find(
    task: Any, verifier: Any, workflow: Any, sampling: Any, sizes: np.ndarray
) -> tuple[ModuleType | None, str]:
    """The law of rounds of these `sizes` (samples) of this combination, or None and why there is none."""
    if workflow.needs_rows and not getattr(workflow, "alike", False):
        return None, f"{type(workflow).__name__} chooses among rows, and a law has none"
    if getattr(workflow, "weight", None) is not None:
        return None, f"{type(workflow).__name__} weighs rows, and the laws weigh all alike"
    for law in _LAWS:
        if isinstance(task, law.TASK) and isinstance(verifier, law.VERIFIER):
            if workflow.needs_rows and not hasattr(law, "thin"):
                return (
                    None,
                    f"{type(workflow).__name__} chooses among rows, and sums do not tell what it may choose",
                )
            most = (
                sizes.sum() if workflow.needs_rows else sizes.max()
            )  # rows that a fit chooses from, or sees
            reason = law.why_not(task, sampling, int(sizes.min()), int(most))
            return (None, reason) if reason else (law, "")
    reason = f"no law is known for {type(task).__name__} with {type(verifier).__name__}"
    if isinstance(task, gaussian_mixture_independent.TASK):
        reason += ", whose verdict depends on the features"
    return None, reason
