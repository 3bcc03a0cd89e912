import math

import numpy as np
import pytest

from simcollapse.neural.language import metrics


def test_rouge_on_words_that_can_be_counted():
    """Reference of 4 words; answers share 4, 2 and 0 of them."""
    references = ["the cat sat down"] * 3
    answers = ["the cat sat down", "the dog sat", ""]
    got = metrics.rouge(references, answers)
    precision, recall = 2 / 3, 2 / 4
    f = 2 * precision * recall / (precision + recall)
    np.testing.assert_allclose(got.rouge1, [1, f, 0])
    np.testing.assert_allclose(got.rougeL, [1, f, 0])
    np.testing.assert_allclose(got.rouge2, [1, 0, 0])
    np.testing.assert_array_equal(metrics.rouge_1(references, answers), got.rouge1)
    with pytest.raises(ValueError, match="answers must be as many as references"):
        metrics.rouge(["a"], [])


def test_distinct():
    assert metrics.distinct(["a b a", "a b"], 1) == 2 / 5
    assert metrics.distinct(["a b a", "a b"], 2) == 2 / 3  # a b, b a, a b
    assert math.isnan(metrics.distinct(["a", ""], 2))


class TestSelfBleu:
    """Against values worked out by hand from the formula."""

    def test_equal_texts_have_one_and_different_ones_little(self):
        assert metrics.self_bleu(["a b c d e"] * 4) == pytest.approx(1.0)
        apart = ["a b c d", "e f g h"]
        expected = np.exp(np.mean(np.log([0.5 / 4, 0.5 / 3, 0.5 / 2, 0.5 / 1])))
        assert metrics.self_bleu(apart) == pytest.approx(expected)

    def test_counts_are_clipped_by_the_other_texts(self):
        """'a a a b' against 'a b c d': unigrams 2 of 4, bigrams 1 of 3; backwards 2 of 4, 1 of 3."""
        assert metrics.self_bleu(["a a a b", "a b c d"], most=2) == pytest.approx(math.sqrt(2 / 4 * 1 / 3))

    def test_the_most_of_any_reference_counts_and_never_a_text_itself(self):
        """'a a' among 'a', 'a': one of its two is matched; the others are matched whole, shorter than none."""
        got = metrics.self_bleu(["a a", "a", "a"], most=1)
        assert got == pytest.approx((0.5 + 1 + 1) / 3)

    def test_short_texts_are_penalised_by_the_nearest_length(self):
        """'a b' against 'a b c d' alone: precision 1, penalty exp(1 - 4/2); backwards 2 of 4 and no penalty."""
        got = metrics.self_bleu(["a b", "a b c d"], most=1)
        assert got == pytest.approx((math.exp(-1) + 0.5) / 2)

    def test_sampling_and_edges(self):
        texts = [f"{i} {i + 1} {i + 2}" for i in range(50)]
        assert metrics.self_bleu(texts, sampled=10) == metrics.self_bleu(texts, sampled=10)
        assert metrics.self_bleu(texts, sampled=None) == metrics.self_bleu(texts, sampled=50)
        assert math.isnan(metrics.self_bleu(["alone"]))
        assert np.isfinite(metrics.self_bleu(["", "", "a"]))
