"""Draws by rejection against the exact laws, in both float types."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from simcollapse import draws

FALSE_ALARM = 1e-6
COUNT = 400_000


def keys(number):
    return jax.random.split(jax.random.key(number, impl="philox4x32"), COUNT // 1000)


@functools.cache
def _binomial(n, p, x64):
    with jax.enable_x64(x64):
        draw = jax.jit(
            jax.vmap(lambda key: draws.binomial(key, jnp.full(1000, float(n)), jnp.full(1000, p, float)))
        )
        return np.asarray(draw(keys(n + int(1e7 * p)))).ravel().astype(np.int64)


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
    """Chi-squared over up to 60 bins; `jax.random.binomial` in single precision fails it from 10^6 trials on."""
    drawn = _binomial(n, p, x64)
    p = p if x64 else float(np.float32(p))
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], n, p).astype(int)
    edges = np.unique(np.linspace(low, high, min(high - low + 1, 60)).astype(int))
    expected = COUNT * np.diff(np.concatenate([[0], stats.binom.cdf(edges, n, p), [1]]))
    seen = np.histogram(drawn, np.concatenate([[-0.5], edges + 0.5, [n + 0.5]]))[0]
    full = expected > 5
    statistic = np.sum((seen - expected)[full] ** 2 / expected[full])
    assert stats.chi2.sf(statistic, full.sum() - 1) > FALSE_ALARM
    assert drawn.min() >= 0 and drawn.max() <= n


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
