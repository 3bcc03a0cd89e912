"""The NumPy programs make the same random process as the engine."""

import numpy as np
import pytest

from simcollapse.bench import baselines
from simcollapse.bench.cases import Case
from tests.helpers import assert_mean, assert_same_distribution

CHAINS = 1000
ROUNDS_SEEN = (0, 1, -1)


@pytest.fixture(scope="module", params=["gaussian", "fixed"])
def case(request):
    return Case(request.param, 2, 40)


@pytest.fixture(scope="module")
def engine(case):
    return case.simulate(CHAINS, seed=5)


def agree(outcome, result):
    for k in ROUNDS_SEEN:
        squared = result["squared_error"].values[:, k]
        assert_same_distribution(np.log(outcome.squared_error[:, k]), np.log(squared), resolution=0.25)
        risk = np.log(result["excess_risk"].values[:, k])
        assert_mean(np.log(outcome.excess_risk[:, k]) - risk, 0, resolution=1.0)
    for name in ("num_kept", "num_correct", "num_kept_correct"):
        rows = getattr(outcome, name)[:, 1:] - result[name].values[:, 1:]
        assert_mean(rows, 0, resolution=2.5)  # of 40 rows


@pytest.mark.parametrize("fit", [baselines.pseudo_inverse, baselines.pseudo_inverse_gram, baselines.solve])
def test_the_plain_loop_agrees_with_the_engine(case, engine, fit):
    agree(baselines.one_at_a_time(case, CHAINS, np.random.default_rng(7), fit), engine)


def test_the_vectorised_program_agrees_with_the_engine(case, engine):
    agree(baselines.vectorised(case, CHAINS, np.random.default_rng(8), block=150), engine)


def test_a_forgotten_verifier_would_be_seen(case, engine):
    forgetful = Case(case.design, case.dim, case.n, verified=False)
    outcome = baselines.vectorised(forgetful, CHAINS, np.random.default_rng(8), block=150)
    with pytest.raises(AssertionError, match="distribution functions differ"):
        agree(outcome, engine)


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("design", ["gaussian", "fixed"])
def test_both_numpy_programs_make_the_same_numbers_from_the_same_generator(design, verified):
    case = Case(design, 3, 30, verified)
    loop = baselines.one_at_a_time(case, 1, np.random.default_rng(3), baselines.solve)
    vectorised = baselines.vectorised(case, 1, np.random.default_rng(3), block=1)
    for one, other in zip(loop, vectorised, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)  # sums in another order, twenty rounds of it


def test_unverified_errors_add_up(case):
    """The fit is a random walk: E|error|² after k + 1 fits is (k + 1) E tr (X'X)^-1."""
    plain = Case(case.design, case.dim, case.n, verified=False)
    outcome = baselines.vectorised(plain, 10 * CHAINS, np.random.default_rng(9), block=500)
    one_fit = (
        case.dim / (case.n - case.dim - 1)  # inverse Wishart
        if case.design == "gaussian"
        else np.trace(np.linalg.inv(case.rows.T @ case.rows))
    )
    assert_mean(outcome.squared_error[:, :6] / one_fit, np.arange(1, 7), resolution=1.0)


def test_blocks_split_the_chains_without_losing_one(case):
    outcome = baselines.vectorised(case, 7, np.random.default_rng(0), block=3)
    assert outcome.squared_error.shape == (7, case.rounds + 1)
    assert np.all(outcome.squared_error > 0)
