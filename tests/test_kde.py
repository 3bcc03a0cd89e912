"""A kernel density estimate: scikit-learn's densities, exact moments and integrated error, and what is correct."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

import simcollapse as sc
from simcollapse import keys
from simcollapse.tasks.kde import _picked
from simcollapse.tasks.kernels import kernel_sum_reaches, log_kernel_sums
from tests.helpers import assert_mean, assert_proportion
from theory.workflows import kde as theory
from theory.workflows import kde_error

N, ROUNDS, DIM = 12, 4, 2
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
RULES = {
    "fixed": ({"bandwidth": 0.6}, np.full(ROUNDS + 1, 0.6)),
    "shrinking": (
        {"bandwidth": 0.8, "exponent": 0.5},
        0.8 / np.sqrt(np.arange(1, ROUNDS + 2)),
    ),
}


def run(task, workflow="replace", *, n=N, rounds=ROUNDS, chains=4000, seed=0, verifier=None, **options):
    return sc.simulate(
        task, verifier or sc.none(), workflow, n_real=n, n_per_round=n, rounds=rounds, chains=chains, seed=seed,
        **options,
    )  # fmt: skip


def integrated_error(points, weight, bandwidth):
    """integral (p - p_0)^2 for p_0 = N(0, I) and one model of D = 2: points (L, D), weight (L,)."""
    points, share = points[weight > 0], weight[weight > 0] / weight.sum()

    def density(square, variance):
        return np.exp(-square / (2 * variance)) / (2 * np.pi * variance)

    pairs = np.sum((points[:, None] - points[None]) ** 2, axis=-1)
    own = share @ density(pairs, 2 * bandwidth**2) @ share
    cross = share @ density(np.sum(points**2, axis=-1), 1 + bandwidth**2)
    return own - 2 * cross + density(0.0, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_moments_and_integrated_error_are_exact(workflow, rule):
    options, bandwidths = RULES[rule]
    result = run(sc.kde(DIM, test=40, **options), workflow, record_model=True)
    sizes = {"n_per_round": N, "bandwidths": bandwidths, "rounds": ROUNDS}
    exact = getattr(theory, f"{workflow}_moments_exact")(sigma=1.0, **sizes)
    np.testing.assert_allclose(result.bandwidth, np.broadcast_to(bandwidths, result.bandwidth.shape))
    assert_mean(result.trace.values, exact.variance, resolution=0.15)
    assert_mean(result.squared_error.values, DIM * exact.mean_error, resolution=0.3)
    last = result.isel(round=-1)
    parts = (last.model_points, last.model_weight, last.model_bandwidth)
    errors = np.array([integrated_error(*(p.values for p in one)) for one in zip(*parts, strict=True)])
    expected = getattr(kde_error, f"{workflow}_mise_exact")(dim=DIM, sigma=1.0, **sizes)[-1]
    assert_mean(errors, expected, resolution=0.12 * expected)


@pytest.mark.parametrize(
    ("workflow", "rule"),
    [
        ("accumulate", "fixed"),
        *(pytest.param("accumulate", rule, marks=pytest.mark.slow) for rule in ("silverman", "scott")),
        *(
            pytest.param(workflow, "fixed", marks=pytest.mark.slow)
            for workflow in WORKFLOWS
            if workflow != "accumulate"
        ),
    ],
)
def test_held_out_rows_have_the_density_that_scikit_learn_finds(workflow, rule):
    """The sums of a round go on from those of the last where they can; scikit-learn adds up all kernels anew."""
    bandwidth = 0.02 if rule == "fixed" else rule  # so small that plain sums would underflow
    task = sc.kde("swiss_roll", bandwidth=bandwidth, test=40)
    result = run(task, workflow, n=30, chains=4, record_model=True)
    for one in (result.isel(chain=c, round=k) for c in (0, 3) for k in (0, 1, ROUNDS)):
        points = one.model_points.values[one.model_weight.values > 0]
        assert len(points) == 30 * (1 + (int(one["round"]) if workflow == "accumulate" else 0))
        # one leaf for all: with more, its tree loses the tails (off by 6 nats in 46 at 90 rows of this set)
        model = KernelDensity(bandwidth=bandwidth, leaf_size=len(points)).fit(points)
        np.testing.assert_allclose(one.bandwidth, model.bandwidth_, rtol=1e-12)
        nll = -model.score_samples(np.asarray(task.test).T).mean()
        np.testing.assert_allclose(one.nll, nll, rtol=1e-9)
        np.testing.assert_allclose(one.model_mean, points.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(one.model_variance, points.var(axis=0), rtol=1e-11)


def test_kernel_sums_of_some_places_with_weights():
    random = np.random.default_rng(0)
    points, weight = random.normal(size=(150, 4)), random.uniform(size=150) * (random.uniform(size=150) < 0.7)
    at = random.normal(size=(4, 7)) + [[0.0] * 6 + [300.0]] * 4
    sums = jax.jit(log_kernel_sums)(points, weight, at, 0.5, jnp.int32(70), jnp.int32(140))
    squares = np.sum((points[70:140, :, None] - at[None]) ** 2, axis=1)
    expected = np.asarray(logsumexp(-squares / 0.5, b=weight[70:140, None], axis=0), dtype=float)
    assert expected[-1] < -1e5
    np.testing.assert_allclose(sums, expected, rtol=1e-12)
    assert np.all(jax.jit(log_kernel_sums)(points, weight, at, 0.5, jnp.int32(90), jnp.int32(90)) == -np.inf)


@pytest.mark.parametrize("log_level", [-1e4, -30.0, -3.0, -1.0, 2.0])
def test_whether_a_kernel_sum_reaches_a_level(log_level):
    """As by its logarithm, far out and near, in both precisions."""
    random = np.random.default_rng(1)
    points, at = random.normal(size=(150, 3)), random.normal(size=(3, 300)) * random.uniform(1, 40, size=300)
    sums = jax.jit(log_kernel_sums)(points, np.ones(150), at, 0.8, jnp.int32(0), jnp.int32(150))
    assert log_level == -1e4 or 0 < np.mean(sums >= log_level) < 1
    np.testing.assert_array_equal(kernel_sum_reaches(log_level, points, at, 0.8), sums >= log_level)
    with jax.enable_x64(False):
        single = kernel_sum_reaches(np.float32(log_level), *map(np.float32, (points, at, 0.8)))
    clear = np.abs(sums - log_level) > 1e-3 * (1 + abs(log_level))
    np.testing.assert_array_equal(np.asarray(single)[clear], np.asarray(sums >= log_level)[clear])


def test_support_points_are_drawn_by_weight():
    weight = np.array([0.5, 0.0, 2.0, 1.0, 0.25, 0.0])
    model = sc.kde(1, test=2).truth_model()._replace(
        points=jnp.arange(6.0)[:, None], weight=jnp.asarray(weight), end=jnp.int32(5), heaviest=jnp.asarray(2.0)
    )  # fmt: skip
    pick = jax.jit(jax.vmap(lambda key: _picked(key, model, jnp.asarray(True))))
    places = np.asarray(pick(jax.random.split(keys.root(1), 400))).ravel()
    counts = np.bincount(places, minlength=6)
    assert_proportion(counts, len(places), weight / weight.sum(), resolution=0.03)


@pytest.mark.slow
def test_textbook_rule_and_units():
    """Rows in another unit give the same chain in that unit, where the bandwidth scales with the rows."""
    plain, wide = (
        run(sc.kde(DIM, bandwidth="scott", scaled=True, noise=noise, test=40), chains=5)
        for noise in (1.0, 50.0)
    )
    np.testing.assert_allclose(wide.bandwidth, 50 * plain.bandwidth, rtol=1e-9)
    np.testing.assert_allclose(wide.trace, plain.trace, rtol=1e-9)
    np.testing.assert_allclose(wide.nll, plain.nll + DIM * np.log(50), rtol=1e-9)
    first = plain.isel(round=0)
    spread = first.trace - first.bandwidth**2  # mean variance of the rows, in units where the real one is 1
    np.testing.assert_allclose(first.bandwidth, N ** (-1 / (DIM + 4)) * np.sqrt(spread), rtol=1e-9)


@pytest.mark.parametrize("name", ["moons", pytest.param("normal", marks=pytest.mark.slow)])
def test_correct_rows_are_typical_ones(name):
    """Real rows pass at 95 %; so do those of an estimate so narrow that it only repeats them."""
    task = sc.kde("moons" if name == "moons" else 3, bandwidth=1e-9, test=100)
    result = run(task, n=2000, rounds=1, chains=100).isel(round=1)
    assert_mean(1 - result.p.values, 0.95, resolution=0.02)


def test_rows_of_a_table(tmp_path):
    """Real rows are drawn from the file, but for those held out; a verifier sees them and keeps some."""
    random = np.random.default_rng(3)
    table = pd.DataFrame({"a": random.normal(size=60), "name": "x", "b": random.normal(size=60) + 5})
    table.to_csv(tmp_path / "rows.csv", index=False)
    task = sc.kde(tmp_path / "rows.csv", columns=["b", "a"], bandwidth=1e-9)
    held_out, rows = np.asarray(task.test).T, np.asarray(task.data.rows)
    assert held_out.shape == (12, 2)
    both = np.concatenate([held_out, rows])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(table[["b", "a"]].to_numpy(), axis=0))
    result = run(
        task,
        verifier=lambda key, batch, model: batch.x[:, 0] > 5.0,
        n=50,
        rounds=2,
        chains=3,
        record_model=True,
    )
    real = result.model_points.isel(round=0, chain=0).values
    assert {tuple(row) for row in real} <= {tuple(row) for row in rows}
    last = result.isel(round=2, chain=0)
    assert last.model_points.values[last.model_weight.values > 0][:, 0].min() > 5
    assert (last.model_weight.values > 0).sum() == last.num_kept
    frame = pd.read_csv(tmp_path / "rows.csv")
    frame.loc[4, "b"] = np.nan
    frame.to_csv(tmp_path / "holes.csv", index=False)
    with pytest.raises(ValueError, match=r"column 'b' of holes\.csv has no value in row 5"):
        sc.kde(tmp_path / "holes.csv", columns=["b", "a"])
    assert len(sc.kde(str(tmp_path / "holes.csv"), columns=["b", "a"], drop_missing=True).data.rows) == 48


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sc.kde("moon"), ValueError, "data must be one of .* Did you mean 'moons'"),
        (lambda: sc.kde("moons", bandwidth=0), ValueError, "bandwidth must be positive and finite, got 0"),
        (lambda: sc.kde("moons", bandwidth=-1.0), ValueError, "bandwidth must be positive and finite, got -1"),
        (lambda: sc.kde("moons", bandwidth="scot"), ValueError, "bandwidth must be one of .* Did you mean 'scott'"),
        (lambda: sc.kde("moons", bandwidth=[1, 2]), ValueError, r"bandwidth must have shape \(\)"),
        (lambda: sc.kde("moons", exponent=-1), ValueError, "task.exponent must be >= 0"),
        (lambda: sc.kde("moons", bandwidth=1, scaled=True), ValueError, "scaled goes with bandwidth='scott'"),
        (lambda: sc.kde("moons", columns=["a"]), ValueError, "columns and drop_missing go with a file"),
        (lambda: sc.kde("moons", test=0), ValueError, "test must be a whole number >= 1, got 0"),
        (lambda: sc.kde("moons", test=np.zeros((3, 3))), ValueError, r"test must have shape \(any, 2\)"),
        (lambda: sc.kde(0), ValueError, "data must be a whole number >= 1, got 0"),
        (lambda: sc.kde(np.eye(3), noise=1), ValueError, "noise goes with a toy set or a normal law"),
        (lambda: sc.kde(np.eye(3)), ValueError, "data must have at least 10 rows, got 3"),
        (lambda: sc.kde(np.full((20, 2), np.nan)), ValueError, "data must be finite, got nan"),
        (lambda: sc.kde("nowhere.csv"), FileNotFoundError, "no data file at nowhere.csv"),
        (lambda: sc.kde(object()), TypeError, "data must be a number or an array of numbers"),
    ],
)  # fmt: skip
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
