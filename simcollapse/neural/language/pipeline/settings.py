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
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcollapse import strict
from simcollapse.checks import check_choice, check_keys, check_value, check_whole
from simcollapse.neural.language.config import PRECISIONS
from simcollapse.neural.language.tuning import Tuning, tuning

EMBEDDED = "embedded"
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
RULES = ("command", "none", "oracle", "self", "weak", "random", "length", "pattern", "parser")
DEVICES = "devices"  # the one option of [fit] that is none of `tuning`
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
    rule: str = (
        ""  # one of RULES; without it "command" or "weak" if there is a command or a model, else "none"
    )
    model: str = ""  # of rule "weak": another checkpoint, whose perplexity of the answers judges
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
    seeds: tuple[int, ...] = ()  # instead: of several runs; asked for as a list, or as a number N: 0 to N - 1
    generate: Generate = Generate()
    verifier: Verifier = Verifier()
    correct: Correct = Correct()
    fit: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # as of `training.tuning`; and `devices`


def read(path: str | Path) -> Settings:
    """The settings in a TOML file; paths in it are relative to its folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key (the nearest known is named), or a value outside its range.
        TypeError: a missing key, or a value of the wrong kind.
    """
    path = Path(path)
    made = from_table(strict.read_toml(path))
    near: dict[str, Any] = {
        name: str(path.parent / value)
        for name in ("data", "prompts", "model")
        if (value := getattr(made, name)) and (path.parent / value).exists()
    }
    judge = made.verifier
    if judge.model and (path.parent / judge.model).exists():
        near["verifier"] = dataclasses.replace(judge, model=str(path.parent / judge.model))
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
    if "seeds" in given:
        if "seed" in given:
            raise ValueError(
                f"seed and seeds must not both be given, got {given['seed']!r} and {given['seeds']!r}"
            )
        given["seeds"] = _seeds(given["seeds"])
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


def _seeds(given: Any) -> tuple[int, ...]:
    if not isinstance(given, (list, tuple)):
        return tuple(range(check_whole("seeds", given, 1)))
    seeds = tuple(check_whole("seeds", one, 0) for one in given)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be a number >= 1, or a list of different seeds, got {given!r}")
    return seeds


def _command(given: Any, place: str) -> tuple[str, ...]:
    words = shlex.split(given) if isinstance(given, str) else given
    if not isinstance(words, (list, tuple)) or not words or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{place} must be a program and its arguments, one or more texts, got {given!r}")
    return tuple(words)


def _checked(s: Settings) -> Settings:
    for name in ("model", "data", "prompts", "prompt", "completion"):
        if not isinstance(getattr(s, name), str):
            raise TypeError(f"{name} must be text, got {getattr(s, name)!r}")
    for name, least in (
        ("n_per_round", 1), ("rounds", 1), ("held_out", 1), ("answered", 1), ("seed", 0), ("n_real", 1), ("width", 1),
    ):  # fmt: skip
        if getattr(s, name) is not None:
            s = dataclasses.replace(s, **{name: check_whole(name, getattr(s, name), least)})
    for name in ("continuing", "save_model"):
        if not isinstance(getattr(s, name), bool):
            raise TypeError(f"{name} must be true or false, got {getattr(s, name)!r}")
    check_choice("precision", s.precision, PRECISIONS)
    check_choice("workflow", s.workflow, WORKFLOWS)
    check_choice("too_long", s.too_long, ("error", "drop", "truncate"))
    for place, one in (("verifier", s.verifier), ("correct", s.correct)):
        check_value(f"{place}.timeout_s", one.timeout_s, "positive")
    if (s.model == EMBEDDED) == bool(s.data):
        raise ValueError(
            f"data must be given with a checkpoint, and not with model = {EMBEDDED!r}, which reads its made language; "
            f"got model = {s.model!r} and data = {s.data!r}"
        )
    if s.model == EMBEDDED and s.prompts:
        raise ValueError(f"prompts must not be given with model = {EMBEDDED!r}, got {s.prompts!r}")
    v, c = s.verifier, s.correct
    if not isinstance(v.model, str):
        raise TypeError(f"verifier.model must be text, got {v.model!r}")
    rule = v.rule or ("command" if v.command else "weak" if v.model else "none")
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
    if (rule == "weak") != bool(v.model):
        raise ValueError(
            f"verifier.model must be a checkpoint with rule 'weak', and left out with any other, got {v.model!r} and "
            f"rule {rule!r}"
        )
    if "parser" in (rule, by) and s.model != EMBEDDED:
        raise ValueError(f"the parser is of the made language, which model = {EMBEDDED!r} reads")
    if rule != "none" and (v.share is None) == (v.threshold is None):
        raise ValueError(
            f"verifier must have a share or a threshold, and not both, got {v.share} and {v.threshold}"
        )
    if v.share is not None:
        check_value("verifier.share", v.share, "share")
    if v.threshold is not None:
        check_value("verifier.threshold", v.threshold, "finite")
    check_whole("verifier.most_words", v.most_words, check_whole("verifier.least_words", v.least_words, 0))
    _check_pattern(v.pattern)
    check_value("correct.quantile", c.quantile, "unit")
    if c.least is not None:
        check_value("correct.least", c.least, "unit")
    _check_generate(s.generate)
    made = dataclasses.replace(
        s, verifier=dataclasses.replace(v, rule=rule), correct=dataclasses.replace(c, by=by)
    )
    if v.share is not None and round(v.share * s.n_per_round) < 1:
        raise ValueError(
            f"verifier.share must keep an answer or more of n_per_round = {s.n_per_round}, got {v.share:g}"
        )
    tuning_of(made)
    return made


def _check_generate(g: Generate) -> None:
    for name in ("most", "batch"):
        check_whole(f"generate.{name}", getattr(g, name), 1)
    check_value("generate.temperature", g.temperature, "nonnegative")
    check_value("generate.top_p", g.top_p, "share")
    if g.top_k is not None:
        check_whole("generate.top_k", g.top_k, 1)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"verifier.pattern must be a regular expression, got {pattern!r}: {error}") from None


def tuning_of(s: Settings) -> Tuning:
    """How fits go.

    Raises:
        ValueError, TypeError: an unknown key or a value outside its range.
    """
    known = {field.name for field in dataclasses.fields(Tuning)}
    check_keys("fit", s.fit, sorted(known | {DEVICES}), ())
    given = {name: value for name, value in s.fit.items() if name != DEVICES}
    made = tuning(**{"precision": s.precision, **given})
    if made.batch % devices_of(s):
        raise ValueError(
            f"fit.batch must be a multiple of fit.devices, {devices_of(s)}, which share its rows; got {made.batch}"
        )
    return made


def devices_of(s: Settings) -> int:
    """How many devices share the rows of a batch.

    Raises:
        ValueError, TypeError: not a whole number >= 1.
    """
    return check_whole(f"fit.{DEVICES}", s.fit.get(DEVICES, 1), 1)
