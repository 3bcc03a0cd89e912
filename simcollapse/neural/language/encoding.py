"""Pairs of texts as the rows of tokens that a fit takes (see `feeding`)."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from simcollapse.checks import check_choice, check_whole
from simcollapse.neural.language import padding
from simcollapse.neural.language.texts import Texts
from simcollapse.neural.language.tokens import Tokens

Tree = Any
EMPTY = ("error", "drop")


class Encoder(Protocol):
    """A tokenizer, such as `tokens.Tokens` or the module `grammar`."""

    def encode(self, texts: Sequence[str], /) -> list[list[int]]: ...  # the tokens of each, nothing added
    def encode_next(self, texts: Sequence[str], /) -> list[list[int]]: ...  # of texts that go on from another


class Encoded(NamedTuple):
    """Rows, and what became of the pairs that did not fit."""

    rows: Tree  # see `feeding`
    places: np.ndarray  # of the rows among the pairs given
    too_long: int  # pairs dropped or cut for their length
    empty: int  # pairs dropped for an empty completion


def encode_pairs(
    tokens: Encoder, prompts: Sequence[str], completions: Sequence[str]
) -> tuple[list[list[int]], list[list[int]]]:
    """The tokens of each prompt, and of its completion after it.

    Answers are written after the prompt's own tokens. So a completion's are what follows these in the joined text;
    where that begins otherwise, as a token reaches over the border, they are those of the completion alone.
    """
    before = tokens.encode(prompts)
    whole = tokens.encode([p + c for p, c in zip(prompts, completions, strict=True)])
    alone = tokens.encode_next(completions)
    after = [
        both[len(own) :] if both[: len(own)] == own else apart
        for own, both, apart in zip(before, whole, alone, strict=True)
    ]
    return before, after


def start_of(texts: Texts, tokens: Tokens, start: int | None) -> int | None:
    """The token that goes before each prompt, None: nothing.

    It is `start`, the model's, where the tokenizer itself puts it before texts (Llama 2 and 3, Gemma; not SmolLM), for
    such models know no text without it, or where a prompt is empty.
    """
    return start if start in tokens.first() or not all(pair.prompt for pair in texts.pairs) else None


def encode(
    texts: Texts,
    tokens: Encoder,
    width: int,
    *,
    start: int | None = None,
    end: int | None = None,
    too_long: str = "error",
    empty: str = "error",
    room: int = 0,
    narrow: bool = False,
) -> Encoded:
    """Rows of `width` tokens.

    Args:
        texts: pairs.
        tokens: the tokenizer; see `encode_pairs`.
        width: T, at most the model's context.
        start: token before each prompt; None: nothing. An empty prompt has no other token, and the first token of a
            text is never scored.
        end: token after each completion; None: nothing.
        too_long: what happens to longer pairs. "error"; "drop" leaves them out; "truncate" cuts the completion to the
            room that the prompt leaves, or half the width where that is more, then the prompt, see `encode_prompts`.
        empty: what happens to pairs whose completion has no token that can be scored. "error"; "drop".
        room: tokens that each row leaves for another answer to its prompt; a prompt that does not is too long.
        narrow: rows are as wide as the longest needs, not `width`.

    Raises:
        ValueError: a longer pair or an empty completion, where that is an error, or no pair that is left.
    """
    width = check_whole("width", width, 2)
    room = check_whole("room", room, 0, width - 1)
    check_choice("too_long", too_long, padding.TOO_LONG)
    check_choice("empty", empty, EMPTY)
    first = [] if start is None else [start]
    prompts, answers = encode_pairs(tokens, *([pair[i] for pair in texts.pairs] for i in (0, 1)))
    prompts = [first + prompt for prompt in prompts]
    unscored = np.array([len(p) + len(a) < 2 or not a for p, a in zip(prompts, answers, strict=True)], bool)
    if unscored.any() and empty == "error":
        raise ValueError(
            f"completions must have a token each that can be scored, {unscored.sum()} of {len(unscored)} have none "
            f"(the first is pair {int(np.argmax(unscored))}): leave them out with empty='drop'"
        )
    last = [] if end is None else [end]
    answers = [answer + last for answer in answers]
    length = np.array([len(p) + max(len(a), room) for p, a in zip(prompts, answers, strict=True)])
    longer = (length > width) & ~unscored
    if longer.any() and too_long == "error":
        beside = f" ({room} of them left after a prompt)" if room else ""
        raise ValueError(
            f"pairs must have at most {width} tokens{beside}, {longer.sum()} of {len(longer)} have more (the first is "
            f"pair {int(np.argmax(longer))}, with {length[np.argmax(longer)]}): drop or cut them with "
            "too_long='drop' or 'truncate'"
        )
    kept = ~unscored & (~longer if too_long == "drop" else True)
    tail = tokens.encode_next([texts.tail])[0]
    for i in np.flatnonzero(longer & kept).tolist():
        answers[i] = answers[i][: max(width - len(prompts[i]), width // 2)]
        prompts[i] = _cut(prompts[i], width - max(len(answers[i]), room), first, tail)
    places = np.flatnonzero(kept)
    if not len(places):
        raise ValueError(
            f"no pair of {len(kept)} is left: {unscored.sum()} are empty, {longer.sum()} are too long"
        )
    left = [(prompts[i], answers[i]) for i in places.tolist()]
    width = max(len(p) + max(len(a), room) for p, a in left) if narrow else width
    rows = rows_of([prompt for prompt, _ in left], [answer for _, answer in left], width)
    return Encoded(rows, places, int(longer.sum()), int(unscored.sum()))


def encode_prompts(
    texts: Texts, tokens: Encoder, most: int, *, start: int | None = None, too_long: str = "error"
) -> padding.Fitted:
    """Prompts of at most `most` tokens, to be continued.

    too_long "truncate" cuts a prompt before the words that its template ends with; where it ends with the text itself,
    at its beginning.

    Raises:
        ValueError: a longer one, where that is an error.
    """
    first = [] if start is None else [start]
    made = [first + text for text in tokens.encode([pair.prompt for pair in texts.pairs])]
    if too_long != "truncate":
        return padding.fit_prompts(made, most, too_long)
    most = check_whole("most", most, 1)
    tail = tokens.encode_next([texts.tail])[0]
    longer = sum(len(prompt) > most for prompt in made)
    return padding.Fitted([_cut(prompt, most, first, tail) for prompt in made], np.arange(len(made)), longer)


def rows_of(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], width: int) -> Tree:
    """Rows of pairs that fit into `width` tokens."""
    rows = np.zeros((len(prompts), width), np.int32)
    for row, prompt, answer in zip(rows, prompts, answers, strict=True):
        row[: len(prompt) + len(answer)] = [*prompt, *answer]
    begin = np.array([len(prompt) for prompt in prompts], np.int32)
    length = begin + np.array([len(answer) for answer in answers], np.int32)
    return {"tokens": rows, "begin": begin, "length": length}


def held_out(texts: Texts, number: int, seed: int = 0) -> tuple[Texts, Texts]:
    """The pairs that may be learned, and `number` held out, drawn by prompt without regard to their order.

    Of no prompt are there pairs in both parts. Where whole prompts do not make up the number, pairs of one more are
    held out and its others are in neither part. An empty prompt, or one that all pairs share, tells none apart: its
    pairs are drawn one by one.

    Raises:
        ValueError: `number` < 1 or not less than the pairs, or no prompt is left to learn from.
    """
    number = check_whole("number", number, 1, len(texts.pairs) - 1)
    order = np.random.default_rng(seed).permutation(len(texts.pairs)).tolist()
    same = _same_prompt(texts)
    groups = list(dict.fromkeys(same[place] for place in order))
    held, left = _dealt(groups, number)
    if not left:
        raise ValueError(
            f"held_out must leave a prompt to learn from, {texts.source} has {len(groups)} of them; got {number}"
        )

    def part(places: Sequence[int]) -> Texts:
        return texts._replace(pairs=[texts.pairs[i] for i in sorted(places)])

    return part(left), part(held)


def _same_prompt(texts: Texts) -> list[tuple[int, ...]]:
    """For each pair, the places of all with its prompt."""
    places: dict[Any, list[int]] = {}
    for place, pair in enumerate(texts.pairs):
        places.setdefault(pair.prompt or place, []).append(place)
    if len(places) == 1:
        return [(place,) for place in range(len(texts.pairs))]
    groups = {key: tuple(group) for key, group in places.items()}
    return [groups[pair.prompt or place] for place, pair in enumerate(texts.pairs)]


def _dealt(groups: list[tuple[int, ...]], number: int) -> tuple[list[int], list[int]]:
    """`number` places of groups, and the places of groups that have none among these.

    Of the first groups that fit whole; where such do not make up the number, of the first ones.
    """
    for part in (False, True):
        held, left = [], []
        for group in groups:
            room = number - len(held)
            if room >= len(group) or (part and room):
                held += group[:room]
            else:
                left += group
        if len(held) == number:
            break
    return held, left


def _cut(prompt: list[int], most: int, first: list[int], tail: list[int]) -> list[int]:
    """At most `most` tokens of a prompt, of which the template's last words stay."""
    if len(prompt) <= most:
        return prompt
    if not tail:
        return (first + prompt[-(most - len(first)) :] if most > len(first) else first)[:most]
    return (prompt[: most - len(tail)] if most > len(tail) else []) + tail[-most:]
