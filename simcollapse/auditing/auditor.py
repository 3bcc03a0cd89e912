"""`audit` and `audit_file`: labelled samples in, a report out."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simcollapse.auditing import looks, multiclass, thresholds, words
from simcollapse.auditing.arguments import checked_method
from simcollapse.auditing.columns import ArrayColumn, BadValue, Codes, Column, binary, categories, finite
from simcollapse.auditing.estimates import Method, estimate
from simcollapse.auditing.report import Report
from simcollapse.auditing.tally import Evidence, Tally, evidence

_KEYS = ("group", "round", "cluster")
_CONVERTERS: dict[str, Callable[[Column], Any]] = {
    "correct": binary,
    "kept": binary,
    "score": finite,
    "weight": partial(finite, positive=True),
    **dict.fromkeys((*_KEYS, "true_label", "generated_label"), categories),
}


def audit(
    correct: Any = None,
    kept: Any = None,
    *,
    true_label: Any = None,
    generated_label: Any = None,
    score: Any = None,
    threshold: float | None = None,
    group: Any = None,
    round: Any = None,
    weight: Any = None,
    cluster: Any = None,
    level: float = 0.95,
    exact: bool = False,
    sequential: bool = False,
) -> Report:
    """Is a verifier good enough for its generator? From generated samples that somebody labelled.

        report = simcollapse.audit(correct, kept)
        print(report.verdict, report.p_star, report.interval)

    Every argument is a sequence with one value for each sample; yes or no is 0/1, true/false or yes/no.
    With p the share of wrong samples and phi, psi the shares kept among correct and wrong ones, training on what
    is kept teaches the right labels exactly if p < p* = phi/(phi+psi): if more than half of the kept are correct.

    Args:
        correct: whether the sample is right, as a person or a test found. Instead: the two labels below.
        kept: whether the verifier kept it. Instead: `score`.
        true_label: true class, and generated_label: class that the generator gave; the verdict is then the
            plurality rule, class by class.
        score: the verifier's score; kept where it is >= threshold. Without a threshold the report is on the
            loosest of 20 thresholds (keep rates 5 %, 10 %, …) that is safe after Bonferroni's correction.
        threshold: see score.
        group: judged side by side (Holm).
        round: judged one after the other, corrected for any number of looks.
        weight: of a stratified audit, 1 over the chance to be labelled; any scale. Verdicts become approximate.
        cluster: what samples share that are not independent, as a prompt. Verdicts become approximate.
        level: of every interval, and of the verdict: at most 1 - level are wrong.
        exact: intervals of p*, the margin and the rates that cover with at least `level` everywhere. The default
            score intervals do so on average; at 95 %, with 10 to 200 samples and in the worst of the cells of
            `simcollapse.auditing.coverage`, that of p* covers with 0.88 and that of the margin with 0.86 (there,
            almost nothing wrong is kept). The verdict is always exact, but for weights and clusters.
        sequential: a verdict that stays valid if one looks after every label and stops at will.

    Raises:
        TypeError: no sequences. ValueError: a value that is missing or not allowed, columns of different
            lengths, no rows, none kept, or arguments that do not go together.
    """
    given = {
        "correct": correct,
        "kept": kept,
        "true_label": true_label,
        "generated_label": generated_label,
        "score": score,
        "group": group,
        "round": round,
        "weight": weight,
        "cluster": cluster,
    }
    roles = [role for role, values in given.items() if values is not None]
    method = checked_method(roles, threshold, level, exact, sequential)
    columns: dict[str, Column] = {role: ArrayColumn(role, given[role]) for role in roles}
    lengths = {role: len(column) for role, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"all columns must have one length, got {lengths}")
    if not next(iter(lengths.values())):
        raise ValueError(f"{roles[0]} must have at least one value, got none")
    return _report([columns], roles, method, threshold, "the given rows")


def audit_file(
    path: str | Path,
    *,
    correct: str | None = None,
    kept: str | None = None,
    true_label: str | None = None,
    generated_label: str | None = None,
    score: str | None = None,
    threshold: float | None = None,
    group: str | None = None,
    round: str | None = None,
    weight: str | None = None,
    cluster: str | None = None,
    level: float = 0.95,
    exact: bool = False,
    sequential: bool = False,
) -> Report:
    """`audit` of a CSV, JSON lines or Parquet file with one row for each sample, read in pieces.

    The arguments name columns; correct and kept are "correct" and "kept" where nothing stands in their place.

    Raises:
        FileNotFoundError: no such file. TypeError, ValueError: as `audit`, naming the first offending row (counted
            from 1 below the header); a column that is not there, with those that are; a file that cannot be read.
    """
    from simcollapse.auditing.read import read_columns

    file = _find(path)
    named = {
        "correct": correct or ("correct" if not (true_label or generated_label) else None),
        "kept": kept or ("kept" if not score else None),
        "true_label": true_label,
        "generated_label": generated_label,
        "score": score,
        "group": group,
        "round": round,
        "weight": weight,
        "cluster": cluster,
    }
    columns = {role: name for role, name in named.items() if name is not None}
    method = checked_method(list(columns), threshold, level, exact, sequential)
    return _report(read_columns(file, columns), list(columns), method, threshold, file.name)


def _find(path: str | Path) -> Path:
    given = Path(path).expanduser()
    if given.is_file():
        return given
    from simcollapse.data.finding import find_file  # its package loads JAX, which an audit does without

    return find_file(path)


def _report(
    pieces: Iterable[Mapping[str, Column]],
    roles: list[str],
    method: Method,
    threshold: float | None,
    source: str,
) -> Report:
    keys = tuple(key for key in _KEYS if key in roles)
    labels = ("true", "generated") if "true_label" in roles else ()
    tally = Tally((*keys, *labels), weighted="weight" in roles)
    scores, rights = [], []
    for piece in pieces:
        found = _converted(piece)
        sorted_by = {key: found[key] for key in keys}
        if labels:
            sorted_by |= {label: found[f"{label}_label"] for label in labels}
            correct = _names(sorted_by["true"]) == _names(sorted_by["generated"])
        else:
            correct = found["correct"]
        if "score" in roles and not {"weight", "cluster"} & set(roles):
            scores.append(found["score"])
            rights.append(correct)
        if "kept" in roles or threshold is not None:
            kept = found["kept"] if "kept" in roles else found["score"] >= threshold
            tally.add(correct, kept, found.get("weight"), sorted_by)
    curve = thresholds.curve(_joined(scores), _joined(rights), method) if scores else None
    if curve is not None and threshold is None:
        return _at_best_threshold(curve, method, source)
    return _of_tally(tally, method, curve, threshold, source)


def _converted(piece: Mapping[str, Column]) -> dict[str, Any]:
    """The columns as arrays or `Codes`; of several bad values the one in the first row is named."""
    found, bad = {}, []
    for role, column in piece.items():
        try:
            found[role] = _CONVERTERS[role](column)
        except BadValue as error:
            bad.append(error)
    if bad:
        raise min(bad, key=lambda error: error.index)
    return found


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """All pieces in one array; the list is emptied, so that they are not held twice."""
    whole = np.concatenate(pieces)
    pieces.clear()
    return whole


def _names(column: Codes) -> np.ndarray:
    return np.array(column.values, dtype=object)[column.codes]


def _of_tally(
    tally: Tally, method: Method, curve: thresholds.Curve | None, threshold: float | None, source: str
) -> Report:
    table = tally.table()
    sums = evidence(table)
    _check_kept(sums, "" if threshold is None else f" at threshold {threshold:g}")
    whole = estimate(sums, method)
    groups = looks.by_group(table, method) if "group" in tally.keys else ()
    rounds = looks.by_round(table, method) if "round" in tally.keys else ()
    verdict, more, classes = whole.verdict, looks.more_labels(whole, method), None
    if "true" in tally.keys:
        classes = multiclass.by_class(table, whole.p_star, method)
        verdict, more = (
            classes.verdict,
            looks.MoreLabels(classes.more_rows, np.ceil(classes.more_rows * whole.keep_rate)),
        )
    kinds = {"groups": bool(groups), "rounds": bool(rounds), "classes": classes is not None}
    return Report(
        verdict=verdict,
        estimates=whole,
        more_labels=more,
        method=method,
        methods=words.methods(sums, method, **kinds, curve=curve is not None),
        notes=words.notes(sums, whole, method, groups, rounds, verdict, classes),
        groups=groups,
        rounds=rounds,
        classes=classes,
        curve=curve,
        threshold=threshold,
        source=source,
    )


def _at_best_threshold(curve: thresholds.Curve, method: Method, source: str) -> Report:
    """The report at the loosest safe threshold, or where none is at the one of the highest precision."""
    at = int(np.argmax(curve.precision)) if curve.best is None else curve.best
    kept_correct, kept = int(curve.kept_correct[at]), int(curve.kept[at])
    wrong = round(curve.p * curve.rows)
    kept_wrong = kept - kept_correct
    cells = np.array(
        [[wrong - kept_wrong, kept_wrong], [curve.rows - wrong - kept_correct, kept_correct]], float
    )
    sums = Evidence(cells, cells, cells)
    corrected = method._replace(level=1 - method.alpha / len(curve.threshold))
    whole = estimate(sums, corrected)
    verdict = thresholds.overall(curve)
    more = looks.more_labels(dataclasses.replace(whole, verdict=verdict), corrected)
    return Report(
        verdict=verdict,
        estimates=whole,
        more_labels=more,
        method=method,
        methods=words.methods(sums, method, groups=False, rounds=False, classes=False, curve=True),
        notes=words.notes(sums, whole, method, (), (), verdict),
        curve=curve,
        threshold=float(curve.threshold[at]),
        source=source,
    )


def _check_kept(sums: Evidence, where: str) -> None:
    if not sums.n[:, 1].sum():
        raise ValueError(
            f"kept must be yes in at least one row, got none{where}: nothing is left to train on, and p* is 0/0"
        )
