"""The exact closed forms of one cell of a grid: which of its metrics have one, and the expected value in every round.

A form also says how skewed the metric is, or in which range it lies: what a limit for its mean needs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.interpolate import CubicSpline
from scipy.special import roots_hermitenorm

import theory
from simcollapse import verifiers, workflows
from simcollapse.tasks import (
    Discrete,
    Gaussian,
    GaussianMixture,
    LinearRegression,
    designs,
    generators,
)

kc = theory.knowledge_center
closed = theory.workflows

MOST_COSTLY = 64  # cells whose closed form takes a tenth of a second to a second
MOST_OUTCOMES_DRAWN = 2000  # survivors take time of order n^2
ONE_SQUARE = np.sqrt(8.0)  # skewness of the square of a normal variable, the largest of a sum of such squares
LOG_SQUARE = 1.5352  # of its log: 14 zeta(3) / (pi^2/2)^1.5, the largest of a sum of logs of chi-squares
MOST_SPREAD = (
    0.25  # variance of the log of a fitted variance up to which its mean is not carried by rare chains
)
NODES = 16  # over the center of a trained ball, as in `planning.closed_form`
_PLACES = 17  # 65 give the same to 1e-8
_RARE = 1e-12  # counts of kept rows rarer than this, on each side, are left out
UNSEEN = 0.1  # chains that may freeze on average before a form that never freezes is not used


class Form(NamedTuple):
    """What theory says of a metric."""

    metric: str
    expected: np.ndarray  # (K + 1,), NaN where nothing is said
    source: str
    skewness: np.ndarray | float = (
        0.0  # (K + 1,) or one for all, of the metric over chains, not to be exceeded
    )
    range: float | None = None  # length of the interval that it lies in, used in place of the skewness


class _Cell(NamedTuple):
    task: Any
    verifier: Any
    workflow: Any
    n_real: int
    counts: np.ndarray  # (K,)
    fixed: str
    rejected: str
    chains: int

    @property
    def rounds(self) -> int:
        return len(self.counts)

    @property
    def sizes(self) -> dict[str, Any]:
        return {"n_real": self.n_real, "n_per_round": self.counts, "rounds": self.rounds}

    @property
    def verified(self) -> bool:
        """False where every row is accepted."""
        if isinstance(self.verifier, verifiers.KnowledgeBall):
            return not np.isinf(self.verifier.radius)
        return not isinstance(self.verifier, verifiers.NoVerifier)


class Unknown(Exception):
    """No exact form is known; says why."""


def is_costly(choices: dict[str, Any]) -> bool:
    """Whether the form takes quadratures."""
    task, verifier = choices["task"], choices["verifier"]
    if isinstance(task, GaussianMixture):
        return task.learner == "averaging" and _selection(verifier) is not None
    ball = isinstance(verifier, verifiers.KnowledgeBall) and bool(np.isfinite(verifier.radius))
    return ball and isinstance(task, LinearRegression) and _has_exact_chain(task, choices["workflow"])


def _has_exact_chain(task: LinearRegression, workflow: Any) -> bool:
    return isinstance(task.design, designs.Orthogonal) and isinstance(workflow, workflows.Replace)


def forms_of(
    choices: dict[str, Any], counts: np.ndarray, recorded: set[str], chains: int
) -> tuple[list[Form], list[str]]:
    """The forms of the recorded metrics of one cell, and why others have none.

    Args:
        choices: of the cell, see `grid.Cell`, workflow and verifier ready made.
        counts: samples of rounds 1..K.
        recorded: names of the metrics there are moments of.
        chains: of the cell.
    """
    names = ("task", "verifier", "workflow", "n_real", "fixed", "rejected")
    cell = _Cell(**{name: choices[name] for name in names}, counts=np.asarray(counts), chains=chains)
    forms, reasons = [], []
    for family in _FAMILIES.get(type(cell.task), ()):
        try:
            for form in family(cell):
                if form.metric in recorded:
                    forms.append(_everywhere(form))
        except Unknown as reason:
            reasons.append(str(reason))
        except ValueError as problem:  # an argument outside the form's range, as too few rows for a mean
            reasons.append(f"outside the closed form's range: {problem}")
        except ArithmeticError as problem:
            reasons.append(str(problem))
    if not forms and not reasons:
        reasons.append(_nothing(cell))
    return forms, reasons


def _everywhere(form: Form) -> Form:
    expected = np.asarray(form.expected, dtype=np.float64)
    return form._replace(expected=expected, skewness=np.broadcast_to(form.skewness, expected.shape))


def _nothing(cell: _Cell) -> str:
    words = (type(part).__name__ for part in (cell.task, cell.verifier, cell.workflow))
    return f"no exact form is known for {', '.join(words)}"


# Linear regression


def _regression(cell: _Cell):
    task = cell.task
    if task.real_rows is not None:
        raise Unknown("real rows drawn from a table have no exact form")
    if cell.verified:
        yield from _ball(cell)
    elif isinstance(task.design, designs.Gaussian):
        yield from _gaussian_rows(cell)
    else:
        yield from _means(cell)


def _errors(cell: _Cell, squared, risk_share, source, skewness):
    """squared_error, and excess_risk as a share of it."""
    yield Form("squared_error", squared, source, skewness)
    yield Form("excess_risk", risk_share * squared, source, skewness)


def _ball(cell: _Cell):
    """The exact chain; directions are independent, each error a square of a nearly normal deviation."""
    task, ball = cell.task, cell.verifier
    if not isinstance(ball, verifiers.KnowledgeBall):
        raise Unknown(_nothing(cell))
    if not _has_exact_chain(task, cell.workflow):
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
    law = kc.chain_law_exact(
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


def _gaussian_rows(cell: _Cell):
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
        raise Unknown(_nothing(cell))
    freedom = least - dim + 1
    if freedom <= 12:
        raise Unknown("squared_error: heavy-tailed, fewer than d + 12 rows in a fit")
    # the error of a fit is a multivariate t; a chain's is a sum of such, hence less skewed
    skewness = max(np.asarray(stats.f.stats(1, freedom, moments="s")).item(), ONE_SQUARE)
    if task.estimate_noise:
        skewness = max(skewness, _mixed_skewness(MOST_SPREAD))
    yield Form("excess_risk", risk, source, skewness)
    yield Form("squared_error", identity / dim * risk, source, skewness)
    if np.isnan(risk).any():
        raise Unknown("squared_error: rounds in which the fitted noise has collapsed, carried by rare chains")


def _contaminated(cell: _Cell, common: dict[str, Any]) -> np.ndarray:
    shift = np.asarray(cell.workflow.fields["coef"]) - np.asarray(cell.task.truth)
    real, generated = cell.workflow.parts(cell.counts)
    form = closed.contaminated.least_squares_mse_exact
    pairs = [(cell.n_real, 0), *zip(real.tolist(), generated.tolist(), strict=True)]
    shift = float(np.linalg.norm(shift))
    return np.array([form(**common, shift=shift, n_real=int(n), n_synthetic=int(m)) for n, m in pairs])


def _freedom(cell: _Cell) -> np.ndarray:
    """Degrees of freedom of the noise fitted in rounds 0..K, under replace."""
    rows = np.concatenate([[cell.n_real], cell.counts]) * cell.task.rows_per_sample
    return rows - cell.task.dim


def _noise_spread(cell: _Cell) -> np.ndarray:
    """About the variance of the log of the noise variance that made round k's rows, k = 0..K."""
    return np.concatenate([[0.0], np.cumsum(2 / _freedom(cell))[:-1]])


