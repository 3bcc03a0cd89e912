"""The NumPy programs for classification make the same random process as the engine."""

import numpy as np
import pytest

from simcollapse.bench import mixtures
from simcollapse.bench.mixtures import MixtureCase
from tests.helpers import assert_mean, assert_same_distribution
from theory import breakdown

CHAINS = 1000
CASE = MixtureCase(3, 40)


@pytest.fixture(scope="module")
def engine():
    return CASE.simulate(CHAINS, seed=5)


def agree(outcome, result):
    for k in (0, 1, -1):
        ours, theirs = outcome.excess_risk[:, k], result["excess_risk"].values[:, k]
        assert_same_distribution(np.log(ours), np.log(theirs), resolution=0.25)
    for name in ("num_kept", "num_correct", "num_kept_correct"):
        rows = getattr(outcome, name)[:, 1:] - result[name].values[:, 1:]
        assert_mean(rows, 0, resolution=2.5)  # of 40 rows


@pytest.mark.slow
@pytest.mark.parametrize("program", ["loop", "vectorised"])
def test_the_numpy_programs_agree_with_the_engine(engine, program):
    rng = np.random.default_rng(7)
    if program == "loop":
        agree(mixtures.one_at_a_time(CASE, CHAINS, rng), engine)
    else:
        agree(mixtures.vectorised(CASE, CHAINS, rng, block=150), engine)


@pytest.mark.slow
def test_a_forgotten_verifier_would_be_seen(engine, monkeypatch):
    monkeypatch.setattr(mixtures, "PSI", mixtures.PHI)  # keeps wrong rows as gladly as right ones
    outcome = mixtures.vectorised(CASE, CHAINS, np.random.default_rng(8), block=150)
    with pytest.raises(AssertionError):
        agree(outcome, engine)


def test_both_numpy_programs_make_the_same_numbers_from_the_same_generator():
    loop = mixtures.one_at_a_time(CASE, 1, np.random.default_rng(3))
    vectorised = mixtures.vectorised(CASE, 1, np.random.default_rng(3), block=1)
    for one, other in zip(loop, vectorised, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_the_breakdown_point_lies_beyond_the_error_rate():
    assert breakdown.breakdown_point(mixtures.PHI, mixtures.PSI) > mixtures.WRONG + 0.3


def test_random_numbers_of_a_round_are_counted():
    assert (CASE.normals, CASE.uniforms) == (120, 120)
