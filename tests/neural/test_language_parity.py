"""Against `transformers` with torch on CPU, the extra `parity`; the fast tests have stored logits of the same."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse.neural.language import checkpoints, generation, models
from tests.neural.golden import reference

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("torch", reason="needs the extra `parity` (torch, transformers)")
    transformers = pytest.importorskip(
        "transformers", reason="needs the extra `parity` (torch, transformers)"
    )

TOLERANCE = 1e-4
PADDED = np.arange(24) >= np.array([0, 9])[:, None]


def logits(made, tokens, begin=None):
    return np.asarray(models.module(made.config, made.params)(jnp.asarray(tokens), begin))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", [*reference.MODELS, *reference.UNSTORED])
def test_logits_are_those_of_transformers(name, seed, tmp_path):
    """On parameters that are not stored; whole texts, and with padding on the left."""
    built = reference.model(name, seed)
    built.save_pretrained(tmp_path)
    made = checkpoints.load(tmp_path, length=reference.LENGTH)
    tokens = np.random.default_rng(seed).integers(3, 40, (2, 24))
    wanted = reference.logits(built, tokens)
    padded = reference.logits(built, tokens, PADDED.astype(int))
    whole = np.abs(logits(made, tokens) - wanted).max()
    behind = np.abs(logits(made, tokens, jnp.array([0, 9])) - padded)[PADDED].max()
    print(f"{name} seed {seed}: largest errors {whole:.1e}, padded {behind:.1e}")
    assert max(whole, behind) < TOLERANCE
    assert np.abs(wanted).max() > 1


@pytest.mark.parametrize(
    ("name", "most"), [("longrope-short", 10), ("longrope-long", 10), ("dynamic-within", 10)]
)
def test_greedy_answers_are_those_of_transformers_where_its_frequencies_do_not_change(name, most, tmp_path):
    """Prompts and answers on one side of the length at which they change; there ours are as if all were so long."""
    import torch

    built = reference.model(name, 4)
    built.save_pretrained(tmp_path)
    prompts = np.random.default_rng(4).integers(
        3, 40, (2, 17 if name == "longrope-long" else reference.LENGTH - most)
    )
    with torch.no_grad():
        told = built.generate(
            torch.tensor(prompts), max_new_tokens=most, do_sample=False, eos_token_id=None, pad_token_id=0
        )
    made = checkpoints.load(tmp_path, length=prompts.shape[1] + most)
    got = generation.generate(made.config, made.params, prompts.tolist(), most, stops=())
    assert got.tokens == told[:, prompts.shape[1] :].tolist()


@pytest.mark.parametrize("name", list(reference.SCALED))
def test_a_saved_scaling_is_that_of_transformers(name, tmp_path):
    reference.model(name, 5).save_pretrained(tmp_path / "theirs")
    made = checkpoints.load(tmp_path / "theirs", length=20)
    checkpoints.save(tmp_path / "ours", made)
    assert checkpoints.load(tmp_path / "ours", length=20).config == made.config
    ours, theirs = (
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / who, attn_implementation="eager").eval()
        for who in ("ours", "theirs")
    )
    wanted = reference.logits(theirs, reference.TOKENS)
    np.testing.assert_allclose(reference.logits(ours, reference.TOKENS), wanted, atol=1e-5)


@pytest.mark.parametrize("name", list(reference.MODELS))
def test_what_is_saved_loads_in_transformers(name, tmp_path):
    checkpoints.save(tmp_path, checkpoints.load(reference.FOLDER / name))
    built = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    wanted = np.load(reference.FOLDER / "logits.npz")
    np.testing.assert_allclose(reference.logits(built, wanted["tokens"]), wanted[name], atol=1e-5)
