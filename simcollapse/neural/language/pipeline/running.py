"""The loop on a user's checkpoint, texts and verifier, from settings to tables; the same command goes on."""

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from simcollapse import keys, workflows
from simcollapse.neural import checkpoints, loop, pools, selection
from simcollapse.neural.language import checkpoints as published
from simcollapse.neural.language import names, task, truths, verifiers
from simcollapse.neural.language.checkpoints import Checkpoint
from simcollapse.neural.language.choosing import choosing
from simcollapse.neural.language.pipeline import programs, records
from simcollapse.neural.language.pipeline.fitting import fitting, saved_bytes
from simcollapse.neural.language.pipeline.judges import Judge
from simcollapse.neural.language.pipeline.materials import Materials, materials
from simcollapse.neural.language.pipeline.records import METRICS, SAMPLES, Kept, Noting, Once
from simcollapse.neural.language.pipeline.settings import EMBEDDED, Correct, Settings
from simcollapse.neural.language.resuming import digest
from simcollapse.neural.language.room import FLOAT, check_room, full_is_said
from simcollapse.neural.settings import neural_settings

Tree = Any
SETTINGS = "settings.json"
COPIES = 4  # of the parameters while a fit runs: they, their gradients and Adam's two moments


class Need(NamedTuple):
    """What a run takes."""

    parameters: int
    disk_bytes: int
    memory_bytes: int  # parameters and optimizer, and a model that judges; activations apart
    fit_rows: int  # of the largest fit
    fit_tokens: int  # of one pass over them, at most
    answers: int  # generated in all rounds


class Program:
    """A verifier's program as a verifier of rows."""

    def __init__(self, texts: task.TextTask, command: tuple[str, ...], timeout_s: float):
        self._texts, self._command, self._timeout_s = texts, command, timeout_s

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,).

        Raises:
            ProgramFailed: see `programs.ask`.
        """
        pairs = zip(self._texts.reader.prompts(rows), self._texts.reader.answers(rows), strict=True)
        lines = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
        return programs.ask(self._command, lines, timeout_s=self._timeout_s)


@dataclasses.dataclass(frozen=True)
class Asked:
    """Correct is what a program scores 0.5 or more."""

    command: tuple[str, ...]
    timeout_s: float

    def correct(self, prompts: Any, answers: Any, references: Any) -> np.ndarray:
        """(N,) bool.

        Raises:
            ProgramFailed: see `programs.ask`.
        """
        told = zip(prompts, answers, references, strict=True)
        lines = [{"prompt": p, "completion": a} | ({"reference": r} if r else {}) for p, a, r in told]
        return programs.ask(self.command, lines, timeout_s=self.timeout_s, who="correct") >= 0.5


class Several(NamedTuple):
    """Runs of one size whose folders are in one."""

    folder: Path
    number: int


def run(
    settings: Settings,
    out: str | Path,
    watch: Callable[[str], None] = lambda words: None,
    several: Several | None = None,
) -> list[loop.Record]:
    """The records of rounds 0..K; tables, checkpoints and the last model are in the folder `out`.

    Args:
        settings: what to run.
        out: the folder.
        watch: told of each round, in words.
        several: of which it is one: the disk must have room for all. None: alone.

    Raises:
        ValueError, FileNotFoundError: bad settings, model or texts; a folder of other settings.
        ProgramFailed: a program that did not give its scores. What was generated is kept: call again to go on.
        OSError: not enough room on the disk, or none any more.
        FloatingPointError: a fit's loss is not finite.
    """
    out = Path(out)
    if settings.seeds:
        raise ValueError(f"seeds must be left out, see `run_seeds`; got {settings.seeds}")
    if any(out.glob(f"seed-*/{SETTINGS}")):
        raise ValueError(f"{out} holds a run of several seeds: use another folder, or remove it")
    with full_is_said(out, programs.ProgramFailed), neural_settings(), checkpoints.alone(out):
        try:
            return _run(settings, out, watch, several or Several(out, 1))
        except programs.ProgramFailed as error:
            raise programs.ProgramFailed(
                f"{error}. What was fitted and written is kept in {out}: the same command goes on from there"
            ) from None


def _run(s: Settings, out: Path, watch: Callable[[str], None], several: Several) -> list[loop.Record]:
    for who, one in (("verifier", s.verifier), ("correct", s.correct)):
        programs.check_there(one.command, who)
    made_of = materials(s)
    for words in made_of.told:
        watch(words)
    identity = _identity(s, made_of)
    _check_same(out, identity)
    check_room(several.folder, several.number * needs(s, made_of).disk_bytes)
    records.note_texts(out, made_of.counts)
    mine = text_task(s, made_of, out / "fit")
    folder = out / "rounds"
    saved = checkpoints.latest(folder, identity)
    kept = Kept(out / "answers", 0 if saved is None else len(saved.records))
    noting = Noting(mine, kept, out, fits=s.correct.by == "command")
    if saved is None:
        state, record = loop.start(keys.root(s.seed), noting)
    else:
        state, record = loop.state_of(saved), saved.records[0]
    if s.correct.by == "rouge1":
        level = _level(s.correct, mine, out, state.model, saved is None or len(saved.records) == 1)
        mine, record = dataclasses.replace(mine, truth=level), task.levelled(record, level)
        noting = dataclasses.replace(noting, task=mine)
    if saved is None:
        loop.save_start(folder, state, record, identity)
        kept.done(0)
    told = [record] if saved is None else saved.records
    judge = verifier(s, mine, made_of.judge)
    arm = loop.Arm(
        noting, None if judge is None else Once(judge, kept), chosen(s), workflows.KNOWN[s.workflow]()
    )
    for k, record in enumerate(told):
        _tell(out, mine, k, record, watch)

    def seen(k: int, record: loop.Record) -> None:
        if k < len(told):
            return
        kept.done(k)
        _tell(out, mine, k, record, watch)

    found = loop.run_chain(
        keys.root(s.seed), arm, [s.n_per_round] * s.rounds, folder=folder, identity=identity, watch=seen
    )
    if s.save_model:
        _save_model(out, made_of, checkpoints.latest(folder, identity))
    return found


def _tell(out, mine, k, record, watch):
    """Write a round's metrics and some answers to held-out prompts; say how it went."""
    records.replace_round(out / METRICS, k, [_line(k, record)])
    shown = [
        {"round": k, "prompt": prompt, "completion": answer}
        for prompt, answer in task.read_shown(mine, record["shown"])
    ]
    records.replace_round(out / SAMPLES, k, shown)
    watch(words_of(record, k))


