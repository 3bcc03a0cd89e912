import dataclasses

import jax
import numpy as np
import pytest

from simcollapse.neural.language import made, models, scoring, truths, verifiers
from simcollapse.neural.language.config import of_length
from simcollapse.neural.language.grammar import Sentence
from simcollapse.neural.language.rows import Reader, completions_of, prompts_of, rows_of
from simcollapse.neural.selection import threshold, top_share


class Texts:
    """What verifiers see of a task."""

    reader: Reader = made.READER
    references = (" sleeps.", " sees two dogs.")


DRAWN = [
    Sentence("a dog", " sleeps."),
    Sentence("every cat", " see two dogs."),  # does not agree
    Sentence("a dog", ""),
]
KEY = jax.random.key(0)


@pytest.fixture
def rows():
    return made.rows(DRAWN, np.array([0, 1, 0]))


def test_rows_are_read_back(rows):
    assert made.READER.prompts(rows) == [one.prompt for one in DRAWN]
    assert made.READER.answers(rows) == [one.answer for one in DRAWN]
    assert rows["length"].tolist() == [15, 25, 7] and rows["begin"].tolist() == [6, 10, 6]
    assert completions_of(rows)[2] == [10]  # an end alone is an empty answer


def test_parser_and_oracle_see_what_is_true(rows):
    np.testing.assert_array_equal(verifiers.Parser(Texts()).score(KEY, rows, None), [1, 0, 0])
    got = verifiers.Oracle(Texts()).score(KEY, rows, None)
    np.testing.assert_allclose(got, [1, 2 / 3, -np.inf])
    np.testing.assert_array_equal(top_share(1 / 3).keep(got, np.zeros(3, int)), [True, False, False])


def test_perplexity_is_of_the_generator_or_of_another_model(rows):
    config = made.decoder(16, 1)
    mine, other = (models.init(config, jax.random.key(i)) for i in range(2))
    told = scoring.score(config, mine, prompts_of(rows), completions_of(rows))
    own = verifiers.Perplexity(config).score(KEY, rows, mine)
    wanted = told.log_probability / told.count
    assert np.isfinite(wanted[2])  # an end alone is a token with a probability, and no answer
    np.testing.assert_allclose(own, [*wanted[:2], -np.inf], rtol=1e-6)
    weak = verifiers.Perplexity(config, other).score(KEY, rows, mine)
    np.testing.assert_array_equal(weak, verifiers.Perplexity(config).score(KEY, rows, other))
    assert not np.allclose(weak[:2], own[:2])
    nothing = rows_of([[10, 97]], [[]], 8)
    assert verifiers.Perplexity(config).score(KEY, nothing, mine)[0] == -np.inf


class Turned:
    """Bytes, each as the next number: a tokenizer unlike the generator's."""

    def encode(self, texts):
        return [[(byte + 1) % 256 for byte in text.encode()] for text in texts]

    encode_next = encode


def test_a_model_with_a_tokenizer_of_its_own_reads_the_texts(rows):
    """The same model with its vocabulary turned by one finds the same texts as probable."""
    config = made.decoder(16, 1)
    params = models.init(config, jax.random.key(1))
    wanted = verifiers.Perplexity(config, params).score(KEY, rows, None)
    np.testing.assert_array_equal(verifiers.Reread(Texts(), config, params).score(KEY, rows, None), wanted)
    words = {"embedding": np.roll(params["words"]["embedding"], 1, axis=0)}
    turned = dataclasses.replace(config, stops=(11,), start=11)
    how = {"tokens": Turned(), "start": 11}
    judge = verifiers.Reread(Texts(), turned, params | {"words": words}, **how)
    np.testing.assert_allclose(judge.score(KEY, rows, None), wanted, rtol=1e-5)
    assert wanted[2] == -np.inf and np.isfinite(wanted[:2]).all()
    # An answer that was cut has no end for the other model either.
    cut = rows | {"length": rows["length"] - np.array([1, 1, 0], np.int32)}
    wanted = verifiers.Perplexity(config, params).score(KEY, cut, None)
    np.testing.assert_allclose(judge.score(KEY, cut, None), wanted, rtol=1e-5)
    # Longer than it may read: the beginning of the prompt is not seen, the answer is.
    short = dataclasses.replace(judge, config=of_length(turned, 12))
    prompt, answer = prompts_of(rows)[0], completions_of(rows)[0]
    told = scoring.score(config, params, [prompt[-(12 - len(answer)) :]], [answer])
    assert len(prompt) + len(answer) > 12 > len(answer)
    np.testing.assert_allclose(
        short.score(KEY, rows, None)[0], told.log_probability[0] / len(answer), rtol=1e-5
    )


