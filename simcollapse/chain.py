"""One round, and the chain as a scan over rounds: fit -> generate -> verify -> collect -> fit.

The four choices (task, verifier, workflow, sampling) meet here and nowhere else. Everything below is a
pure function of one chain; `engine` adds the chain axis with `vmap`.

Rows are drawn in chunks of a fixed size (`task.chunk_rows`) in a loop whose length is a run-time value, so
sizes can be swept without recompiling and memory does not grow with the rows of a round.
"""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from simcollapse import buffers, keys, ordering, randoms
from simcollapse.batching import largest

Tree = Any

# Why a chain stopped. Stored as small integers in results, whose attributes carry these words.
REASONS = (
    "alive",
    "nothing kept: the verifier accepted no row",
    "too few rows to fit",
    "rank deficient: the rows do not span every coefficient",
    "the fit did not converge",
    "the verifier's own fit failed",
)
ALIVE, NOTHING_KEPT, TOO_FEW, RANK_DEFICIENT, NOT_CONVERGED, UNTRAINED = range(6)


class Batch(NamedTuple):
    """Rows on their way into a pool."""

    data: Tree  # rows of the task, N of them
    weight: jax.Array  # (N,), 0: does not enter; 1 unless the workflow weighs rows
    born: jax.Array  # (), round that made the rows, 0 = real


class State(NamedTuple):
    """What the next round needs; all that a checkpoint must store."""

    model: Tree
    pool: Tree
    judge: Tree  # what the verifier knows in this chain, for example its fitted center
    alive: jax.Array  # (), bool
    reason: jax.Array  # (), int32, index into REASONS


class Counts(NamedTuple):
    """Rows of one round; `used` is what entered the pool, the others count each proposal once."""

    generated: jax.Array  # (), int32
    correct: jax.Array
    kept: jax.Array
    kept_correct: jax.Array
    used: jax.Array


class Info(NamedTuple):
    """What a round records."""

    metrics: dict[str, jax.Array]
    counts: Counts
    alive: jax.Array
    reason: jax.Array
    model: Tree  # None unless the model is recorded


class Packed(NamedTuple):
    """An `Info` as a loop over rounds writes it: single numbers of one kind share an array.

    A program writes, copies and turns each array in loops of its own, which take more time to compile than to run.
    """

    floats: jax.Array  # (F,), of JAX's default float type
    whole: jax.Array  # (I,), int32, with booleans among them
    others: list[jax.Array]  # in the order of the leaves, as all three


def pack(info: Info) -> Packed:
    """See `Packed`."""
    kinds: dict[str, list] = {"floats": [], "whole": [], "others": []}
    for leaf in jax.tree.leaves(info):
        kind = _kind(leaf)
        kinds[kind].append(leaf.astype(jnp.int32) if kind == "whole" else leaf)
    floats = jnp.stack(kinds["floats"]) if kinds["floats"] else jnp.zeros(0)
    return Packed(floats, jnp.stack(kinds["whole"]), kinds["others"])


def unpack(packed: Packed, like: Info) -> Info:
    """What was packed, with leading axes; `like` has the types, and the shapes with rounds as leading axis."""
    here: dict[str, int] = {"floats": 0, "whole": 0, "others": 0}

    def take(leaf):
        kind = _kind(jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype))
        place, here[kind] = here[kind], here[kind] + 1
        arrays = getattr(packed, kind)
        return arrays[place] if kind == "others" else arrays[..., place].astype(leaf.dtype)

    return jax.tree.map(take, like)


def _kind(leaf) -> str:
    if leaf.ndim == 0 and leaf.dtype == jnp.zeros(()).dtype:
        return "floats"
    return "whole" if leaf.ndim == 0 and leaf.dtype in (jnp.bool_, jnp.int32) else "others"


class Sampling(NamedTuple):
    """How many rows a round takes and what becomes of a rejected one."""

    fixed: str = "generated"  # or "kept": draw until that many rows were accepted
    rejected: str = "drop"  # or "resample": redraw the row's response until it is accepted
    max_tries: int = 1000  # proposals per wanted row before giving up; the shortfall is wanted - used
    audit: bool = True  # count which rows are correct, also where no verifier asks


