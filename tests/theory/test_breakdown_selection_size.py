"""Error against the number of selected rows (page, part E)."""

import numpy as np
import pytest

from theory import breakdown as bd

S94 = 1.5547735946  # Bayes accuracy 0.94
DIM, FLIPS = 100, 0.3
NARROW, WIDE = np.pi / 12, np.pi / 6
# BREAKDOWN.md F-E1: verifier, errors at n' = 300, 1000, 3000, 10000, 100000, limit
# fmt: off
RIDGE = [
    (None, 0.337420936734, 0.215253078065, 0.129668576751, 0.0833389543319, 0.0624134260608, 0.06),
    ("oracle", 0.114632783629, 0.0737783019188, 0.0643684356674, 0.0612876692728, 0.0601278944612, 0.06),
    (NARROW, 0.102868701843, 0.0713024994802, 0.0642623698698, 0.0619697248315, 0.0611078590098,
     0.0610274198572),
    (WIDE, 0.108926100459, 0.0765347613565, 0.0692382188126, 0.0668552283159, 0.0659584826967,
     0.0659448327585),
]
# fmt: on
# F-E2: n', error at pi/12, error at pi/6
LOGISTIC = [
    (2500, 0.066887904, 0.083347702),
    (3500, 0.066245741, 0.083779820),
    (5000, 0.065895837, 0.084340801),
    (7000, 0.065759031, 0.084879442),
    (10000, 0.065729324, 0.085413657),
    (15000, 0.065768553, 0.085952282),
    (20000, 0.065818163, 0.086287648),
    (30000, 0.065898752, 0.086698577),
    (100000, 0.066122246, 0.087578225),
    (1000000, 0.066374392, 0.088426326),
    (np.inf, 0.066574905, 0.089074942),
]


@pytest.mark.parametrize("row", RIDGE)
def test_ridge_selection_golden(row):
    sizes = (300, 1000, 3000, 10000, 100000)
    got = [bd.ridge_selection_error(n, DIM, FLIPS, S94, row[0], 0.01) for n in sizes]
    assert got == pytest.approx(row[1:-1], abs=1e-12)
    limit = bd.ridge_selection_error(np.inf, DIM, FLIPS, S94, row[0], 0.0)
    assert limit == pytest.approx(row[-1], abs=1e-12)


@pytest.mark.parametrize("row", LOGISTIC)
def test_logistic_selection_golden(row):
    n, narrow, wide = row
    last_digit = 5.1e-10
    for turn, error in ((NARROW, narrow), (WIDE, wide)):
        got = bd.logistic_selection_error(n, DIM, FLIPS, S94, turn)
        assert got == pytest.approx(error, abs=last_digit)


def test_best_selection_golden():
    """The page: n' about 9.4e3 with error 0.065729 at pi/12, 1.7e3 at pi/6; 1.3e3 from a grid for d = 20."""
    best = bd.best_selection_size(DIM, FLIPS, S94, NARROW, least=3e3, most=3e4)
    assert best.num_selected == pytest.approx(9.4e3, rel=0.03)
    assert best.error == pytest.approx(0.065729, abs=5.1e-7)
    wide = bd.best_selection_size(DIM, FLIPS, S94, WIDE, least=1e3, most=1e4)
    assert wide.num_selected == pytest.approx(1.7e3, rel=0.05)
    small = bd.best_selection_size(20, FLIPS, S94, NARROW)
    assert small.num_selected == pytest.approx(1.3e3, rel=0.1)
    for near in (0.8, 1.25):
        n = near * small.num_selected
        assert bd.logistic_selection_error(n, 20, FLIPS, S94, NARROW) > small.error
    # the first-order law is near it here
    leading = bd.best_selection_size_asymptotic(FLIPS, S94, NARROW, DIM)
    assert leading == pytest.approx(best.num_selected, rel=0.15)


def test_oracle_and_no_verifier_improve_throughout():
    sizes = np.geomspace(1e3, 1e6, 7)
    for verifier in (None, "oracle"):
        errors = [bd.logistic_selection_error(n, DIM, FLIPS, S94, verifier) for n in sizes]
        assert np.all(np.diff(errors) < 0)
        assert bd.logistic_selection_error(np.inf, DIM, FLIPS, S94, verifier) == pytest.approx(0.06, abs=1e-9)
        assert errors[-1] == pytest.approx(0.06, abs=0.02)
    one = bd.logistic_selection_error(2000, DIM, FLIPS, S94, "oracle")
    assert one == bd.logistic_selection_error(2000, DIM, 0.0, S94, None)
    assert one < bd.logistic_selection_error(2000, DIM, FLIPS, S94, None) - 0.05
    assert bd.logistic_selection_error(np.inf, DIM, 0.5, S94, None) == 0.5
    assert bd.logistic_selection_error(np.inf, DIM, 0.8, S94, None) == pytest.approx(0.94, abs=1e-9)


