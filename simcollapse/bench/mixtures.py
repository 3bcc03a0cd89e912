"""What is measured of classification: one Gaussian mixture with flipped labels and independent verdicts.

The same experiment in plain NumPy, float64, one chain at a time and vectorised over chains, as `baselines` has it for
regression. The setting is reading R1 of [Feng24], Theorem 4.2: verdicts toss a coin, ridge regression fits.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import scipy.special

import simcollapse as sc

SEPARATION = 1.5  # length of the class mean; the Bayes rule is right in 93 of 100
WRONG, PHI, PSI = 0.3, 0.9, 0.4  # about three rows in four are kept, with p* = 0.69
PENALTY = 0.1
ROUNDS = 20


class Outcome(NamedTuple):
    """What every round of every chain gave, each of shape (C, K + 1); counts are 0 in round 0, as in the engine."""

    excess_risk: np.ndarray
    num_correct: np.ndarray
    num_kept: np.ndarray
    num_kept_correct: np.ndarray


@dataclasses.dataclass(frozen=True)
class MixtureCase:
    """One size; every round has N rows, the workflow is `replace`."""

    dim: int  # D
    n: int  # N, rows generated in each round, and real rows of round 0

    rounds = ROUNDS
    design = "mixture"
    verified = True
    metric = "excess_risk"  # of which `chains_for_error` is told

    @property
    def name(self) -> str:
        return f"mixture, d={self.dim}, n={self.n}"

    @property
    def mean(self) -> np.ndarray:
        """(D,), of the class +1."""
        return np.full(self.dim, SEPARATION / np.sqrt(self.dim))

    @property
    def normals(self) -> int:
        """Random normals of a sample-level round: the features."""
        return self.n * self.dim

    @property
    def uniforms(self) -> int:
        """Random tosses of a sample-level round: class, label and verdict of each row."""
        return 3 * self.n

    @functools.lru_cache(maxsize=4)  # noqa: B019 (a case is a small frozen value)
    def task(self):
        """The task, built once: its checks are not what is timed."""
        return sc.gaussian_mixture(self.mean, generator=sc.flips(WRONG), penalty=PENALTY)

    def simulate(self, chains: int, *, seed: int = 0, engine: str = "sample", **options):
        """The program under test, through its public door. Every chain must survive.

        Raises:
            RuntimeError: a chain froze, so that the run did less work than it seems.
        """
        result = sc.simulate(
            self.task(),
            sc.bernoulli(phi=PHI, psi=PSI),
            sc.replace(),
            n_real=self.n,
            n_per_round=self.n,
            rounds=self.rounds,
            chains=chains,
            seed=seed,
            engine=engine,
            progress=False,
            **options,
        )
        if not result["alive"].values.all():
            raise RuntimeError(f"a chain froze in the case {self.name}")
        return result


def one_at_a_time(case: MixtureCase, chains: int, rng: np.random.Generator) -> Outcome:
    """C chains in a plain loop over chains and rounds."""
    out = _nothing(case, chains)
    mean, ridge = case.mean, PENALTY * np.eye(case.dim)
    for c in range(chains):
        for k in range(case.rounds + 1):
            truth = np.where(rng.random(case.n) < 0.5, 1.0, -1.0)
            x = rng.standard_normal((case.n, case.dim)) + truth[:, None] * mean
            y = truth
            if k:
                correct = rng.random(case.n) >= WRONG
                kept = rng.random(case.n) < np.where(correct, PHI, PSI)
                y = np.where(correct, truth, -truth)
                out.num_correct[c, k] = correct.sum()
                out.num_kept[c, k] = kept.sum()
                out.num_kept_correct[c, k] = (kept & correct).sum()
                x, y = x[kept], y[kept]
            coef = np.linalg.solve(x.T @ x / len(y) + ridge, x.T @ y / len(y))
            out.excess_risk[c, k] = _excess_risk(case, coef)
    return out


def vectorised(case: MixtureCase, chains: int, rng: np.random.Generator, block: int) -> Outcome:
    """C chains, `block` of them at a time as arrays with a chain axis."""
    blocks = [_block(case, min(block, chains - begin), rng) for begin in range(0, chains, block)]
    return Outcome(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _block(case, chains, rng) -> Outcome:
    out = _nothing(case, chains)
    mean, ridge = case.mean, PENALTY * np.eye(case.dim)
    for k in range(case.rounds + 1):
        truth = np.where(rng.random((chains, case.n)) < 0.5, 1.0, -1.0)
        x = rng.standard_normal((chains, case.n, case.dim)) + truth[:, :, None] * mean
        y, weight = truth, np.ones((chains, case.n))
        if k:
            correct = rng.random((chains, case.n)) >= WRONG
            kept = rng.random((chains, case.n)) < np.where(correct, PHI, PSI)
            y, weight = np.where(correct, truth, -truth), kept.astype(float)
            out.num_correct[:, k] = correct.sum(axis=1)
            out.num_kept[:, k] = kept.sum(axis=1)
            out.num_kept_correct[:, k] = (kept & correct).sum(axis=1)
        count = weight.sum(axis=1)
        columns = x.transpose(0, 2, 1)
        gram = columns @ (x * weight[:, :, None]) / count[:, None, None] + ridge
        cross = columns @ (y * weight)[:, :, None] / count[:, None, None]
        out.excess_risk[:, k] = _excess_risk(case, np.linalg.solve(gram, cross)[:, :, 0])
    return out


def _excess_risk(case: MixtureCase, coef: np.ndarray) -> np.ndarray:
    """Accuracy of the Bayes rule minus that of the rule sign(x.coef)."""
    right = scipy.special.ndtr(coef @ case.mean / np.linalg.norm(coef, axis=-1))
    return scipy.special.ndtr(SEPARATION) - right


def _nothing(case: MixtureCase, chains: int) -> Outcome:
    shape = (chains, case.rounds + 1)
    return Outcome(np.zeros(shape), *(np.zeros(shape, dtype=np.int64) for _ in range(3)))


LOOPS = {"loop": one_at_a_time}


def block_sizes(case: MixtureCase) -> list[int]:
    """Chains of one block of `vectorised` worth trying: rows of about 0.25, 1 and 4 MiB."""
    chain_bytes = 8 * case.n * (case.dim + 2)
    return sorted({max(1, size // chain_bytes) for size in (2**18, 2**20, 2**22)})
