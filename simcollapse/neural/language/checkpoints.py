"""Published checkpoints in and out: a folder or hub name in Hugging Face's layout, or a GGUF file."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from simcollapse.neural.language import config, gguf_files, gguf_tokenizers, names, safetensor_files, tokens
from simcollapse.neural.language.config import Config, of_length
from simcollapse.neural.language.tokens import Tokens

Tree = Any
GENERATION = "generation_config.json"  # of which only what ends a text is read
FILES = ["config.json", GENERATION, "*.safetensors", "*.safetensors.index.json", "tokenizer.json"]


class Checkpoint(NamedTuple):
    """A model and how it reads text."""

    config: Config
    params: Tree  # see `models.init`
    tokens: Tokens | None  # None: the folder has no tokenizer.json


def load(path: str | Path, precision: str = "float32", length: int | None = None) -> Checkpoint:
    """The model at `path`: a folder with `config.json` and safetensors, a GGUF file, or a name of the hub.

    The `eos_token_id` of a `generation_config.json` in the folder ends answers too. Beside a GGUF file a
    `tokenizer.json` in the same folder is used, else the tokenizer in its metadata.

    Args:
        path: where.
        precision: of activations, "float32" or "bfloat16"; parameters are float32.
        length: tokens of the longest text that it is for, by which RoPE of the kinds `dynamic` and `longrope` chooses
            its frequencies, once and for all texts; None: its context.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an unsupported architecture, tensors that do not fit it, or a tokenizer that does not; a length
            beyond its context.
        OSError: a hub name that cannot be reached.
    """
    place = Path(path).expanduser()
    if place.suffix == ".gguf":
        if not place.is_file():
            raise FileNotFoundError(f"no GGUF file at {place}")
        made, tensors, facts = gguf_files.read_gguf(place, precision)
        beside = place.with_name("tokenizer.json")
        reader = tokens.from_file(beside) if beside.is_file() else gguf_tokenizers.tokens_of(facts)
    else:
        place = place if place.is_dir() else _fetched(str(path))
        generation = place / GENERATION
        made = config.read(
            safetensor_files.read_json(place / "config.json"),
            precision,
            safetensor_files.read_json(generation) if generation.is_file() else {},
        )
        tensors = safetensor_files.read_tensors(place)
        beside = place / "tokenizer.json"
        reader = tokens.from_file(beside) if beside.is_file() else None
    if reader is not None:
        reader.check_fits(made.vocabulary)
    made = made if length is None else of_length(made, length)
    return Checkpoint(made, names.to_params(made, tensors, str(place)), reader)


def save(folder: str | Path, checkpoint: Checkpoint) -> None:
    """Write `config.json`, `model.safetensors` and `tokenizer.json`, which `load` and `transformers` read."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    words = json.dumps(config.written(checkpoint.config), indent=2) + "\n"
    (folder / "config.json").write_text(words, encoding="utf-8")
    safetensor_files.write_tensors(folder, names.from_params(checkpoint.config, checkpoint.params))
    if checkpoint.tokens is not None:
        checkpoint.tokens.save(folder / "tokenizer.json")


def _fetched(name: str) -> Path:
    """The folder of a hub name's files, fetched if they are not in the hub's cache."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(f"no folder at {name}, and it is no hub name such as 'owner/model'")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except Exception as error:  # the hub's client raises many kinds
        raise OSError(
            f"no folder at {name}, and the hub did not give it ({type(error).__name__}: {_first_line(error)}). Without "
            f"a network: copy {', '.join(FILES)} of {name} from a connected machine into a folder, and give that folder"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no more is said")
