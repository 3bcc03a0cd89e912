"""Parameters under the names and in the layout of Hugging Face's checkpoints.

There a matrix maps rows to columns of its transpose, and keys and values are two matrices.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from simcollapse.neural.language import models
from simcollapse.neural.language.config import Config

Tree = Any
Path = tuple[str | int, ...]
HEAD, WORDS = "lm_head.weight", "model.embed_tokens.weight"
NAMED = 5  # tensors that an error lists

_NORMS = {
    "llama": {"input_layernorm": "norm1", "post_attention_layernorm": "norm2"},
    "gemma2": {
        "input_layernorm": "norm1",
        "post_attention_layernorm": "after1",
        "pre_feedforward_layernorm": "norm2",
        "post_feedforward_layernorm": "after2",
    },
}
_MATRICES = {
    "self_attn.q_proj": ("attention", "query"),
    "self_attn.k_proj": ("attention", "key"),
    "self_attn.v_proj": ("attention", "value"),
    "self_attn.o_proj": ("attention", "out"),
    "mlp.gate_proj": ("mlp", "inside"),
    "mlp.up_proj": ("mlp", "factor"),
    "mlp.down_proj": ("mlp", "outside"),
}


def places(config: Config) -> dict[str, Path]:
    """Of each tensor's name the path of its parameter; keys and values have a path each here."""
    out: dict[str, Path] = {WORDS: ("words", "embedding"), "model.norm.weight": ("norm", "scale")}
    if not config.tied:
        out[HEAD] = ("head", "kernel")
    for i in range(config.layers):
        for name, path in _MATRICES.items():
            out[f"model.layers.{i}.{name}.weight"] = ("layers", i, *path, "kernel")
        for name, norm in _NORMS[config.family].items():
            out[f"model.layers.{i}.{name}.weight"] = ("layers", i, norm, "scale")
    return out


def to_params(config: Config, tensors: Mapping[str, np.ndarray], source: str) -> Tree:
    """Parameters in single precision. `source` says in errors where the tensors are from.

    Raises:
        ValueError: tensors that are missing, that the model has not, or of another shape; each is named.
    """
    wanted = places(config)
    given = {name: x for name, x in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if config.tied and HEAD in given and np.array_equal(given[HEAD], given.get(WORDS, ())):
        del given[HEAD]
    _check_names(source, wanted, given)
    flat: dict[Path, np.ndarray] = {}
    for name, path in wanted.items():
        value = np.asarray(given[name], np.float32)
        flat[path] = np.ascontiguousarray(value.T) if path[-1] == "kernel" else value
    params: Tree = {}
    for path, value in _joined(flat).items():
        node = params
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    _check_shapes(source, config, params)
    return _mapped(params, jnp.asarray)


def from_params(config: Config, params: Tree) -> dict[str, np.ndarray]:
    """The inverse of `to_params`."""
    out = {}
    for name, path in places(config).items():
        *upper, leaf = path
        node, half = params, None
        for part in upper:
            if part in ("key", "value"):
                part, half = "key_value", ("key", "value").index(str(part))
            node = node[part]
        value = np.asarray(node[leaf])
        value = value if half is None else np.split(value, 2, axis=1)[half]
        out[name] = np.ascontiguousarray(value.T) if leaf == "kernel" else value
    return out


def _joined(flat: dict[Path, np.ndarray]) -> dict[Path, np.ndarray]:
    """Keys and values side by side."""
    out = {}
    for path, value in flat.items():
        if path[-2] == "key":
            other = flat[(*path[:-2], "value", path[-1])]
            out[(*path[:-2], "key_value", path[-1])] = np.concatenate([value, other], axis=1)
        elif path[-2] != "value":
            out[path] = value
    return out


def _check_names(source: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    told = [f"{what} {listed(names)}" for what, names in (("lacks", missing), ("also has", extra)) if names]
    if told:
        raise ValueError(
            f"{source} must hold the {len(wanted)} tensors of its config; it {' and '.join(told)}"
        )


def listed(names: list[str]) -> str:
    """The first of these names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _check_shapes(source: str, config: Config, params: Tree) -> None:
    wrong = []

    def compare(path, wanted, got):
        if isinstance(wanted, dict):
            for name in wanted:
                compare((*path, name), wanted[name], got[name])
        elif tuple(wanted.shape) != got.shape:
            wrong.append(f"{'.'.join(map(str, path))} {got.shape} in place of {tuple(wanted.shape)}")

    compare((), models.shapes(config), params)
    if wrong:
        raise ValueError(f"{source}: shapes differ from the config: {listed(wrong)}")


def _mapped(tree: Tree, function: Any) -> Tree:
    if isinstance(tree, dict):
        return {name: _mapped(value, function) for name, value in tree.items()}
    return function(tree)


def parameters(config: Config) -> int:
    """Numbers that the model holds."""

    def count(tree):
        return sum(map(count, tree.values())) if isinstance(tree, dict) else math.prod(tree.shape)

    return count(models.shapes(config))