def test_random_is_uniform_and_depends_on_the_key(rows):
    many = {name: np.repeat(value, 300, axis=0) for name, value in rows.items()}
    got = verifiers.Random().score(KEY, many, None)
    assert got.min() >= 0 and got.max() < 1
    assert abs(got.mean() - 0.5) < 5 / np.sqrt(12 * 900)
    assert not np.array_equal(got, verifiers.Random().score(jax.random.key(1), many, None))


def test_rules(rows):
    np.testing.assert_array_equal(verifiers.length_rule(Texts(), 1, 2).score(KEY, rows, None), [1, 0, 0])
    np.testing.assert_array_equal(
        verifiers.pattern_rule(Texts(), r"two|\bslee").score(KEY, rows, None), [1, 1, 0]
    )
    with pytest.raises(ValueError, match="pattern must be a regular expression"):
        verifiers.pattern_rule(Texts(), "(")
    with pytest.raises(ValueError, match="most must"):
        verifiers.length_rule(Texts(), 3, 2)


def test_a_users_own_function(rows):
    def lengths(prompts, completions):
        assert prompts == [one.prompt for one in DRAWN]
        return [len(c) for c in completions]

    got = verifiers.Scored(Texts(), lengths).score(KEY, rows, None)
    np.testing.assert_array_equal(threshold(9).keep(got, np.zeros(3, int)), [False, True, False])
    for wrong, words in (
        ([1, 2], "one number for each of 3 answers"),
        ([1, 2, None], "got NaN for answer 2"),
        (["a", "b", "c"], "must give numbers"),
        ([[1, 2, 3]], "shape"),
    ):
        with pytest.raises(ValueError, match=words):
            verifiers.Scored(Texts(), lambda p, c, wrong=wrong: wrong).score(KEY, rows, None)


def test_truths():
    prompts = [one.prompt for one in DRAWN]
    answers = [one.answer for one in DRAWN]
    references = [" sleeps.", " sees two dogs.", "x"]
    np.testing.assert_array_equal(truths.Parsed().correct(prompts, answers, references), [True, False, False])
    np.testing.assert_array_equal(
        truths.Overlap(0.9).correct(prompts, answers, references), [True, False, False]
    )
    np.testing.assert_array_equal(
        truths.Overlap(0.5).correct(prompts, answers, references), [True, True, False]
    )
    np.testing.assert_array_equal(  # no word of the reference is never correct
        truths.Overlap(0.0).correct(prompts, ["red", "", " sleeps"], [" sleeps"] * 3), [False, False, True]
    )
    made_of = truths.overlap(references, answers, 0.5)
    assert made_of.least == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="one or more"):
        truths.overlap([], [], 0.5)
    with pytest.raises(ValueError, match="quantile"):
        truths.overlap(references, answers, 1.5)


class TestMadeLanguage:
    """The embedded default."""

    def test_a_smaller_number_of_sentences_are_the_first_of_a_larger_one(self):
        few, many = made.sentences(KEY, 5), made.sentences(KEY, 700)
        assert few == many[:5] and len(many) == 700
        assert all(truths.Parsed().correct([s.prompt for s in many], [s.answer for s in many], [""] * 700))
        assert max(len(one.answer) for one in many) < made.MOST
        assert made.rows(many)["length"].max() <= made.WIDTH

    def test_the_longest_prompt_and_answer_fit(self):
        longest = made.prompt_tokens("many small children")
        assert len(longest) + made.MOST == made.WIDTH

    def test_words_in_any_order_are_no_sentences(self):
        salad = made.salad(KEY, 300)
        assert np.mean(truths.Parsed().correct([""] * 300, salad, [""] * 300)) < 0.02
        assert {word for text in salad for word in text[:-1].split()} == set(made.WORDS)

    def test_the_loss_that_no_model_beats(self):
        """Against a prompt whose answers are counted: P(answer | prompt) = (1 - CLAUSE) (1 - OBJECT) / 2."""
        got = made.least_loss([Sentence("a small dog", " sleeps."), Sentence("two cats", " run.")])
        assert got == pytest.approx(-2 * np.log(0.8 * 0.5 * 0.5) / (9 + 6))
