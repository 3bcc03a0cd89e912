"""Rounds of a Gaussian mixture drawn from their law, and row by row: one process.

Two-sample tests of what a round leaves (fit and counts), with different seeds, so that the arms share nothing; and the
sums and counts of a round from their law against their exact moments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import chain
from simcollapse.laws import gaussian_mixture_independent as law
from tests.helpers import assert_mean, assert_same_distribution
from theory import breakdown

CHAINS, RESOLUTION = 6000, 0.12  # largest gap between two distribution functions that may go unseen
MU = np.array([0.9, -0.6])
COVARIANCE = np.array([[1.0, 0.6], [0.6, 2.0]])
MEANS = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.5]])


class Case(NamedTuple):
    task: sc.GaussianMixture
    verifier: object
    workflow: str
    sizes: tuple[int, int]  # n_real, n_per_round
    slow: bool = False


FLIPS = dict(generator=sc.flips(0.3))
CASES = {
    "two classes": Case(
        sc.gaussian_mixture(MU, penalty=0.2, **FLIPS), sc.bernoulli(0.9, 0.4), "replace", (15, 30)
    ),
    "three classes, intercept, covariance": Case(
        sc.gaussian_mixture(
            MEANS,
            covariance=COVARIANCE,
            shares=[0.2, 0.3, 0.5],
            intercept=True,
            generator=sc.flips([[0.7, 0.2, 0.1], [0.0, 0.8, 0.2], [0.3, 0.3, 0.4]]),
        ),
        sc.bernoulli(keep=[[0.9, 0.2, 0.1], [0.5, 0.8, 0.3], [0.3, 0.6, 1.0]]),
        "accumulate",
        (20, 25),
        slow=True,
    ),
    "fewer rows than dimensions": Case(
        sc.gaussian_mixture(np.full(20, 0.4), penalty=0.5, **FLIPS),
        sc.bernoulli(1.0, 0.5),
        "replace",
        (8, 18),
        slow=True,
    ),
    "averaging": Case(
        sc.gaussian_mixture(MU, covariance=[1.0, 3.0], learner="averaging", **FLIPS),
        sc.random(0.5),
        "accumulate",
        (10, 20),
        slow=True,
    ),
    "unbalanced": Case(
        sc.gaussian_mixture([MU, -0.5 * MU], shares=[0.8, 0.2], generator=sc.flips([0.1, 0.6]), penalty=0.1),
        sc.bernoulli([0.9, 0.5], [0.2, 0.7]),
        "replace",
        (15, 30),
        slow=True,
    ),
    "no verifier": Case(sc.gaussian_mixture(MU, **FLIPS), sc.none(), "accumulate", (10, 12), slow=True),
}


def simulated(case: Case, engine: str, n_per_round: int | None = None):
    result = sc.simulate(
        case.task,
        case.verifier,
        case.workflow,
        n_real=case.sizes[0],
        n_per_round=n_per_round or case.sizes[1],
        rounds=2,
        chains=CHAINS,
        seed={"law": 1, "sample": 2}[engine],
        engine=engine,
        record_model=True,
        block_size=512,
    )
    assert result.attrs["engine"] == engine
    assert result.attrs["num_frozen"] == 0
    return result


def statistics(result):
    """Named samples over chains: the fit's parts in each round, the counts of the last."""
    coef = result.model_coef.values.reshape(CHAINS, 3, -1)
    out = {"accuracy": result.accuracy.values[:, -1], "angle": result.angle.values[:, 1]}
    out |= {f"length {k}": np.linalg.norm(coef[:, k], axis=1) for k in range(3)}
    out |= {f"coef {i}": coef[:, -1, i] for i in range(min(coef.shape[2], 4))}
    last = result.isel(round=-1)
    for name in ("num_correct", "num_kept", "num_kept_correct"):
        out[name] = last[name].values.astype(float)
    assert (last.num_used == last.num_kept).all()
    # how counts and fit go together, about a fixed number: accuracies crowd at their largest value, where the small
    # difference of two sample means would show
    out["count and fit"] = (last.num_kept_correct - last.num_generated / 2) * out["accuracy"]
    return {name: np.asarray(value) for name, value in out.items()}


def parameters():
    return [pytest.param(n, marks=[pytest.mark.slow] if c.slow else []) for n, c in CASES.items()]


