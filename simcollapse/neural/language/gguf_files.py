"""GGUF files: the config from their metadata, the tensors dequantised, under Hugging Face's names."""

import math
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from simcollapse.checks import check_choice
from simcollapse.neural.language import names
from simcollapse.neural.language.config import Config, config
from simcollapse.neural.transformer.rotary import Rope, frequencies

FAMILIES = ("llama", "gemma2")
FACTORS, SHORT, LONG = "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"

_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}
_NORMS = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma2": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}


def read_gguf(path: Path, precision: str = "float32") -> tuple[Config, dict[str, np.ndarray], dict[str, Any]]:
    """Config, tensors by Hugging Face's names in single precision, and the file's metadata.

    Raises:
        ValueError: not a GGUF file, a family that is not supported, missing metadata or tensors, an unknown tensor or a
            scaling of RoPE that is not supported.
    """
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"{path} is no GGUF file, or is cut short: {error}") from None
    facts = {name: field.contents() for name, field in reader.fields.items()}
    raw = {tensor.name: tensor for tensor in reader.tensors}
    made = _config(path, facts, raw, precision)
    _check_there(path, made, raw)
    tensors = {}
    for name, tensor in raw.items():
        if name not in (FACTORS, SHORT, LONG):
            tensors[renamed(made.family, name)] = _restored(made, name, _dequantised(path, tensor))
    return made, tensors, facts


def _check_there(path: Path, config: Config, raw: dict[str, Any]) -> None:
    """Raise ValueError that names the tensors which are missing, as the file would."""
    layers = (f"blk.{i}.{stem}" for i in range(config.layers) for stem in _LAYER | _NORMS[config.family])
    wanted = names.places(config)
    every = [f"{stem}.weight" for stem in (*_WHOLE, *layers)]
    missing = [name for name in every if name not in raw and renamed(config.family, name) in wanted]
    if missing:
        raise ValueError(
            f"{path} must hold the {len(wanted)} tensors of its model; it lacks {names.listed(missing)}"
        )


def _dequantised(path: Path, tensor: Any) -> np.ndarray:
    try:
        return np.asarray(gguf.dequantize(tensor.data, tensor.tensor_type), np.float32)
    except NotImplementedError:
        kind = tensor.tensor_type.name
        raise ValueError(f"{path}: {tensor.name} is quantised as {kind}, which cannot be read") from None


def _config(path: Path, facts: dict[str, Any], raw: dict[str, Any], precision: str) -> Config:
    family = facts.get("general.architecture")
    check_choice(f"general.architecture of {path}", family, FAMILIES)

    def fact(name: str) -> Any:
        if f"{family}.{name}" not in facts:
            raise ValueError(f"{path} must say {family}.{name} in its metadata")
        return facts[f"{family}.{name}"]

    layers, heads, width, context = (
        fact(name) for name in ("block_count", "attention.head_count", "embedding_length", "context_length")
    )
    head = facts.get(f"{family}.attention.key_length", width // heads)
    turned = facts.get(f"{family}.rope.dimension_count", head)
    if turned != head:
        raise ValueError(f"{path}: {family}.rope.dimension_count must be {head} (whole heads), got {turned}")
    factors = {name: np.asarray(raw[name].data, float) for name in (FACTORS, SHORT, LONG) if name in raw}
    if "token_embd.weight" not in raw:
        raise ValueError(f"{path} must hold the tensor token_embd.weight")
    own: dict[str, Any] = {}
    if family == "gemma2":
        window = facts.get("gemma2.attention.sliding_window", 4096)
        # 27B scales queries by its width a head, which its metadata do not say; 2B and 9B by 1 / sqrt(head).
        scale = (width / heads) ** -0.5 if layers == 46 else head**-0.5
        own = {
            "scale": scale,
            "attention_cap": facts.get("gemma2.attn_logit_softcapping", 50.0),
            "logit_cap": facts.get("gemma2.final_logit_softcapping", 30.0),
            "windows": tuple(None if i % 2 else window for i in range(layers)),
        }
    ends = (
        facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")
    )  # of a text, of a turn in a chat
    stops = tuple(dict.fromkeys(end for end in ends if end is not None))
    return config(
        str(family),
        vocabulary=raw["token_embd.weight"].data.shape[0],
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=facts.get(f"{family}.attention.head_count_kv", heads),
        head=head,
        hidden=fact("feed_forward_length"),
        context=context,
        tied="output.weight" not in raw,
        epsilon=fact("attention.layer_norm_rms_epsilon"),
        rope=_rope(path, f"{family}.rope.", facts, factors, head, context),
        start=facts.get("tokenizer.ggml.bos_token_id"),
        stops=stops,
        precision=precision,
        **own,
    )


def renamed(family: str, name: str) -> str:
    """Hugging Face's name of a tensor.

    Raises:
        ValueError: a tensor that the family has not.
    """
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    known = _LAYER | _NORMS[family]
    if kind == "weight" and stem in _WHOLE:
        return f"{_WHOLE[stem]}.weight"
    if kind == "weight" and layer and layer[2] in known:
        return f"model.layers.{layer[1]}.{known[layer[2]]}.weight"
    raise ValueError(f"the tensor {name!r} of a GGUF file is none of a {family} model's")


def _restored(config: Config, name: str, value: np.ndarray) -> np.ndarray:
    """As Hugging Face stores it: Llama's q and k not interleaved, Gemma's norms less the 1 that they are added to."""
    if config.family == "gemma2":
        return value - 1 if name.endswith("norm.weight") else value
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2])
    return value if heads is None else uninterleaved(value, heads)


