"""Classification under a selection that is independent of the features: the audit, and accuracy of averaging."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats
from scipy.interpolate import CubicSpline

import theory
from simcollapse import verifiers, workflows
from simcollapse.runs.forms.form import UNSEEN, Cell, Family, Form, Unknown, nothing_known
from simcollapse.tasks import generators

_PLACES = 17  # 65 give the same to 1e-8
_RARE = 1e-12  # counts of kept rows rarer than this, on each side, are left out


def _forms(cell: Cell) -> Iterator[Form]:
    task = cell.task
    if not (
        task.classes == 2 and isinstance(task.generator, generators.Flips) and task.generator.p.ndim == 0
    ):
        raise Unknown(nothing_known(cell))
    rates = _selection(cell.verifier)
    if rates is None:
        raise Unknown(nothing_known(cell))
    if hasattr(cell.workflow, "source") or cell.rejected != "drop":
        raise Unknown(nothing_known(cell))
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


def _audit(cell: Cell, phi: float, psi: float):
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


def _averaged(cell: Cell, phi: float, psi: float):
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


def _is_costly(cell: Cell) -> bool:
    return cell.task.learner == "averaging" and _selection(cell.verifier) is not None


FAMILY = Family(_forms, _is_costly)