def test_ridge_selection_is_the_isotropic_formula_where_errors_are_independent():
    """No verifier: c = 1 - 2p; an oracle: c = 1; dimension d - 1 as k = 1."""
    for verifier, c in ((None, 0.4), ("oracle", 1.0)):
        got = bd.ridge_selection_error(700, 51, 0.3, 1.2, verifier, 0.2)
        assert got == pytest.approx(1 - bd.mixture_ridge_accuracy(1.2, c, 0.2, 50 / 700), abs=1e-13)


@pytest.mark.parametrize("share", [1e-4, 0.1, 0.37, 0.9])
def test_ranked_threshold_keeps_the_share(share):
    mean, generator, verifier = [1.2, 0, 0], [0.8, 0.6, 0], [0.9, 0, 0.3]

    def keep(threshold):
        return bd.linear_generator_moments(mean, generator, verifier, threshold).keep

    assert keep(bd.ranked_threshold(keep, share)) == pytest.approx(share, rel=1e-8)


def test_confidence_ranked_selection():
    """From the verifier's own direction for small n' to everything; best at 30 % of the rows or more."""
    mean = np.array([S94, 0.0, 0.0])
    generator = np.array([np.cos(np.pi / 5), np.sin(np.pi / 5), 0])
    verifier = np.array([np.cos(NARROW), 0, np.sin(NARROW)])

    def moments(threshold):
        return bd.linear_generator_moments(mean, generator, verifier, threshold)

    total, shares = 1e6, np.array([0.001, 0.01, 0.1, 0.3, 0.6, 1.0])
    errors = [bd.ranked_selection_error(x * total, total, 100, moments, mean, 0.0) for x in shares]
    assert shares[np.argmin(errors)] >= 0.3
    keep, first, second = moments(-np.inf)
    assert keep == pytest.approx(1)
    everything = bd.projected_ridge(second, first, 0.0, 97 / total)
    expected = 1 - bd.class_accuracy_proportional(everything.along, everything.across, mean)
    assert errors[-1] == pytest.approx(expected, abs=1e-14)
    # the number kept by agreement is threshold 0
    agreeing = moments(0.0)
    limit = bd.projected_ridge(agreeing.second / agreeing.keep, agreeing.first / agreeing.keep, 0.0, 0.001)
    expected = 1 - bd.class_accuracy_proportional(limit.along, limit.across, mean)
    n = agreeing.keep * total
    assert bd.ranked_selection_error(n, total, 3 + round(0.001 * n), moments, mean, 0.0) == pytest.approx(
        expected, abs=1e-6
    )
    tiny = bd.ridge_coefficients_limit(moments(bd.ranked_threshold(lambda c: moments(c).keep, 1e-6)))
    assert tiny @ verifier / np.linalg.norm(tiny) > 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bd.ridge_selection_error(100, 10, 0.3, 1.0, "weak", 0.1), "verifier must be None, 'oracle'"),
        (lambda: bd.ridge_selection_error(100, 1, 0.3, 1.0, 0.5, 0.1), "dim must be an integer >= 2, got 1"),
        (lambda: bd.ridge_selection_error(0, 10, 0.3, 1.0, 0.5, 0.1), "num_selected must be > 0"),
        (lambda: bd.logistic_selection_error(100, 10, 0.3, 0.0, 0.5), "separation must be > 0"),
        (
            lambda: bd.logistic_selection_error(np.inf, 10, 0.0, 1.0, 0.5),
            "p must be strictly between 0 and 1",
        ),
        (lambda: bd.logistic_selection_error(100, 10, 0.3, 1.0, 5.0), r"verifier must be in \[0, pi\]"),
        (lambda: bd.best_selection_size(10, 0.3, 1.0, 0.5, least=100, most=50), "least must be below most"),
        (lambda: bd.ranked_threshold(lambda c: 0.5, 1.0), "share must be strictly between 0 and 1"),
        (
            lambda: bd.ranked_selection_error(20, 10, 3, lambda c: None, [1.0], 0.1),
            "num_selected must be at most num_generated",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
