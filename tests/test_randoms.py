"""Numbers in single precision: the generator's published answers, the transform bit by bit, and the draws' law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from simcollapse import draws, keys, randoms
from simcollapse.batching import chains_last, largest

FALSE_ALARM = 1e-6  # of one call of `assert_normal`, shared by all its checks
FEW, MANY = 10**6, 2**24
EDGES = [
    *(2**32 - i for i in (1, 2)),
    *(2**k + i for k in (29, 30, 31) for i in (-1, 0, 1)),
    3 * 2**30,
    0,
    1,
    2,
    2**24,
]


@pytest.mark.parametrize(
    ("block", "key", "expected"),
    [  # test vectors of the Random123 library, file kat_vectors, threefry2x32 with 20 rounds
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_generator_gives_the_published_words(block, key, expected):
    words = keys.threefry(*(jnp.uint32(word) for word in (*key, *block)))
    assert tuple(int(word) for word in words) == expected


@pytest.mark.parametrize("number", [0, 7, keys.GENERATE * keys.CHUNKS + 3, 2**32 - 1])
def test_straight_code_gives_the_keys_and_words_of_jax(number):
    """Keys do not depend on whether a caller has a value for `present`."""

    @jax.jit
    def both(key, number, present):
        folded = keys.fold_in(key, number, present), keys.fold_in(key, number, None)
        return [jax.random.key_data(key) for key in folded], [
            keys.words(folded[1], p) for p in (present, None)
        ]

    for mine, jaxs in both(keys.root(5), jnp.uint32(number), jnp.asarray(True)):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(jaxs))


@pytest.mark.parametrize("number", [1, 3])
def test_keys_are_split_as_jax_splits_them(number):
    split = jax.jit(lambda key, present: keys.split(key, number, present))
    for mine, jaxs in zip(
        split(keys.root(5), jnp.asarray(True)), jax.random.split(keys.root(5), number), strict=True
    ):
        np.testing.assert_array_equal(jax.random.key_data(mine), jax.random.key_data(jaxs))


def _words(count=200_000):
    """Pairs of words: all pairs of edges, and random ones."""
    first, second = np.meshgrid(EDGES, EDGES)
    more = np.random.default_rng(0).integers(0, 2**32, size=(2, count))
    return (
        np.concatenate([a.ravel(), b]).astype(np.uint32) for a, b in zip((first, second), more, strict=True)
    )


def test_transform_to_normals_against_double_precision():
    first, second = _words()
    made = jax.jit(randoms.normal_pair)(first, second)
    number = ((first >> 1).astype(np.float32) + np.float32(0.5)).astype(float)
    exact = (first >> 1) + 0.5
    assert np.abs(number / exact - 1).max() <= 2.0**-23  # two roundings
    radius = np.sqrt(-2 * np.log(number / 2**31))
    angle = np.pi / 4 + (second << 2).view(np.int32) * (np.pi / 2 / 2**32)
    signs = [1 - 2.0 * (second >> 31), 1 - 2.0 * (second >> 30 & 1)]
    for drawn, wave, sign in zip(made, (np.cos, np.sin), signs, strict=True):
        assert drawn.dtype == np.float32
        # single precision: 1e-7 each for the radius (relative), the wave (absolute) and the product, three times over
        np.testing.assert_allclose(drawn, sign * radius * wave(angle), atol=1e-6, rtol=0)
    assert max(np.abs(drawn).max() for drawn in made) > 6.6  # at the all-zero word


def test_transform_to_uniforms():
    first, second = _words()
    for word, drawn in zip((first, second), randoms.uniform_pair(first, second), strict=True):
        np.testing.assert_array_equal(drawn, ((word >> 8) / 2**24).astype(np.float32))
        assert drawn.min() == 0 and drawn.max() == 1 - 2.0**-24


def _checks(x, y):
    """p-values of all that is asked of pairs (x, y) of independent normals."""
    both = np.concatenate([x, y])
    yield "law", stats.kstest(both, stats.norm.cdf).pvalue
    yield "law of the radius", stats.kstest(x**2 + y**2, stats.chi2(2).cdf).pvalue
    for order in range(1, 9):
        moment = stats.norm.moment(order) if order % 2 == 0 else 0.0
        spread = np.sqrt((stats.norm.moment(2 * order) - moment**2) / len(both))
        yield f"moment {order}", 2 * stats.norm.sf(abs(np.mean(both**order) - moment) / spread)
    for size in (3.0, 3.5, 4.0, 4.5, 5.0):
        for side, count in (("above", np.sum(both > size)), ("below", np.sum(both < -size))):
            test = stats.binomtest(int(count), len(both), stats.norm.sf(size))
            yield f"{side} {size}", test.pvalue
    others = {
        "partner": y,
        "next": np.roll(x, 1),
        "next partner": np.roll(y, 1),
        "next but one": np.roll(x, 2),
    }
    for name, other in others.items():
        for a, b in ((1, 1), (2, 2), (1, 2), (2, 1)):
            first, second = ((v**p - (p == 2)) / np.sqrt(p) for v, p in ((x, a), (other, b)))
            z = np.mean(first * second) * np.sqrt(len(x))
            yield f"{name}, powers {a} and {b}", 2 * stats.norm.sf(abs(z))


def _failed(x, y):
    values = dict(_checks(x.astype(float), y.astype(float)))
    return [name for name, value in values.items() if not value > FALSE_ALARM / len(values)]


def _pairs(count, seed=0):
    """The draws of many chains, cut into the two members of each pair."""
    with jax.enable_x64(False):
        chain_keys = jax.random.split(keys.root(seed), count // 1000)
        drawn = jax.jit(jax.vmap(lambda key: randoms.normal(key, (1000,))))(chain_keys)
    assert drawn.dtype == np.float32
    return np.asarray(drawn[:, :500]).ravel(), np.asarray(drawn[:, 500:]).ravel()


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_normals_are_normal_and_independent(count):
    assert _failed(*_pairs(count)) == []


@pytest.mark.parametrize(
    "bug",
    [
        lambda x, y: (1.005 * x, 1.005 * y),
        lambda x, y: (x, np.copysign(y, x)),  # one sign bit for both
        lambda x, y: (np.where(np.abs(x) > 4, 0, x), np.where(np.abs(y) > 4, 0, y)),
        lambda x, y: (x, np.where(np.arange(len(y)) % 50 == 0, np.roll(x, -1), y)),  # words used again
    ],
)
def test_wrong_normals_are_seen(bug):
    assert _failed(*bug(*_pairs(FEW)))


@pytest.mark.parametrize("x64", [False, True])
def test_proposals_of_a_rejection(x64):
    """Uniforms and normals by entry and number, in both float types."""
    with jax.enable_x64(x64):
        source = randoms.stream(keys.root(1), (FEW // 10,))
        numbers = jnp.arange(5, dtype=jnp.int32)
        u, v = jax.jit(jax.vmap(lambda k: randoms.two_uniforms(source, k)))(numbers)
        x, w = jax.jit(jax.vmap(lambda k: randoms.normal_and_uniform(source, k)))(numbers)
    assert {a.dtype for a in (u, v, x, w)} == {np.dtype(float if x64 else np.float32)}
    for drawn in (u, v, w):
        assert drawn.min() >= 0 and drawn.max() < 1
        assert stats.kstest(np.asarray(drawn, float).ravel(), "uniform").pvalue > FALSE_ALARM
    assert stats.kstest(np.asarray(x, float).ravel(), "norm").pvalue > FALSE_ALARM
    limit = stats.norm.isf(FALSE_ALARM / 2) / np.sqrt(u.size)
    for a, b in ((u, v), (x, w), (u[:-1], u[1:]), (x[:-1], x[1:])):
        assert abs(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]) < limit


def test_gumbel_draws():
    """Kolmogorov and Smirnov's test sees a gap of 0.3 %; the 1,000 largest of 2^24 are tested by themselves."""
    drawn = np.sort(np.asarray(jax.jit(lambda key: randoms.gumbel(key, (MANY,)))(keys.root(9))).astype(float))
    assert np.all(np.isfinite(drawn))
    assert stats.kstest(drawn[:: MANY // FEW], stats.gumbel_r.cdf).pvalue > FALSE_ALARM
    high = stats.gumbel_r.isf(1e-4)
    beyond = drawn[drawn > high]
    assert abs(len(beyond) - 1e-4 * MANY) < 5.5 * np.sqrt(1e-4 * MANY)
    # of u within 1e-4 of 1 there are 1,678 values: steps of 0.06 %
    spread = stats.kstest(beyond, lambda x: 1 - stats.gumbel_r.sf(x) / 1e-4)
    assert spread.pvalue > FALSE_ALARM


def test_double_precision_is_that_of_jax():
    for ours, theirs in ((randoms.normal, jax.random.normal), (randoms.uniform, jax.random.uniform)):
        drawn = ours(keys.root(0), (3, 5))
        assert drawn.dtype == np.float64
        np.testing.assert_array_equal(drawn, theirs(keys.root(0), (3, 5), dtype=float))


@pytest.mark.parametrize("shape", [(), (1,), (3, 5)])
def test_any_shape_stored_or_not(shape):
    with jax.enable_x64(False):
        for draw in (randoms.normal, randoms.uniform):
            plain = draw(keys.root(0), shape)
            stored = jax.jit(lambda present, draw=draw: draw(keys.root(0), shape, present))(True)
            assert plain.shape == shape
            np.testing.assert_allclose(plain, stored, rtol=1e-6)


def test_chains_last_gives_what_a_loop_gives():
    @chains_last
    def total(pair, scale):
        return pair[0].sum(axis=0) * scale, pair[1]

    rng = np.random.default_rng(0)
    first, second, scale = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng.normal(size=4)
    many = jax.vmap(lambda a, b, c: total((a, b), c))(first, second, scale)
    shared = jax.vmap(lambda a: total((a, second[0]), scale[0]))(first)
    for i in range(4):
        for got, expected in zip(many, total((first[i], second[i]), scale[i]), strict=True):
            np.testing.assert_allclose(got[i], expected, rtol=1e-14)
        np.testing.assert_allclose(shared[0][i], first[i].sum() * scale[0], rtol=1e-14)
        np.testing.assert_array_equal(shared[1][i], second[0])


def test_rejection_draws_the_same_alone_and_among_chains():
    chain_keys = jax.random.split(keys.root(0), 20)
    count, chance, shape = jnp.array([1000.0, 30.0, 5.0]), jnp.array([0.3, 0.9, 0.5]), jnp.array([1.0, 8.0])

    def draw(key):
        key_count, key_gamma = jax.random.split(key)
        return draws.binomial(key_count, count, chance), draws.gamma(key_gamma, shape)

    many = jax.vmap(draw)(chain_keys)
    for i in (3, 17):
        for got, expected in zip(many, draw(jax.random.split(keys.root(0), 20)[i]), strict=True):
            np.testing.assert_allclose(got[i], expected, rtol=1e-12)


def test_a_condition_anywhere_stays_one_for_many_chains():
    """Of a batched condition both sides are computed; this one is the same for all chains, and theirs together."""

    def either(flag, x):
        return jax.lax.cond(largest(flag), jnp.sin, jnp.cos, x)

    flags, x = jnp.asarray([False, True, False]), jnp.arange(3.0)
    np.testing.assert_allclose(jax.vmap(either)(flags, x), np.sin(x))
    np.testing.assert_allclose(jax.vmap(either)(flags & False, x), np.cos(x))
    np.testing.assert_allclose(jax.vmap(jax.vmap(either))(flags[None], x[None]), np.sin(x)[None])
    assert either(flags[0], x[0]) == 1
    assert "select_n" not in str(jax.make_jaxpr(jax.vmap(either))(flags, x))


def test_a_loop_of_the_largest_number_stays_one_for_many_chains():
    """With a number of each chain the counter would be one of each chain too, and so all that is asked of it."""

    def total(number):
        return jax.lax.fori_loop(0, largest(number), lambda i, x: x + i * (i < number).astype(int), 0)

    numbers = jnp.asarray([[3, 1, 5]])
    np.testing.assert_array_equal(jax.vmap(jax.vmap(total))(numbers), [[3, 0, 10]])
    assert total(4) == 6
    assert "select_n" not in str(jax.make_jaxpr(jax.vmap(total))(numbers[0]))
