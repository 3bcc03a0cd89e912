"""Exact in law: a round of a Gaussian mixture whose labels and verdicts do not depend on the features.

Then the rows differ only by a table of true class and label: its counts are multinomial, thinned by the verifier, and
given them the features are independent Gaussians, which least squares sees through their sums and scatter alone. So
these are drawn: O(D^2 + K^2 D) random numbers instead of O(n D).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from simcollapse import chain, randoms
from simcollapse.checks import as_float
from simcollapse.draws import LARGEST_COUNT, bartlett, bartlett_normals, binomial
from simcollapse.tasks.gaussian_mixture import GaussianMixture
from simcollapse.tasks.generators import Flips
from simcollapse.tasks.learners import Sums
from simcollapse.tasks.rules import vertices
from simcollapse.verifiers.bernoulli import Bernoulli
from simcollapse.verifiers.none import NoVerifier
from simcollapse.verifiers.oracle import Oracle
from simcollapse.verifiers.random import Random

TASK, VERIFIER = GaussianMixture, (NoVerifier, Bernoulli, Oracle, Random)


class Groups(NamedTuple):
    """Kinds of rows, G of them, within which all rows are drawn alike.

    A kind is a true class and a label. For classes at plus and minus one mean and no intercept it is a correct or a
    wrong label: x and its label enter least squares with their signs multiplied, so class -1 is turned into +1.
    """

    mean: jax.Array  # (G, D)
    code: jax.Array  # (G, C), of the label, or (G,) for two classes
    number: jax.Array  # (G,), rows
    correct: jax.Array  # (G,), bool


def why_not(task: GaussianMixture, sampling: chain.Sampling, least: int, most: int) -> str | None:
    """Why the law is not known for this task with rounds of `least` to `most` samples; None when it is."""
    if task.learner == "logistic":
        return "logistic regression sees every row, not only sums"
    if task.means is None or task.labels == "bayes":
        return "true labels that depend on the features leave no closed law; it needs labels='class'"
    if not isinstance(task.generator, Flips):
        return f"labels of {type(task.generator).__name__} depend on the features; the law needs flips(...)"
    if sampling.fixed != "generated" or sampling.rejected != "drop":
        return "the law needs fixed='generated' and rejected='drop'"
    exact = LARGEST_COUNT[as_float(0).dtype.itemsize]
    if most > exact:
        return f"rounds of more than {exact} rows are not counted exactly in this float type, got {most}"
    return None


def add_real(key, task: GaussianMixture, pool: Sums, count, present) -> Sums:
    """`pool` with the sums of `count` real rows added."""
    key_class, key_sums = jax.random.split(key)
    if _merged(task):
        table = jnp.stack([count.astype(float), jnp.zeros(())])
    else:
        table = jnp.diag(_split(key_class, count.astype(float), task.shares))
    return _add(key_sums, task, pool, _groups(task, table), present)


def add_round(key, loop: chain.Loop, state: chain.State, pool: Sums, count, present):
    """`pool` with the sums of a round's kept rows added; and the counts."""
    task, verifier = loop.task, loop.verifier
    key_table, key_keep, key_sums = jax.random.split(key, 3)
    table = task.generator.table(task.classes)
    generated = _groups(task, _table(key_table, task, table, count))
    keep = jnp.ones_like(table) if isinstance(verifier, NoVerifier) else verifier.keep_table(task.classes)
    kept = generated._replace(number=binomial(key_keep, generated.number, _keep(task, table, keep)))
    rows = kept.number.sum().astype(jnp.int32)
    counts = chain.Counts(
        generated=count.astype(jnp.int32),
        correct=jnp.sum(jnp.where(generated.correct, generated.number, 0.0)).astype(jnp.int32),
        kept=rows,
        kept_correct=jnp.sum(jnp.where(kept.correct, kept.number, 0.0)).astype(jnp.int32),
        used=rows,
    )
    return _add(key_sums, task, pool, kept, present), counts


def _merged(task) -> bool:
    """Whether the kinds are only correct and wrong."""
    assert task.means is not None
    return task.means.ndim == 1 and not task.intercept


