"""Accumulate-subsample: all rows are kept, each fit sees a fixed number of them, drawn afresh."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers, randoms, shuffling
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
            return _by_turn(pool, buffers.tickets(key, pool), count, limit)
        if self.decay is not None:  # by age
            age = (k - pool.born).astype(self.decay.dtype)
            log_weight = jnp.log(self.decay) * age
        else:
            log_weight = jnp.log(pool.weight)
        # the largest of log weight + Gumbel noise first: draws in proportion to the weights, without replacement
        score = log_weight + randoms.gumbel(key, log_weight.shape, k >= 0)
        score = jnp.where(buffers.filled(pool), score, -jnp.inf)
        return jax.lax.top_k(score, limit)[1]


def _by_turn(pool: buffers.Pool, ticket, count, limit: int):
    """Places (limit,), first of `count` rows: one of every round, then a second of every round, and so on, by ticket.

    Of the last turn not all rounds may be among them: those whose tickets are the smallest are.
    """
    there = buffers.filled(pool)
    turn = jnp.where(there, buffers.ranks(pool, ticket), len(ticket)).astype(jnp.float32)
    # Numbers in single precision: XLA for CPU picks the largest of these many times faster than it sorts. Turns are
    # exact in it; of tickets that agree in their first 24 bits, that of the earlier row counts as smaller.
    turns = -jax.lax.top_k(-turn, limit)[0]
    last = turns[jnp.clip(count, 1, limit) - 1]
    chance = 1 - ticket.astype(jnp.float32) * 2.0**-32
    return jax.lax.top_k(jnp.where(turn < last, 2.0, jnp.where(turn == last, chance, 0.0)), limit)[1]


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
