"""A discrete distribution: both engines against exact heterozygosity and survivors, and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import keys
from simcollapse.draws import multinomial
from simcollapse.laws import discrete_unverified
from tests.helpers import assert_mean, assert_same_distribution
from theory.workflows import discrete as theory

P = np.array([0.5, 0.2, 0.15, 0.1, 0.05, 0.0])
N, ROUNDS = 12, 6


def run(task, workflow="replace", engine="auto", *, n=N, rounds=ROUNDS, chains=4000, seed=0):
    return sc.simulate(
        task, sc.none(), workflow, n_real=n, n_per_round=n, rounds=rounds, chains=chains, seed=seed, engine=engine
    )  # fmt: skip


@pytest.mark.parametrize(
    ("workflow", "engine"),
    [
        ("replace", "law"),
        ("replace", "sample"),
        ("accumulate", "law"),
        pytest.param("accumulate", "sample", marks=pytest.mark.slow),
        ("accumulate_subsample", "law"),
        ("accumulate_subsample", "sample"),
    ],
)
def test_heterozygosity_and_survivors_are_exact(workflow, engine):
    result = run(sc.discrete(P), workflow, engine)
    expected = getattr(theory, f"{workflow}_heterozygosity_exact")(
        probabilities=P, n_real=N, n_per_round=N, rounds=ROUNDS
    )
    assert_mean(result.heterozygosity.values, expected, resolution=0.04)
    if workflow == "replace":
        alive = theory.replace_survivors_exact(probabilities=P, n_real=N, n_per_round=N, rounds=ROUNDS)
        assert_mean(result.survivors.values, alive, resolution=0.15)
    if workflow == "accumulate":
        alive = theory.accumulate_survivors_exact(probabilities=P, n_real=N, rounds=ROUNDS)
        assert_mean(result.survivors.values, alive, resolution=0.15)


@pytest.mark.parametrize("workflow", ["replace", "accumulate_subsample"])
def test_engines_agree(workflow):
    law, sample = (
        run(sc.discrete(P), workflow, engine, seed=i) for i, engine in enumerate(["law", "sample"])
    )
    np.testing.assert_array_equal(law.num_used, sample.num_used)
    for name in ("entropy", "total_variation", "squared_error", "survivors"):
        for k in (0, ROUNDS):
            # few values are possible: those that differ by rounding are one
            first, second = (np.round(result[name].values[:, k], 9) for result in (law, sample))
            assert_same_distribution(first, second, resolution=0.15)
    other = run(sc.discrete(P), workflow, "law", n=N + 6)
    with pytest.raises(AssertionError, match="distribution functions differ"):  # the test can fail
        assert_same_distribution(
            other.total_variation.values[:, -1], sample.total_variation.values[:, -1], resolution=0.15
        )


def test_subsamples_of_a_size_in_law():
    """The first fit sees all real draws, later ones `size` of the pool; larger ones than the pool see all of it."""
    few = run(sc.discrete(P), sc.accumulate_subsample(5), "law", chains=500)
    assert (np.round(few.heterozygosity.values[:, 1:] * 25) % 1 == 0).all()
    whole = run(sc.discrete(P), sc.accumulate_subsample(10**6), "law", chains=4000)
    expected = theory.accumulate_heterozygosity_exact(probabilities=P, n_real=N, n_per_round=N, rounds=ROUNDS)
    assert_mean(whole.heterozygosity.values, expected, resolution=0.04)
    with pytest.raises(ValueError, match="AccumulateSubsample chooses among rows"):
        run(sc.discrete(P), sc.accumulate_subsample(5, strategy="stratified"), "law", chains=2)
    with pytest.raises(ValueError, match="sums do not tell what it may choose"):
        sc.simulate(
            sc.gaussian(1), "none", "accumulate_subsample", n_real=9, n_per_round=9, rounds=1, chains=2, seed=0,
            engine="law",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "x64"),
    [(2, True), (6, False), *(pytest.param(100, x64, marks=pytest.mark.slow) for x64 in (True, False))],
)
def test_multinomial_counts_have_their_moments(outcomes, x64):
    weights = np.arange(1.0, outcomes + 1)
    weights[outcomes // 2] = 0
    p = weights / weights.sum()
    with jax.enable_x64(x64):
        draw = jax.jit(
            jax.vmap(lambda key: multinomial(key, jnp.asarray(200.0), jnp.asarray(p, dtype=float)))
        )
        counts = np.asarray(draw(jax.random.split(keys.root(3), 20_000)), dtype=float)
    assert (counts.sum(axis=1) == 200).all() and (counts == np.round(counts)).all() and counts.min() >= 0
    assert (counts[:, outcomes // 2] == 0).all()
    some = [outcomes - 2, outcomes - 1] if outcomes > 2 else [0]
    spread = 200 * p * (1 - p)
    if outcomes > 2:
        assert_mean(counts[:, some], 200 * p[some], resolution=2.0)
        first, last = (counts[:, i] - 200 * p[i] for i in some)
        assert_mean(first**2, spread[some[0]], resolution=0.2 * spread[some[0]])
        assert_mean(last**2, spread[some[1]], resolution=0.2 * spread[some[1]])
        cross = -200 * p[some[0]] * p[some[1]]
        assert_mean(first * last, cross, resolution=0.2 * np.sqrt(spread[some[0]] * spread[some[1]]))
    else:
        assert (counts[:, 0] == 200).all()


@pytest.mark.parametrize("x64", [pytest.param(True, marks=pytest.mark.slow), False])
def test_in_law_few_draws_and_many_have_their_moments(x64):
    """Chains side by side of which every other one makes too many draws to count each: both laws are multinomial."""
    p, numbers = np.array(P), np.array([30, 100_000])
    with jax.enable_x64(x64):
        draw = jax.jit(jax.vmap(discrete_unverified._counts, in_axes=(0, 0, None)))
        some = jnp.asarray(np.tile(numbers, 14_000), jnp.int32)
        counts = np.asarray(
            draw(jax.random.split(keys.root(5), len(some)), some, jnp.asarray(p, dtype=float))
        )
    counts = counts.astype(float).reshape(-1, 2, len(p))
    assert (counts.sum(axis=2) == numbers).all() and (counts == np.round(counts)).all()
    assert (counts[..., p == 0] == 0).all()
    p, counts = p[p > 0], counts[..., p > 0]
    z = (counts - numbers[:, None] * p) / np.sqrt(numbers[:, None] * p * (1 - p))
    assert_mean(z, np.zeros(z.shape[1:]), resolution=0.1)
    assert_mean(z**2, np.ones(z.shape[1:]), resolution=0.3)
    cross = -np.sqrt(p[0] * p[1] / ((1 - p[0]) * (1 - p[1])))
    assert_mean(z[:, :, 0] * z[:, :, 1], np.full(2, cross), resolution=0.1)


@pytest.mark.slow
def test_a_lost_outcome_stays_lost_and_leaves_no_divergence():
    result = run(sc.discrete(outcomes=50, zipf=1.0), "replace", n=60, rounds=30, chains=50)
    survivors = result.survivors.values
    assert (np.diff(survivors, axis=1) <= 0).all()
    np.testing.assert_array_equal(np.isnan(result.kl.values), survivors < 50)
    accumulated = run(sc.discrete(outcomes=50, zipf=1.0), "accumulate", n=60, rounds=30, chains=50)
    assert (accumulated.survivors.values == accumulated.survivors.values[:, :1]).all()


def test_verifiers_and_what_is_correct():
    """Correct are the most probable outcomes up to 95 %; a user's verifier sees the number of the outcome."""
    task = sc.discrete(P)
    np.testing.assert_array_equal(task.typical, [True, True, True, True, False, False])
    result = sc.simulate(
        task, lambda key, batch, model: batch.outcome != 1, "replace",
        n_real=4000, n_per_round=4000, rounds=1, chains=50, seed=1, record_model=True,
    ).isel(round=1)  # fmt: skip
    share = result.model_probability.values
    assert (share[:, 1] == 0).all()
    assert_mean(share[:, 0], 0.5 / 0.8, resolution=0.03)
    assert_mean(1 - result.p.values, 0.95, resolution=0.01)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sc.discrete(), ValueError, "exactly one of probabilities, outcomes and counts, got none"),
        (lambda: sc.discrete([0.5, 0.4]), ValueError, "probabilities must sum to 1, got 0.9"),
        (lambda: sc.discrete([1.5, -0.5]), ValueError, r"probabilities must be in \[0, 1\], got 1.5"),
        (
            lambda: sc.discrete("a"),
            TypeError,
            "probabilities must be a number or an array of numbers, got 'a'",
        ),
        (lambda: sc.discrete(outcomes=1), ValueError, "outcomes must be a whole number >= 2, got 1"),
        (lambda: sc.discrete(outcomes=5, zipf=-1), ValueError, "zipf must be positive"),
        (lambda: sc.discrete([0.5, 0.5], zipf=1), ValueError, "zipf goes with outcomes"),
        (lambda: sc.discrete(counts=[0, 0]), ValueError, "counts must not all be 0"),
        (lambda: sc.discrete(counts=[3, -1]), ValueError, "counts must be >= 0 and finite, got -1"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
