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
    that tell how far rows are from real ones, for what the verifier accepts, and `describe_generated(rows)`, for all of
    them; `judged(k, rows, scores, correct, kept)`, told before the fit of round k what was generated and kept;
    `group_sizes(count)`, how many of `count` generated rows are in each group, where rows do not simply take turns
    among `classes`.
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


class Chain(NamedTuple):
    """One chain of a run: its key, its choices, where it starts and where it is saved."""

    key: jax.Array
    arm: Arm
    started: tuple[State, Record] | None = (
        None  # what `start` returned, for arms that share round 0; None: fit it
    )
    folder: Path | None = None  # where each round is saved, and gone on from; None: nowhere


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
    """The records of rounds 0..K of one chain; see `run_chains`. `watch(k, record)` is called after each round."""
    one = Chain(key, arm, started, folder)
    return run_chains([one], schedule, identity=identity, watch=lambda c, k, record: watch(k, record))[0]


def run_chains(
    chains: Sequence[Chain],
    schedule: Sequence[int],
    *,
    identity: str = "",
    watch: Callable[[int, int, Record], None] = lambda c, k, record: None,
) -> list[list[Record]]:
    """The records of rounds 0..K of chains, round by round; those that go on are fitted together.

    Args:
        chains: which. The first one's task fits for all, so their tasks differ in data only.
        schedule: rows generated in rounds 1..K.
        identity: what must be the same for a saved round to be gone on from, for example the settings in words.
        watch: called after each round of each chain, with the chain's place.

    Raises:
        ValueError: a checkpoint of another identity, or a selection that leaves a class empty.
        FloatingPointError: a fit's loss is not finite; the round and the step are named, and the rounds before it stay
            saved.
    """
    for one in chains:
        check(one.arm, schedule)
    states, records = [], []
    for c, one in enumerate(chains):
        state, told = _resumed(one, identity)
        if len(told) == 1:
            watch(c, 0, told[0])
        states.append(state)
        records.append(told)
    for k, count in enumerate(schedule, start=1):
        behind = [
            c for c, told in enumerate(records) if len(told) == k
        ]  # the others were saved later than this round
        keys_now = [chain.keys_of_round(chains[c].key, k) for c in behind]
        offers = [
            _offer(
                key, chains[c], states[c], int(count), k, _limit(chains[c].arm.workflow, records[c], schedule)
            )
            for c, key in zip(behind, keys_now, strict=True)
        ]
        fits = _fits(chains[0].arm.task, keys_now, offers, states, behind, k)
        for c, key, offer, fitted in zip(behind, keys_now, offers, fits, strict=True):
            model, report = fitted
            states[c] = State(model, offer.pool, offer.alive, offer.reason)
            record = _record(key, chains[c].arm.task, states[c], offer.counts, report, offer.accepted)
            record |= offer.described
            records[c].append(record)
            _save(chains[c].folder, k, states[c], records[c], identity)
            watch(c, k, record)
    return records


def _resumed(one: Chain, identity: str) -> tuple[State, list[Record]]:
    """The state and records that a chain goes on from."""
    saved = checkpoints.latest(one.folder, identity) if one.folder is not None else None
    if saved is None:
        state, record = one.started if one.started is not None else start(one.key, one.arm.task)
        return state, [record]
    return state_of(saved), saved.records


def state_of(saved: checkpoints.Saved) -> State:
    """The state in a checkpoint that `save_start` or a run wrote."""
    state = checkpoints.numbered(saved.state)
    return State(**(state | {"pool": pools.Pool(**state["pool"])}))


def save_start(folder: Path | None, state: State, record: Record, identity: str) -> None:
    """Save what `start` returned."""
    _save(folder, 0, state, [record], identity)


def _save(folder: Path | None, k: int, state: State, records: list[Record], identity: str) -> None:
    if folder is not None:
        tree = state._replace(pool=state.pool._asdict())._asdict()  # pyright: ignore[reportArgumentType]
        checkpoints.save(folder, k, tree, records, identity)


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
    try:
        model, report = task.fit(keys.for_purpose(key, keys.FIT), rows, None)
    except NotFitted as error:
        raise FloatingPointError(f"round 0: {error}") from error
    state = State(model, pools.pool_of(rows, 0), np.asarray(True), np.asarray(chain.ALIVE, np.int32))
    counts = _counts(0, 0, 0, 0, pools.count(rows))
    return state, _record(key, task, state, counts, report, None)


