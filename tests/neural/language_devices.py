"""Fits on one device and on four, with rows split, and with rows and parameters split, and `lm-loop`; run by a test."""

import tempfile
from pathlib import Path

import jax
import numpy as np

from simcollapse.neural.language import folding, pipeline, sharding
from simcollapse.neural.language.pipeline import fitting, materials
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


def loop():
    """As `main`, of the command's rounds: `[fit] devices`; the model that a fit gives is on one of them."""
    materials.EMBEDDED_WIDTH, materials.EMBEDDED_LAYERS, materials.EMBEDDED_STEPS = 16, 1, 2
    table = {"model": "embedded", "n_real": 20, "n_per_round": 8, "rounds": 1, "held_out": 8, "answered": 4}
    found, where = [], []
    given = fitting.Fitting.fit

    def noted(self, *rest):
        model, report = given(self, *rest)
        where.append({device for x in jax.tree.leaves(model) for device in x.devices()})
        return model, report

    fitting.Fitting.fit = noted
    for devices in (1, 4):
        fits = {"max_steps": 3, "batch": 8, "learning_rate": 1e-3, "devices": devices}
        with tempfile.TemporaryDirectory() as folder:
            found.append(pipeline.run(pipeline.from_table(table | {"fit": fits}), Path(folder) / "out"))
    one, four = found
    np.testing.assert_allclose(four[0]["loss"], one[0]["loss"], rtol=1e-5)
    assert len(four) == 2 and four[1]["alive"]
    assert where == [{jax.devices()[0]}] * 4


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
    loop()
