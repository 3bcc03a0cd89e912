"""Model and texts of a run of `lm-loop`, read and counted."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcollapse import keys
from simcollapse.neural import pools
from simcollapse.neural.language import checkpoints, encoding, made, texts
from simcollapse.neural.language.base import base_model
from simcollapse.neural.language.checkpoints import Checkpoint
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
    n_real = EMBEDDED_REAL if s.n_real is None else s.n_real
    drawn = made.sentences(keys.root(s.seed), n_real + s.held_out)
    rows, held = made.rows(drawn[:n_real]), made.rows(drawn[n_real:])
    return Materials(
        Checkpoint(decoder, base_model(decoder, EMBEDDED_STEPS), None),
        made.READER,
        rows,
        prompts_of(rows),
        made.READER.answers(rows),
        held,
        min(s.generate.most, made.MOST),
        (f"the embedded decoder; {n_real:,} sentences of the made language",),
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
    loaded = _texts(s)
    real, held = encoding.held_out(loaded, min(s.held_out, len(loaded.pairs) - 1), s.seed)
    if s.n_real is not None:
        real = real._replace(pairs=real.pairs[: s.n_real])
    width = s.width or decoder.context
    end = decoder.stops[0] if decoder.stops else None
    start = decoder.start if any(not pair.prompt for pair in loaded.pairs) else None
    how = {"start": start, "end": end, "too_long": s.too_long, "empty": "drop"}
    encoded = [encoding.encode(part, reader, width, **how) for part in (real, held)]
    asked = real
    if s.prompts:
        wanted = s.completion if s.correct.by == "rouge1" else ""
        asked = texts.read(s.prompts, texts.Template(s.prompt, wanted))
    room = min(width, decoder.context) - s.generate.most
    if room < 1:
        raise ValueError(f"width must be more than generate.most, {s.generate.most}, got {width}")
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
        checkpoint,
        Reader(reader.decode, frozenset(marks)),
        rows,
        fitted.prompts,
        [asked.pairs[i].completion for i in fitted.places.tolist()],
        held_rows,
        s.generate.most,
        told,
    )


def _texts(s: Settings) -> texts.Texts:
    if s.data in texts.KNOWN and not Path(s.data).exists():
        return texts.load(s.data, "train")
    return texts.read(s.data, texts.template(s.prompt, s.completion))


def _with_room(rows: Tree, room: int) -> Tree:
    """The rows whose prompts leave room for an answer."""
    kept = pools.take(rows, rows["begin"] <= room)
    return kept | {"source": np.zeros(pools.count(kept), np.int32)}


__all__ = ["Materials", "materials"]
