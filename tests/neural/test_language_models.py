import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse.neural.language import checkpoints, models
from simcollapse.neural.language.config import config, of_length, read, written
from simcollapse.neural.transformer import attention, rotary
from tests.neural.golden import reference

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("llama", "llama3", "gemma2")
LOGITS = np.load(GOLDEN / "logits.npz")
TOKENS = jnp.asarray(LOGITS["tokens"], jnp.int32)


def loaded(name):
    return checkpoints.load(GOLDEN / name)


def logits(made, params, tokens=TOKENS, begin=None):
    """Not compiled as a whole: models that differ a little share the compiled operations."""
    return np.asarray(models.module(made, params)(tokens, begin))


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_the_reference(name):
    """Stored logits of `transformers`; golden/provenance.json says which version."""
    made = loaded(name)
    assert np.abs(logits(made.config, made.params) - LOGITS[name]).max() < 1e-4


def scaled(name, length=reference.LENGTH):
    """The stored model `llama3` with another RoPE, read from entries as `transformers` writes them."""
    entries = json.loads((GOLDEN / "llama3" / "config.json").read_text()) | reference.SCALED[name]
    return of_length(read(entries), length), loaded("llama3").params


@pytest.mark.parametrize("name", list(reference.SCALED))
def test_logits_under_other_scalings_are_those_of_the_reference(name):
    """And would not be under a part of them, or of a run for texts of another length."""
    made, params = scaled(name)
    assert np.abs(logits(made, params) - LOGITS[name]).max() < 1e-4
    rope = made.rope
    others = [dataclasses.replace(rope, magnitude=1.001 * rope.magnitude)]
    others += {
        "yarn": [dataclasses.replace(rope, rounded=False)],
        "dynamic": [rotary.Rope(500.0)],
        "longrope-short": [
            dataclasses.replace(rope, short=rope.long),
            dataclasses.replace(rope, original=23),
        ],
        "longrope-long": [dataclasses.replace(rope, long=rope.short), dataclasses.replace(rope, original=24)],
    }[name]
    for other in others:
        wrong = dataclasses.replace(made, rope=other)
        assert np.abs(logits(wrong, params) - LOGITS[name]).max() > 1e-3
    longer = scaled(name, 40)[0]
    same = name == "yarn" or name == "longrope-long"
    assert (np.abs(logits(longer, params) - LOGITS[name]).max() < 1e-4) == same


# Each part of a model, left out or changed, and the reference's logits would tell.
CHANGES = {
    "llama": {"epsilon": 1e-2, "scale": 0.6, "rope": rotary.Rope(9_000.0)},
    "llama3": {"rope": rotary.Rope(500.0)},
    "gemma2": {
        "attention_cap": None,
        "logit_cap": None,
        "scale": 8**-0.5,
        "windows": (None, None),
    },
}


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, fields in CHANGES.items() for field in fields],
)
def test_the_stored_logits_see_each_part(name, field):
    made = loaded(name)
    other = dataclasses.replace(made.config, **{field: CHANGES[name][field]})
    assert np.abs(logits(other, made.params) - LOGITS[name]).max() > 1e-3