def text_task(s: Settings, made_of: Materials, folder: Path | None = None) -> task.TextTask:
    """The task of the settings; with ROUGE-1, everything is correct until the level is known.

    A fit is saved in `folder` while it goes, where the settings ask for it.
    """
    g = s.generate
    how = choosing(g.temperature, top_k=g.top_k, top_p=g.top_p)
    sampling = task.sampling(made_of.most, how, batch=g.batch)
    held = pools.count(made_of.held_out)
    answered = min(s.answered, held)
    return task.text_task(
        fitting(s, made_of.checkpoint.config, folder),
        made_of.reader,
        truth(s.correct),
        rows=made_of.rows,
        prompts=made_of.prompts,
        references=made_of.references,
        base=made_of.checkpoint.params,
        continuing=s.continuing,
        sampling=sampling,
        measures=task.Measures(
            made_of.held_out, answered, sampling, min(8, answered), by_text=s.correct.by == "rouge1"
        ),
    )


def truth(correct: Correct) -> truths.Truth:
    """What counts as correct, as far as the settings say it."""
    if correct.by == "parser":
        return truths.Parsed()
    if correct.by == "command":
        return Asked(correct.command, correct.timeout_s)
    return truths.Overlap(0.0 if correct.least is None else correct.least)


def _level(correct: Correct, mine: task.TextTask, out: Path, model: Tree, first: bool) -> truths.Overlap:
    """ROUGE-1 asked for: as given, or a quantile of the first model's answers, measured once."""
    if correct.least is not None:
        return truths.Overlap(correct.least)
    kept = Kept(out / "level", 0)

    def measured():
        if not first:
            raise ValueError(
                f"{out / 'level'} is gone, which said what counts as correct: begin in another folder"
            )
        rows = mine.generate(jax.random.fold_in(keys.root(0), 1), model, min(200, len(mine.prompts)))
        references = [mine.references[int(i)] for i in rows["source"]]
        return {
            "least": np.asarray(truths.overlap(references, mine.reader.answers(rows), correct.quantile).least)
        }

    return truths.Overlap(float(kept.get("level", measured)["least"]))


def verifier(s: Settings, mine: task.TextTask, other: Judge | None = None) -> Any:
    """Who judges, `other` with rule "weak"; None: nobody."""
    v = s.verifier
    made: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "command": lambda: Program(mine, v.command, v.timeout_s),
        "oracle": lambda: verifiers.Oracle(mine),
        "self": lambda: verifiers.Perplexity(mine.fitter.config, batch=s.generate.batch),
        "weak": lambda: _reread(s, mine, other),
        "random": verifiers.Random,
        "length": lambda: verifiers.length_rule(mine, v.least_words, v.most_words),
        "pattern": lambda: verifiers.pattern_rule(mine, v.pattern),
        "parser": lambda: verifiers.Parser(mine),
    }
    return made[v.rule]()


