"""One fit: Adam on minibatches, a cap on steps, early stopping on held-out rows of the same pool.

A Python loop over a jitted step: on CPU a training step inside `lax.scan` runs several times slower.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from simcollapse.checks import check_fields, check_whole, option, parameter
from simcollapse.neural import pools
from simcollapse.neural.loop import NotFitted

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
    """

    def __init__(
        self,
        loss: Callable[[Tree, jax.Array, Tree], jax.Array],
        settings: Training,
        optimizer: optax.GradientTransformation | None = None,
    ):
        self.settings = settings
        self._optimizer = optax.adam(settings.learning_rate) if optimizer is None else optimizer

        def mean_loss(params, key, rows):
            return jnp.mean(loss(params, key, rows))

        def step(params, moments, key, number, rows):
            value, slope = jax.value_and_grad(mean_loss)(params, jax.random.fold_in(key, number), rows)
            change, moments = self._optimizer.update(slope, moments, params)
            return optax.apply_updates(params, change), moments, value

        def total(params, key, rows, weight):
            return jnp.sum(jnp.where(weight > 0, loss(params, key, rows), 0.0))

        self._step = jax.jit(step)
        self._total = jax.jit(total)

    def fit(self, key: jax.Array, params: Tree, rows: Tree) -> tuple[Tree, dict[str, float]]:
        """The parameters with the best held-out loss, and how it went.

        Args:
            key: for batches, noise and the choice of held-out rows.
            params: where to start.
            rows: N rows.

        Raises:
            NotFitted: a loss is not finite.
        """
        settings = self.settings
        key_order, key_noise, key_look = jax.random.split(key, 3)
        order = np.random.default_rng(np.asarray(jax.random.key_data(key_order)).ravel())
        number = pools.count(rows)
        shuffled = order.permutation(number)
        out = min(int(settings.held_out * number), MOST_HELD_OUT)
        held, used = pools.take(rows, shuffled[:out]), shuffled[out:]
        moments = self._optimizer.init(params)
        best, least, waited, step = params, np.inf, 0, 0
        losses: list[jax.Array] = []
        batches = _batches(order, used, settings.batch)
        while step < settings.max_steps and waited < settings.patience:
            losses = []
            for _ in range(min(settings.check_every, settings.max_steps - step)):
                batch = pools.take(rows, next(batches))
                params, moments, value = self._step(params, moments, key_noise, np.uint32(step), batch)
                losses.append(value)
                step += 1
            _check_finite(losses, step)
            looked = self._mean(key_look, params, held) if out else -float(step)
            waited = 0 if looked < least else waited + 1
            if looked < least:
                best, least = params, looked
        report = {"steps": step, "loss": float(np.mean(np.asarray(losses))), "rows": number}
        return best, report | ({"held_out_loss": least} if out else {})

    def _mean(self, key: jax.Array, params: Tree, rows: Tree) -> float:
        """Mean loss of rows, with the same noise at every look."""
        number = pools.count(rows)
        total = 0.0
        for at in range(0, number, EVALUATED):
            places = np.arange(at, at + EVALUATED)
            batch = pools.take(rows, np.minimum(places, number - 1))
            weight = (places < number).astype(np.float32)
            total += float(self._total(params, jax.random.fold_in(key, at), batch, weight))
        return total / number


def _batches(order: np.random.Generator, used: np.ndarray, batch: int):
    """Batches of places for ever, each row once in every pass; a batch may reach into the next pass."""
    left = np.empty(0, dtype=int)
    while True:
        while len(left) < batch:
            left = np.concatenate([left, order.permutation(used)])
        yield left[:batch]
        left = left[batch:]


def _check_finite(losses: list[jax.Array], step: int) -> None:
    values = np.asarray(jnp.stack(losses))
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise NotFitted(step - len(losses) + int(bad[0]) + 1, float(values[bad[0]]))
