"""What a user says about a pipeline, checked."""

import dataclasses
import math
from typing import Any

import numpy as np

from simcollapse import schedules, workflows
from simcollapse.checks import check_choice, check_shape, check_value, check_whole, numbers
from simcollapse.planning.pipeline import Pipeline, Population


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
    check_choice("workflow", workflow, workflows.BARE)
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
    assert dim is not None and noise is not None
    _number("noise", noise, "positive")
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
    x, y = numbers("X", table.X), numbers("y", table.y)
    check_shape("X", x, (None, None))
    check_shape("y", y, (len(x),))
    check_value("X", x, "finite")
    check_value("y", y, "finite")
    rows = np.column_stack([np.ones(len(x)), x])
    dim = rows.shape[1]
    if len(rows) < dim + 2:
        raise ValueError(f"X must have at least {dim + 2} rows for {dim} coefficients, got {len(rows)}")
    if (rank := np.linalg.matrix_rank(rows)) < dim:
        raise ValueError(f"X with a column of ones must have full column rank {dim}, got rank {rank}")
    residual = y - rows @ np.linalg.lstsq(rows, y, rcond=None)[0]
    noise = math.sqrt(residual @ residual / (len(rows) - dim))
    root = np.asarray(np.linalg.qr(rows, mode="r")) / math.sqrt(len(rows))
    return Population(rows, y, root, str(getattr(table, "source", "table"))), noise


def _schedule(
    n_per_round: Any, rounds: int, workflow: str, design: str, population: Population | None
) -> Any:
    """Checked `n_per_round`: an int, a tuple of K of them, a `Growth` or inf."""
    if isinstance(n_per_round, float) and n_per_round == math.inf:
        if design == "orthogonal" and workflow == "replace":
            return math.inf
        raise ValueError(
            "n_per_round may be inf only on the orthogonal design under 'replace'; give a number"
        )
    counts = schedules.resolve(n_per_round, rounds)
    if population is not None and np.any(rest := counts % len(population.rows)):
        rows, wrong = len(population.rows), int(counts[np.argmax(rest > 0)])
        raise ValueError(f"n_per_round must be a multiple of the table's {rows} rows, got {wrong}")
    if isinstance(n_per_round, schedules.Growth):
        return n_per_round
    return tuple(int(n) for n in counts) if np.ndim(n_per_round) else int(counts[0])


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
    vector = numbers("bias", bias)
    check_shape("bias", vector, (described.dim,))
    check_value("bias", vector, "finite")
    return {"bias": vector}
