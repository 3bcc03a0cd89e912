"""Truncated-normal moments against mpmath, in their limits, and by properties."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import truncated_normal

# KNOWLEDGE_CENTER.md section 2: mpmath with 1800 digits of working precision. mean, bound, sigma, m, v, Z.
GOLDEN = [
    (0.0, 1.0, 1.0, "0", "0.291125094773", "0.682689492137"),
    (0.5, 1.0, 1.0, "0.143727115823", "0.280248150151", "0.624655260005"),
    (2.0, 1.0, 1.0, "0.489950486756", "0.173452904924", "0.1573053559"),
    (0.1, 0.3, 0.5, "0.0114240870874", "0.0285102247036", "0.443566343027"),
    (-1.0, 2.0, 1.5, "-0.450594644919", "0.951777000171", "0.724757330505"),
    (10.0, 1.0, 1.0, "0.891476898351", "0.0115147840175", "1.12858840404e-19"),
    (40.0, 1.0, 1.0, "0.97439258007", "0.000654882770293", "5.35311911215e-333"),
    (-30.0, 0.5, 1.0, "-0.466179155832", "0.00114124754418", "1.43947455223e-191"),
    (1e-8, 1.0, 1.0, "2.91125094773e-9", "0.291125094773", "0.682689492137"),
    (3.0, 0.001, 1.0, "9.99999266667e-7", "3.3333268889e-7", "8.86370864214e-6"),
]
DIGITS = 1e-10  # relative: the table has 11 or 12 digits, the promise is 10
ROUNDING = 2e-13  # relative, against mpmath; 1.5e-14 is typical of the worst points


@pytest.mark.parametrize(("mean", "bound", "sigma", "m", "v", "z"), GOLDEN)
def test_golden_moments(mean, bound, sigma, m, v, z):
    got = truncated_normal.moments(mean, bound, sigma)
    np.testing.assert_allclose(got[:2], (float(m), float(v)), rtol=DIGITS)
    np.testing.assert_allclose(got[2], float(z), rtol=DIGITS)  # 0 = 0 where Z underflows
    log_z = float(mpmath.log(mpmath.mpf(z)))
    assert abs(truncated_normal.log_acceptance(mean, bound, sigma) - log_z) < DIGITS


def reference(mean, bound):
    """m, v, log Z for sigma = 1, with enough digits for the cancellation in the textbook form."""
    digits = 60 + int(max(0, mean - bound) ** 2 / 4) + 4 * max(0, -int(math.log10(bound)))
    with mpmath.workdps(digits):
        alpha, beta = -mpmath.mpf(bound) - mpmath.mpf(mean), mpmath.mpf(bound) - mpmath.mpf(mean)
        z = (mpmath.erf(beta / mpmath.sqrt(2)) - mpmath.erf(alpha / mpmath.sqrt(2))) / 2
        rejected = (mpmath.erfc(beta / mpmath.sqrt(2)) + mpmath.erfc(-alpha / mpmath.sqrt(2))) / 2
        low, high = mpmath.npdf(alpha), mpmath.npdf(beta)
        d = (low - high) / z
        m, v = mpmath.mpf(mean) + d, 1 + (alpha * low - beta * high) / z - d**2
        log_z = mpmath.log(z) if z < 0.5 else mpmath.log1p(-rejected)
        return float(m), float(v), float(log_z)


def points():
    """Means to 60 sigma and bounds from 1e-6 to 100 sigma, dense where one formula would give way to another."""
    rng = np.random.default_rng(20)
    mean = np.concatenate([rng.uniform(0, 60, 60), 10 ** rng.uniform(-12, 1.77, 140)])
    bound = 10 ** rng.uniform(-6, 2, 200)
    bound[::4] = np.abs(mean[::4] + rng.normal(0, 2, 50)) + 1e-6  # mean and bound close
    bound[1::8] = np.clip(rng.uniform(0.1, 10, 25) / mean[1::8], 1e-6, 100)  # mean * bound near 1
    return zip(mean, bound, strict=True)


def test_moments_match_mpmath_everywhere():
    for mean, bound in points():
        m, v, log_z = reference(mean, bound)
        got = truncated_normal.moments(mean, bound, 1.0)
        np.testing.assert_allclose(got[:2], (m, v), rtol=ROUNDING, err_msg=f"{mean=} {bound=}")
        np.testing.assert_allclose(
            truncated_normal.log_acceptance(mean, bound, 1.0), log_z, rtol=ROUNDING, atol=1e-300
        )


def test_log_acceptance_keeps_its_digits_near_zero():
    with mpmath.workdps(60):
        expected = float(mpmath.log1p(-2 * mpmath.ncdf(-12)))
    assert truncated_normal.log_acceptance(0.0, 12.0, 1.0) == pytest.approx(expected, rel=1e-13, abs=0)


def test_infinite_bound_truncates_nothing():
    mean = np.array([-60.0, -1e-9, 0.0, 0.3, 60.0])
    m, v, z = truncated_normal.moments(mean, np.inf, 2.0)
    np.testing.assert_allclose(m, mean, rtol=1e-14)
    np.testing.assert_allclose(v, 4.0, rtol=1e-14)
    np.testing.assert_array_equal(z, 1.0)
    np.testing.assert_allclose(truncated_normal.moments(mean, 1e300, 1e-10)[0], mean, rtol=1e-14)


def test_small_bound_is_uniform():
    bound = np.array([1e-6, 1e-4])  # v = b^2/3 and m = mean b^2/3 up to relative order b^2 and (mean b)^2
    m, v, _ = truncated_normal.moments(0.7, bound, 1.0)
    np.testing.assert_allclose(v, bound**2 / 3, rtol=1e-8)
    np.testing.assert_allclose(m, 0.7 * bound**2 / 3, rtol=1e-8)


def test_arrays_equal_scalars_across_blocks():
    rng = np.random.default_rng(3)
    mean, bound = rng.normal(0, 5, (3, 1100)), rng.uniform(0.1, 5, 1100)  # more points than one block holds
    arrays = truncated_normal.moments(mean, bound, 1.3)
    assert [a.shape for a in arrays] == [(3, 1100)] * 3
    for i, j in ((0, 0), (2, 1099), (1, 500)):
        single = truncated_normal.moments(mean[i, j], bound[j], 1.3)
        np.testing.assert_allclose(single, [a[i, j] for a in arrays], rtol=1e-14)
        assert np.ndim(single[0]) == 0


def test_quadrature_rule_has_the_high_moments():
    deviation, probability = truncated_normal.quadrature_rule(0.0, np.array([1e-4, np.inf]), 1.0)
    for half in range(1, 11):
        uniform = 1e-4 ** (2 * half) / (2 * half + 1)  # E y^2h on [-b, b], relative error of order b^2
        normal = math.prod(range(1, 2 * half, 2))
        # What the cut at 9 sigma leaves out of the 20th moment is 2e-10 of it.
        got = (probability * deviation ** (2 * half)).sum(axis=1)
        np.testing.assert_allclose(got, [uniform, normal], rtol=1e-7 if half < 10 else 1e-6)


means = st.floats(-60, 60)
bounds = st.floats(1e-6, 1e3)


@given(means, bounds, st.floats(1e-3, 1e3))
def test_symmetry_scale_and_range(mean, bound, scale):
    m, v, z = truncated_normal.moments(mean, bound, 1.0)
    opposite = truncated_normal.moments(-mean, bound, 1.0)
    np.testing.assert_array_equal(opposite, (-m, v, z))
    scaled = truncated_normal.moments(scale * mean, scale * bound, scale)
    # mean and bound are rounded when scaled, and log Z is as large as 1800: 1e-12 covers its rounding.
    np.testing.assert_allclose(scaled, (scale * m, scale**2 * v, z), rtol=1e-11, atol=1e-300)
    assert abs(m) <= min(abs(mean) * (1 + 1e-14), bound)
    assert 0 < v <= 1 + 1e-14
    assert truncated_normal.slope(mean, bound, 1.0) == v


@given(st.floats(0, 50), st.floats(0.01, 20))
def test_slope_is_the_derivative_of_the_mean(mean, bound):
    step = 1e-4  # central difference: error step^2/6 * |m'''| <= 1e-8, rounding 1e-12
    high, low = (truncated_normal.moments(mean + s, bound, 1.0)[0] for s in (step, -step))
    assert truncated_normal.slope(mean, bound, 1.0) == pytest.approx((high - low) / (2 * step), abs=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.nan, 1.0, 1.0), "mean must be finite, got nan"),
        ((np.inf, 1.0, 1.0), "mean must be finite, got inf"),
        ((0.0, 0.0, 1.0), r"bound must be > 0 \(inf allowed\), got 0.0"),
        ((0.0, [1.0, np.nan], 1.0), r"bound must be > 0 \(inf allowed\), got \[1.0, nan\]"),
        ((0.0, 1.0, -2.0), "sigma must be > 0 and finite, got -2.0"),
        ((0.0, 1.0, np.inf), "sigma must be > 0 and finite, got inf"),
    ],
)
def test_values_out_of_range_are_named(arguments, message):
    for function in (truncated_normal.moments, truncated_normal.log_acceptance, truncated_normal.slope):
        with pytest.raises(ValueError, match=message):
            function(*arguments)


def test_things_that_are_not_numbers_are_named():
    with pytest.raises(TypeError, match="sigma must be a real number"):
        truncated_normal.moments(0.0, 1.0, "wide")
