"""Linear regression: squared_error and excess_risk, and the log of a refitted noise."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import roots_hermitenorm

import theory
from simcollapse import verifiers, workflows
from simcollapse.runs.forms.form import (
    LOG_SQUARE,
    MOST_SPREAD,
    ONE_SQUARE,
    UNSEEN,
    Cell,
    Family,
    Form,
    Unknown,
    mixed_skewness,
    nothing_known,
)
from simcollapse.tasks import designs

closed = theory.workflows
NODES = 16  # over the center of a trained ball, as in `planning.closed_form`


def _forms(cell: Cell) -> Iterator[Form]:
    task = cell.task
    if task.real_rows is not None:
        raise Unknown("real rows drawn from a table have no exact form")
    if cell.verified:
        yield from _ball(cell)
    elif isinstance(task.design, designs.Gaussian):
        yield from _gaussian_rows(cell)
    else:
        yield from _means(cell)


def _errors(cell: Cell, squared, risk_share, source, skewness):
    """squared_error, and excess_risk as a share of it."""
    yield Form("squared_error", squared, source, skewness)
    yield Form("excess_risk", risk_share * squared, source, skewness)


def _ball(cell: Cell):
    """The exact chain; directions are independent, each error a square of a nearly normal deviation."""
    task, ball = cell.task, cell.verifier
    if not isinstance(ball, verifiers.KnowledgeBall):
        raise Unknown(nothing_known(cell))
    if not _has_exact_chain(cell):
        raise Unknown("a ball has an exact form on the orthogonal design under replace only")
    if task.estimate_noise:
        raise Unknown("a ball has an exact form for known noise only")
    sigma, dim = float(task.noise), task.dim
    if ball.trained_on is None:
        center = np.asarray(ball.init(None, task), dtype=np.float64)
        bias, weights = center - np.asarray(task.truth, dtype=np.float64), np.ones(dim)
    else:
        nodes, weights = roots_hermitenorm(NODES)
        bias, weights = nodes * sigma / np.sqrt(float(ball.trained_on)), dim * weights / weights.sum()
    resample = cell.rejected == "resample" or cell.fixed == "kept"
    law = theory.knowledge_center.chain_law_exact(
        sigma=sigma,
        bound=float(ball.radius) + float(ball.slack),
        verifier_bias=bias,
        rejected="resample" if resample else "drop",
        **cell.sizes,
    )
    expected = (law.variance + (law.mean + bias) ** 2) @ weights
    empty = np.minimum(law.empty_chance, 1).cumsum(axis=0) @ weights
    expected = np.where(empty * cell.chains <= UNSEEN, expected, np.nan)
    source = "theory.knowledge_center.chain_law_exact"
    # a trained center mixes over its own deviation, which is normal too
    yield from _errors(cell, expected, 1 / dim, source, ONE_SQUARE)
    if np.isnan(expected).any():
        raise Unknown(
            "squared_error: rounds in which some chain is likely to freeze, which the exact chain does not"
        )


def _gaussian_rows(cell: Cell):
    task, workflow = cell.task, cell.workflow
    dim, sigma = task.dim, float(task.noise)
    identity = dim if task.design.inverse is None else float(np.sum(np.asarray(task.design.inverse) ** 2))
    common = {"dim": dim, "sigma": sigma}
    least = cell.n_real
    regression = closed.linear_regression
    if isinstance(workflow, workflows.Replace):
        least = min(least, *cell.counts) if cell.rounds else least
        risk = regression.replace_mse_exact(**common, **cell.sizes)
        source = "theory.workflows.linear_regression.replace_mse_exact"
        if task.estimate_noise:
            yield _log_noise(cell)
            risk = np.where(_noise_spread(cell) <= MOST_SPREAD, risk, np.nan)
    elif task.estimate_noise:
        raise Unknown("estimated noise has an exact form under replace only")
    elif isinstance(workflow, workflows.Accumulate):
        risk = regression.accumulate_mse_exact(**common, **cell.sizes)
        source = "theory.workflows.linear_regression.accumulate_mse_exact"
    elif isinstance(workflow, workflows.FreshReal) and workflow.weight is None and cell.rounds:
        real, generated = workflow.parts(cell.counts)
        if np.any(real != cell.n_real) or np.any(generated != generated[0]):
            raise Unknown("fresh real rows have an exact form where every round has n_real of them only")
        risk = closed.fresh_real.pooled_mse_exact(
            **common, n_real=cell.n_real, n_synthetic=int(generated[0]), rounds=cell.rounds
        )
        source = "theory.workflows.fresh_real.pooled_mse_exact"
    elif isinstance(workflow, workflows.Contaminated) and set(workflow.fields) == {"coef"}:
        if task.design.factor is not None:
            raise Unknown("contaminated rows have an exact form for x ~ N(0, I) only")
        risk = _contaminated(cell, common)
        least = min(least, *cell.counts) if cell.rounds else least
        source = "theory.workflows.contaminated.least_squares_mse_exact"
    else:
        raise Unknown(nothing_known(cell))
    freedom = least - dim + 1
    if freedom <= 12:
        raise Unknown("squared_error: heavy-tailed, fewer than d + 12 rows in a fit")
    # the error of a fit is a multivariate t; a chain's is a sum of such, hence less skewed
    skewness = max(np.asarray(stats.f.stats(1, freedom, moments="s")).item(), ONE_SQUARE)
    if task.estimate_noise:
        skewness = max(skewness, mixed_skewness(MOST_SPREAD))
    yield Form("excess_risk", risk, source, skewness)
    yield Form("squared_error", identity / dim * risk, source, skewness)
    if np.isnan(risk).any():
        raise Unknown("squared_error: rounds in which the fitted noise has collapsed, carried by rare chains")


def _contaminated(cell: Cell, common: dict[str, Any]) -> np.ndarray:
    shift = np.asarray(cell.workflow.fields["coef"]) - np.asarray(cell.task.truth)
    real, generated = cell.workflow.parts(cell.counts)
    form = closed.contaminated.least_squares_mse_exact
    pairs = [(cell.n_real, 0), *zip(real.tolist(), generated.tolist(), strict=True)]
    shift = float(np.linalg.norm(shift))
    return np.array([form(**common, shift=shift, n_real=int(n), n_synthetic=int(m)) for n, m in pairs])


def _freedom(cell: Cell) -> np.ndarray:
    """Degrees of freedom of the noise fitted in rounds 0..K, under replace."""
    rows = np.concatenate([[cell.n_real], cell.counts]) * cell.task.rows_per_sample
    return rows - cell.task.dim


def _noise_spread(cell: Cell) -> np.ndarray:
    """About the variance of the log of the noise variance that made round k's rows, k = 0..K."""
    return np.concatenate([[0.0], np.cumsum(2 / _freedom(cell))[:-1]])


