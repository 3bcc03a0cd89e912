import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simcollapse.neural.language import config as configs
from simcollapse.neural.language import feeding, folding, lora, models, scoring
from simcollapse.neural.language.training import Tuner, tuning
from simcollapse.neural.language.tuning import rate
from simcollapse.neural.loop import NotFitted

KEY = 5
SIZES = {"vocabulary": 40, "width": 16, "heads": 4, "kv_heads": 2, "hidden": 24, "context": 64}


def small(family):
    if family == "llama":
        return configs.config(**SIZES, layers=2, tied=False)
    caps = {"attention_cap": 3.0, "logit_cap": 2.0}
    return configs.config("gemma2", **SIZES, layers=4, windows=(5, None) * 2, **caps)


def drawn(config):
    """Parameters so large that tokens see each other, and norms that differ from layer to layer."""
    random = np.random.default_rng(3)

    def of(path, x):
        middle = 1.0 if path[-1].key == "scale" and config.family == "llama" else 0.0
        return random.normal(middle, 0.3, x.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(of, models.shapes(config))


@functools.lru_cache
def tuner_of(family, **options):
    """Compiled once for several tests."""
    return Tuner(small(family), tuning(**options))


def rows_of(number=9, width=24, seed=0, least=17):
    """Texts of `least` to `width` tokens; those of 17 to 24 all give arrays of one shape."""
    random = np.random.default_rng(seed)
    length = random.integers(least, width + 1, number).astype(np.int32)
    begin = (length * random.uniform(0.2, 0.8, number)).astype(np.int32)
    tokens = random.integers(3, 40, (number, width)).astype(np.int32)
    return {
        "tokens": np.where(np.arange(width) < length[:, None], tokens, 0),
        "begin": begin,
        "length": length,
    }


def parts_of(rows):
    texts = [row[:n].tolist() for row, n in zip(rows["tokens"], rows["length"], strict=True)]
    begin = rows["begin"].tolist()
    return [t[:b] for t, b in zip(texts, begin, strict=True)], [
        t[b:] for t, b in zip(texts, begin, strict=True)
    ]


def assert_near(got, wanted, tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, wanted)


def assert_same(got, wanted):
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


@pytest.mark.parametrize("family", [pytest.param("llama", marks=pytest.mark.slow), "gemma2"])
def test_folded_parameters_are_the_same_model(family):
    config = small(family)
    params = drawn(config)
    folded = folding.fold(config, params)
    assert_same(jax.jit(lambda x: folding.unfold(config, x))(folded), params)
    assert [len(jax.tree.leaves(kind)[0]) for kind in folded["layers"].values()] == (
        [2] if family == "llama" else [2, 2]
    )
    tokens = rows_of(4)["tokens"]
    forward = folding.Folded(config)
    states = jax.jit(lambda p, t: forward.shell(p).logits(forward.states(p, t)))(folded, tokens)
    wanted = jax.jit(lambda p, t: models.module(config, p)(t))(params, tokens)
    np.testing.assert_allclose(states, wanted, rtol=1e-5, atol=1e-5)


def test_layers_whose_kinds_do_not_repeat_are_folded_one_by_one():
    config = configs.config("gemma2", **SIZES, layers=3, windows=(5, 5, None))
    assert folding.period(config) == 3
    assert folding.period(dataclasses.replace(config, windows=(5, 5, 5))) == 1


@pytest.mark.parametrize("loss_on", ["completion", pytest.param("all", marks=pytest.mark.slow)])
def test_the_loss_is_that_of_scoring(loss_on):
    config, rows = small("gemma2"), rows_of()
    params = drawn(config)
    prompts, answers = parts_of(rows if loss_on == "completion" else rows | {"begin": 0 * rows["begin"] + 1})
    told = scoring.score(config, params, prompts, answers)
    got = Tuner(config, tuning(batch=4, loss_on=loss_on)).loss(params, rows)
    np.testing.assert_allclose(got, -told.log_probability.sum() / told.count.sum(), rtol=1e-5)


def slope_of(config, settings, rows, params):
    """Mean loss of all rows and its gradient by the tuner's own functions, as one step."""
    tuner = Tuner(config, settings)
    feed = feeding.Feed(config, settings, rows, jax.random.key(KEY))
    assert feed.steps == 1
    state, still, _ = tuner._begin(jax.random.key(KEY), params, rows, None)
    return tuner._step_slope(state.free, still, feed, 0)


def packed_beside_plain(family):
    """The same six texts as two batches: a text a row, and two or three side by side in rows of 40."""
    config, rows = small(family), rows_of(6, seed=2, least=6)
    wide = rows | {"tokens": np.pad(rows["tokens"], [(0, 0), (0, 16)])}
    settings = tuning(batch=6), tuning(batch=6, packing=True)
    feeds = [
        feeding.Feed(config, how, x, jax.random.key(KEY))
        for how, x in zip(settings, (rows, wide), strict=True)
    ]
    assert all(feed.steps == 1 for feed in feeds)
    batch, packed = (feed.batches(0)[0] for feed in feeds)
    assert packed["tokens"].shape == (6, 40) and packed["document"].max() >= 1
    assert packed["weight"].sum() == batch["weight"].sum()
    return settings[1], batch, packed


def test_packed_texts_do_not_see_each_other():
    config = small("gemma2")
    settings, batch, packed = packed_beside_plain("gemma2")
    tuner = Tuner(config, settings)
    folded = folding.fold(config, drawn(config))
    loss, beside = (tuner._evaluate(folded, x) for x in (batch, packed))
    np.testing.assert_allclose(beside, loss, rtol=2e-6)
    # The test could have seen the error: texts that see those before them.
    assert abs(tuner._evaluate(folded, packed | {"document": 0 * packed["document"]}) - loss) > 1e-3 * loss


def test_places_begin_anew_in_every_packed_text():
    """They do not show in the loss: what RoPE sees of them is how far apart tokens of one text are."""
    place, document = (packed_beside_plain("llama")[2][name] for name in ("place", "document"))
    begins = (np.diff(document, prepend=-1) != 0) & (document >= 0)
    assert np.all(place[begins] == 0) and begins.sum() == 6
    within = (document[:, 1:] == document[:, :-1]) & (document[:, 1:] >= 0)
    assert np.all(np.diff(place)[within] == 1)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_packed_texts_have_the_same_gradient(family):
    config = small(family)
    settings, batch, packed = packed_beside_plain(family)
    tuner = Tuner(config, settings)
    folded, count = folding.fold(config, drawn(config)), np.float32(batch["weight"].sum())
    (loss, slope), (beside, packed_slope) = (tuner._gradient(folded, {}, x, count) for x in (batch, packed))
    np.testing.assert_allclose(beside, loss, rtol=2e-6)
    assert_near(packed_slope, slope, 2e-5)


@pytest.mark.parametrize(
    "other",
    [
        {"batch": 4, "accumulation": 2},
        pytest.param({"batch": 2, "accumulation": 4}, marks=pytest.mark.slow),
        pytest.param({"batch": 8, "remat": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_step_weighs_every_token_alike_however_it_is_computed(other):
    """Completions of 1 token and of 20: a mean of the batches' means would weigh them unlike."""
    config, rows = small("llama"), rows_of(8)
    rows["begin"][::2] = rows["length"][::2] - 1
    params = drawn(config)
    loss, slope = slope_of(config, tuning(batch=8), rows, params)
    got, got_slope = slope_of(config, tuning(**other), rows, params)
    np.testing.assert_allclose(got, loss, rtol=2e-6)
    assert_near(got_slope, slope, 1e-5)


@pytest.mark.slow
def test_a_large_vocabulary_is_scored_in_pieces(monkeypatch):
    config, rows = small("llama"), rows_of(4)
    params = drawn(config)
    whole, slope = slope_of(config, tuning(batch=4), rows, params)
    monkeypatch.setattr("simcollapse.neural.language.training.LOGITS", 7 * 4 * 40)  # 7 places of 16 or 24
    pieces, piece_slope = slope_of(config, tuning(batch=4), rows, params)
    np.testing.assert_allclose(pieces, whole, rtol=2e-6)
    assert_near(piece_slope, slope, 1e-5)


def plain_fit(config, params, rows, key, settings):
    """The same fit written out: the unfolded model, Optax's own AdamW, one text at a time."""
    feed = feeding.Feed(config, settings, rows, key)
    mask = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key != "scale", params)
    adamw = optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.adamw(
            lambda step: settings.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * step / feed.steps)),
            weight_decay=settings.weight_decay,
            mask=mask,
        ),
    )
    moments = adamw.init(params)

    def loss(params, tokens, weight):
        told = jax.nn.log_softmax(models.module(config, params)(tokens[:, :-1]))
        told = jnp.take_along_axis(told, tokens[:, 1:, None], axis=-1)[..., 0]
        return -jnp.sum(told * weight) / jnp.sum(weight)

    slope, move = jax.jit(jax.value_and_grad(loss)), jax.jit(adamw.update)
    losses = []
    for step in range(feed.steps):
        held = [row for bin in feed._held(step) for row in bin]
        tokens, begin, length = (rows[name][held] for name in ("tokens", "begin", "length"))
        there = np.arange(1, tokens.shape[1])
        weight = (there >= begin[:, None]) & (there < length[:, None])
        # filled up to one shape
        fill = [(0, settings.batch - len(held)), (0, 0)]
        value, change = slope(params, np.pad(tokens, fill), np.pad(weight, fill).astype(np.float32))
        change, moments = move(change, moments, params)
        params = jax.tree.map(np.add, params, change)
        losses.append(float(value))
    return params, losses


def test_a_fit_is_adamw_on_the_plain_model():
    config, rows = small("llama"), rows_of(7)
    params = drawn(config)
    settings = tuning(3, batch=4, learning_rate=1e-2, weight_decay=0.1, schedule="cosine")
    seen = []
    got, report = Tuner(config, settings).fit(
        jax.random.key(KEY), params, rows, watch=lambda step, steps, loss: seen.append((step, steps, loss))
    )
    wanted, losses = plain_fit(config, params, rows, jax.random.key(KEY), settings)
    assert report["steps"] == 6 and report["rows"] == 7 and report["tokens"] == 3 * rows["length"].sum()
    assert report["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert seen == [(6, 6, pytest.approx(losses[-1], rel=1e-5))]
    assert_near(got, wanted, 2e-4)
    assert jax.tree.structure(got) == jax.tree.structure(params)


def test_schedules():
    cosine = tuning(schedule="cosine", warmup=0.2, learning_rate=2.0)
    rates = [rate(cosine, step, 10) for step in range(10)]
    np.testing.assert_allclose(rates[:3], [2 / 3, 4 / 3, 2.0])
    np.testing.assert_allclose(rates[6], 1.0)
    assert np.all(np.diff(rates[2:]) < 0) and rates[-1] > 0
    assert rate(tuning(learning_rate=2.0), 9, 10) == 2.0


def test_adapters_start_at_the_model_and_merge_into_it():
    config, rows = small("gemma2"), rows_of(6)
    params = drawn(config)
    folded = folding.fold(config, params)
    adapters = lora.Adapters(2, 6.0)
    made = lora.start(jax.random.key(0), folded, adapters)
    forward, plain = folding.Folded(config, adapters=adapters), folding.Folded(config)
    of_adapted = jax.jit(lambda made: forward.states(lora.joined(folded, made), rows["tokens"]))
    of_plain = jax.jit(lambda folded: plain.states(folded, rows["tokens"]))
    np.testing.assert_allclose(of_adapted(made), of_plain(folded), rtol=1e-5, atol=1e-5)
    random = np.random.default_rng(0)
    made = jax.tree.map(lambda x: x + random.normal(0, 0.1, x.shape).astype(np.float32), made)
    merged = of_plain(lora.merge(folded, made, adapters))
    np.testing.assert_allclose(of_adapted(made), merged, rtol=1e-4, atol=1e-4)
    assert np.abs(merged - of_plain(folded)).max() > 0.1


ADAPTED = {"batch": 3, "learning_rate": 1e-2, "rank": 2, "schedule": "cosine", "save_every": 4}


def test_a_fit_of_adapters_moves_the_layers_matrices_only():
    config, rows = small("llama"), rows_of(9)
    params = drawn(config)
    tuner = tuner_of("llama", epochs=9, **ADAPTED)
    got, report = tuner.fit(jax.random.key(KEY), params, rows)
    moved = jax.tree.map(
        lambda a, b: np.linalg.matrix_rank(a - b, tol=1e-5) if a.ndim > 1 else 0, got, params
    )
    assert moved["layers"][1]["mlp"]["factor"]["kernel"] == 2
    assert moved["layers"][0]["attention"]["key_value"]["kernel"] == 2
    assert moved["words"]["embedding"] == 0 and moved["head"]["kernel"] == 0
    before, after = tuner.loss(params, rows), tuner.loss(got, rows)
    assert after < before - 0.5 and report["loss"] < before


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path):
    config, rows = small("llama"), rows_of(9)
    params = drawn(config)
    tuner = tuner_of("llama", epochs=9, **ADAPTED)
    whole, told = tuner.fit(jax.random.key(KEY), params, rows)

    def stop(step, steps, loss):
        if step == 10:
            raise KeyboardInterrupt

    folder, steps = tmp_path / "fit", []
    with pytest.raises(KeyboardInterrupt):
        tuner.fit(jax.random.key(KEY), params, rows, folder=folder, watch=stop)
    assert sorted(p.name for p in folder.iterdir()) == ["round-4", "round-8"]
    with pytest.raises(ValueError, match="holds a run with other settings"):
        tuner.fit(jax.random.key(KEY + 1), params, rows, folder=folder)
    again, report = tuner.fit(
        jax.random.key(KEY), params, rows, folder=folder, watch=lambda step, *_: steps.append(step)
    )
    assert steps[0] == 10 and report == told
    assert_same(again, whole)
    assert not folder.exists()


def test_no_room_for_saved_states(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000}))
    config = small("llama")
    tuner = Tuner(config, tuning(save_every=1))
    with pytest.raises(OSError, match="are free: free some, or fit without save_every"):
        tuner.fit(jax.random.key(0), drawn(config), rows_of(), folder=tmp_path)


