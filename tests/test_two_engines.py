"""Three ways to simulate one process: statistics from their law, row by row, and plain NumPy written here.

Two-sample tests: different seeds, so the arms share nothing. The noise is refitted each round, so that the whole
state of a chain (fit and noise) depends on everything a round does. The NumPy arm keeps all rows and solves
the least-squares problem anew, so it also sees errors in what the other two share: running sums, the fit.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest

import simcollapse as sc
from simcollapse import blocks
from tests.helpers import assert_mean, assert_same_distribution

DIM, ROUNDS, CHAINS = 3, 4, 6000
RESOLUTION = 0.12  # largest gap between two distribution functions that may go unseen with 6000 chains
TRUTH, NOISE = np.array([1.0, -2.0, 0.5]), 0.7
CENTER, RADIUS, SLACK = np.array([1.3, -2.0, 0.3]), 0.5, 0.2  # of the ball, where there is one
ROWS = np.random.default_rng(5).normal(size=(12, DIM))
COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.5], [0.0, -0.5, 0.5]])

DESIGNS = {
    "gaussian": dict(design="gaussian"),
    "covariance": dict(design="gaussian", covariance=COVARIANCE),
    "orthogonal": dict(design="orthogonal"),
    "fixed": dict(design="fixed", rows=ROWS),
}
WORKFLOWS = {
    "replace": sc.replace,
    "accumulate": sc.accumulate,
    "subsample": sc.accumulate_subsample,
}


class Case(NamedTuple):
    design: str
    workflow: str
    n_real: int
    n_per_round: int | tuple[int, ...]
    slow: bool
    rejected: str = ""  # what a ball does with rejected rows; no verifier if empty

    @property
    def id(self) -> str:
        return "-".join(filter(None, (self.design, self.workflow, self.rejected)))


UNVERIFIED = [
    Case("gaussian", "replace", 15, 12, slow=False),
    Case("orthogonal", "accumulate", 5, 3, slow=False),
    Case("fixed", "replace", 12, 12, slow=True),
    Case("gaussian", "accumulate", 10, (2, 10, 20, 40), slow=True),  # 2 rows do not span 3 dimensions
    Case("covariance", "replace", 15, 12, slow=True),
    Case("covariance", "accumulate", 15, 12, slow=True),
    Case("orthogonal", "replace", 5, (3, 4, 5, 6), slow=True),
    Case("fixed", "accumulate", 12, (12, 24, 12, 24), slow=True),
]
VERIFIED = [  # enough rows that none of the chains runs out of them
    Case("gaussian", "accumulate", 20, 30, slow=False, rejected="drop"),
    Case("covariance", "replace", 30, 60, slow=True, rejected="drop"),
    Case("gaussian", "replace", 20, 30, slow=True, rejected="resample"),
    Case("fixed", "accumulate", 24, 24, slow=True, rejected="drop"),
    Case("orthogonal", "replace", 10, 20, slow=True, rejected="resample"),
    Case("gaussian", "subsample", 30, 40, slow=True, rejected="drop"),
    Case("orthogonal", "subsample", 15, 20, slow=True, rejected="resample"),
]


def parameters(cases):
    return [pytest.param(c, id=c.id, marks=[pytest.mark.slow] if c.slow else []) for c in cases]


@functools.cache
def simulated(case: Case, engine: str, n_per_round: int | None = None) -> dict[str, np.ndarray]:
    """squared_error and log_noise, both (C, K + 1)."""
    ball = sc.knowledge_ball(CENTER, radius=RADIUS, slack=SLACK)
    dataset = sc.simulate(
        sc.linear_regression(TRUTH, noise=NOISE, estimate_noise=True, **DESIGNS[case.design]),
        ball if case.rejected else sc.none(),
        WORKFLOWS[case.workflow](),
        n_real=case.n_real,
        n_per_round=n_per_round or case.n_per_round,
        rounds=ROUNDS,
        chains=CHAINS,
        seed={"law": 1, "sample": 2}[engine],
        engine=engine,
        rejected=case.rejected or "drop",
        block_size=512,
    )
    assert dataset.attrs["engine"] == engine
    assert dataset.attrs["num_frozen"] == 0
    return {name: np.asarray(dataset[name]) for name in ("squared_error", "log_noise")}


@functools.cache
def plain(case: Case) -> dict[str, np.ndarray]:
    """As `simulated`, in NumPy: every row kept, every fit from all its rows."""
    rng = np.random.default_rng(3)
    coef, noise = TRUTH, NOISE
    x, y, weight = pool = _generate(rng, case, case.n_real, coef, noise, verified=False)
    counts = np.broadcast_to(case.n_per_round, (ROUNDS,))
    squared_error, log_noise = [], []
    for k in range(ROUNDS + 1):
        if k > 0:
            new = _generate(rng, case, counts[k - 1], coef, noise, verified=bool(case.rejected))
            pool = new if case.workflow == "replace" else _joined(pool, new)
            x, y, weight = pool
            if case.workflow == "subsample":
                wanted = counts[k - 1] * (DIM if case.design == "orthogonal" else 1)
                rank = np.where(weight > 0, rng.random(weight.shape), 2.0).argsort(axis=1).argsort(axis=1)
                weight = weight * (rank < wanted)
        gram = np.einsum("cni,cn,cnj->cij", x, weight, x)
        coef = np.linalg.solve(gram, np.einsum("cni,cn,cn->ci", x, weight, y)[..., None])[..., 0]
        rest = (weight * (y - np.einsum("cni,ci->cn", x, coef)) ** 2).sum(axis=1)
        noise = np.sqrt(rest / (weight.sum(axis=1) - DIM))
        squared_error.append(((coef - TRUTH) ** 2).sum(axis=1))
        log_noise.append(np.log(noise))
    return {"squared_error": np.stack(squared_error, axis=1), "log_noise": np.stack(log_noise, axis=1)}


def _generate(rng, case, count, coef, noise, verified):
    """Rows x (C, N, D), responses (C, N) and weights (C, N), 0 for rejected ones."""
    if case.design == "orthogonal":
        x = np.tile(np.eye(DIM), (CHAINS, count, 1))
    elif case.design == "fixed":
        x = np.tile(ROWS, (CHAINS, count // len(ROWS), 1))
    else:
        x = rng.standard_normal((CHAINS, count, DIM))
        x = x @ np.linalg.cholesky(COVARIANCE).T if case.design == "covariance" else x
    coef, noise = np.broadcast_to(coef, (CHAINS, DIM)), np.broadcast_to(noise, CHAINS)[:, None]
    mean = np.einsum("cni,ci->cn", x, coef)
    y = mean + noise * rng.standard_normal(mean.shape)
    if not verified:
        return x, y, np.ones_like(y)

    def accepted(y):
        return np.abs(y - x @ CENTER) <= RADIUS * np.linalg.norm(x, axis=2) + SLACK

    while case.rejected == "resample" and not accepted(y).all():
        y = np.where(accepted(y), y, mean + noise * rng.standard_normal(mean.shape))
    return x, y, accepted(y).astype(float)


def _joined(old, new):
    return tuple(np.concatenate(pair, axis=1) for pair in zip(old, new, strict=True))


def assert_same_process(first, second):
    """Both statistics at three rounds, the last step of the noise, and the last error in units of the noise."""
    for name in first:
        for k in (0, 1, ROUNDS):
            assert_same_distribution(first[name][:, k], second[name][:, k], RESOLUTION)
    steps = [arm["log_noise"][:, -1] - arm["log_noise"][:, -2] for arm in (first, second)]
    assert_same_distribution(*steps, RESOLUTION)
    ratios = [np.log(arm["squared_error"][:, -1]) - 2 * arm["log_noise"][:, -2] for arm in (first, second)]
    assert_same_distribution(*ratios, RESOLUTION)


@pytest.mark.parametrize("case", parameters(UNVERIFIED))
def test_engines_agree(case):
    assert_same_process(simulated(case, "law"), simulated(case, "sample"))


@pytest.mark.slow
@pytest.mark.parametrize("case", parameters(UNVERIFIED + VERIFIED))
def test_rows_agree_with_plain_numpy(case):
    assert_same_process(simulated(case, "sample"), plain(case))


@pytest.mark.parametrize("name", ["squared_error", "log_noise"])
def test_power(name):
    """Fewer rows in one engine are seen in either statistic."""
    case = UNVERIFIED[0]
    law, sample = simulated(case, "law", n_per_round=8), simulated(case, "sample")
    with pytest.raises(AssertionError, match="distribution functions differ"):
        assert_same_distribution(law[name][:, -1], sample[name][:, -1], RESOLUTION)


def test_no_law_for_a_subset_of_rows():
    with pytest.raises(ValueError, match="AccumulateSubsample chooses among rows"):
        sc.simulate(
            sc.linear_regression(2),
            sc.none(),
            sc.accumulate_subsample(),
            n_real=10,
            n_per_round=10,
            rounds=1,
            chains=1,
            seed=0,
            engine="law",
        )


def test_fixed_designs_of_any_number_of_rows_share_a_program_in_law(monkeypatch):
    made, compiled = [], blocks.compiled_block
    monkeypatch.setattr(blocks, "compiled_block", lambda static: made.append(compiled(static)) or made[-1])
    for n in (20, 33):
        rows = np.random.default_rng(n).normal(size=(n, 3))
        first = sc.simulate(
            sc.linear_regression(3, design="fixed", rows=rows), "none", "replace", n_real=n, n_per_round=n, rounds=1,
            chains=2000, seed=0, engine="law", block_size=500,
        ).squared_error[:, 0]  # fmt: skip
        assert_mean(first.values, np.trace(np.linalg.inv(rows.T @ rows)), resolution=0.1)
    assert len(set(map(id, made))) == 1 and made[0]._cache_size() == 1
