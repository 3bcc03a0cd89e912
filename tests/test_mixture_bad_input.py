"""Every message names the argument, what is allowed and what came."""

import math

import numpy as np
import pytest

import simcollapse as sc

MU = [1.0, 0.5, 0.0]
TASK = sc.gaussian_mixture(MU, generator=sc.flips(0.3))


def run(task=TASK, verifier=None, **options):
    sizes = {"n_real": 10, "n_per_round": 10, "rounds": 1, "chains": 2, "seed": 0} | options
    return sc.simulate(task, sc.oracle() if verifier is None else verifier, sc.replace(), **sizes)


def grid(over, task=TASK, verifier=None):
    verifier = sc.bernoulli(0.9, 0.4) if verifier is None else verifier
    return sc.sweep(
        task, verifier, "replace", over=over, n_real=10, n_per_round=10, rounds=1, chains=2, seed=0
    )


THREE = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]

BAD_VALUES = [
    (lambda: sc.bernoulli(0, 0), "verifier.phi and verifier.psi must not both be 0.*got phi=0.0, psi=0.0"),
    (lambda: sc.bernoulli(1.2, 0.1), r"verifier.phi must be in \[0, 1\], got 1.2"),
    (lambda: sc.bernoulli(0.9, -0.1), r"verifier.psi must be in \[0, 1\], got -0.1"),
    (lambda: sc.bernoulli(0.9), r"either phi and psi or keep, got \['phi'\]"),
    (lambda: sc.bernoulli(keep=np.zeros((2, 2))), "verifier.keep must have a positive entry"),
    (lambda: sc.bernoulli(keep=[0.5, 0.5]), r"keep must have shape \(K, K\), got \(2,\)"),
    (
        lambda: run(verifier=sc.bernoulli([0.9] * 3, [0.1] * 3)),
        r"verifier.phi must have shape \(2,\), got \(3,\)",
    ),
    (
        lambda: run(sc.linear_regression(2), sc.bernoulli(keep=np.eye(2))),
        "verifier.keep must be one number for a regr",
    ),
    (lambda: grid({"verifier.phi": [0.0], "verifier.psi": [0.0]}), "must not both be 0"),
    (lambda: sc.oracle(1.5), r"verifier.error must be in \[0, 1\], got 1.5"),
    (lambda: sc.random(0), r"verifier.rate must be in \(0, 1\], got 0"),
    (lambda: sc.confidence(0), r"verifier.share must be in \(0, 1\], got 0"),
    (lambda: sc.confidence(math.nan), r"verifier.share must be in \(0, 1\], got nan"),
    (
        lambda: run(verifier=sc.confidence(0.5)),
        "verifier.by must be a linear verifier: the generator Flips is no surer",
    ),
    (
        lambda: run(verifier=sc.confidence(0.5, by=sc.linear(angle=0.1)), fixed="kept"),
        "needs fixed='generated' and rejected='drop', got fixed='kept'",
    ),
    (lambda: sc.flips(1.01), r"generator.p must be in \[0, 1\], got 1.01"),
    (lambda: sc.flips([0.1, -0.2]), r"generator.p must be in \[0, 1\], got -0.2 at index \(1,\)"),
    (lambda: sc.flips(math.nan), r"generator.p must be in \[0, 1\], got nan"),
    (
        lambda: sc.gaussian_mixture(MU, generator=sc.flips([0.1] * 3)),
        r"task.generator.p must have shape \(2,\)",
    ),
    (
        lambda: sc.gaussian_mixture(MU, generator=sc.flips([[0.9, 0.2], [0.1, 0.9]])),
        r"each row of task.generator.p must sum to 1, got sums \[1.1 1. \]",
    ),
    (lambda: grid({"task.generator.p": [0.5, 2.0]}), r"task.generator.p must be in \[0, 1\], got 2"),
    (lambda: sc.linear_labels(angle=3.2), r"generator.angle must be in \[0, pi\] radians, got 3.2"),
    (lambda: sc.linear_labels(angle=-0.1), r"generator.angle must be in \[0, pi\] radians, got -0.1"),
    (lambda: sc.linear_labels(), "exactly one of angle and direction, got none"),
    (lambda: sc.fresh_linear_labels(4), r"generator.angle must be in \[0, pi\]"),
    (
        lambda: sc.gaussian_mixture(MU, generator=sc.linear_labels(direction=[1.0, 2.0])),
        r"task.generator.direction must have shape \(3,\), got \(2,\)",
    ),
    (
        lambda: sc.gaussian_mixture(MU, generator=sc.linear_labels(direction=[0.0] * 3)),
        "task.generator.direction must not be zero",
    ),
    (
        lambda: sc.half_space(1, generator=sc.linear_labels(angle=0.3)),
        "angle must be 0 or pi in one dimension",
    ),
    (
        lambda: sc.gaussian_mixture(THREE, generator=sc.fresh_linear_labels(0.1)),
        "task.generator draws a rule for every row, which needs 2 classes, got 3",
    ),
    (lambda: sc.linear(angle=4), r"verifier.angle must be in \[0, pi\] radians, got 4"),
    (lambda: sc.linear([0.0, 0.0]), "verifier.direction must not be zero"),
    (lambda: sc.linear(), "exactly one of direction, angle and trained_on, got none"),
    (lambda: sc.linear([1.0], angle=0.1), r"exactly one of .*, got \['direction', 'angle'\]"),
    (lambda: sc.linear(angle=0.1, alignment="sane"), "alignment must be one of.*Did you mean 'same'"),
    (lambda: sc.linear(angle=0.1, alignment=2), r"verifier.alignment must be in \[-1, 1\], got 2"),
    (lambda: run(verifier=sc.linear([1.0, 2.0])), r"verifier.direction must have shape \(3,\), got \(2,\)"),
    (
        lambda: run(sc.half_space(2), sc.linear(angle=0.3)),
        "verifier.alignment must be 'same' or 'opposite' for 2 coefficients",
    ),
    (lambda: run(verifier=sc.linear(trained_on=3)), "verifier.trained_on must be >= 4 for this task, got 3"),
    (lambda: sc.gaussian_mixture([0.0, 0.0]), r"task.means must not be zero.*got \[0. 0.\].*half_space"),
    (lambda: grid({"task.means": [[0.0, 0.0, 0.0]]}), "task.means must not be zero"),
    (lambda: sc.gaussian_mixture([[1.0, 1.0]] * 3), "task.means must not all be at one place"),
    (lambda: sc.gaussian_mixture([[1.0, 1.0]]), "task.means must have at least 2 classes, got 1"),
    (lambda: sc.gaussian_mixture(2.0), r"means must have shape \(D,\) or \(K, D\), got \(\)"),
    (lambda: sc.gaussian_mixture([math.inf]), "means must be finite"),
    (lambda: sc.gaussian_mixture(MU, shares=[0.5, 0.6]), "task.shares must sum to 1"),
    (lambda: sc.gaussian_mixture(MU, shares=[1.0]), r"task.shares must have shape \(2,\), got \(1,\)"),
    (lambda: sc.gaussian_mixture(MU, shares=[0.0, 1.0]), r"task.shares must be in \(0, 1\], got 0"),
    (lambda: sc.gaussian_mixture(MU, covariance=0), "covariance must be positive"),
    (
        lambda: sc.gaussian_mixture(MU, covariance=[1.0, 2.0]),
        r"covariance must have shape \(3,\), got \(2,\)",
    ),
    (lambda: sc.gaussian_mixture(MU, covariance=-np.eye(3)), "covariance must be positive definite"),
    (lambda: sc.gaussian_mixture(MU, penalty=-1), r"task.penalty must be >= 0 \(inf allowed\), got -1"),
    (lambda: sc.gaussian_mixture(MU, learner="rigde"), "task.learner must be one of.*Did you mean 'ridge'"),
    (lambda: sc.gaussian_mixture(MU, loss="total"), "task.loss must be one of"),
    (lambda: sc.gaussian_mixture(MU, labels="byes"), "task.labels must be one of.*Did you mean 'bayes'"),
    (
        lambda: sc.gaussian_mixture(MU, learner="logistic"),
        "task.penalty must be positive and finite for learner='log",
    ),
    (
        lambda: sc.gaussian_mixture(MU, learner="averaging", intercept=True),
        "task.intercept must be False for averaging",
    ),
    (
        lambda: sc.gaussian_mixture(MU, penalty=math.inf, intercept=True),
        "task.intercept must be False for averaging",
    ),
    (lambda: sc.gaussian_mixture(THREE, test_points=1000), "test_points must be a power of 2, got 1000"),
    (lambda: sc.half_space([0.0, 0.0]), "direction must not be zero"),
    (lambda: sc.half_space(0), "direction must be a whole number >= 1, got 0"),
    (lambda: run(n_per_round=2), "n_per_round must be >= 3 to fit 3 coefficients, got 2"),
    (
        lambda: run(verifier=sc.knowledge_ball(bias=1, radius=1)),
        "KnowledgeBall judges rows of a regression task, got the",
    ),
    (
        lambda: run(sc.linear_regression(3), sc.linear(angle=0.1)),
        "Linear judges rows of a classification task",
    ),
]


@pytest.mark.parametrize(("call", "words"), BAD_VALUES)
def test_bad_value_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


BAD_KINDS = [
    (lambda: sc.gaussian_mixture(MU, generator=0.3), "generator must be a generator such as flips"),
    (lambda: sc.gaussian_mixture(MU, intercept=1), "task.intercept must be True or False, got 1"),
    (lambda: sc.gaussian_mixture(MU, learner=3), "task.learner must be a word, got 3"),
    (lambda: sc.confidence(0.5, by=sc.oracle()), "by must be a linear verifier"),
    (lambda: sc.bernoulli("often", 0.1), "phi must be a number or an array of numbers, got 'often'"),
]


@pytest.mark.parametrize(("call", "words"), BAD_KINDS)
def test_bad_kind_is_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_nothing_kept_freezes_and_says_so():
    """An oracle and a generator that is always wrong."""
    with pytest.warns(UserWarning, match="nothing kept"):
        result = run(sc.gaussian_mixture(MU, generator=sc.flips(1.0)))
    assert not result.alive.isel(round=1).any()
    np.testing.assert_array_equal(result.accuracy.isel(round=1), result.accuracy.isel(round=0))
