"""What a run leaves on disk while it goes, so that nothing that was paid for is lost.

answers/round-K-*.npz: the answers of a round and, as soon as a program gave them, their scores; answers/fit: its model,
where a program judges that before the round is whole. decisions.jsonl: one line for each answer of every finished
judgement, with `round`, `prompt`, `completion`, `score`, `correct` and `kept`, which `simcollapse audit` reads.
metrics.jsonl: one line a round. samples.jsonl: answers to held-out prompts, for reading. texts.json: how many texts
were given and used, cut and dropped.
"""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simcollapse.neural import checkpoints
from simcollapse.neural.language.task import TextTask

Tree = Any
DECISIONS, METRICS, SAMPLES, TEXTS = "decisions.jsonl", "metrics.jsonl", "samples.jsonl", "texts.json"


@dataclasses.dataclass
class Kept:
    """The answers of rounds, and what programs said of them, as files of one run."""

    folder: Path
    round: int  # that is being made

    def get(self, name: str, make: Callable[[], Tree]) -> Tree:
        """What is kept under `name` of this round; made and kept if there is nothing."""
        path = self.folder / f"round-{self.round}-{name}.npz"
        if path.is_file():
            with np.load(path) as kept:
                return {key: kept[key] for key in kept.files}
        made = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **made)
        os.replace(partial, path)
        return made

    def fitted(self, make: Callable[[], tuple[Tree, dict[str, Any]]]) -> tuple[Tree, dict[str, Any]]:
        """The model of this round and how its fit went; fitted and kept if there is none."""
        saved = checkpoints.latest(self.folder / "fit")
        if saved is not None and saved.round == self.round:
            return checkpoints.numbered(saved.state), saved.records[0]
        checkpoints.clear(self.folder / "fit")
        model, report = make()
        checkpoints.save(self.folder / "fit", self.round, model, [report])
        return model, report

    def done(self, k: int) -> None:
        """Round k is whole: what is kept is of the next one now. The answers of round k stay until that is whole."""
        self.round = k + 1
        checkpoints.clear(self.folder / "fit")
        for path in self.folder.glob("round-*-*.npz"):
            if int(path.name.split("-")[1]) < k:
                path.unlink()


@dataclasses.dataclass(frozen=True)
class Noting:
    """A task that keeps its answers and notes every judgement; else as the task itself."""

    task: TextTask
    kept: Kept
    out: Path
    fits: bool  # whether models are kept too: where a program judges their answers before the round is whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def fit(self, key: Any, rows: Tree, previous: Tree) -> tuple[Tree, dict[str, Any]]:
        """The model of this round."""
        if not self.fits:
            return self.task.fit(key, rows, previous)
        return self.kept.fitted(lambda: self.task.fit(key, rows, previous))

    def generate(self, key: Any, model: Tree, count: int) -> Tree:
        """The answers of this round, written once."""
        return self.kept.get("answers", lambda: self.task.generate(key, model, count))

    def correct(self, rows: Tree) -> np.ndarray:
        """(N,) bool, asked for once."""
        return self.kept.get("correct", lambda: {"correct": self.task.correct(rows)})["correct"]

    def judged(self, k: int, rows: Tree, scores: np.ndarray, correct: np.ndarray, kept: np.ndarray) -> None:
        """Write the decisions of round k in place of what stood there of it."""
        texts = zip(self.task.reader.prompts(rows), self.task.reader.answers(rows), strict=True)
        told = [
            {
                "round": k,
                "prompt": prompt,
                "completion": completion,
                "score": float(score) if math.isfinite(score) else None,
                "correct": bool(right),
                "kept": bool(taken),
            }
            for (prompt, completion), score, right, taken in zip(texts, scores, correct, kept, strict=True)
        ]
        replace_round(self.out / DECISIONS, k, told)


@dataclasses.dataclass(frozen=True)
class Once:
    """A verifier whose scores of a round are kept: a program is not asked again for what it said."""

    verifier: Any
    kept: Kept

    def score(self, key: Any, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        return self.kept.get("scores", lambda: {"scores": self.verifier.score(key, rows, model)})["scores"]


def note_texts(out: Path, counts: dict[str, Any]) -> None:
    """Write how many texts of "real", "held_out" and "prompts" were given, used, cut and dropped."""
    put(out / TEXTS, json.dumps(counts, indent=2, ensure_ascii=False) + "\n")


def replace_round(path: Path, k: int, lines: Sequence[dict[str, Any]]) -> None:
    """Put these lines of round k into a file of JSON lines, which keeps rounds before k and loses later ones."""
    before = [line for line in _lines(path) if json.loads(line)["round"] < k]
    put(
        path,
        "".join(line + "\n" for line in [*before, *(json.dumps(one, ensure_ascii=False) for one in lines)]),
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a file of JSON lines holds; nothing if there is none."""
    return [json.loads(line) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="\n") as file:  # texts may hold other ends of lines
        return [line.removesuffix("\n") for line in file]


def put(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
