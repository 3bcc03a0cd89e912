import numpy as np
import pytest

from simcollapse.neural.selection import Everything, threshold, top_share


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("levels", [1, 2, 1_000])  # of the scores: all tied, nearly all, none
def test_a_top_share_is_exact_in_every_group_whatever_the_ties(share, levels):
    random = np.random.default_rng(0)
    groups = random.permutation(np.repeat(np.arange(4), [8, 20, 40, 60]))
    scores = random.integers(0, levels, len(groups)).astype(float)
    kept = top_share(share).keep(scores, groups)
    for group in range(4):
        mine = groups == group
        assert kept[mine].sum() == round(share * mine.sum())
        if not kept[mine].all():
            assert scores[mine & kept].min() >= scores[mine & ~kept].max()


def test_among_ties_the_earlier_rows_are_kept():
    kept = top_share(0.5).keep(np.array([1.0, 1.0, 1.0, 1.0, 2.0, 1.0]), np.zeros(6, dtype=int))
    np.testing.assert_array_equal(kept, [True, True, False, False, True, False])


def test_a_share_that_leaves_a_class_empty_is_refused():
    with pytest.raises(
        ValueError, match=r"share must leave at least one row of every class: 0.1 of 4 rows is none"
    ):
        top_share(0.1).check(np.array([30, 4]))
    top_share(0.1).check(np.array([30, 6]))


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be in"):
        top_share(share)


def test_a_threshold_keeps_what_reaches_it_and_everything_keeps_all():
    scores, groups = np.array([0.0, 1.0, 2.0]), np.zeros(3, dtype=int)
    np.testing.assert_array_equal(threshold(1.0).keep(scores, groups), [False, True, True])
    assert not threshold(3.0).keep(scores, groups).any()
    assert Everything().keep(scores, groups).all()
    with pytest.raises(ValueError, match=r"least must be a number"):
        threshold(float("nan"))