class Task(Protocol):
    """What is modelled. Arrays are leaves, sizes and options are static.

    Optional: `redraw_within(key, model, data, low, high, kept)`, which needs no tries; see `_resample`.
    `add_drawn(pool, key, purpose, model, count)`, the sums with the first `count` rows of `model` added (int32, a row
    a sample) and how many of these are correct, all of them rows that `real` and `generate` would draw with the keys of
    that purpose: for rounds whose rows nothing looks at.
    `derived` names the fields of a model that follow from others, which `contaminated` may not set.
    `undefined` names the metrics that may be NaN, where they have no value. A task of kind "density" has `mean`, and
    rows with `standard` coordinates and `standard_step`, which verifiers of densities judge by.
    `close(pool)`: sums whose rows of a round are all in, ready for `fit` and for `open`. `real_is_generated`: `real`
    gives what `generate` gives with the truth and the same key.
    `additive`, true where `sums` of two sets of rows are those of each, added field by field, but for fields that no
    row changes: then rows of a buffer are summed in pieces.
    `with_room(room, schedule)`, the task with so many places in what it stores of prescribed rows, for rounds of
    `schedule`, which the same law must follow; for chains without a verifier.
    `check()` raises ValueError where a sweep made fields that contradict each other; `model_dims` names the axes of
    the model's fields in results.
    """

    kind: str  # "regression" or "classification"; what a verifier must be made for
    descriptions: dict[str, str]  # what each metric of `measure` is, and its unit
    needs_rows: bool  # a fit needs the rows themselves (`buffers.Seen`), not sums
    dim: int  # D
    chunk_rows: int  # rows of one draw
    rows_per_sample: int  # rows that one unit of n_real or n_per_round stands for
    most_samples: int  # of a round
    prescribed: bool  # covariates are prescribed, so a kept row is the same row redrawn

    def truth_model(self) -> Tree: ...  # the truth, in the form of a model
    def real(self, key: jax.Array, chunk: jax.Array, present: jax.Array | None) -> Tree: ...
    def generate(self, key: jax.Array, model: Tree, chunk: jax.Array, present: jax.Array) -> Tree: ...
    def redraw(self, key: jax.Array, model: Tree, data: Tree, kept: jax.Array) -> Tree: ...
    def draw_bytes(self, data: Tree) -> int: ...  # memory that one draw works on, from the shapes of its rows
    def number(self, chunk: jax.Array) -> jax.Array: ...  # (N,), which sample of the round a row is
    def correct(self, data: Tree, bound: jax.Array | None) -> jax.Array: ...  # (N,), against the truth
    def rows(self, data: Tree) -> Tree: ...  # what a buffer keeps of each row, leaves (N, …)
    def empty(self, model: Tree) -> Tree: ...  # sums of no rows, ready for rows of `model`
    def open(self, pool: Tree, model: Tree) -> Tree: ...  # the same sums, made ready for rows of `model`
    def add(self, pool: Tree, batch: Batch) -> Tree: ...  # sums with a batch added
    def sums(self, rows: Tree, weight: jax.Array) -> Tree: ...  # of rows out of a buffer
    def fit(self, key: jax.Array, pool: Tree, previous: Tree) -> tuple[Tree, jax.Array]: ...  # model, reason
    def measure(self, key: jax.Array, model: Tree) -> dict[str, jax.Array]: ...
    def check_sizes(self, n_real: int, n_per_round: Any, alone: bool, rows: int | None) -> None: ...


class Verifier(Protocol):
    """Which rows are accepted.

    Instead of `accept`, one of:
        `chance(judge, data, model, correct)`, the probability (N,) that a row is accepted: a toss for each row,
            by a verifier that is told which rows are correct;
        `score(key, judge, data, model)` (N,) and `share`: of a round's rows, the share with the highest scores.
    Optional: `keeps_every_row`, true of one that accepts whatever comes;
    `prepare(key, judge, task, model)`, what it knows in this round alone, passed as `judge` to the others,
    with `prepare_bytes(task)`, the memory that takes;
    `kind`, of the tasks it is made for; `check_task(task)`; `interval(judge, data)`, `bound(judge, data)`;
    `measure(judge, task, model)`, metrics beside the task's, with their `descriptions`.
    """

    def init(self, key: jax.Array, task: Any) -> Tree: ...  # what it knows; NaN where its own fit failed
    def accept(self, key: jax.Array, judge: Tree, data: Tree, model: Tree) -> jax.Array: ...


