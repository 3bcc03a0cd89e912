"""The embedded decoder's base model: it knows the words of the made language, not their order."""

import hashlib
from typing import Any

import jax
import numpy as np

from simcollapse import keys
from simcollapse.data.finding import cache_folder
from simcollapse.neural import checkpoints
from simcollapse.neural.language import made, models
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.training import Tuner, tuning

Tree = Any
SEED = 2**31 - 2
TEXTS = 20_000


def base_model(decoder: Config, steps: int) -> Tree:
    """Its parameters, trained on words in any order, or as they were kept in the user's cache.

    The same for every run and seed, as a published checkpoint is.
    """
    how = tuning(max_steps=steps, batch=32, learning_rate=5e-3, schedule="cosine", warmup=0.1)
    identity = f"base of {decoder!r}, {how!r}, {TEXTS} texts, jax {jax.__version__}"
    folder = cache_folder() / f"language-base-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    saved = checkpoints.latest(folder, identity)
    if saved is not None:
        return checkpoints.numbered(saved.state)
    key_init, key_draw, key_fit = jax.random.split(keys.root(SEED), 3)
    rows = made.whole_rows(made.salad(key_draw, TEXTS))
    params, report = Tuner(decoder, how).fit(key_fit, models.init(decoder, key_init), rows)
    params = jax.tree.map(np.asarray, params)
    checkpoints.save(folder, 0, params, [dict(report)], identity)
    return params
