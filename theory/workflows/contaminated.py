"""Strong collapse: one fit on real rows with a fixed share of synthetic rows whose labels are shifted.

n_1 = n_real rows y = x.truth + sigma noise and n_2 = n_synthetic rows y = x.(truth + delta) + sigma noise,
x ~ N(0, I_d), N = n_1 + n_2, shares p_1 = n_1/N and p_2 = n_2/N, shift = |delta|. Results are
E|theta - truth|^2 = the excess test error for isotropic features, in squared data units: more rows of the same
mixture do not push it below (p_2 shift)^2. For a random delta of uniform direction put shift^2 = E|delta|^2.

ValueError for an argument out of range.
"""

from typing import NamedTuple

from numpy.typing import ArrayLike

from theory.arguments import nonnegative_scalar, require, whole
from theory.breakdown.ridge import effective_ridge
from theory.workflows.fresh_real import shift_gain_exact


class _Mixture(NamedTuple):
    """Checked arguments: rows N, dimension, noise variance, synthetic share, squared shift."""

    rows: int
    dim: int
    variance: float
    share: float
    shift: float


def _mixture(
    dim: int, sigma: ArrayLike, shift: ArrayLike, n_real: ArrayLike, n_synthetic: ArrayLike
) -> _Mixture:
    synthetic = whole("n_synthetic", n_synthetic)
    rows = whole("n_real", n_real) + synthetic
    require(rows > 0, "n_real + n_synthetic", "> 0", rows)
    variance, squared = nonnegative_scalar("sigma", sigma) ** 2, nonnegative_scalar("shift", shift) ** 2
    return _Mixture(rows, whole("dim", dim, least=1), variance, synthetic / rows, squared)


def least_squares_mse_exact(*, dim: int, sigma: float, shift: float, n_real: int, n_synthetic: int) -> float:
    """Exact E|theta - truth|^2 of least squares: sigma^2 d/(N-d-1) + shift^2 B(n_1, n_2, d); N > d+1.

    B is `fresh_real.shift_gain_exact`.
    Source: derived here, WORKFLOWS F1.
    """
    mixture = _mixture(dim, sigma, shift, n_real, n_synthetic)
    gain = shift_gain_exact(dim=dim, n_real=n_real, n_synthetic=n_synthetic)
    return mixture.variance * mixture.dim / (mixture.rows - mixture.dim - 1) + mixture.shift * gain


def least_squares_mse_asymptotic(
    *, dim: int, sigma: float, shift: float, n_real: int, n_synthetic: int
) -> float:
    """E|theta - truth|^2 of least squares for d, N -> inf in proportion f = d/N < 1.

    (sigma^2 + p_1 p_2 shift^2) f/(1-f) + p_2^2 shift^2: the mixture acts as the target truth + p_2 delta with
    noisier labels. For f -> 0 it reads sigma^2 f + p_2^2 shift^2, which needs f << p_2 or p_2 shift^2 << sigma^2.
    Source: derived here, WORKFLOWS F2; the form for f -> 0 is [Dohmatob24b]'s.
    """
    mixture = _mixture(dim, sigma, shift, n_real, n_synthetic)
    require(mixture.rows > mixture.dim, "n_real + n_synthetic", f"> dim = {mixture.dim}", mixture.rows)
    mixed = mixture.variance + mixture.share * (1 - mixture.share) * mixture.shift
    return mixed * mixture.dim / (mixture.rows - mixture.dim) + mixture.share**2 * mixture.shift


def ridge_mse_asymptotic(
    *,
    dim: int,
    sigma: float,
    shift: float,
    n_real: int,
    n_synthetic: int,
    truth_norm: float,
    ridge: float,
) -> float:
    """E|theta - truth|^2 of ridge regression for d, N -> inf in proportion f = d/N; delta at right angles to truth.

    theta = (X'X/N + ridge)^-1 X'y/N. With zeta the effective penalty (ridge = zeta - f zeta/(1+zeta)),
    t^2 = truth_norm^2 + p_2^2 shift^2, s^2 = sigma^2 + p_1 p_2 shift^2 and D = f/(1+zeta)^2:

        [zeta^2 t^2/(1+zeta)^2 + s^2 D]/(1-D) - 2 zeta p_2^2 shift^2/(1+zeta) + p_2^2 shift^2.

    ridge >= 0, and > 0 for d = N; ridge = 0 is least squares, or its minimum-norm fit for d > N.
    Source: derived here, WORKFLOWS F4: the risk of isotropic ridge regression on the shifted target.
    """
    mixture = _mixture(dim, sigma, shift, n_real, n_synthetic)
    penalty = nonnegative_scalar("ridge", ridge)
    require(
        penalty > 0 or mixture.rows != mixture.dim, "ridge", "> 0 where dim = n_real + n_synthetic", ridge
    )
    ratio = mixture.dim / mixture.rows
    zeta = float(effective_ridge(penalty, ratio))
    pull = mixture.share**2 * mixture.shift  # squared distance of the shifted target from the truth
    target = nonnegative_scalar("truth_norm", truth_norm) ** 2 + pull
    mixed = mixture.variance + mixture.share * (1 - mixture.share) * mixture.shift
    freedom = ratio / (1 + zeta) ** 2
    lost = zeta / (1 + zeta)
    return (lost**2 * target + mixed * freedom) / (1 - freedom) + pull * (1 - 2 * lost)


def mse_limit(*, shift: float, synthetic_share: float) -> float:
    """The floor (p_2 shift)^2 of least squares for N -> inf at fixed d and share p_2 in [0, 1].

    Source: [Dohmatob24b]; WORKFLOWS F3.
    """
    share = nonnegative_scalar("synthetic_share", synthetic_share)
    require(share <= 1, "synthetic_share", "in [0, 1]", synthetic_share)
    return (share * nonnegative_scalar("shift", shift)) ** 2