def test_a_loss_that_is_not_finite_names_its_step():
    config = small("llama")
    params = drawn(config)
    params["norm"]["scale"] = jnp.full(16, jnp.nan)
    with pytest.raises(NotFitted, match="loss is nan in step 1 "):
        tuner_of("llama", epochs=9, **ADAPTED).fit(jax.random.key(0), params, rows_of())


@pytest.mark.slow
def test_half_precision_is_near_and_keeps_single_parameters():
    config, rows = small("llama"), rows_of()
    params = drawn(config)
    full, half = (Tuner(config, tuning(batch=9, precision=p)) for p in ("float32", "bfloat16"))
    exact, near = full.loss(params, rows), half.loss(params, rows)
    assert exact != near and abs(exact - near) < 0.02 * exact
    got, _ = half.fit(jax.random.key(KEY), params, rows)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(got))


def test_shapes_are_few():
    config = small("llama")
    rows = rows_of(64, width=48, least=6)
    feed = feeding.Feed(config, tuning(batch=4), rows, jax.random.key(0))
    shapes = {b["tokens"].shape + b["target"].shape for s in range(feed.steps) for b in feed.batches(s)}
    assert len(shapes) <= 3


@pytest.mark.parametrize("packing", [False, True])
def test_every_row_comes_once_in_every_pass(packing):
    rows = rows_of(30, least=3)
    feed = feeding.Feed(small("llama"), tuning(4, batch=4, packing=packing), rows, jax.random.key(0))
    held = [row for step in range(feed.steps) for bin in feed._held(step) for row in bin]
    for at in range(0, 120, 30):
        assert sorted(held[at : at + 30]) == list(range(30))
    assert len(held) == 120 and held[:30] != held[30:60]
    batches = [batch for step in range(feed.steps) for batch in feed.batches(step)]
    assert (
        sum(b["weight"].sum() for b in batches)
        == 4 * np.minimum(rows["length"] - rows["begin"], rows["length"] - 1).sum()
    )
    if packing:
        places = sum(b["tokens"].size for b in batches)
        assert feed.tokens / places > 0.8


