"""Averaging at every size, and how many rows it takes (page, parts C5 and C6)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr

from tests.helpers import assert_mean
from theory import breakdown as bd

S94 = 1.5547735946  # Bayes accuracy 0.94
rates = st.floats(0.01, 0.99)


def test_exact_averaging_golden():
    """BREAKDOWN.md F-C5, 12 digits; the separation of the second row is the page's 1.5547736."""
    assert bd.averaging_accuracy_exact(40, 1, 14 / 17, 1) == pytest.approx(0.840819342607, abs=5.1e-13)
    assert bd.averaging_accuracy_exact(100, 20, 14 / 17, 1.5547736) == pytest.approx(
        0.921993800162, abs=5.1e-13
    )


@pytest.mark.parametrize("dim", [1, 2, 3, 25, 300])
@pytest.mark.parametrize(("n", "s"), [(1, 0.7), (8, 2.0), (60, 30.0)])
def test_exact_averaging_is_a_coin_at_the_breakdown_point(dim, n, s):
    assert bd.averaging_accuracy_exact(n, dim, 0.5, s) == pytest.approx(0.5, abs=1e-12)
    sides = [bd.averaging_accuracy_exact(n, dim, rho, s) for rho in (0.8, 0.2)]
    assert sum(sides) == pytest.approx(1, abs=1e-12)
    assert sides[0] > 0.5


def test_exact_averaging_in_two_dimensions_by_angle():
    """n = 1: w = N((s, 0), I) up to sign, so the mean is an integral over the angle of a shifted Gaussian."""
    s, rho = 1.1, 0.85
    theta = np.linspace(-np.pi, np.pi, 4001)[:-1]
    shift = s * np.cos(theta)
    density = np.exp(-(s**2) / 2) / (2 * np.pi) + shift * np.exp(-((s * np.sin(theta)) ** 2) / 2) * ndtr(
        shift
    ) / np.sqrt(2 * np.pi)
    right = np.mean(ndtr(s * np.cos(theta)) * density) * 2 * np.pi
    expected = rho * right + (1 - rho) * (1 - right)
    assert bd.averaging_accuracy_exact(1, 2, rho, s) == pytest.approx(expected, abs=1e-12)


def test_exact_averaging_matches_simulation():
    """False-alarm rate 1e-6, sees errors of 0.004."""
    rng = np.random.default_rng(9)
    n, dim, rho, s, chains = 12, 4, 0.75, 1.2, 40_000
    right = np.where(rng.random((chains, n)) < rho, 1.0, -1.0)
    w = np.mean(right[..., None] * (rng.standard_normal((chains, n, dim)) + s * np.eye(dim)[0]), axis=1)
    accuracy = ndtr(s * w[:, 0] / np.linalg.norm(w, axis=1))
    assert_mean(accuracy, bd.averaging_accuracy_exact(n, dim, rho, s), 0.015)


def test_exact_averaging_tends_to_the_proportional_limit():
    gaps = [
        bd.averaging_accuracy_exact(5 * d, d, 0.8, 1.0) - bd.mixture_ridge_accuracy(1.0, 0.6, np.inf, 0.2)
        for d in (100, 400)
    ]
    assert abs(gaps[0]) < 1e-3
    assert gaps[1] == pytest.approx(gaps[0] / 4, rel=0.05)  # the error is O(1/d)


def test_flip_chance_of_one_dimension():
    """The exact chance is sum_K Bin(K) Phi(-sqrt(n) s (2K/n - 1)); the normal limit is near it."""
    n, s, c = 400, 0.2, 0.3
    count = np.arange(n + 1)
    exact = stats.binom.pmf(count, n, (1 + c) / 2) @ ndtr(-np.sqrt(n) * s * (2 * count / n - 1))
    assert bd.averaging_flip_chance_asymptotic(n, c, s) == pytest.approx(exact, rel=0.01)


