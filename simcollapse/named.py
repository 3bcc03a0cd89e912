"""Choices as a user gives them: by name, as a plain function, or ready made; and back into words."""

from typing import Any

import numpy as np

from simcollapse import verifiers, workflows
from simcollapse.checks import check_choice


def as_verifier(verifier: Any, task: Any) -> Any:
    """`verifier` itself, or a plain function wrapped as one.

    Raises:
        TypeError: neither a verifier nor a function.
    """
    if isinstance(verifier, str):
        check_choice("verifier", verifier, verifiers.KNOWN)
        if verifier != "none":
            raise ValueError(f"verifier {verifier!r} has arguments; make it with simcollapse.{verifier}(...)")
        return verifiers.none()
    maker = getattr(verifier, "__name__", "")
    if isinstance(verifier, type) or (maker and verifier is verifiers.KNOWN.get(maker)):
        raise TypeError(
            f"verifier must be a verifier such as knowledge_ball(...), got {maker} itself; call it"
        )
    if not (
        hasattr(verifier, "init") and any(hasattr(verifier, how) for how in ("accept", "chance", "score"))
    ):
        verifier = verifiers.from_function(verifier) if not hasattr(verifier, "decide") else verifier
    if hasattr(verifier, "decide"):
        verifier = verifier.decide(task)
    return verifier


def as_workflow(workflow):
    """`workflow` itself, or the one of that name.

    Raises:
        ValueError: an unknown name; the nearest known is named.
    """
    if isinstance(workflow, str):
        check_choice("workflow", workflow, workflows.KNOWN)
        if workflow not in workflows.BARE:
            raise ValueError(f"workflow {workflow!r} has arguments; make it with simcollapse.{workflow}(...)")
        return workflows.KNOWN[workflow]()
    return workflow


def check_match(task, verifier) -> None:
    """Raise ValueError unless the task's fields agree with each other and the verifier can judge its rows."""
    if hasattr(task, "check"):
        task.check()
    kind = getattr(verifier, "kind", task.kind)
    if kind != task.kind:
        raise ValueError(
            f"verifier {type(verifier).__name__} judges rows of a {kind} task, "
            f"got the {task.kind} task {type(task).__name__}"
        )
    if hasattr(verifier, "check_task"):
        verifier.check_task(task)


def repr_short(thing) -> str:
    """`thing` as one readable line, arrays written by value when small and by shape otherwise."""
    if not hasattr(thing, "__dataclass_fields__"):
        if hasattr(thing, "shape"):
            array = np.asarray(thing)
            return (
                repr(array.item())
                if array.ndim == 0
                else np.array2string(array, separator=", ")
                if array.size <= 8
                else f"array{array.shape}"
            )
        if callable(thing):
            return getattr(thing, "__name__", "function")
        return f"({', '.join(map(repr_short, thing))})" if isinstance(thing, tuple) else repr(thing)
    inside = ", ".join(
        f"{name}={repr_short(getattr(thing, name))}"
        for name in thing.__dataclass_fields__
        if getattr(thing, name) is not None
    )
    return f"{type(thing).__name__}({inside})"


def check_kinds(task, workflow) -> None:
    """Raise TypeError unless `task` and `workflow` are what their names say."""
    if isinstance(task, type) or not hasattr(task, "generate"):
        raise TypeError(f"task must be a task such as linear_regression(...), got {task!r}")
    if isinstance(workflow, type) or not hasattr(workflow, "needs_rows"):
        raise TypeError(f"workflow must be a workflow such as replace(), got {workflow!r}")
