"""The measured limit of a sample-level round: its random numbers alone, and on a fixed design its matrix products.

No program that draws the same numbers with the same generator and stores them can be faster. Everything else of
a round (judging, counting, sums on a Gaussian design, the solve) is what the fraction of this limit pays for.
"""

import concurrent.futures
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import keys, randoms
from simcollapse.bench.cases import Case
from simcollapse.bench.mixtures import MixtureCase
from simcollapse.bench.timing import Action, fastest

CPU_BATCH_BYTES = (2**18, 2**20, 2**22, 2**24)  # of the numbers of one call
GPU_BATCH_BYTES = (2**24, 2**27, 2**30)


def best(case: Case | MixtureCase, target_s: float) -> tuple[int, int]:
    """Chains of one call and calls at a time with which the numbers of `case` are drawn fastest."""
    cpu = jax.local_devices()[0].platform == "cpu"
    itemsize = jnp.zeros(()).dtype.itemsize
    sizes = {
        max(1, b // (itemsize * (case.normals + case.uniforms)))
        for b in (CPU_BATCH_BYTES if cpu else GPU_BATCH_BYTES)
    }
    candidates = {
        (batch, at_once): action(case, batch, at_once, max(2 * at_once, 2))
        for batch in sorted(sizes)
        for at_once in ((1, 2) if cpu else (1,))
    }
    return fastest(candidates, target_s)


def action(case: Case | MixtureCase, batch: int, at_once: int, calls: int) -> Action:
    """`calls` calls of the limit program for `batch` chain-rounds each, `at_once` of them at a time."""
    draw = _program(case, batch)
    fixed = _fixed(case) if case.design == "fixed" else ()
    root = keys.root(0)
    ordered = jax.local_devices()[0].platform != "cpu"  # one queue, so that the last result comes last

    def one_after_another(numbers) -> None:
        made = None
        for number in numbers:
            made = draw(root, np.uint32(number), *fixed)
            if not ordered:
                jax.block_until_ready(made)
        jax.block_until_ready(made)

    if at_once == 1:
        return Action(lambda: one_after_another(range(calls)), batch * calls, calls)
    pool = _threads(at_once)
    shares = [range(i, calls, at_once) for i in range(at_once)]
    return Action(lambda: list(pool.map(one_after_another, shares)), batch * calls, calls)


@functools.lru_cache(maxsize=32)
def _program(case: Case | MixtureCase, batch: int):
    """The numbers of `batch` chain-rounds, stored; on a fixed design the products that are made of them as well."""
    dim = case.dim

    def draw(root, number, present):
        key = jax.random.fold_in(root, number)
        normals = randoms.normal(key, (batch, case.normals), present)
        if not case.uniforms:
            return normals
        return normals, randoms.uniform(jax.random.fold_in(key, 0), (batch, case.uniforms), present)

    drawn = jax.jit(draw)
    present = np.True_

    def stored(root, number):
        return drawn(root, number, present)

    if case.design != "fixed":
        return stored

    @jax.jit
    def products(noise, rows, pairs):
        coef = noise[:, :dim]  # any numbers of this shape do
        return coef @ rows.T, noise @ pairs, noise @ rows

    return lambda root, number, rows, pairs: products(stored(root, number), rows, pairs)


@functools.lru_cache(maxsize=2)
def _fixed(case: Case | MixtureCase) -> tuple[jax.Array, jax.Array]:
    """Rows (N, D) and products of pairs of covariates (N, D (D + 1) / 2)."""
    task: Any = case.task()
    return task.design.rows, task.design.products


@functools.lru_cache(maxsize=4)
def _threads(count: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(count)