def test_sample_size_golden():
    """BREAKDOWN.md F-C6: rows per dimension for c = 0.6."""
    for eps, values in (
        (0.01, (10.455820715465, 10.641328315746, 92.009640761338, 92.624337543119)),
        (0.001, (106.24392597199, 106.41328315746, 925.76925522299, 926.24337543119)),
    ):
        got = [
            call(eps, S94, 0.6, 1)
            for call in (
                bd.averaging_sample_size_limit,
                bd.averaging_sample_size_asymptotic,
                bd.ridgeless_sample_size_limit,
                bd.ridgeless_sample_size_asymptotic,
            )
        ]
        assert got == pytest.approx(values, rel=3e-11)  # the separation has 11 digits


def test_effective_share_golden():
    """BREAKDOWN.md F-C7."""
    assert bd.effective_sample_share(0.1, 0.5, 0.0, "all") == pytest.approx(0.64)
    assert bd.effective_sample_share(0.1, 0.5, 0.0, "kept") == pytest.approx(0.45)
    got = [bd.effective_sample_share(0.4, 0.8, 0.4, use) for use in ("all", "kept", "weighted")]
    assert got == pytest.approx([0.04, 0.16, 0.2])


@given(st.floats(0.3, 3), st.floats(0.05, 1), st.floats(1e-4, 0.1))
def test_sample_sizes_invert_the_accuracy(s, c, eps):
    if eps >= 0.9 * (ndtr(s) - 0.5):
        return
    for ridge, call in ((np.inf, bd.averaging_sample_size_limit), (0.0, bd.ridgeless_sample_size_limit)):
        n = call(eps, s, c, 7)
        reached = ndtr(s) - bd.mixture_ridge_accuracy(s, c, ridge, 7 / n)
        assert reached == pytest.approx(eps, rel=1e-8)


def test_asymptotic_sizes():
    """Ratios to the exact inverse that the page gives for eta = 1e-4."""
    s, c, eta = S94, 0.6, 1e-4
    for ridge, call, ratio in (
        (0.0, bd.ridgeless_sample_size_asymptotic, 0.9997),
        (np.inf, bd.averaging_sample_size_asymptotic, 0.99996),
    ):
        gamma = bd.mixture_noise_ratio(s, c, ridge, eta)
        eps = ndtr(s) - bd.mixture_ridge_accuracy(s, c, ridge, eta)
        assert bd.excess_error_asymptotic(gamma, s) == pytest.approx(eps, rel=2e-3)
        assert 1 / (eta * call(eps, s, c, 1)) == pytest.approx(ratio, abs=2e-3)
    p, phi, psi = 0.3, 0.8, 0.4
    kept = bd.averaging_sample_size_asymptotic(1e-3, s, bd.signed_quality(p, phi, psi), 50)
    generated = bd.generated_sample_size_asymptotic(1e-3, s, p, phi, psi, 50)
    assert generated * bd.keep_rate(p, phi, psi) == pytest.approx(kept)
    distance = [bd.breakdown_point(phi, psi) - x for x in (p, 0.6)]
    far = bd.generated_sample_size_asymptotic(1e-3, s, 0.6, phi, psi, 50)
    ratio = distance[0] ** 2 / distance[1] ** 2 * bd.keep_rate(0.6, phi, psi) / bd.keep_rate(p, phi, psi)
    assert far / generated == pytest.approx(ratio)


def test_bayes_label_errors():
    n = bd.bayes_label_averaging_sample_size_limit(0.05, 0.6, 30)
    assert bd.bayes_label_ridge_accuracy(0.6, np.inf, 30 / n) == pytest.approx(0.95)
    # x ~ N(s, 1) along mu, N(0, 1) across: the sign changes within an angle of the plane
    s, turn = 1.1, 1e-3
    z = np.linspace(-8, 8, 4001)
    gap = ndtr(s + turn * np.abs(z)) - ndtr(s)
    exact = np.sum(gap * np.exp(-(z**2) / 2)) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    assert bd.mixture_bayes_label_error_asymptotic(turn, s) == pytest.approx(exact, rel=2e-3)


