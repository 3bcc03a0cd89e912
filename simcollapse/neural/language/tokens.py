"""Text to tokens and back, by a `tokenizer.json`."""

import functools
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

FEW = 0.5  # share of a model's vocabulary: padding, and tokens kept for later, are less


class Tokens:
    """A tokenizer that adds nothing to a text: no start, no end."""

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        if isinstance(texts, str):
            raise TypeError("texts must be a list of texts, got one text")
        return [made.ids for made in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode_next(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of texts that go on from another, before which the tokenizer puts no space of its own (Llama 2)."""
        return [made.ids for made in self._next.encode_batch(list(texts), add_special_tokens=False)]

    @functools.cached_property
    def _next(self) -> tokenizers.Tokenizer:
        made = json.loads(self._tokenizer.to_str())
        plain = {name: _unprefixed(made[name]) for name in ("normalizer", "pre_tokenizer")}
        if plain == {name: made[name] for name in plain}:
            return self._tokenizer
        return tokenizers.Tokenizer.from_str(json.dumps(made | plain))

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of tokens, without special tokens such as the end of a text."""
        return self._tokenizer.decode_batch([list(map(int, row)) for row in tokens])

    def first(self) -> list[int]:
        """What the tokenizer itself would put before a text, such as the mark of its beginning."""
        return self._tokenizer.encode("", add_special_tokens=True).ids

    def token(self, word: str) -> int | None:
        """The number of a token such as `<|im_end|>`; None: there is none."""
        return self._tokenizer.token_to_id(word)

    def same(self, other: "Tokens") -> bool:
        """Whether both make the same tokens of every text, as far as what they are made of tells."""
        return self._tokenizer.to_str() == other._tokenizer.to_str()

    def unknown(self) -> int | None:
        """The token of what it does not know; None: there is none, as where bytes stand for it."""
        word = getattr(self._tokenizer.model, "unk_token", None)
        return None if word is None else self.token(word)

    def check_fits(self, vocabulary: int) -> None:
        """Raise ValueError unless all tokens are below `vocabulary`; warn if they are few of those."""
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        most = max(known.values(), default=-1)
        if most >= vocabulary:
            raise ValueError(
                f"the tokenizer must fit the model's vocabulary of {vocabulary} tokens, its largest token is {most}"
            )
        if len(known) < FEW * vocabulary:
            warnings.warn(
                f"the tokenizer knows {len(known):,} tokens of the model's vocabulary of {vocabulary:,}: is it the "
                "model's?",
                stacklevel=2,
            )

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`."""
        self._tokenizer.save(str(path))


def _unprefixed(part: Any) -> Any:
    """What a `tokenizer.json` does to texts before they are split into tokens, but for a space that it puts first."""
    if part is None or part["type"] == "Prepend":
        return None
    out = dict(part)
    for name in ("normalizers", "pretokenizers"):
        if name in part:
            steps = (_unprefixed(step) for step in part[name])
            out[name] = [step for step in steps if step is not None]
    if part["type"] == "Metaspace":
        out["prepend_scheme"] = "never"
    if part["type"] == "ByteLevel":
        out["add_prefix_space"] = False
    return out


def from_file(path: str | Path) -> Tokens:
    """The tokenizer of a `tokenizer.json`.

    Raises:
        FileNotFoundError, ValueError: no such file, or not a tokenizer.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no tokenizer at {path}")
    try:
        return Tokens(tokenizers.Tokenizer.from_file(str(path)))
    except Exception as error:  # the library raises no narrower kind
        raise ValueError(f"{path} is no tokenizer.json: {error}") from None
