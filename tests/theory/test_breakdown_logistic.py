"""Ridge-logistic regression in proportion and its drift to the verifier (page, parts C7, B4 and E2)."""

import numpy as np
import pytest
from scipy.special import expit

from tests.helpers import assert_mean
from theory import breakdown as bd

S94 = 1.5547735946  # Bayes accuracy 0.94
DEGREE = np.pi / 180


def half_plane_law(p, theta_ver):
    """Law of y'x in the plane of w_ver and the truth, x ~ N(0, I), flipped Bayes labels that the verifier keeps.

    y'x is a Gaussian folded to the side of w_ver, with weight 1-p where it is right, on nodes of radius and angle.
    """
    nodes, weights = np.polynomial.legendre.leggauss(16)
    ends = np.array([0, 0.01, 0.1, 0.5, 1.5, 3, 5, 9])
    half = np.diff(ends)[:, None] / 2
    radius, radius_weights = (ends[:-1, None] + half + half * nodes).ravel(), (half * weights).ravel()
    near = np.pi / 2 - np.geomspace(1e-3, np.pi / 2, 14)  # finer beside the verifier's plane
    ends = np.unique(np.concatenate([near, -near, [theta_ver - np.pi / 2, -np.pi / 2, np.pi / 2]]))
    half = np.diff(ends)[:, None] / 2
    angle, angle_weights = (ends[:-1, None] + half + half * nodes).ravel(), (half * weights).ravel()
    chance = np.where(angle > theta_ver - np.pi / 2, 1 - p, p) * angle_weights
    joint = np.outer(radius * np.exp(-(radius**2) / 2) * radius_weights, chance)
    points = np.stack([np.outer(radius, np.cos(angle)).ravel(), np.outer(radius, np.sin(angle)).ravel()], 1)
    return bd.LabelledLaw(points, joint.ravel() / joint.sum(), np.zeros(2))


def test_drift_golden():
    """BREAKDOWN.md F-B2, last line; and the population minimiser to the digits printed there."""
    p, turn, ridge = 0.2, 30 * DEGREE, 1e-6
    drift = bd.bayes_label_drift_asymptotic(p, turn, ridge)
    assert drift.across == pytest.approx(0.80531816405763, rel=1e-12)
    assert drift.moment == pytest.approx(0.34884592483411, rel=1e-12)
    assert drift.along == pytest.approx(73.534626659401, rel=1e-12)
    assert drift.across / drift.along / DEGREE == pytest.approx(0.62747761, abs=5.1e-9)
    found = bd.ridge_logistic(half_plane_law(p, turn), ridge, 0.0).along
    assert np.arctan2(found[1], found[0]) / DEGREE == pytest.approx(0.6208, abs=5.1e-5)


def test_bayes_label_drift_is_first_order():
    """The page: the angle is off by 7 % at lambda = 1e-4, by 1 % at 1e-6."""
    p, turn = 0.2, 30 * DEGREE
    law, off = half_plane_law(p, turn), []
    for ridge in (1e-4, 1e-6):
        along = bd.ridge_logistic(law, ridge, 0.0).along
        drift = bd.bayes_label_drift_asymptotic(p, turn, ridge)
        off.append(drift.across / drift.along * along[0] / along[1] - 1)
    assert off == pytest.approx([0.07, 0.01], abs=0.005)


def test_mixture_drift_is_first_order():
    """The page: 1.4 % at lambda = 1e-8, p = 0.3, without saying at which angle."""
    law = bd.verified_class_law(0.3, S94, np.pi / 12)
    off = []
    for ridge in (1e-6, 1e-8):
        along = bd.ridge_logistic(law, ridge, 0.0).along
        drift = bd.mixture_drift_asymptotic(0.3, S94, np.pi / 12, ridge)
        off.append(along / [drift.along, drift.across] - 1)
    assert np.all(np.abs(off[1]) < 0.02)
    np.testing.assert_allclose(off[0], off[1] * 100 ** (1 / 3), rtol=0.15)


