import numpy as np
import pytest

from simcollapse.schedules import geometric_growth, linear_growth, resolve


def test_every_form_of_schedule():
    np.testing.assert_array_equal(resolve(5, 3), [5, 5, 5])
    np.testing.assert_array_equal(resolve([1, 2, 3], 3), [1, 2, 3])
    np.testing.assert_array_equal(resolve(linear_growth(10, 2.5), 3), [10, 12, 15])
    np.testing.assert_array_equal(resolve(geometric_growth(10, 2), 4), [10, 20, 40, 80])
    assert resolve(5, 0).shape == (0,)


@pytest.mark.parametrize(
    ("n_per_round", "words"),
    [
        (0, "n_per_round must be a whole number >= 1, got 0"),
        (1.5, "n_per_round must be a whole number >= 1, got 1.5"),
        (float("nan"), "n_per_round must be a whole number >= 1, got nan"),
        ([1, 2], "n_per_round must have one entry for each of 3 rounds, got 2"),
        (geometric_growth(10, 1e9), "n_per_round must stay between 1 and 2147483647"),
    ],
)
def test_bad_counts_are_named(n_per_round, words):
    with pytest.raises(ValueError, match=words):
        resolve(n_per_round, 3)


def test_growth_checks_its_arguments():
    with pytest.raises(ValueError, match="increment must be >= 0"):
        linear_growth(10, -1)
    with pytest.raises(ValueError, match="ratio must be positive"):
        geometric_growth(10, 0)
    with pytest.raises(TypeError, match="start must be a whole number"):
        linear_growth("ten", 1)
