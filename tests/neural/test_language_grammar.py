import itertools
import math

import jax
import numpy as np
import pytest

from simcollapse.neural.language import grammar

NUMBER = 20_000
DRAWN = [s.prompt + s.answer for s in grammar.draw(jax.random.key(1), NUMBER)]


def test_what_is_drawn_is_correct():
    assert all(grammar.correct(text) for text in DRAWN)
    assert any("that" in text for text in DRAWN) and max(map(len, DRAWN)) > 100


@pytest.mark.parametrize(
    "text",
    [
        "a dog run.",
        "two dogs runs.",
        "a dogs run.",
        "a dog that see two cats runs.",
        "a dog that sees two cats run.",  # agrees with the nearest noun only
        "a dog sees.",
        "a dog runs a cat.",
        "a dog runs",
        "a dog runs. ",
        "a  dog runs.",
        "a old small dog runs.",
        "a dog that runs that sleeps runs.",
        "a dog runs.\n",
        "",
        ".",
        "that " * 5_000 + ".",
        "a dog that sees " * 5_000 + ".",
    ],
)
def test_what_is_no_sentence(text):
    assert not grammar.correct(text)
    assert grammar.log_probability(text) == -math.inf


def test_a_verb_of_the_other_number_is_seen_anywhere():
    swap = {}
    for one, many in (grammar.INTRANSITIVE, grammar.TRANSITIVE):
        swap |= dict(zip(one, many, strict=True)) | dict(zip(many, one, strict=True))
    for text in DRAWN[:500]:
        words = text[:-1].split(" ")
        for i, word in enumerate(words):
            if word in swap:
                assert not grammar.correct(" ".join([*words[:i], swap[word], *words[i + 1 :]]) + ".")


def test_probabilities_of_short_sentences_are_those_of_the_draws():
    """All sentences of three words, found by trying all words, against their share among the draws.

    The rule gives P = P(no adjective) P(no clause) P(no object); the share is within 5 standard errors but once in
    1.7 million. Leaving out the clause's factor 0.8 would be off by 30.
    """
    words = {
        *itertools.chain(*grammar.DETERMINERS, *grammar.NOUNS, *grammar.INTRANSITIVE, *grammar.TRANSITIVE),
        *grammar.ADJECTIVES,
        "that",
    }
    told = [grammar.log_probability(" ".join(x) + ".") for x in itertools.product(sorted(words), repeat=3)]
    total = float(np.exp(told).sum())
    np.testing.assert_allclose(total, 0.7 * 0.8 * 0.5, rtol=1e-12)
    share = np.mean([text.count(" ") == 2 for text in DRAWN])
    assert abs(share - total) < 5 * math.sqrt(total * (1 - total) / NUMBER)


def test_the_entropy_is_the_mean_of_the_draws():
    """Within 5 standard errors: 1 in 1.7 million. Forgetting the adjective's coin (0.61 nats a thing) would be seen."""
    told = -np.array([grammar.log_probability(text) for text in DRAWN])
    error = told.std() / math.sqrt(NUMBER)
    assert abs(told.mean() - grammar.entropy()) < 5 * error
    assert 5 * error < 0.2


def test_bytes():
    assert grammar.encode(["a.", ""]) == [[97, 46], []]
    assert grammar.decode([[97, 46], [255]]) == ["a.", "�"]
    first, again = (grammar.draw(jax.random.key(5), 3) for _ in range(2))
    assert first == again != grammar.draw(jax.random.key(6), 3)
    assert first[0].answer.startswith(" ") and first[0].prompt.split(" ")[-1] in sum(grammar.NOUNS, ())
    with pytest.raises(ValueError, match="number must be a whole number >= 1, got 0"):
        grammar.draw(jax.random.key(0), 0)