@pytest.mark.parametrize("turn", [np.pi / 12, np.pi / 6])
def test_selection_expansion_is_first_order(turn):
    """Against the fixed-point system: what each term leaves out is smaller by n^(-1/3), or by (d/n) n^(1/3)."""
    limit, drift, slowing, noise = bd.selection_expansion_asymptotic(0.3, S94, turn)
    assert limit == bd.logistic_selection_error(np.inf, 2, 0.3, S94, turn)
    off = []
    for n in (1e6, 1e9):
        gap = limit - bd.logistic_selection_error(n, 2, 0.3, S94, turn)  # no noise
        off.append(gap / (drift * n ** (-1 / 3)) - 1)
        cost = bd.logistic_selection_error(n, 2 + round(n * 1e-6), 0.3, S94, turn) - limit + gap
        off.append(cost / (noise * 1e-6 * n ** (-1 / 3) - slowing * 1e-6) - 1)
    assert np.all(np.abs(off) < [0.06, 0.2, 0.007, 0.015])


def test_best_selection_size_minimises_the_expansion():
    limit, drift, slowing, noise = bd.selection_expansion_asymptotic(0.3, S94, np.pi / 12)
    n = bd.best_selection_size_asymptotic(0.3, S94, np.pi / 12, 100) * np.array([0.99, 1, 1.01])
    error = limit - drift * n ** (-1 / 3) - slowing * 100 / n + noise * 100 * n ** (-4 / 3)
    assert error[1] < min(error[0], error[2])


@pytest.mark.parametrize("law", [bd.unverified_class_law(0.3, 1.5), bd.verified_class_law(0.3, 1.5, 0.6)])
@pytest.mark.parametrize("eta", [0.0, 0.3])
def test_large_penalty_is_averaging(law, eta):
    """l' = -1/2 everywhere: w_t = E[v]/(2 lambda), |w_z|^2 = eta/(4 lambda^2), up to 1/lambda."""
    mean = law.weights @ law.points
    if len(law.spread) == 2:  # the points carry the mean of v; both coordinates' spread has mean 0
        exact = bd.flipped_class_moments(0.3, [1.5 * np.cos(0.6), 1.5 * np.sin(0.6)], [1.0, 0.0])
        np.testing.assert_allclose(mean, exact.first / exact.keep, rtol=1e-12)
    limit = bd.ridge_logistic(law, 1e5, eta)
    np.testing.assert_allclose(limit.along * 2e5, mean, rtol=2e-5)
    assert limit.across * 4e10 == pytest.approx(eta, rel=4e-5)
    assert limit.step * 1e5 == pytest.approx(eta, rel=1e-5)


@pytest.mark.parametrize(("p", "ridge", "eta"), [(0.3, 1e-3, 0.1), (0.3, 0.3, 0.6), (0.5, 0.1, 0.3)])
def test_fixed_point_equations_by_another_quadrature(p, ridge, eta):
    """E[l'(u) v] + lambda w = 0 and the two others, u by bisection, on a two-dimensional Gauss-Hermite rule."""
    s = 1.5
    limit = bd.ridge_logistic(bd.unverified_class_law(p, s), ridge, eta)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    equations = np.zeros(3)
    alpha, step = np.sqrt(limit.across), limit.step
    for share, side in ((1 - p, s), (p, -s)):
        v = (nodes + side)[:, None]
        z = limit.along[0] * v + alpha * nodes
        low, high = z, z + step
        for _ in range(80):
            middle = (low + high) / 2
            above = middle - step * expit(-middle) > z
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        slope, curvature = -expit(-low), expit(low) * expit(-low)
        chance = share * np.outer(weights, weights)
        equations += [np.sum(chance * x) for x in (slope * v, curvature / (1 + step * curvature), slope**2)]
    assert equations[0] + ridge * limit.along[0] == pytest.approx(0, abs=1e-7)
    assert step * (ridge + equations[1]) == pytest.approx(eta, rel=1e-6)
    assert step**2 / eta * equations[2] == pytest.approx(limit.across, rel=1e-6)


