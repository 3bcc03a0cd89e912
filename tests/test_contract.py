"""Every task, verifier and workflow keeps the same promises: shapes, bits, one compilation, distinct chains."""

import typing

import jax
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import blocks, engine, tasks, verifiers, workflows
from tests.contract import KINDS, TASKS, VERIFIERS, WORKFLOWS

SIZES = {"n_real": 40, "n_per_round": 40, "rounds": 3}


def _combinations():
    """Each row once, beside the plainest of the other two."""
    for name, task in TASKS.items():
        yield name, KINDS[task.kind][1], "replace"
    for name, verifier in VERIFIERS.items():
        task, plain, *_ = KINDS[getattr(verifier, "kind", "regression")]
        if name != plain:
            yield task, name, "accumulate"
    for name in WORKFLOWS:
        if name != "replace":
            yield "orthogonal", "biased ball", name
            yield "retrained", "linear", name


# One row of each kind in the fast run; each of the others compiles three programs of its own.
FAST = {"gaussian", "orthogonal", "fixed", "mixture", "gaussian fit", "discrete"}
FAST_VERIFIERS = {
    "none",
    "biased ball",
    "trained ball",
    "function",
    "host function",
    "linear",
    "random",
    "confidence",
}
FAST_WORKFLOWS = {"replace", "accumulate", "accumulate_subsample", "fresh real"}


def _parameters():
    for names in _combinations():
        fast = names[0] in FAST and names[1] in FAST_VERIFIERS and names[2] in FAST_WORKFLOWS
        yield pytest.param(names, id=", ".join(names), marks=[] if fast else [pytest.mark.slow])


