"""Fits on one device and on four, with rows split, and with rows and parameters split; run by a test."""

import jax
import numpy as np

from simcollapse.neural.language import folding, sharding
from simcollapse.neural.language.training import Tuner, tuning
from tests.neural.test_language_training import assert_near, drawn, rows_of, small


def main():
    """Raise AssertionError where a trajectory differs."""
    config, rows = small("llama"), rows_of(20)
    params = drawn(config)
    assert len(jax.devices()) == 4
    options = {"batch": 4, "learning_rate": 1e-3}
    wanted = fit(config, options, None, params, rows)
    for parameters in (1, 2):
        mesh = sharding.mesh(parameters)
        got = fit(config, options, mesh, params, rows)
        np.testing.assert_allclose(got[1], wanted[1], rtol=1e-5)
        assert_near(got[0], wanted[0], 1e-4)
    placed = sharding.place_params(mesh, folding.fold(config, params))
    split = [x for x in jax.tree.leaves(placed) if not x.sharding.is_fully_replicated]
    assert {x.addressable_shards[0].data.size * 2 for x in split} <= {x.size for x in split} and split
    try:
        Tuner(config, tuning(batch=6), mesh)
    except ValueError as error:
        assert "multiple of 4 devices" in str(error)
    else:
        raise AssertionError("6 rows were shared by 4 devices")


def fit(config, options, mesh, params, rows):
    """Parameters, and the loss of every step."""
    losses = []
    tuner = Tuner(config, tuning(2, **options), mesh)
    got, _ = tuner.fit(jax.random.key(0), params, rows, watch=lambda step, steps, loss: losses.append(loss))
    return jax.tree.map(np.asarray, got), losses


if __name__ == "__main__":
    sharding.LEAST = 100  # the model is small
    import simcollapse.neural.language.training as module

    module.LOOKED = 1
    main()