def test_hard_cases_are_followed():
    """Small penalties with more dimensions than rows, and wrong labels in the majority."""
    for p, ridge, eta in ((0.3, 1e-5, 1.5), (0.3, 1e-2, 3.0), (0.3, 1e-6, 0.1)):
        limit = bd.ridge_logistic(bd.unverified_class_law(p, 1.5), ridge, eta)
        flipped = bd.ridge_logistic(bd.unverified_class_law(1 - p, 1.5), ridge, eta)
        assert limit.along[0] > 0
        np.testing.assert_allclose(flipped.along, -limit.along, rtol=1e-8)
        assert flipped.across == pytest.approx(limit.across, rel=1e-8)
    # the other end of the path: |w| cannot exceed what log 2 >= lambda |w|^2/2 allows
    assert limit.along[0] ** 2 + limit.across < 2 * np.log(2) / 1e-6
    coin = bd.ridge_logistic(bd.unverified_class_law(0.5, 1.0), 0.1, 0.3)
    assert coin.along[0] == pytest.approx(0, abs=1e-12)
    assert bd.class_accuracy_proportional(coin.along, coin.across, [1.0]) == pytest.approx(0.5, abs=1e-12)


def fitted(v, ridge):
    """Ridge-logistic coefficients on rows v = y'x by Newton's method."""
    w = np.zeros(v.shape[1])
    for _ in range(30):
        margin = v @ w
        gradient = ridge * w - expit(-margin) @ v / len(v)
        weight = expit(margin) * expit(-margin) / len(v)
        change = np.linalg.solve((v.T * weight) @ v + ridge * np.eye(len(w)), gradient)
        w -= change
        if np.abs(change).max() < 1e-9:
            break
    return w


def kept_rows(rng, num_rows, dim, p, mean):
    """Rows y'x of class labels flipped with probability p that a verifier along the first axis keeps."""
    kept = np.empty((0, 2))
    while len(kept) < num_rows:
        flip = np.where(rng.random(4 * num_rows) < p, -1.0, 1.0)
        head = rng.standard_normal((4 * num_rows, 2)) + flip[:, None] * mean
        kept = np.concatenate([kept, head[head[:, 0] > 0]])
    return np.hstack([kept[:num_rows], rng.standard_normal((num_rows, dim - 2))])


def test_logistic_matches_simulation():
    """w_t and |w_z|^2, extrapolated to d = inf from two sizes; false-alarm rate 1e-6, sees errors of 5 to 10 %."""
    p, s, turn, ridge, eta = 0.3, 1.5, 0.6, 0.02, 0.2
    mean = s * np.array([np.cos(turn), np.sin(turn)])
    rng, sized = np.random.default_rng(10), []
    for dim in (42, 82):
        num_rows = round((dim - 2) / eta)
        rows = []
        for _ in range(350):
            w = fitted(kept_rows(rng, num_rows, dim, p, mean), ridge)
            rows.append([w[0], w[1], w[2:] @ w[2:]])
        sized.append(np.array(rows))
    limit = bd.ridge_logistic(bd.verified_class_law(p, s, turn), ridge, eta)
    expected = np.array([*limit.along, limit.across])
    assert_mean(2 * sized[1] - sized[0], expected, [0.15, 0.15, 0.2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bd.ridge_logistic(bd.unverified_class_law(0.1, 1.0), 0.0, 0.1), "ridge must be > 0"),
        (lambda: bd.ridge_logistic(bd.unverified_class_law(0.1, 1.0), 0.1, -0.1), "eta must be >= 0"),
        (
            lambda: bd.ridge_logistic(bd.LabelledLaw(np.ones((2, 1)), np.ones(2), np.ones(1)), 0.1, 0.1),
            "law.weights must be probabilities that sum to 1",
        ),
        (
            lambda: bd.ridge_logistic(bd.LabelledLaw(np.ones(2), np.ones(2) / 2, np.ones(1)), 0.1, 0.1),
            r"law.points must be of shape \(Q, k\)",
        ),
        (lambda: bd.unverified_class_law(1.1, 1.0), r"p must be in \[0, 1\], got 1.1"),
        (lambda: bd.verified_class_law(0.1, 1.0, 4.0), r"theta_ver must be in \[0, pi\]"),
        (lambda: bd.bayes_label_drift_asymptotic(0.5, 0.3, 1e-6), "p must be strictly between 0 and 1/2"),
        (lambda: bd.mixture_drift_asymptotic(0.3, 1.0, 0.0, 1e-6), "theta_ver must be strictly between"),
        (lambda: bd.selection_expansion_asymptotic(0.3, 1.0, 2.0), "theta_ver must be below pi/2"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
