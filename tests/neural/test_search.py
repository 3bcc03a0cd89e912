import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse import keys
from simcollapse.neural.transformer import search

V, T, B = 3, 4, 5  # vocabulary, places, questions
TABLE = np.random.default_rng(0).normal(size=(B, V ** (T + 1), V)).astype(np.float32) * 2
START = 0


def step(state, tokens, at):
    """Logits that depend on all earlier tokens: the state is the history as a number in base V."""
    batch, width = tokens.shape
    code = state * V + jnp.where(at > 0, tokens.reshape(-1), 0)
    place = V**at + code  # histories of different lengths have different rows
    question = jnp.repeat(jnp.arange(batch), width)
    return jnp.asarray(TABLE)[question, place].reshape(batch, width, V), code


def found(width):
    return search.beam_search(step, jnp.zeros(B, jnp.int32), B, T, width, START)


def log_softmax(x):
    x = x.astype(float)
    return x - np.log(np.exp(x).sum())


def told(question, history):
    code = 0
    for token in history:
        code = code * V + token
    return log_softmax(TABLE[question, V ** len(history) + code])


def plain_beam(question, width):
    """As one would write it."""
    beam = [((), 0.0)]
    for _ in range(T):
        longer = [((*h, v), s + told(question, h)[v]) for h, s in beam for v in range(V)]
        beam = sorted(longer, key=lambda x: -x[1])[:width]
    return beam


def test_a_wide_beam_is_brute_force():
    """With room for every beginning nothing is ever dropped."""
    got = found(V ** (T - 1))
    for b in range(B):
        everything = [
            (sum(told(b, s[:i])[s[i]] for i in range(T)), s) for s in itertools.product(range(V), repeat=T)
        ]
        everything.sort(reverse=True)
        for i in range(V ** (T - 1)):
            np.testing.assert_allclose(got.score[b, i], everything[i][0], rtol=1e-5)
            assert tuple(got.tokens[b, i].tolist()) == everything[i][1]


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_a_narrower_beam_is_the_plain_one(width):
    got = found(width)
    for b in range(B):
        wanted = plain_beam(b, width)
        assert [tuple(s) for s in got.tokens[b].tolist()] == [h for h, _ in wanted]
        np.testing.assert_allclose(got.score[b], [s for _, s in wanted], rtol=1e-5)


def test_greedy_is_a_beam_of_one():
    got = search.greedy(step, jnp.zeros(B, jnp.int32), B, T, START)
    wanted = found(1)
    np.testing.assert_array_equal(got.tokens, wanted.tokens)
    np.testing.assert_allclose(got.score, wanted.score, rtol=1e-6)


def test_a_narrow_beam_is_not_brute_force():
    """So the tests above can tell."""
    best = found(V ** (T - 1)).score[:, 0]
    assert np.any(found(1).score[:, 0] < best - 0.01)


def test_too_few_continuations_leave_the_rest_impossible():
    got = search.beam_search(step, jnp.zeros(B, jnp.int32), B, 1, 5, START)
    assert np.isfinite(got.score[:, :V]).all() and np.isneginf(got.score[:, V:]).all()


@pytest.mark.slow
def test_draws_have_their_probabilities():
    """Chi-squared over all sequences of one question, false alarm 1e-6; a temperature of 1.3 is seen."""
    width = 20_000

    def draws(temperature):
        got = search.sample(
            step, jnp.zeros(B * width, jnp.int32), keys.root(1), B, T, width, START, jnp.float32(temperature)
        )
        return np.asarray(got.tokens[0]), np.asarray(got.score[0])

    sequences = list(itertools.product(range(V), repeat=T))
    chance = np.exp([sum(told(0, s[:i])[s[i]] for i in range(T)) for s in sequences])

    def statistic(tokens):
        counts = np.bincount(tokens @ V ** np.arange(T)[::-1], minlength=V**T)
        many = chance * width >= 5
        rest = [counts[~many].sum()], [chance[~many].sum() * width]
        seen, wanted = np.append(counts[many], rest[0]), np.append(chance[many] * width, rest[1])
        return np.sum((seen - wanted) ** 2 / wanted)

    tokens, score = draws(1.0)
    limit = 170.0  # above the 1 - 1e-6 quantile for 80 degrees of freedom, 155
    assert statistic(tokens) < limit < statistic(draws(1.3)[0])
    np.testing.assert_allclose(score, np.log(chance[tokens @ V ** np.arange(T)[::-1]]), rtol=1e-5)


def test_one_compilation_serves_all():
    made = jax.jit(lambda s: search.beam_search(step, s, B, T, 2, START))
    for value in range(3):
        made(jnp.full(B, value, jnp.int32))
    assert made._cache_size() == 1


@pytest.mark.parametrize("step", [1.0, 0.1])
@pytest.mark.parametrize("vocabulary", [1, 64, 130])
def test_the_best_of_many_are_found_by_blocks(vocabulary, step):
    """Coarse numbers, so that most have equals, before or after rounding; whole beams of -inf."""
    width, count = 2_000 // vocabulary, 5
    random = np.random.default_rng(4)
    total = (random.integers(0, 40, (3, width, vocabulary)) * step).astype(np.float32)
    total[1, 1:] = -np.inf
    total[2] = 0.0
    more = (random.integers(0, 3, (3, width)) * step).astype(np.float32)
    got = search._largest(jnp.asarray(total), jnp.asarray(more), count)
    score, place = jax.lax.top_k((total + more[..., None]).reshape(3, -1), count)
    assert (
        width * vocabulary >= count * search.BY_BLOCKS
    )  # by blocks, but where a sequence has one continuation
    for one, other in zip(got, (score, place // vocabulary, place % vocabulary), strict=True):
        np.testing.assert_array_equal(one, other)
