"""Model and texts of a run of `lm-loop`, read and counted."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcollapse import keys
from simcollapse.neural import pools
from simcollapse.neural.language import checkpoints, encoding, made, texts
from simcollapse.neural.language.base import base_model
from simcollapse.neural.language.checkpoints import Checkpoint
from simcollapse.neural.language.config import Config, of_length
from simcollapse.neural.language.pipeline.judges import Judge, judge
from simcollapse.neural.language.pipeline.settings import EMBEDDED, Settings
from simcollapse.neural.language.rows import Reader, prompts_of

Tree = Any
EMBEDDED_WIDTH, EMBEDDED_LAYERS, EMBEDDED_STEPS = 32, 2, 600
EMBEDDED_REAL = 400
MANY = 0.1  # share of tokens that are not known at which something is wrong: a tokenizer's own texts have next to none


class Materials(NamedTuple):
    """What the loop is made of."""

    checkpoint: Checkpoint
    reader: Reader
    rows: Tree  # real ones of round 0
    prompts: list[list[int]]
    references: list[str]
    held_out: Tree
    most: int  # tokens of an answer
    told: tuple[str, ...]  # what became of texts that did not fit, and what the model is
    judge: Judge | None  # of rule "weak"
    counts: dict[str, dict[str, Any]]  # the same of "real", "held_out" and "prompts"; see `_counted`


def materials(s: Settings) -> Materials:
    """What the settings name.

    Raises:
        FileNotFoundError, ValueError, OSError: see `checkpoints.load`, `texts.read`, `encoding.encode`; too few texts.
    """
    made_of = _embedded(s) if s.model == EMBEDDED else _read(s)
    if s.verifier.rule != "weak":
        return made_of
    prompts = made_of.reader.texts(made_of.prompts)
    width = made_of.rows["tokens"].shape[1]
    other = judge(s.verifier.model, s.precision, made_of.checkpoint, prompts, width, made_of.most)
    return made_of._replace(judge=other, told=(*made_of.told, other.told))


def _embedded(s: Settings) -> Materials:
    decoder = made.decoder(EMBEDDED_WIDTH, EMBEDDED_LAYERS)
    n_real, most = EMBEDDED_REAL if s.n_real is None else s.n_real, min(s.generate.most, made.MOST)
    drawn = made.sentences(keys.root(s.seed), n_real + s.held_out)
    rows, held = made.rows(drawn[:n_real]), made.rows(drawn[n_real:])
    return Materials(
        Checkpoint(decoder, base_model(decoder, EMBEDDED_STEPS), None),
        made.READER,
        rows,
        prompts_of(rows),
        made.READER.answers(rows),
        held,
        most,
        (
            f"the embedded decoder; {n_real:,} sentences of the made language, answers of at most {most} bytes",
        ),
        None,
        {
            name: _counted("the made language", number, number)
            for name, number in (("real", n_real), ("held_out", s.held_out), ("prompts", n_real))
        },
    )


def _read(s: Settings) -> Materials:
    checkpoint = checkpoints.load(s.model, s.precision)
    reader, decoder = checkpoint.tokens, checkpoint.config
    if reader is None:
        raise ValueError(f"{s.model} must have a tokenizer.json to read texts, it has none")
    width = _width(s, decoder)
    real, held, beside = _dealt(s)
    asked = _asked(s) if s.prompts else real
    every = real._replace(pairs=[*real.pairs, *held.pairs, *asked.pairs])
    start = encoding.start_of(every, reader, decoder.start)
    if start is None and not all(pair.prompt for pair in every.pairs):
        raise ValueError(
            f"prompts must not be empty for {s.model}, whose config.json names no token that begins a text "
            "(bos_token_id)"
        )
    end = decoder.stops[0] if decoder.stops else None
    how: dict[str, Any] = {
        "start": start,
        "end": end,
        "too_long": s.too_long,
        "empty": "drop",
        "narrow": True,
    }
    learned = encoding.encode(real, reader, width, **how)
    measured = encoding.encode(held, reader, width, room=s.generate.most, **how)
    fitted = encoding.encode_prompts(asked, reader, width - s.generate.most, start=start, too_long=s.too_long)
    if not fitted.prompts:
        raise ValueError(
            f"no prompt of {len(asked.pairs):,} leaves room for an answer of {s.generate.most} tokens"
        )
    _check_known(s.model, reader.unknown(), fitted.prompts, learned.rows, () if start is None else (start,))
    longest = max(learned.rows["tokens"].shape[1], max(map(len, fitted.prompts)) + s.generate.most)
    cut = " and cut" if s.too_long == "truncate" else ""
    told = (
        f"{real.source}: {len(learned.places):,} real texts ({_lost(learned, cut)}), {len(measured.places):,} held out "
        f"({_lost(measured, cut)})" + (f", {beside:,} left out whose prompts are held out" if beside else ""),
        f"{asked.source}: {len(fitted.prompts):,} prompts of {len(asked.pairs):,} ({fitted.too_long:,} too long{cut})",
    )
    marks = {*decoder.stops, *([] if decoder.start is None else [decoder.start])}
    return Materials(
        checkpoint._replace(
            config=of_length(decoder, s.width or max(longest, measured.rows["tokens"].shape[1]))
        ),
        Reader(reader.decode, frozenset(marks)),
        _with_source(learned.rows | {"tokens": _widened(learned.rows["tokens"], longest)}),
        fitted.prompts,
        [asked.pairs[i].completion for i in fitted.places.tolist()],
        _with_source(measured.rows),
        s.generate.most,
        told,
        None,
        {
            "real": _counted(
                real.source, len(real.pairs), len(learned.places), learned.too_long, learned.empty, cut
            ),
            "held_out": _counted(
                held.source, len(held.pairs), len(measured.places), measured.too_long, measured.empty, cut
            ),
            "prompts": _counted(asked.source, len(asked.pairs), len(fitted.prompts), fitted.too_long, 0, cut),
        },
    )


def _width(s: Settings, decoder: Config) -> int:
    """Tokens of prompt and answer at most."""
    context = f"the model's context of {decoder.context} tokens"
    if s.generate.most >= decoder.context:
        raise ValueError(f"generate.most must be less than {context}, got {s.generate.most}")
    width = s.width or decoder.context
    if width > decoder.context:
        raise ValueError(f"width must be at most {context}, got {width}")
    if width <= s.generate.most:
        raise ValueError(f"width must be more than generate.most, {s.generate.most}, got {width}")
    return width


def _dealt(s: Settings) -> tuple[texts.Texts, texts.Texts, int]:
    """Real texts, those held out, and how many are neither."""
    loaded = _texts(s)
    there = len(loaded.pairs)
    if s.held_out >= there:
        raise ValueError(
            f"held_out must be less than the {there:,} texts of {loaded.source}, got {s.held_out}"
        )
    real, held = encoding.held_out(loaded, s.held_out, s.seed)
    if s.n_real is not None and s.n_real > len(real.pairs):
        raise ValueError(
            f"n_real must be at most {len(real.pairs):,}, the texts of {loaded.source} that are not held out, got "
            f"{s.n_real}"
        )
    beside = there - len(real.pairs) - len(held.pairs)
    return real._replace(pairs=real.pairs[: s.n_real]), held, beside


def _check_known(
    model: str, unknown: int | None, prompts: Sequence[Sequence[int]], rows: Tree, marks: Sequence[int]
):
    """Warn where many tokens of the texts are the unknown one.

    Raises:
        ValueError: all tokens of all prompts are.
    """
    if unknown is None:
        return
    words = {token for prompt in prompts for token in prompt if token not in marks}
    if words == {unknown}:
        raise ValueError(
            f"prompts must have words that the tokenizer of {model} knows, in {len(prompts):,} of them it knows none"
        )
    there = np.arange(rows["tokens"].shape[1]) < rows["length"][:, None]
    share = np.mean(rows["tokens"][there] == unknown)
    if share > MANY:
        warnings.warn(
            f"the tokenizer of {model} does not know {share:.0%} of what it reads of the real texts",
            stacklevel=2,
        )


def _lost(encoded: encoding.Encoded, cut: str) -> str:
    return f"{encoded.too_long:,} too long{cut}, {encoded.empty:,} without a completion"


def _counted(
    source: str, given: int, used: int, too_long: int = 0, empty: int = 0, cut: Any = False
) -> dict[str, Any]:
    """Of a part's texts: how many were given and used, cut or dropped for their length, dropped without completion."""
    return {
        "source": source,
        "given": given,
        "used": used,
        "cut": too_long if cut else 0,
        "dropped_too_long": 0 if cut else too_long,
        "dropped_empty": empty,
    }