def _log_noise(cell: _Cell) -> Form:
    """Each round multiplies the noise variance by an independent chi-square over its degrees of freedom."""
    expected = np.log(float(cell.task.noise)) + np.cumsum(closed.chi_squared.mean_log(_freedom(cell))) / 2
    return Form("log_noise", expected, "theory.workflows.chi_squared.mean_log", LOG_SQUARE)


def _mixed_skewness(spread: float) -> float:
    """Skewness of s^2 z^2 with z normal and log s^2 normal of variance `spread`, independent."""
    second, third = 3 * np.exp(spread), 15 * np.exp(3 * spread)
    return float((third - 3 * second + 2) / (second - 1) ** 1.5)


def _means(cell: _Cell):
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
        skewness = _mixed_skewness(MOST_SPREAD)
    spread, risk = float(dim), 1 / dim
    if not orthogonal:  # tr (X'X)^-1 and tr of the mean of x x' times it, for one copy of the rows
        inverse = np.asarray(task.design.inverse, dtype=np.float64)
        spread = float(np.sum(inverse**2)) / per_sample
        risk = dim / per_sample / spread
    yield from _errors(cell, spread * unit, risk, source, skewness)
    if np.isnan(unit).any():
        raise Unknown("squared_error: rounds in which the fitted noise has collapsed, carried by rare chains")


def _batches(cell: _Cell, first: float, later: np.ndarray, per_sample: int):
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


def _subsampled_mean(cell: _Cell) -> np.ndarray:
    workflow, n = cell.workflow, cell.n_real
    alike = cell.task.dim == 1 and isinstance(cell.task.design, designs.Orthogonal)
    same = np.all(cell.counts == n) and workflow.size in (None, n) and workflow.strategy == "uniform"
    if not (alike and same):
        raise Unknown(
            "accumulate_subsample of a regression has an exact form for one coefficient and equal rounds only"
        )
    form = closed.linear_regression.accumulate_subsample_intercept_exact
    return form(sigma=float(cell.task.noise), n_per_round=n, rounds=cell.rounds)


