"""Language models: decoders of the Llama and Gemma 2 families, with their published checkpoints.

`config` says what a model is made of, `models` is the network, `checkpoints` reads and writes it, `tokens` is the
tokenizer, `generation` lets it write and `scoring` says how probable it finds a text; `texts` reads prompts and
completions, `encoding` makes rows of tokens of them and `training` fits a model to these; `grammar` is a made language.
"""

from importlib.util import find_spec

_MISSING = [name for name in ("safetensors", "tokenizers", "gguf", "rouge_score") if find_spec(name) is None]
if _MISSING:
    raise ImportError(
        f"simcollapse.neural.language needs {', '.join(_MISSING)}: install the extra `neural`, as in "
        "pip install 'simcollapse[neural]'"
    )
