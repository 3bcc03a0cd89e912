"""A pipeline as its owner describes it: checked, and in the numbers that predictions need."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from simcollapse import schedules
from simcollapse.checks import check_choice, check_shape, check_value, check_whole

DESIGNS = ("orthogonal", "gaussian", "table")
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
_MOST = 1e15  # counts of a growing schedule are followed up to here; beyond, a round adds no noise


class Population(NamedTuple):
    """A real table taken as the whole population, its least-squares fit as the truth."""

    rows: np.ndarray  # (N, D) with the column of ones first
    response: np.ndarray  # (N,)
    root: np.ndarray  # (D, D) upper triangular, root'root = rows'rows/N: |root e|^2 is the excess risk of error e
    source: str

    @property
    def whitened(self) -> np.ndarray:
        """Rows in coordinates whose squared length is the excess risk, shape (N, D)."""
        return np.linalg.solve(self.root.T, self.rows.T).T


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A checked description; build it with `describe(...)`, where the fields are explained."""

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
        if isinstance(given, schedules.Growth) and (given.ratio > 1 or (given.ratio == 1 and given.increment > 0)):
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


def describe(
    *,
    dim: int | None = None,
    noise: float | None = None,
    n_real: int | None = None,
    n_per_round: Any = None,
    radius: float | None = None,
    slack: float = 0.0,
    bias: Any = None,
    trained_on: int | None = None,
    workflow: str = "replace",
    subsample: int | None = None,
    design: str | None = None,
    rejected: str = "drop",
    rounds: int = 20,
    table: Any = None,
) -> Pipeline:
    """The pipeline that these words describe.

    Args:
        dim: number of coefficients. Not with a table.
        noise: standard deviation of the real noise, > 0, unit of y. Not with a table.
        n_real: real samples of round 0: rows per direction on the orthogonal design, rows in all otherwise. With
            a table, None for all of its rows.
        n_per_round: samples of each later round, in the same unit: a number, a sequence with one for each round,
            or a `schedules.Growth`; inf on the orthogonal design under `replace`. They are generated ones, or kept
            ones with rejected="resample". With a table whole multiples of its rows, None for one of each.
        radius, slack: the verifier accepts |y - x.center| <= radius |x| + slack. Neither: there is no verifier.
        bias: center - truth, as a vector (dim,) or as its norm, which is put along the diagonal. With a table the
            number is a shift of every prediction, unit of y, and the vector starts with the intercept.
        trained_on: instead of `bias`: the real samples, not used elsewhere, that the center was fitted to.
        workflow: "replace", "accumulate" or "accumulate_subsample".
        subsample: rows of each fit under `accumulate_subsample`; None for as many as the round generated.
        design: "orthogonal" (each direction observed alone; None means this) or "gaussian" (fresh rows N(0, I)).
            Not with a table, whose rows are the design.
        rejected: "drop" a rejected row, or "resample" its response at the same covariates.
        rounds: K >= 1, rounds of the predicted curve.
        table: real data, an object with X (N, D - 1), y (N,) and perhaps `source`; a column of ones is added.

    Raises:
        ValueError, TypeError: an argument outside its range or of the wrong kind; arguments that exclude each other.
    """
    rounds = check_whole("rounds", rounds, 1)
    check_choice("workflow", workflow, WORKFLOWS)
    check_choice("rejected", rejected, ("drop", "resample"))
    population = None
    if table is not None:
        given = {"dim": dim, "noise": noise, "design": design}
        extra = [name for name, value in given.items() if value is not None]
        if extra:
            raise ValueError(f"{' and '.join(extra)} must be left out with a table, which fixes it")
        population, noise = _population(table)
        dim, design = population.rows.shape[1], "table"
        n_real = len(population.rows) if n_real is None else n_real
        n_per_round = len(population.rows) if n_per_round is None else n_per_round
    else:
        needed = {"dim": dim, "noise": noise, "n_real": n_real, "n_per_round": n_per_round}
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            raise ValueError(f"{' and '.join(missing)} must be given when there is no table")
        design = "orthogonal" if design is None else design
        check_choice("design", design, ("orthogonal", "gaussian"))
        dim = check_whole("dim", dim, 1)
        _number("noise", noise, "positive")
    assert noise is not None
    least = 1 if design == "orthogonal" else dim + (2 if design == "gaussian" else 1)
    n_real = check_whole("n_real", n_real, least)
    radius = math.inf if radius is None and slack == 0 else radius  # no verifier
    if radius is not None:
        _number("radius", radius, "radius")
    _number("slack", slack, "slack")
    described = Pipeline(
        dim=dim,
        noise=float(noise),
        n_real=n_real,
        n_per_round=_schedule(n_per_round, rounds, workflow, design, population),
        rounds=rounds,
        radius=0.0 if radius is None else float(radius),  # slack alone
        slack=float(slack),
        bias=bias,
        trained_on=trained_on,
        workflow=workflow,
        subsample=subsample,
        design=design,
        rejected=rejected,
        population=population,
    )
    _check_subsample(described)
    return dataclasses.replace(described, **_center(described, bias, trained_on, least))


