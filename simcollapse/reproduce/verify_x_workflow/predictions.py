"""Closed forms of the cells: exact ones, and approximations for small deviations or many rows or dimensions."""

import numpy as np

from simcollapse.reproduce.feng import retraining
from simcollapse.reproduce.verify_x_workflow.settings import (
    BANDWIDTH,
    REAL_SHARE,
    SETTINGS,
    WORKFLOWS,
    Setting,
)
from theory import knowledge_center
from theory.truncated_normal import moments
from theory.workflows import (
    gaussian_accumulate,
    gaussian_replace,
    linear,
    truncated_gaussian,
    truncated_kde,
)


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

    Regression under accumulate: small deviations. Gaussian and kernel density: unlimited rows, drawn where the bias
    outweighs the noise that this leaves out. Mixture: many dimensions.
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
    densities = {"gaussian": ("replace", "accumulate"), "density": WORKFLOWS}
    if verifier == 3 and workflow in densities.get(task, ()):
        found = population(task, workflow, rounds)
        error = found.mean**2 + (np.sqrt(found.variance) - 1) ** 2
        return np.where(np.arange(rounds + 1) > 0, error, np.nan)  # round 0 has errors of sampling alone
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


def population(task: str, workflow: str, rounds: int) -> truncated_gaussian.Population:
    """Rounds 0..K of a density under the strongly biased verifier, for unlimited rows.

    A subsample of many rows has the pool's law, so accumulate_subsample is accumulate.
    """
    one = SETTINGS[task]
    place = {"mean": 0.0, "sigma": 1.0, "center": one.biases[3], "radius": one.radius, "rounds": rounds}
    theory = truncated_gaussian
    if task == "density":
        place["bandwidth"], theory = BANDWIDTH, truncated_kde
    if workflow == "replace":
        return theory.replace_population_limit(**place)
    if workflow == "fresh_real":
        return truncated_kde.fresh_real_population_limit(**place, real_share=REAL_SHARE)
    return theory.accumulate_population_limit(**place, real_share=one.n_real / one.n_per_round)


def kernel_limit() -> truncated_kde.Limit:
    """Where the kernel density ends under replace and an unbiased verifier, for unlimited rows."""
    return truncated_kde.replace_limit(center=0.0, radius=SETTINGS["density"].radius, bandwidth=BANDWIDTH)


def stopping_share(task: str) -> float:
    """How far along the way to the strongly biased center a Gaussian's mean comes under replace, for unlimited rows."""
    one = SETTINGS[task]
    end = truncated_gaussian.replace_mean_limit(mean=0.0, sigma=1.0, center=one.biases[3], radius=one.radius)
    return end / one.biases[3]


def population_share(task: str, workflow: str, round: int) -> float:
    """How far along the way a density's mean is in a round, for unlimited rows."""
    return float(population(task, workflow, round).mean[-1]) / SETTINGS[task].biases[3]
