"""Rates, breakdown points, and unlimited data with selection independent of the features (page, parts A and D1)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ndtr

from theory import breakdown as bd
from theory.breakdown.independent import plug_in_threshold
from theory.breakdown.rates import table_determinant, table_keep_rate, table_precision

DIGITS = 1e-12  # relative: the page prints 14 digits of these
rates = st.floats(0.01, 0.99)

# BREAKDOWN.md F-A1, separation 1.25: class share, p_+, p_-, V, keep rate, precision, a, b, D, accuracies, slope
# fmt: off
TABLES = [
    (0.5, 0.3, 0.3, [[0.9, 0.4], [0.4, 0.9]], 0.75, 0.84, 0.5, 0.5, 0.17,
     0.89435022633314, 0.89435022633314, 0.26536585365854),
    (0.5, 0.8, 0.8, [[0.9, 0.4], [0.4, 0.9]], 0.5, 0.36, 0.5, 0.5, -0.07,
     0.10564977366686, 0.10564977366686, -0.10926829268293),
    (0.7, 0.2, 0.5, [[0.9, 0.3], [0.6, 0.7]], 0.741, 0.82186234817814, 0.73684210526316, 0.80161943319838,
     0.089494992542084, 0.89435022633314, 0.73806231472771, 0.25120963760245),
    (0.3, 0.6, 0.7, [[0.5, 0.5], [0.8, 0.2]], 0.584, 0.17465753424658, 0.25684931506849, 0.77397260273973,
     -0.09605460686808, 0.10564977366686, 0.22265733208994, -0.2539258269295),
    (0.8, 0.1, 0.9, [[0.4, 0.6], [0.9, 0.3]], 0.504, 0.58333333333333, 0.66666666666667, 0.89285714285714,
     -0.023809523809524, 0.89435022633314, 0.8, 0.065040650406504),
]
# fmt: on


@pytest.mark.parametrize("row", TABLES)
def test_independent_selection_golden(row):
    share, plus, minus, keep, kappa, rho, a, b, det, accuracy, with_intercept, slope = row
    table = bd.kept_table(share, (plus, minus), keep)
    assert table_keep_rate(share, (plus, minus), keep) == pytest.approx(kappa, rel=DIGITS)
    assert table_precision(table) == pytest.approx(rho, rel=DIGITS)
    assert table[0].sum() == pytest.approx(a, rel=DIGITS)
    assert table[:, 0].sum() == pytest.approx(b, rel=DIGITS)
    assert table_determinant(table) == pytest.approx(det, rel=DIGITS)
    assert bd.class_accuracy_limit(2 * rho - 1, 1.25) == pytest.approx(accuracy, rel=DIGITS)
    assert bd.intercept_accuracy_limit(table, 2.5, share) == pytest.approx(with_intercept, rel=DIGITS)
    mean = np.array([1.0, 0.75])  # |mean| = 1.25
    np.testing.assert_allclose(bd.least_squares_coefficients(rho, mean), slope * mean, rtol=DIGITS)


def test_class_breakdown_points_golden():
    """BREAKDOWN.md F-A2, 10 digits."""
    points = bd.class_breakdown_points(0.7, (0.9, 0.7), (0.3, 0.6))
    assert points == pytest.approx((0.6829268293, 0.6516685226, 0.5384615385), abs=5.1e-11)


def test_fixed_ridge_golden():
    """BREAKDOWN.md F-A3."""
    mean, covariance = np.array([1.0, 1.0]), np.array([1.0, 4.0])
    assert ndtr(bd.separation(mean, covariance)) == pytest.approx(0.86822376135851, rel=DIGITS)
    for ridge, accuracy in ((0.0, 0.86822376135851), (1.0, 0.86285058630206), (np.inf, 0.81445331523865)):
        got = bd.ridge_class_accuracy_limit(0.3, mean, covariance, ridge)
        assert got == pytest.approx(accuracy, rel=DIGITS)
        assert bd.ridge_class_accuracy_limit(-0.3, mean, covariance, ridge) == pytest.approx(1 - accuracy)
        turned = np.array([[0.8, -0.6], [0.6, 0.8]])
        full = turned @ np.diag(covariance) @ turned.T
        assert bd.ridge_class_accuracy_limit(0.3, turned @ mean, full, ridge) == pytest.approx(accuracy)
    assert bd.ridge_class_accuracy_limit(0.0, mean, covariance, 1.0) == 0.5


@given(rates, rates, rates)
def test_below_the_breakdown_point_most_kept_labels_are_right(p, phi, psi):
    p_star, rho, c = bd.breakdown_point(phi, psi), bd.precision(p, phi, psi), bd.signed_quality(p, phi, psi)
    if abs(p - p_star) > 1e-12:
        assert (p < p_star) == (rho > 0.5) == (c > 0)
    logit = np.log(p_star / (1 - p_star)) - np.log(p / (1 - p))
    assert np.log(rho / (1 - rho)) == pytest.approx(logit, abs=1e-10)
    assert c == pytest.approx(2 * rho - 1, abs=1e-14)
    assert c == pytest.approx((phi + psi) * (p_star - p) / bd.keep_rate(p, phi, psi), abs=1e-13)


def test_rates_broadcast_and_agree_with_the_table():
    p, phi = np.array([[0.1], [0.6]]), np.array([0.5, 0.9, 1.0])
    got = bd.precision(p, phi, 0.2)
    assert got.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            table = bd.kept_table(0.3, p[i, 0], [[phi[j], 0.2], [0.2, phi[j]]])
            assert table_precision(table) == pytest.approx(got[i, j], rel=1e-14)
            np.testing.assert_allclose(bd.kept_error_rates(table), 1 - got[i, j], rtol=1e-13)


@given(rates, st.tuples(rates, rates), st.tuples(rates, rates))
def test_class_breakdown_points_are_where_the_sign_flips(share, phi, psi):
    average, geometric, least = bd.class_breakdown_points(share, phi, psi)
    assert least <= min(average, geometric) + 1e-15
    keep = [[phi[0], psi[0]], [psi[1], phi[1]]]
    assert table_precision(bd.kept_table(share, average, keep)) == pytest.approx(0.5, abs=1e-12)
    assert table_determinant(bd.kept_table(share, geometric, keep)) == pytest.approx(0, abs=1e-12)
    for point, intercept in ((average, False), (geometric, True)):
        for p, sign in ((point - 1e-3, 1), (point + 1e-3, -1)):
            assert bd.margin_loss_sign(bd.kept_table(share, p, keep), intercept=intercept) == sign
    for p, right in ((least * (1 - 1e-9), True), (least * (1 + 1e-9), False)):
        errors = bd.kept_error_rates(bd.kept_table(share, p, keep))
        assert bd.consistent_learner_is_right(*errors) == right
    same = bd.class_breakdown_points(share, phi[0], psi[0])
    np.testing.assert_allclose(same, bd.breakdown_point(phi[0], psi[0]), rtol=1e-14)


def random_tables(number):
    """Tables of independent selection with class shares and their rates drawn at random."""
    rng = np.random.default_rng(3)
    for _ in range(number):
        share = rng.uniform(0.2, 0.8)
        yield share, bd.kept_table(share, rng.uniform(size=2), rng.uniform(size=(2, 2)))


def test_intercept_from_one_dimensional_normal_equations():
    """x ~ N(+-S/2, 1): the least-squares line from its moments, and the accuracy of its zero."""
    half = 0.9
    for share, table in random_tables(20):
        a, b = table[0].sum(), table[:, 0].sum()
        mean_x, mean_y = (2 * a - 1) * half, 2 * b - 1
        variance = 1 + half**2 - mean_x**2
        correlation = half * (2 * table_precision(table) - 1) - mean_x * mean_y
        slope = correlation / variance
        zero = mean_x - mean_y / slope  # predicts the sign of slope above it
        sign = np.sign(slope)
        accuracy = share * ndtr(sign * (half - zero)) + (1 - share) * ndtr(sign * (zero + half))
        np.testing.assert_allclose(bd.intercept_coefficients(table, [2 * half]), [slope], rtol=1e-11)
        assert bd.intercept_accuracy_limit(table, 2 * half, share) == pytest.approx(accuracy, rel=1e-10)


@pytest.mark.parametrize("intercept", [True, False])
def test_margin_loss_sign_from_minimised_logistic_risk(intercept):
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    for _, table in random_tables(8):

        def risk(w, table=table):
            shift = w[1] if intercept else 0.0
            total = 0.0
            for i, y in enumerate((1, -1)):
                for j, label in enumerate((1, -1)):
                    score = label * (w[0] * (nodes + 0.8 * y) + shift)
                    total += table[i, j] * (weights @ np.logaddexp(0, -score))
            return total

        best = minimize(risk, np.zeros(2), tol=1e-12).x[0]
        assert np.sign(best) == bd.margin_loss_sign(table, intercept=intercept)


@given(rates, rates, rates)
def test_plug_in_threshold_is_where_the_label_is_a_coin(plus, minus, share):
    if abs(1 - plus - minus) < 1e-6:
        return
    threshold = plug_in_threshold(plus, minus)
    assert (1 - plus) * threshold + minus * (1 - threshold) == pytest.approx(0.5, abs=1e-9)
    if plus < 0.5 and minus < 0.5:
        assert 0 < threshold < 1
        assert ((1 - plus) * share + minus * (1 - share) > 0.5) == (share > threshold)


def test_intercept_at_odds_ratio_one_is_the_majority_rule():
    assert bd.intercept_accuracy_limit(np.full((2, 2), 0.25), 2.0, 0.7) == 0.5
    exact = np.array([[0.5, 0.25], [0.125, 0.0625]]) / 0.9375  # odds ratio exactly 1
    assert bd.intercept_accuracy_limit(exact, 2.0, 0.7) == pytest.approx(0.7)
    nearly = exact + 1e-9 * np.array([[1, -1], [-1, 1]])
    assert bd.intercept_accuracy_limit(nearly, 2.0, 0.7) == pytest.approx(0.7)


def test_bayes_label_coefficient_is_the_mean_of_x_times_sign():
    assert bd.bayes_label_coefficient(1.0) == pytest.approx(np.sqrt(2 / np.pi))
    assert bd.bayes_label_coefficient(-0.5) == pytest.approx(-np.sqrt(0.5 / np.pi))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bd.breakdown_point(0, 0), r"phi \+ psi must be > 0.*phi=0, psi=0"),
        (lambda: bd.breakdown_point(np.nan, 0.1), r"phi must be in \[0, 1\], got nan"),
        (lambda: bd.breakdown_point(0.2, 1.5), r"psi must be in \[0, 1\], got 1.5"),
        (lambda: bd.keep_rate(-0.1, 0.5, 0.5), r"p must be in \[0, 1\], got -0.1"),
        (lambda: bd.precision(0.0, 0.0, 1.0), r"keep rate .* must be > 0, got 0 for p=0.0"),
        (lambda: bd.signed_quality(1.0, 0.5, 0.0), "keep rate"),
        (lambda: bd.class_breakdown_points(0.5, (0, 1), (0, 1)), r"phi \+ psi must be > 0"),
        (lambda: bd.kept_table(0.5, (0.1, 0.2, 0.3), 0.5), r"p must be one number or of shape \(2,\)"),
        (lambda: bd.kept_table(0.5, 0.1, 0.0), "keep rate must be > 0"),
        (lambda: table_precision([[0.5, 0.5], [0.5, 0.5]]), "table must be a joint law"),
        (lambda: bd.kept_error_rates([[0.5, 0.5], [0, 0]]), "both classes"),
        (lambda: bd.separation([0.0, 0.0]), "mean must be a vector that is not 0"),
        (lambda: bd.separation([1.0, 0.0], [[1, 2], [0, 1]]), "covariance must be symmetric"),
        (lambda: bd.separation([1.0, 0.0], [[1, 2], [2, 1]]), "covariance must be positive definite"),
        (lambda: bd.separation([1.0, 0.0], [1.0, 1.0, 1.0]), "covariance must be of shape"),
        (lambda: bd.class_accuracy_limit(1.5, 1.0), r"signed_quality must be in \[-1, 1\], got 1.5"),
        (lambda: bd.class_accuracy_limit(0.5, -1.0), "separation must be >= 0"),
        (lambda: bd.intercept_accuracy_limit(np.full((2, 2), 0.25), 0.0, 0.5), "mean_distance must be > 0"),
        (lambda: plug_in_threshold(0.5, 0.5), "different from 1"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_things_that_are_no_numbers():
    with pytest.raises(TypeError, match="phi must be a real number"):
        bd.breakdown_point("high", 0.1)
