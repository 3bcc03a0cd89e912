"""One fit of a language model: AdamW on batches of texts, all its parameters or adapters beside them.

The loss of a step is the mean over all tokens that it scores, however they are spread over batches that are
accumulated. A Python loop over jitted functions, compiled once for each shape of a batch (see `padding.bucket`).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from simcollapse.checks import check_fields, option, parameter
from simcollapse.neural import pools
from simcollapse.neural.language import feeding, lora, padding
from simcollapse.neural.language.config import PRECISIONS, Config
from simcollapse.neural.language.folding import Folded, fold, unfold
from simcollapse.neural.loop import NotFitted

Tree = Any
SCHEDULES = ("constant", "cosine")
LOSS_ON = ("completion", "all")
LOOKED = 10  # steps between two looks at the loss, which wait for the device; the report's loss is a mean over as many
LOGITS = 2**26  # held at once; more are computed in pieces, and again for gradients
DESCRIPTIONS = {
    "fit_steps": "optimiser steps of the fit",
    "fit_loss": "mean training loss of the last steps, nats a scored token",
    "fit_tokens": "tokens that the fit saw, in all passes",
    "fit_rows": "rows that the fit saw",
}


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How long and how a fit trains. Build it with `tuning(...)`."""

    epochs: int | None = option("count or none", "passes over the rows; None: max_steps says where to end")
    max_steps: int | None = option("count or none", "optimiser steps at most; None: no cap")
    batch: int = option("count", "rows of a batch; with packing, bins of several rows")
    accumulation: int = option("count", "batches of a step")
    learning_rate: float = parameter("positive", doc="of AdamW, at its largest")
    schedule: str = option("word", "of the learning rate after its rise; cosine falls to 0", SCHEDULES)
    warmup: float = parameter("unit", doc="share of the steps in which the learning rate rises")
    weight_decay: float = parameter("nonnegative", doc="of AdamW, on matrices")
    clip: float = parameter("positive", doc="largest norm of a gradient")
    loss_on: str = option("word", "tokens whose loss counts", LOSS_ON)
    packing: bool = option("flag", "several rows side by side in one, none of which sees another")
    precision: str = option("word", "of what is computed; parameters are float32", PRECISIONS)
    remat: bool = option("flag", "compute layers again for gradients: less memory, more time")
    rank: int | None = option("count or none", "of low-rank adapters; None: all parameters move")
    alpha: float = parameter("positive", doc="of the adapters, whose product is multiplied by alpha / rank")
    save_every: int | None = option("count or none", "steps between two saved states, see `Tuner.fit`")


def tuning(
    epochs: int | None = None,
    *,
    max_steps: int | None = None,
    batch: int = 8,
    accumulation: int = 1,
    learning_rate: float = 5e-5,
    schedule: str = "constant",
    warmup: float = 0.0,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    loss_on: str = "completion",
    packing: bool = False,
    precision: str = "float32",
    remat: bool = False,
    rank: int | None = None,
    alpha: float = 16.0,
    save_every: int | None = None,
) -> Tuning:
    """How a fit trains: one pass, unless epochs or max_steps is given; with both, what ends first ends it.

    Raises:
        ValueError, TypeError: a value outside its range.
    """
    made = Tuning(
        epochs=1 if epochs is None and max_steps is None else epochs,
        max_steps=max_steps,
        batch=batch,
        accumulation=accumulation,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        clip=clip,
        loss_on=loss_on,
        packing=packing,
        precision=precision,
        remat=remat,
        rank=rank,
        alpha=alpha,
        save_every=save_every,
    )
    return check_fields(made, "tuning")