def test_a_window_of_another_size_or_layer_is_seen():
    made = loaded("gemma2")
    for windows in ((4, None), (6, None), (None, 5)):
        other = dataclasses.replace(made.config, windows=windows)
        assert np.abs(logits(other, made.params) - LOGITS["gemma2"]).max() > 1e-3


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_padding_on_the_left_changes_nothing(name):
    """Any tokens as padding: they are not seen."""
    made = loaded(name)
    begin = jnp.array([0, 7])
    padded = jnp.full((2, 31), 5, jnp.int32).at[0, :24].set(TOKENS[0]).at[1, 7:].set(TOKENS[1])
    got = logits(made.config, made.params, padded, begin)
    rounding = 2e-5 * np.abs(LOGITS[name]).max()
    np.testing.assert_allclose(got[0, :24], LOGITS[name][0], atol=rounding)
    np.testing.assert_allclose(got[1, 7:], LOGITS[name][1], atol=rounding)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_cache_equals_no_cache(name):
    """A first piece of several tokens, then one token after the other, with padding on the left."""
    made = loaded(name)
    begin = jnp.array([0, 3])
    first = 9

    @jax.jit
    def by_pieces(params):
        module = models.module(made.config, params)
        states, caches = module.states(TOKENS[:, :first], begin, module.empty(2, 30))

        def body(caches, at):
            state, caches = module.states(jax.lax.dynamic_slice_in_dim(TOKENS, at, 1, 1), begin, caches, at)
            return caches, state[:, 0]

        later = jax.lax.scan(body, caches, jnp.arange(first, TOKENS.shape[1]))[1]
        return module.logits(jnp.concatenate([states, later.swapaxes(0, 1)], axis=1))

    got, wanted = np.asarray(by_pieces(made.params)), logits(made.config, made.params, begin=begin)
    rounding = 2e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(got[0], wanted[0], atol=rounding)
    np.testing.assert_allclose(got[1, 3:], wanted[1, 3:], atol=rounding)


def test_later_tokens_change_nothing():
    made = loaded("gemma2")
    other = TOKENS.at[:, 10].set((TOKENS[:, 10] + 1) % 40)
    got = logits(made.config, made.params, other)
    np.testing.assert_array_equal(got[:, :10], logits(made.config, made.params)[:, :10])
    assert np.abs(got[:, 10:] - LOGITS["gemma2"][:, 10:]).max(axis=(0, 2)).min() > 1e-3


@pytest.mark.slow
def test_half_precision_is_near_and_keeps_its_parameters():
    made = loaded("llama")
    half = dataclasses.replace(made.config, precision="bfloat16")
    assert {x.dtype for x in jax.tree.leaves(models.init(half, jax.random.key(0)))} == {np.dtype("float32")}
    got = logits(half, made.params)
    assert got.dtype == np.float32
    error = np.abs(got - LOGITS["llama"])
    assert 1e-4 < error.mean() < 0.02 * np.abs(LOGITS["llama"]).max()


def test_capped_attention_is_the_formula():
    random = np.random.default_rng(0)
    q, k, v = (random.normal(size=(1, 3, 2, 4)).astype(np.float32) * 3 for _ in range(3))
    got = attention.attend(
        jnp.asarray(q),
        attention.Cache(*(jnp.swapaxes(jnp.asarray(x), 1, 2) for x in (k, v))),
        scale=0.7,
        cap=2.0,
    )
    for t, h in np.ndindex(3, 2):
        weight = np.exp(2 * np.tanh(0.7 * k[0, :, h] @ q[0, t, h] / 2))
        np.testing.assert_allclose(got[0, t, h], weight @ v[0, :, h] / weight.sum(), rtol=1e-5)


def test_turning_is_by_the_difference_of_places():
    random = np.random.default_rng(1)
    x, y = (jnp.asarray(random.normal(size=(1, 1, 1, 8)), jnp.float32) for _ in range(2))
    angles = rotary.frequencies(rotary.Rope(100.0), 8, 1)

    def product(i, j):
        turned = [rotary.rotate(z, rotary.turn_to(jnp.array([[p]]), angles)) for z, p in ((x, i), (y, j))]
        return float(jnp.sum(turned[0] * turned[1]))

    np.testing.assert_allclose(product(9, 4), product(25, 20), rtol=1e-5)
    # By hand, the pair (0, 4) at frequency 1 and so on.
    pairs = [complex(float(z[0, 0, 0, h]), float(z[0, 0, 0, h + 4])) for z in (x, y) for h in range(4)]
    wanted = sum(
        (pairs[h] * np.conj(pairs[4 + h]) * np.exp(1j * 5 * 100.0 ** (-h / 4))).real for h in range(4)
    )
    np.testing.assert_allclose(product(9, 4), wanted, rtol=1e-5)


