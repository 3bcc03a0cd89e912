"""A discriminator: logistic regression of real against synthetic rows, trained anew in every round."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import (
    as_numbers,
    check_fields,
    check_most,
    check_shape,
    check_whole,
    option,
    parameter,
)
from simcollapse.linalg import BLOCK
from simcollapse.tasks import learners
from simcollapse.tasks.rules import Rule


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Discriminator:
    """Accepts what it takes for real. Build it with `discriminator(...)`.

    What the audit calls correct is the task's own: in `gaussian` a row within `task.tolerance` (Mahalanobis distance)
    of the truth's mean, in `kde` one where the density of real rows is one that 95 % of them exceed. phi is the share
    of such rows that the discriminator takes for real, psi that of the others. Both are near 1/2 for a model that
    equals the truth, where there is nothing to tell apart; a `soft` one does no harm there.
    """

    trained_on: int = option("count", "fresh real rows of a round's training, and as many rows of the model")
    threshold: jax.Array = parameter(
        "unit", doc="(), least estimated probability of being real that is accepted"
    )
    penalty: jax.Array = parameter("positive", doc="(), of the logistic regression, on the mean loss")
    soft: bool = option("flag", "accept with the estimated probability instead")

    kind = "density"

    def init(self, key, task):
        """Nothing: it learns in every round."""
        return ()

    def prepare(self, key, judge, task, model) -> Rule:
        """The round's rule: finite whatever the rows are, and used as it is where the fit did not converge."""
        size = -(-self.trained_on // task.chunk_rows)
        chunks = jnp.arange(size, dtype=jnp.int32)
        real = jax.vmap(lambda chunk: features(task.real(key, chunk, None).standard))(chunks)
        there = jnp.asarray(True)
        made = jax.vmap(lambda chunk: features(task.generate(key, model, chunk, there).standard))(chunks)
        x = jnp.concatenate([real, made]).reshape(-1, real.shape[-1])
        present = jax.vmap(task.number)(chunks).reshape(-1) < self.trained_on
        label = jnp.repeat(jnp.arange(2, dtype=jnp.int32), present.size)  # class 0 is real
        rows = learners.Kept(x, label)
        weight = jnp.concatenate([present, present]).astype(float)
        return learners.logistic(rows, weight, self.penalty, classes=2, intercept=True)[0]

    def prepare_bytes(self, task) -> int:
        """Memory that `prepare` works on: the rows' features in three forms, and a few numbers for each row."""
        rows = 2 * -(-self.trained_on // task.chunk_rows) * task.chunk_rows
        return rows * (3 * num_features(task.dim) + 12) * np.dtype(jnp.result_type(float)).itemsize

    def accept(self, key, judge, data, model) -> jax.Array:
        """Mask of accepted rows, shape (N,)."""
        real = jax.nn.sigmoid(features(data.standard) @ judge.coef + judge.intercept)
        if self.soft:
            return jax.random.uniform(key, real.shape, dtype=real.dtype) < real
        return real >= self.threshold

    def check_task(self, task) -> None:
        """Raise ValueError where so many rows cannot be drawn."""
        check_most("verifier.trained_on", self.trained_on, task)


def discriminator(trained_on: int, *, threshold=0.5, penalty=1e-3, soft: bool = False) -> Discriminator:
    """The verifier that learns in every round to tell real rows from the model's, and accepts what it takes for real.

    Ridge-logistic regression on 1, x, x^2, standardised by the real data, and on the products of two features up to
    six features: it sees means and covariances, and no other difference. With many rows and a small penalty its
    probability tends to p/(p + q), p and q the densities of truth and model, if both are Gaussian.

    Where the model equals the truth there is nothing to tell apart, and the estimate scatters about 1/2. With threshold
    1/2 that still rejects half of the rows on average, whatever `trained_on` (real and synthetic rows could be
    exchanged), by a random rule which cuts into the model anew in every round: such a chain never settles at the truth.
    With a threshold below 1/2 all rows are accepted as `trained_on` grows. `soft` accepts half of them too, but by
    tosses that leave the model as it is.

    Args:
        trained_on: fresh real rows of each round, and as many fresh rows of the model; fixed before compiling.
        threshold: in [0, 1], least estimated probability of being real of an accepted row; not used if `soft`.
        penalty: > 0, on the mean loss: adds penalty |coefficients|^2 / 2, the intercept apart.
        soft: accept each row with its probability of being real: kept rows have density about q p/(p + q).

    Raises:
        ValueError: a value outside its range.
        TypeError: `trained_on` is not a whole number, `soft` is neither True nor False.
    """
    for name, value in (("threshold", threshold), ("penalty", penalty)):
        check_shape(name, value, ())
    made = Discriminator(
        trained_on=check_whole("trained_on", trained_on, 1),
        threshold=as_numbers("threshold", threshold),
        penalty=as_numbers("penalty", penalty),
        soft=soft,
    )
    return check_fields(made, "verifier")


def num_features(dim: int) -> int:
    """F, with the products of two features where one step of the fit then still is one block of elimination."""
    pairs = dim * (dim - 1) // 2
    return 2 * dim + (pairs if 1 + 2 * dim + pairs <= BLOCK else 0)


def features(standard: jax.Array) -> jax.Array:
    """Features of rows, shape (N, F), from rows standardised by the real data, as columns (D, N).

    x, (x^2 - 1)/sqrt(2), and x_i x_j for few dimensions (`num_features`); each of mean 0 and variance 1 if the real
    data are Gaussian, and uncorrelated.
    """
    dim = standard.shape[0]
    parts = [standard, (standard**2 - 1) / math.sqrt(2)]
    if num_features(dim) > 2 * dim:
        first, second = np.triu_indices(dim, 1)
        parts.append(standard[first] * standard[second])
    return jnp.concatenate(parts).T