class Tuner:
    """Fits a model's parameters to texts; compiled once, used for every fit."""

    def __init__(self, config: Config, settings: Tuning, mesh: jax.sharding.Mesh | None = None):
        self.config, self.settings, self.mesh = config, settings, mesh
        self._adapters = None if settings.rank is None else lora.Adapters(settings.rank, settings.alpha)
        config = dataclasses.replace(config, precision=settings.precision)
        self._forward = Folded(config, remat=settings.remat, adapters=self._adapters)
        self._plain = Folded(config)
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(settings.clip),
            optax.scale_by_adam(),
            optax.add_decayed_weights(settings.weight_decay, mask=_matrices),
        )
        slope = jax.value_and_grad(functools.partial(self._total, self._forward))
        self._gradient = jax.jit(slope)
        self._add = jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b), donate_argnums=0)
        self._update = jax.jit(self._moved, donate_argnums=(0, 1))
        self._evaluate = jax.jit(functools.partial(self._total, self._plain))
        self._init = jax.jit(self._optimizer.init)
        self._finish = jax.jit(self._whole)

    def fit(self, key: jax.Array, params: Tree, rows: Tree) -> tuple[Tree, dict[str, float]]:
        """All parameters after the fit, and how it went: steps, loss, tokens, rows; see `DESCRIPTIONS`.

        Args:
            key: for the order of rows, and adapters.
            params: where to start; see `models.init`.
            rows: see `feeding`.

        Raises:
            NotFitted: a loss is not finite.
            ValueError: rows that do not fit the model, or without a token whose loss counts.
        """
        feed = _Feed(self.config, self.settings, rows, key)
        folded = fold(self.config, params)
        free, still = folded, {}
        if self._adapters is not None:
            free, still = lora.start(jax.random.fold_in(key, 1), folded, self._adapters), folded
        free, still = jax.tree.map(jnp.array, free), jax.tree.map(jnp.array, still)
        moments, losses = self._init(free), []
        for step in range(feed.steps):
            slope = total = None
            for batch in feed.batches(step):
                value, new = self._gradient(free, still, batch)
                total = value if total is None else total + value
                slope = new if slope is None else self._add(slope, new)
            count = np.float32(feed.scored(step))
            free, moments = self._update(free, moments, slope, count, self._rate(step, feed.steps))
            losses.append(total / count)
            if (step + 1) % LOOKED == 0 or step + 1 == feed.steps:
                losses[-LOOKED:] = _finite(losses[-LOOKED:], step + 1)
        report = {
            "steps": feed.steps,
            "loss": float(np.mean(losses[-LOOKED:])),
            "tokens": feed.tokens,
            "rows": pools.count(rows),
        }
        return unfold(self.config, self._finish(free, still)), report

    def loss(self, params: Tree, rows: Tree) -> float:
        """Mean loss of the tokens whose loss counts, nats."""
        settings = dataclasses.replace(self.settings, packing=False, epochs=1, max_steps=None, accumulation=1)
        feed = _Feed(self.config, settings, rows, None)
        folded = jax.tree.map(jnp.asarray, fold(self.config, params))
        total = sum(
            float(self._evaluate(folded, {}, batch)) for n in range(feed.steps) for batch in feed.batches(n)
        )
        return total / sum(feed.scored(n) for n in range(feed.steps))

    def _rate(self, step: int, steps: int) -> np.float32:
        """The learning rate of step 0, 1, …; the rise ends, and the fall begins, after a share `warmup` of them."""
        how = self.settings
        rising = how.warmup * steps
        if step < rising:
            return np.float32(how.learning_rate * (step + 1) / (rising + 1))
        if how.schedule == "constant":
            return np.float32(how.learning_rate)
        return np.float32(how.learning_rate * 0.5 * (1 + np.cos(np.pi * (step - rising) / (steps - rising))))

    def _total(self, forward, free, still, batch):
        """Sum of the losses that count in a batch."""
        folded = free if forward.adapters is None else lora.joined(still, free)
        states = forward.states(folded, batch["tokens"], batch.get("document"), batch.get("place"))
        states = jnp.take_along_axis(states, batch["scored"][..., None], axis=1)
        head = forward.shell(folded)

        def of_piece(piece):
            states, target, weight = piece
            logits = head.logits(states)
            told = jnp.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
            return jnp.sum(weight * (jax.nn.logsumexp(logits, axis=-1) - told))

        rows, places = batch["target"].shape
        size = max(1, LOGITS // (rows * self.config.vocabulary))
        parts = -(-places // size)
        whole = (states, batch["target"], batch["weight"])
        if parts == 1:
            return of_piece(whole)
        pieces = jax.tree.map(functools.partial(_split, parts=parts), whole)
        return jnp.sum(jax.lax.map(jax.checkpoint(of_piece), pieces))

    def _moved(self, free, moments, slope, count, rate):
        slope = jax.tree.map(lambda x: x / count, slope)
        change, moments = self._optimizer.update(slope, moments, free)
        return jax.tree.map(lambda x, d: x - rate * d, free, change), moments

    def _whole(self, free, still):
        return free if self._adapters is None else lora.merge(still, free, self._adapters)


class _Feed:
    """The batches of a fit, planned from its key alone. Without a key: each row once, similar lengths together."""

    def __init__(self, config: Config, settings: Tuning, rows: Tree, key: jax.Array | None):
        feeding.check_rows(rows, config.vocabulary, config.context)
        self._rows = {name: np.asarray(rows[name]) for name in ("tokens", "begin", "length")}
        self._settings, self._context = settings, config.context
        length, self._first = self._rows["length"], feeding.first_scored(self._rows, settings.loss_on)
        self._counts = np.maximum(length - self._first, 0)
        if not self._counts.any():
            raise ValueError(
                f"rows must have a token whose loss counts (loss_on {settings.loss_on!r}), got none"
            )
        self._room = self._rows["tokens"].shape[1] if settings.packing else None
        if key is None:
            self._bins = [[int(row)] for row in np.argsort(length, kind="stable")]
        else:
            random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
            self._bins = _bins(random, length, self._room, settings)
        self._most = max(int(self._counts[held].sum()) for held in self._bins)
        self.steps = -(-len(self._bins) // (settings.batch * settings.accumulation))
        self.tokens = int(sum(length[held].sum() for held in self._bins))

    def _held(self, step: int) -> list[feeding.Bin]:
        size = self._settings.batch * self._settings.accumulation
        return self._bins[step * size : (step + 1) * size]

    def scored(self, step: int) -> int:
        """Tokens of a step whose loss counts."""
        return max(1, int(sum(self._counts[held].sum() for held in self._held(step))))

    def batches(self, step: int) -> list[dict[str, np.ndarray]]:
        """Arrays of each batch of a step."""
        bins, size = self._held(step), self._settings.batch
        return [self._arrays(bins[at : at + size]) for at in range(0, len(bins), size)]

    def _arrays(self, bins):
        width = self._room
        if width is None:
            width = padding.bucket(max(int(self._rows["length"][held].sum()) for held in bins), self._context)
        most = min(padding.bucket(self._most), width)
        return feeding.batch_of(
            bins, self._settings.batch, self._rows, self._first, width, most, self._room is not None
        )


def _bins(random, length, room, settings: Tuning) -> list[feeding.Bin]:
    most = None
    if settings.max_steps is not None:
        most = settings.max_steps * settings.batch * settings.accumulation
    if settings.epochs is None:
        return feeding.planned(random, length, room=room, bins=most)
    return feeding.planned(random, length, room=room, epochs=settings.epochs)[:most]


def _matrices(tree: Tree) -> Tree:
    """True for what weight decay is for: not for the scales of norms."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key in ("kernel", "embedding", "down", "up"), tree
    )


def _split(x: jax.Array, parts: int) -> jax.Array:
    """(B, M, …) as (parts, B, ceil(M / parts), …), filled with 0."""
    size = -(-x.shape[1] // parts)
    x = jnp.pad(x, [(0, 0), (0, parts * size - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
    return jnp.moveaxis(x.reshape(x.shape[0], parts, size, *x.shape[2:]), 1, 0)


def _finite(losses: list, step: int) -> list[float]:
    """The losses of the steps up to `step`, as numbers."""
    told = np.asarray(jnp.stack(losses))
    bad = np.flatnonzero(~np.isfinite(told))
    if len(bad):
        raise NotFitted(step - len(told) + int(bad[0]) + 1, float(told[bad[0]]))
    return told.tolist()
