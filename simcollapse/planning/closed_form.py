"""Predicted error curves from theory: exact where a law is known, else approximations that say so.

All curves are E|theta_k - truth|^2 for rounds 0..K, or with a table the excess risk E|X (theta_k - truth)|^2/N;
for a verifier that was trained on a sample, the mean over such verifiers too. A table's rows are whitened
(`Population.whitened`), which turns the second kind into the first: its first fit then has covariance
sigma^2/n I, as on the orthogonal design.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, polygamma, roots_hermitenorm

from simcollapse.planning.pipeline import Pipeline
from theory import knowledge_center as kc
from theory import truncated_normal
from theory.workflows import linear_regression as unverified

_VERIFIER_NODES = 16  # Gauss-Hermite over the bias of a trained verifier; 12 and 24 agree to 1e-6 for m >= 2
_STATIONARY_ROUNDS = 60
_FEW_KEPT = 1000.0  # above, E[1/K] is 1/E[K] to a part in a thousand
_BOUNDS = np.geomspace(0.1, 4.5, 60)  # in noise standard deviations: accepting 8 % to all but 1e-5
_LINEAR_ROUNDS = 3000  # enough for any rate but that of a verifier that hardly rejects


class Exact(NamedTuple):
    """An exact curve."""

    mse: np.ndarray  # (K+1,)
    method: str
    empty: float  # chance that within `pipeline.rounds` some round keeps nothing in some direction


def exact_curve(pipeline: Pipeline, rounds: int) -> Exact | None:
    """Rounds 0..K without approximation, or None where no exact form is known.

    Raises:
        ArithmeticError: the form is known but its quadrature did not converge.
    """
    if pipeline.verified:
        if pipeline.workflow == "replace" and pipeline.design == "orthogonal":
            return _chain(pipeline, rounds)
        return None
    counts = pipeline.counts(rounds)
    kind = "gaussian" if pipeline.design == "gaussian" else "orthogonal"
    common = {"dim": pipeline.dim, "sigma": pipeline.noise, "n_real": pipeline.n_real, "rounds": rounds}
    if pipeline.workflow == "replace":
        if pipeline.unlimited:
            return Exact(np.full(rounds + 1, pipeline.start), "no verifier and no sampling noise", 0.0)
        mse = unverified.replace_mse_exact(**common, n_per_round=counts, design=kind)
    elif pipeline.workflow == "accumulate":
        mse = unverified.accumulate_mse_exact(**common, n_per_round=counts, design=kind)
    else:
        return None
    return Exact(mse, "closed form without verifier", 0.0)


def _chain(pipeline: Pipeline, rounds: int) -> Exact:
    """The exact chain of the orthogonal design, averaged over the verifier's law where it was trained."""
    if pipeline.trained_on is None:
        bias, weights = pipeline.bias_vector, np.ones(pipeline.dim)
        method = "exact chain by quadrature"
    else:
        nodes, weights = roots_hermitenorm(_VERIFIER_NODES)
        bias = nodes * pipeline.noise / math.sqrt(pipeline.trained_on)
        weights = pipeline.dim * weights / weights.sum()
        method = (
            f"exact chain by quadrature, averaged over verifiers trained on {pipeline.trained_on} samples"
        )
    law = kc.chain_law_exact(
        sigma=pipeline.noise,
        n_real=pipeline.n_real,
        n_per_round=pipeline.counts(rounds),
        bound=pipeline.bound,
        verifier_bias=bias,
        rounds=rounds,
        rejected=pipeline.rejected,
    )
    mse = (law.variance + (law.mean + bias) ** 2) @ weights
    kept_something = np.log1p(-np.minimum(law.empty_chance[: pipeline.rounds + 1], 1 - 1e-16)).sum(axis=0)
    return Exact(mse, method, float(-np.expm1(kept_something @ weights)))


def linear_curve(pipeline: Pipeline, rounds: int, *, spread: float | None = None) -> np.ndarray | None:
    """Rounds 0..K linearised at the verifier's center, or None where no linear form is known.

    spread: the squared bias to assume instead of the pipeline's own (0 for the noise alone).
    """
    if not pipeline.verified or pipeline.workflow == "accumulate_subsample":
        return None
    if pipeline.design == "table":
        return _linear_table(pipeline, rounds, spread) if pipeline.workflow == "replace" else None
    squared = pipeline.bias_squared if spread is None else spread
    common = {
        "dim": pipeline.dim,
        "sigma": pipeline.noise,
        "n_real": pipeline.n_real,
        "verifier_bias": math.sqrt(squared),
        "rounds": rounds,
    }
    if pipeline.design == "gaussian":
        return _linear_gaussian(pipeline, common) if pipeline.workflow == "replace" else None
    form = kc.mse_trajectory if pipeline.workflow == "replace" else kc.accumulate_trajectory
    kept = _kept(pipeline, pipeline.counts(rounds))
    return form(**common, bound=pipeline.bound, n_per_round=kept)


