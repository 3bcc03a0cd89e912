"""Verifiers of eigenvalues: those that know the truth, and those that do not.

A score is larger for answers that look better; a selection (`simcollapse.neural.selection`) turns scores into a mask:
`threshold(-tolerance)` for oracle, trace check and agreement, `threshold(0.5)` for the noisy oracle, `top_share` for
any.

Why training without verification (p* = 1/2) can be harmless although most answers are wrong: wrong answers of a matrix
differ from each other where right ones agree. With K answers to choose from and errors spread evenly, the right one
stays the most frequent as long as it is more frequent than one in K, not one in two. With data enough the p* at which
a new model overtakes its generator then lies below the generator's error rate; the run at scale `quick`, with four
times the generator's data, does not show it.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from simcollapse.checks import check_value
from simcollapse.neural.eigen.matrices import Problem, relative_error
from simcollapse.neural.eigen.task import Translators, decoding

Tree = Any


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Minus the relative error of the answer; -inf for no answer."""

    problem: Problem

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        return -self.problem.error(rows)


@dataclasses.dataclass(frozen=True)
class NoisyOracle:
    """1 for every correct answer and for a share psi of the others, else 0: phi = 1, p* = 1 / (1 + psi)."""

    problem: Problem
    psi: float

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,)."""
        correct = self.problem.correct(rows)
        mistaken = np.asarray(jax.random.uniform(key, (len(correct),))) < self.psi
        return (correct | mistaken).astype(float)


def noisy_oracle(problem: Problem, p_star: float) -> NoisyOracle:
    """The noisy oracle with breakdown point `p_star`, in [1/2, 1]."""
    check_value("p_star", p_star, "unit")
    if p_star < 0.5:
        raise ValueError(f"p_star must be in [0.5, 1] where every correct answer passes, got {p_star:g}")
    return NoisyOracle(problem, 1 / float(p_star) - 1)


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """The answer's log-probability a token: minus the log of its perplexity. By default of the model that gave it."""

    family: Translators
    params: Tree = None  # None: those of the generator, which then selects its own answers

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,), nats."""
        chosen = model if self.params is None else self.params
        return self.family.score(chosen, rows) / self.family.sizes.target_length


@dataclasses.dataclass(frozen=True)
class TraceCheck:
    """Minus how far the answer misses what any eigenvalues must satisfy; no truth needed, only the matrix.

    The eigenvalues sum to the trace, their squares to the squared Frobenius norm |A|^2. The miss is the larger of
    |sum v - tr A| / |A| and |sum v^2 - |A|^2| / |A|^2. For a 2 x 2 matrix the two equations have one solution, so the
    check is then as good as an oracle; for a larger one it is not.
    """

    problem: Problem

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,); -inf for no answer."""
        matrices, values = self.problem.matrices(rows["source"]), self.problem.values(rows["target"])
        squares = np.maximum(np.sum(matrices**2, axis=(-2, -1)), 1e-30)
        first = np.abs(values.sum(axis=-1) - np.trace(matrices, axis1=-2, axis2=-1)) / np.sqrt(squares)
        second = np.abs(np.sum(values**2, axis=-1) - squares) / squares
        miss = np.maximum(first, second)
        return -np.where(np.isnan(miss), np.inf, miss)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Minus the relative distance of the answer to that of another model, greedily decoded."""

    problem: Problem
    family: Translators
    params: Tree  # of the other model

    def score(self, key: jax.Array, rows: Tree, model: Tree) -> np.ndarray:
        """(N,); -inf where either gives no answer."""
        other = self.family.decode(key, self.params, rows["source"], decoding())[0][:, 0]
        mine, theirs = self.problem.values(rows["target"]), self.problem.values(other)
        return -relative_error(mine, theirs, self.problem.norm)