def uninterleaved(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows (heads H, …) whose numbers turn in pairs (2h, 2h + 1), ordered to turn in pairs (h, h + H/2)."""
    pairs = value.reshape(heads, value.shape[0] // heads // 2, 2, *value.shape[1:])
    return pairs.swapaxes(1, 2).reshape(value.shape)


def _rope(
    path: Path, prefix: str, facts: dict[str, Any], factors: dict[str, np.ndarray], head: int, context: int
) -> Rope:
    """As llama.cpp reads it: the kind of the metadata, or the one that the tensors `factors` belong to.

    Without a kind it is linear, by a factor that may stand under an old name; 0 or none is 1.
    """

    def told(name: str, otherwise: Any) -> Any:
        return facts.get(f"{prefix}scaling.{name}", otherwise)

    base = facts.get(f"{prefix}freq_base", 10_000.0)
    kind = told("type", "linear")
    check_choice(f"{prefix}scaling.type of {path}", kind, ("none", "linear", "yarn", "longrope"))
    factor = (told("factor", facts.get(f"{prefix}scale_linear")) or 1.0) if kind != "none" else 1.0
    if FACTORS in factors and (factor != 1 or kind in ("yarn", "longrope")):
        raise ValueError(f"{path}: RoPE must be scaled by {FACTORS} or by its metadata, not by both")
    original, magnitude = told("original_context_length", context), told("attn_factor", 1.0)
    if kind == "yarn":
        _check_yarn(path, prefix, told)
        low, high = told("yarn_beta_slow", 1.0), told("yarn_beta_fast", 32.0)
        return Rope(base, kind, factor, low, high, original, magnitude * (1 + 0.1 * math.log(max(factor, 1))))
    if kind == "longrope":
        if not {SHORT, LONG} <= factors.keys() or factor != 1:
            raise ValueError(
                f"{path}: RoPE of kind longrope must have the tensors {SHORT} and {LONG} and no factor, got "
                f"{sorted(factors)} and {factor}"
            )
        short, long = (tuple(factors[name].tolist()) for name in (SHORT, LONG))
        return Rope(base, kind, original=original, magnitude=magnitude, short=short, long=long)
    if magnitude != 1:
        raise ValueError(
            f"{path}: {prefix}scaling.attn_factor must be 1 where RoPE is {kind}, got {magnitude}"
        )
    if FACTORS in factors:
        return _llama3(path, base, head, factors[FACTORS])
    return Rope(base) if factor == 1 else Rope(base, "linear", factor)


def _check_yarn(path: Path, prefix: str, told: Any) -> None:
    """Refuse what readers of GGUF files do not agree on, or what YaRN as published has not."""
    if told("yarn_ext_factor", 1.0) not in (1.0, -1.0):  # negative: not set
        raise ValueError(
            f"{path}: {prefix}scaling.yarn_ext_factor must be 1, got {told('yarn_ext_factor', 1.0)}"
        )
    for name in ("yarn_attn_factor", "yarn_log_multiplier"):
        if told(name, 0.0):
            raise ValueError(
                f"{path}: {prefix}scaling.{name} has no one meaning (the whole magnitude, or beside that of the "
                "factor): use the model's folder of safetensors"
            )


def _llama3(path: Path, base: float, head: int, factors: np.ndarray) -> Rope:
    """The published scaling that divides frequencies by `factors`; a GGUF file keeps only these."""
    rope = Rope(base, "llama3", float(factors.max()), 1.0, 4.0, 8192)
    wanted = frequencies(Rope(base), head, 1) / frequencies(rope, head, 1)
    if factors.shape != wanted.shape or not np.allclose(factors, wanted, rtol=1e-4):
        raise ValueError(
            f"{path}: {FACTORS} is not the scaling of Llama 3.1 and later (1 to 4 turns in 8192 tokens)"
        )
    return rope