# Gaussian fits


def _gaussian(cell: _Cell):
    if cell.verified:
        raise Unknown(_nothing(cell))
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
        raise Unknown(_nothing(cell))
    calm = spread <= MOST_SPREAD
    root = np.asarray(task.covariance.color(np.eye(task.dim)), dtype=np.float64)
    source = f"theory.workflows.{name}"
    judged = np.where(calm, ratio, np.nan)
    skewness = (np.exp(MOST_SPREAD) + 2) * np.sqrt(np.expm1(MOST_SPREAD))  # of a log-normal variance
    yield Form("trace", judged, f"{source}: covariance_ratio", skewness)
    mean = np.where(calm, error, np.nan) * np.sum(root**2)
    yield Form("squared_error", mean, f"{source}: mean_error_ratio", _mixed_skewness(MOST_SPREAD))
    if not calm.all():
        raise Unknown("trace, squared_error: rounds in which rare chains carry the mean of a fitted variance")


def _log_volume(cell: _Cell, sizes: np.ndarray):
    dim, source = cell.task.dim, "theory.workflows.gaussian_replace.mean_log_det_exact"
    if sizes.min() <= dim:
        return
    expected = closed.gaussian_replace.mean_log_det_exact(
        dim=dim, **cell.sizes, covariance=cell.task.estimator
    )
    yield Form("log_det", expected, source, LOG_SQUARE)
    if dim == 1:
        yield Form("log_trace", expected, source, LOG_SQUARE)


# Discrete distributions


def _discrete(cell: _Cell):
    if cell.verified:
        raise Unknown(_nothing(cell))
    task, workflow, form = cell.task, cell.workflow, closed.discrete
    p = np.asarray(task.probability, dtype=np.float64)
    given = {"probabilities": p, "n_real": cell.n_real, "rounds": cell.rounds}
    source, widest = "theory.workflows.discrete", 1 - 1 / len(p)
    if isinstance(workflow, workflows.Replace):
        name = "replace_heterozygosity_exact"
        expected = form.replace_heterozygosity_exact(**given, n_per_round=cell.counts)
        if max(cell.n_real, *cell.counts, 0) <= MOST_OUTCOMES_DRAWN:
            alive = form.replace_survivors_exact(**given, n_per_round=cell.counts)
            yield Form("survivors", alive, f"{source}.replace_survivors_exact", range=len(p) - 1)
    elif isinstance(workflow, workflows.Accumulate):
        name = "accumulate_heterozygosity_exact"
        expected = form.accumulate_heterozygosity_exact(**given, n_per_round=cell.counts)
        alive = form.accumulate_survivors_exact(**given)
        yield Form("survivors", alive, f"{source}.accumulate_survivors_exact", range=len(p) - 1)
    elif isinstance(workflow, workflows.AccumulateSubsample) and workflow.strategy == "uniform":
        name = "accumulate_subsample_heterozygosity_exact"
        expected = _subsampled_shares(cell, given)
    else:
        raise Unknown(_nothing(cell))
    yield Form("heterozygosity", expected, f"{source}.{name}", range=widest)


def _subsampled_shares(cell: _Cell, given: dict[str, Any]) -> np.ndarray:
    size, counts = cell.workflow.size, cell.counts
    budget = size if size is not None else int(counts[0]) if cell.rounds else cell.n_real
    if size is None and np.any(counts != budget):
        raise Unknown("accumulate_subsample of outcomes has an exact form for one size of the subsample only")
    if budget < cell.n_real:  # round 0 fits all real draws, the form only the budget
        raise Unknown(
            "accumulate_subsample of outcomes has an exact form for subsamples of n_real or more only"
        )
    form = closed.discrete.accumulate_subsample_heterozygosity_exact
    return form(**given, n_per_round=counts, budget=budget)


# Classification under independent selection


def _mixture(cell: _Cell):
    task = cell.task
    if not (
        task.classes == 2 and isinstance(task.generator, generators.Flips) and task.generator.p.ndim == 0
    ):
        raise Unknown(_nothing(cell))
    rates = _selection(cell.verifier)
    if rates is None:
        raise Unknown(_nothing(cell))
    if hasattr(cell.workflow, "source") or cell.rejected != "drop":
        raise Unknown(_nothing(cell))
    yield from _audit(cell, *rates)
    yield from _averaged(cell, *rates)


