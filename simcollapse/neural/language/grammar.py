"""A made language whose truth a parser decides, as default data that need no network.

    sentence -> thing(n) deed(n) .
    thing(n) -> determiner(n) [adjective] noun(n) [that deed(n)]
    deed(n)  -> intransitive(n) | transitive(n) thing(m)

A noun and its verbs agree in number n, however long the clause between them is. Every sentence has one derivation, so
its probability is exact. Texts are bytes; a newline begins and ends each.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from simcollapse.checks import check_whole

VOCABULARY, NEWLINE = 256, 10

# Of each kind the words of the singular, and of the plural.
DETERMINERS = (("a", "every"), ("two", "many"))
NOUNS = (("dog", "cat", "bird", "child"), ("dogs", "cats", "birds", "children"))
INTRANSITIVE = (("runs", "sleeps"), ("run", "sleep"))
TRANSITIVE = (("sees", "likes"), ("see", "like"))
ADJECTIVES = ("small", "old", "red")

ADJECTIVE, CLAUSE, OBJECT = 0.3, 0.2, 0.5  # probabilities; clauses end, as CLAUSE * OBJECT < 1


class Sentence(NamedTuple):
    """A true sentence in two parts: up to the first noun, and the rest, which must agree with it."""

    prompt: str
    answer: str


def draw(key: jax.Array, number: int) -> list[Sentence]:
    """Independent sentences of the language.

    Raises:
        ValueError, TypeError: `number` is not a whole number >= 1.
    """
    number = check_whole("number", number, 1)
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    return [_sentence(random) for _ in range(number)]


def correct(text: str) -> bool:
    """Whether `text` is a sentence of the language."""
    return log_probability(text) > -math.inf


def log_probability(text: str) -> float:
    """Log-probability that `draw` gives `text`, nats; -inf for what is no sentence."""
    if not text.endswith(".") or text != text.strip():
        return -math.inf
    words = text[:-1].split(" ")
    try:
        number, told, at = _thing(words, 0)
        more, at = _deed(words, at, number)
    except (_NoSentence, RecursionError):  # hundreds of clauses in each other, which no draw has
        return -math.inf
    return told + more if at == len(words) else -math.inf


def entropy() -> float:
    """Mean of -log_probability over sentences, nats a sentence: no model has a lower loss on new ones.

    H(thing) = a + CLAUSE H(deed) and H(deed) = b + OBJECT H(thing), a and b being the entropies of their own choices.
    A number is chosen in an object and at the start: once a thing, so it counts in a.
    """
    own = math.log(2) + math.log(2) + _coin(ADJECTIVE) + ADJECTIVE * math.log(len(ADJECTIVES)) + math.log(4)
    a, b = own + _coin(CLAUSE), _coin(OBJECT) + math.log(2)
    thing = (a + CLAUSE * b) / (1 - CLAUSE * OBJECT)
    return thing + b + OBJECT * thing


def encode(texts: Sequence[str]) -> list[list[int]]:
    """Bytes of each text."""
    return [list(text.encode()) for text in texts]


encode_next = encode  # a byte is the same wherever it stands


def decode(tokens: Sequence[Sequence[int]]) -> list[str]:
    """The text of each row of bytes; bytes that are no text become the replacement sign, so never a sentence."""
    return [bytes(row).decode(errors="replace") for row in tokens]


class _NoSentence(Exception):
    """Words that no rule gives."""


def _coin(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log1p(-p)


def _sentence(random: np.random.Generator) -> Sentence:
    number = int(random.integers(2))
    start = _start_of_thing(random, number)
    rest = [*_rest_of_thing(random, number), *_some_deed(random, number)]
    return Sentence(" ".join(start), f" {' '.join(rest)}.")


def _start_of_thing(random: np.random.Generator, number: int) -> list[str]:
    described = [_any(random, ADJECTIVES)] if random.random() < ADJECTIVE else []
    return [_any(random, DETERMINERS[number]), *described, _any(random, NOUNS[number])]


def _rest_of_thing(random: np.random.Generator, number: int) -> list[str]:
    return ["that", *_some_deed(random, number)] if random.random() < CLAUSE else []


def _some_deed(random: np.random.Generator, number: int) -> list[str]:
    if random.random() >= OBJECT:
        return [_any(random, INTRANSITIVE[number])]
    other = int(random.integers(2))
    return [
        _any(random, TRANSITIVE[number]),
        *_start_of_thing(random, other),
        *_rest_of_thing(random, other),
    ]


def _any(random: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(random.integers(len(words)))]


def _thing(words: list[str], at: int) -> tuple[int, float, int]:
    """Number and log-probability of the thing that begins at place `at`, and the place after it."""
    number = int(_word(words, at) in DETERMINERS[1])
    told = -math.log(2) + _one_of(words, at, DETERMINERS[number])
    if _word(words, at + 1) in ADJECTIVES:
        at, told = at + 1, told + math.log(ADJECTIVE / len(ADJECTIVES))
    else:
        told += math.log1p(-ADJECTIVE)
    told += _one_of(words, at + 1, NOUNS[number])
    if _word(words, at + 2) != "that":
        return number, told + math.log1p(-CLAUSE), at + 2
    more, at = _deed(words, at + 3, number)
    return number, told + math.log(CLAUSE) + more, at


def _deed(words: list[str], at: int, number: int) -> tuple[float, int]:
    """Log-probability of the deed that begins at place `at`, and the place after it."""
    if _word(words, at) in INTRANSITIVE[number]:
        return math.log1p(-OBJECT) + _one_of(words, at, INTRANSITIVE[number]), at + 1
    told = math.log(OBJECT) + _one_of(words, at, TRANSITIVE[number])
    _, more, at = _thing(words, at + 1)
    return told + more, at


def _word(words: list[str], at: int) -> str:
    return words[at] if at < len(words) else ""


def _one_of(words: list[str], at: int, known: tuple[str, ...]) -> float:
    if _word(words, at) not in known:
        raise _NoSentence
    return -math.log(len(known))
