"""Random symmetric matrices with their eigenvalues, as sequences of tokens, and how far an answer is from the truth."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import check_choice, check_value, check_whole
from simcollapse.neural.batches import over_rows
from simcollapse.neural.eigen.numbers import Encoding

ENTRIES = ("uniform", "gaussian")
NORMS = ("each", "l1")
TOLERANCES = (0.005, 0.01, 0.02, 0.05)  # Source: [Feng24], section 6.1 (v2)
CHUNK = 1_000  # matrices of one call


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is asked: the eigenvalues of which matrices, written how, and when an answer is right.

    Build it with `problem(...)`. The matrix that counts is the one that was written down: eigenvalues are those of the
    rounded entries, so the tokens determine the answer.
    """

    size: int  # D, rows of a matrix
    encoding: Encoding
    entries: str
    scale: float
    tolerance: float
    norm: str

    @property
    def source_length(self) -> int:
        """Tokens of a matrix, all its entries row by row."""
        return self.size**2 * self.encoding.length

    @property
    def target_length(self) -> int:
        """Tokens of its eigenvalues, the largest first."""
        return self.size * self.encoding.length

    def draw(self, key: jax.Array, count: int) -> np.ndarray:
        """Tokens (count, source_length) of random matrices; the first of more are the same."""
        parts = []
        for c in range(-(-count // CHUNK)):
            made = _matrices(jax.random.fold_in(key, c), self.size, self.entries, self.scale)
            parts.append(self.encoding.encode(made).reshape(CHUNK, -1))
        return np.concatenate([np.zeros((0, self.source_length), np.int16), *parts])[:count]

    def matrices(self, source: np.ndarray) -> np.ndarray:
        """Matrices (N, D, D) of tokens (N, source_length)."""
        return self._numbers(source).reshape(-1, self.size, self.size)

    def truth(self, source: np.ndarray) -> np.ndarray:
        """Eigenvalues (N, D), the largest first, of matrices as tokens."""
        return over_rows(lambda batch, c: self._truth(batch["source"]), {"source": source}, CHUNK)

    def _truth(self, source):
        return np.asarray(_eigenvalues(self.matrices(source).astype(np.float32))).astype(float)

    def rows(self, key: jax.Array, count: int) -> dict[str, np.ndarray]:
        """Matrices and their eigenvalues as tokens: source (N, source_length), target (N, target_length)."""
        source = self.draw(key, count)
        target = self.encoding.encode(self.truth(source)).reshape(count, self.target_length)
        return {"source": source, "target": target}

    def values(self, target: np.ndarray) -> np.ndarray:
        """Answers (N, D) of tokens (N, target_length), NaN where they are no numbers."""
        return self._numbers(target)

    def digits(self, target: np.ndarray) -> np.ndarray:
        """Decimal digits (N, D, digits) of the answers' mantissas, -1 where a token is no mantissa."""
        return self.encoding.mantissa_digits(self._by_number(target))

    def _numbers(self, tokens):
        return self.encoding.decode(self._by_number(tokens))

    def _by_number(self, tokens):
        return tokens.reshape(len(tokens), tokens.shape[1] // self.encoding.length, self.encoding.length)

    def error(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        """Relative error of each row's answer, (N,), in the problem's norm; inf where it is no answer."""

        def part(batch, c):
            return relative_error(self.values(batch["target"]), self._truth(batch["source"]), self.norm)

        return over_rows(part, {name: rows[name] for name in ("source", "target")}, CHUNK)

    def correct(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        """Which rows' answers are within the tolerance, (N,)."""
        return self.error(rows) <= self.tolerance


def relative_error(values: np.ndarray, truth: np.ndarray, norm: str) -> np.ndarray:
    """How far answers (N, D) are from the truth (N, D), (N,); inf for NaN.

    "each": max_i |v_i - t_i| / |t_i|: all eigenvalues are within this. "l1": sum_i |v_i - t_i| / sum_i |t_i|.
    """
    gap, size = np.abs(values - truth), np.abs(truth)
    if norm == "l1":
        gap, size = gap.sum(axis=-1, keepdims=True), size.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(gap == 0, 0.0, gap / size)
    return np.where(np.isnan(ratio), np.inf, ratio).max(axis=-1)


@jax.jit
def _eigenvalues(matrices):
    return jnp.linalg.eigvalsh(matrices)[:, ::-1]


def _matrices(key, size, entries, scale):
    return np.asarray(_draw(key, size, entries), dtype=float) * scale


def _symmetric(key, size, entries):
    count = size * (size + 1) // 2
    if entries == "uniform":
        upper = jax.random.uniform(key, (CHUNK, count), minval=-1.0)
    else:  # of the same variance
        upper = jax.random.normal(key, (CHUNK, count)) / jnp.sqrt(3.0)
    i, j = np.triu_indices(size)
    place = np.zeros((size, size), dtype=int)
    place[i, j] = place[j, i] = np.arange(count)
    return upper[:, place]


_draw = jax.jit(_symmetric, static_argnums=(1, 2))


def problem(
    size: int,
    encoding: Encoding,
    *,
    entries: str = "uniform",
    scale: float = 10.0,
    tolerance: float = 0.01,
    norm: str = "each",
) -> Problem:
    """The problem, checked.

    Args:
        size: D, rows of a matrix.
        encoding: how numbers are written.
        entries: of the upper triangle, independent: "uniform" in ±scale, or "gaussian" of the same variance.
        scale: unit of the entries.
        tolerance: relative error up to which an answer is correct.
        norm: "each" asks it of every eigenvalue, "l1" of the sums over eigenvalues.

    Raises:
        ValueError, TypeError: a value outside its range, or a scale that the encoding has no numbers for.
    """
    check_choice("entries", entries, ENTRIES)
    check_choice("norm", norm, NORMS)
    check_value("scale", scale, "positive")
    check_value("tolerance", tolerance, "positive")
    size = check_whole("size", size, 1)
    # Eigenvalues are at most size times the largest entry; a normal entry is below 10 sd but once in 1e23.
    largest = size * scale * (1 if entries == "uniform" else 10 / 3**0.5)
    if largest > encoding.largest:
        raise ValueError(
            f"scale must be <= {scale * encoding.largest / largest:g} for {size} x {size} matrices, whose eigenvalues "
            f"would exceed {encoding.largest:g}, the largest number of the encoding, got {scale:g}"
        )
    return Problem(size, encoding, entries, float(scale), float(tolerance), norm)
