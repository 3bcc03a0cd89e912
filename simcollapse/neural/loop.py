"""The loop of `simcollapse.chain`, run from the host because a fit is a training run.

fit -> generate -> verify -> select -> collect (workflow) -> fit -> measure. A stage gives a `Task` and, where it
has them, verifiers; selections, workflows, checkpoints and the audit are common to all stages. Rows are dicts of
NumPy arrays of one length, models are nested dicts of arrays: what a checkpoint can store. Keys are derived by
position (`simcollapse.keys`), so a chain that goes on from a checkpoint draws what it would have drawn.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from simcollapse import chain, keys, results
from simcollapse.neural import checkpoints, pools

Tree = Any
Record = dict[str, Any]  # numbers of a round, and the arrays that `Task.show` gave


class Task(Protocol):
    """What is modelled.

    Optional: `show(key, model)`, arrays to keep of every round, as samples to look at; `describe_kept(rows)`, numbers
    that tell how far rows are from real ones, for what the verifier accepts; `group_sizes(count)`, how many of `count`
    generated rows are in each group, where rows do not simply take turns among `classes`.
    """

    descriptions: dict[str, str]  # what each number of `measure` and `describe_kept` is, and its unit

    def real(self, key: jax.Array) -> Tree: ...  # the rows of round 0
    def fit(
        self, key: jax.Array, rows: Tree, previous: Tree
    ) -> tuple[Tree, Record]: ...  # model, how it went
    def generate(self, key: jax.Array, model: Tree, count: int) -> Tree: ...
    def correct(self, rows: Tree) -> np.ndarray: ...  # (N,) bool, for the audit
    def groups(self, rows: Tree) -> np.ndarray: ...  # (N,) int, within which a top share is taken
    def measure(self, key: jax.Array, model: Tree) -> Record: ...  # on held-out real data


class Verifier(Protocol):
    """How real a row looks."""

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray: ...  # (N,), larger is better


class Arm(NamedTuple):
    """One experiment's choices."""

    task: Any
    verifier: Any  # None: no verifier, and the selection sees scores of 0
    selection: Any
    workflow: Any  # of `simcollapse.workflows`


class State(NamedTuple):
    """What the next round needs; all that a checkpoint must store."""

    model: Tree
    pool: pools.Pool
    alive: np.ndarray  # (), bool
    reason: np.ndarray  # (), int32, index into `simcollapse.chain.REASONS`


class NotFitted(FloatingPointError):
    """A fit whose loss is not finite. `step` is the first such step."""

    def __init__(self, step: int, loss: float):
        super().__init__(f"loss is {loss} in step {step} of the fit")
        self.step = step


def run_chain(
    key: jax.Array,
    arm: Arm,
    schedule: Sequence[int],
    *,
    started: tuple[State, Record] | None = None,
    folder: Path | None = None,
    identity: str = "",
    watch: Callable[[int, Record], None] = lambda k, record: None,
) -> list[Record]:
    """The records of rounds 0..K of one chain.

    Args:
        key: the chain's key.
        arm: the choices.
        schedule: rows generated in rounds 1..K.
        started: what `start` returned, for arms that share round 0; None to fit it here.
        folder: where each round is saved, and gone on from; None: nowhere.
        identity: what must be the same for a saved round to be gone on from, for example the settings in words.
        watch: called after each round.

    Raises:
        ValueError: a checkpoint of another identity, or a selection that leaves a class empty.
        FloatingPointError: a fit's loss is not finite; the round and the step are named, and the rounds before it stay
            saved.
    """
    check(arm, schedule)
    saved = checkpoints.latest(folder, identity) if folder is not None else None
    if saved is not None:
        model, pool = saved.state["model"], saved.state["pool"]
        state = State(model, pools.Pool(**pool), saved.state["alive"], saved.state["reason"])
        records, first = saved.records, saved.round + 1
    else:
        state, record = started if started is not None else start(key, arm.task)
        records, first = [record], 1
        watch(0, record)
    limit = _limit(arm.workflow, pools.count(state.pool.rows), schedule)
    for k in range(first, len(schedule) + 1):
        state, record = step(chain.keys_of_round(key, k), arm, state, int(schedule[k - 1]), k, limit)
        records.append(record)
        if folder is not None:
            saved_state = state._replace(pool=state.pool._asdict())._asdict()
            checkpoints.save(folder, k, saved_state, records, identity)
        watch(k, record)
    return records


