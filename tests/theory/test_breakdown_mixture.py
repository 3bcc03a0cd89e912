"""Moments of a Gaussian mixture under linear rules (page, part B6)."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from tests.helpers import assert_mean
from theory import breakdown as bd

DEGREE = np.pi / 180
DIGITS = 3e-13  # the page prints 14 digits of numbers of order 1
MEAN = np.array([1.3, 0, 0])


def rule(degrees, axis):
    """Unit vector at an angle to the first axis, towards another one."""
    out = np.zeros(3)
    out[0], out[axis] = np.cos(degrees * DEGREE), np.sin(degrees * DEGREE)
    return out


# BREAKDOWN.md F-B3: moments, keep rate, coefficients, class accuracy
# fmt: off
SETTINGS = [
    (bd.linear_generator_moments(MEAN, rule(40, 1), rule(20, 2)), 0.86610421034484,
     (0.49382547646678, 0.13971416948549, 0.064210937012616), 0.89273815222316),
    (bd.linear_generator_moments(MEAN, rule(100, 1), rule(30, 2)), 0.40872646287987,
     (0.25931402408754, 0.48729919233741, 0.15862053372698), 0.72138149346584),
    (bd.linear_generator_moments(MEAN, rule(120, 1), rule(50, 2)), 0.29156206895534,
     (0.046068972528356, 0.50410571176408, 0.39117797990579), 0.53729285118393),
    (bd.flipped_class_moments(0.3, MEAN, rule(30, 2)), 0.64795275947656,
     (0.49511692290283, 0, 0.15866578217171), 0.89213928757559),
    (bd.flipped_class_moments(0.7, MEAN, rule(45, 2)), 0.37159413452887,
     (0.42757535697043, 0, 0.48953481585302), 0.80377593898485),
    (bd.flipped_class_moments(0.9, MEAN, rule(30, 2)), 0.20409448104688,
     (0.50613501402146, 0, 0.4757238150477), 0.82824588353545),
    (bd.oracle_moments(MEAN, rule(50, 1)), 0.79831673843083, None, 0.88246202712958),
]
# fmt: on


@pytest.mark.parametrize("row", SETTINGS)
def test_mixture_golden(row):
    moments, keep, coefficients, accuracy = row
    assert moments.keep == pytest.approx(keep, abs=DIGITS)
    beta = bd.ridge_coefficients_limit(moments)
    if coefficients is not None:
        np.testing.assert_allclose(beta, coefficients, atol=DIGITS)
    assert bd.mixture_class_accuracy(beta, MEAN) == pytest.approx(accuracy, abs=DIGITS)


def test_bayes_accuracy_of_the_setting():
    assert bd.mixture_class_accuracy(MEAN, MEAN) == pytest.approx(0.90319951541439, abs=DIGITS)
    assert bd.mixture_class_accuracy(np.zeros(3), MEAN) == 0.5


@pytest.mark.parametrize(
    ("a", "b", "r"),
    [
        (0.3, -1.2, 0.6),
        (-2.0, -1.5, -0.7),
        (0.0, 0.0, 0.4),
        (0.0, 1.1, -0.3),
        (0.0, -1.1, 0.9),
        (1.5, 0.0, 0.5),
        (-0.4, 0.0, -0.95),
        (2.0, -2.0, 0.999),
        (0.7, 0.7, 0.99999),
    ],
)
def test_bivariate_normal_by_quadrature(a, b, r):
    with mpmath.workdps(30):
        root = mpmath.sqrt(1 - mpmath.mpf(r) ** 2)
        near = sorted({-12, max(min(b / r, a), -12), a}) if r else [-12, a]
        expected = mpmath.quad(lambda x: mpmath.npdf(x) * mpmath.ncdf((b - r * x) / root), near)
        assert bd.bivariate_normal_cdf(a, b, r) == pytest.approx(float(expected), abs=3e-15)


def test_bivariate_normal_at_the_ends():
    for a, b in ((0.4, -0.2), (0.0, 0.0), (-1.0, 2.0)):
        assert bd.bivariate_normal_cdf(a, b, 1.0) == pytest.approx(ndtr(min(a, b)))
        assert bd.bivariate_normal_cdf(a, b, -1.0) == pytest.approx(max(ndtr(a) + ndtr(b) - 1, 0), abs=1e-15)
        assert bd.bivariate_normal_cdf(a, b, 1 - 1e-13) == pytest.approx(ndtr(min(a, b)), abs=1e-6)
        assert bd.bivariate_normal_cdf(a, np.inf, 0.3) == pytest.approx(ndtr(a))


directions = st.tuples(st.floats(0.1, 3.0), st.floats(0.1, 3.0), st.floats(-1, 1))


@given(directions)
def test_no_mean_is_the_pure_gaussian(angles):
    """mu = 0: rates, moments and least squares of `linear`."""
    g, v, alignment = angles
    turn = np.arccos(alignment)
    gen = np.array([np.cos(g), np.sin(g), 0])
    ver = np.array([np.cos(v), np.sin(v) * np.cos(turn), np.sin(v) * np.sin(turn)])
    t = float(bd.angle_between_rules(g, v, alignment))
    if t > 3.1:
        return
    moments = bd.linear_generator_moments(np.zeros(3), gen, ver)
    assert moments.keep == pytest.approx(1 - t / np.pi, abs=1e-12)
    middle = (gen + ver) / np.linalg.norm(gen + ver)
    np.testing.assert_allclose(moments.first, moments.keep * bd.bisector_moment(t) * middle, atol=1e-12)
    beta = bd.ridge_coefficients_limit(moments)
    np.testing.assert_allclose(beta, bd.bisector_coefficient(t) * middle, atol=1e-9)
    penalised = bd.ridge_coefficients_limit(moments, 3.0)
    np.testing.assert_allclose(penalised / np.linalg.norm(penalised), middle, atol=1e-9)


@given(st.floats(0, 1), st.floats(0.1, 3.0))
def test_no_mean_is_flipped_bayes_labels(p, v):
    truth = np.array([1.0, 0.0])
    moments = bd.flipped_bayes_moments(p, np.zeros(2), truth, np.array([np.cos(v), np.sin(v)]))
    beta = bd.ridge_coefficients_limit(moments)
    assert np.arctan2(beta[1], beta[0]) == pytest.approx(bd.flipped_label_angle(p, v), abs=1e-10)
    kept = moments.first
    assert np.arctan2(kept[1], kept[0]) == pytest.approx(bd.flipped_label_angle(p, v, "averaging"), abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.4, -0.7])
@pytest.mark.parametrize("sign", [1, -1])
def test_parallel_rules_are_the_limit_of_nearly_parallel_ones(threshold, sign):
    mean = np.array([0.5, -0.3])
    exact = bd.wedge_moments(mean, [2.0, 0.0], [sign * 3.0, 0.0], threshold)
    near = bd.wedge_moments(mean, [1.0, 0.0], [sign * np.cos(1e-5), np.sin(1e-5)], threshold)
    for a, b in zip(exact, near, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)  # of the order of the angle


def test_half_spaces_make_up_the_whole():
    mean, normal = np.array([0.4, 1.0, -0.2]), np.array([0.0, 3.0, 4.0])
    above = bd.half_space_moments(mean, normal, 0.3)
    below = bd.half_space_moments(mean, -normal, -0.3)
    everything = bd.half_space_moments(mean, normal, -np.inf)
    whole = (1.0, mean, np.eye(3) + np.outer(mean, mean))
    for a, b, all_space, expected in zip(above, below, everything, whole, strict=True):
        np.testing.assert_allclose(a + b, expected, atol=1e-14)
        np.testing.assert_allclose(all_space, expected, atol=1e-14)
    wedges = [bd.wedge_moments(mean, [1, 1, 0], sign * normal, sign * 0.3) for sign in (1, -1)]
    half = bd.half_space_moments(mean, [1, 1, 0])
    for a, b, expected in zip(*wedges, half, strict=True):
        np.testing.assert_allclose(a + b, expected, atol=1e-14)
    np.testing.assert_allclose(
        bd.linear_generator_moments(mean, [1, 1, 0], normal, -np.inf).second, whole[2], atol=1e-14
    )


def kept_batches(rng, draw, verifier, threshold):
    """Keep rate, E[v 1] and E[vv' 1] of 100 batches, v = y'x."""
    rows = []
    for _ in range(100):
        x, label = draw(rng, 10_000)
        v = x * label[:, None]
        v = v * (v @ verifier >= threshold)[:, None]
        rows.append([np.mean(np.any(v != 0, axis=1)), *v.mean(axis=0), *(v.T @ v / len(v)).ravel()])
    return np.array(rows)


def flat(moments):
    """The three moments as one vector."""
    return np.concatenate([[moments.keep], moments.first, moments.second.ravel()])


@pytest.mark.parametrize("labels", ["linear", "bayes flips", "class flips"])
@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_moments_match_simulation(labels, threshold):
    """By batches; false-alarm rate 1e-6 for each case, sees errors of 0.03."""
    generator, verifier, p = rule(70, 1), rule(35, 2), 0.25

    def draw(rng, size):
        y = rng.choice([-1.0, 1.0], size)
        x = rng.standard_normal((size, 3)) + y[:, None] * MEAN
        flip = np.where(rng.random(size) < p, -1, 1)
        label = {
            "linear": np.sign(x @ generator),
            "bayes flips": flip * np.sign(x[:, 0]),
            "class flips": flip * y,
        }
        return x, label[labels]

    moments = {
        "linear": bd.linear_generator_moments(MEAN, generator, verifier, threshold),
        "bayes flips": bd.flipped_bayes_moments(p, MEAN, MEAN, verifier, threshold),
        "class flips": bd.flipped_class_moments(p, MEAN, verifier, threshold),
    }
    got = kept_batches(np.random.default_rng(6), draw, verifier, threshold)
    assert_mean(got, flat(moments[labels]), 0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bd.half_space_moments(MEAN, np.zeros(3)), "normal must be a vector that is not 0"),
        (lambda: bd.half_space_moments(MEAN, [1, 0]), r"normal must be a vector of shape \(3,\)"),
        (lambda: bd.half_space_moments(MEAN, [1, 0, 0], np.inf), "threshold must be a number or -inf"),
        (lambda: bd.wedge_moments(1.3, [1.0], [1.0]), r"mean must be a vector of shape \(D,\)"),
        (lambda: bd.flipped_class_moments(1.2, MEAN, MEAN), r"p must be in \[0, 1\], got 1.2"),
        (lambda: bd.bivariate_normal_cdf(0, 0, 1.1), r"correlation must be in \[-1, 1\]"),
        (
            lambda: bd.ridge_coefficients_limit(bd.wedge_moments(MEAN, MEAN, -MEAN)),
            "moments.keep must be > 0",
        ),
        (lambda: bd.mixture_class_accuracy([1.0], MEAN), "coefficients must be of shape"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
