"""What a figure's run will take: counted from its arms, and timed on one batch of each kind of work."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from simcollapse import keys, memory
from simcollapse.neural import pools
from simcollapse.neural.language import metrics, models, names, scoring
from simcollapse.neural.language.base import is_kept
from simcollapse.neural.language.rows import completions_of, prompts_of
from simcollapse.neural.settings import neural_settings
from simcollapse.reproduce.language import runs
from simcollapse.reproduce.language.common import fit_words
from simcollapse.reproduce.language.settings import MADE, Arm, Config, Fit

STEPS = 5  # of the longer of two timed fits: their difference is all but one, the rest a fit's fixed cost
SLOW = 5.0  # seconds of a batch from which on one step alone is timed
FEW = 8  # texts that are then answered and scored


class Counts(NamedTuple):
    """Work of a run, over all chains."""

    fits: int
    steps: int  # of the optimiser, in all fits
    answers: int  # written, those that arms share counted for each
    scored: int  # texts whose probability is computed
    read: int  # answers that are compared with references and with each other


class Times(NamedTuple):
    """Seconds of one piece of work, compilation apart."""

    fit: float  # beside its steps
    step: float
    answer: float
    score: float
    read: float


def preview(config: Config) -> str:
    """Counts, time, memory and disk of a run, in words. Takes about as long as a few steps and answers.

    Trains nothing that is kept: steps of a base model that no earlier run has trained are added.
    """
    with neural_settings():
        run = runs.Run(dataclasses.replace(config, folder=""), trained=False)
        config = run.config  # of fewer texts, perhaps
        work, times = counts(config), _timed(run)
        based = 0 if config.whole or config.data != MADE else config.base_steps
        if based and is_kept(run.source.decoder, based):
            based = 0
    spent = seconds(work, times) + based * times.step
    size = names.parameters(run.source.decoder)
    return "\n".join(
        [
            f"{run.source.words}; {size:,} parameters",
            *([config.fewer] if config.fewer else []),
            f"{work.fits:,} fits, {work.steps:,} steps; {work.answers:,} answers, {work.scored:,} texts to score",
            *([f"the base model is trained first: {based:,} steps, which later runs spare"] if based else []),
            fit_words(config.fit),
            f"here and now a step takes {times.step:.3g} s, a fit {times.fit:.3g} s beside its steps, an answer "
            f"{times.answer:.3g} s, a scored text {times.score:.3g} s, ROUGE and BLEU of an answer {times.read:.3g} s",
            f"about {_long(spent)}, apart from compiling and saving",
            f"{_peak_bytes() / 1e9:.3g} GB of memory at the peak of these pieces",
            f"up to {runs.disk_bytes(config, size) / 1e9:.3g} GB on disk",
        ]
    )


def counts(config: Config) -> Counts:
    """The work of all chains."""
    rows, answers, scored, read = [config.n_real] * (1 + config.weak), 0, 0, 0.0
    for arm in config.arms:
        rows += _fitted_rows(config, arm)
        generated = arm.generated * (0 if arm.mixed else arm.rounds)
        answers += generated
        scored += generated if arm.verifier in ("self", "weak") else 0
        read += generated * (1 + arm.share)  # what is generated, and what is kept
    answers += max((arm.synthetic for arm in config.arms), default=0)
    answers += min(runs.LEVELLED, config.n_prompts) if config.data != MADE else 0
    models = len(rows)
    answers += models * (config.answered + min(runs.SHOWN, config.answered))
    scored += models * config.held_out
    read += models * config.answered
    steps = sum(_steps(config.fit, number) for number in rows)
    return Counts(*(config.chains * number for number in (models, steps, answers, scored, round(read))))


def _fitted_rows(config: Config, arm: Arm) -> list[int]:
    """Rows of each fit of an arm, at most."""
    if arm.mixed:
        return [arm.real + arm.synthetic]
    kept = max(1, round(arm.share * arm.generated))
    if arm.workflow == "replace":
        return [kept] * arm.rounds
    return [config.n_real + kept * k for k in range(1, arm.rounds + 1)]


def _steps(fit: Fit, rows: int) -> int:
    if fit.epochs is None:
        return fit.max_steps or 1
    passes = -(-rows * fit.epochs // (fit.batch * fit.accumulation))
    return passes if fit.max_steps is None else min(passes, fit.max_steps)


def seconds(work: Counts, times: Times) -> float:
    """Time of the work."""
    return (
        work.fits * times.fit
        + work.steps * times.step
        + work.answers * times.answer
        + work.scored * times.score
        + work.read * times.read
    )


def _timed(run: Any) -> Times:
    config, decoder = run.config, run.source.decoder
    key = keys.root(config.seed)
    mine = run.task(run.source.deal(key, config))
    size = config.fit.batch  # one piece of a step
    tuner = run.tuner(dataclasses.replace(config.fit, epochs=1, max_steps=None, accumulation=1))
    base = models.init(decoder, key) if mine.base is None else mine.base

    def fit(steps: int) -> Any:
        places = np.arange(steps * size) % pools.count(mine.rows)
        rows = {name: mine.rows[name][places] for name in runs.FIELDS}
        return tuner.fit(key, base, rows)[0]

    short = _second_time(lambda: fit(1))
    slow = short > SLOW  # beside a step a fit's fixed cost is then nothing
    step = short if slow else max(_second_time(lambda: fit(STEPS)) - short, 0.0) / (STEPS - 1)
    asked = min(FEW if slow else config.batch, len(mine.prompts))
    mine = dataclasses.replace(mine, sampling=dataclasses.replace(mine.sampling, batch=asked))
    answer = _second_time(lambda: mine.generate(key, base, asked)) / asked
    held = mine.measures.rows  # there may be fewer than were asked for
    held = pools.take(held, np.arange(min(asked, pools.count(held))))
    pair = prompts_of(held), completions_of(held)
    score = _second_time(lambda: scoring.score(decoder, base, *pair, batch=asked))
    texts = mine.references[: config.answered]
    read = _time(lambda: (metrics.rouge(texts, texts), metrics.variety(texts)))
    return Times(
        max(short - step, 0.0),
        step * config.fit.accumulation,
        answer,
        score / len(pair[0]),
        read / len(texts),
    )


def _long(spent: float) -> str:
    return f"{spent / 60:.3g} minutes" if spent < 7_200 else f"{spent / 3_600:,.0f} hours"


def _second_time(work: Callable[[], Any]) -> float:
    """Seconds of the second of two calls: the first also compiles."""
    jax.block_until_ready(work())
    return _time(work)


def _time(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - begun


def _peak_bytes() -> int:
    """Of an accelerator where there is one, else of this process."""
    told = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if told:
        return int(told["peak_bytes_in_use"])
    return memory.peak_bytes()
