"""Closed forms of the cells: exact ones, and approximations for small deviations or many rows or dimensions."""

import numpy as np

from simcollapse.reproduce.feng import retraining
from simcollapse.reproduce.verify_x_workflow.settings import REAL_SHARE, SETTINGS, Setting
from theory import knowledge_center
from theory.truncated_normal import moments
from theory.workflows import gaussian_accumulate, gaussian_replace, linear, truncated_gaussian


def exact(task: str, verifier: int, workflow: str, rounds: int) -> np.ndarray:
    """Expected error of rounds 0..K, NaN where no closed form is known; shape (K+1,)."""
    one, nothing = SETTINGS[task], np.full(rounds + 1, np.nan)
    if task == "regression" and verifier == 0:
        return nothing if workflow == "accumulate_subsample" else _unverified(one, workflow, rounds)
    if task == "regression" and workflow == "replace":
        return knowledge_center.mse_trajectory_exact(
            sigma=1.0,
            n_real=one.n_real,
            n_per_round=one.n_per_round,
            bound=one.radius,
            verifier_bias=np.full(one.dim, one.biases[verifier] / np.sqrt(one.dim)),
            rounds=rounds,
            rejected="drop",
        )
    laws = {"replace": gaussian_replace, "accumulate": gaussian_accumulate}
    if task == "gaussian" and verifier == 0 and workflow in laws:
        sizes = {"n_real": one.n_real, "n_per_round": one.n_per_round, "rounds": rounds}
        return laws[workflow].wasserstein_exact(sigma=1.0, **sizes)
    return nothing


def approximate(task: str, verifier: int, workflow: str, rounds: int) -> np.ndarray:
    """Where nothing exact is known, an approximation of it, rounds 0..K, or NaN; shape (K+1,).

    Regression under accumulate: small deviations. Gaussian: unlimited rows, drawn where the bias outweighs the noise
    that this leaves out. Mixture: many dimensions.
    """
    one, bias = SETTINGS[task], SETTINGS[task].biases[verifier]
    if task == "regression" and verifier and workflow == "accumulate":
        return knowledge_center.accumulate_trajectory(
            dim=one.dim,
            sigma=1.0,
            n_real=one.n_real,
            n_per_round=one.n_per_round * float(moments(0.0, one.radius, 1.0)[2]),  # kept near the center
            bound=one.radius,
            verifier_bias=bias,
            rounds=rounds,
        )
    if task == "gaussian" and verifier == 3 and workflow in ("replace", "accumulate"):
        return _population(one, bias, workflow, rounds)
    if task == "mixture" and workflow != "fresh_real":
        found = retraining.predict(
            dim=one.dim,
            separation=1.0,
            n_real=one.n_real,
            n_per_round=one.n_per_round,
            rounds=rounds,
            theta_ver=bias if verifier else None,
            workflow=workflow,
        )
        return found.truth_angle**2
    return np.full(rounds + 1, np.nan)


def _unverified(one: Setting, workflow: str, rounds: int) -> np.ndarray:
    """A mean for every direction, by `theory.workflows.linear`."""
    n, real = one.n_per_round, round(REAL_SHARE * one.n_per_round)
    if workflow != "fresh_real":
        batches = linear.rounds_of(one.n_real, n, rounds)
        weights = linear.accumulated(batches)
        if workflow == "replace":
            weights = linear.windowed(batches, rounds=1)
    else:
        batches, rows = [linear.Batch(one.n_real, None)], [one.n_real]
        for k in range(rounds):
            batches += [linear.Batch(real, None), linear.Batch(n - real, k)]
            rows += [real, n - real]
        weights = np.zeros((rounds + 1, len(batches)))
        weights[0, 0] = 1
        for k in range(1, rounds + 1):
            weights[k, 2 * k - 1 : 2 * k + 1] = rows[2 * k - 1 : 2 * k + 1]
    return one.dim * linear.mean_mse_exact(sigma=1.0, batches=batches, weights=weights)


def _population(one: Setting, bias: float, workflow: str, rounds: int) -> np.ndarray:
    place = {"mean": 0.0, "sigma": 1.0, "center": bias, "radius": one.radius, "rounds": rounds}
    if workflow == "replace":
        found = truncated_gaussian.replace_population_limit(**place)
    else:
        share = one.n_real / one.n_per_round
        found = truncated_gaussian.accumulate_population_limit(**place, real_share=share)
    error = found.mean**2 + (np.sqrt(found.variance) - 1) ** 2
    return np.where(error > 0, error, np.nan)  # none in round 0


def stopping_share(task: str) -> float:
    """How far along the way to the strongly biased center a Gaussian's mean comes under replace, for unlimited rows."""
    one = SETTINGS[task]
    end = truncated_gaussian.replace_mean_limit(mean=0.0, sigma=1.0, center=one.biases[3], radius=one.radius)
    return end / one.biases[3]


def population_share(task: str, round: int) -> float:
    """The same in a round."""
    one = SETTINGS[task]
    place = {"mean": 0.0, "sigma": 1.0, "center": one.biases[3], "radius": one.radius, "rounds": round}
    return float(truncated_gaussian.replace_population_limit(**place).mean[-1]) / one.biases[3]
