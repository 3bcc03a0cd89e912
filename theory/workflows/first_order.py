"""One number per workflow: how often retraining multiplies the error of one fit, to first order in 1/n.

For any regular family with p parameters, an efficient estimator, n rows a round (real, generated and fitted)
and no verifier, the error covariance of the model of round k is a_k times that of one fit on n real rows,
n -> inf at fixed k. Rounds count from 0, so a_0 = 1; with the fit's number i = k + 1 and
H_i^(2) = sum of 1/j^2 for j = 1..i:

    "replace"               i                  grows without end
    "accumulate"            H_i^(2)            -> pi^2/6 = 1.645
    "accumulate_subsample"  3 H_i^(2) - 2      -> pi^2/2 - 2 = 2.935
    "real"                  1/i                -> 0: only real rows, n more each round

E.g. expected KL p a_k/(2n), squared error of least squares a_k d sigma^2/n, lost heterozygosity a_k/n.
Needs n >> k d under "replace", where KL has a second-order term of about k d/n relatively. That
"accumulate_subsample" is a plateau fails at finite n for the unbiased Gaussian covariance
(`theory.workflows.gaussian_subsample`).

Derivation for "accumulate_subsample" (WORKFLOWS 0.2): P_i, the pool's mean influence, gets
P_{i+1} = P_i + (delta_i + eta_i)/(i+1) with Var delta_i = (1 - 1/i)/n from subsampling and Var eta_i = 1/n
from sampling; the fit is P_i + delta_i, so n Var = 1 + sum over j < i of (2 - 1/j)/(j+1)^2 + 1 - 1/i
= 3 H_i^(2) - 2.
"""

import numpy as np

from theory.arguments import FloatArray, choice, positive_scalar, whole
from theory.workflows.linear_regression import harmonic_squares

WORKFLOWS = ("replace", "accumulate", "accumulate_subsample", "real")


def error_factor_asymptotic(*, workflow: str, rounds: int) -> FloatArray:
    """a_k, the error covariance of round k over that of round 0, rounds 0..K, shape (K+1,); n -> inf.

    workflow is one of `WORKFLOWS`; ValueError for another name or rounds < 0.
    Source: derived here, WORKFLOWS 0.2; [Dohmatob24] and [Gerstgrasser24] for least squares under "replace"
    and "accumulate".
    """
    workflow = choice("workflow", workflow, WORKFLOWS)
    squares = harmonic_squares(rounds)
    fit = np.arange(1.0, squares.size + 1)
    factors = (fit, squares, 3 * squares - 2, 1 / fit)
    return factors[WORKFLOWS.index(workflow)]


def error_factor_limit(*, workflow: str) -> float:
    """Limit of `error_factor_asymptotic` for k -> inf: inf, pi^2/6, pi^2/2 - 2 or 0.

    ValueError for another name. Source: derived here, WORKFLOWS 0.2.
    """
    limits = (np.inf, np.pi**2 / 6, np.pi**2 / 2 - 2, 0.0)
    return limits[WORKFLOWS.index(choice("workflow", workflow, WORKFLOWS))]


def kl_asymptotic(*, parameters: int, n_per_round: float, rounds: int, workflow: str) -> FloatArray:
    """E KL(truth || model k) = p a_k/(2n) in nats, rounds 0..K, shape (K+1,); n -> inf.

    p = `parameters` >= 1 is the number of free parameters, d(d+3)/2 for a Gaussian in d dimensions; n > 0 is
    the rows a round. ValueError for an argument out of range. Source: derived here, WORKFLOWS 0.2.
    """
    one_fit = whole("parameters", parameters, least=1) / (2 * positive_scalar("n_per_round", n_per_round))
    return one_fit * error_factor_asymptotic(workflow=workflow, rounds=rounds)


def gaussian_wasserstein_asymptotic(
    *, dim: int, sigma: float, n_per_round: float, rounds: int, workflow: str
) -> FloatArray:
    """E W_2^2 of a Gaussian fit to N(mu_0, sigma^2 I), rounds 0..K, shape (K+1,); n -> inf.

    sigma^2 (d + d(d+1)/4) a_k/n, squared data units: d from the mean, d(d+1)/4 from the covariance; n > 0 is
    the rows a round.
    ValueError for an argument out of range. Source: derived here, WORKFLOWS 0.2.
    """
    dim = whole("dim", dim, least=1)
    variance = positive_scalar("sigma", sigma) ** 2
    one_fit = variance * (dim + dim * (dim + 1) / 4) / positive_scalar("n_per_round", n_per_round)
    return one_fit * error_factor_asymptotic(workflow=workflow, rounds=rounds)
