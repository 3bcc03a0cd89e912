"""Fitting a distribution to its own samples: Gaussians and discrete distributions, no verifier."""

from typing import Any

import numpy as np

from simcollapse.tasks import discrete, gaussian
from simcollapse.theorems.evidence import RATE, equal_means
from simcollapse.theorems.simulations import unjudged
from simcollapse.theorems.theorem import Theorem
from simcollapse.workflows import accumulate, accumulate_subsample, replace
from theory import workflows

DIM, N, ROUNDS = 3, 12, 6
SHARES = (0.5, 0.2, 0.15, 0.1, 0.05)


def _log_volume(planted):
    for estimator in ("mle", "unbiased"):
        result = unjudged(
            gaussian(DIM, estimator=estimator), replace(), n=N, rounds=ROUNDS, seed=61, engine="law"
        )
        sizes = {"n_real": N, "n_per_round": N, "rounds": ROUNDS}
        divisor = ("unbiased" if estimator == "mle" else "mle") if planted else estimator
        expected = workflows.gaussian_replace.mean_log_det_exact(dim=DIM, **sizes, covariance=divisor)
        yield equal_means(f"{estimator}, rounds 0 to {ROUNDS}", result.log_det, expected)


LOG_VOLUME = Theorem(
    name="replacing-collapses-a-gaussian",
    statement="Under replace the log determinant of a refitted covariance falls by -sum_i [psi((n - i)/2) + log(2/c)] "
    "in every round on average, for the unbiased divisor c = n - 1 as for c = n: the covariance "
    "collapses almost surely.",
    source="classical Wishart facts; the collapse itself is [Shumailov24]'s; theory.workflows.gaussian_replace",
    assumptions="Gaussian data, n > d.",
    strategy="simulate() in law, d = 3, n = 12, both divisors: log determinant of every round by z-score; "
    + RATE
    + ".",
    planted="the divisors are exchanged",
    check=_log_volume,
)


def _mean_covariance(planted):
    sizes: Any = {"n_real": N, "n_per_round": N, "rounds": ROUNDS}
    exact = workflows.gaussian_accumulate if not planted else workflows.gaussian_replace
    result = unjudged(gaussian(DIM), accumulate(), n=N, rounds=ROUNDS, seed=62)
    yield equal_means("accumulate, trace", result.trace, exact.covariance_ratio_exact(**sizes))
    yield equal_means("accumulate, mean", result.squared_error, DIM * exact.mean_error_ratio_exact(**sizes))
    sub = workflows.gaussian_subsample
    result = unjudged(gaussian(DIM), accumulate_subsample(), n=N, rounds=ROUNDS, seed=63)
    common: Any = {"n_per_round": N, "rounds": ROUNDS}
    yield equal_means("accumulate-subsample, trace", result.trace, sub.covariance_ratio_exact(**common))


MEAN_COVARIANCE = Theorem(
    name="accumulating-keeps-a-gaussian",
    statement="Under accumulate the expected covariance is the truth's times prod_i (1 - 1/(n i^2)), at least "
    "sin(x)/x at x = pi/sqrt n, and the mean's error is what is lost; drawing n from all rows so far plateaus too.",
    source="[Kazdan24], for the maximum-likelihood covariance; theory.workflows.gaussian_accumulate, _subsample",
    assumptions="Any data with that covariance; maximum-likelihood fit.",
    strategy="simulate() of 6 rounds, d = 3, n = 12: trace and error of the mean by z-score; " + RATE + ".",
    planted="the formulas of replace",
    check=_mean_covariance,
)


def _heterozygosity(planted):
    for name, workflow in (("replace", replace()), ("accumulate", accumulate())):
        result = unjudged(discrete(SHARES), workflow, n=N, rounds=ROUNDS, seed=64)
        path = getattr(workflows.discrete, f"{name}_heterozygosity_exact")
        expected = path(probabilities=SHARES, n_real=N, n_per_round=N + 4 if planted else N, rounds=ROUNDS)
        yield equal_means(name, result.heterozygosity, np.asarray(expected))


HETEROZYGOSITY = Theorem(
    name="diversity-of-outcomes",
    statement="The chance that two draws of a refitted discrete distribution differ shrinks by 1 - 1/n a round under "
    "replace, and by 1 - 1/(n i^2) under accumulate, which leaves a share of sin(x)/x, x = pi/sqrt n.",
    source="classical (Wright 1931, for replace), derived here for accumulate; theory.workflows.discrete",
    assumptions="Shares fitted by counting; no verifier.",
    strategy="simulate() of 6 rounds of 12 draws of 5 outcomes: heterozygosity of every round by z-score; "
    + RATE
    + ".",
    planted="four more draws a round",
    check=_heterozygosity,
)
