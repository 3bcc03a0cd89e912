"""The measured cases are what they claim to be."""

import numpy as np
import pytest
import xarray as xr

from simcollapse.bench import baselines, cases
from simcollapse.bench.cases import Case


def test_sizes_without_least_squares_are_left_out_with_the_reason():
    made, skipped = cases.grid((1, 100), (100, 1000), True, ("gaussian",))
    assert [case.name for case in made] == [
        "gaussian, d=1, n=100",
        "gaussian, d=1, n=1000",
        "gaussian, d=100, n=1000",
    ]
    assert skipped == [
        {
            "case": "gaussian, d=100, n=100",
            "reason": "least squares on 100 coefficients needs n >= d + 1 = 101 rows",
        }
    ]


@pytest.mark.parametrize("design", ["gaussian", "fixed"])
@pytest.mark.parametrize(("dim", "n"), [(1, 100), (10, 100), (30, 200)])
def test_about_half_of_the_rows_are_accepted(design, dim, n):
    case = Case(design, dim, n)
    outcome = baselines.vectorised(case, 50, np.random.default_rng(0), block=50)
    assert 0.4 < outcome.num_kept[:, 1:].mean() / n < 0.6


def test_a_frozen_chain_stops_the_benchmark(monkeypatch):
    alive = xr.DataArray([[True, True], [True, False]], dims=("chain", "round"))
    monkeypatch.setattr(cases.sc, "simulate", lambda *args, **options: xr.Dataset({"alive": alive}))
    with pytest.raises(RuntimeError, match="a chain froze in the case gaussian, d=2, n=20"):
        Case("gaussian", 2, 20).simulate(2)


def test_random_numbers_of_a_round_are_counted():
    assert Case("gaussian", 10, 100).normals == 1100
    assert Case("fixed", 10, 100).normals == 100
