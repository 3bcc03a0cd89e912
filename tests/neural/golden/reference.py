"""Tiny models with random parameters, made by the reference implementation (`transformers` with torch).

`python -m tests.neural.golden.reference` writes the folders and `logits.npz` beside this file, with the versions that
made them in `provenance.json`. Parameters are larger than at the start of a training, so that caps and norms matter.
"""

import json
import platform
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,  # so that of the frequencies of a short head some of each kind occur
}
MODELS = {
    "llama": {"architecture": "Llama", "tie_word_embeddings": False},
    "llama3": {
        "architecture": "Llama",
        "tie_word_embeddings": True,
        "head_dim": 12,
        "rope_parameters": LLAMA3,
    },
    "gemma2": {
        "architecture": "Gemma2",
        "head_dim": 8,
        "query_pre_attn_scalar": 6,
        "sliding_window": 5,
        "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 2.0,
        "tie_word_embeddings": True,
    },
}
LENGTH = 24  # tokens of a text
ORIGINAL = "original_max_position_embeddings"
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, ORIGINAL: 32}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 500.0,
    "short_factor": [1.0, 1.1, 1.3, 1.2, 1.6, 2.0],
    "long_factor": [1.0, 1.5, 2.5, 4.0, 6.0, 7.5],
}
SCALED = {  # other RoPE for the parameters of the model "llama3": only the logits are stored
    "yarn": {"rope_parameters": YARN | {"beta_fast": 4.0}},
    "dynamic": {
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 3.0},
        "max_position_embeddings": 16,
    },
    "longrope-short": {"rope_parameters": LONGROPE | {ORIGINAL: 32}},
    "longrope-long": {"rope_parameters": LONGROPE | {ORIGINAL: 16}},
}
_PLAIN = {"architecture": "Llama", "tie_word_embeddings": True}
UNSTORED = {  # compared where the reference is at hand only
    **{name: _PLAIN | {"head_dim": 12} | options for name, options in SCALED.items()},
    "yarn-mscale": _PLAIN | {"rope_parameters": YARN | {"mscale": 2.0, "mscale_all_dim": 0.5}},
    "yarn-not-rounded": _PLAIN | {"head_dim": 12, "rope_parameters": YARN | {"truncate": False}},
    "yarn-without-factor": _PLAIN | {"rope_parameters": YARN | {"factor": None}},
    "linear": _PLAIN | {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}},
    "dynamic-within": SCALED["dynamic"] | _PLAIN | {"max_position_embeddings": LENGTH},
    "longrope-magnitude": _PLAIN
    | {"head_dim": 12, "rope_parameters": LONGROPE | {ORIGINAL: 16, "attention_factor": 1.7}},
    "longrope-factor": _PLAIN | {"head_dim": 12, "rope_parameters": LONGROPE | {ORIGINAL: 16, "factor": 9.0}},
    "longrope-beside": _PLAIN | {"head_dim": 12, "rope_parameters": LONGROPE, ORIGINAL: 16},
}
TOKENS = np.random.default_rng(7).integers(3, 40, (2, LENGTH))


def model(name, seed=0):
    """The reference's model, in single precision."""
    import torch
    import transformers

    options = dict((MODELS | UNSTORED)[name])
    architecture = options.pop("architecture")
    made = getattr(transformers, f"{architecture}Config")(**SIZES | options, attn_implementation="eager")
    torch.manual_seed(seed)
    built = getattr(transformers, f"{architecture}ForCausalLM")(made).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return built


def scaled(name):
    """The stored model "llama3" with another RoPE."""
    built = model(name)
    built.load_state_dict(model("llama3").state_dict())
    return built


def logits(built, tokens, mask=None):
    """(B, T, V); where mask (B, T) is 0 stands padding."""
    import torch

    given = {} if mask is None else {"attention_mask": torch.tensor(mask)}
    if mask is not None:
        given["position_ids"] = torch.tensor(np.maximum(np.cumsum(mask, axis=1) - 1, 0))
    with torch.no_grad():
        return built(torch.tensor(tokens), **given).logits.numpy()


def write():
    """Everything beside this file."""
    import torch
    import transformers

    found = {"tokens": TOKENS}
    for name in MODELS:
        built = model(name)
        # One of them in parts.
        built.save_pretrained(FOLDER / name, max_shard_size="8KB" if name == "llama" else "1GB")
        (FOLDER / name / "generation_config.json").unlink(missing_ok=True)
        found[name] = logits(built, TOKENS)
    for name in SCALED:
        found[name] = logits(scaled(name), TOKENS)
    np.savez_compressed(FOLDER / "logits.npz", **found)
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    told = {"script": "tests/neural/golden/reference.py", "seed": 0, "device": "cpu", **versions}
    (FOLDER / "provenance.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    write()
