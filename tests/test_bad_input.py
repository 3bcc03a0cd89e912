"""Every message names the argument, what is allowed and what came; no result is lost."""

import dataclasses

import jax
import numpy as np
import pytest

import simcollapse as sc

NAN = float("nan")
X = np.random.default_rng(0).normal(size=(12, 2))


def run(task=None, verifier=None, workflow=None, **options):
    sizes = {"n_real": 10, "n_per_round": 10, "rounds": 1, "chains": 2, "seed": 0} | options
    return sc.simulate(
        sc.linear_regression(2) if task is None else task,
        sc.none() if verifier is None else verifier,
        sc.replace() if workflow is None else workflow,
        **sizes,
    )


def grid(over, **options):
    sizes = {"n_real": 10, "n_per_round": 10, "rounds": 1, "chains": 2, "seed": 0} | options
    ball = sc.knowledge_ball(bias=0.1, radius=1.0)
    return sc.sweep(sc.linear_regression(2), ball, sc.replace(), over=over, **sizes)


ORTHOGONAL = sc.linear_regression(2, design="orthogonal")

BAD_VALUES = [
    (lambda: sc.knowledge_ball([0.0, 0.0], radius=0), r"verifier.radius must be positive.*got 0"),
    (lambda: sc.knowledge_ball([0.0, 0.0], radius=-1), r"verifier.radius must be positive.*got -1"),
    (lambda: sc.knowledge_ball([0.0, 0.0], radius=NAN), r"verifier.radius must be positive.*got nan"),
    (
        lambda: sc.knowledge_ball([0.0, NAN], radius=1),
        r"verifier.center must be finite, got nan at index \(1,\)",
    ),
    (lambda: sc.knowledge_ball([[0.0]], radius=1), r"center must have shape \(any,\), got \(1, 1\)"),
    (lambda: sc.knowledge_ball([0.0], radius=[1, 2]), r"radius must have shape \(\), got \(2,\)"),
    (lambda: sc.knowledge_ball([0.0], radius=1, slack=-1), r"verifier.slack must be >= 0, got -1"),
    (lambda: sc.knowledge_ball(radius=1), "exactly one of center, bias and trained_on, got none"),
    (lambda: sc.knowledge_ball([0.0], bias=1, radius=1), r"exactly one.*got \['center', 'bias'\]"),
    (lambda: sc.knowledge_ball(bias=-1, radius=1), r"verifier.bias must be >= 0 and finite, got -1"),
    (lambda: sc.knowledge_ball(bias=1, direction=[0, 0], radius=1), "direction must not be zero"),
    (
        lambda: sc.knowledge_ball(trained_on=0, radius=1),
        "verifier.trained_on must be a whole number >= 1, got 0",
    ),
    (lambda: sc.linear_regression(2, noise=0), r"task.noise must be positive and finite, got 0"),
    (lambda: sc.linear_regression(2, noise=-1), r"task.noise must be positive and finite, got -1"),
    (lambda: sc.linear_regression(2, noise=NAN), r"task.noise must be positive and finite, got nan"),
    (lambda: sc.linear_regression([NAN]), "task.truth must be finite, got nan"),
    (lambda: sc.linear_regression([[1.0]]), r"truth must have shape \(any,\), got \(1, 1\)"),
    (lambda: sc.linear_regression(2, tolerance=0), "tolerance must be positive"),
    (lambda: sc.linear_regression(2, design="orthogonl"), "design must be one of.*Did you mean 'orthogonal'"),
    (lambda: sc.linear_regression(2, covariance=[[1, 2], [2, 1]]), "covariance must be positive definite"),
    (lambda: sc.linear_regression(2, covariance=[[1]]), r"covariance must have shape \(2, 2\), got \(1, 1\)"),
    (lambda: sc.linear_regression(2, design="fixed"), "rows must be given exactly when design='fixed'"),
    (
        lambda: sc.linear_regression(2, design="fixed", rows=np.ones((5, 2))),
        "rows must have full column rank 2, got rank 1",
    ),
    (
        lambda: sc.linear_regression(2, design="fixed", rows=X[:, :1]),
        r"rows must have shape \(any, 2\), got \(12, 1\)",
    ),
    (
        lambda: sc.LinearRegression.from_data(X * np.nan, X[:, 0]),
        r"X must be finite, got nan at index \(0, 0\)",
    ),
    (lambda: sc.LinearRegression.from_data(X, X[:, 0] / 0), "y must be finite"),
    (lambda: sc.LinearRegression.from_data(X, X[:5, 0]), r"y must have shape \(12,\), got \(5,\)"),
    (lambda: sc.LinearRegression.from_data(X[:, 0], X[:, 0]), r"X must have shape \(any, any\), got \(12,\)"),
    (
        lambda: sc.LinearRegression.from_data(X[:, [0, 0]], X[:, 0]),
        "X must have full column rank 3, got rank 2",
    ),
    (lambda: sc.LinearRegression.from_data(X[:4], X[:4, 0]), "X must have at least D \\+ 2 = 5 rows, got 4"),
    (lambda: run(n_real=2), "n_real must be >= 3 to fit 2 coefficients, got 2"),
    (lambda: run(n_per_round=2), "n_per_round must be >= 3 to fit 2 coefficients, got 2"),
    (lambda: run(ORTHOGONAL, n_real=0), "n_real must be a whole number >= 1, got 0"),
    (
        lambda: run(sc.linear_regression(2, design="fixed", rows=X), n_real=12, n_per_round=13),
        "n_per_round must be a multiple of the fixed design's 12 rows, got 13",
    ),
    (lambda: run(rounds=-1), "rounds must be a whole number >= 0, got -1"),
    (lambda: run(chains=0), "chains must be a whole number >= 1, got 0"),
    (lambda: run(seed=2**32), r"seed must be < 2\^32"),
    (lambda: run(seed=-1), "seed must be a whole number >= 0, got -1"),
    (lambda: run(fixed="keep"), "fixed must be one of.*Did you mean 'kept'"),
    (lambda: run(rejected="resampled"), "rejected must be one of.*Did you mean 'resample'"),
    (lambda: run(record="chain"), "record must be one of.*Did you mean 'chains'"),
    (lambda: run(engine="laws"), "engine must be one of.*Did you mean 'law'"),
    (lambda: run(block_size=0), "block_size must be a whole number >= 1, got 0"),
    (lambda: run(workflow="acumulate"), "workflow must be one of.*Did you mean 'accumulate'"),
    (lambda: run(verifier="knowledge_bal"), "verifier must be one of.*Did you mean 'knowledge_ball'"),
    (lambda: run(verifier="knowledge_ball"), r"verifier 'knowledge_ball' has arguments"),
    (lambda: sc.accumulate_subsample(0), "size must be a whole number >= 1, got 0"),
    (
        lambda: run(verifier=sc.knowledge_ball([0.0, 0.0, 0.0], radius=1)),
        r"verifier.center must have shape \(2,\), got \(3,\)",
    ),
    (lambda: run(verifier=sc.knowledge_ball(trained_on=2, radius=1)), "verifier.trained_on must be >= 3"),
    (
        lambda: run(verifier=sc.knowledge_ball(trained_on=1e12, radius=1)),
        "verifier.trained_on must be <= 1677721600 for this task",
    ),
    (lambda: sc.knowledge_ball(bias=[0.0, 0.5], radius=1), r"bias must have shape \(\), got \(2,\)"),
    (lambda: sc.knowledge_ball(trained_on=[5, 6], radius=1), r"trained_on must have shape \(\), got \(2,\)"),
    (lambda: sc.LinearRegression.from_data(X, X @ [1.0, 2.0]), "y must not follow from X without noise"),
    (
        lambda: sc.LinearRegression.from_data(X[:, :0], X[:, 0], intercept=False),
        "X must have at least one column",
    ),
    (
        lambda: run(verifier=sc.knowledge_ball(bias=1, radius=1), engine="law"),
        "engine='law' needs a known law, and there is none: no law is known for LinearRegression with KnowledgeBall",
    ),
    (lambda: run(workflow=sc.accumulate_subsample(), engine="law"), "AccumulateSubsample chooses among rows"),
    (lambda: grid({"verifier.radios": [1.0]}), "unknown path 'verifier.radios'.*Did you mean 'radius'"),
    (lambda: grid({"verifer.radius": [1.0]}), "unknown path 'verifer.radius'.*Did you mean 'verifier'"),
    (lambda: grid({"verifier.radius": []}), r"over\['verifier.radius'\] must have at least one value"),
    (lambda: grid({"verifier.radius": [1.0, -1.0]}), "verifier.radius must be positive.*got -1"),
    (
        lambda: grid({"verifier.radius": [1.0, [1.0, 2.0]]}),
        r"verifier.radius must have shape \(\), got \(2,\)",
    ),
    (lambda: grid({"task.truth": [[1.0, 2.0, 3.0]]}), r"task.truth must have shape \(2,\), got \(3,\)"),
    (lambda: grid({"n_per_round": [10, 0]}), "n_per_round must be a whole number >= 1, got 0"),
]