@pytest.mark.parametrize("name", parameters())
def test_engines_agree(name):
    first, second = (statistics(simulated(CASES[name], engine)) for engine in ("law", "sample"))
    for key in first:
        if np.ptp(first[key]) == np.ptp(second[key]) == 0:
            assert first[key][0] == second[key][0], key
        else:
            assert_same_distribution(first[key], second[key], RESOLUTION)
    fewer = statistics(simulated(CASES[name], "law", n_per_round=CASES[name].sizes[1] // 2))
    with pytest.raises(AssertionError, match="distribution functions differ"):  # the test can fail
        assert_same_distribution(fewer["num_kept_correct"], second["num_kept_correct"], RESOLUTION)


@pytest.mark.parametrize(
    "rows", [pytest.param(1000, marks=pytest.mark.slow), pytest.param(10**6, marks=pytest.mark.slow)]
)
def test_sums_of_a_round_have_their_moments(rows):
    """Counts, first and second moments of the kept rows of one round, at a size where rows could not be drawn."""
    case = CASES["three classes, intercept, covariance"]
    task, verifier = case.task, case.verifier
    loop = chain.Loop(task, verifier, sc.replace(), chain.Sampling(), law, None, 0, 0, False)
    state = chain.State(task.truth_model(), (), (), jnp.asarray(True), jnp.int32(0))
    empty = task.empty(task.truth_model())
    keys = jax.random.split(jax.random.key(rows), 6000)
    pool, counts = jax.jit(
        jax.vmap(lambda key: law.add_round(key, loop, state, empty, jnp.int32(rows), None))
    )(keys)

    joint = np.array([0.2, 0.3, 0.5])[:, None] * np.asarray(task.generator.p)
    kept = joint * np.asarray(verifier.keep)
    first = np.concatenate([MEANS, np.ones((3, 1))], axis=1)
    second = np.pad(COVARIANCE, (0, 1))
    gram = sum(kept[k].sum() * (np.outer(first[k], first[k]) + second) for k in range(3))
    code = np.asarray([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    cross = sum(kept[k, label] * np.outer(first[k], code[label]) for k in range(3) for label in range(3))
    scale = np.sqrt(rows)
    resolution = 0.6  # of the mean, in units of its order of magnitude for one round, sqrt(rows)
    assert_mean(
        np.asarray(pool.gram)[:, *np.tril_indices(3)] / scale, gram[np.tril_indices(3)] * scale, resolution
    )
    assert_mean(np.asarray(pool.cross) / scale, cross * scale, resolution)
    expected = rows * np.array([np.trace(joint), kept.sum(), np.trace(kept)])
    seen = np.stack([counts.correct, counts.kept, counts.kept_correct], axis=1)
    assert_mean(seen / scale, expected / scale, resolution)
    shares = expected / rows
    variance = (seen - expected) ** 2 / rows
    assert_mean(variance, shares * (1 - shares), resolution=0.06)
    np.testing.assert_array_equal(counts.kept, counts.used)
    np.testing.assert_allclose(pool.gram[:, -1, -1], counts.kept)  # the intercept's row counts the rows


@pytest.mark.slow
def test_a_million_rows_reach_the_step():
    """R1 at N = 10^6: accuracy jumps at the breakdown point (where rows could hardly be drawn)."""
    task = sc.gaussian_mixture(1.3 * np.eye(10)[0], **FLIPS)
    result = sc.sweep(
        task,
        sc.bernoulli(0.9, 0.4),
        "replace",
        over={"task.generator.p": [0.6, 0.69, 0.695, 0.8]},
        n_real=1000,
        n_per_round=10**6,
        rounds=1,
        chains=200,
        seed=0,
        engine="law",
    )
    seen = result.accuracy.isel(round=1).mean("chain").values
    best = float(breakdown.class_accuracy_limit(1.0, 1.3))
    np.testing.assert_allclose(seen[[0, 3]], [best, 1 - best], atol=2e-4)
    assert seen[1] > 0.75 and seen[2] < 0.25  # within half a percent of p* = 0.6923


def run(task, verifier=None, **options):
    sizes = {"n_real": 10, "n_per_round": 10, "rounds": 1, "chains": 1, "seed": 0, "engine": "law"} | options
    return sc.simulate(task, sc.oracle() if verifier is None else verifier, "replace", **sizes)


NO_LAW = [
    (
        lambda: run(sc.gaussian_mixture(MU), sc.linear(angle=0.1, alignment=1)),
        "Linear, whose verdict depends on",
    ),
    (lambda: run(sc.gaussian_mixture(MU, generator=sc.fitted())), r"Fitted depend on the features; .* flips"),
    (
        lambda: run(sc.gaussian_mixture(MU, learner="logistic", penalty=1)),
        "logistic regression sees every row",
    ),
    (lambda: run(sc.half_space(2)), "true labels that depend on the features leave no closed law"),
    (lambda: run(sc.gaussian_mixture(MU), fixed="kept"), "needs fixed='generated' and rejected='drop'"),
]


@pytest.mark.parametrize(("call", "words"), NO_LAW)
def test_no_law_where_selection_sees_the_features(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_counts_beyond_single_precision_have_no_law():
    with jax.enable_x64(False), pytest.raises(ValueError, match="more than 16777216 rows are not counted"):
        run(sc.gaussian_mixture(MU), n_per_round=2**24 + 1)
