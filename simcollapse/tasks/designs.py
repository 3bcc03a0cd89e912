"""Where the covariates of a regression come from: prescribed directions, given rows, or a Gaussian law.

A design keeps its rows in the form that is cheapest for it (`Rows.code`); verifiers see `Rows.x`, `Rows.y`,
`Rows.predict` and `Rows.norm`, which are the same whatever the design.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import keys, randoms
from simcollapse.checks import as_float
from simcollapse.linalg import BLOCK as WRITTEN_OUT
from simcollapse.linalg import products

FEW = 3  # covariates up to which products written out are faster than small matrix products
CHUNK = 100  # rows of one draw, a constant so that a chain's numbers depend on no other size
MOST_SAMPLES = min(2**31 - 1, keys.CHUNKS * CHUNK)  # rows of a round: counts are 32-bit integers


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """N rows (x, y) of a regression, y = x.coef + scale * noise.

    `y` is stored through the model that made it, so that nothing is lost when the noise is far smaller
    than the response.
    """

    design: Any  # says how `code` is to be read
    code: Any  # the covariates, in the design's own form
    coef: jax.Array  # (D,), of the model that made the rows
    scale: jax.Array  # (), its noise standard deviation, unit of y
    noise: jax.Array  # (N,), in units of `scale`

    @property
    def x(self) -> jax.Array:
        """Covariates, shape (N, D)."""
        return self.design.dense(self.code)

    @property
    def y(self) -> jax.Array:
        """Responses, shape (N,)."""
        return self.predict(self.coef) + self.scale * self.noise

    def predict(self, coef: jax.Array) -> jax.Array:
        """x.coef for each row, shape (N,)."""
        return self.design.predict(self.code, coef)

    def visible(self) -> dict[str, jax.Array]:
        """What a user's function sees."""
        return {"x": self.x, "y": self.y}

    @property
    def norm(self) -> jax.Array:
        """Euclidean norm of each row's covariates, shape (N,)."""
        return self.design.norm(self.code)

    def residual(self, coef: jax.Array) -> jax.Array:
        """y - x.coef for each row, shape (N,), without forming y (no cancellation at coef = self.coef)."""
        return self.predict(self.coef - coef) + self.scale * self.noise


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Explicit:
    """Rows given as they are. `code` is the transpose, shape (D, N): fast to reduce over rows."""

    def dense(self, code):
        return code.T

    def predict(self, code, coef):
        if code.shape[0] > WRITTEN_OUT:
            return coef @ code
        return sum(coef[i] * code[i] for i in range(code.shape[0]))  # fuses; a small dot would not

    def norm(self, code):
        if code.shape[0] > WRITTEN_OUT:
            return jnp.sqrt(jnp.sum(code * code, axis=0))
        return jnp.sqrt(sum(code[i] * code[i] for i in range(code.shape[0])))

    def sums(self, code, weight, noise):
        """Weighted x x' (D, D) and x noise (D,)."""
        gram, cross = products(code, noise[None], weight)
        return gram, cross[:, 0]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Fresh x ~ N(0, covariance) for every row."""

    factor: jax.Array | None  # (D, D) lower Cholesky factor of the covariance, None for the identity
    inverse: jax.Array | None  # (D, D), of `factor`
    dim: int = dataclasses.field(metadata={"static": True})

    chunk_rows = CHUNK
    prescribed = False
    rows_per_sample = 1

    def draw(self, key, present):
        """How to read the rows, their code, and their noise (N,) in units of its standard deviation."""
        table = randoms.normal(key, (self.dim + 1, CHUNK), present)
        code, noise = table[:-1], table[-1]
        return Explicit(), code if self.factor is None else self.factor @ code, noise

    def number(self, chunk):
        return chunk * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32)

    def zero_sums(self):
        return jnp.zeros((self.dim, self.dim)), jnp.zeros(self.dim)

    def mean_square(self, coef):
        """E (x.coef)^2, a number."""
        moved = coef if self.factor is None else coef @ self.factor
        return jnp.dot(moved, moved)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed:
    """The same N given rows in every round; a round of c N rows uses each of them c times."""

    rows: jax.Array  # (N, D)
    products: jax.Array  # (N, D (D + 1) / 2), products of pairs of covariates, row by row
    norms: jax.Array  # (N,), Euclidean norm of each row
    factor: (
        jax.Array
    )  # (D, D), a root F of the mean F F' of x x' over the rows: Cholesky's, or symmetric if singular
    inverse: jax.Array  # (D, D), of `factor`, or its pseudo-inverse

    prescribed = True
    rows_per_sample = 1

    @property
    def dim(self):
        return self.rows.shape[1]

    @property
    def chunk_rows(self):
        return self.rows.shape[0]

    def draw(self, key, present):
        # every chunk is the whole of `rows`, so there is no code
        return (
            self,
            None,
            randoms.normal(key, (self.chunk_rows,), present),
        )

    def number(self, chunk):
        return chunk * self.chunk_rows + jnp.arange(self.chunk_rows, dtype=jnp.int32)

    def with_room(self, room: int) -> "Fixed":
        """The design with `room` places for its rows, the others empty.

        For rounds that use each row once: the empty places are those from a round's number of rows on.
        """
        spare = room - len(self.rows)
        wide = {
            name: np.pad(array, [(0, spare)] + [(0, 0)] * (array.ndim - 1))
            for name, array in (("rows", self.rows), ("products", self.products), ("norms", self.norms))
        }
        return dataclasses.replace(self, **wide)

    def dense(self, code):
        return self.rows

    def predict(self, code, coef):
        if self.dim <= FEW:
            return sum(coef[i] * self.rows[:, i] for i in range(self.dim))
        return self.rows @ coef

    def norm(self, code):
        return self.norms

    def sums(self, code, weight, noise):
        """Weighted x x' (D, D) and x noise (D,): one product with a matrix that all chains share."""
        if self.dim <= FEW:
            table = jnp.concatenate([self.rows.T, noise[None]])
            both = jnp.sum((weight[None] * self.rows.T)[:, None] * table[None], axis=-1)
            return both[:, :-1], both[:, -1]
        upper = weight @ self.products
        gram = upper[_symmetric_index(self.dim)]
        return gram, (weight * noise) @ self.rows

    def zero_sums(self):
        return jnp.zeros((self.dim, self.dim)), jnp.zeros(self.dim)

    def mean_square(self, coef):
        moved = coef @ self.factor
        return jnp.dot(moved, moved)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Orthogonal:
    """Each of D unit directions observed once per sample: n samples are D n rows, direction by direction."""

    dim: int = dataclasses.field(metadata={"static": True})

    chunk_rows = CHUNK
    prescribed = True

    @property
    def rows_per_sample(self):
        return self.dim

    def draw(self, key, present):
        shape = (self.dim * CHUNK,)
        return self, None, randoms.normal(key, shape, present)

    def number(self, chunk):
        return jnp.tile(chunk * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32), self.dim)

    def dense(self, code):
        return jnp.repeat(jnp.eye(self.dim), CHUNK, axis=0)

    def predict(self, code, coef):
        return jnp.repeat(coef, CHUNK)

    def norm(self, code):
        return jnp.ones(self.dim * CHUNK)

    def sums(self, code, weight, noise):
        """Weighted diagonal of x x' (D,) and x noise (D,)."""
        return (
            weight.reshape(self.dim, CHUNK).sum(axis=1),
            (weight * noise).reshape(self.dim, CHUNK).sum(axis=1),
        )

    def zero_sums(self):
        return jnp.zeros(self.dim), jnp.zeros(self.dim)

    def mean_square(self, coef):
        return jnp.dot(coef, coef) / self.dim