class Workflow(Protocol):
    """Which rows the next fit sees.

    With `needs_rows`: `limit(rows)`, most rows of a fit, and `choose(key, pool, wanted, k, limit)`, those of round k
    as `buffers.Seen`: with weights for all rows of the pool in their order, or for some by their places.
    With fresh real rows: `real_rows(count)`, how many of a round's rows are real; `parts(counts)`, the same for all
    rounds, (real, generated); `row_weights(real, generated)`, of each kind, or None.
    Optional: `alike`, true where every row of the pool is as likely to be chosen, and `number(wanted)`, how many are,
    for laws; `source(task, model)`, the model that generates in place of the fitted one; `rejected_weight`, with which
    rejected rows enter the pool; `check_task(task)`.
    """

    keeps: bool  # rows of earlier rounds stay in the pool
    fits_alone: bool  # a fit sees no more rows than one round's
    needs_rows: bool  # a buffer of rows rather than sums


class Law(Protocol):
    """A round that is exact in law. Optional: `reduced(task)`, the task without what the law does not use;
    `fit_alone(key, task, model, count, present)`, the model fitted to `count` samples of `model` and nothing else, for
    workflows that keep no pool; `thin(key, task, pool, number)`, the sums of so many rows of a pool drawn without
    replacement, for workflows that choose alike. `present` as in `keys.stored`.
    `REAL_IS_A_ROUND_OF_TRUTH`: `add_real` draws what `add_round` does where the model is the truth, from the same key.
    """

    def add_real(
        self, key: jax.Array, task: Any, pool: Tree, count: jax.Array, present: jax.Array
    ) -> Tree: ...
    def add_round(
        self, key: jax.Array, loop: "Loop", state: State, pool: Tree, count: jax.Array, present: jax.Array
    ) -> tuple[Tree, Counts]: ...


class Loop(NamedTuple):
    """One experiment's choices, fixed for the length of a chain."""

    task: Any
    verifier: Any
    workflow: Any
    sampling: Sampling
    law: Any  # a Law, drawing a whole round's sums instead of its rows; None to draw the rows
    capacity: int | None  # rows that the pool can hold; None for sums
    limit: int  # most rows that one fit takes out of a buffer
    ranked: int  # rows of the largest round, where the verifier ranks them; else 0
    record_model: bool
    rounds: int = 0  # K
    most_real: int | None = (
        None  # rows of round 0, whose fit sees so many places of a buffer; None for all places
    )


def run_chain(key: jax.Array, loop: Loop, schedule: jax.Array) -> tuple[State, Packed]:
    """Last state of one chain, and the packed Info of rounds 0..K with the round as leading axis.

    Args:
        key: the chain's key.
        loop: the choices.
        schedule: rows of rounds 0..K, shape (K + 1,), int32; entry 0 counts real rows.
    """
    if _starts_like_a_round(loop):
        return _run_alike(key, loop, schedule)
    state, info = start(keys_of_round(key, 0), loop, schedule[0])
    first = jax.tree.map(lambda x: x[None], pack(info))
    if loop.rounds == 0:  # nothing to trace and to compile
        return state, first

    def body(state, k):
        state, info = step(keys_of_round(key, k), loop, state, _count_of_round(schedule, k), k)
        return state, pack(info)

    state, later = jax.lax.scan(body, state, jnp.arange(1, loop.rounds + 1, dtype=jnp.int32))
    return state, jax.tree.map(lambda x0, x: jnp.concatenate([x0, x]), first, later)


