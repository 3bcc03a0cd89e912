"""The same run with several seeds, a folder for each, and their lines gathered in one place.

seed-S/ is the folder of a run with that seed alone; beside them decisions.jsonl, metrics.jsonl and samples.jsonl hold
the lines of all, each with its `seed` first.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from simcollapse.neural import checkpoints, loop
from simcollapse.neural.language.pipeline import records
from simcollapse.neural.language.pipeline.programs import ProgramFailed
from simcollapse.neural.language.pipeline.records import DECISIONS, METRICS, SAMPLES
from simcollapse.neural.language.pipeline.running import SETTINGS, Several, run
from simcollapse.neural.language.pipeline.settings import Settings
from simcollapse.neural.language.room import full_is_said


def run_seeds(
    settings: Settings, out: str | Path, watch: Callable[[str], None] = lambda words: None
) -> dict[int, list[loop.Record]]:
    """Of each of `settings.seeds`, one after the other, the records of rounds 0..K; call again to go on.

    What is gathered is of the seeds that have begun, also where one fails.

    Raises:
        ValueError: no seeds; a folder that holds a run of one seed.
        ValueError, FileNotFoundError, ProgramFailed, OSError, FloatingPointError: see `run`.
    """
    out = Path(out)
    if not settings.seeds:
        raise ValueError("seeds must name one seed or more, got none")
    if (out / SETTINGS).exists():
        raise ValueError(f"{out} holds a run of one seed, without seeds: use another folder, or remove it")
    found, several = {}, Several(out, len(settings.seeds))
    with full_is_said(out, ProgramFailed), checkpoints.alone(out):
        for seed in settings.seeds:
            one = dataclasses.replace(settings, seed=seed, seeds=())
            try:
                found[seed] = run(
                    one, folder(out, seed), lambda words, seed=seed: watch(f"seed {seed}: {words}"), several
                )
            finally:
                gather(out, settings.seeds)
    return found


def folder(out: Path, seed: int) -> Path:
    """Of a seed's own run."""
    return out / f"seed-{seed}"


def gather(out: Path, seeds: tuple[int, ...]) -> None:
    """Write the lines of these seeds, as far as they are, into one file of each name."""
    for name in (DECISIONS, METRICS, SAMPLES):
        lines = [
            json.dumps({"seed": seed} | line, ensure_ascii=False)
            for seed in seeds
            for line in records.read_lines(folder(out, seed) / name)
        ]
        records.put(out / name, "".join(line + "\n" for line in lines))


__all__ = ["folder", "gather", "run_seeds"]
