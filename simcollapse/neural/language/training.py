"""One fit of a language model: AdamW on batches of texts, all its parameters or adapters beside them.

The loss of a step is the mean over all tokens that it scores, however they are spread over batches that are
accumulated. A Python loop over jitted functions, compiled once for each shape of a batch (see `padding.bucket`).
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from simcollapse.neural import checkpoints, pools
from simcollapse.neural.language import lora, resuming, sharding
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.feeding import Feed
from simcollapse.neural.language.folding import Folded, fold, unfold
from simcollapse.neural.language.resuming import State
from simcollapse.neural.language.tuning import Tuning, rate, tuning
from simcollapse.neural.loop import NotFitted
from simcollapse.neural.transformer.likelihood import log_probability

__all__ = ["DESCRIPTIONS", "Tuner", "Tuning", "tuning"]

Tree = Any
LOOKED = 10  # steps between two looks at the loss, which wait for the device; the report's loss is a mean over as many
LOGITS = 2**26  # numbers held at once; more are computed in pieces, and again for gradients
DESCRIPTIONS = {
    "fit_steps": "optimiser steps of the fit",
    "fit_loss": "mean training loss of the last steps, nats a scored token",
    "fit_tokens": "tokens that the fit saw, in all passes",
    "fit_rows": "rows that the fit saw",
}


class Tuner:
    """Fits a model's parameters to texts; compiled once, used for every fit.

    Args:
        config: the model; its precision gives way to that of the settings.
        settings: how.
        mesh: devices that share the work, see `sharding.mesh`; None: one.

    Raises:
        ValueError: a batch that the devices cannot share evenly.
    """

    def __init__(self, config: Config, settings: Tuning, mesh: jax.sharding.Mesh | None = None):
        if mesh is not None and settings.batch % mesh.size:
            raise ValueError(f"tuning.batch must be a multiple of {mesh.size} devices, got {settings.batch}")
        self.config, self.settings, self.mesh = config, settings, mesh
        self._adapters = None if settings.rank is None else lora.Adapters(settings.rank, settings.alpha)
        computed = dataclasses.replace(config, precision=settings.precision)
        self._forward = Folded(computed, remat=settings.remat, adapters=self._adapters, mesh=mesh)
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(settings.clip),
            optax.scale_by_adam(),
            optax.add_decayed_weights(settings.weight_decay, mask=_matrices),
        )
        self._gradient = jax.jit(self._slope)
        self._add = jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b), donate_argnums=0)
        self._update = jax.jit(self._moved, donate_argnums=(0, 1))
        self._finish = jax.jit(self._whole)
        plain = Folded(computed, mesh=mesh)
        self._evaluate = jax.jit(lambda folded, batch: self._total(plain, folded, {}, batch))
        self._init = jax.jit(lambda free: sharding.keep_params(mesh, self._optimizer.init(free)))

    def fit(
        self,
        key: jax.Array,
        params: Tree,
        rows: Tree,
        *,
        folder: Path | None = None,
        watch: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    ) -> tuple[Tree, dict[str, float]]:
        """All parameters after the fit, and how it went: steps, loss, tokens, rows; see `DESCRIPTIONS`.

        Args:
            key: for the order of rows, and adapters.
            params: where to start; see `models.init`.
            rows: see `feeding`.
            folder: of this fit alone, for the states that are saved where the settings say `save_every`: the same fit,
                called again, goes on from the last one. Cleared when the fit is done.
            watch: called every few steps with the step, of how many, and its loss.

        Raises:
            NotFitted: a loss is not finite.
            ValueError: rows that do not fit the model or have no token whose loss counts, or a folder of another fit.
            OSError: the disk has no room for saved states.
        """
        feed = Feed(self.config, self.settings, rows, key)
        state, still, save = self._begin(key, params, rows, folder)
        free, moments, losses = state
        waiting: list[jax.Array] = []
        every = self.settings.save_every if folder is not None else None
        for step in range(len(losses), feed.steps):
            loss, slope = self._step_slope(free, still, feed, step)
            free, moments = self._update(free, moments, slope, rate(self.settings, step, feed.steps))
            del slope
            waiting.append(loss)
            done = step + 1
            saves = bool(every) and done % every == 0 and done < feed.steps
            if done % LOOKED == 0 or saves or done == feed.steps:
                losses += _finite(waiting, done)
                waiting = []
                if saves:
                    save(State(free, moments, losses))
                watch(done, feed.steps, losses[-1])
        if folder is not None:
            checkpoints.clear(folder)
        report = {"steps": feed.steps, "loss": float(np.mean(losses[-LOOKED:]))}
        report |= {"tokens": feed.tokens, "rows": pools.count(rows)}
        return self._finish(free, still), report

    def loss(self, params: Tree, rows: Tree) -> float:
        """Mean loss of the tokens whose loss counts, nats."""
        feed = Feed(self.config, self.settings, rows, None)
        folded = sharding.place_params(self.mesh, fold(self.config, params))
        total = 0.0
        for step in range(feed.steps):
            for batch in feed.batches(step):
                total += float(self._evaluate(folded, sharding.place_rows(self.mesh, batch)))
        return total / sum(feed.scored(step) for step in range(feed.steps))

    def _begin(self, key, params, rows, folder) -> tuple[State, Tree, Callable[[State], None]]:
        """The state to go on from, what stays as it is, and how a state is saved."""
        folded = fold(self.config, params)
        free, still = folded, {}
        if self._adapters is not None:
            free = lora.start(jax.random.fold_in(key, 1), folded, self._adapters)
            still = sharding.place_params(self.mesh, folded)
        free = sharding.place_params(self.mesh, free)
        state = State(free, self._init(free), [])
        if folder is None or self.settings.save_every is None:
            return state, still, lambda state: None
        words = resuming.identity(self.config, self.settings, key, params, rows)
        saved = resuming.latest(folder, state, words)
        resuming.check_room(folder, state)
        if saved is not None:
            free, moments = (sharding.place_params(self.mesh, tree) for tree in (saved.free, saved.moments))
            state = State(free, moments, saved.losses)
        return state, still, lambda state: resuming.save(folder, state, words)

    def _step_slope(self, free, still, feed: Feed, step: int):
        """Mean loss of a step and its gradient."""
        first, *others = (sharding.place_rows(self.mesh, batch) for batch in feed.batches(step))
        count = np.float32(feed.scored(step))
        told = self._gradient(free, still, first, count)
        for batch in others:
            told = self._add(told, self._gradient(free, still, batch, count))
        return told

    def _slope(self, free, still, batch, count):
        def part(free):
            return self._total(self._forward, free, still, batch) / count

        loss, slope = jax.value_and_grad(part)(free)
        return loss, sharding.keep_params(self.mesh, slope)

    def _total(self, forward, free, still, batch):
        """Sum of the losses that count in a batch."""
        folded = free if forward.adapters is None else lora.joined(still, free)
        states = forward.states(folded, batch["tokens"], batch.get("document"), batch.get("place"))
        states = jnp.take_along_axis(states, batch["scored"][..., None], axis=1)
        head = forward.shell(folded)

        def of_piece(piece):
            states, target, weight = piece
            return -jnp.sum(weight * log_probability(head.logits(states), target))

        rows, places = batch["target"].shape
        parts = -(-places // max(1, LOGITS // (rows * self.config.vocabulary)))
        whole = (states, batch["target"], batch["weight"])
        if parts == 1:
            return of_piece(whole)
        pieces = jax.tree.map(functools.partial(_split, parts=parts), whole)
        return jnp.sum(jax.lax.map(jax.checkpoint(of_piece), pieces))

    def _moved(self, free, moments, slope, rate):
        change, moments = self._optimizer.update(slope, moments, free)
        free = jax.tree.map(lambda x, d: x - rate * d, free, change)
        return sharding.keep_params(self.mesh, (free, moments))

    def _whole(self, free, still):
        """Parameters without adapters, as they came."""
        folded = free if self._adapters is None else lora.merge(still, free, self._adapters)
        return sharding.keep_params(self.mesh, unfold(self.config, folded))


def _matrices(tree: Tree) -> Tree:
    """True for what weight decay is for: not for the scales of norms."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key != "scale", tree)


def _split(x: jax.Array, parts: int) -> jax.Array:
    """(B, M, …) as (parts, B, ceil(M / parts), …), filled with 0."""
    size = -(-x.shape[1] // parts)
    x = jnp.pad(x, [(0, 0), (0, parts * size - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
    return jnp.moveaxis(x.reshape(x.shape[0], parts, size, *x.shape[2:]), 1, 0)


def _finite(losses: list[jax.Array], step: int) -> list[float]:
    """The losses of the steps up to `step`, as numbers."""
    told = np.asarray(jnp.stack(losses))
    bad = np.flatnonzero(~np.isfinite(told))
    if len(bad):
        raise NotFitted(step - len(told) + int(bad[0]) + 1, float(told[bad[0]]))
    return told.tolist()
