import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse.neural.language import checkpoints, choosing, generation, models, padding, scoring
from simcollapse.neural.transformer import rotary

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = [[5], [7, 9, 3, 11, 30], [4, 4, 8], list(range(3, 13)), [12, 6]]


def loaded(name):
    made = checkpoints.load(GOLDEN / name)
    return made.config, made.params


@pytest.fixture(scope="module")
def model():
    return loaded("gemma2")


def plain_logits(model, text):
    """Of what follows each token, one text alone, no cache and no padding."""
    return np.asarray(models.module(*model)(jnp.asarray([text])))[0].astype(float)


def plain_greedy(model, prompt, most, stops):
    text, told = list(prompt), 0.0
    for _ in range(most):
        # One length for all, filled on the right with what is not seen: few compilations.
        logits = plain_logits(model, text + [0] * (32 - len(text)))[len(text) - 1]
        text.append(int(np.argmax(logits)))
        told += logits[text[-1]] - np.logaddexp.reduce(logits)
        if text[-1] in stops:
            return text[len(prompt) :], told, True
    return text[len(prompt) :], told, False


@pytest.mark.parametrize("name", [pytest.param("llama", marks=pytest.mark.slow), "gemma2"])
def test_greedy_answers_are_the_plain_ones(name):
    """Prompts of different lengths side by side, with a cache; some answers end by a stop, some by length."""
    model = loaded(name)
    free = [plain_greedy(model, prompt, 9, ())[0] for prompt in PROMPTS]
    stops = (free[0][3], free[1][2])
    got = generation.generate(*model, PROMPTS, 9, stops=stops, batch=3)
    wanted = [plain_greedy(model, prompt, 9, stops) for prompt in PROMPTS]
    assert got.tokens == [tokens for tokens, _, _ in wanted]
    assert got.stopped.tolist() == [stopped for _, _, stopped in wanted] and got.stopped.any()
    np.testing.assert_allclose(got.log_probability, [told for _, told, _ in wanted], rtol=1e-4, atol=1e-4)


def test_one_set_of_frequencies_for_all_texts_of_a_run():
    """RoPE that goes by length: an answer is scored by what it was drawn from, however long it became."""
    made, params = loaded("llama")
    rope = rotary.Rope(10_000.0, "dynamic", 4.0, original=16)
    made = dataclasses.replace(made, rope=rope, length=40)
    got = generation.generate(made, params, PROMPTS, 9, stops=(), batch=3)
    told = scoring.score(made, params, PROMPTS, got.tokens, batch=2).log_probability
    np.testing.assert_allclose(told, got.log_probability, rtol=1e-4, atol=1e-4)
    other = scoring.score(dataclasses.replace(made, length=24), params, PROMPTS, got.tokens, batch=2)
    assert np.abs(other.log_probability - told).max() > 1e-2
    with pytest.raises(ValueError, match="prompts must have at most 31 tokens, 1 of 1 have more"):
        generation.generate(made, params, [[5] * 32], 9)


