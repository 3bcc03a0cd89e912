"""Model and texts of a run of `lm-loop`, read and counted."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcollapse import keys
from simcollapse.neural import pools
from simcollapse.neural.language import checkpoints, encoding, made, texts
from simcollapse.neural.language.base import base_model
from simcollapse.neural.language.checkpoints import Checkpoint
from simcollapse.neural.language.config import of_length
from simcollapse.neural.language.pipeline.settings import EMBEDDED, Settings
from simcollapse.neural.language.rows import Reader, prompts_of

Tree = Any
EMBEDDED_WIDTH, EMBEDDED_LAYERS, EMBEDDED_STEPS = 32, 2, 600
EMBEDDED_REAL = 400


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


def materials(s: Settings) -> Materials:
    """What the settings name.

    Raises:
        FileNotFoundError, ValueError, OSError: see `checkpoints.load`, `texts.read`, `encoding.encode`; too few texts.
    """
    return _embedded(s) if s.model == EMBEDDED else _read(s)


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
    )


def _read(s: Settings) -> Materials:
    checkpoint = checkpoints.load(s.model, s.precision)
    reader = checkpoint.tokens
    if reader is None:
        raise ValueError(f"{s.model} must have a tokenizer.json to read texts, it has none")
    decoder = checkpoint.config
    if s.generate.most >= decoder.context:
        raise ValueError(
            f"generate.most must be less than the model's context of {decoder.context} tokens, got {s.generate.most}"
        )
    width = s.width or decoder.context
    if width > decoder.context:
        raise ValueError(
            f"width must be at most the model's context of {decoder.context} tokens, got {width}"
        )
    decoder = of_length(decoder, width)
    if width <= s.generate.most:
        raise ValueError(f"width must be more than generate.most, {s.generate.most}, got {width}")
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
    real = real._replace(pairs=real.pairs[: s.n_real])
    end = decoder.stops[0] if decoder.stops else None
    start = encoding.start_of(loaded, reader, decoder.start)
    how = {"start": start, "end": end, "too_long": s.too_long, "empty": "drop"}
    encoded = [encoding.encode(part, reader, width, **how) for part in (real, held)]
    asked = _asked(s) if s.prompts else real
    room = width - s.generate.most
    fitted = encoding.encode_prompts(asked, reader, room, start=start, too_long=s.too_long)
    if not fitted.prompts:
        raise ValueError(
            f"no prompt of {len(asked.pairs):,} leaves room for an answer of {s.generate.most} tokens"
        )
    held_rows = _with_room(encoded[1].rows, room)
    if not pools.count(held_rows):
        raise ValueError(f"no held-out prompt leaves room for an answer of {s.generate.most} tokens")
    longest = max(
        int(encoded[0].rows["length"].max()), max(map(len, fitted.prompts)) + s.generate.most
    )  # what a row needs; the rest of the context would be zeros
    rows = {
        "tokens": encoded[0].rows["tokens"][:, :longest],
        "begin": encoded[0].rows["begin"],
        "length": encoded[0].rows["length"],
        "source": np.zeros(len(encoded[0].places), np.int32),
    }
    if rows["tokens"].shape[1] < longest:
        rows["tokens"] = np.pad(rows["tokens"], ((0, 0), (0, longest - rows["tokens"].shape[1])))
    marks = {*decoder.stops, *([] if decoder.start is None else [decoder.start])}
    told = (
        f"{real.source}: {pools.count(rows):,} real texts ({encoded[0].too_long:,} too long, "
        f"{encoded[0].empty:,} without a completion), {pools.count(held_rows):,} held out",
        f"{asked.source}: {len(fitted.prompts):,} prompts of {len(asked.pairs):,} ({fitted.too_long:,} too long)",
    )
    return Materials(
        checkpoint._replace(config=decoder),
        Reader(reader.decode, frozenset(marks)),
        rows,
        fitted.prompts,
        [asked.pairs[i].completion for i in fitted.places.tolist()],
        held_rows,
        s.generate.most,
        told,
    )


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


def _with_room(rows: Tree, room: int) -> Tree:
    """The rows whose prompts leave room for an answer."""
    kept = pools.take(rows, rows["begin"] <= room)
    return kept | {"source": np.zeros(pools.count(kept), np.int32)}


__all__ = ["Materials", "materials"]
