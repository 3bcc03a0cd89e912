"""Discrete distribution without a verifier: printed values, identities, enumeration, simulation."""

import numpy as np
import pytest
from scipy.stats import binom

from tests.helpers import assert_mean, assert_proportion
from theory.workflows import discrete

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits

DISTRIBUTIONS = {
    "unif6": np.full(6, 1 / 6),
    "unif10": np.full(10, 1 / 10),
    "unif50": np.full(50, 1 / 50),
    "unif1000": np.full(1000, 1 / 1000),
    "zipf20": 1 / np.arange(1, 21) / np.sum(1 / np.arange(1, 21)),
    "bin.5": np.array([0.5, 0.5]),
    "bin.3": np.array([0.3, 0.7]),
    "bin.2": np.array([0.2, 0.8]),
    "bin.1": np.array([0.1, 0.9]),
    "bin.05": np.array([0.05, 0.95]),
}
# WORKFLOWS.md section 4, theory column; its k counts fits from 1. distribution, n, k, value
PRINTED = {
    "replace_heterozygosity_exact": [
        ("unif6", 10, 1, 0.75),
        ("unif50", 10, 1, 0.882),
        ("zipf20", 10, 1, 0.78902),
        ("zipf20", 40, 30, 0.41019),
        ("bin.2", 40, 30, 0.14972),
    ],
    "accumulate_heterozygosity_exact": [
        ("zipf20", 10, 1, 0.78902),
        ("zipf20", 40, 30, 0.84176),
        ("bin.2", 40, 30, 0.30725),
    ],
    "accumulate_subsample_heterozygosity_exact": [
        ("unif6", 10, 1, 0.75),
        ("unif6", 40, 10, 0.77948),
        ("unif50", 40, 2, 0.93751),
        ("zipf20", 10, 10, 0.66609),
        ("bin.2", 10, 2, 0.26602),
        ("bin.2", 40, 15, 0.29864),
    ],
    "replace_survivors_exact": [
        ("unif6", 10, 1, 5.031),
        ("unif6", 40, 15, 3.5793),
        ("unif50", 10, 1, 9.1464),
        ("unif50", 40, 2, 20.088),
        ("zipf20", 10, 15, 1.5001),
        ("zipf20", 40, 1, 13.85),
        ("bin.2", 10, 2, 1.7603),
        ("bin.2", 40, 1, 1.9999),
        ("bin.2", 40, 30, 1.4354),
    ],
}
SURVIVORS = [("unif6", 10, 5.031), ("unif50", 10, 9.1464), ("zipf20", 10, 6.5377), ("bin.2", 10, 1.8926)]
UNFIXED = [("bin.5", 10, 10, 0.5349), ("bin.1", 100, 31, 0.51482), ("unif6", 50, 75, 0.49439)]
FIXATION = [  # distribution, n, its E T (one more than ours), diffusion
    ("bin.5", 10, 12.591, 13.863),
    ("bin.5", 20, 26.229, 27.726),
    ("bin.3", 50, 59.375, 61.086),
    ("bin.1", 100, 63.454, 65.017),
    ("bin.05", 30, 11.028, 11.911),
    ("unif6", 20, 34.797, 36.464),
    ("unif6", 50, 89.193, 91.161),
    ("unif50", 50, 96.971, 98.993),
    ("unif10", 100, 187.43, 189.65),
    ("unif1000", 100, 197.64, 199.9),
]


def same_size(name, n, rounds):
    return dict(probabilities=DISTRIBUTIONS[name], n_real=n, n_per_round=n, rounds=rounds)


@pytest.mark.parametrize(
    ("function", "row"), [(function, row) for function, rows in PRINTED.items() for row in rows]
)
def test_paths_printed(function, row):
    name, n, k, value = row
    got = getattr(discrete, function)(**same_size(name, n, k - 1))
    assert got.shape == (k,)
    assert got[-1] == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("name", "n", "value"), SURVIVORS)
def test_accumulate_survivors_printed(name, n, value):
    got = discrete.accumulate_survivors_exact(probabilities=DISTRIBUTIONS[name], n_real=n, rounds=3)
    np.testing.assert_allclose(got, np.full(4, value), rtol=LAST_DIGIT)


@pytest.mark.parametrize(("name", "n", "k", "value"), UNFIXED)
def test_fixed_by_a_round_printed(name, n, k, value):
    unfixed = discrete.replace_unfixed_exact(**same_size(name, n, k - 1))
    assert 1 - unfixed[-1] == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("name", "n", "exact", "diffusion"), FIXATION)
