"""What answers are worth: overlap with references, and how varied they are among each other.

Words are what lies between spaces, except in ROUGE, which is the package `rouge-score`'s own: lower case, letters and
digits. A metric that is not defined (no words, one answer) is NaN.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rouge_score import rouge_scorer

from simcollapse.checks import check_whole

ROUGES = ("rouge1", "rouge2", "rougeL")
MOST = 4  # words of an n-gram of BLEU
SAMPLED = 300  # answers of self-BLEU
DESCRIPTIONS = {
    "rouge1": "mean F1 of ROUGE-1 of answers to held-out prompts against the references",
    "rouge2": "the same of ROUGE-2",
    "rougeL": "the same of ROUGE-L",
    "distinct_1": "different words over all words of the answers",
    "distinct_2": "different pairs of words over all pairs of the answers",
    "self_bleu": "mean BLEU of an answer against the others as references: near 1 if all are alike",
    "length": "mean length of an answer, tokens, its end included",
    "empty": "share of answers without a text",
    "cut": "share of answers cut at the most tokens",
}


class Rouge(NamedTuple):
    """F1 of N answers, each (N,)."""

    rouge1: np.ndarray
    rouge2: np.ndarray
    rougeL: np.ndarray


@functools.lru_cache(maxsize=4)
def _scorer(names: tuple[str, ...], stem: bool) -> rouge_scorer.RougeScorer:
    return rouge_scorer.RougeScorer(list(names), use_stemmer=stem)


def rouge(references: Sequence[str], answers: Sequence[str], *, stem: bool = False) -> Rouge:
    """ROUGE-1, -2 and -L of each answer against its reference; 0 for an empty one.

    Raises:
        ValueError: not as many references as answers.
    """
    found = _rouges(ROUGES, references, answers, stem)
    return Rouge(*found)


def rouge_1(references: Sequence[str], answers: Sequence[str], *, stem: bool = False) -> np.ndarray:
    """ROUGE-1 alone, (N,): the proxy of what a good answer is."""
    return _rouges(ROUGES[:1], references, answers, stem)[0]


def _rouges(names, references, answers, stem):
    if len(references) != len(answers):
        raise ValueError(f"answers must be as many as references, got {len(answers)} and {len(references)}")
    scorer = _scorer(tuple(names), stem)
    found = [scorer.score(*pair) for pair in zip(references, answers, strict=True)]
    return [np.array([one[name].fmeasure for one in found], float) for name in names]


def distinct(texts: Sequence[str], words: int) -> float:
    """Different runs of so many words over all of them, in all texts; NaN without any."""
    words = check_whole("words", words, 1)
    runs = [run for text in texts for run in _runs(text.split(), words)]
    return len(set(runs)) / len(runs) if runs else float("nan")


def self_bleu(
    texts: Sequence[str], *, most: int = MOST, sampled: int | None = SAMPLED, seed: int = 0
) -> float:
    """Mean BLEU of each text with all the others as its references; NaN for fewer than two texts.

    BLEU is the geometric mean over n = 1..`most` of clipped precision, an n without a match (or without n words)
    counting as one half of a match, times the brevity penalty against the reference nearest in length.
    Source: Papineni et al., 2002; smoothing 'exp' of sacreBLEU is gentler with long texts, this one with short.

    Args:
        texts: N.
        most: words of the longest n-gram.
        sampled: of this many texts, drawn without replacement with `seed`; None: of all.
    """
    most = check_whole("most", most, 1)
    chosen = [text.split() for text in texts]
    if sampled is not None and len(chosen) > sampled:
        places = np.random.default_rng(seed).choice(len(chosen), sampled, replace=False)
        chosen = [chosen[i] for i in sorted(places)]
    if len(chosen) < 2:
        return float("nan")
    logs = np.zeros(len(chosen))
    for words in range(1, most + 1):
        counts = [Counter(_runs(one, words)) for one in chosen]
        best = _best_two(counts)
        for i, mine in enumerate(counts):
            matched = sum(
                min(n, best[run][1] if best[run][2] == i else best[run][0]) for run, n in mine.items()
            )
            logs[i] += np.log(max(matched, 0.5) / max(sum(mine.values()), 1))
    lengths = np.array([len(one) for one in chosen])
    return float(np.mean(np.exp(logs / most) * _brevity(lengths)))


def _runs(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(length)), strict=False))


def _best_two(counts: Sequence[Counter]) -> dict:
    """Of each run of words the most that a text has of it, the most that another has, and the place of the first."""
    best: dict = {}
    for i, mine in enumerate(counts):
        for run, n in mine.items():
            first, second, holder = best.get(run, (0, 0, -1))
            best[run] = (n, first, i) if n > first else (first, max(second, n), holder)
    return best


def _brevity(lengths: np.ndarray) -> np.ndarray:
    """Penalty of each text, by the length among the others nearest to its own (of two, the shorter)."""
    out = np.ones(len(lengths))
    for i, mine in enumerate(lengths):
        others = np.delete(lengths, i)
        nearest = others[np.lexsort((others, np.abs(others - mine)))[0]]
        if mine < nearest:
            out[i] = np.exp(1 - nearest / max(mine, 1)) if mine else 0.0
    return out


def variety(texts: Sequence[str]) -> dict[str, float]:
    """distinct_1, distinct_2 and self_bleu of texts."""
    return {
        "distinct_1": distinct(texts, 1),
        "distinct_2": distinct(texts, 2),
        "self_bleu": self_bleu(texts),
    }