def _kept(pipeline: Pipeline, counts: np.ndarray) -> np.ndarray:
    """Rows per direction whose noise is that of the kept ones near the center."""
    if pipeline.rejected == "resample":
        return counts
    accept = math.exp(truncated_normal.log_acceptance(0.0, pipeline.bound, pipeline.noise))
    kept = counts * accept
    for n in np.unique(counts[kept < _FEW_KEPT]):
        kept[counts == n] = 1 / float(kc.inverse_kept_count(n, accept))
    return kept


def _linear_gaussian(pipeline: Pipeline, common: dict) -> np.ndarray:
    arguments = common | {
        "n_per_round": pipeline.counts(common["rounds"]),
        "radius": pipeline.radius,
        "slack": pipeline.slack,
        "covariates": pipeline.rejected,
    }
    try:
        return kc.gaussian_trajectory(**arguments, finite_size=True)
    except ValueError:  # fewer rows than the finite-size correction needs
        return kc.gaussian_trajectory(**arguments, finite_size=False)


def gaussian_delta_curve(pipeline: Pipeline, rounds: int) -> np.ndarray | None:
    """Rounds 0..K for fresh Gaussian rows to first order in 1/n, under `replace`; None with too few rows."""
    try:
        return kc.gaussian_trajectory_delta(
            dim=pipeline.dim,
            sigma=pipeline.noise,
            n_real=pipeline.n_real,
            n_per_round=pipeline.counts(rounds),
            radius=pipeline.radius,
            slack=pipeline.slack,
            verifier_bias=math.sqrt(pipeline.bias_squared),
            rounds=rounds,
            covariates=pipeline.rejected,
        )
    except (ValueError, ArithmeticError):
        return None


def table_curve(pipeline: Pipeline, rounds: int) -> np.ndarray:
    """Rounds 0..K on a table's rows under `replace`, to first order in the variance; any bias.

    For a trained verifier, whose bias is small, the average of the linear form, which is exact in the bias.
    """
    if pipeline.trained_on is not None:
        return _linear_table(pipeline, rounds, None)
    assert pipeline.population is not None
    bias = pipeline.population.root @ pipeline.bias_vector
    return kc.fixed_design_trajectory_delta(**_table_arguments(pipeline, rounds), verifier_bias=bias)


def _table_arguments(pipeline: Pipeline, rounds: int) -> dict:
    population = pipeline.population
    assert population is not None
    rows = population.rows
    return {
        "design": population.whitened,
        "sigma": pipeline.noise,
        "bounds": pipeline.radius * np.linalg.norm(rows, axis=1) + pipeline.slack,
        "copies": pipeline.counts(rounds) / len(rows),
        "rounds": rounds,
        "first_covariance": pipeline.noise**2 / pipeline.n_real * np.eye(pipeline.dim),
        "rejected": pipeline.rejected,
    }


def _linear_table(pipeline: Pipeline, rounds: int, spread: float | None) -> np.ndarray:
    arguments = _table_arguments(pipeline, rounds)
    population = pipeline.population
    assert population is not None
    noise = kc.fixed_design_trajectory(**arguments, verifier_bias=np.zeros(pipeline.dim))
    if pipeline.trained_on is None:
        if spread == 0:
            return noise
        bias = population.root @ pipeline.bias_vector
        return kc.fixed_design_trajectory(**arguments, verifier_bias=bias)
    squared = pipeline.bias_squared if spread is None else spread
    # The bias adds a quadratic form; its mean over an isotropic law is its mean over the axes.
    along = [kc.fixed_design_trajectory(**arguments, verifier_bias=axis) for axis in np.eye(pipeline.dim)]
    return noise + squared * (np.mean(along, axis=0) - noise)


def best_bound(pipeline: Pipeline) -> tuple[float, float, float] | None:
    """The bound (radius + slack) that serves best with this bias, its best round and error there; linearised.

    Orthogonal design, `replace`, equal rounds; None elsewhere and without bias, where the narrowest is best.
    """
    simple = pipeline.design == "orthogonal" and pipeline.workflow == "replace" and pipeline.verified
    if (
        not simple
        or pipeline.bias_squared == 0
        or np.any(pipeline.counts(pipeline.rounds) != pipeline.last_count)
    ):
        return None
    tried = []
    for bound in pipeline.noise * _BOUNDS:
        other = dataclasses.replace(pipeline, radius=bound, slack=0.0)
        arguments = {
            "dim": pipeline.dim,
            "sigma": pipeline.noise,
            "n_real": pipeline.n_real,
            "bound": bound,
            "verifier_bias": math.sqrt(pipeline.bias_squared),
            "n_per_round": float(_kept(other, np.array([pipeline.last_count]))[0]),
        }
        tried.append(
            (kc.best_mse(**arguments, integer=True), kc.best_integer_round(**arguments), float(bound))
        )
    error, round, bound = min(tried)
    return bound, round, error


