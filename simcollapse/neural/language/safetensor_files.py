"""Folders as Hugging Face lays them out: `config.json`, one or several safetensors files, `tokenizer.json`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from simcollapse.neural.language.names import listed

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, or no object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name} in {path.parent}")
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(made, dict):
        raise ValueError(f"{path} must be a JSON object, got {type(made).__name__}")
    return made


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a folder by name, in single precision.

    Raises:
        FileNotFoundError: no safetensors, or a part that the index names is missing.
        ValueError: a file that cannot be read, a tensor of the index that is in no file.
    """
    if (folder / INDEX).is_file():
        where = read_json(folder / INDEX).get("weight_map")
        if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
            raise ValueError(f"{folder / INDEX} must have a weight_map, with the file of each tensor")
        files = sorted(set(where.values()))
    elif (folder / WHOLE).is_file():
        where, files = {}, [WHOLE]
    else:
        raise FileNotFoundError(
            f"no {WHOLE} and no {INDEX} in {folder}; weights as pytorch_model.bin must be converted to safetensors"
        )
    tensors: dict[str, np.ndarray] = {}
    for name in files:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no file {name} in {folder}, which {INDEX} names")
        tensors |= _read_file(folder / name)
    lost = [name for name in where if name not in tensors]
    if lost:
        raise ValueError(f"{folder}: {INDEX} names {listed(lost)}, which no file holds")
    return tensors


def _read_file(path: Path) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="numpy") as file:
            # A copy each: what the file maps is gone when it is closed.
            return {name: np.array(file.get_tensor(name), np.float32) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or is cut short: {error}") from None


def write_tensors(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """One file; it appears whole or not at all."""
    part = folder / f"{WHOLE}.partial"
    tensors = {
        name: np.ascontiguousarray(x) for name, x in tensors.items()
    }  # of a view it would write other memory
    save_file(tensors, part, metadata={"format": "pt"})  # the mark that transformers asks for
    part.replace(folder / WHOLE)
