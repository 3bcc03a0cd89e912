"""The four regimes on a real table: its rows are the population, least squares on all of it is the truth.

The verifier believes every effect (every coefficient but the intercept) to be weaker than it is by one
factor, 0 for the unbiased one; the factors are chosen so that the bias is the same multiple of the first fit's
error as in `regimes`.

The error is the excess risk, the mean over the table's rows of (x.(estimate - truth))²: real covariates are
nearly collinear (the smallest eigenvalue of the diabetes correlations is 0.009), so the squared error of the
coefficients would be about one direction that predicts nothing. In coordinates in which the rows have unit
covariance the excess risk is a squared error, and the closed form for a fixed design applies as it is.
"""

import dataclasses
import json
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import simcollapse as sc
from simcollapse.data import Homoscedasticity, Table, homoscedasticity, load_table, standardise
from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate, over_chains
from simcollapse.reproduce.yi_regimes import trajectories
from simcollapse.reproduce.yi_regimes.trajectories import DERIVED, RATIOS
from theory import knowledge_center

NAME = "yi-regimes-real-data"
EMBEDDED = "diabetes"
BOOTSTRAPS = 10_000  # first fits drawn for their covariance: its trace is then known to 0.5 %
TOLERANCE = 0.08  # of the closed form, which is first order in the variance; with two standard errors


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the picture."""

    chains: int
    table: Table | None = None  # None for the embedded one
    most_rows: int = 2_000  # of a longer table so many are drawn at random
    rounds: int = 10
    copies: int = 6  # round 1 generates so many responses at every row
    growth: float = 1.1  # … and that many times more in each later round, rounded to whole copies
    radius: float = 0.5  # times the noise over the rows' mean norm
    slack: float = 1.25  # times the noise: the verifier keeps what is within about 1.75 noise sd
    seed: int = 0


SCALES = {
    "quick": Config(chains=1_200, most_rows=500),
    "small": Config(chains=4_000),
    "paper": Config(chains=20_000),
}


class _Problem(NamedTuple):
    """A table made ready; N rows, D coefficients, the intercept first."""

    design: np.ndarray  # (N, D)
    truth: np.ndarray  # (D,)
    residual: np.ndarray  # (N,)
    sigma: float
    root: np.ndarray  # (D, D), root' (estimate - truth) has the excess risk as its squared length


def check(config: Config) -> None:
    """Raise ValueError unless the table determines a fit, also where rows are drawn from it with replacement."""
    _first_fits(_problem(_rows(config)), config.seed)


def compute(config: Config) -> xr.Dataset:
    """Trajectories of the four regimes on the table."""
    table = _rows(config)
    test = homoscedasticity(table.X, table.y)
    problem = _problem(table)
    rows, dim = problem.design.shape
    first = _first_fits(problem, config.seed)
    start = float(np.mean(np.sum(first**2, axis=1)))
    effects = problem.truth * (np.arange(dim) > 0)
    explained = float(np.sum((effects @ problem.root) ** 2))
    weaker = np.sqrt(np.array(list(RATIOS.values())) * start / explained)
    centers = [problem.truth - share * effects for share in weaker]
    norms = np.linalg.norm(problem.design, axis=1)
    radius, slack = config.radius * problem.sigma / norms.mean(), config.slack * problem.sigma
    copies = np.rint(config.copies * config.growth ** np.arange(config.rounds)).astype(int)
    result = sc.sweep(
        sc.LinearRegression.from_data(table.X, table.y),
        sc.knowledge_ball(centers[0], radius=radius, slack=slack),
        sc.replace(),
        over={"verifier.center": centers},
        n_real=rows,
        n_per_round=(rows * copies).tolist(),
        rounds=config.rounds,
        chains=config.chains,
        seed=config.seed,
        record_model=True,
    ).rename({"verifier.center": "regime"})
    result = result.assign_coords(regime=list(RATIOS))

    estimate = (result["model_coef"].astype(float) - xr.DataArray(problem.truth, dims="dim")).rename(
        dim="old"
    )
    estimate = estimate.dot(xr.DataArray(problem.root, dims=("old", "dim")))
    bias = np.array([(center - problem.truth) @ problem.root for center in centers])  # (regime, D)
    bias2 = np.sum(bias**2, axis=1)
    way = xr.DataArray(bias / np.where(bias2 > 0, bias2, np.nan)[:, None], dims=("regime", "dim"))
    parts = [
        over_chains(result["excess_risk"], "error"),
        over_chains((estimate * way).sum("dim", skipna=False), "progress"),
    ]
    data = xr.merge(parts, combine_attrs="override")
    for name, trajectory in (
        ("theory", knowledge_center.fixed_design_trajectory_delta),
        ("linearised", knowledge_center.fixed_design_trajectory),
    ):
        paths = [
            trajectory(
                np.linalg.solve(problem.root, problem.design.T).T,
                sigma=problem.sigma,
                bounds=radius * norms + slack,
                verifier_bias=one,
                copies=copies,
                rounds=config.rounds,
                first_covariance=np.cov(first.T),
                rejected="drop",
            )
            for one in bias
        ]
        data[name] = ("regime", "round"), np.array(paths)
    data["bias2"] = "regime", bias2
    data["weaker"] = "regime", weaker
    data["size"] = "regime", ["no bias" if w == 0 else f"effects {100 * w:.0f} % too weak" for w in weaker]
    data.attrs.update(
        title=f"the four regimes on real data ({table.source.split(',')[0]})",
        error_label="excess risk, unit of y²\n(prediction error above the noise)",
        theory_label="closed form for a fixed design",
        linearised_label="the same, linearised",
        source=table.source,
        heading=_heading(table, test),
        note=_note(table, test, weaker),
        heteroscedasticity_p=test.p_value,
        config=json.dumps(dataclasses.asdict(dataclasses.replace(config, table=None))),
        simulation=trajectories.provenance(result),
    )
    return data


def _rows(config: Config) -> Table:
    """The table with standardised covariates, at most `most_rows` of its rows."""
    table = load_table(EMBEDDED) if config.table is None else config.table
    total = len(table.X)
    if total > config.most_rows:
        pick = np.random.default_rng(config.seed).permutation(total)[: config.most_rows]
        source = f"{table.source}, of which {config.most_rows} drawn at random (seed {config.seed})"
        table = table._replace(X=table.X[pick], y=table.y[pick], source=source)
    return standardise(table)


def _problem(table: Table) -> _Problem:
    rows, columns = table.X.shape
    design = np.column_stack([np.ones(rows), table.X])
    if (rank := np.linalg.matrix_rank(design)) < columns + 1:
        raise ValueError(
            f"the table's {columns} covariates and the intercept must be linearly independent, got rank {rank}"
        )
    truth = np.linalg.lstsq(design, table.y, rcond=None)[0]
    residual = table.y - design @ truth
    sigma = float(np.sqrt(np.sum(residual**2) / (rows - columns - 1)))
    return _Problem(design, truth, residual, sigma, np.linalg.cholesky(design.T @ design / rows))


def _first_fits(problem: _Problem, seed: int) -> np.ndarray:
    """Deviations root' (estimate - truth) of fits on N rows drawn from the table with replacement, (B, D).

    The covariance of the first fit is not sigma² (X'X)^-1: which rows were drawn varies too, and real noise is
    neither normal nor the same everywhere. Drawn here apart from the simulator, in NumPy.
    """
    rows, dim = problem.design.shape
    white = np.linalg.solve(problem.root, problem.design.T).T
    products = (white[:, :, None] * white[:, None, :]).reshape(rows, -1)
    random = np.random.default_rng([seed, 1])
    out = []
    for begin in range(0, BOOTSTRAPS, 1_000):
        count = min(1_000, BOOTSTRAPS - begin)
        weight = random.multinomial(rows, np.full(rows, 1 / rows), size=count).astype(float)
        gram = (weight @ products).reshape(count, dim, dim)
        try:
            out.append(
                np.linalg.solve(gram, (weight @ (white * problem.residual[:, None]))[..., None])[..., 0]
            )
        except np.linalg.LinAlgError:
            raise ValueError(
                f"the table must have more rows for its {dim - 1} covariates: {rows} rows drawn from it with "
                "replacement do not always determine a fit"
            ) from None
    return np.concatenate(out)


def _heading(table: Table, test: Homoscedasticity) -> str:
    rows, columns = table.X.shape
    verdict = "yes" if test.constant else "no, but only round 0 would need it"
    return (
        f"{table.source.split(',')[0]}: {rows} rows, {columns} covariates, y = {table.target}; "
        "the verifier believes every effect too weak\n"
        f"constant noise? Breusch-Pagan p = {test.p_value:.2g}: {verdict}"
    )


def _note(table: Table, test: Homoscedasticity, weaker: np.ndarray) -> str:
    shares = ", ".join(f"{100 * share:.0f} %" for share in weaker)
    effect = (
        "the closed form's assumption holds as far as this test sees"
        if test.constant
        else "generated rows have constant noise by construction, so of the assumptions only that about the first "
        "fit fails; its covariance is taken from refits on redrawn rows, which does not need it"
    )
    return (
        f"data: {table.source}; response: {table.target}; covariates: {', '.join(table.names)}\n"
        f"verifier: believes every effect weaker by {shares} in the four regimes\n"
        f"constant noise? {test.statement}; {effect}"
    )


def compare(data: xr.Dataset) -> list[Claim]:
    """The regimes, and the closed form on the simulation."""
    deviation, spread = (
        one.transpose("regime", "round").to_numpy() for one in trajectories.log_deviation(data)
    )
    worst = int((np.abs(deviation) + 2 * spread).argmax())
    got = Estimate(float(deviation.flat[worst]), float(spread.flat[worst]))
    return [
        *trajectories.compare(data, "excess risk"),
        claims.within(
            "the closed form for a fixed design lies on the simulation",
            DERIVED,
            f"largest relative deviation of {deviation.size} errors by regime and round",
            got,
            0.0,
            TOLERANCE,
            percent=True,
        ),
    ]


def draw(data: xr.Dataset) -> Figure:
    """Four panels; computes nothing."""
    figure = style.blank(8.5, 6.9)
    style.heading(figure, data.attrs["heading"])
    trajectories.draw(figure, data)
    return figure