def _starts_like_a_round(loop: Loop) -> bool:
    """Whether round 0 is a round of the truth, so that it need not be compiled apart: that halves the program."""
    if hasattr(loop.workflow, "real_rows") or not _keeps_every_row(loop):
        return False
    if loop.law is not None:
        return getattr(loop.law, "REAL_IS_A_ROUND_OF_TRUTH", False)
    if loop.task.needs_rows:  # such a fit may go on from the rows of the one before, and the truth has none
        return False
    # a fit that draws rows of a pool must have all of the real ones in its reach
    reached = not loop.workflow.needs_rows or (
        getattr(loop.workflow, "size", 0) is None
        and loop.workflow.alike
        and (loop.most_real or 0) <= loop.limit
    )
    return reached and getattr(loop.task, "real_is_generated", False)


def _run_alike(key, loop, schedule):
    """As `run_chain`, with round 0 among the others; its rows count as used, and nothing judges them."""
    truth = loop.task.truth_model()
    judge = loop.verifier.init(keys.for_purpose(key, keys.JUDGE), loop.task)
    pool = () if keeps_no_pool(loop) else _empty(loop, truth)
    begin = State(model=truth, pool=pool, judge=judge, alive=jnp.asarray(True), reason=jnp.int32(ALIVE))

    def body(state, k):
        state, info = step(keys_of_round(key, k), loop, state, _count_of_round(schedule, k), k)
        judged = jax.tree.map(lambda count: jnp.where(k == 0, 0, count), info.counts)
        return state, pack(info._replace(counts=judged._replace(used=info.counts.used)))

    return jax.lax.scan(body, begin, jnp.arange(loop.rounds + 1, dtype=jnp.int32))


def keys_of_round(key: jax.Array, k) -> jax.Array:
    """Key of round k of the chain with key `key`."""
    return keys.fold_in(key, k, _always(k))


def _count_of_round(schedule, k):
    """Rows of round k; looked up once, for XLA's loops for CPU otherwise do so anew for every entry of a matrix."""
    return keys.stored(lambda: schedule[k], _always(k))


def _always(k):
    """A value that is true in every round, for `keys.stored`, and known only at run time; None for a number."""
    return None if isinstance(k, int) else k >= 0


def start(key: jax.Array, loop: Loop, count: jax.Array) -> tuple[State, Info]:
    """Round 0: the verifier learns what it will know, the model is fitted to `count` real rows."""
    task, law = loop.task, loop.law
    truth = task.truth_model()
    judge, trained = _trained(loop.verifier.init(keys.for_purpose(key, keys.JUDGE), task))
    key_law = keys.for_purpose(key, keys.LAW)
    if keeps_no_pool(loop):
        pool, model, reason = (), law.fit_alone(key_law, task, truth, count, count > 0), jnp.int32(ALIVE)
    else:
        pool = _empty(loop, truth)
        if law is None:
            pool = add_real(key, task, pool, count, count)
        else:
            pool = law.add_real(key_law, task, pool, count, count > 0)
        nowhere = jax.tree.map(jnp.zeros_like, truth)  # a chain that cannot start stays here
        pool = _closed(task, pool)
        model, reason = task.fit(
            keys.for_purpose(key, keys.FIT), _all_of(task, pool, _most_at_start(key, loop, pool)), nowhere
        )
    reason = jnp.where((reason == ALIVE) & ~trained, UNTRAINED, reason).astype(jnp.int32)
    state = State(model=model, pool=pool, judge=judge, alive=reason == ALIVE, reason=reason)
    zero = jnp.int32(0)
    return state, _info(key, loop, state, Counts(zero, zero, zero, zero, _rows(task, count)))


def _trained(judge):
    """`judge`, and whether it is finite; a verifier whose own fit failed says so by NaN, which becomes 0."""
    floats = [x for x in jax.tree.leaves(judge) if jnp.issubdtype(x.dtype, jnp.floating)]
    trained = functools.reduce(jnp.logical_and, [jnp.all(jnp.isfinite(x)) for x in floats], jnp.asarray(True))
    return jax.tree.map(lambda x: jnp.where(trained, x, jnp.zeros_like(x)), judge), trained


