"""Text to tokens and back, by a `tokenizer.json` or by what a GGUF file says of its tokenizer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CONTROL, USER = 3, 4  # kinds of a token in a GGUF file that are never split


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

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of tokens, without special tokens such as the end of a text."""
        return self._tokenizer.decode_batch([list(map(int, row)) for row in tokens])

    def token(self, word: str) -> int | None:
        """The number of a token such as `<|im_end|>`; None: there is none."""
        return self._tokenizer.token_to_id(word)

    def check_fits(self, vocabulary: int) -> None:
        """Raise ValueError unless all tokens are below `vocabulary`."""
        most = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if most >= vocabulary:
            raise ValueError(
                f"the tokenizer must fit the model's vocabulary of {vocabulary} tokens, its largest token is {most}"
            )

    def save(self, path: Path) -> None:
        """Write a `tokenizer.json`."""
        self._tokenizer.save(str(path))


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


def from_gguf(facts: Mapping[str, Any]) -> Tokens:
    """The tokenizer that a GGUF file's metadata describe: byte-level pairs, as those of GPT-2, Llama 3, SmolLM.

    Raises:
        ValueError: another kind, which needs its `tokenizer.json` beside the file.
    """
    kind, split = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in _SPLITS:
        raise ValueError(
            f"the tokenizer of a GGUF file must be of kind 'gpt2' with a split of {sorted(_SPLITS)}, got {kind!r} with "
            f"{split!r}: put the model's tokenizer.json beside the file"
        )
    words = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    made = tokenizers.Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    made.pre_tokenizer = _SPLITS[split]()
    made.decoder = decoders.ByteLevel()
    kinds = facts.get("tokenizer.ggml.token_type", [1] * len(words))
    special = [word for word, k in zip(words, kinds, strict=True) if k == CONTROL]
    whole = [word for word, k in zip(words, kinds, strict=True) if k == USER]
    made.add_special_tokens([tokenizers.AddedToken(w, normalized=False, special=True) for w in special])
    made.add_tokens([tokenizers.AddedToken(w, normalized=False) for w in whole])
    return Tokens(made)


def _bytes(regex: bool):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def _digits():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _bytes(True)])


def _llama3():
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated"), _bytes(False)]
    )


_SPLITS = {
    "gpt-2": lambda: _bytes(True),
    "smollm": _digits,
    "llama-bpe": _llama3,
}
