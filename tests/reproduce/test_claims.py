import numpy as np
import pytest
import xarray as xr

from simcollapse.reproduce import claims
from simcollapse.reproduce.estimates import Estimate, over_chains, ratio, standard_error

WORDS = ("a statement", "a source", "a quantity")


def test_below_and_above_ask_for_three_standard_errors():
    assert claims.below(*WORDS, Estimate(-0.31, 0.1), 0.0).agrees
    assert not claims.below(*WORDS, Estimate(-0.29, 0.1), 0.0).agrees
    assert claims.above(*WORDS, Estimate(0.31, 0.1), 0.0).agrees
    assert not claims.above(*WORDS, Estimate(0.29, 0.1), 0.0).agrees


def test_a_claim_that_cannot_be_told_is_unclear_and_a_false_one_is_not():
    def verdicts(value):
        got = Estimate(value, 0.1)
        rows = (
            claims.below(*WORDS, got, 1.0),
            claims.above(*WORDS, got, 1.0),
            claims.within(*WORDS, got, 1.0, 0.25),
        )
        return [row.verdict for row in rows]

    assert verdicts(0.2) == ["yes", "NO", "NO"]
    assert verdicts(0.9) == ["unclear", "unclear", "unclear"]
    assert verdicts(1.0) == ["unclear", "unclear", "yes"]
    assert verdicts(1.8) == ["NO", "yes", "NO"]


def test_never_above_allows_for_the_number_of_comparisons():
    one, many = claims.z_limit(1), claims.z_limit(1000)
    assert 3.8 < one < 4 < many < 5.5  # normal quantiles of 1e-4 / 2 and 1e-7 / 2
    between = Estimate((one + many) / 2, 1.0)
    assert not claims.never_above(*WORDS, between, 0.0, 1).agrees
    assert claims.never_above(*WORDS, between, 0.0, 1000).agrees


def test_within_fails_for_an_estimate_too_coarse_to_tell():
    assert claims.within(*WORDS, Estimate(1.02, 0.01), 1.0, 0.05).agrees
    assert not claims.within(*WORDS, Estimate(1.04, 0.01), 1.0, 0.05).agrees
    assert not claims.within(*WORDS, Estimate(1.0, 0.03), 1.0, 0.05).agrees


def test_all_of_wants_some():
    assert claims.all_of("", "", "cells", 3, 3).agrees
    assert not claims.all_of("", "", "cells", 2, 3).agrees
    assert not claims.all_of("", "", "cells", 0, 0).agrees


@pytest.mark.parametrize("check", [claims.below, claims.above])
def test_a_value_that_is_not_a_number_never_agrees(check):
    assert not check(*WORDS, Estimate(float("nan"), 0.1), 0.0).agrees
    assert not claims.largest_z("", "", "", float("nan"), 10).agrees


@pytest.mark.parametrize(
    ("got", "percent", "text"),
    [
        (Estimate(0.98123, 0.0024), False, "0.981 ± 0.005"),
        (Estimate(-0.536, 0.0115), True, "-53.6 ± 2.3 %"),
        (Estimate(12.0, 3.0), False, "12.0 ± 6.0"),
        (Estimate(1.0, 0.0), False, "1.000000 ± 0.000000"),
    ],
)
def test_numbers_are_written_with_their_error(got, percent, text):
    assert claims.with_error(got, percent=percent) == text


def test_means_carry_their_covariance():
    random = np.random.default_rng(3)
    values = random.normal(size=(2, 500, 4)).cumsum(axis=-1) + 10
    data = over_chains(xr.DataArray(values, dims=("cell", "chain", "round")), "error")
    np.testing.assert_allclose(data["error"], values.mean(axis=1), rtol=1e-12)
    for cell in range(2):
        np.testing.assert_allclose(data["error_covariance"][cell], np.cov(values[cell].T) / 500, rtol=1e-10)
    np.testing.assert_allclose(
        standard_error(data, "error"), values.std(axis=1, ddof=1) / np.sqrt(500), rtol=1e-10
    )


def test_the_error_of_a_ratio_is_that_of_repeated_experiments():
    random = np.random.default_rng(4)
    shape = (2000, 200, 2)  # repetitions, chains, rounds; rounds share noise
    values = 5 + random.normal(size=shape) + 2 * random.normal(size=(*shape[:2], 1))
    repeated = values.mean(axis=1)
    spread = np.std(repeated[:, 1] / repeated[:, 0])
    got = ratio(over_chains(xr.DataArray(values[0], dims=("chain", "round")), "error"), "error", 1, 0)
    assert abs(got.value - 1) < 5 * spread
    # the error of an error from 200 chains is 5 %, of the spread from 2000 repetitions 2 %: 4 sigma
    assert abs(got.error / spread - 1) < 0.22
