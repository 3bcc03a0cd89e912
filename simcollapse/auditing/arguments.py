"""Which arguments of an audit go together."""

from typing import Any

import numpy as np

from simcollapse.auditing.estimates import Method


def checked_method(roles: list[str], threshold: Any, level: Any, exact: bool, sequential: bool) -> Method:
    """The method, once it is sure that everything given goes together; `roles` are the columns that were given.

    Raises:
        TypeError: a level that is no number. ValueError: anything else.
    """
    labels = [role for role in ("true_label", "generated_label") if role in roles]
    if len(labels) == 1:
        raise ValueError(f"true_label and generated_label go together, got only {labels[0]}")
    for instead, one in ((bool(labels), "correct"), ("score" in roles, "kept")):
        other = "true_label and generated_label" if one == "correct" else "score"
        if instead and one in roles:
            raise ValueError(f"{one} does not go with {other}: they say the same")
        if not instead and one not in roles:
            raise ValueError(f"{one} must be given, or {other} in its place")
    if threshold is not None and "score" not in roles:
        raise ValueError("threshold goes with score")
    if threshold is not None and not (_is_number(threshold) and np.isfinite(threshold)):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    if not (_is_number(level) and 0 < level < 1):
        raise (ValueError if _is_number(level) else TypeError)(f"level must be in (0, 1), got {level!r}")
    for clash in _clashes(roles, labels, threshold is None, exact, sequential):
        raise ValueError("{} does not go with {}: {}".format(*clash))
    return Method(float(level), bool(exact), bool(sequential))


def _clashes(roles: list[str], labels: list[str], free: bool, exact: bool, sequential: bool):
    """Pairs of arguments that do not go together, and why; free: the threshold of a score is to be found."""
    to_find = "score" in roles and free
    uneven = [role for role in ("weight", "cluster") if role in roles]
    for role in ("group", "round", *uneven, *labels):
        if to_find and role in roles:
            yield role, "score", "give the threshold at which to judge it"
    if sequential and (labels or to_find):
        yield "sequential", labels[0] if labels else "score", "it judges one stream of decisions"
    for role in uneven:
        if sequential or exact:
            yield "sequential" if sequential else "exact", role, "it needs independent rows that count alike"
        if labels:
            yield role, "true_label", "classes are judged by exact counts of independent rows"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
