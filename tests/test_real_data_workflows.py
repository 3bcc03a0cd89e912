"""Windows, deleted and fresh real rows, contaminated sets, strategies of subsampling: against closed forms."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import simcollapse as sc
from simcollapse import buffers
from tests.helpers import FALSE_ALARM, assert_mean, assert_proportion
from theory.workflows import contaminated as mixture_theory
from theory.workflows import fresh_real as mixing
from theory.workflows import linear

N, ROUNDS, DIM = 20, 6, 2
TASK = sc.linear_regression(DIM, design="orthogonal")
BATCHES = linear.rounds_of(N, N, ROUNDS)


def _error(workflow, task=TASK, chains=4000, n_real=N, n_per_round=N, rounds=ROUNDS, seed=0, **options):
    result = sc.simulate(
        task,
        "none",
        workflow,
        n_real=n_real,
        n_per_round=n_per_round,
        rounds=rounds,
        chains=chains,
        seed=seed,
        **options,
    )
    return result["squared_error"].transpose("chain", "round").values


CASES = {
    "window of 1": (sc.sliding_window(1), linear.windowed(BATCHES, rounds=1)),
    "window of 3": (sc.sliding_window(3), linear.windowed(BATCHES, rounds=3)),
    "real rows stay": (
        sc.sliding_window(1, keep_real=True),
        linear.windowed(BATCHES, rounds=1, keep_real=True),
    ),
    "wide window": (sc.sliding_window(100), linear.accumulated(BATCHES)),
}


@pytest.mark.parametrize(
    "name",
    [n if n in ("window of 3", "real rows stay") else pytest.param(n, marks=pytest.mark.slow) for n in CASES],
)
def test_windows_have_the_error_of_their_weights(name):
    workflow, weights = CASES[name]
    expected = DIM * linear.mean_mse_exact(sigma=1.0, batches=BATCHES, weights=weights)
    assert_mean(_error(workflow), expected, 0.25 * expected)


def test_one_row_more_in_the_window_would_be_seen():
    """The test above can fail."""
    wrong = DIM * linear.mean_mse_exact(
        sigma=1.0, batches=BATCHES, weights=linear.windowed(BATCHES, rounds=4)
    )
    with pytest.raises(AssertionError, match="z ="):
        assert_mean(_error(sc.sliding_window(3)), wrong, 0.25 * wrong)


@pytest.mark.parametrize(("at", "share"), [(1, 1.0), pytest.param(3, 1.0, marks=pytest.mark.slow), (2, 0.5)])
def test_deleting_real_rows_bounds_the_error_all_the_same(at, share):
    expected = DIM * linear.deleted_mse_exact(
        sigma=1.0, n_real=N, n_per_round=N, rounds=ROUNDS, at=at, share=share
    )
    assert_mean(_error(sc.delete_real(at, share=share)), expected, 0.25 * expected)
    far = linear.deleted_mse_exact(sigma=1.0, n_real=N, n_per_round=N, rounds=400, at=at, share=share)
    assert far[-1] < 1.01 * far[200] < 5 / N


def test_deleting_nothing_is_accumulating():
    np.testing.assert_allclose(
        _error(sc.delete_real(2, share=0.0), chains=5), _error(sc.accumulate(), chains=5), rtol=1e-9
    )


@pytest.mark.parametrize(("share", "weight"), [(0.5, None), (0.5, 0.618), (0.25, 0.39)])
def test_fresh_real_rows_have_the_error_of_the_mixed_mean(share, weight):
    """(E1): the weight of the real part is its share where rows weigh alike. Round 0 has the fresh rows alone there."""
    real = round(share * N)
    expected = DIM * mixing.mean_mse_exact(
        sigma=1.0,
        n_real=real,
        n_synthetic=N - real,
        real_weight=share if weight is None else weight,
        rounds=ROUNDS,
    )
    found = _error(sc.fresh_real(share, weight=weight), n_real=real)
    assert_mean(found, expected, 0.25 * expected)


def test_fresh_real_in_law_as_row_by_row():
    first = _error(sc.fresh_real(0.3), engine="law", chains=4000)
    expected = DIM * linear.mean_mse_exact(
        sigma=1.0,
        batches=[batch for k in range(ROUNDS + 1) for batch in _fresh(k)],
        weights=np.kron(np.eye(ROUNDS + 1), np.array([[6.0, 14.0]])) * _first_alone(),
    )
    assert_mean(first, expected, 0.25 * expected)


def _fresh(k):
    """Of round k: real rows and generated ones."""
    return [linear.Batch(N if k == 0 else 6, None), linear.Batch(14, max(k - 1, 0))]


def _first_alone():
    mask = np.ones((ROUNDS + 1, 2 * ROUNDS + 2))
    mask[0, 1] = 0
    return mask


def test_only_real_rows_are_fitted_afresh_every_round():
    found = _error(sc.fresh_real(1.0))
    assert_mean(found, DIM / N, 0.25 * DIM / N)
    assert abs(np.corrcoef(found[:, 1], found[:, 2])[0, 1]) < 0.1


def test_no_fresh_rows_is_replace():
    np.testing.assert_allclose(
        _error(sc.fresh_real(0.0), chains=5), _error(sc.replace(), chains=5), rtol=1e-9
    )


def test_contaminated_sets_no_field_that_follows_from_others():
    sizes = {"n_real": 5, "n_per_round": 5, "rounds": 1, "chains": 2, "seed": 0}
    with pytest.raises(
        ValueError, match=r"a model of Kde has fields \['points', 'weight', 'bandwidth'\], got 'mean'"
    ):
        sc.simulate(sc.kde(1, test=5), "none", sc.contaminated(0.2, mean=[3.0]), **sizes)


def test_contaminated_rows_leave_a_floor():
    """(F1): least squares on real rows and rows of shifted coefficients."""
    task = sc.linear_regression([1.0, -1.0, 0.5])
    workflow = sc.contaminated(0.25, coef=[2.0, -1.0, 0.5])
    found = _error(workflow, task=task, n_real=40, n_per_round=40, rounds=2)
    expected = mixture_theory.least_squares_mse_exact(dim=3, sigma=1.0, shift=1.0, n_real=30, n_synthetic=10)
    assert_mean(found[:, 1:], expected, 0.15 * expected)


def test_contaminated_names_the_fields_of_a_model():
    sizes = {"n_real": 20, "n_per_round": 20, "rounds": 1, "chains": 1, "seed": 0}
    with pytest.raises(ValueError, match=r"fields \['coef', 'log_noise'\], got 'mean'"):
        sc.simulate(TASK, "none", sc.contaminated(0.1, mean=[1.0, 0.0]), **sizes)
    with pytest.raises(ValueError, match=r"coef must have shape \(2,\), got \(3,\)"):
        sc.simulate(TASK, "none", sc.contaminated(0.1, coef=[1.0, 0.0, 0.0]), **sizes)


def _pool(born, weight=None):
    """A pool of rows that are their own number, with two empty places."""
    task = sc.discrete(outcomes=100)
    size = len(born) + 2
    return buffers.empty(task, size)._replace(
        rows=jnp.arange(size, dtype=jnp.int32),
        born=jnp.asarray([*born, 0, 0], jnp.int32),
        weight=jnp.asarray([*(np.ones(len(born)) if weight is None else weight), 0.0, 0.0]),
        count=jnp.int32(len(born)),
        made=jnp.asarray(np.bincount(born, minlength=8), jnp.int32),
    )


def _drawn(workflow, pool, wanted, k=3, draws=20_000):
    """How often each place was drawn."""
    keys = jax.random.split(jax.random.key(0), draws)
    seen = jax.jit(
        jax.vmap(
            lambda key: workflow.choose(
                key, pool, jnp.int32(wanted), jnp.int32(k), pool.born.shape[0]
            ).gathered()
        )
    )(keys)
    chosen = np.asarray(seen.weight) > 0
    assert (chosen.sum(axis=1) == wanted).all()
    return np.bincount(np.asarray(seen.rows)[chosen], minlength=pool.born.shape[0])


def test_stratified_draws_take_turns_among_rounds():
    """Rounds of 1, 2 and 4 rows and 5 wanted: one of each, then one of each of the larger two, evenly within."""
    pool = _pool([0, 1, 1, 2, 2, 2, 2])
    times = _drawn(sc.accumulate_subsample(5, strategy="stratified"), pool, 5)
    assert (times[:3] == 20_000).all() and (times[-2:] == 0).all()
    assert_proportion(times[3:7], 20_000, 0.5, resolution=0.04)


def test_stratified_draws_within_a_turn_are_even():
    """Rounds of 3, 3 and 1 rows and 4 wanted: one of each, and a second of one of the larger two, any of its rows."""
    times = _drawn(sc.accumulate_subsample(4, strategy="stratified"), _pool([0, 0, 0, 1, 1, 1, 2]), 4)
    assert times[6] == 20_000
    assert_proportion(times[:6], 20_000, 0.5, resolution=0.04)


def test_pairs_of_stratified_draws_are_as_likely_as_others():
    """Two of four rows of each of two rounds: 36 sets, by chi-square."""
    pool, workflow = _pool([0, 0, 0, 0, 1, 1, 1, 1]), sc.accumulate_subsample(4, strategy="stratified")
    draw = jax.vmap(lambda key: workflow.choose(key, pool, jnp.int32(4), jnp.int32(1), 4).gathered().rows)
    rows = np.sort(np.asarray(jax.jit(draw)(jax.random.split(jax.random.key(1), 72_000))), axis=1)
    seen = np.unique(rows @ 8 ** np.arange(4), return_counts=True)[1]
    assert len(seen) == 36
    assert stats.chi2.sf(np.sum((seen - 2000.0) ** 2) / 2000, 35) > FALSE_ALARM


def test_no_more_rows_than_there_are_are_drawn_by_turns():
    times = _drawn(sc.accumulate_subsample(9, strategy="stratified"), _pool([0, 1, 1]), 3, draws=100)
    assert times[:3].tolist() == [100, 100, 100]


def test_old_rows_are_drawn_less_often():
    """One row of two: in proportion to decay^age, 1 to 4 for rows two rounds apart and decay 1/2."""
    times = _drawn(sc.accumulate_subsample(1, strategy="age", decay=0.5), _pool([1, 3]), 1)
    assert_proportion(times[:2], 20_000, np.array([0.2, 0.8]), resolution=0.04)


def test_rejected_rows_are_drawn_by_their_weight():
    pool = _pool([1, 1], weight=[1.0, 0.25])
    times = _drawn(sc.accumulate_subsample(1, strategy="verifier", rejected_weight=0.25), pool, 1)
    assert_proportion(times[:2], 20_000, np.array([0.8, 0.2]), resolution=0.04)


@pytest.mark.slow
def test_rejected_rows_enter_the_pool_with_their_weight():
    """With weight 1 the verdict means nothing: the same rows are seen as without a verifier."""
    workflow = sc.accumulate_subsample(10**6, strategy="verifier", rejected_weight=1.0)
    sizes = {"n_real": N, "n_per_round": N, "rounds": 3, "chains": 5, "seed": 0}
    judged = sc.simulate(TASK, sc.knowledge_ball(bias=0.5, radius=0.5), workflow, **sizes)
    every = sc.simulate(TASK, "none", sc.accumulate(), **sizes)
    np.testing.assert_allclose(judged["squared_error"], every["squared_error"], rtol=1e-9)
    assert (judged["num_kept"].isel(round=1) < judged["num_generated"].isel(round=1)).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sc.accumulate_subsample(strategy="age"), "decay goes with strategy='age'"),
        (lambda: sc.accumulate_subsample(decay=0.5), "decay goes with strategy='age'"),
        (lambda: sc.accumulate_subsample(strategy="old"), "workflow.strategy must be one of"),
        (
            lambda: sc.accumulate_subsample(strategy="age", decay=0.0),
            r"workflow.decay must be in \(0, 1\], got 0",
        ),
        (lambda: sc.sliding_window(0), "workflow.rounds must be a whole number >= 1, got 0"),
        (
            lambda: sc.sliding_window(2, keep_real=cast(Any, "yes")),
            "workflow.keep_real must be True or False",
        ),
        (lambda: sc.delete_real(cast(Any, 1.5)), "workflow.at must be a whole number >= 1, got 1.5"),
        (lambda: sc.delete_real(1, share=2), r"workflow.share must be in \[0, 1\], got 2"),
        (lambda: sc.fresh_real(-0.1), r"workflow.share must be in \[0, 1\], got -0.1"),
        (lambda: sc.fresh_real(0.5, weight=1.5), r"workflow.weight must be in \[0, 1\], got 1.5"),
        (lambda: sc.contaminated(0.5), "contaminated needs a field of the wrong model"),
        (lambda: _error("sliding_window"), "workflow 'sliding_window' has arguments"),
        (lambda: _error(sc.fresh_real(0.5, weight=0.6), engine="law"), "weighs rows"),
        (lambda: _error(sc.sliding_window(2), engine="law"), "chooses among rows"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_shares_of_real_rows_are_swept_in_one_program():
    """Weighed rows, which no law has: chains differ in how many they draw, and draw no number twice."""
    result = sc.sweep(
        TASK, "none", sc.fresh_real(0.5, weight=0.5), over={"workflow.share": [0.25, 0.75]}, n_real=N, n_per_round=N,
        rounds=ROUNDS, chains=4000, seed=0,
    )  # fmt: skip
    for i, real in enumerate((5, 15)):
        expected = mixing.mean_mse_exact(
            sigma=1.0, n_real=real, n_synthetic=N - real, real_weight=0.5, rounds=ROUNDS
        )
        last = result["squared_error"].isel({"workflow.share": i, "round": -1}).values[:, None]
        path = (
            expected[-1] + (1 / N - expected[0]) * 0.25**ROUNDS
        )  # the first fit sees N real rows, not `real`
        assert_mean(last, DIM * path, 0.25 * DIM * path)