@pytest.mark.parametrize(("call", "words"), BAD_VALUES)
def test_bad_value_is_named(call, words):
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(ValueError, match=words):
        call()


BAD_KINDS = [
    (lambda: sc.knowledge_ball([0.0], radius="wide"), "radius must be a number, got 'wide'"),
    (lambda: run(task="regression"), "task must be a task such as linear_regression"),
    (lambda: run(workflow=3), "workflow must be a workflow such as replace"),
    (lambda: run(verifier=3), "verifier must be a verifier or a function"),
    (lambda: run(chains="many"), "chains must be a whole number, got 'many'"),
    (lambda: grid({"verifier.radius": ["wide"]}), "verifier.radius must be a number"),
    (lambda: grid({3: [1]}), "over must have paths such as 'verifier.radius' as keys, got 3"),
    (lambda: sc.linear_regression(2, noise="a"), "noise must be a number or an array of numbers, got 'a'"),
    (lambda: sc.linear_regression([[1.0], [1.0, 2.0]]), "truth must be a number or an array of numbers"),
    (lambda: sc.knowledge_ball([[1.0], [1.0, 2.0]], radius=1), "center must be a number or an array of num"),
    (
        lambda: sc.linear_regression(1, design="fixed", rows="a"),
        "rows must be a number or an array of number",
    ),
    (lambda: sc.LinearRegression.from_data([[1.0, 2.0], [1.0]], [1.0, 2.0]), "X must be .* array of numbers"),
    (lambda: run(memory_bytes="1G"), "memory_bytes must be a whole number, got '1G'"),
    (lambda: run(devices="cpu"), "devices must be a list of JAX devices, .* got 'cpu'"),
    (lambda: run(verifier=sc.knowledge_ball), "got knowledge_ball itself; call it"),
    (lambda: run(workflow=sc.replace), "workflow must be a workflow such as replace"),
    (lambda: run(task=sc.LinearRegression), "task must be a task such as linear_regression"),
]