def _selection(verifier) -> tuple[float, float] | None:
    """phi and psi of a selection that is independent of the features."""
    if isinstance(verifier, verifiers.NoVerifier):
        return 1.0, 1.0
    if isinstance(verifier, verifiers.Oracle):
        return 1 - float(verifier.error), float(verifier.error)
    if isinstance(verifier, verifiers.Random):
        return float(verifier.rate), float(verifier.rate)
    if isinstance(verifier, verifiers.Bernoulli) and verifier.keep is None:
        assert verifier.phi is not None and verifier.psi is not None  # what there is in place of `keep`
        if verifier.phi.ndim == verifier.psi.ndim == 0:
            return float(verifier.phi), float(verifier.psi)
    return None


def _audit(cell: _Cell, phi: float, psi: float):
    """Rates of a round: proportions of a number of rows that was fixed before."""
    if cell.fixed != "generated":
        return
    p, nothing = float(cell.task.generator.p), np.full(1, np.nan)
    generated = cell.counts
    if hasattr(cell.workflow, "parts"):
        generated = cell.workflow.parts(cell.counts)[1]
    kept, source = float(theory.breakdown.keep_rate(p, phi, psi)), "theory.breakdown.keep_rate"
    table = {"acceptance_rate": (kept, 1.0), "p": (p, 1.0), "phi": (phi, 1 - p), "psi": (psi, p)}
    for metric, (rate, share) in table.items():
        rows = generated * share
        enough = rows * max(rate * (1 - rate), 1e-300) >= 1  # below, the count is not concentrated
        constant = rate in (0.0, 1.0)
        expected = np.where((enough | constant) & (rows >= 1), rate, np.nan)
        skewness = 1.0 if not constant else 0.0  # at most (1 - 2q)/sqrt(n q (1-q)) of a binomial
        yield Form(metric, np.concatenate([nothing, expected]), source, np.full(cell.rounds + 1, skewness))


def _averaged(cell: _Cell, phi: float, psi: float):
    """Class accuracy of averaging labels; a round's fit is independent of the round before."""
    task = cell.task
    if task.learner != "averaging" or task.labels != "class" or task.means is None or task.means.ndim != 1:
        raise Unknown("accuracy has an exact form for averaging two classes at plus and minus a mean only")
    if not isinstance(cell.workflow, workflows.Replace):
        raise Unknown("accuracy has an exact form under replace only")
    means = np.asarray(task.means, dtype=np.float64)
    whole = np.asarray(task.covariance.color(np.eye(task.dim)), dtype=np.float64)
    if not np.allclose(
        whole @ whole.T, whole[0, 0] ** 2 * np.eye(task.dim), rtol=1e-5, atol=1e-6 * whole[0, 0] ** 2
    ):
        raise Unknown("accuracy has an exact form for one variance in all directions only")
    separation = float(np.linalg.norm(means) / abs(whole[0, 0]))
    form = theory.breakdown.averaging_accuracy_exact
    p, dim = float(task.generator.p), task.dim
    precision = float(theory.breakdown.precision(p, phi, psi))
    rate = float(theory.breakdown.keep_rate(p, phi, psi))
    by_count: dict[int, float] = {}
    for n in np.unique(cell.counts).tolist():
        if cell.fixed == "kept" or rate == 1:
            by_count[n] = form(n, dim, precision, separation)
        else:
            by_count[n] = _over_kept(
                lambda kept: form(kept, dim, precision, separation), n, rate, cell.chains
            )
    expected = [form(cell.n_real, dim, 1.0, separation), *(by_count[n] for n in cell.counts.tolist())]
    widest = float(stats.norm.cdf(separation) - stats.norm.cdf(-separation))
    source = "theory.breakdown.averaging_accuracy_exact"
    yield Form("accuracy", np.array(expected), source, range=widest)


def _over_kept(of_count: Callable[[int], float], n: int, rate: float, chains: int) -> float:
    """The mean over K ~ Bin(n, rate) of a smooth function of K, between _PLACES of them by cubic splines."""
    if stats.binom.pmf(0, n, rate) * chains > UNSEEN:
        raise Unknown("accuracy: rounds that may keep nothing")
    low, high = int(max(stats.binom.ppf(_RARE, n, rate), 1)), int(stats.binom.isf(_RARE, n, rate))
    places = np.unique(np.linspace(low, high, min(high - low + 1, _PLACES)).round().astype(int))
    values = [of_count(int(k)) for k in places]
    every = np.arange(low, high + 1)
    chance = stats.binom.pmf(every, n, rate)
    between = CubicSpline(places, values)(every) if len(places) > 1 else np.array(values)
    return float(chance @ between / chance.sum())


_FAMILIES: dict[type, tuple[Callable, ...]] = {
    LinearRegression: (_regression,),
    Gaussian: (_gaussian,),
    Discrete: (_discrete,),
    GaussianMixture: (_mixture,),
}