def _number(name, value, allowed):
    check_shape(name, value, ())
    check_value(name, value, allowed)


def _population(table) -> tuple[Population, float]:
    """The population of a table, and its residual standard deviation."""
    from simcollapse.tasks import LinearRegression

    task = LinearRegression.from_data(table.X, table.y)  # checks the table
    x, y = np.asarray(table.X, dtype=float), np.asarray(table.y, dtype=float)
    rows = np.column_stack([np.ones(len(x)), x])
    residual = y - rows @ np.linalg.lstsq(rows, y, rcond=None)[0]
    noise = math.sqrt(residual @ residual / (len(rows) - task.dim))
    root = np.asarray(np.linalg.qr(rows, mode="r")) / math.sqrt(len(rows))
    return Population(rows, y, root, str(getattr(table, "source", "table"))), noise


def _schedule(n_per_round, rounds, workflow, design, population):
    if np.ndim(n_per_round) == 0 and not isinstance(n_per_round, schedules.Growth) and n_per_round == math.inf:
        if design == "orthogonal" and workflow == "replace":
            return math.inf
        raise ValueError("n_per_round may be inf only on the orthogonal design under 'replace'; give a number")
    counts = schedules.resolve(n_per_round, rounds)
    if population is not None and np.any(counts % len(population.rows)):
        rows = len(population.rows)
        raise ValueError(f"n_per_round must be a multiple of the table's {rows} rows, got {_listed(n_per_round)}")
    if np.ndim(n_per_round) == 1:
        return tuple(int(v) for v in counts)
    return n_per_round if isinstance(n_per_round, schedules.Growth) else int(counts[0])


def _listed(value):
    return list(value) if np.ndim(value) else value


def _check_subsample(described: Pipeline) -> None:
    if described.subsample is None:
        return
    if described.workflow != "accumulate_subsample":
        raise ValueError(f"subsample belongs to 'accumulate_subsample', got workflow={described.workflow!r}")
    check_whole("subsample", described.subsample, described.dim)


def _center(described: Pipeline, bias, trained_on, least) -> dict[str, Any]:
    """Checked `bias` and `trained_on`: exactly one with a verifier, none without."""
    given = [name for name, value in (("bias", bias), ("trained_on", trained_on)) if value is not None]
    if described.verified and len(given) != 1:
        raise ValueError(f"give exactly one of bias and trained_on with a verifier, got {given or 'none'}")
    if not described.verified:
        if given:
            raise ValueError(f"{given[0]} goes with a verifier: give radius or slack too")
        return {}
    if trained_on is not None:
        return {"trained_on": check_whole("trained_on", trained_on, least)}
    if np.ndim(bias) == 0:
        _number("bias", bias, "nonnegative")
        return {"bias": float(bias)}
    check_shape("bias", bias, (described.dim,))
    check_value("bias", bias, "finite")
    return {"bias": np.asarray(bias, dtype=float)}
