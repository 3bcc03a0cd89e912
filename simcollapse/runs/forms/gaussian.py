"""Gaussian fits: trace, squared_error, and the log of the determinant."""

from collections.abc import Iterator

import numpy as np

import theory
from simcollapse import workflows
from simcollapse.runs.forms.form import (
    LOG_SQUARE,
    MOST_SPREAD,
    Cell,
    Family,
    Form,
    Unknown,
    mixed_skewness,
    nothing_known,
)

closed = theory.workflows


def _forms(cell: Cell) -> Iterator[Form]:
    if cell.verified:
        raise Unknown(nothing_known(cell))
    task, workflow = cell.task, cell.workflow
    divisor = {"covariance": task.estimator}
    sizes = np.concatenate([[cell.n_real], cell.counts]).astype(float)
    pool = np.cumsum(sizes)
    if isinstance(workflow, workflows.Replace):
        yield from _log_volume(cell, sizes)
        form, name = closed.gaussian_replace, "gaussian_replace"
        ratio = form.covariance_ratio_exact(**cell.sizes, **divisor)
        error = form.mean_error_ratio_exact(**cell.sizes, **divisor)
        spread = np.cumsum(2 / (sizes - 1))
    elif isinstance(workflow, workflows.Accumulate):
        form, name = closed.gaussian_accumulate, "gaussian_accumulate"
        ratio = form.covariance_ratio_exact(**cell.sizes, **divisor)
        error = form.mean_error_ratio_exact(**cell.sizes, **divisor)
        spread = 2 / (sizes[0] - 1) + np.concatenate([[0.0], np.cumsum(2 * sizes[1:] / pool[1:] ** 2)])
    elif isinstance(workflow, workflows.AccumulateSubsample) and workflow.strategy == "uniform":
        name = "gaussian_subsample"
        wanted = cell.counts if workflow.size is None else np.full(cell.rounds, workflow.size)
        size = np.concatenate([[np.inf], wanted])
        ratios = closed.gaussian_subsample.ratios_recursion(**cell.sizes, size=size, **divisor)
        ratio, error = ratios
        fitted = np.minimum(size, pool)
        spread = 2 / (fitted - 1) + np.concatenate([[0.0], np.cumsum(2 * sizes[1:] / pool[1:] ** 2)])
    else:
        raise Unknown(nothing_known(cell))
    calm = spread <= MOST_SPREAD
    root = np.asarray(task.covariance.color(np.eye(task.dim)), dtype=np.float64)
    source = f"theory.workflows.{name}"
    judged = np.where(calm, ratio, np.nan)
    skewness = (np.exp(MOST_SPREAD) + 2) * np.sqrt(np.expm1(MOST_SPREAD))  # of a log-normal variance
    yield Form("trace", judged, f"{source}: covariance_ratio", skewness)
    mean = np.where(calm, error, np.nan) * np.sum(root**2)
    yield Form("squared_error", mean, f"{source}: mean_error_ratio", mixed_skewness(MOST_SPREAD))
    if not calm.all():
        raise Unknown("trace, squared_error: rounds in which rare chains carry the mean of a fitted variance")


def _log_volume(cell: Cell, sizes: np.ndarray):
    dim, source = cell.task.dim, "theory.workflows.gaussian_replace.mean_log_det_exact"
    if sizes.min() <= dim:
        return
    expected = closed.gaussian_replace.mean_log_det_exact(
        dim=dim, **cell.sizes, covariance=cell.task.estimator
    )
    yield Form("log_det", expected, source, LOG_SQUARE)
    if dim == 1:
        yield Form("log_trace", expected, source, LOG_SQUARE)


FAMILY = Family(_forms)
