"""What `simcollapse lm-loop` is asked to do: a TOML file, checked.

model = "models/SmolLM2-135M"        # a folder, a GGUF file, a hub name, or "embedded"
data = "pairs.jsonl"                 # real texts: prompt and completion
rounds = 3
n_per_round = 64

[generate]
most = 64                            # tokens of an answer

[verifier]
command = ["python", "verify.py"]    # JSON lines {"prompt", "completion"} in, one score a line out
share = 0.125

[fit]
epochs = 1
"""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcollapse import strict
from simcollapse.checks import check_choice, check_value, check_whole

EMBEDDED = "embedded"
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
RULES = ("command", "none", "oracle", "self", "random", "length", "pattern", "parser")
TRUTHS = ("rouge1", "command", "parser")


@dataclasses.dataclass(frozen=True)
class Generate:
    """How answers are written."""

    most: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    batch: int = 8


@dataclasses.dataclass(frozen=True)
class Verifier:
    """Who judges, a program or a rule, and how much is kept: a share, or scores of at least a threshold."""

    command: tuple[str, ...] = ()
    rule: str = ""  # one of RULES; without it "command" if there is one, else "none"
    timeout_s: float = 600.0
    share: float | None = None
    threshold: float | None = None
    least_words: int = 1  # of rule "length"
    most_words: int = 2**31 - 1
    pattern: str = ""  # of rule "pattern"


@dataclasses.dataclass(frozen=True)
class Correct:
    """Which answers count as correct in the audit.

    by "rouge1": ROUGE-1 against the reference of at least `least`, or (without it) of at least this quantile of what
    the model of round 0 reaches. by "command": a program like the verifier's, whose scores of 0.5 and more mean
    correct; it gets the reference too, where there is one.
    """

    by: str = ""  # one of TRUTHS; without it "command" if there is one, else "rouge1"
    least: float | None = None
    quantile: float = 0.875
    command: tuple[str, ...] = ()
    timeout_s: float = 600.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """The whole."""

    model: str
    n_per_round: int
    rounds: int
    data: str = ""  # JSON lines, text, or the name of a published set; of the embedded model nothing
    prompts: str = ""  # JSON lines of prompts that are answered; without it, those of `data`
    n_real: int | None = None  # of the data; None: all
    held_out: int = 100  # of the data, kept apart to measure on
    answered: int = 32  # of their prompts, answered in every round
    width: int | None = (
        None  # tokens of prompt and answer; None: what the longest text needs, at most the context
    )
    too_long: str = "drop"  # or "truncate", or "error"
    prompt: str = "{prompt}"  # templates: names of columns in braces
    completion: str = "{completion}"
    workflow: str = "replace"
    continuing: bool = False  # fit from the last round's model, not from the base model
    precision: str = "float32"
    save_model: bool = True  # write the last model as a checkpoint
    seed: int = 0
    generate: Generate = Generate()
    verifier: Verifier = Verifier()
    correct: Correct = Correct()
    fit: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # as of `training.tuning`


def read(path: str | Path) -> Settings:
    """The settings in a TOML file; paths in it are relative to its folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key (the nearest known is named), or a value outside its range.
        TypeError: a missing key, or a value of the wrong kind.
    """
    path = Path(path)
    made = from_table(strict.read_toml(path))
    near = {
        name: str(path.parent / value)
        for name in ("data", "prompts", "model")
        if (value := getattr(made, name)) and (path.parent / value).exists()
    }
    return dataclasses.replace(made, **near)


def from_table(table: Mapping[str, Any]) -> Settings:
    """The same from a dict.

    Raises:
        ValueError, TypeError: see `read`.
    """
    given = dict(table)
    for name, cls in (("generate", Generate), ("verifier", Verifier), ("correct", Correct)):
        if name in given:
            given[name] = _made(cls, given[name], name)
    made = _made(Settings, given, "config")
    if not isinstance(made.fit, Mapping):
        raise TypeError(f"fit must be a table, got {made.fit!r}")
    return _checked(made)


def _made(cls: Any, given: Any, place: str) -> Any:
    strict.check_table(cls, given, place)
    given = dict(given)
    if "command" in given:
        given["command"] = _command(given["command"], f"{place}.command")
    return cls(**given)


def _command(given: Any, place: str) -> tuple[str, ...]:
    words = shlex.split(given) if isinstance(given, str) else given
    if not isinstance(words, (list, tuple)) or not words or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{place} must be a program and its arguments, one or more texts, got {given!r}")
    return tuple(words)


def _checked(s: Settings) -> Settings:
    for name in ("model", "data", "prompts", "prompt", "completion"):
        if not isinstance(getattr(s, name), str):
            raise TypeError(f"{name} must be text, got {getattr(s, name)!r}")
    for name, least in (("n_per_round", 1), ("rounds", 1), ("held_out", 1), ("answered", 1), ("seed", 0)):
        check_whole(name, getattr(s, name), least)
    for name in ("n_real", "width"):
        if getattr(s, name) is not None:
            check_whole(name, getattr(s, name), 1)
    check_choice("workflow", s.workflow, WORKFLOWS)
    check_choice("too_long", s.too_long, ("error", "drop", "truncate"))
    for place, one in (("verifier", s.verifier), ("correct", s.correct)):
        check_value(f"{place}.timeout_s", one.timeout_s, "positive")
    if (s.model == EMBEDDED) == bool(s.data):
        raise ValueError(
            f"data must be given with a checkpoint, and not with model = {EMBEDDED!r}, which reads its made language; "
            f"got model = {s.model!r} and data = {s.data!r}"
        )
    v, c = s.verifier, s.correct
    rule = v.rule or ("command" if v.command else "none")
    by = c.by or ("command" if c.command else "parser" if s.model == EMBEDDED else "rouge1")
    check_choice("verifier.rule", rule, RULES)
    check_choice("correct.by", by, TRUTHS)
    for name, mine, command in (("verifier.rule", rule, v.command), ("correct.by", by, c.command)):
        if (mine == "command") != bool(command):
            raise ValueError(
                f"{name} {mine!r} and a command do not go together"
                if command
                else f"{name} {mine!r} needs a command"
            )
    if "parser" in (rule, by) and s.model != EMBEDDED:
        raise ValueError(f"the parser is of the made language, which model = {EMBEDDED!r} reads")
    if rule != "none" and (v.share is None) == (v.threshold is None):
        raise ValueError(
            f"verifier must have a share or a threshold, and not both, got {v.share} and {v.threshold}"
        )
    if v.share is not None:
        check_value("verifier.share", v.share, "share")
    check_value("correct.quantile", c.quantile, "unit")
    return dataclasses.replace(
        s, verifier=dataclasses.replace(v, rule=rule), correct=dataclasses.replace(c, by=by)
    )
