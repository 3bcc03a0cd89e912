"""The discriminator as verifier: how real it takes a generated image to be."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from simcollapse import keys
from simcollapse.checks import check_whole
from simcollapse.neural.batches import over_rows
from simcollapse.neural.training import Trainer, Training
from simcollapse.neural.vae.judges import Discriminator

Tree = Any


class Discriminators:
    """Discriminators of one size, compiled once: trains them and lets them score. `classes` 0: not conditional."""

    def __init__(self, side: int, classes: int, settings: Training):
        self._side, self._classes = side, classes
        self._graph = nnx.split(self._new(keys.root(0)))[0]
        self._trainer = Trainer(self._loss, settings)
        self._score = jax.jit(self._log_odds)

    def _new(self, key):
        return Discriminator(self._side, self._classes, rngs=nnx.Rngs(params=key))

    def _log_odds(self, params, rows):
        y = (
            jax.nn.one_hot(rows["label"], self._classes)
            if self._classes
            else jnp.zeros((len(rows["label"]), 0))
        )
        return nnx.merge(self._graph, params)(rows["image"].astype(jnp.float32) / 255, y)

    def _loss(self, params, key, rows):
        sign = 2 * rows["real"].astype(jnp.float32) - 1
        return jax.nn.softplus(-sign * self._log_odds(params, rows))

    def train(self, key: jax.Array, real: Tree, made: Tree) -> tuple[Tree, dict[str, float]]:
        """Parameters of a discriminator of real rows against made ones, and how the fit went."""
        key_init, key_fit = jax.random.split(key)
        rows = {name: np.concatenate([real[name], made[name]]) for name in ("image", "label")}
        rows["real"] = np.arange(len(rows["label"])) < len(real["label"])
        params = nnx.to_pure_dict(nnx.split(self._new(key_init))[1])
        return self._trainer.fit(key_fit, params, rows)

    def score(self, params: Tree, rows: Tree) -> np.ndarray:
        """Log odds of being real, (N,)."""
        return over_rows(lambda batch, c: self._score(params, batch), rows)


class DiscriminatorVerifier:
    """A trained discriminator as a verifier of the loop."""

    def __init__(self, family: Discriminators, params: Tree):
        self._family, self._params = family, params

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """Log odds of being real, (N,)."""
        return self._family.score(self._params, rows)


@functools.lru_cache(maxsize=8)
def discriminators(side: int, classes: int, settings: Training) -> Discriminators:
    """The discriminators of these sizes, compiled once in a process."""
    check_whole("side", side, 1)
    check_whole("classes", classes, 0)
    return Discriminators(side, classes, settings)