def _counts(generated: Any, correct: Any, kept: Any, kept_correct: Any, used: Any) -> chain.Counts:
    """Counts of whole numbers."""
    return chain.Counts(*map(np.int32, (generated, correct, kept, kept_correct, used)))  # pyright: ignore[reportArgumentType]


class _Offer(NamedTuple):
    """A round up to its fit."""

    rows: Tree  # that the fit sees; None: no fit
    pool: pools.Pool
    counts: chain.Counts
    accepted: Tree  # the rows kept; None of a frozen chain
    alive: np.ndarray
    reason: np.ndarray
    described: Record  # what the task says of all generated rows


def _offer(key: jax.Array, one: Chain, state: State, count: int, k: int, limit: int) -> _Offer:
    """Round k >= 1 up to its fit: generates `count` rows. A frozen chain keeps its pool and judges nothing."""
    task, verifier = one.arm.task, one.arm.verifier
    selection, workflow = one.arm.selection, one.arm.workflow
    if not state.alive:
        return _Offer(None, state.pool, _counts(0, 0, 0, 0, 0), None, state.alive, state.reason, {})
    rows = task.generate(keys.for_purpose(key, keys.GENERATE), state.model, count)
    correct = task.correct(rows)
    if verifier is None:
        scores = np.zeros(count)
    else:
        scores = np.asarray(verifier.score(keys.for_purpose(key, keys.VERIFY), rows, state.model))
    kept = selection.keep(scores, task.groups(rows))
    if hasattr(task, "judged"):
        task.judged(k, rows, scores, correct, kept)
    counts = _counts(count, correct.sum(), kept.sum(), (kept & correct).sum(), kept.sum())
    described = task.describe_generated(rows) if hasattr(task, "describe_generated") else {}
    accepted = pools.take(rows, kept)
    pool = pools.collect(workflow, state.pool, pools.pool_of(accepted, k))
    seen = pool.rows
    if pools.count(seen):
        seen = pools.seen(keys.for_purpose(key, keys.COLLECT), workflow, pool, count, k, limit)
    if pools.count(seen) == 0:
        frozen = np.asarray(False), np.asarray(chain.NOTHING_KEPT, np.int32)
        return _Offer(None, state.pool, counts, accepted, *frozen, described)
    return _Offer(seen, pool, counts, accepted, state.alive, state.reason, described)


def _limit(workflow: Any, records: list[Record], schedule: Sequence[int]) -> int:
    """Most rows of a fit."""
    return workflow.limit(np.array([records[0]["num_used"], *schedule])) if workflow.needs_rows else 0


def _fits(task, keys_now, offers, states, behind, k) -> list[tuple[Tree, Record]]:
    """Model and report of each offer; together where the task can and there are several."""
    out: list[tuple[Tree, Record]] = [(states[c].model, {}) for c in behind]
    wanted = [i for i, offer in enumerate(offers) if offer.rows is not None]
    fit_keys = [keys.for_purpose(keys_now[i], keys.FIT) for i in wanted]
    rows, previous = [offers[i].rows for i in wanted], [states[behind[i]].model for i in wanted]
    try:
        if len(wanted) > 1 and hasattr(task, "fit_many"):
            found = task.fit_many(fit_keys, rows, previous)
        else:
            found = [task.fit(*one) for one in zip(fit_keys, rows, previous, strict=True)]
    except NotFitted as error:
        raise FloatingPointError(f"round {k}: {error}; the rounds before it are kept") from error
    for i, fitted in zip(wanted, found, strict=True):
        out[i] = fitted
    return out


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


def stacked(tables: Sequence[Sequence[dict[str, np.ndarray]]], name: str, rounds: int) -> np.ndarray:
    """One number of tables by arm and chain, (arm, chain, rounds + 1); NaN where an arm has no such round or number."""
    out = np.full((len(tables), len(tables[0]), rounds + 1), np.nan)
    for i, one in enumerate(tables):
        for c, made in enumerate(one):
            if name in made:
                out[i, c, : len(made[name])] = made[name]
    return out