def step(key: jax.Array, loop: Loop, state: State, count: jax.Array, k: jax.Array) -> tuple[State, Info]:
    """Round k >= 1. A frozen chain, or one whose fit fails here, keeps its model and pool."""
    model, pool, reason, counts = _refit(key, loop, state, count, k)
    was_alive = state.alive
    went_on = was_alive & (reason == ALIVE)
    state = State(
        model=_select(went_on, model, state.model),
        pool=_keep(loop, went_on, pool, state.pool),
        judge=state.judge,
        alive=went_on,
        reason=jnp.where(was_alive, reason, state.reason),
    )
    counts = jax.tree.map(lambda c: jnp.where(was_alive, c, 0), counts)  # a frozen chain judges nothing
    return state, _info(key, loop, state, counts)


def _refit(key, loop, state, count, k):
    """Model, pool, reason and counts of one round."""
    task, workflow, law = loop.task, loop.workflow, loop.law
    always = _always(k)
    key_law = keys.for_purpose(key, keys.LAW, 0, always)
    if keeps_no_pool(loop):
        model = law.fit_alone(key_law, task, state.model, count, always)
        return model, (), jnp.int32(ALIVE), every_row_kept(task, count)
    acting = _acting(key, loop, state)
    pool, generated, worth = _begin(key, loop, state.pool, acting.model, count)
    if law is None:
        pool, counts = _collect(key, loop, acting, pool, generated, count, k, worth)
    else:
        pool, counts = law.add_round(key_law, loop, acting, pool, generated, count > 0)
    pool = _closed(task, pool)
    wanted = count * task.rows_per_sample
    if workflow.needs_rows and law is not None:
        number = jnp.where(k == 0, wanted, workflow.number(wanted))  # the first fit sees all real rows
        seen = law.thin(keys.for_purpose(key, keys.COLLECT, 0, always), task, pool, number)
    elif workflow.needs_rows:
        seen = workflow.choose(keys.for_purpose(key, keys.COLLECT, 0, always), pool, wanted, k, loop.limit)
        # whatever a workflow chose is no grown pool, as far as a fit may know
        seen = seen.gathered()._replace(grown=False) if task.needs_rows else buffers.summed(task, seen)
    else:
        seen = _all_of(task, pool, grown=workflow.keeps)
    model, reason = task.fit(keys.for_purpose(key, keys.FIT), seen, state.model)
    nothing = (reason != ALIVE) & (counts.used == 0)
    return model, pool, jnp.where(nothing, NOTHING_KEPT, reason).astype(jnp.int32), counts


def _acting(key, loop, state):
    """`state` with the model that generates in this round, and with what the verifier knows in it."""
    model, judge = state.model, state.judge
    if hasattr(loop.workflow, "source"):
        model = loop.workflow.source(loop.task, model)
    if hasattr(loop.verifier, "prepare"):
        judge = loop.verifier.prepare(keys.for_purpose(key, keys.JUDGE), judge, loop.task, model)
    return state._replace(model=model, judge=judge)


def _begin(key, loop, pool, model, count):
    """The pool that generated rows enter, how many are to be generated, and what a kept row weighs (None: 1)."""
    task, workflow, law = loop.task, loop.workflow, loop.law
    if not hasattr(workflow, "real_rows"):
        return (_open(task, pool, model) if workflow.keeps else _empty(loop, model)), count, None
    truth = task.truth_model()
    pool = _open(task, pool, truth) if workflow.keeps else _empty(loop, truth)
    real = workflow.real_rows(count)
    weights = workflow.row_weights(real, count - real)
    if law is not None:
        pool = law.add_real(keys.for_purpose(key, keys.LAW, 1), task, pool, real, count > 0)
    else:
        pool = add_real(key, task, pool, real, count, weight=None if weights is None else weights[0])
    return _open(task, _closed(task, pool), model), count - real, None if weights is None else weights[1]


def _empty(loop, model):
    if loop.capacity is not None:
        counted = loop.rounds + 1 if getattr(loop.workflow, "counts_rounds", False) else None
        return buffers.empty(loop.task, loop.capacity, counted)
    return loop.task.empty(model)


def _open(task, pool, model):
    return pool if isinstance(pool, buffers.Pool) else task.open(pool, model)


def _closed(task, pool):
    """Sums with all rows in, ready for a fit and for rows of another model; most tasks have nothing to do for it."""
    return task.close(pool) if hasattr(task, "close") and not isinstance(pool, buffers.Pool) else pool


