"""Draws by rejection against the exact laws, in both float types."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from simcollapse import draws
from simcollapse.keys import root

FALSE_ALARM = 1e-6
COUNT = 400_000


def keys(number):
    return jax.random.split(root(number), COUNT // 1000)


@functools.cache
def _binomial(n, p, x64):
    with jax.enable_x64(x64):
        draw = jax.jit(
            jax.vmap(lambda key: draws.binomial(key, jnp.full(1000, float(n)), jnp.full(1000, p, float)))
        )
        return np.asarray(draw(keys(n + int(1e7 * p)))).ravel().astype(np.int64)


def assert_drawn_from(law, drawn):
    """Chi-squared over up to 60 bins, and nothing outside the support."""
    low, high = law.ppf([1e-4, 1 - 1e-4]).astype(int)
    edges = np.unique(np.linspace(low, high, min(high - low + 1, 60)).astype(int))
    expected = COUNT * np.diff(np.concatenate([[0], law.cdf(edges), [1]]))
    seen = np.histogram(drawn, np.concatenate([[-0.5], edges + 0.5, [np.inf]]))[0]
    full = expected > 5
    statistic = np.sum((seen - expected)[full] ** 2 / expected[full])
    chance = stats.chi2.sf(statistic, full.sum() - 1) if full.sum() > 1 else 1.0
    assert chance > FALSE_ALARM, f"unlikely: {chance:.1e}"
    least, most = law.support()
    assert drawn.min() >= least and drawn.max() <= most


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    ("n", "p"),
    [
        (1, 0.4),
        (20, 0.5),
        (21, 0.49),
        (33, 0.31),
        (1000, 0.7),
        (1000, 0.0101),
        (10**6, 0.3),
        (10**6, 2e-5),
        (2**24, 0.4),
    ],
)
def test_binomial(n, p, x64):
    """`jax.random.binomial` in single precision fails it from 10^6 trials on."""
    drawn = _binomial(n, p, x64)
    assert_drawn_from(stats.binom(n, p if x64 else float(np.float32(p))), drawn)
    with pytest.raises(AssertionError, match="unlikely"):  # the test can fail
        assert_drawn_from(stats.binom(n, p), np.where(np.arange(COUNT) % 50 == 0, drawn // 2, drawn))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    ("good", "bad", "drawn"),
    [
        (1, 1, 1),  # searched
        (5, 7, 6),
        (20, 22, 18),
        (8, 100_000, 50_000),
        (10, 0, 4),
        (0, 10, 4),
        (10, 10, 20),
        (60, 50, 90),  # rejection, mirrored both ways
        (30, 30, 30),
        (100_000, 400_000, 20_000),
        (7_000_000, 9_000_000, 100),
    ],
)
def test_hypergeometric(good, bad, drawn, x64):
    with jax.enable_x64(x64):
        sizes = [jnp.full(1000, float(size)) for size in (good, bad, drawn)]
        draw = jax.jit(jax.vmap(lambda key: draws.hypergeometric(key, *sizes)))
        found = np.asarray(draw(keys(good + drawn))).ravel().astype(np.int64)
    assert_drawn_from(stats.hypergeom(good + bad, good, drawn), found)


def test_draws_without_replacement_take_no_more_than_there_is():
    """All of a pool; and each kind's counts have the hypergeometric law."""
    there = jnp.asarray([3.0, 0.0, 17.0, 30.0, 1.0])
    all_of_it = draws.multivariate_hypergeometric(jax.random.key(0), jnp.asarray(51.0), there)
    np.testing.assert_array_equal(all_of_it, there)
    draw = jax.jit(jax.vmap(lambda key: draws.multivariate_hypergeometric(key, jnp.asarray(20.0), there)))
    counts = np.asarray(draw(jax.random.split(jax.random.key(1), COUNT)))
    assert (counts.sum(axis=1) == 20).all()
    for kind, number in enumerate(there):
        assert_drawn_from(stats.hypergeom(51, int(number), 20), counts[:, kind])


def test_binomial_without_chance():
    n = jnp.array([0.0, 7.0, 1e6, 7.0, 1e6])
    p = jnp.array([0.3, 0.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(draws.binomial(jax.random.key(0), n, p), [0, 0, 0, 7, 1e6])


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("shape", [1.0, 1.5, 8.0, 400.0, 5e5])
def test_gamma(shape, x64):
    with jax.enable_x64(x64):
        draw = jax.jit(jax.vmap(lambda key: draws.gamma(key, jnp.full(1000, shape))))
        drawn = np.asarray(draw(keys(int(10 * shape)))).ravel().astype(float)
    assert stats.kstest(drawn, stats.gamma(shape).cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize("freedom", [0, 1, 2, 3, 9])
def test_wishart_has_its_log_determinants(freedom):
    """|leading minors of A A'| are products of chi-squares with falling degrees; zero beyond the degrees."""
    dim = 3
    keys = jax.random.split(jax.random.key(freedom), 20_000)
    factor = jax.vmap(lambda key: draws.wishart_factor(key, jnp.asarray(float(freedom)), dim, None))(keys)
    matrix = np.asarray(factor @ jnp.swapaxes(factor, 1, 2))
    trace = np.trace(matrix, axis1=1, axis2=2)
    if freedom == 0:
        np.testing.assert_array_equal(matrix, 0)
        return
    assert stats.kstest(trace, stats.chi2(freedom * dim).cdf).pvalue > FALSE_ALARM
    for row in range(dim):  # rotating the axes changes nothing
        assert stats.kstest(matrix[:, row, row], stats.chi2(freedom).cdf).pvalue > FALSE_ALARM
    rank = np.linalg.matrix_rank(matrix[:200])
    np.testing.assert_array_equal(rank, min(freedom, dim))
    if freedom >= dim:
        logs = np.linalg.slogdet(matrix)[1]
        expected = sum(np.log(2) + stats.loggamma(0.5 * (freedom - i)).mean() for i in range(dim))
        assert abs(logs.mean() - expected) < 5.5 * logs.std() / np.sqrt(len(logs))
