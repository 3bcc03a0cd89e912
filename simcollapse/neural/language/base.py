"""The embedded decoder's base model: it knows the words of the made language, not their order."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from simcollapse import keys
from simcollapse.data.finding import cache_folder
from simcollapse.neural import checkpoints
from simcollapse.neural.language import made, models
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.training import Tuner
from simcollapse.neural.language.tuning import Tuning, tuning

Tree = Any
SEED = 2**31 - 2
TEXTS = 20_000


def base_model(decoder: Config, steps: int) -> Tree:
    """Its parameters, trained on words in any order, or as they were kept in the user's cache.

    The same for every run and seed, as a published checkpoint is. Says so on standard error before it trains.
    """
    how, folder, identity = _place(decoder, steps)
    saved = checkpoints.latest(folder, identity)
    if saved is not None:
        return checkpoints.numbered(saved.state)
    print(f"training the base model: {steps:,} steps, once; later runs find it", file=sys.stderr, flush=True)
    key_init, key_draw, key_fit = jax.random.split(keys.root(SEED), 3)
    rows = made.whole_rows(made.salad(key_draw, TEXTS))
    params, report = Tuner(decoder, how).fit(key_fit, models.init(decoder, key_init), rows)
    params = jax.tree.map(np.asarray, params)
    checkpoints.save(folder, 0, params, [dict(report)], identity)
    return params


def is_kept(decoder: Config, steps: int) -> bool:
    """Whether `base_model` has nothing to train."""
    _, folder, identity = _place(decoder, steps)
    return checkpoints.latest(folder, identity) is not None


def _place(decoder: Config, steps: int) -> tuple[Tuning, Path, str]:
    """How it is trained, the folder where it is kept, and what it is there known by."""
    how = tuning(max_steps=steps, batch=32, learning_rate=5e-3, schedule="cosine", warmup=0.1)
    identity = f"base of {decoder!r}, {how!r}, {TEXTS} texts, jax {jax.__version__}"
    return (
        how,
        cache_folder() / f"language-base-{hashlib.sha256(identity.encode()).hexdigest()[:12]}",
        identity,
    )