def test_fixation_time_printed(name, n, exact, diffusion):
    p = DISTRIBUTIONS[name]
    got = discrete.replace_fixation_time_exact(probabilities=p, n_real=n, n_per_round=n)
    assert got + 1 == pytest.approx(exact, rel=LAST_DIGIT)
    got = discrete.replace_fixation_time_asymptotic(probabilities=p, n_per_round=n)
    assert got == pytest.approx(diffusion, rel=LAST_DIGIT)


@pytest.mark.parametrize(("n_real", "n"), [(7, 7), (12, 5), (3, 8), (4, 1), (1, 3)])
def test_two_outcomes_match_the_full_chain(n_real, n):
    """Wright-Fisher chain on the count of outcome 1: its transition matrix gives every result."""
    p, rounds = 0.3, 12
    law, size = binom.pmf(np.arange(n_real + 1), n_real, p), n_real
    het, unfixed = [], []
    for _ in range(rounds + 1):
        share = np.arange(size + 1) / size
        het.append(law @ (2 * share * (1 - share)))
        unfixed.append(law[1:-1].sum())
        law = law @ binom.pmf(np.arange(n + 1), n, share[:, None])
        size = n
    arguments = dict(probabilities=[p, 1 - p], n_real=n_real, n_per_round=n, rounds=rounds)
    rounding = dict(rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(discrete.replace_heterozygosity_exact(**arguments), het, **rounding)
    np.testing.assert_allclose(discrete.replace_unfixed_exact(**arguments), unfixed, **rounding)
    np.testing.assert_allclose(
        discrete.replace_survivors_exact(**arguments), 1 + np.array(unfixed), rtol=1e-12
    )


@pytest.mark.parametrize(("n_real", "n"), [(9, 9), (30, 6), (4, 12), (5, 1), (1, 4)])
def test_fixation_time_is_the_sum_of_the_tail(n_real, n):
    arguments = dict(probabilities=[0.2, 0.3, 0.5], n_real=n_real, n_per_round=n)
    tail = discrete.replace_unfixed_exact(**arguments, rounds=600)  # (1 - 1/12)^600 is 1e-23
    time = discrete.replace_fixation_time_exact(**arguments)
    assert time == pytest.approx(tail.sum(), rel=1e-12)


def test_unfixed_tail_keeps_its_relative_accuracy():
    tail = discrete.replace_unfixed_exact(probabilities=[0.25] * 4, n_real=20, n_per_round=20, rounds=12_000)
    assert tail[-1] < 1e-260
    np.testing.assert_allclose(tail[-100:] / tail[-101:-1], 1 - 1 / 20, rtol=1e-11)


def test_survivors_follow_two_n_over_k():
    rounds = 30
    path = discrete.replace_survivors_exact(
        probabilities=np.full(20_000, 1 / 20_000), n_real=600, n_per_round=600, rounds=rounds
    )
    assert path[-1] == pytest.approx(2 * 600 / (rounds + 1), rel=0.06)  # 1/k and k/n corrections


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_accumulate_equal_counts_limit_is_the_sine(n):
    limit = discrete.accumulate_heterozygosity_limit(probabilities=[0.5, 0.5], n_real=n, n_per_round=n)
    assert limit == pytest.approx(0.5 * np.sinc(n**-0.5), rel=1e-13, abs=1e-16)


@pytest.mark.parametrize(("n_real", "n"), [(2, 7), (10, 10), (300, 4), (25, 1)])
def test_accumulate_tends_to_its_limit(n_real, n):
    arguments = dict(probabilities=[0.2, 0.3, 0.5], n_real=n_real, n_per_round=n)
    path = discrete.accumulate_heterozygosity_exact(**arguments, rounds=100_000)
    limit = discrete.accumulate_heterozygosity_limit(**arguments)
    assert path[-1] == pytest.approx(limit, rel=3e-5)  # what is left is about 1/(n k)
    assert path[-1] > limit
    assert np.all(path >= 0.62 * (1 - 2 / n_real))


def test_polya_urn():
    limit = discrete.accumulate_heterozygosity_limit(probabilities=[0.5, 0.5], n_real=30, n_per_round=1)
    assert limit == pytest.approx(0.5 * 29 / 31, rel=1e-13)


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_subsample_equal_counts_and_limit(n):
    arguments = dict(probabilities=[0.2, 0.3, 0.5], n_per_round=n)
    path = discrete.accumulate_subsample_heterozygosity_exact(**arguments, n_real=n, rounds=50_000)
    j = np.arange(2, 50_002)
    product = 0.62 * (1 - 1 / n) * np.cumprod(1 - (3 * n - 1) / (n * j * (n * j - 1)))
    np.testing.assert_allclose(path[1:], product, rtol=1e-10)
    limit = discrete.accumulate_subsample_heterozygosity_limit(**arguments)
    assert path[-1] == pytest.approx(limit, rel=1e-4)  # what is left is about 3/k


def test_subsample_first_order_plateau():
    n = 10**6
    limit = discrete.accumulate_subsample_heterozygosity_limit(probabilities=[0.5, 0.5], n_per_round=n)
    assert (1 - limit / 0.5) * n == pytest.approx(np.pi**2 / 2 - 2, rel=1e-4)
    assert discrete.accumulate_subsample_heterozygosity_limit(probabilities=[0.5, 0.5], n_per_round=1) == 0


def test_subsample_of_everything_is_accumulate():
    arguments = dict(probabilities=[0.2, 0.3, 0.5], n_real=9, n_per_round=[4, 30, 1, 8], rounds=4)
    whole_pool = discrete.accumulate_subsample_heterozygosity_exact(**arguments, budget=52)
    np.testing.assert_allclose(whole_pool, discrete.accumulate_heterozygosity_exact(**arguments), rtol=1e-13)


def _draw(rng, shares, n):
    """Outcomes of n draws in each chain, shape (C, n), from shares of shape (C, m)."""
    edges = np.cumsum(shares, axis=1)[:, None, :-1]
    return (rng.random((len(shares), n))[..., None] > edges).sum(axis=2)


def _shares(outcomes, m):
    return (outcomes[..., None] == np.arange(m)).mean(axis=1)


def test_unequal_counts_match_simulation():
    """Each workflow with its own counts; false-alarm rate 1e-6 per call."""
    rng, chains, p, sizes, budget = (
        np.random.default_rng(41),
        60_000,
        np.array([0.15, 0.25, 0.6]),
        [9, 4, 7, 12],
        6,
    )
    found = {"replace": [], "accumulate": [], "accumulate_subsample": []}
    for workflow, path in found.items():
        shares, pool = np.tile(p, (chains, 1)), np.empty((chains, 0), dtype=int)
        for n in sizes:
            drawn = _draw(rng, shares, n)
            pool = drawn if workflow == "replace" else np.hstack([pool, drawn])
            fitted = rng.permuted(pool, axis=1)[:, :budget] if workflow == "accumulate_subsample" else pool
            shares = _shares(fitted, 3)
            path.append(shares)
    arguments = dict(probabilities=p, n_real=9, n_per_round=[4, 7, 12], rounds=3)
    different = {name: 1 - (np.array(path) ** 2).sum(axis=2) for name, path in found.items()}
    for name, samples in different.items():
        extra = {"budget": budget} if name == "accumulate_subsample" else {}
        function = getattr(discrete, f"{name}_heterozygosity_exact")
        assert_mean(samples.T, function(**arguments, **extra), 0.015)
    alive = (np.array(found["replace"]) > 0).sum(axis=2)
    assert_mean(alive.T, discrete.replace_survivors_exact(**arguments), 0.03)
    assert_proportion((alive > 1).sum(axis=1), chains, discrete.replace_unfixed_exact(**arguments), 0.025)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": [0.5, 0.4]}, "probabilities must be numbers with sum 1, got sum 0.9"),
        ({"probabilities": [1.5, -0.5]}, "probabilities must be >= 0 and finite"),
        ({"probabilities": 1.0}, "probabilities must be a vector of shape"),
        ({"n_real": 0}, "n_real must be an integer >= 1, got 0"),
        ({"n_per_round": 2.5}, "n_per_round must be an integer >= 1, or inf, got 2.5"),
        ({"n_per_round": np.inf}, "n_per_round must be finite, got inf"),
        ({"n_per_round": [3, 4, 5]}, "n_per_round must be one number or one for each of 2 rounds"),
        ({"rounds": -1}, "rounds must be an integer >= 0, got -1"),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    arguments = dict(probabilities=[0.5, 0.5], n_real=5, n_per_round=5, rounds=2)
    with pytest.raises(ValueError, match=message):
        discrete.replace_survivors_exact(**{**arguments, **changes})


def test_subsample_needs_two_real_points():
    arguments = dict(probabilities=[0.5, 0.5], n_per_round=5, rounds=2)
    with pytest.raises(ValueError, match="n_real must be an integer >= 2, got 1"):
        discrete.accumulate_subsample_heterozygosity_exact(**arguments, n_real=1)
    with pytest.raises(ValueError, match="budget must be an integer >= 1, got 0"):
        discrete.accumulate_subsample_heterozygosity_exact(**arguments, n_real=5, budget=0)


def test_one_certain_outcome():
    arguments = dict(probabilities=[1.0, 0.0], n_real=5, n_per_round=5)
    np.testing.assert_array_equal(discrete.replace_survivors_exact(**arguments, rounds=2), np.ones(3))
    assert discrete.replace_fixation_time_exact(**arguments) == 0
    assert discrete.replace_fixation_time_asymptotic(probabilities=[1.0], n_per_round=5) == 0
