"""The model that judges answers with rule "weak": any checkpoint, read and checked before anything is fitted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from simcollapse.neural.language import checkpoints, encoding, names
from simcollapse.neural.language.checkpoints import Checkpoint
from simcollapse.neural.language.config import Config, of_length
from simcollapse.neural.language.texts import Pair, Texts
from simcollapse.neural.language.tokens import Tokens

Tree = Any


class Judge(NamedTuple):
    """What `verifiers.Reread` needs."""

    config: Config
    params: Tree
    tokens: Tokens | None  # None: it reads the tokens of the model that writes
    start: int | None
    told: str


def judge(path: str, precision: str, own: Checkpoint, prompts: Sequence[str], width: int, most: int) -> Judge:
    """The checkpoint at `path`, which is to judge answers of at most `most` tokens of the model `own`.

    Args:
        path: of the checkpoint; see `checkpoints.load`.
        precision: of activations.
        own: the model that writes.
        prompts: their texts.
        width: tokens of the model's own for a prompt and its answer, at most.
        most: of an answer.

    Raises:
        FileNotFoundError, ValueError, OSError: see `checkpoints.load`; a checkpoint that cannot read the texts. All
            name verifier.model.
    """
    loaded = _loaded(path, precision)
    shared = _shares(path, loaded, own)
    tokens = None if shared else loaded.tokens
    config, start, needed = loaded.config, None, width
    if tokens is not None:
        every = Texts([Pair(prompt, "") for prompt in prompts], "", "prompts")
        start = encoding.start_of(every, tokens, config.start)
        lengths = [len(prompt) + (start is not None) for prompt in tokens.encode(prompts)]
        if not min(lengths):
            raise ValueError(
                f"verifier.model must have a token for every prompt, {path} has none for {prompts[lengths.index(0)]!r}"
            )
        needed = max(lengths) + most
    if needed > config.context:
        raise ValueError(
            f"verifier.model must have a context of at least {needed} tokens, for the longest prompt and an answer of "
            f"{most}, {path} has one of {config.context}"
        )
    reads = "with the same tokenizer" if shared else "with a tokenizer of its own"
    return Judge(
        of_length(config, width) if shared else config,
        loaded.params,
        tokens,
        start,
        f"verifier.model: {path}, {names.parameters(config):,} parameters, reads answers {reads}",
    )


def _loaded(path: str, precision: str) -> Checkpoint:
    try:
        return checkpoints.load(path, precision)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"verifier.model: {error}") from None
    except ValueError as error:
        raise ValueError(f"verifier.model: {error}") from None
    except OSError as error:
        raise OSError(f"verifier.model: {error}") from None


def _shares(path: str, loaded: Checkpoint, own: Checkpoint) -> bool:
    """Whether it can read the tokens of the model that writes; without, it needs a tokenizer."""
    if loaded.tokens is not None:
        return own.tokens is not None and loaded.tokens.same(own.tokens)
    if own.tokens is None and loaded.config.vocabulary == own.config.vocabulary:
        return True  # both read bytes
    raise ValueError(f"verifier.model must have a tokenizer.json to read answers, {path} has none")


__all__ = ["Judge", "judge"]
