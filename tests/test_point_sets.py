"""The toy sets have scikit-learn's laws: its samples and ours by two-sample tests along many directions."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import norm
from sklearn import datasets

from simcollapse import keys
from simcollapse.tasks import point_sets
from tests.helpers import FALSE_ALARM, assert_mean, assert_same_distribution

COUNT = 20_000


def _centers():
    made: Any = datasets.make_blobs(6, random_state=0, return_centers=True)
    return made[2]


MAKERS: dict[str, Any] = {
    "blobs": lambda seed: datasets.make_blobs(COUNT, centers=_centers(), random_state=seed),
    "circles": lambda seed: datasets.make_circles(COUNT, noise=0.05, random_state=seed),
    "moons": lambda seed: datasets.make_moons(COUNT, noise=0.05, random_state=seed),
    "swiss_roll": lambda seed: datasets.make_swiss_roll(COUNT, noise=0.05, random_state=seed),
}


def drawn(source, seed):
    key = keys.root(seed)
    return np.asarray(jax.jit(lambda key: source.columns(key, COUNT, None))(key)).T


def views(rows):
    """Numbers whose laws tell sets apart: coordinates, their sum and difference, distances to three places."""
    yield from rows.T
    yield rows[:, 0] + rows[:, -1]
    yield rows[:, 0] - rows[:, -1]
    for place in (0.0, 1.0, -3.0):
        yield np.linalg.norm(rows - place, axis=1)


@pytest.mark.parametrize("name", MAKERS)
def test_scikit_learn_draws_the_same(name):
    ours, theirs = drawn(point_sets.named(name), 1), MAKERS[name](2)[0]
    seen = list(zip(views(ours), views(theirs), strict=True))
    for first, second in seen:
        assert_same_distribution(first, second, resolution=0.06, false_alarm=FALSE_ALARM / len(seen))
    # a noise of a fifth of the set's spread, or twice its own: the test can fail
    noise = max(2 * point_sets.NOISE[name], 0.2 * np.max(theirs.std(axis=0)))
    wrong = drawn(point_sets.named(name, noise=noise), 1)
    with pytest.raises(AssertionError, match="distribution functions differ"):
        for first, second in zip(views(wrong), views(theirs), strict=True):
            assert_same_distribution(first, second, resolution=0.06)


@pytest.mark.parametrize("name", [*MAKERS, "normal", "table"])
def test_moments_are_those_of_the_draws(name):
    table = np.random.default_rng(0).exponential(size=(60, 3))
    made = {
        "normal": lambda: point_sets.normal(4, 2.0),
        "table": lambda: point_sets.Resampled(jax.numpy.asarray(table)),
    }
    source = made[name]() if name in made else point_sets.named(name, 0.3)
    rows, spread = drawn(source, 3), np.sqrt(np.asarray(source.variance))
    assert_mean(rows, source.mean, resolution=0.1 * spread)
    assert_mean((rows - np.asarray(source.mean)) ** 2, spread**2, resolution=0.2 * spread**2)


def test_density_of_a_normal_law():
    source = point_sets.normal(3, 2.0)
    at = np.random.default_rng(1).normal(size=(3, 5))
    expected = norm.logpdf(at, scale=2).sum(axis=0)
    np.testing.assert_allclose(source.log_density(jax.numpy.asarray(at)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: point_sets.named("moon"), "data must be one of .* Did you mean 'moons'"),
        (lambda: point_sets.named("moons", -1), "noise must be >= 0 and finite, got -1"),
        (lambda: point_sets.normal(2, 0), "noise must be positive and finite, got 0"),
        (lambda: point_sets.checked_rows([[1.0, np.nan]]), r"data must be finite, got nan at index \(0, 1\)"),
        (lambda: point_sets.checked_rows([[1.0], [1.0]]), "data must have columns and rows that differ"),
        (lambda: point_sets.checked_rows([1.0, 2.0]), r"data must have shape \(any, any\)"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
