"""How many rows it takes: sample complexity, width of the transition, and whether verification pays.

Isotropic mixture x ~ N(y mu, I), |mu| = separation s, labels and selection independent of x; d dimensions, n kept
and N generated rows, n ~ keep rate * N, all in proportion (`ridge.mixture_ridge_accuracy`). `excess_error` is the
class error above the Bayes error Phi(-s), in (0, 1/2 - Phi(-s)); `signed_quality` is c, in (0, 1] where a
target must be reachable. Arguments broadcast. Names in `_limit` invert the proportional limit exactly, those in
`_asymptotic` also take the excess error to 0.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from theory.arguments import FloatArray, choice, nonnegative, positive, real, require
from theory.breakdown.domains import probability, quality
from theory.breakdown.rates import keep_rate

USES = ("kept", "all", "weighted")


def excess_error_asymptotic(noise_ratio: ArrayLike, separation: ArrayLike) -> FloatArray:
    """Excess class error of coefficients with a small noise-to-signal ratio Gamma: phi0(s) s Gamma/2.

    noise_ratio as from `ridge.mixture_noise_ratio`, for c > 0.
    Source: derived here from Phi(s) - Phi(s/sqrt(1 + Gamma)).
    """
    s = nonnegative("separation", separation)
    return _density(s) * s * nonnegative("noise_ratio", noise_ratio) / 2


def averaging_sample_size_limit(
    excess_error: ArrayLike, separation: ArrayLike, signed_quality: ArrayLike, dim: ArrayLike
) -> FloatArray:
    """Kept rows n that averaging needs for an excess class error eps.

    n = d/{s^2c^2 (s^2/a^2 - 1)}, a = Phi^-1(Phi(s) - eps).
    Source: derived here.
    """
    s, c, d, noise_ratio = _target(excess_error, separation, signed_quality, dim)
    return d / ((s * c) ** 2 * noise_ratio)


def averaging_sample_size_asymptotic(
    excess_error: ArrayLike, separation: ArrayLike, signed_quality: ArrayLike, dim: ArrayLike
) -> FloatArray:
    """Kept rows n that averaging needs for a small excess class error eps: phi0(s) d/(2 s c^2 eps).

    Source: derived here from eps ~ phi0(s) s Gamma/2.
    """
    s, c, d, _ = _target(excess_error, separation, signed_quality, dim)
    return _density(s) * d / (2 * s * c**2 * np.asarray(excess_error))


def ridgeless_sample_size_limit(
    excess_error: ArrayLike, separation: ArrayLike, signed_quality: ArrayLike, dim: ArrayLike
) -> FloatArray:
    """Kept rows n > d that unpenalised least squares needs for an excess class error eps.

    eta/(1-eta) = (s^2/a^2 - 1)/A, A = (1+s^2)(1 + s^2(1-c^2))/(s^2c^2), a = Phi^-1(Phi(s) - eps), n = d/eta.
    Source: derived here.
    """
    s, c, d, noise_ratio = _target(excess_error, separation, signed_quality, dim)
    return d * (1 + _ridgeless_factor(s, c) / noise_ratio)


def ridgeless_sample_size_asymptotic(
    excess_error: ArrayLike, separation: ArrayLike, signed_quality: ArrayLike, dim: ArrayLike
) -> FloatArray:
    """Kept rows n that unpenalised least squares needs for a small excess class error: phi0(s) s A d/(2 eps).

    A as in `ridgeless_sample_size_limit`.
    Source: derived here.
    """
    s, c, d, _ = _target(excess_error, separation, signed_quality, dim)
    return _density(s) * s * _ridgeless_factor(s, c) * d / (2 * np.asarray(excess_error))


def generated_sample_size_asymptotic(
    excess_error: ArrayLike,
    separation: ArrayLike,
    p: ArrayLike,
    phi: ArrayLike,
    psi: ArrayLike,
    dim: ArrayLike,
) -> FloatArray:
    """Generated rows N that averaging the kept ones needs for a small excess class error eps, p < p_star.

    N = phi0(s) d kappa/[2 s eps (phi+psi)^2 (p_star - p)^2]: the cost grows as (p_star - p)^-2.
    Source: derived here.
    """
    kappa, surplus = keep_rate(p, phi, psi), _surplus(p, phi, psi)
    require(surplus > 0, "p", "below the breakdown point phi/(phi + psi)", f"p={p}, phi={phi}, psi={psi}")
    kept = averaging_sample_size_asymptotic(excess_error, separation, np.minimum(surplus / kappa, 1), dim)
    return kept / kappa


def bayes_label_averaging_sample_size_limit(
    error: ArrayLike, signed_quality: ArrayLike, dim: ArrayLike
) -> FloatArray:
    """Kept rows n that averaging needs for an error relative to Bayes labels, x ~ N(0, I), y = sign(x.truth).

    n = pi d/(2 c^2 tan^2(pi eps)): the error is angle/pi, linear in the angle to the truth, so it falls as
    n^(-1/2). error in (0, 1/2).
    Source: derived here.
    """
    eps, c, d = real("error", error), quality("signed_quality", signed_quality), positive("dim", dim)
    require((eps > 0) & (eps < 0.5), "error", "strictly between 0 and 1/2", error)
    require(c > 0, "signed_quality", "> 0 (below the breakdown point)", signed_quality)
    return np.pi * d / (2 * (c * np.tan(np.pi * eps)) ** 2)


def mixture_bayes_label_error_asymptotic(angle: ArrayLike, separation: ArrayLike) -> FloatArray:
    """Error relative to Bayes labels of a rule at a small angle (radians) to mu, in D large: angle phi0(s) sqrt(2/pi).

    Linear in the angle, where the class error is quadratic.
    Source: derived here.
    """
    return nonnegative("angle", angle) * _density(nonnegative("separation", separation)) * np.sqrt(2 / np.pi)


def transition_window_asymptotic(
    phi: ArrayLike, psi: ArrayLike, separation: ArrayLike, dim: ArrayLike, num_generated: ArrayLike
) -> FloatArray:
    """Distance |p - p_star| at which averaging reaches class accuracy Phi(s/sqrt 2), for d/N small.

    sqrt(kappa_star d/N)/[s (phi + psi)], kappa_star = 2 phi psi/(phi + psi) the keep rate at p_star: the
    transition has width proportional to sqrt(d/N). phi and psi in (0, 1].
    Source: derived here from s^2c^2 = eta.
    """
    right, wrong = probability("phi", phi), probability("psi", psi)
    require((right > 0) & (wrong > 0), "phi, psi", "> 0", (phi, psi))
    s, d, n = (
        positive("separation", separation),
        positive("dim", dim),
        positive("num_generated", num_generated),
    )
    kappa_star = 2 * right * wrong / (right + wrong)
    return np.sqrt(kappa_star * d / n) / (s * (right + wrong))


def effective_sample_share(p: ArrayLike, phi: ArrayLike, psi: ArrayLike, use: str = "kept") -> FloatArray:
    """Effective clean rows per generated row, N_eff/N = sum over sets of share * c^2, in [0, 1].

    use = "kept": [(1-p) phi - p psi]^2/kappa; "all" (no verifier): (1-2p)^2; "weighted": kept and rejected
    rows weighted by their signed quality c (negative: relabelled), kappa c_k^2 + (1-kappa) c_r^2, never
    below the others. Averaging on set with quality c > 0 has accuracy Phi(s^2/sqrt(s^2 + d/N_eff)).
    Source: derived here.
    """
    kappa, surplus = keep_rate(p, phi, psi), _surplus(p, phi, psi)
    unverified = 1 - 2 * np.asarray(p, dtype=np.float64)
    name = choice("use", use, USES)
    if name == "all":
        return np.broadcast_arrays(unverified**2, kappa)[0][()]
    share = _square_over(surplus, kappa)
    return share if name == "kept" else share + _square_over(unverified - surplus, 1 - kappa)


def effective_accuracy_limit(
    effective_samples: ArrayLike, separation: ArrayLike, dim: ArrayLike
) -> FloatArray:
    """Class accuracy of averaging on N_eff effective clean rows: Phi(s^2/sqrt(s^2 + d/N_eff)), in [1/2, 1).

    Source: derived here.
    """
    n, s = nonnegative("effective_samples", effective_samples), nonnegative("separation", separation)
    signal = s * np.sqrt(n)
    return ndtr(s * signal / np.hypot(signal, np.sqrt(positive("dim", dim))))


def verification_pays(p: ArrayLike, phi: ArrayLike, psi: ArrayLike) -> np.ndarray:
    """Whether averaging the kept rows beats averaging all generated ones, at any finite N/d.

    c_k sqrt(kappa) > 1 - 2p, both with their sign: below p = 1/2 and p_star this is
    [(1-p) phi - p psi]^2 > (1-2p)^2 kappa; for 1/2 <= p < p_star it always holds. Keeping nothing gives
    c_k sqrt(kappa) = 0, a coin.
    Source: derived here.
    """
    kappa, surplus = keep_rate(p, phi, psi), _surplus(p, phi, psi)
    signed = np.sign(surplus) * np.sqrt(_square_over(surplus, kappa))
    return signed > 1 - 2 * np.asarray(p, dtype=np.float64)


def _target(
    excess_error: ArrayLike, separation: ArrayLike, signed_quality: ArrayLike, dim: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """s, c, d and the noise ratio s^2/a^2 - 1 that the excess error allows."""
    eps, s = positive("excess_error", excess_error), positive("separation", separation)
    c, d = quality("signed_quality", signed_quality), positive("dim", dim)
    require(c > 0, "signed_quality", "> 0 (below the breakdown point)", signed_quality)
    bayes_error = ndtr(-s)
    require(eps < 0.5 - bayes_error, "excess_error", "below 1/2 - Phi(-separation)", excess_error)
    a = -ndtri(bayes_error + eps)
    return s, c, d, (s - a) * (s + a) / a**2


def _ridgeless_factor(s: FloatArray, c: FloatArray) -> FloatArray:
    return (1 + s**2) * (1 + s**2 * (1 - c**2)) / (s * c) ** 2


def _surplus(p: ArrayLike, phi: ArrayLike, psi: ArrayLike) -> FloatArray:
    """Right less wrong kept rows per generated row, (1-p) phi - p psi = kappa c."""
    error = probability("p", p)
    return (1 - error) * probability("phi", phi) - error * probability("psi", psi)


def _square_over(surplus: FloatArray, share: FloatArray) -> FloatArray:
    """surplus^2/share, 0 for an empty set."""
    return np.where(share > 0, surplus**2 / np.where(share > 0, share, 1.0), 0.0)[()]


def _density(s: FloatArray) -> FloatArray:
    return np.exp(-(s**2) / 2) / np.sqrt(2 * np.pi)