def _add(task, pool, batch: Batch, every_row: bool):
    """`pool` with the batch; `every_row` says that all its wanted rows have a positive weight."""
    if isinstance(pool, buffers.Pool):
        in_front = every_row and task.rows_per_sample == 1  # where rows are numbered one after the other
        put = buffers.append if in_front else buffers.add
        return put(pool, task.rows(batch.data), batch.weight, batch.born)
    return task.add(pool, batch)


def _keeps_every_row(loop) -> bool:
    """Whether all rows of a round enter the pool, whatever the chain: then every chain's pool is filled alike."""
    return getattr(loop.verifier, "keeps_every_row", False) and loop.sampling.fixed == "generated"


def _keep(loop, went_on, pool, before):
    """`pool` where the chain went on, else as `before`; of a buffer, places beyond the count are never read.

    A buffer that all chains fill alike goes on in a frozen chain too, where nothing reads it: its count stays one
    number for all.
    """
    if isinstance(pool, buffers.Pool):
        if _keeps_every_row(loop):
            return pool
        return pool._replace(
            count=jnp.where(went_on, pool.count, before.count), made=_select(went_on, pool.made, before.made)
        )
    return _select(went_on, pool, before)


def _all_of(task, pool, most=None, *, grown=False):
    """All of a pool as a fit wants it; `most` rows at most are in it. `grown`: as in `buffers.Seen`."""
    if not isinstance(pool, buffers.Pool):
        return pool
    seen = buffers.everything(pool, most)._replace(grown=grown)
    return seen if task.needs_rows else task.sums(seen.rows, seen.weight)


def _most_at_start(key, loop, pool):
    """Places of a buffer that the first fit sees: as few as later fits need, or the real rows; None for all."""
    if loop.most_real is None or not loop.workflow.needs_rows:
        return None
    one = jnp.int32(1)
    later = jax.eval_shape(lambda: loop.workflow.choose(key, pool, one, one, loop.limit))
    return max(loop.most_real, later.weight.shape[0])


def keeps_no_pool(loop: Loop) -> bool:
    """Whether the law gives each fit at once, which needs a workflow whose fits see their own round alone."""
    alone = loop.workflow.fits_alone and not (loop.workflow.keeps or hasattr(loop.workflow, "real_rows"))
    return hasattr(loop.law, "fit_alone") and alone


def every_row_kept(task: Any, count: jax.Array) -> Counts:
    """Counts of a round in law without a verifier; the law does not say which rows were correct (-1)."""
    every, unknown = _rows(task, count), jnp.int32(-1)
    return Counts(every, unknown, every, unknown, every)


def _rows(task, count):
    return count.astype(jnp.int32) * task.rows_per_sample


def add_real(
    key: jax.Array, task: Any, pool: Tree, count: jax.Array, most: jax.Array | None, *, weight=None
) -> Tree:
    """`pool` with `count` fresh real rows added, each of this weight (None: 1).

    Used for round 0, by workflows with fresh real rows and by verifiers that train on real data. `most` is at least
    `count` and the same for all chains of a block (see `keys.stored`); None where there is no such number.
    """

    if _only_sums_count(task, pool, weight):
        return task.add_drawn(pool, key, keys.REAL, task.truth_model(), count)[0]

    def add(chunk, pool):
        data = task.real(key, chunk, None if most is None else chunk * task.chunk_rows < most)
        present = (task.number(chunk) < count).astype(float)
        batch = Batch(data, present if weight is None else weight * present, jnp.int32(0))
        return _add(task, pool, batch, True)

    return jax.lax.fori_loop(0, _chunks_of_all(count, task.chunk_rows), add, pool)