@pytest.mark.parametrize(("call", "words"), BAD_KINDS)
def test_bad_kind_is_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_a_grid_too_large_for_memory_says_what_it_needs():
    with pytest.raises(MemoryError, match=r"the result would need [\d,.]+ GiB, this machine has .*summary"):
        grid({"verifier.radius": list(np.linspace(0.1, 1, 100))}, chains=10**9, rounds=100)


def test_a_chain_too_large_for_memory_says_what_it_needs():
    with pytest.raises(MemoryError, match=r"one chain needs [\d,]+ MiB, a block may take 1 MiB"):
        run(workflow=sc.accumulate_subsample(), n_per_round=10**6, memory_bytes=2**20)


def test_a_pool_too_large_for_memory_names_the_law_where_there_is_one():
    """Said before anything is drawn: the pool of a density grows with the rounds, and has no law."""
    with pytest.raises(
        MemoryError,
        match=r"one chain needs [\d,]+ MiB, .* larger memory_bytes \(simcollapse run: --memory\)$",
    ):
        run(sc.kde("moons"), workflow=sc.accumulate(), n_per_round=10**6, rounds=100, memory_bytes=2**24)
    with pytest.raises(MemoryError, match=r"a block may take 0.00098 MiB; .* engine='law' draws no rows"):
        run(sc.gaussian(60), workflow=sc.accumulate(), n_per_round=10**6, memory_bytes=2**10)


def test_wrong_mask_shape_names_the_verifier():
    def first_only(key, batch, model):
        return batch.y[:1] > 0

    with pytest.raises(
        ValueError, match=r"verifier 'first_only' must return a mask of shape \(100,\), got shape \(1,\)"
    ):
        run(verifier=first_only)


