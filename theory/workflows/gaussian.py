"""What the three Gaussian workflows share: checked sample sizes, divisors, the two second moments.

The task: x ~ N(mu_0, Sigma_0) in d dimensions; model k is N(mu_k, Sigma_k) with the sample mean and
covariance of what round k fits; later rounds fit samples of earlier models; no verifier. Rounds count from 0
(the fit of n_real real rows); the pages and papers count fits from 1, so their k is k + 1 here. n_per_round
is one number or one for each of rounds 1..K. The covariance divides by the number of rows fitted, N ("mle"),
or by N - 1 ("unbiased").

In every workflow E Sigma_k = v_k Sigma_0 and E (mu_k - mu_0)(mu_k - mu_0)' = e_k Sigma_0. The functions
return the numbers v_k (`covariance_ratio`) and e_k (`mean_error_ratio`): multiply by tr Sigma_0 for E tr
Sigma_k and E|mu_k - mu_0|^2, in squared data units. They need only two moments of the real data, in any
dimension, also for n <= d. For "mle", in all workflows and rounds,

    v_k + e_k = 1                                                                        (conservation)

(derived here, WORKFLOWS 0.1: a fit keeps the second moment of its rows, so the pool's is a martingale),
hence for Sigma_0 = sigma^2 I also E W_2^2 = 2 (d sigma^2 - sigma E tr Sigma_k^(1/2)) <= 2 d sigma^2. For
d > 1 no closed form of that last expectation is known here.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import FloatArray, choice, counts, nonnegative, require, whole

COVARIANCES = ("mle", "unbiased")


class TraceMoments(NamedTuple):
    """Second moments of the fitted covariance, rounds 0..K, each of shape (K+1,), data units^4."""

    trace_of_square: FloatArray  # E tr Sigma_k^2
    square_of_trace: FloatArray  # E (tr Sigma_k)^2


def sample_sizes(n_real: int, n_per_round: ArrayLike, rounds: int, *, least: int) -> FloatArray:
    """Rows drawn in rounds 0..K, shape (K+1,): n_real >= 2, then `least` or more."""
    rounds = whole("rounds", rounds)
    later = counts("n_per_round", n_per_round, rounds, integer=True)
    require(np.isfinite(later) & (later >= least), "n_per_round", f"finite and >= {least}", n_per_round)
    return np.concatenate([[whole("n_real", n_real, least=2)], later])


def lost_rows(covariance: str) -> int:
    """What the covariance's divisor lacks of the number of rows: 0 for "mle", 1 for "unbiased"."""
    return int(choice("covariance", covariance, COVARIANCES) == "unbiased")


def spectrum(eigenvalues: ArrayLike) -> FloatArray:
    """Checked eigenvalues of Sigma_0, shape (d,)."""
    values = nonnegative("eigenvalues", eigenvalues)
    require(values.ndim == 1 and values.size > 0, "eigenvalues", "a sequence of d numbers", eigenvalues)
    return values


def trace_moments(eigenvalues: ArrayLike, plus: FloatArray, minus: FloatArray) -> TraceMoments:
    """alpha L+ + beta L- and alpha L+ - 2 beta L-, with L+- the products of the rounds' factors plus, minus.

    alpha = (2 T2 + T1^2)/3, beta = (T2 - T1^2)/3, T1 = tr Sigma_0, T2 = tr Sigma_0^2. A round takes tr S^2
    to (m + s) tr S^2 + s (tr S)^2 and (tr S)^2 to m (tr S)^2 + 2 s tr S^2; that map has the eigenvectors
    (1, 1) and (1, -2), with the eigenvalues plus = m + 2 s and minus = m - s.
    Source: derived here, WORKFLOWS A3, A12.
    """
    values = spectrum(eigenvalues)
    squares, square = np.sum(values**2), np.sum(values) ** 2
    with np.errstate(over="ignore"):  # an unbiased second moment may grow beyond every float: inf
        grown = (2 * squares + square) / 3 * np.cumprod(plus)
    other = (squares - square) / 3 * np.cumprod(minus)
    return TraceMoments(trace_of_square=grown + other, square_of_trace=grown - 2 * other)


def wasserstein(
    sigma: float, covariance: FloatArray, mean_error: FloatArray, log_root: FloatArray
) -> FloatArray:
    """E W_2^2 for d = 1: sigma^2 (e_k + v_k + 1 - 2 A_k), log_root = log A_k, A_k = E sigma_k/sigma."""
    return sigma**2 * (mean_error + covariance - 1 - 2 * np.expm1(log_root))
