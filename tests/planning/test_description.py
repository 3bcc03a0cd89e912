"""Descriptions of a pipeline: every error says which argument, what is allowed and what came."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import simcollapse as sc
from simcollapse.planning import describe

GOOD = {"dim": 3, "noise": 1.0, "n_real": 50, "n_per_round": 200, "radius": 1.0, "bias": 0.2}


def table(rows=40, columns=2, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, columns))
    return SimpleNamespace(X=x, y=1 + x.sum(axis=1) + random.normal(size=rows), source="made")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": 0.0}, r"noise must be positive and finite, got 0\.0"),
        ({"noise": math.nan}, "noise must be positive and finite, got nan"),
        ({"radius": -1.0}, "radius must be positive"),
        ({"radius": 0.0}, "radius must be positive"),
        ({"slack": -0.1}, "slack must be >= 0"),
        ({"dim": 0}, "dim must be a whole number >= 1, got 0"),
        ({"n_real": 0}, "n_real must be a whole number >= 1, got 0"),
        ({"n_real": 4, "design": "gaussian"}, "n_real must be a whole number >= 5, got 4"),
        ({"n_per_round": 0}, "n_per_round must be a whole number >= 1, got 0"),
        ({"n_per_round": [100, 200]}, "n_per_round must have one entry for each of 20 rounds, got 2"),
        ({"n_per_round": math.inf, "design": "gaussian"}, "n_per_round may be inf only on the orthogonal"),
        (
            {"n_per_round": math.inf, "workflow": "accumulate"},
            "n_per_round may be inf only on the orthogonal",
        ),
        ({"rounds": 0}, "rounds must be a whole number >= 1, got 0"),
        ({"bias": -0.1}, r"bias must be >= 0 and finite, got -0\.1"),
        ({"bias": [0.1, 0.2]}, r"bias must have shape \(3,\), got \(2,\)"),
        ({"bias": [0.1, math.inf, 0.0]}, r"bias must be finite, got inf at index \(1,\)"),
        ({"bias": None}, "exactly one of bias and trained_on with a verifier, got none"),
        (
            {"trained_on": 30},
            r"exactly one of bias and trained_on with a verifier, got \['bias', 'trained_on'\]",
        ),
        ({"bias": None, "trained_on": 0}, "trained_on must be a whole number >= 1, got 0"),
        ({"radius": None}, "bias goes with a verifier: give radius or slack too"),
        ({"workflow": "replacing"}, "workflow must be one of .* Did you mean 'replace'"),
        ({"design": "gausian"}, "design must be one of .* Did you mean 'gaussian'"),
        ({"rejected": "dropped"}, "rejected must be one of .* Did you mean 'drop'"),
        ({"subsample": 50}, "subsample belongs to 'accumulate_subsample', got workflow='replace'"),
        (
            {"subsample": 2, "workflow": "accumulate_subsample"},
            "subsample must be a whole number >= 3, got 2",
        ),
        ({"dim": None}, "dim must be given when there is no table"),
        ({"noise": None, "n_real": None}, "noise and n_real must be given when there is no table"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        describe(**(GOOD | change))


@pytest.mark.parametrize(("name", "value"), [("noise", "loud"), ("rounds", "many"), ("n_real", True)])
def test_a_value_of_the_wrong_kind_is_a_type_error(name, value):
    with pytest.raises(TypeError, match=f"{name} must be"):
        describe(**(GOOD | {name: value}))


def test_a_table_fixes_dimension_noise_and_sizes():
    made = describe(table=table(), slack=1.0, bias=0.1)
    assert (made.dim, made.n_real, made.n_per_round, made.design) == (3, 40, 40, "table")
    assert made.noise == pytest.approx(1.0, rel=0.3)
    assert made.bias_squared == pytest.approx(0.01)  # a shift of every prediction by 0.1
    with pytest.raises(ValueError, match="dim and noise must be left out with a table"):
        describe(table=table(), dim=3, noise=1.0)
    with pytest.raises(ValueError, match="n_per_round must be a multiple of the table's 40 rows, got 50"):
        describe(table=table(), n_per_round=50)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((40, 2, 1)), np.ones(40), r"X must have shape \(any, any\), got \(40, 2, 1\)"),
        (np.ones((40, 2)), np.ones(39), r"y must have shape \(40,\), got \(39,\)"),
        (np.full((40, 2), np.nan), np.ones(40), "X must be finite, got nan"),
        (np.eye(4, 2), np.full(4, np.inf), "y must be finite, got inf"),
        (np.eye(4, 2), np.ones(4), "X must have at least 5 rows for 3 coefficients, got 4"),
        (np.ones((40, 2)), np.ones(40), "full column rank 3, got rank 1"),
        (np.arange(40.0)[:, None], np.zeros(40), r"noise must be positive and finite, got 0\.0"),
    ],
)
def test_a_bad_table_is_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        describe(table=SimpleNamespace(X=x, y=y))


def test_the_last_count_of_a_schedule_goes_on():
    listed = describe(**(GOOD | {"n_per_round": [100, 50, 70], "rounds": 3}))
    assert listed.counts(5).tolist() == [100, 50, 70, 70, 70]
    assert listed.last_count == 70
    growing = describe(**(GOOD | {"n_per_round": sc.linear_growth(100, 10)}))
    assert growing.counts(3).tolist() == [100, 110, 120]
    assert growing.last_count == math.inf
    shrinking = describe(**(GOOD | {"n_per_round": sc.geometric_growth(1000, 0.8)}))
    assert shrinking.last_count == 1


def test_a_bias_norm_lies_along_the_diagonal():
    assert describe(**GOOD).bias_vector == pytest.approx(np.full(3, 0.2 / math.sqrt(3)))
    assert describe(**(GOOD | {"bias": None, "trained_on": 30})).bias_squared == pytest.approx(3 / 30)


def test_worth_inverts_the_error_of_a_fit():
    for design in ("orthogonal", "gaussian"):
        made = describe(**(GOOD | {"design": design}))
        assert made.worth(made.fit_error(77)) == pytest.approx(77)