def test_nothing_kept_freezes_the_chain_and_is_flagged():
    """Cells whose verifier accepts nothing freeze at round 1; the run and the other cells go on."""
    task = sc.linear_regression([1.0, -1.0], design="orthogonal")
    ball = sc.knowledge_ball(bias=1000.0, radius=1.0)
    with pytest.warns(
        UserWarning, match=r"4 of 8 chains froze \(first: verifier.bias=1000.0, chain 0, round 1: nothing"
    ) as warned:
        result = sc.sweep(
            task,
            ball,
            sc.replace(),
            over={"verifier.bias": [0.0, 1000.0]},
            n_real=50,
            n_per_round=50,
            rounds=3,
            chains=4,
            seed=0,
        )
    assert warned[0].filename == __file__  # the caller's line, not one of ours
    fine, frozen = result.isel({"verifier.bias": 0}), result.isel({"verifier.bias": 1})
    assert fine.alive.all()
    assert result.attrs["num_frozen"] == 4
    np.testing.assert_array_equal(frozen.alive.isel(chain=0), [True, False, False, False])
    for k in (1, 2, 3):
        np.testing.assert_array_equal(frozen.squared_error.isel(round=k), frozen.squared_error.isel(round=0))
    assert (frozen.acceptance_rate.isel(round=1) == 0).all()
    assert (frozen.num_generated.isel(round=slice(2, None)) == 0).all()
    assert frozen.p_star.isnull().all()
    listed = sc.frozen(result)
    assert len(listed) == 4
    assert listed[0] == {
        "cell": {"verifier.bias": 1000.0},
        "chain": 0,
        "round": 1,
        "reason": "nothing kept: the verifier accepted no row",
    }


def test_nothing_kept_under_accumulate_goes_on():
    ball = sc.knowledge_ball(bias=1000.0, radius=1.0)
    result = run(ORTHOGONAL, ball, sc.accumulate(), rounds=2, n_real=50, n_per_round=50)
    assert result.alive.all()
    np.testing.assert_allclose(
        result.squared_error.isel(round=2), result.squared_error.isel(round=0), rtol=1e-9
    )


def test_too_few_kept_rows_is_another_reason():
    def one_row(key, batch, model):
        return jax.numpy.arange(100) == 0

    with pytest.warns(UserWarning, match="too few rows to fit"):
        result = run(verifier=one_row, n_real=50, n_per_round=50)
    assert not result.alive.isel(round=1).any()


def test_a_kept_count_out_of_reach_stops_at_max_tries():
    def almost_never(key, batch, model):
        return batch.y > 1e6

    with pytest.warns(UserWarning, match="nothing kept"):
        result = run(verifier=almost_never, fixed="kept", max_tries=30, n_real=50, n_per_round=50)
    assert (result.num_generated.isel(round=1) == 30 * 50).all()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Broken(sc.LinearRegression):
    """A task of its own: what is compiled for it is used for no other."""

    def measure(self, key, model):
        bad = model.coef[0] > 0.2
        return super().measure(key, model) | {"broken": jax.numpy.where(bad, jax.numpy.nan, 1.0)}


def test_non_finite_metric_names_cell_chain_and_round():
    plain = sc.linear_regression(2)
    task = Broken(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    with pytest.raises(FloatingPointError, match=r"broken is nan in cell \{\}, chain \d+, round \d"):
        run(task, chains=40, rounds=2, block_size=40)


BAD_SWEEPS = [
    (
        {"verifier.center": [[0.0, 0.0]]},
        r"exactly one of center, bias and trained_on, got \['center', 'bias'\]",
    ),
    ({"verifier.direction": [[0.0, 0.0]]}, "verifier.direction must not be zero"),
    ({"verifier.radius": [1.0], "verifier": [sc.none()]}, "over names both 'verifier' and 'verifier.radius'"),
]


@pytest.mark.parametrize(("over", "words"), BAD_SWEEPS)
def test_a_sweep_cannot_set_what_would_be_ignored(over, words):
    with pytest.raises(ValueError, match=words):
        grid(over)


def test_round_0_counts_rows_and_not_samples():
    result = run(ORTHOGONAL, rounds=1, n_real=20, n_per_round=20)
    np.testing.assert_array_equal(result.num_used, 40)