def test_draws_do_not_depend_on_the_batch_and_scores_are_what_was_told(model):
    how = choosing.choosing(1.3, top_k=30, top_p=0.9)
    key = jax.random.key(3)
    got = generation.generate(*model, PROMPTS, 6, how, key=key, stops=(), batch=5)
    again = generation.generate(*model, PROMPTS, 6, how, key=key, stops=(), batch=2)
    assert got.tokens == again.tokens
    assert (
        got.tokens
        != generation.generate(*model, PROMPTS, 6, how, key=jax.random.key(4), stops=(), batch=5).tokens
    )
    told = scoring.score(*model, PROMPTS, got.tokens, batch=2)
    np.testing.assert_allclose(told.log_probability, got.log_probability, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(told.perplexity(), np.exp(-got.log_probability / 6), rtol=1e-4)


def test_scores_are_the_plain_ones(model):
    answers = [[3, 8], [], [30], [5, 6, 7, 8, 9], [2]]
    got = scoring.score(*model, PROMPTS, answers, batch=2)
    for n, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        text = [*prompt, *answer]
        logits = plain_logits(model, text + [0] * (32 - len(text)))
        told = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        wanted = sum(told[at - 1, text[at]] for at in range(len(prompt), len(text)))
        np.testing.assert_allclose(got.log_probability[n], wanted, rtol=1e-4, atol=1e-4)
    assert got.count.tolist() == [2, 0, 1, 5, 1]
    assert np.isnan(got.perplexity()[1]) and np.isfinite(np.delete(got.perplexity(), 1)).all()


def test_lengths_and_settings_compile_once_a_bucket():
    model, key = loaded("llama"), jax.random.key(0)
    generation._generate.clear_cache()
    for length, most, temperature, top_p in [(1, 3, 1.0, 0.9), (9, 16, 0.5, 0.5), (16, 7, 2.0, 0.7)]:
        how = choosing.choosing(temperature, top_p=top_p)
        generation.generate(*model, [[4] * length] * 3, most, how, key=key, stops=(2,), batch=2)
    assert generation._generate._cache_size() == 1
    generation.generate(*model, [[4] * 17], 3, how, key=key, stops=(2,), batch=2)
    assert generation._generate._cache_size() == 2
    scoring._score.clear_cache()
    for length in (1, 5, 14):
        scoring.score(*model, [[4] * length], [[5, 6]], batch=2)
    assert scoring._score._cache_size() == 1


# --- choosing a token ---

LOGITS = np.array([1.0, 3.0, -1.0, 3.0, 0.0, 2.5, 2.0], np.float32)


def exact(temperature, top_k, top_p):
    """Probabilities by the definition, in double precision."""
    share = np.exp(LOGITS.astype(float) / temperature)
    order = np.argsort(-share, kind="stable")[:top_k]
    kept = share[order] / share[order].sum()
    number = 1 + int(np.sum(np.cumsum(kept) < top_p)) if top_p < 1 else len(kept)
    out = np.zeros(len(LOGITS))
    out[order[:number]] = kept[:number] / kept[:number].sum()
    return out


@pytest.mark.parametrize("top_k", [1, 3, 7])
@pytest.mark.parametrize("top_p", [1e-6, 0.5, 0.85, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_restrictions_are_exact(temperature, top_k, top_p):
    token, best = choosing.restricted(jnp.asarray(LOGITS)[None], temperature, top_p, top_k)
    got = np.zeros(len(LOGITS))
    got[np.asarray(token[0])] = np.asarray(jax.nn.softmax(best[0]))
    np.testing.assert_allclose(got, exact(temperature, top_k, top_p), atol=1e-6)


def statistic(counts, share):
    """Pearson's, of the tokens with a share."""
    there = share > 0
    wanted = counts.sum() * share[there]
    return float(np.sum((counts[there] - wanted) ** 2 / wanted))


@pytest.mark.parametrize(
    ("kind", "top_k", "top_p"), [("plain", None, 1.0), ("restricted", 6, 0.9), ("restricted", None, 0.8)]
)
def test_draws_have_their_probabilities(kind, top_k, top_p):
    """Chi-squared with at most 6 degrees of freedom; 30 is exceeded with probability 4e-5 or less.

    A temperature of 1.5 taken for 1.2 would be seen: it adds 75 or more to the statistic of 20,000 draws.
    """
    number = 20_000
    keys = jax.random.split(jax.random.key(11), number)
    logits = jnp.broadcast_to(jnp.asarray(LOGITS), (number, len(LOGITS)))
    drawn = np.asarray(choosing.choose(keys, logits, 1.5, top_p, kind, top_k))
    counts = np.bincount(drawn, minlength=len(LOGITS))
    wanted = exact(1.5, top_k or len(LOGITS), top_p)
    assert counts[wanted == 0].sum() == 0
    assert statistic(counts, wanted) < 30
    assert statistic(counts, exact(1.2, top_k or len(LOGITS), top_p)) > 30


def test_greedy_takes_the_first_of_the_best():
    keys = jax.random.split(jax.random.key(0), 1)
    assert choosing.choose(keys, jnp.asarray(LOGITS)[None], 1.0, 1.0, "greedy", None).tolist() == [1]


# --- texts as arrays, and bad input ---


def test_buckets_grow_by_at_most_a_half():
    sizes = sorted({padding.bucket(n) for n in range(1, 1000)})
    assert sizes[:5] == [16, 24, 32, 48, 64]
    assert all(padding.bucket(n) >= n for n in range(1, 1000))
    assert padding.bucket(33, 40) == 40 and padding.bucket(40, 40) == 40


def test_batches_hold_every_text_once_on_the_right():
    seen = {}
    for part in padding.batches(PROMPTS, 2, 100):
        for row, place in enumerate(part.places):
            seen[int(place)] = part.tokens[row, part.begin[row] :].tolist()
    assert [seen[n] for n in range(len(PROMPTS))] == PROMPTS


def test_long_prompts_are_counted():
    cut = padding.fit_prompts(PROMPTS, 3, "truncate")
    assert cut.too_long == 2 and cut.prompts[1] == [3, 11, 30] and len(cut.prompts) == 5
    kept = padding.fit_prompts(PROMPTS, 3, "drop")
    assert kept.too_long == 2 and kept.places.tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match=r"at most 3 tokens, 2 of 5 have more \(the first is prompt 1\)"):
        padding.fit_prompts(PROMPTS, 3)
    with pytest.raises(ValueError, match="too_long must be one of"):
        padding.fit_prompts(PROMPTS, 3, "cut")


def test_bad_input():
    model = loaded("llama")
    with pytest.raises(ValueError, match="prompts must have at least 1 token each, number 1 has 0"):
        generation.generate(*model, [[3], []], 4)
    with pytest.raises(ValueError, match="tokens from 0 to 39, number 0 has 40"):
        generation.generate(*model, [[40]], 4)
    with pytest.raises(ValueError, match="at most 54 tokens, 1 of 1"):
        generation.generate(*model, [[4] * 55], 10)
    with pytest.raises(ValueError, match="key must be given"):
        generation.generate(*model, [[4]], 4, choosing.choosing(1.0))
    with pytest.raises(ValueError, match="answers must be as many as prompts, got 0 and 1"):
        scoring.score(*model, [[4]], [])
    for bad, words in (
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": 0}, "top_k"),
    ):
        with pytest.raises(ValueError, match=words):
            choosing.choosing(**bad)
