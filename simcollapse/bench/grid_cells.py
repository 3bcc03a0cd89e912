"""Cells of the generative grid measured: each engine against the plain loop, and how cost grows with each size."""

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from simcollapse.bench import generative_loops, programs, timing
from simcollapse.bench.generative import GenerativeCase
from simcollapse.bench.scale import Scale
from simcollapse.bench.timing import Action


def cell(case: GenerativeCase, scale: Scale) -> dict[str, Any]:
    """Chain-rounds a second of the plain loop and of each engine that there is, and what compiling took.

    A block size is the one that the engine chooses for a large experiment; a run is two blocks or more. The grid is
    large, so each program is timed in a few alternating runs, of which the median counts.
    """
    actions, compile_s, compiled = {}, {}, {}
    for engine in case.engines:
        actions[engine], cost, programs_used = _engine(case, scale, engine)
        compile_s[engine] = cost
        compiled |= programs_used
    actions["loop"] = timing.sized(functools.partial(_loop, case), 1, scale.cell_s)
    before = programs.compilations(compiled)
    taken = timing.interleaved(actions, scale.cell_repeats)
    if programs.compilations(compiled) != before:
        raise RuntimeError(f"the engine compiled again during the timed runs of {case.name}")
    rates = {name: timing.summary(taken[name], action.work) for name, action in actions.items()}
    speedup = {name: timing.speedup(taken, actions, name, "loop") for name in case.engines}
    return {
        "case": case.name,
        "task": case.task,
        "workflow": case.workflow,
        "dim": case.dim,
        "n": case.n,
        "rounds": case.rounds,
        "rates": rates,
        "speedup": speedup,
        "best": max(speedup.values()),
        "compile_s": compile_s,
    }


def _loop(case: GenerativeCase, chains: int) -> Action:
    rng = np.random.default_rng(0)
    run = functools.partial(generative_loops.one_at_a_time, case, chains, rng)
    return Action(run, chains * (case.rounds + 1), chains)


def _engine(case: GenerativeCase, scale: Scale, engine: str) -> tuple[Action, float, dict]:
    """The engine's run of wanted length, seconds that compiling took, and the programs.

    Cells with a program in common follow each other, and only the first pays for it.
    """
    block = programs.block_size(functools.partial(case.simulate, scale.many_chains, engine=engine))

    def make(chains: int) -> Action:
        run = functools.partial(case.simulate, chains, engine=engine, block_size=block)
        return Action(run, chains * (case.rounds + 1), chains)

    first = make(2 * block)
    with programs.recorded() as compiled:
        first.run()
    cost = programs.compile_cost(compiled)["compile_s"]
    seconds = timing.seconds(first.run)
    most = int(np.clip(scale.cell_s / seconds, 1, 64))
    return (make(2 * block * most) if most > 1 else first), cost, compiled


def growth(case: GenerativeCase, lengths: Iterable[int], scale: Scale) -> dict[str, Any]:
    """Seconds of one chain by its number of rounds K, for each engine and the loop, and the exponent of K.

    The exponent is that of the longer half: seconds go as K^exponent there. 1 is linear.
    """
    seconds: dict[str, dict[int, float]] = {}
    for length in lengths:
        row = cell(dataclasses.replace(case, length=length), scale)
        for name, rate in row["rates"].items():
            seconds.setdefault(name, {})[length] = (length + 1) / rate["rate"]
    return {
        "case": case.name,
        "chain_s": seconds,
        "exponent": {name: exponent(by) for name, by in seconds.items()},
    }


def exponent(seconds: dict[int, float]) -> float:
    """Slope of log seconds against log size over the larger half of the sizes."""
    sizes = sorted(seconds)
    upper = sizes[(len(sizes) - 1) // 2 :]
    steps = [
        np.log(seconds[high] / seconds[low]) / np.log(high / low) for low, high in itertools.pairwise(upper)
    ]
    return float(np.mean(steps))


def summaries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric mean and worst cell of the speedup by the best engine: of each task and workflow, and of all."""
    made = []
    if not rows:
        return made
    for task in [*dict.fromkeys(row["task"] for row in rows), "all"]:
        ours = [row for row in rows if task in (row["task"], "all")]
        flows = list(dict.fromkeys(row["workflow"] for row in ours))
        for workflow in [*flows, "all"]:
            those = [row for row in ours if workflow in (row["workflow"], "all")]
            worst = min(those, key=lambda row: row["best"])
            made.append(
                {
                    "task": task,
                    "workflow": workflow,
                    "cells": len(those),
                    "geometric_mean": float(np.exp(np.mean([np.log(row["best"]) for row in those]))),
                    "worst": worst["best"],
                    "worst_case": worst["case"],
                    "below_ten": sum(row["best"] < 10 for row in those),
                }
            )
    return made