def _log_noise(cell: Cell) -> Form:
    """Each round multiplies the noise variance by an independent chi-square over its degrees of freedom."""
    expected = np.log(float(cell.task.noise)) + np.cumsum(closed.chi_squared.mean_log(_freedom(cell))) / 2
    return Form("log_noise", expected, "theory.workflows.chi_squared.mean_log", LOG_SQUARE)


def _means(cell: Cell):
    """Designs that every round repeats: each coefficient is a weighted mean of means of batches."""
    task, workflow = cell.task, cell.workflow
    dim, orthogonal = task.dim, isinstance(task.design, designs.Orthogonal)
    per_sample = 1 if orthogonal else task.design.chunk_rows
    first, later = cell.n_real / per_sample, cell.counts / per_sample
    if task.estimate_noise:
        if not isinstance(workflow, workflows.Replace):
            raise Unknown("estimated noise has an exact form under replace only")
        yield _log_noise(cell)
    source = "theory.workflows.linear.mean_mse_exact"
    if isinstance(workflow, workflows.AccumulateSubsample):
        unit = _subsampled_mean(cell)
        source = "theory.workflows.linear_regression.accumulate_subsample_intercept_exact"
    else:
        batches, weights = _batches(cell, first, later, per_sample)
        unit = closed.linear.mean_mse_exact(sigma=float(task.noise), batches=batches, weights=weights)
    skewness = ONE_SQUARE
    if task.estimate_noise:
        unit = np.where(_noise_spread(cell) <= MOST_SPREAD, unit, np.nan)
        skewness = mixed_skewness(MOST_SPREAD)
    spread, risk = float(dim), 1 / dim
    if not orthogonal:  # tr (X'X)^-1 and tr of the mean of x x' times it, for one copy of the rows
        inverse = np.asarray(task.design.inverse, dtype=np.float64)
        spread = float(np.sum(inverse**2)) / per_sample
        risk = dim / per_sample / spread
    yield from _errors(cell, spread * unit, risk, source, skewness)
    if np.isnan(unit).any():
        raise Unknown("squared_error: rounds in which the fitted noise has collapsed, carried by rare chains")


