"""What a decoder is made of, and the same as a Hugging Face `config.json`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from simcollapse.checks import check_choice, check_shape, check_value, check_whole
from simcollapse.neural.language import scalings
from simcollapse.neural.transformer import rotary
from simcollapse.neural.transformer.rotary import Rope

ARCHITECTURES = {"llama": "LlamaForCausalLM", "gemma2": "Gemma2ForCausalLM"}
ACTIVATIONS = {"llama": "silu", "gemma2": "gelu_pytorch_tanh"}
PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Config:
    """A decoder of the Llama or the Gemma 2 family. Build it with `config(...)` or `read(...)`."""

    family: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head: int  # numbers a head
    hidden: int  # of a feed-forward layer
    context: int  # tokens that the model was made for
    length: int  # tokens of a text at most, no more than that; `rotary.BY_LENGTH` go by it
    tied: bool  # the head is the embedding
    epsilon: float  # of the norms
    rope: Rope
    scale: float  # of query times key
    attention_cap: float | None
    logit_cap: float | None
    windows: tuple[int | None, ...]  # of each layer: tokens that a token sees, itself one of them; None: all
    start: int | None  # token that a text begins with
    stops: tuple[int, ...]  # tokens that end a text
    precision: str  # of activations; parameters are float32

    @property
    def frequencies(self) -> np.ndarray:
        """Of RoPE, (head / 2,), the same for every text of up to `length` tokens."""
        return rotary.frequencies(self.rope, self.head, self.length)


def config(
    family: str = "llama",
    *,
    vocabulary: int,
    width: int,
    layers: int,
    heads: int,
    hidden: int,
    kv_heads: int | None = None,
    head: int | None = None,
    context: int = 2048,
    length: int | None = None,
    tied: bool = True,
    epsilon: float = 1e-5,
    rope: Rope = Rope(),  # noqa: B008 (frozen)
    scale: float | None = None,
    attention_cap: float | None = None,
    logit_cap: float | None = None,
    windows: tuple[int | None, ...] | None = None,
    start: int | None = None,
    stops: tuple[int, ...] = (),
    precision: str = "float32",
) -> Config:
    """A decoder, checked. None: as many key heads as heads, width / heads, the context, 1 / sqrt(head), no caps, no
    windows.

    Raises:
        ValueError: an unknown family or precision, heads that do not fit, a token outside the vocabulary, or a value
            outside its range.
    """
    check_choice("family", family, ARCHITECTURES)
    check_choice("precision", precision, PRECISIONS)
    check_choice("rope.kind", rope.kind, rotary.KINDS)
    width, heads = check_whole("width", width, 1), check_whole("heads", heads, 1)
    layers, vocabulary = check_whole("layers", layers, 1), check_whole("vocabulary", vocabulary, 2)
    kv_heads = check_whole("kv_heads", kv_heads or heads, 1)
    if heads % kv_heads:
        raise ValueError(f"kv_heads must divide heads, got {kv_heads} and {heads}")
    if head is None and width % heads:
        raise ValueError(f"heads must divide width where head is not given, got {heads} and {width}")
    head = check_whole("head", head or width // heads, 2)
    if head % 2:
        raise ValueError(f"head must be even, its numbers are turned in pairs; got {head}")
    check_value("epsilon", epsilon, "positive")
    _check_rope(rope, head)
    context = check_whole("context", context, 1)
    for name, value in (("scale", scale), ("attention_cap", attention_cap), ("logit_cap", logit_cap)):
        if value is not None:
            check_value(name, value, "positive")
    if windows is not None and len(windows) != layers:
        raise ValueError(f"windows must have one entry for each of the {layers} layers, got {len(windows)}")
    for token in (*stops, *([] if start is None else [start])):
        check_whole("start and stops", token, 0, vocabulary - 1)
    return Config(
        family=family,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        hidden=check_whole("hidden", hidden, 1),
        context=context,
        length=check_whole("length", context if length is None else length, 1, context),
        tied=bool(tied),
        epsilon=float(epsilon),
        rope=rope,
        scale=head**-0.5 if scale is None else float(scale),
        attention_cap=attention_cap,
        logit_cap=logit_cap,
        windows=(None,) * layers if windows is None else tuple(windows),
        start=start,
        stops=tuple(stops),
        precision=precision,
    )


def of_length(config: Config, length: int) -> Config:
    """The same decoder for texts of at most `length` tokens.

    Raises:
        ValueError: more than its context.
    """
    return dataclasses.replace(config, length=check_whole("length", length, 1, config.context))


def _check_rope(rope: Rope, head: int) -> None:
    for name in ("base", "factor", "magnitude"):
        check_value(f"rope.{name}", getattr(rope, name), "positive")
    check_whole("rope.original", rope.original, 1)
    if rope.kind == "dynamic" and (head < 4 or rope.factor < 1):
        raise ValueError(
            f"rope of kind dynamic must have a factor >= 1 and heads of 4 numbers or more, got {rope.factor} and {head}"
        )
    if rope.kind == "longrope":
        for name in ("short", "long"):
            check_shape(f"rope.{name}", getattr(rope, name), (head // 2,))
            check_value(f"rope.{name}", getattr(rope, name), "positive")


def read(
    json: Mapping[str, Any],
    precision: str = "float32",
    generation: Mapping[str, Any] = {},  # only read
) -> Config:
    """The decoder that the entries of a `config.json` describe, in any version of `transformers`.

    Args:
        json: its entries.
        precision: of activations.
        generation: those of a `generation_config.json`; its `eos_token_id` ends a text too, after those of `json`
            (Gemma 2's `<end_of_turn>` stands only there).

    Raises:
        ValueError: an architecture, activation, bias or scaling of RoPE that is not supported, or a missing entry.
    """
    family = _family(json)
    missing = [name for name in _NEEDED if name not in json]
    if missing:
        raise ValueError(f"config.json must have {', '.join(missing)}")
    sizes = {name: _whole_entry(json, name) for name in _NEEDED}
    optional = {name: _whole_entry(json, name) for name in _OPTIONAL if json.get(name)}
    for name in ("attention_bias", "mlp_bias"):
        if json.get(name):
            raise ValueError(
                f"config.json: {name} must be false (biases are not supported), got {json[name]!r}"
            )
    act = json.get("hidden_activation") or json.get("hidden_act") or ACTIVATIONS[family]
    if act != ACTIVATIONS[family]:
        raise ValueError(
            f"config.json: the activation of {family} must be {ACTIVATIONS[family]!r}, got {act!r}"
        )
    own = {}
    if family == "gemma2":
        own = {
            "scale": json.get("query_pre_attn_scalar", 256) ** -0.5,
            "attention_cap": json.get("attn_logit_softcapping", 50.0),
            "logit_cap": json.get("final_logit_softcapping", 30.0),
            "windows": _windows(json),
        }
    return config(
        family,
        vocabulary=sizes["vocab_size"],
        width=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        kv_heads=optional.get("num_key_value_heads"),
        head=optional.get("head_dim", 256 if family == "gemma2" else None),
        hidden=sizes["intermediate_size"],
        context=scalings.context(json),
        tied=json.get("tie_word_embeddings", family == "gemma2"),
        epsilon=json.get("rms_norm_eps", 1e-6),
        rope=scalings.read(json),
        start=json.get("bos_token_id"),
        stops=_stops({"config.json": json, "generation_config.json": generation}, sizes["vocab_size"]),
        precision=precision,
        **own,
    )


def written(config: Config) -> dict[str, Any]:
    """The entries of a `config.json` that `transformers` reads, of version 4 and of version 5."""
    rope, stops = scalings.written(config.rope), config.stops
    out = {
        "architectures": [ARCHITECTURES[config.family]],
        "model_type": config.family,
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.rope.original if config.rope.kind == "dynamic" else config.context,
        "tie_word_embeddings": config.tied,
        "rms_norm_eps": config.epsilon,
        "rope_theta": config.rope.base,
        "rope_scaling": None if config.rope.kind == "default" else rope,
        "rope_parameters": {"rope_theta": config.rope.base, **rope},
        "bos_token_id": config.start,
        "eos_token_id": None if not stops else stops[0] if len(stops) == 1 else list(stops),
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    act = ACTIVATIONS[config.family]
    if config.family == "llama":
        return out | {"hidden_act": act, "attention_bias": False, "mlp_bias": False}
    sizes = [window for window in config.windows if window is not None]
    return out | {
        "hidden_activation": act,
        "query_pre_attn_scalar": _whole(config.scale**-2),  # transformers 5 takes nothing but whole numbers
        "attn_logit_softcapping": config.attention_cap,
        "final_logit_softcapping": config.logit_cap,
        "sliding_window": sizes[0] if sizes else config.context,
        "layer_types": ["full_attention" if w is None else "sliding_attention" for w in config.windows],
    }


_NEEDED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_OPTIONAL = ("num_key_value_heads", "head_dim", "max_position_embeddings")


def _whole_entry(json: Mapping[str, Any], name: str) -> int:
    return check_whole(f"config.json: {name}", json[name], 1)


def _whole(value: float) -> float | int:
    return round(value) if abs(value - round(value)) < 1e-9 * value else value


def _family(json: Mapping[str, Any]) -> str:
    named = json.get("architectures") or [
        ARCHITECTURES.get(json.get("model_type", ""), json.get("model_type"))
    ]
    named = [named] if isinstance(named, str) else named
    for family, architecture in ARCHITECTURES.items():
        if named[0] == architecture:
            return family
    raise ValueError(
        f"config.json: the architecture must be one of {', '.join(ARCHITECTURES.values())}, got {named[0]!r}"
    )


def _windows(json: Mapping[str, Any]) -> tuple[int | None, ...]:
    """Published Gemma 2: the first layer and every other one after it look at a window."""
    layers = json["num_hidden_layers"]
    kinds = json.get("layer_types") or [("sliding_attention", "full_attention")[i % 2] for i in range(layers)]
    for kind in kinds:
        check_choice("config.json: layer_types", kind, ("sliding_attention", "full_attention"))
    size = json.get("sliding_window", 4096)
    return tuple(size if kind == "sliding_attention" else None for kind in kinds)


def _stops(files: Mapping[str, Mapping[str, Any]], vocabulary: int) -> tuple[int, ...]:
    """Tokens that end a text, each once, in the order of the files that name them."""
    found: dict[int, None] = {}
    for file, entries in files.items():
        value = entries.get("eos_token_id")
        for token in [] if value is None else value if isinstance(value, list) else [value]:
            if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocabulary:
                raise ValueError(
                    f"{file}: eos_token_id must be a token of the vocabulary, 0 to {vocabulary - 1}, or a list of "
                    f"them, got {value!r}"
                )
            found[token] = None
    return tuple(found)