def _table(key, task, table, count):
    """Rows by true class and label, (K, K), or correct and wrong ones, (2,), of `count` generated."""
    count = count.astype(float)
    if _merged(task):
        wrong = binomial(key, count, 1 - jnp.dot(task.shares, jnp.diagonal(table)))
        return jnp.stack([count - wrong, wrong])
    key_class, key_label = jax.random.split(key)
    by_class = _split(key_class, count, task.shares)
    return _split(key_label, by_class, table)


def _split(key, count, chances):
    """Multinomial counts along the last axis of `chances`, which sum to 1 there, of `count` trials each."""
    left, rest, out = count, jnp.ones_like(chances[..., 0]), []
    for i in range(chances.shape[-1] - 1):
        share = jnp.clip(chances[..., i] / jnp.where(rest > 0, rest, 1.0), 0, 1)
        out.append(binomial(jax.random.fold_in(key, i), left, share))
        left, rest = left - out[-1], rest - chances[..., i]
    return jnp.stack([*out, left], axis=-1)


def _keep(task, table, keep):
    """P(kept) of each kind."""
    if not _merged(task):
        return keep.ravel()
    joint = task.shares[:, None] * table
    own = jnp.eye(2, dtype=bool)
    totals = [jnp.sum(jnp.where(mask, joint, 0.0)) for mask in (own, ~own)]
    kept = [jnp.sum(jnp.where(mask, joint * keep, 0.0)) for mask in (own, ~own)]
    rates = [k / jnp.where(total > 0, total, 1.0) for k, total in zip(kept, totals, strict=True)]
    return jnp.clip(jnp.stack(rates), 0, 1)


def _groups(task, table) -> Groups:
    if _merged(task):
        means = jnp.stack([task.means, task.means])
        return Groups(means, jnp.asarray([1.0, -1.0]), table, jnp.asarray([True, False]))
    classes = task.classes
    code = jnp.tile(jnp.asarray(vertices(classes).T, task.class_means.dtype), (classes, 1))
    return Groups(
        mean=jnp.repeat(task.class_means, classes, axis=0),
        code=code[:, 0] if classes == 2 else code,
        number=table.ravel(),
        correct=jnp.eye(classes, dtype=bool).ravel(),
    )


def _add(key, task, pool: Sums, groups: Groups, present) -> Sums:
    """Sums of the groups' rows, added to `pool`.

    In a group of m rows N(mean, L L'), sum x = sqrt(m) v with v = sqrt(m) mean + L z, z ~ N(0, I), and the scatter
    about the group's mean is L Wishart(m - 1) L', independent of it; Wisharts add up. So
    sum x x' = sum_g v_g v_g' + L W L', W ~ Wishart(sum_g (m_g - 1)), and sum x s' = sum_g sqrt(m_g) v_g s_g'.

    Source: classical (Cochran 1934; Bartlett 1933).
    """
    key_normal, key_chi = jax.random.split(key)
    size, dim = groups.mean.shape
    root = jnp.sqrt(groups.number)
    # drawn in one dimension and all at once: with short ones XLA's loops for CPU are four times slower
    normals = randoms.normal(key_normal, (dim * size + bartlett_normals(dim),), present)
    noise = normals[: dim * size].reshape(dim, size)
    moved = groups.mean.T * root[None] + task.covariance.color(noise)
    sums = jnp.where(groups.number[None] > 0, moved, 0.0)  # (D, G), v
    if task.intercept:
        sums = jnp.concatenate([sums, root[None]])
    cross = (sums * root[None]) @ groups.code
    gram = pool.gram
    if gram is not None:
        freedom = jnp.sum(jnp.maximum(groups.number - 1, 0.0))
        scatter = task.covariance.color(bartlett(key_chi, freedom, dim, normals[dim * size :]))
        if task.intercept:
            scatter = jnp.concatenate([scatter, jnp.zeros((1, dim))])
        factor = jnp.concatenate([scatter, sums], axis=1)
        gram = gram + factor @ factor.T
    return Sums(gram=gram, cross=pool.cross + cross, count=pool.count + jnp.sum(groups.number))