def _reread(s, mine, other):
    return verifiers.Reread(
        mine, other.config, other.params, other.tokens, other.start, batch=s.generate.batch
    )


def chosen(s: Settings) -> Any:
    """Which answers are kept, given scores."""
    if s.verifier.rule == "none":
        return selection.Everything()
    if s.verifier.share is not None:
        return selection.top_share(s.verifier.share)
    return selection.threshold(s.verifier.threshold)  # pyright: ignore[reportArgumentType]


def needs(s: Settings, made_of: Materials) -> Need:
    """What the run takes, from its sizes."""
    size = names.parameters(made_of.checkpoint.config)
    width = made_of.rows["tokens"].shape[1]
    real = pools.count(made_of.rows)
    share = 1.0 if s.verifier.share is None else s.verifier.share
    new = s.n_per_round * share
    seen = {
        "replace": new,
        "accumulate": real + new * s.rounds,
        "accumulate_subsample": min(s.n_per_round, real + new * s.rounds),  # as many as the round generated
    }
    most = math.ceil(max(real, seen[s.workflow]))
    pool = (real + new * s.rounds) * width * FLOAT
    copies = checkpoints.KEPT + 1 + s.save_model + (s.correct.by == "command")
    return Need(
        size,
        int(copies * (size * FLOAT + pool)) + saved_bytes(s, made_of.checkpoint.config),
        COPIES * size * FLOAT
        + (0 if made_of.judge is None else names.parameters(made_of.judge.config) * FLOAT),
        most,
        most * width,
        s.n_per_round * s.rounds,
    )


def _identity(s: Settings, made_of: Materials) -> str:
    """What a folder must share with the settings to be gone on from: a program may be mended, rounds may be added.

    Files may have been changed under their names.
    """
    plain = dataclasses.asdict(s)
    del plain["rounds"], plain["save_model"], plain["seeds"]
    plain["fit"] = {name: value for name, value in s.fit.items() if name != "save_every"}
    for part in ("verifier", "correct"):
        plain[part] = {k: v for k, v in plain[part].items() if k not in ("command", "timeout_s")}
    if made_of.judge is None:
        del plain["verifier"]["model"]
    else:
        plain["verifier.model: its parameters"] = digest(made_of.judge.params)
    texts = list(zip(made_of.prompts, made_of.references, strict=True))
    plain["data, prompts: what they hold"] = digest(
        (made_of.rows, made_of.held_out, np.frombuffer(json.dumps(texts).encode(), np.uint8))
    )
    if s.model != EMBEDDED:
        plain["model: its parameters"] = digest(made_of.checkpoint.params)
    return json.dumps(plain, sort_keys=True)


def _check_same(out: Path, identity: str) -> None:
    """Note the settings, or compare them with those of the folder.

    Raises:
        ValueError: they differ.
    """
    path = out / SETTINGS
    if path.is_file():
        there, now = json.loads(path.read_text(encoding="utf-8")), json.loads(identity)
        other = [key for key in now if there.get(key) != now[key]]
        if other:
            raise ValueError(
                f"{out} holds a run with other settings ({', '.join(other)}): use another folder, or remove it"
            )
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_text(identity + "\n", encoding="utf-8")
    os.replace(partial, path)


def _line(k: int, record: loop.Record) -> dict[str, Any]:
    """A record as JSON holds it, with the rates of its round."""
    table = loop.table([record])
    numbers = {name: values[0] for name, values in table.items() if np.ndim(values) == 1}
    plain = {
        name: value.item() if isinstance(value, np.generic) else value for name, value in numbers.items()
    }
    return {"round": k} | {
        n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in plain.items()
    }


def words_of(record: loop.Record, k: int) -> str:
    """Round k in a line."""
    line = _line(k, record)
    parts = [f"round {k}"]
    for name, words in (
        ("loss", "held-out loss"), ("rouge1", "ROUGE-1"), ("distinct_2", "distinct-2"), ("num_kept", "kept"),
        ("p", "p"), ("p_star", "p*"), ("generated_empty", "empty answers"),
    ):  # fmt: skip
        if line.get(name) is not None:
            parts.append(f"{words} {line[name]:.4g}")
    if not record["alive"]:
        parts.append("nothing was kept: the model stays as it was, in later rounds too")
    return ", ".join(parts)


def _save_model(out: Path, made_of: Materials, saved: checkpoints.Saved | None) -> None:
    if saved is not None:
        params = jax.tree.map(np.asarray, loop.state_of(saved).model)
        published.save(
            out / "model", Checkpoint(made_of.checkpoint.config, params, made_of.checkpoint.tokens)
        )


__all__ = ["Need", "Several", "needs", "run"]