def test_window_is_where_the_accuracy_is_that_of_a_smaller_separation():
    """The page's ratios of exact to leading order at d/N = 1e-2 and 1e-5, p = 0.3 side of phi, psi = 0.8, 0.4."""
    s, phi, psi = S94, 0.8, 0.4
    for ratio, tolerance in ((1e-2, 0.05), (1e-5, 2e-3)):
        width = bd.transition_window_asymptotic(phi, psi, s, ratio, 1.0)
        p = bd.breakdown_point(phi, psi) - width
        eta = ratio / bd.keep_rate(p, phi, psi)
        got = bd.mixture_ridge_accuracy(s, bd.signed_quality(p, phi, psi), np.inf, eta)
        assert got - ndtr(s / np.sqrt(2)) == pytest.approx(0, abs=tolerance)
    wide = bd.transition_window_asymptotic(phi, psi, s, 20, [100, 400])
    assert wide[0] == pytest.approx(2 * wide[1])


@given(rates, rates, rates)
def test_verification_pays_where_the_kept_rows_are_more_accurate(p, phi, psi):
    s, ratio = 1.3, 0.05  # d/N
    kappa = bd.keep_rate(p, phi, psi)
    kept = bd.mixture_ridge_accuracy(s, bd.signed_quality(p, phi, psi), np.inf, ratio / kappa)
    everything = bd.mixture_ridge_accuracy(s, 1 - 2 * p, np.inf, ratio)
    if abs(kept - everything) > 1e-12:
        assert bd.verification_pays(p, phi, psi) == (kept > everything)
    shares = {use: bd.effective_sample_share(p, phi, psi, use) for use in ("kept", "all", "weighted")}
    assert shares["weighted"] >= max(shares["kept"], shares["all"]) - 1e-14
    for use, accuracy in (("kept", kept), ("all", everything)):
        better = bd.effective_accuracy_limit(shares[use] / ratio, s, 1.0)
        assert better == pytest.approx(max(accuracy, 1 - accuracy), abs=1e-9)


def test_verification_can_hurt():
    assert not bd.verification_pays(0.1, 0.5, 0.0)
    assert bd.verification_pays(0.4, 0.8, 0.4)
    # below p = 1/2 but above the breakdown point the kept labels are mostly wrong, however many there are
    p, phi, psi = 0.4, 0.1, 0.9
    assert ((1 - p) * phi - p * psi) ** 2 > (1 - 2 * p) ** 2 * bd.keep_rate(p, phi, psi)
    assert not bd.verification_pays(p, phi, psi)
    np.testing.assert_array_equal(bd.verification_pays([0.6, 0.4], 0.0, 0.0), [True, False])


def test_keeping_everything_or_nothing():
    for use in ("kept", "all", "weighted"):
        assert bd.effective_sample_share(0.3, 1.0, 1.0, use) == pytest.approx(0.16)
    assert bd.effective_sample_share(0.3, 0.0, 0.0) == 0
    assert bd.effective_accuracy_limit(0.0, 1.0, 5) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bd.averaging_accuracy_exact(0, 3, 0.7, 1.0), "num_samples must be an integer >= 1, got 0"),
        (lambda: bd.averaging_accuracy_exact(5, 1.5, 0.7, 1.0), "dim must be an integer >= 1, got 1.5"),
        (lambda: bd.averaging_accuracy_exact(5, 2, 1.7, 1.0), r"precision must be in \[0, 1\], got 1.7"),
        (lambda: bd.averaging_sample_size_limit(0.5, 1.0, 0.5, 1), "excess_error must be below"),
        (lambda: bd.ridgeless_sample_size_limit(0.1, 1.0, 0.0, 1), "signed_quality must be > 0"),
        (lambda: bd.averaging_sample_size_asymptotic(0.1, 1.0, -0.5, 1), "signed_quality must be > 0"),
        (
            lambda: bd.generated_sample_size_asymptotic(0.1, 1.0, 0.7, 0.8, 0.4, 1),
            "p must be below the break",
        ),
        (lambda: bd.bayes_label_averaging_sample_size_limit(0.5, 0.5, 1), "error must be strictly between"),
        (lambda: bd.transition_window_asymptotic(0.5, 0.0, 1.0, 1, 10), "phi, psi must be > 0"),
        (lambda: bd.effective_sample_share(0.3, 0.5, 0.5, "best"), "use must be one of"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