def fixed(rows: np.ndarray) -> Fixed:
    """The design of the given rows, shape (N, D)."""
    first, second = np.triu_indices(rows.shape[1])
    if np.linalg.matrix_rank(rows) == rows.shape[1]:
        factor = np.linalg.cholesky(rows.T @ rows / len(rows))
        inverse = np.linalg.inv(factor)
    else:
        _, values, axes = np.linalg.svd(rows / np.sqrt(len(rows)), full_matrices=False)
        kept = values > values[0] * max(rows.shape) * np.finfo(float).eps  # as in NumPy's matrix_rank
        factor = (axes[kept].T * values[kept]) @ axes[kept]
        inverse = (axes[kept].T / values[kept]) @ axes[kept]
    return Fixed(
        rows=as_float(rows),
        products=as_float(rows[:, first] * rows[:, second]),
        norms=as_float(np.linalg.norm(rows, axis=1)),
        factor=as_float(factor),
        inverse=as_float(inverse),
    )


def gaussian(dim: int, covariance: np.ndarray | None = None) -> Gaussian:
    """The design of fresh x ~ N(0, covariance) in `dim` dimensions; None for the identity."""
    if covariance is None:
        return Gaussian(None, None, dim)
    factor = np.linalg.cholesky(covariance)
    return Gaussian(as_float(factor), as_float(np.linalg.inv(factor)), dim)


def _symmetric_index(dim):
    """(D, D) positions in the packed upper triangle of `pair_products`."""
    first, second = jnp.triu_indices(dim)
    index = jnp.zeros((dim, dim), dtype=int).at[first, second].set(jnp.arange(first.shape[0]))
    return jnp.maximum(index, index.T)