def _collect(key, loop, state, pool, count, most, k, worth):
    """Pool with this round's accepted rows, each of weight `worth` (None: 1), and the counts.

    `most` as in `add_real`.
    """
    sampling = loop.sampling
    purpose = jnp.where(k == 0, keys.REAL, keys.GENERATE) if _starts_like_a_round(loop) else keys.GENERATE
    if getattr(loop.verifier, "keeps_every_row", False) and _only_sums_count(loop.task, pool, worth):
        pool, correct = loop.task.add_drawn(pool, key, purpose, state.model, count)
        correct = correct if _asks(loop) else jnp.int32(-1)
        return pool, Counts(count, correct, count, correct, count)
    if sampling.fixed == "kept" and not loop.task.prescribed and sampling.rejected == "drop":
        return _collect_until_kept(key, loop, state, pool, count, most, k, worth)
    resample = sampling.rejected == "resample" or sampling.fixed == "kept"
    task = loop.task
    cutoff = _cutoff(key, loop, state, count, most) if loop.ranked else None

    def add(chunk, carry):
        pool, counts = carry
        present = chunk * task.chunk_rows < most
        data = task.generate(key, state.model, keys.as_generated(purpose, chunk), present)
        wanted = task.number(chunk) < count
        correct = _correct(loop, state, data)
        kept = _accept(key, loop, state, data, correct, chunk, present, cutoff) & wanted
        used = kept
        if resample:
            data, used = _resample(
                keys.for_purpose(key, keys.RESAMPLE, chunk), loop, state, data, kept, wanted
            )
        weight = _weight(loop, used, wanted, worth)
        pool = _add(task, pool, Batch(data=data, weight=weight, born=k), _keeps_every_row(loop))
        return pool, _count(counts, wanted, correct, kept, used)

    return jax.lax.fori_loop(0, _chunks_of_all(count, task.chunk_rows), add, (pool, _nothing_counted(loop)))


def _only_sums_count(task, pool, weight):
    """Whether rows of this weight (None: 1), at which nothing looks, may be added to the pool without being made."""
    return weight is None and hasattr(task, "add_drawn") and not isinstance(pool, buffers.Pool)


def _weight(loop, used, wanted, worth):
    """Weight of each row on its way into the pool."""
    weight = used.astype(float) if worth is None else worth * used.astype(float)
    rejected = getattr(loop.workflow, "rejected_weight", None)
    return weight if rejected is None else jnp.where(wanted & ~used, rejected, weight)


