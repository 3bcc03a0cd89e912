"""Theorems of the breakdown point as properties: monotone, exact at the ends, blind to names, shared by readings."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from theory import breakdown as bd

rates = st.floats(0.01, 0.99)
errors = st.floats(0.02, 0.98)
qualities = st.floats(-1, 1)


@given(rates, rates, rates)
def test_p_star_rises_with_phi_and_falls_with_psi(phi, psi, other):
    assume(abs(phi - other) > 1e-9 and abs(psi - other) > 1e-9)
    assert (bd.breakdown_point(other, psi) > bd.breakdown_point(phi, psi)) == (other > phi)
    assert (bd.breakdown_point(phi, other) < bd.breakdown_point(phi, psi)) == (other > psi)


@given(rates, st.floats(0.01, 1.0))
def test_an_oracle_gives_one_and_no_verification_one_half(phi, factor):
    assert bd.breakdown_point(phi, 0.0) == 1  # nothing wrong is ever kept, however much that is right is lost
    assert bd.breakdown_point(phi, phi) == 0.5  # verdicts that are blind to correctness
    assert bd.breakdown_point(1.0, 1.0) == 0.5
    # only the ratio of the rates counts: a verifier that also drops rows at random is as good
    assert bd.breakdown_point(factor * phi, factor * 0.3) == pytest.approx(bd.breakdown_point(phi, 0.3))


@given(
    rates, st.tuples(errors, errors), st.tuples(rates, rates), st.tuples(rates, rates), st.floats(0.3, 3.0)
)
def test_swapping_the_classes_changes_nothing(share, p, phi, psi, distance):
    """Class shares, error rates and keep table are all swapped: every limit stays as it is."""
    table = bd.kept_table(share, p, [[phi[0], psi[0]], [psi[1], phi[1]]])
    swapped = bd.kept_table(1 - share, p[::-1], [[phi[1], psi[1]], [psi[0], phi[0]]])
    np.testing.assert_allclose(swapped, table[::-1, ::-1], atol=1e-14)
    assert bd.table_precision(swapped) == pytest.approx(bd.table_precision(table), abs=1e-14)
    assert bd.table_determinant(swapped) == pytest.approx(bd.table_determinant(table), abs=1e-14)
    assert bd.class_breakdown_points(1 - share, phi[::-1], psi[::-1]) == pytest.approx(
        bd.class_breakdown_points(share, phi, psi)
    )
    assume(abs(bd.table_determinant(table)) > 1e-6)
    accuracy = bd.intercept_accuracy_limit(table, distance, share)
    assert bd.intercept_accuracy_limit(swapped, distance, 1 - share) == pytest.approx(accuracy, abs=1e-9)


@given(qualities, st.floats(0.3, 3.0))
def test_turning_every_label_turns_right_into_wrong(quality, separation):
    turned = bd.class_accuracy_limit(-quality, separation)
    assert turned + bd.class_accuracy_limit(quality, separation) == pytest.approx(1)


@given(errors, errors)
def test_the_readings_agree_on_the_side_where_they_must(p, q):
    """R1, R3 and R4 are above 1/2 on the same side of p + q = 1, however R3's rules deviate; R2 is not bound to."""
    assume(abs(p + q - 1) > 1e-6)
    for reading, options in (
        ("R1", {}),
        ("R4", {}),
        ("R3", {}),
        ("R3", {"alignment": "same"}),
        ("R3", {"alignment": "opposite"}),
    ):
        if options.get("alignment") == "opposite":
            assume(abs(p + q - 2 * round((p + q) / 2)) > 1e-3)  # opposite rules keep nothing
        got = bd.limit_accuracy(reading, p * np.pi, q * np.pi, **options)
        assert (got > 0.5) == (p + q < 1), (reading, options)


@given(errors)
def test_the_readings_agree_where_nobody_errs_or_the_verifier_knows(p):
    assume(abs(p - 0.5) > 1e-6)
    for reading in bd.Reading:
        assert bd.limit_accuracy(reading, 0.0, 0.0) == pytest.approx(1)  # two perfect rules
    oracle = [bd.limit_accuracy(reading, p * np.pi, 0.0) for reading in ("R1", "R2", "R4")]
    np.testing.assert_allclose(oracle, 1, atol=1e-12)  # labels that are right wherever kept, on all of space
    # ... and R3, whose right labels are a biased sample, is left with half of the generator's error
    assert bd.limit_accuracy("R3", p * np.pi, 0.0) == pytest.approx(1 - p / 2)


@given(errors, errors)
def test_an_agreement_verifier_that_errs_independently_has_the_rates_of_r1(p, q):
    """The table of a verifier that keeps y' = v: phi = 1 - q, psi = q, so p* = 1 - q and p < p* is p + q < 1."""
    assume(abs(p + q - 1) > 1e-9)
    p_star = bd.breakdown_point(1 - q, q)
    assert p_star == pytest.approx(1 - q)
    assert (bd.agreement_margin(p, q) > 0) == (p < p_star) == (bd.precision(p, 1 - q, q) > 0.5)