def _batches(cell: Cell, first: float, later: np.ndarray, per_sample: int):
    """Batches of rows, and the weight of each in each fit; see `theory.workflows.linear`."""
    workflow, rounds, batch = cell.workflow, cell.rounds, closed.linear.Batch
    plain = [batch(first, None), *(batch(float(n), k) for k, n in enumerate(later))]
    if isinstance(workflow, workflows.Replace):
        return plain, np.eye(rounds + 1)
    if isinstance(workflow, workflows.Accumulate):
        return plain, closed.linear.accumulated(plain)
    if isinstance(workflow, workflows.SlidingWindow):
        window = int(workflow.rounds)
        return plain, closed.linear.windowed(plain, rounds=window, keep_real=workflow.keep_real)
    if isinstance(workflow, workflows.DeleteReal):
        if float(workflow.share) not in (0.0, 1.0):
            raise Unknown("deleted real rows have an exact form where none or all are deleted only")
        table = closed.linear.accumulated(plain)
        table[int(workflow.at) :, 0] *= 1 - float(workflow.share)
        return plain, table
    if isinstance(workflow, workflows.FreshReal):
        return _fresh(workflow, first, *(part / per_sample for part in workflow.parts(cell.counts)))
    raise Unknown(f"no exact form is known for {type(workflow).__name__} on a repeated design")


def _fresh(workflow, first: float, real: np.ndarray, generated: np.ndarray):
    """As `_batches`, of two batches a round."""
    rounds, batch = len(real), closed.linear.Batch
    if workflow.weight is None:
        share = real / (real + generated)
    elif np.all((real > 0) & (generated > 0)):
        share = np.full(rounds, float(workflow.weight))
    else:
        raise Unknown("weighted fresh rows have an exact form where a round has both kinds only")
    batches, table = [batch(first, None)], np.zeros((rounds + 1, 2 * rounds + 1))
    table[0, 0] = 1.0
    for k in range(rounds):
        # a batch without rows has no weight, so its size does not matter
        batches += [batch(float(real[k]) or 1.0, None), batch(float(generated[k]) or 1.0, k)]
        table[k + 1, 2 * k + 1 : 2 * k + 3] = share[k], 1 - share[k]
    return batches, table


def _subsampled_mean(cell: Cell) -> np.ndarray:
    workflow, n = cell.workflow, cell.n_real
    alike = cell.task.dim == 1 and isinstance(cell.task.design, designs.Orthogonal)
    same = np.all(cell.counts == n) and workflow.size in (None, n) and workflow.strategy == "uniform"
    if not (alike and same):
        raise Unknown(
            "accumulate_subsample of a regression has an exact form for one coefficient and equal rounds only"
        )
    form = closed.linear_regression.accumulate_subsample_intercept_exact
    return form(sigma=float(cell.task.noise), n_per_round=n, rounds=cell.rounds)


def _is_costly(cell: Cell) -> bool:
    ball = isinstance(cell.verifier, verifiers.KnowledgeBall) and bool(np.isfinite(cell.verifier.radius))
    return ball and _has_exact_chain(cell)


def _has_exact_chain(cell: Cell) -> bool:
    return isinstance(cell.task.design, designs.Orthogonal) and isinstance(cell.workflow, workflows.Replace)


FAMILY = Family(_forms, _is_costly)