def _collect_until_kept(key, loop, state, pool, count, most_rows, k, worth):
    """Rows drawn until `count` were accepted, or `max_tries * count` proposals were made."""
    task = loop.task
    tries = loop.sampling.max_tries
    most = jnp.minimum(count, (2**31 - 1 - task.chunk_rows) // tries) * tries  # proposals; no 32-bit overflow
    last_chunk = _num_chunks(most, task.chunk_rows)

    def unfinished(carry):
        chunk, _, counts = carry
        return state.alive & (counts.used < count) & (chunk < last_chunk)

    def add(carry):
        chunk, pool, counts = carry
        data = task.generate(key, state.model, chunk, most_rows > 0)
        correct = _correct(loop, state, data)
        accepted = _accept(key, loop, state, data, correct, chunk, most_rows > 0)
        before = (
            counts.used + jnp.cumsum(accepted, dtype=jnp.int32) - accepted.astype(jnp.int32)
        )  # kept ahead of each row
        proposed = (before < count) & (task.number(chunk) < most)
        kept = accepted & proposed
        weight = _weight(loop, kept, proposed, worth)
        pool = _add(task, pool, Batch(data=data, weight=weight, born=k), False)
        return chunk + 1, pool, _count(counts, proposed, correct, kept, kept)

    start = (jnp.int32(0), pool, _nothing_counted(loop))
    _, pool, counts = jax.lax.while_loop(unfinished, add, start)
    return pool, counts


def _resample(key, loop, state, data, kept, wanted):
    """Data whose rejected responses were redrawn until accepted, and which rows then are."""
    task, verifier = loop.task, loop.verifier
    if hasattr(verifier, "interval") and hasattr(task, "redraw_within"):
        low, high = verifier.interval(state.judge, data)
        return task.redraw_within(key, state.model, data, low, high, kept), wanted

    def unfinished(carry):
        tries, _, kept = carry
        return state.alive & jnp.any(wanted & ~kept) & (tries < loop.sampling.max_tries)

    def again(carry):
        tries, data, kept = carry
        key_draw, key_accept = jax.random.split(jax.random.fold_in(key, tries))
        fresh = task.redraw(key_draw, state.model, data, kept)
        accepted = _verdict(key_accept, loop, state, fresh, _correct(loop, state, fresh), None)
        return tries + 1, fresh, kept | (accepted & wanted)

    _, data, kept = jax.lax.while_loop(unfinished, again, (jnp.int32(1), data, kept))
    return data, kept


def _accept(key, loop, state, data, correct, chunk, present, cutoff=None):
    key_verify = keys.for_purpose(key, keys.VERIFY, chunk, present)
    if cutoff is not None:
        return loop.verifier.score(key_verify, state.judge, data, state.model) >= cutoff
    return _verdict(key_verify, loop, state, data, correct, present)


def _verdict(key, loop, state, data, correct, present):
    """The verifier's mask, by a toss where it gives a chance; `present` as in `keys.stored`."""
    verifier = loop.verifier
    if hasattr(verifier, "chance"):
        toss = randoms.uniform(key, correct.shape, present)
        return toss < verifier.chance(state.judge, data, state.model, correct)
    accepted = verifier.accept(key, state.judge, data, state.model).astype(bool)
    return jnp.broadcast_to(accepted, loop.task.number(jnp.int32(0)).shape)


def _cutoff(key, loop, state, count, most):
    """The lowest score that is accepted, so that the verifier's share of the round's rows is, and at least one.

    A first pass over the rows, which are drawn again for the second: scores are stored, rows are not.
    """
    task, verifier = loop.task, loop.verifier
    size = -(-loop.ranked // task.chunk_rows) * task.chunk_rows

    def add(chunk, scores):
        data = task.generate(key, state.model, chunk, chunk * task.chunk_rows < most)
        score = verifier.score(keys.for_purpose(key, keys.VERIFY, chunk), state.judge, data, state.model)
        score = jnp.where(task.number(chunk) < count, score, -jnp.inf)
        return jax.lax.dynamic_update_slice(scores, score, (chunk * task.chunk_rows,))

    scores = jax.lax.fori_loop(0, _chunks_of_all(count, task.chunk_rows), add, jnp.full(size, -jnp.inf))
    quota = jnp.clip(jnp.round(verifier.share * count.astype(float)).astype(jnp.int32), 1, count)
    return ordering.kth_largest(scores, quota)


def _asks(loop) -> bool:
    """Whether somebody wants to know which rows are correct."""
    return loop.sampling.audit or hasattr(loop.verifier, "chance")


def _nothing_counted(loop) -> Counts:
    """The counts of no rows; -1 where correct ones are not counted."""
    zero = jnp.int32(0)
    correct = zero if _asks(loop) else jnp.int32(-1)
    return Counts(zero, correct, zero, correct, zero)


def _correct(loop, state, data):
    """Which rows are correct, (N,); None where nobody asks."""
    if not _asks(loop):
        return None
    bound = loop.verifier.bound(state.judge, data) if hasattr(loop.verifier, "bound") else None
    return loop.task.correct(data, bound)


def _count(counts, proposed, correct, kept, used):
    def total(mask):
        return jnp.sum(mask, dtype=jnp.int32)

    counts = counts._replace(
        generated=counts.generated + total(proposed),
        kept=counts.kept + total(kept),
        used=counts.used + total(used),
    )
    if correct is None:
        return counts
    return counts._replace(
        correct=counts.correct + total(correct & proposed),
        kept_correct=counts.kept_correct + total(kept & correct),
    )


def _chunks_of_all(count, chunk_rows):
    """Chunks of the chain that has most: one number, or each chain's draws would be made once more in every use."""
    return _num_chunks(largest(count), chunk_rows)


def _num_chunks(count, chunk_rows):
    return (count + chunk_rows - 1) // chunk_rows


def _select(condition, new, old):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _info(key, loop, state, counts):
    metrics = loop.task.measure(keys.for_purpose(key, keys.MEASURE), state.model)
    if hasattr(loop.verifier, "measure"):
        metrics |= loop.verifier.measure(state.judge, loop.task, state.model)
    return Info(
        metrics=metrics,
        counts=counts,
        alive=state.alive,
        reason=state.reason,
        model=state.model if loop.record_model else None,
    )
