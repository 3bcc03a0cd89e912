"""Rows drawn without replacement: every set, and every pair of successive sets, is as likely as it should be."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from simcollapse import keys, shuffling
from tests.helpers import FALSE_ALARM, assert_mean

CHAINS, MANY = 50_000, 2**20
# A mixing error that must be seen: with 8 rounds in place of 32, one pair in 256 is not mixed.
TOO_FEW = 8


def images(count, number, chains=CHAINS, seed=1):
    """Images of 0..number-1 in `chains` permutations of 0..count-1, (chains, number)."""
    chain_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(keys.root(seed), jnp.arange(chains))
    draw = jax.jit(jax.vmap(lambda key: shuffling.permuted(key, jnp.int32(count), number)))
    return np.asarray(draw(chain_keys))


def chance_of_sets(places, count):
    """p-value of the chi-square test that every set of places is as likely as any other."""
    number = places.shape[1]
    sets = math.comb(count, number)
    codes = np.sum(np.sort(places, axis=1).astype(np.int64) * count ** np.arange(number), axis=1)
    seen = np.unique(codes, return_counts=True)[1]
    assert len(seen) <= sets
    expected = len(places) / sets
    statistic = np.sum((seen - expected) ** 2) / expected + (sets - len(seen)) * expected
    return stats.chi2.sf(statistic, sets - 1)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000])
def test_images_are_a_permutation(count):
    np.testing.assert_array_equal(
        np.sort(images(count, count, chains=20)), np.tile(np.arange(count), (20, 1))
    )


def test_places_beyond_the_last_are_valid():
    places = images(5, 9, chains=100)
    assert np.all(np.sort(places[:, :5]) == np.arange(5))
    assert np.all(places[:, 5:] == places[:, 4:5])


@pytest.mark.parametrize(("count", "number"), [(2, 1), (5, 2), (6, 3), (9, 7), (30, 2)])
def test_every_set_is_as_likely(count, number):
    assert chance_of_sets(images(count, number, MANY), count) > FALSE_ALARM


@pytest.mark.parametrize(("count", "number"), [(5, 2), (6, 3), (30, 2)])
def test_too_few_rounds_would_be_seen(monkeypatch, count, number):
    monkeypatch.setattr(shuffling, "ROUNDS", TOO_FEW)
    assert chance_of_sets(images(count, number, MANY), count) < FALSE_ALARM


def test_sums_of_many_draws_have_the_variance_of_draws_without_replacement():
    """Of a value that rises with the place, and of one that changes its sign from place to place."""
    count, number = 2000, 100
    places = images(count, number, seed=2)
    values = np.stack([np.arange(count) / count, np.arange(count) % 2, np.sin(2.4 * np.arange(count))])
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, ddof=1, keepdims=True)
    means = values[:, places].mean(axis=2).T / math.sqrt((1 - number / count) / number)
    assert_mean(means, np.zeros(3), resolution=0.05)
    assert_mean(means**2, np.ones(3), resolution=0.08)


def test_successive_sets_are_independent():
    """The overlap of sets of two keys is hypergeometric."""
    count, number = 40, 10
    first, second = (images(count, number, seed=seed) for seed in (3, 4))
    common = np.sum(first[:, :, None] == second[:, None, :], axis=(1, 2))
    law = stats.hypergeom(count, number, number)
    assert_mean(common, law.mean(), resolution=0.08)
    assert_mean((common - law.mean()) ** 2, law.var(), resolution=0.12)


@pytest.mark.parametrize("count", [1, 7, 100_000, 2**31 - 1])
def test_points_are_the_high_half_of_a_product(count):
    words = np.asarray(jax.random.bits(keys.root(3), (2000,), "uint32"))
    got = shuffling._high_product(jnp.asarray(words), jnp.uint32(count))
    np.testing.assert_array_equal(np.asarray(got), words.astype(object) * count // 2**32)
