"""K classes: golden values, K = 2, the plurality of a simulated agreement verifier."""

import numpy as np
import pytest

from theory.breakdown import classes


def test_golden_p_star():
    got = [float(classes.p_star_classes(0.8, 0.4, k)) for k in (2, 3, 4, 10)]
    assert got == pytest.approx([0.6666666667, 0.8, 0.8571428571, 0.9473684211], abs=5.1e-11)


def test_two_classes_are_the_usual_case():
    assert classes.p_star_classes(0.7, 0.2, 2) == pytest.approx(0.7 / 0.9)
    assert classes.p_star_agreement(0.2, 2) == pytest.approx(0.8)
    assert classes.p_star_for_classes(7 / 9, 2) == pytest.approx(7 / 9)
    assert classes.p_star_for_classes(0.8 / 1.2, 10) == pytest.approx(classes.p_star_classes(0.8, 0.4, 10))


@pytest.mark.parametrize("k", [2, 3, 10])
def test_at_p_star_the_kept_labels_are_even(k):
    """Uniform errors: R_kk = R_kl = 1/K at p = p*_K, the right label wins below and loses above."""
    phi, psi = 0.6, 0.25
    keep = np.where(np.eye(k, dtype=bool), phi, psi)

    def confusion(p):
        generated = np.where(np.eye(k, dtype=bool), 1 - p, p / (k - 1))
        return classes.kept_confusion(generated, keep)

    p_star = float(classes.p_star_classes(phi, psi, k))
    np.testing.assert_allclose(confusion(p_star), 1 / k, rtol=1e-12)
    assert classes.plurality(confusion(p_star - 1e-9)).all()
    assert not classes.plurality(confusion(p_star + 1e-9)).any()


def test_an_agreement_verifier_by_enumeration():
    """Independent generator and verifier with errors spread evenly: enumerate their labels."""
    k, q, p = 4, 0.3, 0.5
    chance_g = np.full(k, p / (k - 1))
    chance_v = np.full(k, q / (k - 1))
    chance_g[0], chance_v[0] = 1 - p, 1 - q  # the true class is 0
    joint = np.outer(chance_g, chance_v)
    kept = np.diag(joint)
    phi, psi = kept[0] / (1 - p), kept[1:].sum() / p
    assert classes.p_star_agreement(q, k) == pytest.approx(classes.p_star_classes(phi, psi, k))


def test_a_tie_is_no_plurality_and_an_empty_row_none():
    table = [[3, 3, 0], [0, 2, 1], [0, 0, 0]]
    np.testing.assert_array_equal(classes.plurality(table), [False, True, False])
    with pytest.raises(ValueError, match=r"confusion must be of shape \(K, K\)"):
        classes.plurality([[1, 2]])
    with pytest.raises(ValueError, match="classes must be an integer >= 2"):
        classes.p_star_classes(0.5, 0.5, 1)
