import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simcollapse import keys
from simcollapse.neural.loop import NotFitted
from simcollapse.neural.training import Trainer, _batches, training

ROWS = {"x": np.linspace(-1, 1, 300, dtype=np.float32)}
ZERO = {"at": jnp.zeros(())}


def squared(params, key, rows):
    return (rows["x"] - params["at"] - 3.0) ** 2 + 0 * jax.random.uniform(key, rows["x"].shape)


def test_a_fit_finds_the_minimum_and_reports_its_steps():
    trainer = Trainer(squared, training(400, learning_rate=0.05, patience=3, check_every=20))
    params, report = trainer.fit(keys.root(0), ZERO, ROWS)
    assert abs(float(params["at"]) + 3.0) < 0.1
    assert report["steps"] < 400  # stopped early: nothing is gained at the minimum
    assert report["rows"] == 300 and report["held_out_loss"] < 1


def test_fits_together_equal_fits_one_by_one():
    trainer = Trainer(squared, training(400, learning_rate=0.05, patience=2, check_every=20))
    rows = [ROWS, {"x": ROWS["x"][:150] + 2.5}, {"x": 0 * ROWS["x"] - 3}]  # not all stop at the same step
    fit_keys = [keys.root(s) for s in range(3)]
    together = trainer.fit_many(fit_keys, [ZERO] * 3, rows)
    for key, some, (params, report) in zip(fit_keys, rows, together, strict=True):
        alone, told = trainer.fit(key, ZERO, some)
        np.testing.assert_allclose(params["at"], alone["at"], rtol=1e-5)
        assert report == pytest.approx(told, rel=1e-4, abs=1e-6)
    assert len({report["steps"] for _, report in together}) > 1


def test_parts_of_a_batch_give_the_step_of_the_whole():
    """Where the loss has no noise; a batch that cannot be parted stays whole."""

    def loss(params, key, rows):
        return jnp.cos(rows["x"] * params["at"] + 1) + params["at"] ** 2

    def fitted(batch, parts):
        return Trainer(loss, training(50, batch=batch), optax.sgd(0.1), parts).fit(keys.root(0), ZERO, ROWS)

    (whole, told), (parted, report) = fitted(64, 1), fitted(64, 4)
    np.testing.assert_allclose(parted["at"], whole["at"], rtol=1e-5)
    assert report == pytest.approx(told, rel=1e-5) and abs(float(whole["at"])) > 1e-3
    assert fitted(63, 2) == fitted(63, 1)


def test_parts_of_a_batch_have_noise_of_their_own():
    def loss(params, key, rows):
        noise = jax.random.normal(key, rows["x"].shape)
        jax.debug.callback(lambda x: seen.append(np.array(x)), noise)
        return noise + params["at"]

    seen: list[np.ndarray] = []
    trainer = Trainer(loss, training(1, batch=64, held_out=0.0), parts=2)
    trainer.fit(keys.root(0), ZERO, ROWS)
    jax.effects_barrier()
    first, second = seen
    assert first.shape == second.shape == (32,) and not np.isclose(first, second).any()


def test_the_cap_on_steps_holds():
    trainer = Trainer(squared, training(30, check_every=20))
    assert trainer.fit(keys.root(0), ZERO, ROWS)[1]["steps"] == 30


def test_the_best_held_out_loss_is_kept_and_patience_counts_looks():
    """A loss that grows with each step, however the parameters move: the first look is the best."""
    trainer = Trainer(
        lambda p, key, rows: p["at"] + 0 * rows["x"], training(1_000, check_every=10, patience=3)
    )
    params, report = trainer.fit(keys.root(0), ZERO, ROWS)
    assert report["steps"] == 1_000  # Adam lowers it for ever
    rising = Trainer(
        lambda p, key, rows: jnp.where(p["at"] > -0.015, p["at"], -p["at"] + 1) + 0 * rows["x"],
        training(1_000, check_every=10, patience=3),
    )
    params, report = rising.fit(keys.root(0), ZERO, ROWS)
    assert report["steps"] < 100 and float(params["at"]) > -0.015


def test_the_same_key_gives_the_same_bits():
    trainer = Trainer(squared, training(50))
    first, second, other = (trainer.fit(keys.root(s), ZERO, ROWS)[0]["at"] for s in (1, 1, 2))
    assert first == second != other


def test_a_loss_that_is_not_finite_names_its_step():
    trainer = Trainer(
        lambda p, key, rows: jnp.log(p["at"] + 0.0105) + 0 * rows["x"], training(100, check_every=50)
    )
    with pytest.raises(NotFitted, match=r"loss is nan in step") as caught:
        trainer.fit(keys.root(0), ZERO, ROWS)  # one step of 0.001 at a time: the logarithm's argument ends
    assert caught.value.step in (12, 13)


def test_a_held_out_loss_that_is_not_finite_is_told_though_no_training_loss_was():
    """Adam takes steps of 0.001 here: the last of eleven leads to where there is no loss."""
    trainer = Trainer(
        lambda p, key, rows: jnp.where(p["at"] > -0.0105, p["at"], jnp.nan) + 0 * rows["x"],
        training(11, check_every=11),
    )
    with pytest.raises(NotFitted, match=r"loss is nan in step 11") as caught:
        trainer.fit(keys.root(0), ZERO, ROWS)
    assert caught.value.step == 11


@pytest.mark.parametrize(("number", "batch"), [(10, 4), (3, 8), (128, 128)])
def test_every_row_comes_once_in_every_pass(number, batch):
    batches = _batches(np.random.default_rng(0), np.arange(number), batch)
    stream = np.concatenate([next(batches) for _ in range(-(-4 * number // batch))])
    for at in range(0, len(stream) - number + 1, number):
        np.testing.assert_array_equal(np.sort(stream[at : at + number]), np.arange(number))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_steps": 0}, TypeError, "training.max_steps must be a whole number >= 1"),
        ({"batch": 0}, ValueError, "batch must be a whole number >= 1"),
        ({"learning_rate": -1.0}, ValueError, "training.learning_rate must be positive"),
        ({"held_out": 1.5}, ValueError, r"training.held_out must be in \[0, 1\]"),
    ],
)
def test_bad_settings(options, error, words):
    with pytest.raises(error, match=words):
        training(**({"max_steps": 10} | options))