def limit(pipeline: Pipeline) -> tuple[float | None, str]:
    """Error for k -> inf when the last round's count goes on, None if unknown; and its source."""
    if not pipeline.verified:
        return _unverified_limit(pipeline)
    squared, n = pipeline.bias_squared, pipeline.last_count
    if pipeline.workflow == "accumulate":
        return squared, "exact"  # the pull goes on for ever, the noise averages out
    if pipeline.workflow == "accumulate_subsample":
        if pipeline.design != "orthogonal":
            return None, "unknown"
        # The pool settles at the center; a fit on n of its rows, of variance rho sigma^2, adds this.
        per_direction = n if pipeline.subsample is None else pipeline.subsample / pipeline.dim
        rate = float(kc.contraction_rate(pipeline.bound, pipeline.noise))
        return squared + pipeline.dim * rate * pipeline.noise**2 / per_direction, "approximation"
    if math.isinf(n):
        return squared, "exact"
    if pipeline.design == "orthogonal":
        noise, source = _stationary(pipeline, n)
    else:
        still = linear_curve(pipeline, _LINEAR_ROUNDS, spread=0.0)
        assert still is not None
        noise, source = float(still[-1]), "approximation"
    return squared + noise, source


def _stationary(pipeline: Pipeline, n: float) -> tuple[float, str]:
    """Variance that the exact chain settles at, summed over directions, and whether it had time to settle.

    The stationary law is centered whatever the bias, so it is found from the linearised one without bias.
    """
    kept = float(_kept(pipeline, np.array([n]))[0])
    guess = kc.stationary_variance(dim=1, sigma=pipeline.noise, bound=pipeline.bound, n_per_round=kept)
    if not math.isfinite(guess):  # the verifier rejects nothing that float64 could see
        return math.inf, "exact"
    try:
        path = kc.chain_law_exact(
            sigma=pipeline.noise,
            n_real=pipeline.noise**2 / guess,
            n_per_round=n,
            bound=pipeline.bound,
            verifier_bias=[0.0],
            rounds=_STATIONARY_ROUNDS,
            rejected=pipeline.rejected,
        ).mse
    except ArithmeticError:
        return pipeline.dim * guess, "approximation"
    lost = float(kc.contraction_loss(pipeline.bound, pipeline.noise))
    left = abs(path[-1] - path[-2]) / (lost * (2 - lost))  # a geometric series with ratio rho^2
    return pipeline.dim * float(path[-1]), "exact" if left <= 1e-4 * path[-1] else "approximation"


def _unverified_limit(pipeline: Pipeline) -> tuple[float | None, str]:
    n = pipeline.last_count
    unit = pipeline.dim * pipeline.noise**2
    if pipeline.workflow == "replace":
        if pipeline.unlimited:
            return pipeline.start, "exact"
        growth = getattr(pipeline.n_per_round, "ratio", 1.0)
        if math.isinf(n) and growth > 1:  # a geometric series
            curve = exact_curve(pipeline, _LINEAR_ROUNDS)
            assert curve is not None
            return float(curve.mse[-1]), "exact"
        return math.inf, "exact"
    if pipeline.workflow == "accumulate":
        rounds = _LINEAR_ROUNDS if math.isinf(n) else max(pipeline.rounds, 1)
        curve = exact_curve(pipeline, rounds)
        assert curve is not None
        if math.isinf(n):
            return float(curve.mse[-1]), "approximation"
        pool = pipeline.n_real + pipeline.counts(rounds).sum()
        # sum of n/N_k^2, or of n/(N_k (N_k - s)) by partial fractions, over N_k = pool + n, pool + 2n, …
        if pipeline.design != "gaussian":
            return float(curve.mse[-1] + unit / n * polygamma(1, pool / n + 1)), "exact"
        spare = pipeline.dim + 1
        tail = (digamma(pool / n + 1) - digamma((pool - spare) / n + 1)) / spare
        return float(curve.mse[-1] + unit * tail), "exact"
    if pipeline.subsample is None and n == pipeline.n_real and np.all(pipeline.counts(pipeline.rounds) == n):
        return pipeline.start * (math.pi**2 / 2 - 2), "approximation"  # to first order in d/n
    return None, "unknown"
