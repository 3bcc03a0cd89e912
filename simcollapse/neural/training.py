"""One fit: Adam on minibatches, a cap on steps, early stopping on held-out rows of the same pool.

A Python loop over a jitted step: on CPU a training step inside `lax.scan` runs several times slower.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from simcollapse.checks import check_fields, check_whole, option, parameter
from simcollapse.neural import pools
from simcollapse.neural.loop import NotFitted
from simcollapse.neural.settings import threads

Tree = Any
MOST_HELD_OUT = 1_000  # rows; more would only cost time
EVALUATED = 250  # rows of one call


@dataclasses.dataclass(frozen=True)
class Training:
    """How long and how a fit trains."""

    max_steps: int = option("count", "optimiser steps at most")
    check_every: int = option("count", "steps between two looks at the held-out loss")
    patience: int = option("count", "looks without a better held-out loss after which the fit stops")
    batch: int = option("count", "rows of a step")
    learning_rate: float = parameter("positive", doc="of Adam")
    held_out: float = parameter(
        "unit", doc="share of the pool that early stopping looks at; 0: no early stopping"
    )


def training(
    max_steps: int,
    *,
    check_every: int = 50,
    patience: int = 5,
    batch: int = 128,
    learning_rate: float = 1e-3,
    held_out: float = 0.1,
) -> Training:
    """How a fit trains; batch and learning rate as published in [Yi26], section 5.2 (v3).

    Raises:
        ValueError, TypeError: a value outside its range.
    """
    made = Training(
        max_steps=max_steps,
        check_every=check_every,
        patience=patience,
        batch=check_whole("batch", batch, 1),
        learning_rate=learning_rate,
        held_out=held_out,
    )
    return check_fields(made, "training")


class Trainer:
    """Fits parameters to rows by one loss; compiled once, used for every fit.

    Args:
        loss: loss(params, key, rows) -> (B,), of each row of a batch; rows is a dict of arrays.
        settings: how.
        optimizer: None for Adam at a constant rate.
        parts: equal parts of a batch whose gradients are computed at the same time, each with its own noise. A batch
            that cannot be parted so stays whole.
    """

    def __init__(
        self,
        loss: Callable[[Tree, jax.Array, Tree], jax.Array],
        settings: Training,
        optimizer: optax.GradientTransformation | None = None,
        parts: int = 1,
    ):
        self.settings = settings
        self._loss, self._given, self._parts = loss, optimizer, parts
        self._optimizer = optax.adam(settings.learning_rate) if optimizer is None else optimizer

        def mean_loss(params, key, rows):
            return jnp.mean(loss(params, key, rows))

        def slope(params, key, number, rows):
            return jax.value_and_grad(mean_loss)(params, jax.random.fold_in(key, number), rows)

        def move(params, moments, value, slope):
            change, moments = self._optimizer.update(slope, moments, params)
            return optax.apply_updates(params, change), moments, value

        def step(params, moments, key, number, rows):
            return move(params, moments, *slope(params, key, number, rows))

        def slope_of_part(params, key, part, number, rows):
            return slope(params, jax.random.fold_in(key, part), number, rows)

        def move_by_parts(params, moments, slopes):
            return move(params, moments, *jax.tree.map(lambda *x: sum(x) / len(x), *slopes))

        def total(params, key, rows, weight):
            return jnp.sum(jnp.where(weight > 0, loss(params, key, rows), 0.0))

        self._step = jax.jit(step)
        self._steps = jax.jit(jax.vmap(step, in_axes=(0, 0, 0, None, 0)))
        self._total = jax.jit(total)
        self._slope_of_part, self._move_by_parts = jax.jit(slope_of_part), jax.jit(move_by_parts)

    def with_settings(self, settings: Training) -> "Trainer":
        """The same with other settings; compiled anew only for another learning rate."""
        if settings.learning_rate != self.settings.learning_rate:
            return Trainer(self._loss, settings, self._given, self._parts)
        other = copy.copy(self)
        other.settings = settings
        return other

    def fit(self, key: jax.Array, params: Tree, rows: Tree) -> tuple[Tree, dict[str, float]]:
        """The parameters with the best held-out loss, and how it went.

        Args:
            key: for batches, noise and the choice of held-out rows.
            params: where to start.
            rows: N rows.

        Raises:
            NotFitted: a loss is not finite.
        """
        return self.fit_many([key], [params], [rows])[0]

    def fit_many(
        self, keys: Sequence[jax.Array], params: Sequence[Tree], rows: Sequence[Tree]
    ) -> list[tuple[Tree, dict[str, float]]]:
        """As `fit`, for several fits in step with each other: one vmapped step for all, for devices that gain by it.

        Equal to fits one by one, to rounding, but for the noise where `parts` is above 1. One that stops early is
        carried along unseen until the last one stops.
        """
        runs = [
            _Fit(self, *one) for one in zip(keys, params, rows, strict=True)
        ]  # each with its batches and its patience
        alone, settings = len(runs) == 1, self.settings
        noise = runs[0].key_noise if alone else jnp.stack([run.key_noise for run in runs])
        now = runs[0].best if alone else _stacked([run.best for run in runs])
        moments = self._optimizer.init(now) if alone else jax.vmap(self._optimizer.init)(now)
        step = 0
        with threads(self._parts) as each:
            advance = self._advance(each) if alone else self._steps
            while step < settings.max_steps and any(run.waited < settings.patience for run in runs):
                losses: list[jax.Array] = []
                for _ in range(min(settings.check_every, settings.max_steps - step)):
                    batches = [run.batch() for run in runs]
                    batch = batches[0] if alone else _stacked(batches)
                    now, moments, value = advance(now, moments, noise, np.uint32(step), batch)
                    losses.append(value)
                    step += 1
                told = np.asarray(jnp.stack(losses)).reshape(len(losses), len(runs))
                for i, run in enumerate(runs):
                    if run.waited < settings.patience:
                        mine = now if alone else jax.tree.map(lambda x, i=i: x[i], now)
                        run.look(mine, told[:, i], step)
        return [run.outcome() for run in runs]

    def _advance(self, each):
        """A step of one fit."""
        if self._parts == 1 or self.settings.batch % self._parts:
            return self._step
        size = self.settings.batch // self._parts

        def by_parts(params, moments, key, number, rows):
            def part(n):
                mine = jax.tree.map(lambda x: x[n * size : (n + 1) * size], rows)
                return jax.block_until_ready(self._slope_of_part(params, key, np.uint32(n), number, mine))

            return self._move_by_parts(params, moments, list(each(part, range(self._parts))))

        return by_parts

    def mean(self, key: jax.Array, params: Tree, rows: Tree) -> float:
        """Mean loss of rows, with the same noise at every call of one key."""
        number = pools.count(rows)
        total = 0.0
        for at in range(0, number, EVALUATED):
            places = np.arange(at, at + EVALUATED)
            batch = pools.take(rows, np.minimum(places, number - 1))
            weight = (places < number).astype(np.float32)
            total += float(self._total(params, jax.random.fold_in(key, at), batch, weight))
        return total / number


class _Fit:
    """One fit's rows, batches and early stopping; the parameters after a number of steps are shown to it."""

    def __init__(self, trainer: Trainer, key: jax.Array, params: Tree, rows: Tree):
        self._trainer, self._rows = trainer, rows
        key_order, self.key_noise, self._key_look = jax.random.split(key, 3)
        order = np.random.default_rng(np.asarray(jax.random.key_data(key_order)).ravel())
        shuffled = order.permutation(pools.count(rows))
        self._out = min(int(trainer.settings.held_out * len(shuffled)), MOST_HELD_OUT)
        self._held = pools.take(rows, shuffled[: self._out])
        self._batches = _batches(order, shuffled[self._out :], trainer.settings.batch)
        self.best, self.waited = params, 0
        self._least, self._steps, self._loss = np.inf, 0, np.nan

    def batch(self) -> Tree:
        """The rows of the next step."""
        return pools.take(self._rows, next(self._batches))

    def look(self, params: Tree, losses: np.ndarray, step: int) -> None:
        """Keep `params`, reached after `step` steps with these last `losses`, if the held-out loss is the least so far.

        Raises:
            NotFitted: a loss is not finite.
        """
        _check_finite(losses, step)
        looked = self._trainer.mean(self._key_look, params, self._held) if self._out else -float(step)
        _check_finite(np.array([looked]), step)  # of the last step too, which no later loss would show
        self.waited = 0 if looked < self._least else self.waited + 1
        self._steps, self._loss = step, float(losses.mean())
        if looked < self._least:
            self.best, self._least = params, looked

    def outcome(self) -> tuple[Tree, dict[str, float]]:
        """The best parameters, and how the fit went."""
        report = {"steps": self._steps, "loss": self._loss, "rows": pools.count(self._rows)}
        return self.best, report | ({"held_out_loss": self._least} if self._out else {})


def _stacked(trees: Sequence[Tree]) -> Tree:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def _batches(order: np.random.Generator, used: np.ndarray, batch: int):
    """Batches of places for ever, each row once in every pass; a batch may reach into the next pass."""
    left = np.empty(0, dtype=int)
    while True:
        while len(left) < batch:
            left = np.concatenate([left, order.permutation(used)])
        yield left[:batch]
        left = left[batch:]


def _check_finite(losses: np.ndarray, step: int) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise NotFitted(step - len(losses) + int(bad[0]) + 1, float(losses[bad[0]]))
