"""The tokenizer that a GGUF file's metadata describe, of one of two kinds.

"gpt2": pairs of bytes are merged, in a listed order (GPT-2, Llama 3, SmolLM). "llama": pieces of text are merged, the
one of the best score first, as SentencePiece does (Llama 2, Gemma).
"""

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from simcollapse.neural.language.tokens import Tokens

LLAMA3 = "llama-bpe"  # the split of Llama 3, which also puts a mark before texts
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6  # kinds of a token in a GGUF file
SPACE = "▁"  # what SentencePiece writes for one


def tokens_of(facts: Mapping[str, Any]) -> Tokens:
    """The tokenizer that these metadata describe.

    Raises:
        ValueError: another kind or split, which needs its `tokenizer.json` beside the file; what the kind needs is
            missing.
    """
    kind, split = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre")
    if kind == "gpt2" and split in _SPLITS:
        made = _byte_pairs(facts, split)
    elif kind == "llama":
        made = _pieces(facts)
    else:
        raise ValueError(
            f"the tokenizer of a GGUF file must be of kind 'llama', or 'gpt2' with a split of {sorted(_SPLITS)}, got "
            f"{kind!r} with {split!r}: put the model's tokenizer.json beside the file"
        )
    words, kinds = _words(facts)
    special = [word for word, k in zip(words, kinds, strict=True) if k == CONTROL]
    whole = [word for word, k in zip(words, kinds, strict=True) if k == USER]
    made.add_special_tokens([tokenizers.AddedToken(w, normalized=False, special=True) for w in special])
    # SentencePiece looks for them once spaces are replaced; not with a prefix, which they would be given too
    replaced = kind == "llama" and not _prefixed(facts)
    made.add_tokens([tokenizers.AddedToken(w, normalized=replaced) for w in whole])
    start = facts.get("tokenizer.ggml.bos_token_id")
    if start is not None and facts.get("tokenizer.ggml.add_bos_token", kind == "llama" or split == LLAMA3):
        word = words[start]
        made.post_processor = processors.TemplateProcessing([word, "$A"], special_tokens=[(word, start)])
    return Tokens(made)


def _words(facts) -> tuple[list[str], list[int]]:
    """The tokens, and the kind of each."""
    words = list(_fact(facts, "tokens"))
    return words, list(facts.get("tokenizer.ggml.token_type", [NORMAL] * len(words)))


def _fact(facts, name):
    if f"tokenizer.ggml.{name}" not in facts:
        raise ValueError(
            f"a GGUF file must say tokenizer.ggml.{name} in its metadata, or have tokenizer.json beside"
        )
    return facts[f"tokenizer.ggml.{name}"]


def _byte_pairs(facts, split: str) -> tokenizers.Tokenizer:
    words, _ = _words(facts)
    merges = [tuple(merge.split(" ", 1)) for merge in _fact(facts, "merges")]
    vocabulary = {word: i for i, word in enumerate(words)}
    # Llama 3 takes a word that is a token whole, whatever the merges
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=split == LLAMA3))
    made.pre_tokenizer = _SPLITS[split]()
    made.decoder = decoders.ByteLevel()
    return made


def _pieces(facts) -> tokenizers.Tokenizer:
    """Of two neighbours that make a piece, those of the piece with the best score become one; bytes where none fits.

    With a prefix, a space is put before the text, and before what follows a special token or one that is never split,
    as llama.cpp does (SentencePiece: before the text alone). Source of the rule: Kudo and Richardson 2018.
    """
    words, kinds = _words(facts)
    scores = _fact(facts, "scores")
    vocabulary = {word: i for i, word in enumerate(words)}
    pieces = {word for word, kind in zip(words, kinds, strict=True) if kind == NORMAL}
    merges = [
        (scores[vocabulary[piece]], piece[:cut], piece[cut:])
        for piece in sorted(pieces, key=vocabulary.__getitem__)
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    merges.sort(key=lambda merge: -merge[0])
    unknown = [word for word, kind in zip(words, kinds, strict=True) if kind == UNKNOWN]
    made = tokenizers.Tokenizer(
        models.BPE(
            vocabulary,
            [(left, right) for _, left, right in merges],
            unk_token=unknown[0] if unknown else None,
            fuse_unk=True,
            byte_fallback=kinds.count(BYTE) == 256,
        )
    )
    prefixed = _prefixed(facts)
    replaced = normalizers.Replace(" ", SPACE)
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replaced]) if prefixed else replaced
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefixed else steps)
    return made


def _prefixed(facts) -> bool:
    return bool(facts.get("tokenizer.ggml.add_space_prefix", True))


def _bytes(regex: bool):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def _digits():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _bytes(True)])


def _llama3():
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tokenizers.Regex(LLAMA3_SPLIT), "isolated"), _bytes(False)]
    )


_SPLITS = {
    "gpt-2": lambda: _bytes(True),
    "smollm": _digits,
    LLAMA3: _llama3,
}