def _widened(tokens: np.ndarray, width: int) -> np.ndarray:
    return np.pad(tokens, ((0, 0), (0, width - tokens.shape[1])))


def _texts(s: Settings) -> texts.Texts:
    own = texts.template(s.prompt, s.completion)
    if s.data in texts.KNOWN and not Path(s.data).exists():
        return texts.load(s.data, "train", template=None if own == texts.PLAIN else own)
    return texts.read(s.data, own)


def _asked(s: Settings) -> texts.Texts:
    """The prompts of their own file, with references where it has them or something needs them."""
    needed = s.correct.by == "rouge1" or s.verifier.rule == "oracle"
    own = texts.Template(s.prompt, s.completion)
    if not needed and not set(texts.Template("", s.completion).columns()) <= texts.columns(s.prompts):
        own = own._replace(completion="")
    asked = texts.read(s.prompts, own)
    if needed and not any(pair.completion.strip() for pair in asked.pairs):
        raise ValueError(
            f"{asked.source} must have references, which ROUGE-1 needs (correct.by 'rouge1', verifier.rule 'oracle'): "
            f"its completions {s.completion!r} are all empty"
        )
    return asked


def _with_source(rows: Tree) -> Tree:
    """Real rows as rows of the loop: of none of the prompts that are answered."""
    return rows | {"source": np.zeros(pools.count(rows), np.int32)}


__all__ = ["Materials", "materials"]
