"""RoPE in the entries of a Hugging Face `config.json`, of any version of `transformers`."""

import math
from collections.abc import Mapping
from typing import Any

from simcollapse.checks import check_choice
from simcollapse.neural.transformer import rotary
from simcollapse.neural.transformer.rotary import Rope

_ORIGINAL = "original_max_position_embeddings"
_SCALINGS = {  # entries of each, and the fields of `Rope`
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor", "low_freq_factor": "low", "high_freq_factor": "high", _ORIGINAL: "original",
    },
    "yarn": {
        "factor": "factor", "beta_slow": "low", "beta_fast": "high", _ORIGINAL: "original",
        "attention_factor": "magnitude", "truncate": "rounded",
    },
    "dynamic": {"factor": "factor"},
    "longrope": {
        "factor": "factor", _ORIGINAL: "original", "attention_factor": "magnitude", "short_factor": "short",
        "long_factor": "long",
    },
}  # fmt: skip


def context(json: Mapping[str, Any]) -> int:
    """Tokens that the model is for: `dynamic` stretches those that it was trained on by its factor."""
    trained = json.get("max_position_embeddings", 2048)
    kind, given = _scaling(json)
    return int(given["factor"] * trained) if kind == "dynamic" and "factor" in given else trained


def read(json: Mapping[str, Any]) -> Rope:
    """What a config says.

    Raises:
        ValueError: a kind that is not supported, or an entry of it that is missing.
    """
    kind, given = _scaling(json)
    trained = json.get("max_position_embeddings", 2048)
    if kind == "yarn":
        given = {"beta_slow": 1, "beta_fast": 32, "truncate": True} | given
    if kind in ("yarn", "longrope") and _ORIGINAL in given:
        given = {"factor": trained / given[_ORIGINAL]} | given
        given = {"attention_factor": _magnitude(kind, given)} | given
    missing = [name for name in _SCALINGS[kind] if name not in given and name != "attention_factor"]
    if missing:
        raise ValueError(f"config.json: the {kind} scaling of RoPE must have {', '.join(missing)}")
    told: dict[str, Any] = {field: given[name] for name, field in _SCALINGS[kind].items()}
    if kind == "longrope":
        told |= {field: tuple(map(float, told[field])) for field in ("short", "long")}
    if kind == "dynamic":
        told["original"] = trained
    return Rope(given["rope_theta"], kind, **told)


def written(rope: Rope) -> dict[str, Any]:
    """Its entries, without the base."""
    told = {name: getattr(rope, field) for name, field in _SCALINGS[rope.kind].items()}
    return {"rope_type": rope.kind, **{n: list(v) if isinstance(v, tuple) else v for n, v in told.items()}}


def _scaling(json: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind of RoPE and its entries, those that have a value.

    As in `transformers`, an `original_max_position_embeddings` of the config goes before that of its scaling.
    """
    given = json.get("rope_parameters") or json.get("rope_scaling") or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"config.json: the scaling of RoPE must be an object, got {given!r}")
    given = {name: value for name, value in given.items() if value is not None}
    kind = given.get("rope_type", given.get("type", "default"))
    check_choice("config.json: rope_type", kind, rotary.KINDS)
    by_layer = [name for name, value in given.items() if isinstance(value, dict)]
    if by_layer:
        raise ValueError(f"config.json: RoPE must be one for all layers, got {', '.join(by_layer)}")
    partial = given.get("partial_rotary_factor", json.get("partial_rotary_factor") or 1)
    if partial != 1:
        raise ValueError(
            f"config.json: partial_rotary_factor must be 1 (whole heads are turned), got {partial}"
        )
    if json.get(_ORIGINAL) is not None:
        given[_ORIGINAL] = json[_ORIGINAL]
    return kind, {"rope_theta": json.get("rope_theta", 10_000.0)} | given


def _magnitude(kind: str, given: Mapping[str, Any]) -> float:
    """Of queries and keys, where none is given.

    "yarn": 1 + log(factor) / 10, or a ratio of two such; "longrope": sqrt(1 + log(factor) / log(original)).
    """
    stretched = math.log(max(given["factor"], 1))

    def grown(by):
        return 1 + 0.1 * by * stretched

    if kind == "longrope":
        return math.sqrt(1 + stretched / math.log(given[_ORIGINAL])) if stretched else 1.0
    if given.get("mscale") and given.get("mscale_all_dim"):
        return grown(given["mscale"]) / grown(given["mscale_all_dim"])
    return grown(1)
