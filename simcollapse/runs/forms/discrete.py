"""Discrete distributions: heterozygosity and survivors."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import theory
from simcollapse import workflows
from simcollapse.runs.forms.form import Cell, Family, Form, Unknown, nothing_known

closed = theory.workflows.discrete
MOST_OUTCOMES_DRAWN = 2000  # survivors take time of order n^2


def _forms(cell: Cell) -> Iterator[Form]:
    if cell.verified:
        raise Unknown(nothing_known(cell))
    task, workflow = cell.task, cell.workflow
    p = np.asarray(task.probability, dtype=np.float64)
    given = {"probabilities": p, "n_real": cell.n_real, "rounds": cell.rounds}
    source, widest = "theory.workflows.discrete", 1 - 1 / len(p)
    if isinstance(workflow, workflows.Replace):
        name = "replace_heterozygosity_exact"
        expected = closed.replace_heterozygosity_exact(**given, n_per_round=cell.counts)
        if max(cell.n_real, *cell.counts, 0) <= MOST_OUTCOMES_DRAWN:
            alive = closed.replace_survivors_exact(**given, n_per_round=cell.counts)
            yield Form("survivors", alive, f"{source}.replace_survivors_exact", range=len(p) - 1)
    elif isinstance(workflow, workflows.Accumulate):
        name = "accumulate_heterozygosity_exact"
        expected = closed.accumulate_heterozygosity_exact(**given, n_per_round=cell.counts)
        alive = closed.accumulate_survivors_exact(**given)
        yield Form("survivors", alive, f"{source}.accumulate_survivors_exact", range=len(p) - 1)
    elif isinstance(workflow, workflows.AccumulateSubsample) and workflow.strategy == "uniform":
        name = "accumulate_subsample_heterozygosity_exact"
        expected = _subsampled_shares(cell, given)
    else:
        raise Unknown(nothing_known(cell))
    yield Form("heterozygosity", expected, f"{source}.{name}", range=widest)


def _subsampled_shares(cell: Cell, given: dict[str, Any]) -> np.ndarray:
    size, counts = cell.workflow.size, cell.counts
    budget = size if size is not None else int(counts[0]) if cell.rounds else cell.n_real
    if size is None and np.any(counts != budget):
        raise Unknown("accumulate_subsample of outcomes has an exact form for one size of the subsample only")
    if budget < cell.n_real:  # round 0 fits all real draws, the form only the budget
        raise Unknown(
            "accumulate_subsample of outcomes has an exact form for subsamples of n_real or more only"
        )
    form = closed.accumulate_subsample_heterozygosity_exact
    return form(**given, n_per_round=counts, budget=budget)


FAMILY = Family(_forms)
