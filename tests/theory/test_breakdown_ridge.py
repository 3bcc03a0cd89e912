"""Ridge regression with rows and dimensions in proportion (page, parts C1 to C4)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from tests.helpers import assert_mean
from theory import breakdown as bd

DEGREE = np.pi / 180
DIGITS = 3e-13  # the page prints 14 digits of numbers of order 1

# BREAKDOWN.md F-C1: s, (p, phi, psi), lambda, eta, c, zeta, w_t, |w_z|^2, accuracy, accuracy of averaging
# fmt: off
ISOTROPIC = [
    (1, (0.3, 0.8, 0.4), 0, 0.2, 0.64705882352941, 0, 0.32352941176471,
     0.19766435986159, 0.72186645872817, 0.79464314550715),
    (1, (0.3, 0.8, 0.4), 0.1, 0.2, 0.64705882352941, 0.12169905660283, 0.30497200887927,
     0.14956334016588, 0.73211208696924, 0.79464314550715),
    (1.5, (0.4, 0.9, 0.2), 0.5, 0.5, 0.74193548387097, 0.70710678118655, 0.28124164632038,
     0.13069998151257, 0.82148130996977, 0.89725437194102),
    (2, (0.2, 0.9, 0.5), 0, 2, 0.75609756097561, 1, 0.2520325203252,
     0.55535726088968, 0.73915531154, 0.92795735094486),
    (2, (0.2, 0.9, 0.5), 0.3, 2, 0.75609756097561, 1.5, 0.23264540337711,
     0.26682773190589, 0.7942638393089, 0.92795735094486),
    (1, (0.75, 0.8, 0.4), 0.05, 0.1, -0.2, 0.055234317807464, -0.097312505083781,
     0.096694190751935, 0.38259891873869, 0.29649004900871),
]
# fmt: on
separations, qualities, ratios = st.floats(0.1, 4), st.floats(0.02, 1), st.floats(0.01, 3)
penalties = st.floats(1e-3, 1e3)


@pytest.mark.parametrize("row", ISOTROPIC)
def test_isotropic_golden(row):
    s, triple, ridge, eta, c, zeta, along, across, accuracy, averaging = row
    quality = float(bd.signed_quality(*triple))
    assert quality == pytest.approx(c, abs=DIGITS)
    limit = bd.projected_ridge([[1 + s**2]], [s * quality], ridge, eta)
    assert limit.zeta == pytest.approx(zeta, abs=DIGITS)
    assert limit.along == pytest.approx([along], abs=DIGITS)
    assert limit.across == pytest.approx(across, abs=DIGITS)
    assert bd.class_accuracy_proportional(limit.along, limit.across, [s]) == pytest.approx(
        accuracy, abs=DIGITS
    )
    assert bd.mixture_ridge_accuracy(s, quality, ridge, eta) == pytest.approx(accuracy, abs=DIGITS)
    assert bd.mixture_ridge_accuracy(s, quality, np.inf, eta) == pytest.approx(averaging, abs=DIGITS)


def test_anisotropic_golden():
    """BREAKDOWN.md F-C2."""
    variances = np.repeat([0.3, 2.0], 150)
    mean = np.sqrt(np.tile([0.01, 0.004], 150))
    got = bd.anisotropic_ridge(0.6, mean, variances, 0.2, 500)
    expected = (0.33298143260514, 2.1088843063471, 1.1720226395618, 0.28786254425917)
    expected += (0.40700471909648, 0.33505979830458, 0.75901397051757)
    assert got == pytest.approx(expected, abs=DIGITS)
    assert ndtr(bd.separation(mean, variances)) == pytest.approx(0.97758469007429, abs=DIGITS)


def test_bayes_label_golden():
    """BREAKDOWN.md F-C3."""
    for c, ridge, eta, accuracy in (
        (0.6, 0, 0.25, 0.74090787389138),
        (0.6, 1, 0.25, 0.75288806119082),
        (-0.3, 0.1, 0.1, 0.29576533651292),
    ):
        assert bd.bayes_label_ridge_accuracy(c, ridge, eta) == pytest.approx(accuracy, abs=DIGITS)
    assert bd.bayes_label_ridge_accuracy(0.0, 0.1, 0.2) == 0.5
    assert bd.bayes_label_ridge_accuracy(0.0, 0.1, 0.0) == 0.5


def test_fixed_rules_golden():
    """BREAKDOWN.md F-C4."""
    for g, v, ridge, eta, accuracy in (
        (50, 20, 0, 0.375, 0.78716981690237),
        (50, 20, 0.5, 0.375, 0.79768741810259),
        (110, 40, 0.1, 0.05, 0.61211402539067),
    ):
        g, v = g * DEGREE, v * DEGREE
        t = bd.angle_between_rules(g, v)
        assert bd.bisector_ridge_accuracy(g, v, t, ridge, eta) == pytest.approx(accuracy, abs=DIGITS)
        free = bd.bisector_ridge_accuracy(g, v, t, ridge, 0.0)
        assert free == pytest.approx(bd.bisector_accuracy_limit(g, v, t), abs=1e-14)
        # the wedge moments of the mixture without a mean, in three dimensions, lead to the same place
        gen = np.array([np.cos(g), np.sin(g), 0])
        ver = np.array([np.cos(v), 0, np.sin(v)])
        keep, first, second = bd.linear_generator_moments(np.zeros(3), gen, ver)
        limit = bd.projected_ridge(second / keep, first / keep, ridge, eta)
        got = bd.bayes_accuracy_proportional(limit.along, limit.across, [1, 0, 0])
        assert got == pytest.approx(accuracy, abs=1e-12)


@given(penalties, ratios)
def test_effective_ridge_solves_its_equation(ridge, eta):
    zeta = bd.effective_ridge(ridge, eta)
    assert zeta - eta * zeta / (1 + zeta) == pytest.approx(ridge, rel=1e-10)
    step = 1e-5 * ridge
    ratio = [x / bd.effective_ridge(x, eta) for x in (ridge + step, ridge - step)]
    assert (ratio[0] - ratio[1]) / (2 * step) == pytest.approx(bd.noise_gain(ridge, eta), rel=1e-4, abs=1e-9)


def test_effective_ridge_limits():
    np.testing.assert_array_equal(bd.effective_ridge(0.0, [0.2, 1.0, 3.0]), [0, 0, 2])
    tiny = bd.effective_ridge(1e-20, 0.5)  # (lambda + eta - 1) + sqrt(...) cancels to 0 here
    assert tiny == pytest.approx(2e-20, rel=1e-12)
    assert bd.effective_ridge(np.inf, 0.5) == np.inf
    assert bd.noise_gain(np.inf, 0.5) == 0
    assert bd.noise_gain(0.0, 1.0) == np.inf
    assert bd.mixture_ridge_accuracy(1.0, 0.5, 0.0, 1.0) == 0.5  # double descent


@given(separations, qualities, ratios, penalties)
def test_averaging_is_the_best_ridge(s, c, eta, ridge):
    gamma = bd.mixture_noise_ratio(s, c, [0.5 * ridge, ridge, 2 * ridge, np.inf], eta)
    assert np.all(np.diff(gamma) < 0)
    assert bd.mixture_ridge_accuracy(s, c, 1e9, eta) == pytest.approx(
        bd.mixture_ridge_accuracy(s, c, np.inf, eta), rel=1e-7
    )
    assert gamma[-1] == pytest.approx(eta / (s * c) ** 2)
    limit = bd.projected_ridge([[1 + s**2]], [s * c], np.inf, eta)
    got = bd.class_accuracy_proportional(limit.along, limit.across, [s])
    assert got == pytest.approx(bd.mixture_ridge_accuracy(s, c, np.inf, eta), rel=1e-12)


@given(separations, qualities, penalties)
def test_limits_of_the_isotropic_mixture(s, c, ridge):
    got = bd.mixture_ridge_accuracy(s, [c, -c, 0.0], ridge, 0.3)
    assert got[0] + got[1] == pytest.approx(1)
    assert got[2] == 0.5
    assert bd.mixture_ridge_accuracy(s, c, ridge, 0.0) == pytest.approx(ndtr(s))
    ridgeless = (1 + s**2) * (1 + s**2 * (1 - c**2)) / (s * c) ** 2 * 0.3 / 0.7
    assert bd.mixture_noise_ratio(s, c, 0.0, 0.3) == pytest.approx(ridgeless, rel=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.05, 2.0, np.inf])
@pytest.mark.parametrize("ratio", [0.25, 2.5])
def test_anisotropic_reduces_to_isotropic(ridge, ratio):
    dim = 40
    mean = np.random.default_rng(1).standard_normal(dim) / 4
    got = bd.anisotropic_ridge(-0.4, mean, 1.0, ridge, dim / ratio)
    same = bd.mixture_ridge_accuracy(np.linalg.norm(mean), -0.4, ridge, ratio)
    assert got.accuracy == pytest.approx(same, rel=1e-10)
    # features and penalty in another unit, and turned
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((dim, dim)))[0]
    scaled = bd.anisotropic_ridge(-0.4, 3 * turn @ mean, 9 * turn @ turn.T, 9 * ridge, dim / ratio)
    assert scaled.accuracy == pytest.approx(got.accuracy, rel=1e-10)


def test_anisotropic_with_many_rows_is_the_fixed_ridge_limit():
    mean, variances = np.array([1.0, 1.0]), np.array([1.0, 4.0])
    for ridge in (0.0, 1.0, np.inf):
        got = bd.anisotropic_ridge(0.3, mean, variances, ridge, 1e12).accuracy
        assert got == pytest.approx(bd.ridge_class_accuracy_limit(0.3, mean, variances, ridge), abs=1e-9)


def test_real_rows_raise_the_quality():
    assert bd.pooled_quality(0.2, 300, 100) == pytest.approx((100 + 60) / 400)
    assert bd.pooled_quality(0.2, 300, 0) == pytest.approx(0.2)


def simulated_accuracy(rng, dim, num_rows, ridge, c, variances, mean, repeats):
    """Class accuracy of ridge on kept rows with signed quality c."""
    out = []
    for _ in range(repeats):
        right = np.where(rng.random(num_rows) < (1 + c) / 2, 1.0, -1.0)
        x = rng.standard_normal((num_rows, dim)) * np.sqrt(variances) + mean  # times y: v = y x
        gram = x.T @ x / num_rows + ridge * np.eye(dim)
        w = np.linalg.solve(gram, right @ x / num_rows)
        out.append(ndtr(w @ mean / np.sqrt(w**2 @ variances)))
    return np.array(out)


@pytest.mark.parametrize(
    ("s", "c", "ridge", "eta"),
    [
        pytest.param(1.0, 0.65, 0.1, 0.2, marks=pytest.mark.slow),
        (1.5, 0.75, 0.5, 0.5),
        pytest.param(1.2, -0.3, 0.05, 0.25, marks=pytest.mark.slow),
    ],
)
def test_isotropic_matches_simulation(s, c, ridge, eta):
    """Extrapolated to d = inf from two sizes; false-alarm rate 1e-6, sees errors of 0.02 in accuracy."""
    rng = np.random.default_rng(7)
    sized = []
    for dim in (50, 100):
        mean = np.zeros(dim)
        mean[0] = s
        sized.append(simulated_accuracy(rng, dim, round(dim / eta), ridge, c, np.ones(dim), mean, 1400))
    assert_mean(2 * sized[1] - sized[0], bd.mixture_ridge_accuracy(s, c, ridge, eta), 0.02)


def test_anisotropic_matches_simulation():
    """Extrapolated to D = inf from two sizes; false-alarm rate 1e-6, sees errors of 0.02 in accuracy."""
    rng = np.random.default_rng(8)
    c, ridge, sized = 0.6, 0.2, []
    for dim in (60, 120):
        variances = np.repeat([0.3, 2.0], dim // 2)
        mean = np.sqrt(np.tile([3.0, 1.2], dim // 2) / dim)
        sized.append(simulated_accuracy(rng, dim, 2 * dim, ridge, c, variances, mean, 1500))
        expected = bd.anisotropic_ridge(c, mean, variances, ridge, 2 * dim).accuracy
    assert_mean(2 * sized[1] - sized[0], expected, 0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bd.effective_ridge(-1.0, 0.5), "ridge must be >= 0"),
        (lambda: bd.noise_gain(1.0, np.nan), "eta must be >= 0"),
        (lambda: bd.projected_ridge([[1.0]], [1.0, 2.0], 1.0, 0.5), r"second must be of shape \(2, 2\)"),
        (lambda: bd.projected_ridge(1.0, 1.0, 1.0, 0.5), r"first must be a vector of shape \(k,\)"),
        (lambda: bd.class_accuracy_proportional([1.0], 0.1, [1.0, 2.0]), "along, mean must be two vectors"),
        (lambda: bd.bayes_accuracy_proportional([1.0], 0.1, [0.0]), "truth must be a vector that is not 0"),
        (lambda: bd.mixture_ridge_accuracy(1.0, 1.2, 0.1, 0.1), r"signed_quality must be in \[-1, 1\]"),
        (lambda: bd.pooled_quality(0.2, 0, 0), r"num_kept \+ num_real must be > 0"),
        (lambda: bd.anisotropic_ridge(0.5, np.ones(3), 1.0, 0.0, 3), "num_samples must be different from D"),
        (lambda: bd.anisotropic_ridge(0.5, np.zeros(3), 1.0, 1.0, 3), "mean must be a vector that is not 0"),
        (lambda: bd.anisotropic_ridge(0.5, np.ones(3), [1, 1, 0], 1.0, 3), "covariance must be > 0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
