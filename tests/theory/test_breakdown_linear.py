"""Linear generator and verifier: rates, the four readings and their limits (page, parts B1 to B5, B7)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import assert_mean
from theory import breakdown as bd
from theory.breakdown.linear import agreement_sign

DEGREE = np.pi / 180
DIGITS = 3e-13  # the page prints 14 digits of numbers of order 1

# BREAKDOWN.md F-B1: t_g, t_v, alignment, t (degrees), keep rate, phi, psi, p_star, precision, limit accuracy
# fmt: off
PAIRS = [
    (36, 15, "orthogonal", 38.606434044122, 0.78551981086599, 0.93886654845791, 0.1721328604983,
     0.84506484962038, 0.95617351513807, 0.88948808269069),
    (54, 15, "orthogonal", 55.406040911808, 0.69218866160107, 0.93489666304838, 0.12586999155733,
     0.88134054647097, 0.94544695751032, 0.84074837579429),
    (60, 20, "same", 40, 0.77777777777778, 1, 0.33333333333333, 0.75, 0.85714285714286, 0.77777777777778),
    (60, 20, "opposite", 80, 0.55555555555556, 0.83333333333333, 0, 1, 1, 0.88888888888889),
    (90, 30, "orthogonal", 90, 0.5, 0.83333333333333, 0.16666666666667,
     0.83333333333333, 0.83333333333333, 0.70978468837242),
    (108, 30, "orthogonal", 105.52248781407, 0.4137639565885, 0.80887161240229, 0.15035885271264,
     0.84325054490985, 0.78196430551513, 0.65223403331555),
    (150, 30, "orthogonal", 138.59037789073, 0.23005345616262, 0.69016036848785, 0.13803207369757,
     0.83333333333333, 0.5, 0.5),
    (162, 30, "orthogonal", 145.45075886758, 0.19194022851344, 0.62636780923388, 0.14367049732228,
     0.81342422045882, 0.32633482521357, 0.4542694044696),
    (140, 60, "opposite", 160, 0.11111111111111, 0, 0.14285714285714, 0, 0, 0.22222222222222),
]
# fmt: on
# F-B2: p, t_v, keep rate, least-squares angle (rad) and accuracy, averaging, logistic
FLIPS = [
    (0, 30, 0.83333333333333, 0.26179938779915, 0.91666666666667, 0.91666666666667, 0.91666666666667),
    (0.2, 15, 0.75, 0.16843974555678, 0.946383963763, 0.94786054099453, 0.91666666666667),
    (0.2, 30, 0.7, 0.34972315863061, 0.88867966118045, 0.89537575563353, 0.83333333333333),
    (0.3, 15, 0.66666666666667, 0.19310989710216, 0.93853121063245, 0.94039251616153, 0.91666666666667),
    (0.45, 60, 0.51666666666667, 1.0075358771901, 0.67929136960552, 0.69286113307749, 0.66666666666667),
    (0.7, 30, 0.36666666666667, 0.67649783485575, 0.78466405118348, 0.73880982389059, 0.83333333333333),
    (0.9, 20, 0.18888888888889, 0.70409596204458, 0.77587929445912, 0.62342649489812, 0.88888888888889),
    (0.95, 30, 0.2, 0.96156642187752, 0.69392390169401, 0.47840429592435, 0.83333333333333),
]
# F-B4: p, then for q = 1/12 the limits of R1, R3 (orthogonal, same, opposite), R2; for q = 1/6 of R1, R3, R2
CURVES = [
    (0.1, 1, 0.93402960, 0.90833333, 0.99166667, 0.95287784, 1, 0.90041538, 0.90342299),
    (0.3, 1, 0.84074838, 0.80833333, 0.89166667, 0.93853121, 1, 0.81560010, 0.87223448),
    (0.5, 1, 0.73933065, 0.70833333, 0.79166667, 0.91666667, 1, 0.70978469, 0.83333333),
    (0.7, 1, 0.63332060, 0.60833333, 0.69166667, 0.87978069, 1, 0.59059618, 0.78466405),
    (0.8, 1, 0.57627312, 0.55833333, 0.64166667, 0.85038959, 1, 0.52347270, 0.75557732),
    (0.9, 1, 0.51173669, 0.50833333, 0.59166667, 0.80737439, 0, 0.45426940, 0.72038716),
    (0.95, 0, 0.47713359, 0.48333333, 0.43333333, 0.77739667, 0, 0.42736779, 0.69392390),
]
inner = st.floats(0.02, np.pi - 0.02)
alignments = st.floats(-1, 1)


@pytest.mark.parametrize("row", PAIRS)
def test_linear_verifier_golden(row):
    g, v, alignment, t, keep, phi, psi, p_star, rho, accuracy = row
    g, v = g * DEGREE, v * DEGREE
    between = bd.angle_between_rules(g, v, alignment)
    assert between / DEGREE == pytest.approx(t, rel=DIGITS)
    got = bd.linear_verifier_rates(g, v, between)
    assert got == pytest.approx((phi, psi, g / np.pi), abs=DIGITS)
    assert bd.keep_rate(got.p, got.phi, got.psi) == pytest.approx(keep, abs=DIGITS)
    assert bd.breakdown_point(got.phi, got.psi) == pytest.approx(p_star, abs=1e-12)
    assert bd.precision(got.p, got.phi, got.psi) == pytest.approx(rho, abs=1e-12)
    assert bd.bisector_accuracy_limit(g, v, between) == pytest.approx(accuracy, abs=DIGITS)
    assert bd.limit_accuracy("R3", g, v, alignment=alignment) == pytest.approx(accuracy, abs=DIGITS)


def test_bisector_golden():
    """BREAKDOWN.md F-B1, the two lines below its table."""
    length = [0.79788456080287, 0.77653038527842, 0.73327547865072, 0.68945712751788]
    length += [0.65508002298034, 0.63380608880444]
    angles = np.arange(0, 151, 30) * DEGREE
    np.testing.assert_allclose(bd.bisector_coefficient(angles), length, rtol=DIGITS)
    excess = [0.19098593171027, 0.41349667156634, 0.63661977236758, 0.82699334313269, 0.95492965855137]
    np.testing.assert_allclose(bd.bisector_excess(angles[1:]), excess, rtol=DIGITS)


@pytest.mark.parametrize("row", FLIPS)
def test_flipped_labels_golden(row):
    p, v, keep, angle, least_squares, averaging, logistic = row
    v = v * DEGREE
    assert bd.keep_rate(p, 1 - v / np.pi, v / np.pi) == pytest.approx(keep, abs=DIGITS)
    assert bd.flipped_label_angle(p, v) == pytest.approx(angle, abs=DIGITS)
    for learner, accuracy in (
        ("least_squares", least_squares),
        ("averaging", averaging),
        ("logistic", logistic),
    ):
        assert bd.flipped_label_accuracy_limit(p, v, learner) == pytest.approx(accuracy, abs=DIGITS)


def test_flipped_label_crossing_golden():
    """BREAKDOWN.md F-B2, below the table."""
    v = np.array([15, 30, 60]) * DEGREE
    least_squares = [0.99988928250089, 0.99789759326462, 0.94307851590352]
    np.testing.assert_allclose(bd.flipped_label_crossing(v), least_squares, rtol=DIGITS)
    averaging = [0.98296291314453, 0.93301270189222, 0.75]
    np.testing.assert_allclose(bd.flipped_label_crossing(v, "averaging"), averaging, rtol=DIGITS)
    np.testing.assert_allclose(bd.limit_crossing("R1", v), [11 / 12, 5 / 6, 2 / 3], rtol=DIGITS)


@pytest.mark.parametrize("row", CURVES)
def test_readings_golden(row):
    g = row[0] * np.pi
    calls = [
        ("R1", 12, {}),
        ("R3", 12, {}),
        ("R3", 12, {"alignment": "same"}),
        ("R3", 12, {"alignment": "opposite"}),
        ("R2", 12, {}),
        ("R1", 6, {}),
        ("R3", 6, {}),
        ("R2", 6, {}),
    ]
    for (reading, part, options), accuracy in zip(calls, row[1:], strict=True):
        got = bd.limit_accuracy(reading, g, np.pi / part, **options)
        assert got == pytest.approx(accuracy, abs=5.1e-9)
    assert bd.limit_accuracy("R4", g, np.pi / 12) == row[1]


def test_agreement_identity_on_arbitrary_joint_laws():
    """Keep where the verifier's label is the generated one: 1000 laws of (y, y', v) on {+1, -1}^3."""
    laws = np.random.default_rng(1).dirichlet(np.full(8, 0.5), size=1000).reshape(-1, 2, 2, 2)
    index = np.arange(2)
    right = laws[:, index, index, index].sum(axis=1)
    wrong = laws[:, index, 1 - index, 1 - index].sum(axis=1)
    p = laws[:, index, 1 - index, :].sum(axis=(1, 2))
    q = laws[:, index, :, 1 - index].sum(axis=(0, 2))
    np.testing.assert_allclose(bd.agreement_margin(p, q), right - wrong, atol=1e-15)


@given(inner, inner, alignments)
def test_the_decision_depends_on_p_plus_q_alone(g, v, alignment):
    t = bd.angle_between_rules(g, v, alignment)
    phi, psi, p = bd.linear_verifier_rates(g, v, t)
    shares = bd.linear_verifier_shares(g, v, t)
    assert 0 <= phi <= 1
    assert 0 <= psi <= 1
    assert shares.right + shares.wrong == pytest.approx(1 - t / np.pi, abs=1e-14)
    assert shares.right - shares.wrong == pytest.approx(bd.agreement_margin(p, v / np.pi), abs=1e-14)
    if abs(g + v - np.pi) > 1e-6 and t < np.pi - 1e-3:
        below = g + v < np.pi
        assert (p < bd.breakdown_point(phi, psi)) == below
        assert (bd.bisector_accuracy_limit(g, v, t) > 0.5) == below
        assert bd.limit_accuracy("R1", g, v) == bd.limit_accuracy("R4", g, v) == float(below)


@given(inner, inner, alignments)
def test_angle_between_by_vectors(g, v, alignment):
    turn = np.arccos(alignment)
    first = np.array([np.cos(g), np.sin(g), 0])
    second = np.array([np.cos(v), np.sin(v) * np.cos(turn), np.sin(v) * np.sin(turn)])
    angle = 2 * np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second))
    assert bd.angle_between_rules(g, v, alignment) == pytest.approx(angle, abs=1e-7)
    middle = first + second
    if np.linalg.norm(middle) > 1e-3:
        to_truth = np.arctan2(np.hypot(middle[1], middle[2]), middle[0])
        assert bd.bisector_angle(g, v, angle) == pytest.approx(to_truth, abs=1e-5)


def test_coplanar_rules_and_the_oracle():
    p, q = 0.35, 0.2
    g, v = p * np.pi, q * np.pi
    assert bd.limit_accuracy("R3", g, v, alignment="same") == pytest.approx(1 - (p + q) / 2)
    assert bd.limit_accuracy("R3", g, v, alignment="opposite") == pytest.approx(1 - (p - q) / 2)
    assert bd.limit_accuracy("R3", 0.9 * np.pi, v, alignment="opposite") == pytest.approx((0.9 - q) / 2)
    assert bd.limit_accuracy("R3", g, 0.0) == pytest.approx(1 - p / 2)  # an oracle
    # equal rules: everything is kept, and nothing is gained
    assert bd.limit_accuracy("R3", g, g, alignment="same") == pytest.approx(1 - p, abs=1e-15)


@pytest.mark.parametrize("v", [0.2, 0.9, 1.4])
def test_slope_of_the_bisector_at_the_crossing(v):
    step = 1e-4
    around = np.pi - v + np.pi * step * np.array([1, -1])
    high, low = bd.limit_accuracy("R3", around, v)
    assert (high - low) / (2 * step) == pytest.approx(-1 / np.sqrt(2), abs=1e-6)
    assert bd.limit_accuracy("R3", np.pi - v, v) == pytest.approx(0.5, abs=1e-15)
    assert bd.limit_accuracy("R1", np.pi - v, v) == bd.limit_accuracy("R4", np.pi - v, v) == 0.5
    assert agreement_sign(0.9, 0.1) == 0


@given(st.floats(0.05, 3.0))
def test_crossing_is_where_the_accuracy_is_half(v):
    for learner in ("least_squares", "averaging"):
        p = bd.flipped_label_crossing(v, learner)
        assert bd.flipped_label_accuracy_limit(p, v, learner) == pytest.approx(0.5, abs=1e-9)
        assert bd.limit_crossing("R2", v, learner=learner) == p


def test_flipped_label_limits():
    """p = 0 and p = 1 have a linear generator, truth or -truth: the limit is the bisector."""
    v = np.array([0.3, 1.2, 2.5])
    for learner in ("least_squares", "averaging", "logistic"):
        np.testing.assert_allclose(bd.flipped_label_angle(0.0, v, learner), v / 2, rtol=1e-14)
        np.testing.assert_allclose(bd.flipped_label_angle(1.0, v, learner), (np.pi + v) / 2, rtol=1e-14)
        np.testing.assert_allclose(bd.flipped_label_angle(0.5, v, learner), v, rtol=1e-14)
    assert bd.flipped_label_angle(0.3, 0.0) == 0
    assert bd.flipped_label_angle(0.3, np.pi) == pytest.approx(np.pi)


def test_alignment_law():
    law = bd.random_alignment(7)
    assert law.mean() == pytest.approx(0, abs=1e-15)
    assert law.std() == pytest.approx(1 / np.sqrt(6))
    rng = np.random.default_rng(2)
    points = rng.standard_normal((40_000, 6))
    first = points[:, 0] / np.linalg.norm(points, axis=1)
    assert_mean(np.stack([first**2, first**4], 1), [law.moment(2), law.moment(4)], [0.012, 0.008])


def test_bisector_second_moment_and_direction_match_simulation():
    """E[xx'|kept] and E[x y'|kept] for fixed rules, by batches; false-alarm rate 1e-6, sees errors of 0.02."""
    rng = np.random.default_rng(4)
    g, v = 1.1, 0.6
    t = float(bd.angle_between_rules(g, v))
    gen = np.array([np.cos(g), np.sin(g), 0])
    ver = np.array([np.cos(v), 0, np.sin(v)])
    middle, apart = (gen + ver) / np.linalg.norm(gen + ver), (gen - ver) / np.linalg.norm(gen - ver)
    second = np.eye(3) + bd.bisector_excess(t) * (np.outer(middle, middle) - np.outer(apart, apart))
    first = bd.bisector_moment(t) * middle
    got = []
    for _ in range(100):
        x = rng.standard_normal((10_000, 3))
        label = np.sign(x @ gen)
        x, label = x[label * (x @ ver) > 0], label[label * (x @ ver) > 0]
        got.append([*(x.T @ x / len(x)).ravel(), *(label @ x / len(x))])
    assert_mean(np.array(got), np.concatenate([second.ravel(), first]), 0.03)
    np.testing.assert_allclose(np.linalg.solve(second, first), bd.bisector_coefficient(t) * middle)


def test_fresh_rules_match_simulation():
    """Every row with its own rules; false-alarm rate 1e-6, sees errors of 0.01."""
    rng = np.random.default_rng(5)
    g, v = 1.9, 0.8
    u, across, other = rng.standard_normal((3, 1_000_000))
    label = np.sign(np.cos(g) * u + np.sin(g) * across)
    kept = np.sign(np.cos(v) * u + np.sin(v) * other) == label
    assert_mean((u * label)[kept], bd.fresh_rules_moment(g, v), 0.02)
    keep = 1 - bd.angle_between_rules(g, v) / np.pi
    assert_mean(kept.astype(float), keep, 0.01)


def test_readings_are_named_and_described():
    assert [*bd.Reading] == ["R1", "R2", "R3", "R4"]
    assert [bd.has_step(reading) for reading in bd.Reading] == [True, False, False, True]
    assert bd.limit_accuracy(bd.Reading.R2, 0.3 * np.pi, 0.5, learner="logistic") == pytest.approx(
        1 - 0.5 / np.pi
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: bd.linear_verifier_rates(-0.1, 0.5, 0.5),
            r"theta_gen must be in \[0, pi\] radians, got -0.1",
        ),
        (lambda: bd.linear_verifier_rates(0.5, 3.2, 0.5), r"theta_ver must be in \[0, pi\] radians, got 3.2"),
        (lambda: bd.linear_verifier_rates(1.0, 0.5, 36), "angle_between must be in"),
        (lambda: bd.linear_verifier_rates(1.0, 0.5, 0.4), "angle_between must be between"),
        (lambda: bd.linear_verifier_rates(1.0, 0.5, 1.6), "angle_between must be between"),
        (lambda: bd.linear_verifier_rates(0.0, 0.5, 0.5), "theta_gen must be strictly between 0 and pi"),
        (lambda: bd.linear_verifier_rates(np.pi, 0.5, np.pi - 0.5), "theta_gen must be strictly"),
        (lambda: bd.angle_between_rules(1.0, 0.5, "across"), "alignment must be one of"),
        (lambda: bd.angle_between_rules(1.0, 0.5, 1.5), r"alignment must be in \[-1, 1\]"),
        (lambda: bd.random_alignment(2), "dim must be an integer >= 3"),
        (lambda: bd.bisector_accuracy_limit(np.pi - 1, 1.0, np.pi), "angle_between must be < pi"),
        (lambda: bd.fresh_rules_accuracy_limit(np.pi, 0.0), "something is kept"),
        (lambda: bd.agreement_margin(1.2, 0.1), r"p must be in \[0, 1\]"),
        (lambda: bd.flipped_label_angle(0.0, np.pi), "something is kept"),
        (lambda: bd.flipped_label_angle(0.1, 0.3, "ridge"), "learner must be one of"),
        (lambda: bd.flipped_label_crossing(0.0), "theta_ver must be strictly between 0 and pi"),
        (lambda: bd.flipped_label_crossing(0.3, "logistic"), "learner must be one of"),
        (
            lambda: bd.limit_accuracy("R5", 0.1, 0.3),
            "reading must be one of 'R1', 'R2', 'R3', 'R4', got 'R5'",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
