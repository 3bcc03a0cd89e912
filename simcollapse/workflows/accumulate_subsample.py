"""Accumulate-subsample: all rows are kept, each fit sees a fixed number of them, drawn afresh."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers, keys, ordering, randoms, shuffling
from simcollapse.checks import as_numbers, check_fields, check_shape, check_whole, option, parameter

STRATEGIES = ("uniform", "age", "stratified", "verifier")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AccumulateSubsample:
    """The pool grows as under `accumulate`; each fit sees rows drawn from it without replacement, afresh."""

    size: int | None = option(
        "count or none", doc="rows of each fit; None for as many as the round generated"
    )
    strategy: str = option("word", "how rows are drawn", STRATEGIES)
    decay: jax.Array | None = parameter("share", None, "(), weight of a row relative to one a round younger")
    rejected_weight: jax.Array | None = parameter(
        "unit", None, "(), weight of a rejected row relative to an accepted one"
    )

    keeps = True
    fits_alone = True
    needs_rows = True

    @property
    def counts_rounds(self) -> bool:
        """Whether it must be known how many rows of the pool are of each round."""
        return self.strategy == "stratified"

    @property
    def alike(self) -> bool:
        """Whether every row of the pool is as likely to be drawn as any other."""
        return self.strategy == "uniform"

    def limit(self, rows: np.ndarray) -> int:
        """Most rows of a fit, for these rows of rounds 0..K."""
        return int(self.size or rows[1:].max(initial=1))

    def number(self, wanted) -> jax.Array:
        """Rows of the fit after a round that generated `wanted`, if the pool holds so many."""
        return wanted if self.size is None else jnp.int32(self.size)

    def choose(self, key, pool: buffers.Pool, wanted, k, limit: int) -> buffers.Seen:
        """The rows that the fit of round k sees, of which `wanted` were generated in it."""
        count, limit = self.number(wanted), min(limit, pool.born.shape[0])
        if self.strategy == "uniform":
            order = shuffling.permuted(key, pool.count, limit, k >= 0)
        else:
            order = self._order(key, pool, k, count, limit)
        return buffers.picked(pool, order, count)

    def _order(self, key, pool, k, count, limit):
        """Places (limit,) that begin with those of the `count` rows that are drawn, empty ones last."""
        if self.strategy == "stratified":
            return _by_turn(key, pool.made, jnp.minimum(count, pool.count), limit, k >= 0)
        if self.decay is not None:  # by age
            age = (k - pool.born).astype(self.decay.dtype)
            log_weight = jnp.log(self.decay) * age
        else:
            log_weight = jnp.log(pool.weight)
        # the largest of log weight + Gumbel noise first: draws in proportion to the weights, without replacement
        score = log_weight + randoms.gumbel(key, log_weight.shape, k >= 0)
        score = jnp.where(buffers.filled(pool), score, -jnp.inf)
        return jax.lax.top_k(score.astype(jnp.float32), limit)[1]  # XLA sorts double ones whole


def _by_turn(key, made, count, limit: int, present):
    """Places (limit,), of which the first `count` are drawn: one of every round, then a second one, and so on.

    `made` (K + 1,) are the rows of each round, which stand together. Of the last turn not all rounds may be among them:
    as many as are left, each as likely as another.
    """
    turns = _most_turns(made, count)
    full = jnp.minimum(made, turns)
    key_rounds, key_rows = keys.split(key, 2, present)
    ticket = jnp.where(made > turns, randoms.uniform(key_rounds, made.shape, present), 2.0)
    earlier = jnp.arange(len(made), dtype=jnp.int32)
    before = (ticket[None] < ticket[:, None]) | (
        (ticket[None] == ticket[:, None]) & (earlier[None] < earlier[:, None])
    )
    rank = jnp.sum(before, axis=1, dtype=jnp.int32)
    drawn = full + ((made > turns) & (rank < count - jnp.sum(full, dtype=jnp.int32))).astype(jnp.int32)
    last = jnp.cumsum(drawn, dtype=jnp.int32)
    place = jnp.arange(limit, dtype=jnp.int32)
    born = jnp.minimum(ordering.steps_below(last.astype(float), place.astype(float)), len(made) - 1)
    first = jnp.cumsum(made, dtype=jnp.int32) - made
    turn = place - (last - drawn)[born]
    return first[born] + shuffling.permuted_apart(key_rows, turn, made[born], born, present)


def _most_turns(made, count):
    """The most turns in which every round has its row, or has none left, and no more than `count` are drawn."""

    def set_bit(i, turns):
        more = turns | (jnp.int32(2**30) >> i)
        return jnp.where(jnp.sum(jnp.minimum(made, more), dtype=jnp.int32) <= count, more, turns)

    return jax.lax.fori_loop(0, 31, set_bit, jnp.int32(0))


def accumulate_subsample(
    size: int | None = None, *, strategy: str = "uniform", decay=None, rejected_weight=None
) -> AccumulateSubsample:
    """The workflow that trains on `size` rows drawn without replacement from all rows so far.

    Args:
        size: rows of each fit after round 0, all of them when the pool holds fewer; None for as many as the
            round generated (its `n_per_round`).
        strategy: "uniform", as published; "age": a row weighs `decay` times one that is a round younger, so that
            old rows, the real ones among them, are drawn less often; "stratified": as many rows of every round, real
            data counting as one, as far as rows last; "verifier": rejected rows enter the pool too and weigh
            `rejected_weight` times an accepted one. Weighted draws are successive: each row drawn takes its weight out.
        decay: in (0, 1], with strategy="age".
        rejected_weight: in [0, 1], with strategy="verifier"; 0 leaves rejected rows out.

    Raises:
        ValueError: `size` < 1, an unknown strategy, a weight outside its range or of no use to the strategy.

    Source: [Kazdan24], section 2 (v4), for "uniform"; successive sampling: Efraimidis and Spirakis 2006.
    """
    for name, value, owner in (("decay", decay, "age"), ("rejected_weight", rejected_weight, "verifier")):
        if (value is not None) != (strategy == owner):
            raise ValueError(
                f"{name} goes with strategy={owner!r} and only there, got {name}={value!r}, strategy={strategy!r}"
            )
        check_shape(name, 0.0 if value is None else value, ())
    workflow = AccumulateSubsample(
        size=None if size is None else check_whole("size", size, 1),
        strategy=strategy,
        decay=None if decay is None else as_numbers("decay", decay),
        rejected_weight=None if rejected_weight is None else as_numbers("rejected_weight", rejected_weight),
    )
    return check_fields(workflow, "workflow")
