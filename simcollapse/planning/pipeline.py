"""A described pipeline, in the numbers that predictions need."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from simcollapse import schedules

_MOST = 1e15  # counts of a growing schedule are followed up to here; beyond, a round adds no noise


class Population(NamedTuple):
    """A real table taken as the whole population, its least-squares fit as the truth."""

    rows: np.ndarray  # (N, D) with the column of ones first
    response: np.ndarray  # (N,)
    root: (
        np.ndarray
    )  # (D, D) upper triangular, root'root = rows'rows/N: |root e|^2 is the excess risk of error e
    source: str

    @property
    def whitened(self) -> np.ndarray:
        """Rows in coordinates whose squared length is the excess risk, shape (N, D)."""
        return np.linalg.solve(self.root.T, self.rows.T).T


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A checked description; `simcollapse.planning.describe` makes it and explains the fields."""

    dim: int
    noise: float
    n_real: int
    n_per_round: Any
    rounds: int
    radius: float
    slack: float
    bias: Any  # None, a number or an array (D,)
    trained_on: int | None
    workflow: str
    subsample: int | None
    design: str
    rejected: str
    population: Population | None

    @property
    def verified(self) -> bool:
        """Whether anything can be rejected."""
        return math.isfinite(self.radius + self.slack)

    @property
    def bound(self) -> float:
        """Largest accepted |y - x.center| where |x| = 1, unit of y."""
        return self.radius + self.slack

    @property
    def bias_vector(self) -> np.ndarray:
        """center - truth, shape (D,): a norm lies along the diagonal, or on the intercept of a table."""
        if self.bias is None or np.ndim(self.bias):
            return np.zeros(self.dim) if self.bias is None else np.asarray(self.bias)
        if self.population is not None:
            return np.concatenate([[self.bias], np.zeros(self.dim - 1)])
        return np.full(self.dim, self.bias / math.sqrt(self.dim))

    @property
    def bias_squared(self) -> float:
        """Squared bias in the unit of the error, on average over verifiers where it was trained on a sample."""
        if self.trained_on is not None:
            return self.fit_error(self.trained_on)
        vector = self.bias_vector
        if self.population is not None:
            vector = self.population.root @ vector
        return float(vector @ vector)

    @property
    def start(self) -> float:
        """Expected error of round 0, the fit on real data."""
        return self.fit_error(self.n_real)

    def fit_error(self, samples: float) -> float:
        """Expected error of a least-squares fit on `samples` real samples."""
        spare = self.dim + 1 if self.design == "gaussian" else 0
        return self.dim * self.noise**2 / (samples - spare)

    def worth(self, error: float) -> float:
        """Real samples whose least-squares fit has the expected error `error`; the inverse of `fit_error`."""
        spare = self.dim + 1 if self.design == "gaussian" else 0
        return self.dim * self.noise**2 / error + spare if error > 0 else math.inf

    @property
    def unlimited(self) -> bool:
        """Whether every round generates infinitely many samples."""
        return np.ndim(self.n_per_round) == 0 and self.n_per_round == math.inf

    def counts(self, rounds: int) -> np.ndarray:
        """Samples of rounds 1..K for any K, float, shape (K,): the schedule's last value goes on for ever."""
        given = self.n_per_round
        if isinstance(given, schedules.Growth):
            return np.clip(np.nan_to_num(given.counts(rounds), posinf=_MOST), 1, _MOST)
        values = np.atleast_1d(np.asarray(given, dtype=float))
        return values[np.minimum(np.arange(rounds), len(values) - 1)] if len(values) else np.ones(rounds)

    @property
    def last_count(self) -> float:
        """Samples that a round has in the end; inf for a growing schedule."""
        given = self.n_per_round
        if isinstance(given, schedules.Growth) and (
            given.ratio > 1 or (given.ratio == 1 and given.increment > 0)
        ):
            return math.inf
        return float(self.counts(max(self.rounds, 10_000))[-1])

    def words(self) -> dict[str, Any]:
        """The description by argument, in plain values."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "population"}
        if isinstance(self.n_per_round, schedules.Growth):
            out["n_per_round"] = dataclasses.asdict(self.n_per_round)
        elif np.ndim(self.n_per_round):
            out["n_per_round"] = [int(v) for v in self.n_per_round]
        if np.ndim(self.bias):
            out["bias"] = [float(v) for v in np.asarray(self.bias)]
        return out | {"data": None if self.population is None else self.population.source}
