"""One case measured: the engine, the NumPy programs and the limit in alternating runs, and what compiling costs."""

import dataclasses
import functools
import time
from typing import Any

import numpy as np
import threadpoolctl

from simcollapse.bench import baselines, limit, mixtures, programs, timing
from simcollapse.bench.cases import Case
from simcollapse.bench.mixtures import MixtureCase
from simcollapse.bench.scale import Scale
from simcollapse.bench.timing import Action

LARGE_N = 1000  # rows of a round from which a law is compared with drawing every row
MANY_N = 10**6  # rows of a round with which a law is compared with itself: they should cost no more
RELATIVE_ERROR = 0.01  # standard error to reach, as a share of the mean of the case's metric


def sample_level(case: Case | MixtureCase, scale: Scale) -> dict[str, Any]:
    """The engine with every row drawn, against plain NumPy and against the limit of its random numbers."""
    programs.forget()
    engine, compiled, row = engine_action(case, scale, "sample")
    actions = {"engine": engine, **numpy_actions(case, scale)}
    batch, at_once = limit.best(case, scale.run_s)
    actions["limit"] = timing.sized(
        lambda calls: limit.action(case, batch, at_once, calls), at_once, scale.run_s, least=at_once
    )
    return timed(row, actions, compiled, scale) | {"limit_batch": batch, "limit_at_once": at_once}


def exact_in_law(case: Case | MixtureCase, scale: Scale) -> dict[str, Any]:
    """The engine with sums drawn directly, against plain NumPy and, for large N, its own sample level."""
    programs.forget()
    law, compiled, row = engine_action(case, scale, "law")
    actions = {"engine": law, **numpy_actions(case, scale)}
    if case.n >= LARGE_N:
        actions["sample"], more, sample_row = engine_action(case, scale, "sample")
        row["sample_compile"] = sample_row["compile"]
        compiled |= more
        if isinstance(case, MixtureCase):
            many = dataclasses.replace(case, n=MANY_N)
            actions["many"], more, _ = engine_action(many, scale, "law")
            compiled |= more
    return timed(row, actions, compiled, scale)


def mixture(case: MixtureCase, scale: Scale) -> list[dict[str, Any]]:
    """Classification: a row for the engine with every row drawn, and one for the engine exact in law."""
    return [sample_level(case, scale), exact_in_law(case, scale)]


def engine_action(case: Case | MixtureCase, scale: Scale, engine: str) -> tuple[Action, dict, dict[str, Any]]:
    """The engine's run of wanted length, the programs it uses, and the start of the case's row of results.

    The block size is the one that the engine chooses for a large experiment; a run is two blocks or more.
    """
    block_size = programs.block_size(functools.partial(case.simulate, scale.many_chains, engine=engine))

    def make(chains):
        run = functools.partial(case.simulate, chains, engine=engine, block_size=block_size)
        return Action(run, chains * (case.rounds + 1), chains)

    begin = time.perf_counter()
    with programs.recorded() as compiled:
        result = case.simulate(2 * block_size, engine=engine, block_size=block_size)
    first_s = time.perf_counter() - begin
    later_s = float(np.median([timing.seconds(make(2 * block_size).run) for _ in range(3)]))
    guess = 2 * block_size * scale.engine_run_s / later_s
    action = timing.sized(make, guess, scale.engine_run_s, 2 * block_size)
    call_s = min(timing.seconds(make(1).run) for _ in range(3))
    error = result[case.metric].values[:, -1]
    return (
        action,
        compiled,
        {
            "case": case.name,
            "design": case.design,
            "dim": case.dim,
            "n": case.n,
            "rounds": case.rounds,
            "verified": case.verified,
            "engine": engine,
            "chains": action.size,
            "block_size": block_size,
            "call_s": call_s,
            "acceptance_rate": float(np.nanmean(result["acceptance_rate"].values[:, 1:])),
            f"mean_{case.metric}": float(error.mean()),
            "relative_error": RELATIVE_ERROR,
            "chains_for_error": float((error.std(ddof=1) / (RELATIVE_ERROR * error.mean())) ** 2),
            "compile": programs.compile_cost(compiled)
            | {"first_call_s": first_s, "first_call_extra_s": first_s - later_s},
        },
    )


def numpy_actions(case: Case | MixtureCase, scale: Scale) -> dict[str, Action]:
    """The plain loops, and the vectorised program in its best block size."""
    rounds = case.rounds + 1
    numpy: Any = mixtures if isinstance(case, MixtureCase) else baselines

    def loop(run):
        def make(chains):
            rng = np.random.default_rng(0)
            return Action(lambda: run(case, chains, rng), chains * rounds, chains)

        return _with_best_blas(timing.sized(make, 1, scale.run_s), scale)

    def vectorised(block):
        def make(blocks):
            rng = np.random.default_rng(0)
            run = functools.partial(numpy.vectorised, case, block * blocks, rng, block)
            return Action(run, block * blocks * rounds, block * blocks)

        return make

    candidates = {block: vectorised(block)(1) for block in numpy.block_sizes(case)}
    block = timing.fastest(candidates, scale.run_s)
    return {name: loop(run) for name, run in numpy.LOOPS.items()} | {
        "vectorised": _with_best_blas(timing.sized(vectorised(block), 1, scale.run_s), scale),
    }


def timed(row: dict[str, Any], actions: dict[str, Action], compiled: dict, scale: Scale) -> dict[str, Any]:
    """`row` with the rates of all actions, the engine's speedup over each, and seconds to `RELATIVE_ERROR`.

    Raises:
        RuntimeError: the engine compiled again during the timed runs.
    """
    before = programs.compilations(compiled)
    taken = timing.interleaved(actions, scale.repeats)
    again = programs.compilations(compiled) - before
    if again:
        raise RuntimeError(
            f"the engine compiled {again} programs again during the timed runs of {row['case']}"
        )
    rates: dict[str, Any] = {
        name: timing.summary(taken[name], action.work) for name, action in actions.items()
    }
    for name, action in actions.items():
        if action.blas_threads:
            rates[name]["blas_threads"] = action.blas_threads
    others = [name for name in actions if name != "engine"]
    chain_rounds = row["chains_for_error"] * (row["rounds"] + 1)
    return row | {
        "rates": rates,
        "speedup": {name: timing.speedup(taken, actions, "engine", name) for name in others},
        "seconds_to_error": {name: chain_rounds / rates[name]["rate"] for name in actions if name != "limit"},
    }


def _with_best_blas(action: Action, scale: Scale) -> Action:
    """`action` with one BLAS thread, or with all, whichever is faster here: the baseline gets its best."""

    def limited():
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            action.run()

    ways = {
        "all": action._replace(blas_threads="all"),
        "one": action._replace(run=limited, blas_threads="one"),
    }
    return ways[timing.fastest(ways, scale.run_s)]