def check(arm: Arm, schedule: Sequence[int]) -> None:
    """Raise ValueError for choices that do not go together."""
    pools.check_workflow(arm.workflow)
    classes = getattr(arm.task, "classes", 1)
    for count in schedule:
        if hasattr(arm.task, "group_sizes"):
            arm.selection.check(arm.task.group_sizes(count))
        else:
            arm.selection.check(np.bincount(np.arange(count) % max(classes, 1)))


def start(key: jax.Array, task: Any) -> tuple[State, Record]:
    """Round 0: the model is fitted to real rows."""
    key = chain.keys_of_round(key, 0)
    rows = task.real(keys.for_purpose(key, keys.REAL))
    model, report = _fit(task, keys.for_purpose(key, keys.FIT), rows, None, 0)
    state = State(model, pools.pool_of(rows, 0), np.asarray(True), np.asarray(chain.ALIVE, np.int32))
    counts = chain.Counts(*[np.int32(0)] * 4, np.int32(pools.count(rows)))
    return state, _record(key, task, state, counts, report, None)


def step(key: jax.Array, arm: Arm, state: State, count: int, k: int, limit: int) -> tuple[State, Record]:
    """Round k >= 1, which generates `count` rows. A frozen chain keeps its model and pool."""
    task = arm.task
    if not state.alive:
        return state, _record(key, task, state, chain.Counts(*[np.int32(0)] * 5), {}, None)
    rows = task.generate(keys.for_purpose(key, keys.GENERATE), state.model, count)
    correct = task.correct(rows)
    if arm.verifier is None:
        scores = np.zeros(count)
    else:
        scores = np.asarray(arm.verifier.score(keys.for_purpose(key, keys.VERIFY), rows, state.model))
    kept = arm.selection.keep(scores, task.groups(rows))
    counts = chain.Counts(*(np.int32(x.sum()) for x in (np.ones(count), correct, kept, kept & correct, kept)))
    accepted = pools.take(rows, kept)
    pool = pools.collect(arm.workflow, state.pool, pools.pool_of(accepted, k))
    if pools.count(pool.rows) == 0:
        state = state._replace(alive=np.asarray(False), reason=np.asarray(chain.NOTHING_KEPT, np.int32))
        return state, _record(key, task, state, counts, {}, accepted)
    chosen = pools.seen(keys.for_purpose(key, keys.COLLECT), arm.workflow, pool, count, k, limit)
    model, report = _fit(task, keys.for_purpose(key, keys.FIT), chosen, state.model, k)
    state = State(model, pool, state.alive, state.reason)
    return state, _record(key, task, state, counts, report, accepted)


def _limit(workflow: Any, real: int, schedule: Sequence[int]) -> int:
    """Most rows of a fit."""
    return workflow.limit(np.array([real, *schedule])) if workflow.needs_rows else 0


def _fit(task: Any, key: jax.Array, rows: Tree, previous: Tree, k: int) -> tuple[Tree, Record]:
    try:
        return task.fit(key, rows, previous)
    except NotFitted as error:
        raise FloatingPointError(f"round {k}: {error}; the rounds before it are kept") from error


def _record(key, task, state, counts, report, accepted) -> Record:
    """Counts, metrics of the model and of the accepted rows, how the fit went, and what the task shows."""
    record: Record = {f"num_{name}": int(value) for name, value in counts._asdict().items()}
    record |= {"alive": bool(state.alive), "reason": int(state.reason)}
    record |= {f"fit_{name}": value for name, value in report.items()}
    record |= task.measure(keys.for_purpose(key, keys.MEASURE), state.model)
    if hasattr(task, "describe_kept") and accepted is not None and pools.count(accepted):
        record |= task.describe_kept(accepted)
    if hasattr(task, "show"):
        record |= task.show(keys.for_purpose(key, keys.MEASURE, 1), state.model)
    return record


def table(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """Records by name, (K + 1, …), with the audit (acceptance_rate, phi, psi, p, p_star) formed from the counts.

    NaN where a round has no such number.
    """
    names = dict.fromkeys(name for record in records for name in record)
    found = {name: [record.get(name) for record in records] for name in names}
    arrays = {
        name: np.array([np.nan if value is None else value for value in values])
        for name, values in found.items()
    }
    return arrays | results.rates(arrays)