def test_scalings_of_the_frequencies():
    plain = rotary.frequencies(rotary.Rope(500_000.0), 128, 1)
    linear = rotary.frequencies(rotary.Rope(500_000.0, "linear", 4.0), 128, 1)
    np.testing.assert_allclose(linear, plain / 4)
    llama3 = rotary.frequencies(rotary.Rope(500_000.0, "llama3", 8.0), 128, 1)
    turns = 8192 * plain / (2 * np.pi)
    np.testing.assert_array_equal(llama3[turns > 4], plain[turns > 4])
    np.testing.assert_allclose(llama3[turns < 1], plain[turns < 1] / 8)
    between = (turns > 1) & (turns < 4)
    assert between.sum() >= 3 and np.all(np.diff(llama3) < 0)
    assert np.all((llama3[between] < plain[between]) & (llama3[between] > plain[between] / 8))


# By `transformers` 5.24 with torch 2.13: ROPE_INIT_FUNCTIONS["yarn"], single precision.
YARN_OF_THE_REFERENCE = (
    *(1.0, 0.027973996475338936, 0.006538461893796921),
    *(0.0013378867879509926, 3.333803761051968e-05),
)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}


def test_yarn():
    """Frequencies and magnitude against stored ones of the reference; kept and divided ends; read as it was written."""
    made = read({**SMALL, "head_dim": 64, "rope_theta": 10_000.0, "rope_scaling": YARN})
    got, plain = (rotary.frequencies(rope, 64, 1) for rope in (made.rope, rotary.Rope(10_000.0)))
    np.testing.assert_allclose(got[[0, 12, 16, 20, 31]], YARN_OF_THE_REFERENCE, rtol=1e-6)
    np.testing.assert_array_equal(got[:11], plain[:11])
    np.testing.assert_allclose(got[-9:], plain[-9:] / 4, rtol=1e-15)
    assert made.rope.magnitude == pytest.approx(1 + math.log(4) / 10)
    assert read(json.loads(json.dumps(written(made)))).rope == made.rope
    assert read({**SMALL, "rope_scaling": YARN | {"attention_factor": 0.5}}).rope.magnitude == 0.5
    ratio = read({**SMALL, "rope_scaling": YARN | {"mscale": 2.0, "mscale_all_dim": 0.5}}).rope.magnitude
    assert ratio == pytest.approx((1 + 0.2 * math.log(4)) / (1 + 0.05 * math.log(4)))
    turn = rotary.turn_to(jnp.array([[3]]), got, 2.0)
    np.testing.assert_allclose(np.square(turn.cos) + np.square(turn.sin), 4.0, rtol=1e-6)


def test_dynamic():
    """By hand: within what the model was trained on nothing changes; beyond, the lowest frequency is stretched."""
    made = read({**SMALL, "max_position_embeddings": 32, "rope_scaling": {"type": "dynamic", "factor": 3.0}})
    assert (made.context, made.length, made.rope.original) == (96, 96, 32)
    plain = rotary.frequencies(rotary.Rope(), 4, 1)
    for length in (1, 31, 32):
        np.testing.assert_array_equal(of_length(made, length).frequencies, plain)
    got = of_length(made, 64).frequencies
    assert got[0] == 1 and plain[-1] / got[-1] == pytest.approx(3 * (64 / 32) - 2)
    again = read(json.loads(json.dumps(written(of_length(made, 64)))))
    assert again == made and written(made)["max_position_embeddings"] == 32


LONGROPE = {"rope_type": "longrope", "short_factor": [1, 2], "long_factor": [3, 4], "factor": 4}


def test_longrope():
    made = read(
        {
            **SMALL,
            "max_position_embeddings": 64,
            "rope_scaling": LONGROPE,
            "original_max_position_embeddings": 16,
        }
    )
    plain = rotary.frequencies(rotary.Rope(), 4, 1)
    np.testing.assert_allclose(of_length(made, 16).frequencies, plain / [1, 2])
    np.testing.assert_allclose(of_length(made, 17).frequencies, plain / [3, 4])
    assert made.rope.magnitude == pytest.approx(math.sqrt(1 + math.log(4) / math.log(16)))
    assert read(json.loads(json.dumps(written(made)))) == made
    with pytest.raises(ValueError, match="length must be <= 64, got 65"):
        of_length(made, 65)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_read_as_it_was_written(name):
    made = loaded(name).config
    assert read(json.loads(json.dumps(written(made)))) == dataclasses.replace(
        made, scale=read(written(made)).scale
    )
    np.testing.assert_allclose(read(written(made)).scale, made.scale, rtol=1e-15)


SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
}


def test_configs_of_earlier_versions_are_read():
    """RoPE in entries of its own, and Gemma 2 with nothing said of its layers."""
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    got = read({**SMALL, "rope_theta": 500_000.0, "rope_scaling": scaling})
    assert got.rope == rotary.Rope(500_000.0, "llama3", 8.0, 1.0, 4.0, 8192)
    assert read({**SMALL, "architectures": "LlamaForCausalLM"}) == read(SMALL)
    old = read({**SMALL, "rope_scaling": {"type": "linear", "factor": 2.0}})
    assert old.rope == rotary.Rope(10_000.0, "linear", 2.0) and not old.tied
    gemma = read({**SMALL, "architectures": ["Gemma2ForCausalLM"], "eos_token_id": [1, 7]})
    assert gemma.windows == (4096, None) and gemma.stops == (1, 7) and gemma.tied
    assert (gemma.head, gemma.scale, gemma.attention_cap, gemma.logit_cap) == (256, 1 / 16, 50.0, 30.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"architectures": ["MistralForCausalLM"]},
            "one of LlamaForCausalLM, Gemma2ForCausalLM, got 'Mistral",
        ),
        ({"architectures": "MistralForCausalLM"}, "got 'MistralForCausalLM'"),
        ({"hidden_size": 0}, "config.json: hidden_size must be a whole number >= 1, got 0"),
        ({"architectures": None, "model_type": "gpt2"}, "architecture must be one of .* got 'gpt2'"),
        ({"attention_bias": True}, "attention_bias must be false"),
        ({"hidden_act": "relu"}, "activation of llama must be 'silu', got 'relu'"),
        ({"rope_scaling": {"rope_type": "ntk", "factor": 2}}, "rope_type must be one of .* got 'ntk'"),
        ({"rope_scaling": {"rope_type": "dynamic"}}, "dynamic .* must have factor"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 0.5}}, "dynamic must have a factor >= 1"),
        ({"rope_scaling": LONGROPE}, "longrope .* must have original_max_position_embeddings"),
        (
            {"rope_scaling": LONGROPE | {"short_factor": [1], "original_max_position_embeddings": 16}},
            r"rope.short must have shape \(2,\)",
        ),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": 1.0}}},
            "one for all layers, got full_attention",
        ),
        ({"rope_scaling": "yarn"}, "scaling of RoPE must be an object, got 'yarn'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1 .* got 0.5"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "yarn .* must have original_max_position_emb"),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 2}},
            "must have low_freq_factor, high_freq_factor",
        ),
        ({"num_key_value_heads": 3}, "kv_heads must divide heads, got 3 and 4"),
        ({"bos_token_id": 40}, "start and stops must be <= 39, got 40"),
    ],
)
def test_configs_that_are_not_supported(change, words):
    with pytest.raises(ValueError, match=words):
        read({**SMALL, **change})


def test_bad_sizes():
    sizes = {"vocabulary": 40, "width": 16, "layers": 2, "heads": 4, "hidden": 24}
    with pytest.raises(ValueError, match=r"config\.json must have vocab_size"):
        read({"architectures": ["LlamaForCausalLM"]})
    for name in ("hidden_size", "num_key_value_heads", "max_position_embeddings"):
        with pytest.raises(TypeError, match=rf"config\.json: {name} must be a whole number, got '16'"):
            read({**SMALL, name: "16"})
    with pytest.raises(ValueError, match="head must be even"):
        config(**sizes, head=5)
    with pytest.raises(ValueError, match="windows must have one entry for each of the 2 layers, got 1"):
        config(**sizes, windows=(4,))
    with pytest.raises(ValueError, match="precision must be one of"):
        config(**sizes, precision="float16")
