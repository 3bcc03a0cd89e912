"""Where a run's model and texts are from: embedded, or a checkpoint and real texts."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from simcollapse import keys
from simcollapse.neural import pools
from simcollapse.neural.language import checkpoints as published
from simcollapse.neural.language import encoding, grammar, made, models, texts
from simcollapse.neural.language.base import base_model
from simcollapse.neural.language.config import Config as Decoder
from simcollapse.neural.language.config import of_length
from simcollapse.neural.language.rows import Reader, prompts_of
from simcollapse.reproduce.language.settings import MADE, Config, reduced

Tree = Any
HELD_OUT_SEED = 2**31 - 1


class Deal(NamedTuple):
    """The texts of one chain."""

    rows: Tree  # those that the generator is tuned on
    prompts: list[list[int]]  # that are answered
    references: list[str]
    others: Tree  # real rows besides those


@dataclasses.dataclass(frozen=True)
class Source:
    """Model and texts of a run."""

    decoder: Decoder
    base: Tree  # None: fits start from fresh parameters
    reader: Reader
    rows: Tree  # all real ones; None: drawn from the made language
    held_out: Tree
    most: int  # tokens of an answer
    floor: float  # loss that no model beats; NaN where it is not known
    words: str  # where the texts are from
    told: tuple[str, ...] = ()  # how many fit, and what became of others

    def deal(self, key: jax.Array, config: Config) -> Deal:
        """The texts of a chain: `n_prompts` with a prompt each, the first `n_real` of them real rows, and others."""
        wanted = config.texts
        rows = _made_rows(key, wanted, config.whole) if self.rows is None else self._dealt(key, wanted)
        mine = pools.take(rows, np.arange(config.n_prompts))
        mine = mine | {"source": np.arange(config.n_prompts, dtype=np.int32)}
        others = pools.take(rows, np.arange(config.n_prompts, wanted))
        return Deal(
            pools.take(mine, np.arange(config.n_real)), prompts_of(mine), self.reader.answers(mine), others
        )

    def _dealt(self, key, wanted):
        random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
        order = random.permutation(pools.count(self.rows))
        return pools.take(self.rows, order[:wanted])


def source(config: Config, *, trained: bool = True) -> tuple[Source, Config]:
    """The embedded decoder with the made language, or the checkpoint and texts that are named.

    And the configuration, `settings.reduced` where there are too few texts. Without `trained` the embedded decoder's
    base model has fresh parameters, which are enough to time it.
    """
    return (_embedded(config, trained), config) if config.data == MADE else _real(config)


def _embedded(config: Config, trained: bool) -> Source:
    decoder = made.decoder(config.width, config.layers)
    drawn = made.sentences(keys.root(HELD_OUT_SEED), config.held_out)
    if config.whole:
        held = made.whole_rows([one.prompt + one.answer for one in drawn])
        floor = -float(np.sum([grammar.log_probability(o.prompt + o.answer) for o in drawn]))
        floor /= float(np.sum(held["length"] - held["begin"]))
        return Source(decoder, None, made.READER, None, held, made.WIDTH - 1, floor, "the made language")
    base = base_model(decoder, config.base_steps) if trained else models.init(decoder, keys.root(config.seed))
    held, floor = made.rows(drawn), made.least_loss(drawn)
    return Source(decoder, base, made.READER, None, held, made.MOST, floor, "the made language")


def _made_rows(key: jax.Array, number: int, whole: bool) -> Tree:
    drawn = made.sentences(key, number)
    return made.whole_rows([one.prompt + one.answer for one in drawn]) if whole else made.rows(drawn)


def _real(config: Config) -> tuple[Source, Config]:
    loaded = published.load(config.checkpoint, config.fit.precision)
    if loaded.tokens is None:
        raise ValueError(f"{config.checkpoint} must have a tokenizer.json to read texts, it has none")
    decoder = loaded.config
    if decoder.context < config.tokens:
        raise ValueError(
            f"{config.checkpoint} must have a context of at least {config.tokens} tokens, which a text may have here, "
            f"it has {decoder.context}"
        )
    decoder = of_length(decoder, config.tokens)
    train, held = _read(config)
    end = decoder.stops[0] if decoder.stops else None
    marks = {*decoder.stops, *([] if decoder.start is None else [decoder.start])}
    every = train._replace(pairs=[*train.pairs, *held.pairs])
    start = encoding.start_of(every, loaded.tokens, decoder.start)
    made_rows, told = [], []
    for part in (train, held):
        got = encoding.encode(
            part,
            loaded.tokens,
            config.tokens,
            start=start,
            end=end,
            too_long=config.too_long,
            empty="drop",
            room=config.answer,
        )
        told.append(
            f"{part.source}: {len(got.places):,} of {len(part.pairs):,} texts; {got.too_long:,} too long"
            f"{' and cut' if config.too_long == 'truncate' else ''}, {got.empty:,} empty"
        )
        print(told[-1], file=sys.stderr, flush=True)
        made_rows.append(got.rows)
    remedy = "give a file with more" if Path(config.data).suffix else texts.by_hand(config.data, "train")
    there, held_there = (pools.count(rows) for rows in made_rows)
    config = reduced(config, there, held_there, train.source, remedy)
    if config.fewer:
        told.append(config.fewer)
        print(told[-1], file=sys.stderr, flush=True)
    held_rows = pools.take(made_rows[1], np.arange(config.held_out))
    made = Source(
        decoder,
        None if config.whole else loaded.params,
        Reader(loaded.tokens.decode, frozenset(marks)),
        made_rows[0],
        held_rows,
        config.answer,
        float("nan"),
        train.source,
        tuple(told),
    )
    return made, config


def _read(config: Config) -> tuple[texts.Texts, texts.Texts]:
    """Texts to tune on, and held-out ones."""
    name = config.data
    limit = (
        4 * config.chains * config.texts + 10 * config.held_out
    )  # some are too long, and a chain has its own
    if Path(name).suffix:
        return _parted(texts.read(name, None, limit), config)
    train = texts.load(name, "train", limit)
    splits = [split for split in ("test", "validation") if split in texts.KNOWN[name].files]
    return (train, texts.load(name, splits[0], 4 * config.held_out)) if splits else _parted(train, config)


def _parted(read: texts.Texts, config: Config) -> tuple[texts.Texts, texts.Texts]:
    """Both from one file; where it has too few for both, in the proportion that is asked for."""
    there, asked = len(read.pairs), config.texts + config.held_out
    number = min(config.held_out, -(-config.held_out * there // asked), there // 2)
    return encoding.held_out(read, max(number, 1), HELD_OUT_SEED)