@pytest.mark.parametrize("names", list(_parameters()))
def test_promises(names):
    choices = TASKS[names[0]], VERIFIERS[names[1]], WORKFLOWS[names[2]]
    result = sc.simulate(*choices, **SIZES, chains=24, seed=1, block_size=8, record_model=True)
    before = blocks.compiled_block.cache_info().misses
    again = sc.simulate(*choices, **SIZES, chains=24, seed=1, block_size=8, record_model=True)
    assert blocks.compiled_block.cache_info().misses == before, "compiled twice for one structure"
    assert result.identical(again), "the same key gave other bits"

    metric, axis = KINDS[choices[0].kind][2:]
    assert {("chain", 24), ("round", 4), axis} <= set(result.sizes.items())
    assert result[metric].dtype == np.dtype(float)
    assert np.isfinite(result[metric]).all()
    assert len(np.unique(result[metric].isel(round=0))) == 24, "chains share their noise"
    assert result.alive.all()
    later = result.isel(round=slice(1, None))
    for rate in ("acceptance_rate", "phi", "psi", "p", "p_star"):
        assert ((later[rate] >= 0) & (later[rate] <= 1) | later[rate].isnull()).all()
    assert (later.num_kept_correct <= later.num_kept).all()
    assert (later.num_kept <= later.num_generated).all()

    # one chain at a time: the same random numbers, results equal to rounding (another block is other code)
    alone = sc.simulate(*choices, **SIZES, chains=3, seed=1, block_size=1)
    np.testing.assert_array_equal(alone.num_kept, result.num_kept.isel(chain=slice(3)))
    np.testing.assert_allclose(alone[metric], result[metric].isel(chain=slice(3)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("known", "rows"),
    [(tasks.KNOWN, TASKS), (verifiers.KNOWN, VERIFIERS), (workflows.KNOWN, WORKFLOWS)],
    ids=["tasks", "verifiers", "workflows"],
)
def test_every_known_name_has_a_row(known, rows):
    """What a registered constructor returns (its annotation) is among the types of the rows."""
    made = {type(row).__name__ for row in rows.values()}
    for name, constructor in known.items():
        assert typing.get_type_hints(constructor)["return"].__name__ in made, name


def test_swept_values_compile_once():
    task, ball = TASKS["gaussian"], VERIFIERS["biased ball"]
    run = blocks.compiled_block.cache_info
    sizes = {"n_real": 40, "rounds": 3, "chains": 16, "seed": 0, "block_size": 16}
    over = {"verifier.radius": [0.5, 1.0, 2.0], "task.noise": [0.5, 1.0], "n_per_round": [40, 130]}
    before = run().misses
    sc.sweep(task, ball, sc.replace(), over=over, n_per_round=1, **sizes)
    made = run().misses - before
    assert made == 1
    program = blocks.compiled_block(_last_static())
    assert program._cache_size() == 1, "a swept value, or a swept size, compiled again"
    wider = over | {"verifier.radius": [0.3, 0.7, 0.9]}
    sc.sweep(task, ball, sc.replace(), over=wider, n_per_round=1, **sizes)
    assert program._cache_size() == 1


def _last_static():
    """The only program of the sweep above."""
    from simcollapse import chain, grid

    choices = {
        "task": TASKS["gaussian"],
        "verifier": VERIFIERS["biased ball"],
        "workflow": sc.replace(),
        "n_real": 40,
        "n_per_round": 1,
        "fixed": "generated",
        "rejected": "drop",
    }
    over = {"verifier.radius": [0.5, 1.0], "task.noise": [0.5, 1.0], "n_per_round": [40]}
    assert list(grid.axes_of(choices, over).values()) == list(over.values())
    return engine._group(grid.cells(choices, over), chain.Sampling(), 3, "sample", False, None)[0].loop_static


@pytest.mark.slow
def test_a_chain_keeps_its_numbers_in_a_larger_experiment():
    task, ball, workflow = TASKS["gaussian"], VERIFIERS["biased ball"], sc.replace()
    small = sc.sweep(
        task, ball, workflow, over={"verifier.radius": [0.5, 1.0]}, **SIZES, chains=4, seed=5, block_size=4
    )
    large = sc.sweep(
        task,
        ball,
        workflow,
        over={"verifier.radius": [0.5, 1.0, 2.0]},
        n_real=40,
        n_per_round=40,
        rounds=5,
        chains=10,
        seed=5,
        block_size=4,
    )
    part = large.isel({"verifier.radius": slice(0, 2), "chain": slice(0, 4), "round": slice(0, 4)})
    np.testing.assert_array_equal(part.num_kept, small.num_kept)
    np.testing.assert_allclose(part.squared_error, small.squared_error, rtol=1e-9)
    assert not np.allclose(
        small.squared_error.isel({"verifier.radius": 0, "round": 0}),
        small.squared_error.isel({"verifier.radius": 1, "round": 0}),
    ), "cells share their noise"


def test_common_noise_is_shared_between_cells():
    result = sc.sweep(
        TASKS["gaussian"],
        VERIFIERS["biased ball"],
        sc.replace(),
        over={"verifier.radius": [0.5, 1.0]},
        **SIZES,
        chains=4,
        seed=5,
        common_noise=True,
    )
    first, second = (result.squared_error.isel({"verifier.radius": i, "round": 0}) for i in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_one_float_type_per_run():
    with jax.enable_x64(False):
        result = sc.simulate(TASKS32(), sc.none(), sc.replace(), **SIZES, chains=4, seed=0)
    assert result.squared_error.dtype == np.float32
    assert result.attrs["dtype"] == "float32"


def TASKS32():
    return sc.linear_regression([1.0, -1.0], noise=0.5)


@pytest.mark.parametrize("fixed", ["generated", pytest.param("kept", marks=pytest.mark.slow)])
def test_without_an_audit_the_chains_are_the_same_and_correct_rows_unknown(fixed):
    sizes = {"n_real": 30, "n_per_round": 30, "rounds": 3, "chains": 5, "seed": 4, "fixed": fixed}
    arguments = (sc.kde(1, bandwidth=0.3, test=5), sc.likelihood(keep=0.9), "accumulate")
    audited, plain = (sc.simulate(*arguments, **sizes, audit=flag) for flag in (True, False))
    for name in ("nll", "squared_error", "num_generated", "num_kept", "acceptance_rate"):
        np.testing.assert_array_equal(plain[name], audited[name])
    later = plain.isel(round=slice(1, None))
    assert (later.num_correct == -1).all() and (later.num_kept_correct == -1).all()
    for name in ("phi", "psi", "p", "p_star"):
        assert plain[name].isnull().all()
    assert audited.p.isel(round=slice(1, None)).notnull().all()


def test_a_verifier_that_is_told_which_rows_are_correct_counts_them_without_an_audit():
    task = sc.gaussian_mixture([1.5, 0.0], generator=sc.flips(0.3))
    sizes = {"n_real": 30, "n_per_round": 30, "rounds": 1, "chains": 5, "seed": 4}
    audited, plain = (
        sc.simulate(task, sc.bernoulli(phi=0.9, psi=0.4), "replace", **sizes, audit=flag)
        for flag in (True, False)
    )
    np.testing.assert_array_equal(plain.num_correct, audited.num_correct)
    assert plain.attrs["audit"] == 0 and audited.attrs["audit"] == 1
    with pytest.raises(TypeError, match="audit must be True or False"):
        sc.simulate(task, "none", "replace", **sizes, audit=1)