def test_a_cap_on_steps_holds():
    rows = rows_of(10)
    for given, steps in (((None, 7), 7), ((1, 7), 3), ((9, 7), 7), ((None, None), 3)):
        settings = tuning(given[0], max_steps=given[1], batch=4)
        assert feeding.Feed(small("llama"), settings, rows, jax.random.key(0)).steps == steps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"begin": None}, "begin missing"),
        ({"tokens": np.full((9, 24), 40)}, "rows.tokens must be from 0 to 39, got 40"),
        ({"length": np.full(9, 25)}, "length <= 24"),
        ({"begin": np.full(9, -1)}, "0 <= begin"),
        ({"begin": np.zeros(8, int)}, r"rows.begin must have shape \(9,\)"),
        ({"tokens": np.zeros((0, 24), int)}, "rows must be one or more"),
    ],
)
def test_bad_rows(change, words):
    config = small("llama")
    rows = {name: x for name, x in (rows_of() | change).items() if x is not None}
    with pytest.raises(ValueError, match=words):
        Tuner(config, tuning()).loss({}, rows)


def test_rows_without_anything_to_learn_from():
    rows = rows_of()
    with pytest.raises(ValueError, match="must have a token whose loss counts"):
        Tuner(small("llama"), tuning()).loss({}, rows | {"begin": rows["length"]})


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"epochs": 0}, TypeError, "tuning.epochs must be a whole number >= 1, or None"),
        ({"schedule": "cosin"}, ValueError, "Did you mean 'cosine'"),
        ({"loss_on": "prompt"}, ValueError, "tuning.loss_on must be one of"),
        ({"precision": "float16"}, ValueError, "Did you mean 'bfloat16'"),
        ({"warmup": 2.0}, ValueError, r"tuning.warmup must be in \[0, 1\]"),
        ({"clip": 0.0}, ValueError, "tuning.clip must be positive"),
        ({"rank": 0}, TypeError, "tuning.rank must be"),
    ],
)
def test_bad_settings(options, error, words):
    with pytest.raises(error, match=words):
        tuning(**options)


@pytest.mark.slow
def test_four_devices_fit_as_one():
    """In a process of its own, as the number of devices cannot change; see `language_devices`."""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-m", "tests.neural.language_devices"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
