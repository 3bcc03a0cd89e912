"""One case measured: the engine, the NumPy programs and the limit in alternating runs, and what compiling costs."""

import functools
from typing import Any

import numpy as np
import threadpoolctl

from simcollapse.bench import baselines, limit, programs, timing
from simcollapse.bench.cases import Case
from simcollapse.bench.scale import Scale
from simcollapse.bench.timing import Action

LEAST_CHAINS = 128  # several blocks of the least size, so that two threads have work
MOST_CHAINS = 2**22
RELATIVE_ERROR = 0.01  # standard error to reach, as a share of the mean squared error


def sample_level(case: Case, scale: Scale) -> dict[str, Any]:
    """The engine with every row drawn, against plain NumPy and against the limit of its random numbers."""
    engine, compiled, row = engine_action(case, scale, "sample")
    actions = {"engine": engine, **numpy_actions(case, scale)}
    batch, at_once = limit.best(case, scale.run_s)
    actions["limit"] = timing.sized(
        lambda calls: limit.action(case, batch, at_once, calls), at_once, scale.run_s, least=at_once
    )
    row |= timed(actions, compiled, scale)
    row |= {"limit_batch": batch, "limit_at_once": at_once}
    return row


def exact_in_law(case: Case, scale: Scale) -> dict[str, Any]:
    """The engine with sums drawn directly (no verifier), against its own sample level and plain NumPy."""
    law, compiled, row = engine_action(case, scale, "law")
    sample, compiled_sample, sample_row = engine_action(case, scale, "sample")
    actions = {"engine": law, "sample": sample, **numpy_actions(case, scale)}
    row |= timed(actions, compiled | compiled_sample, scale)
    row["sample_compile"] = sample_row["compile"]
    return row


def engine_action(case: Case, scale: Scale, engine: str) -> tuple[Action, dict, dict[str, Any]]:
    """The engine's run of wanted length, the programs it uses, and the start of the case's row of results."""

    def make(chains):
        run = functools.partial(case.simulate, chains, engine=engine)
        return Action(run, chains * (case.rounds + 1), chains)

    guess = scale.guess_factor * scale.engine_run_s / (case.guessed_round_s * (case.rounds + 1))
    guess = timing.rounded(guess, LEAST_CHAINS, MOST_CHAINS)
    with programs.recorded() as compiled:
        first_s = timing.seconds(make(guess).run)
        action = timing.sized(make, guess, scale.engine_run_s, LEAST_CHAINS, MOST_CHAINS)
        result: Any = action.run()
        later_s = float(np.median([timing.seconds(make(guess).run) for _ in range(3)]))
    error = result["squared_error"].values[:, -1]
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
            "block_size": int(result.attrs["block_size"]),
            "acceptance_rate": float(np.nanmean(result["acceptance_rate"].values[:, 1:])),
            "mean_squared_error": float(error.mean()),
            "chains_for_error": float((error.std(ddof=1) / (RELATIVE_ERROR * error.mean())) ** 2),
            "compile": programs.compile_cost(compiled)
            | {"first_call_s": first_s, "first_call_extra_s": first_s - later_s},
        },
    )


def numpy_actions(case: Case, scale: Scale) -> dict[str, Action]:
    """The plain loop with both fits, and the vectorised program in its best block size."""
    rounds = case.rounds + 1

    def loop(fit):
        def make(chains):
            rng = np.random.default_rng(0)
            return Action(lambda: baselines.one_at_a_time(case, chains, rng, fit), chains * rounds, chains)

        return _with_best_blas(timing.sized(make, 1, scale.run_s), scale)

    def vectorised(block):
        def make(blocks):
            rng = np.random.default_rng(0)
            run = functools.partial(baselines.vectorised, case, block * blocks, rng, block)
            return Action(run, block * blocks * rounds, block * blocks)

        return make

    candidates = {block: vectorised(block)(1) for block in baselines.block_sizes(case)}
    block, _ = timing.fastest(candidates, scale.run_s)
    return {
        "loop": loop(baselines.pseudo_inverse),
        "loop_solve": loop(baselines.solve),
        "vectorised": _with_best_blas(timing.sized(vectorised(block), 1, scale.run_s), scale),
    }


def timed(actions: dict[str, Action], compiled: dict, scale: Scale) -> dict[str, Any]:
    """Rates of all actions, how many times each other one the engine makes, and seconds to a wanted precision.

    Raises:
        RuntimeError: the engine compiled again during the timed runs.
    """
    before = programs.compilations(compiled)
    taken = timing.interleaved(actions, scale.repeats)
    again = programs.compilations(compiled) - before
    if again:
        raise RuntimeError(f"the engine compiled {again} programs again during the timed runs")
    rates = {name: timing.summary(taken[name], action.work) for name, action in actions.items()}
    return {
        "rates": rates,
        "speedup": {
            name: timing.speedup(taken, actions, "engine", name) for name in actions if name != "engine"
        },
    }


def _with_best_blas(action: Action, scale: Scale) -> Action:
    """`action` with one BLAS thread, or with all, whichever is faster here: the baseline gets its best."""

    def limited():
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            action.run()

    single = action._replace(run=limited)
    best, _ = timing.fastest({"all": action, "one": single}, scale.run_s)
    return single if best == "one" else action
