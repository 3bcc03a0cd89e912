"""Fresh real data in every round: printed values, best weights, identities, simulation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tests.helpers import assert_mean
from theory.workflows import fresh_real

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits
GOLDEN = (np.sqrt(5) - 1) / 2

# WORKFLOWS.md section 5, theory column; its t counts fits from 1. n, m, w, t, value
MEAN = [
    (10, 10, 0.3, 1, 0.1),
    (30, 10, 0.3, 1, 0.033333),
    (30, 10, 0.9, 40, 0.028283),
    (5, 50, 0.9, 40, 0.16384),
]
MEAN_LIMIT = [
    (10, 10, 0.3, 0.11373),
    (10, 10, 0.9, 0.082828),
    (10, 40, fresh_real.mean_best_weight_exact(n_real=10, n_synthetic=40), 0.039039),
    (30, 10, fresh_real.mean_best_weight_exact(n_real=30, n_synthetic=10), 0.026376),
    (5, 50, 0.3, 0.05451),
    (5, 50, 0.9, 0.16384),
]
VARIANCE_LIMIT = [
    (10, 10, None, 0.14237),
    (20, 60, None, 0.045883),
    (40, 10, None, 0.043223),
    (40, 10, 0.8, 0.043853),
    (15, 15, 0.8, 0.1018),
]
LABELS = [  # rows, d, w, value
    (20, 3, 0.4, 0.15234),
    (20, 3, 0.85, 0.1429),
    (30, 10, 0.4, 0.42763),
    (40, 5, 0.85, 0.11208),
    (15, 2, 0.4, 0.13542),
    (15, 2, 0.85, 0.12702),
]
POOLED = [  # n, m, d, value
    (10, 10, 3, 0.26945),
    (15, 30, 5, 0.245),
    (20, 5, 4, 0.21643),
    (12, 12, 8, 0.86903),
    (20, 20, 1, 0.035654),
]
WEIGHTED = [  # n, m, d, w, value
    (100, 100, 20, 0.4, 0.18412),
    (100, 100, 20, 0.8, 0.16107),
    (60, 120, 30, 0.62, 0.3469),
    (150, 50, 40, 0.62, 0.32932),
    (100, 100, 60, 0.4, 0.77264),
    (100, 100, 60, 0.8, 0.66769),
]
FIXED_REAL = [
    (10, 10, 0.2, 0.27778),
    (20, 5, 0.5, 0.11667),
    (8, 40, 0.5, 0.13333),
    (15, 15, 0.8, 0.069444),
]


def parts(n, m, w):
    return dict(sigma=1.0, n_real=n, n_synthetic=m, real_weight=w)


@pytest.mark.parametrize(("n", "m", "w", "t", "value"), MEAN)
def test_mean_printed(n, m, w, t, value):
    assert fresh_real.mean_mse_exact(**parts(n, m, w), rounds=t - 1)[-1] == pytest.approx(
        value, rel=LAST_DIGIT
    )


@pytest.mark.parametrize(("n", "m", "w", "value"), MEAN_LIMIT)
def test_mean_limit_printed(n, m, w, value):
    assert fresh_real.mean_mse_limit(**parts(n, m, w)) == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("n", "m", "w", "value"), VARIANCE_LIMIT)
def test_variance_limit_printed(n, m, w, value):
    w = w or fresh_real.variance_best_weight_exact(n_real=n, n_synthetic=m)
    assert fresh_real.variance_mse_limit(**parts(n, m, w)) == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("rows", "dim", "w", "value"), LABELS)
def test_labels_limit_printed(rows, dim, w, value):
    got = fresh_real.labels_mse_limit(dim=dim, sigma=1.0, n_per_round=rows, real_weight=w)
    assert got == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("n", "m", "dim", "value"), POOLED)
def test_pooled_limit_printed(n, m, dim, value):
    got = fresh_real.pooled_mse_limit(dim=dim, sigma=1.0, n_real=n, n_synthetic=m)
    assert got == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("n", "m", "dim", "w", "value"), WEIGHTED)
def test_weighted_printed(n, m, dim, w, value):
    got = fresh_real.weighted_mse_asymptotic(dim=dim, **parts(n, m, w))
    assert got == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("n", "m", "w", "value"), FIXED_REAL)
def test_fixed_real_limit_printed(n, m, w, value):
    got = fresh_real.fixed_real_mean_mse_limit(**parts(n, m, w))
    assert got == pytest.approx(value, rel=LAST_DIGIT)
    assert got > 1 / n


@pytest.mark.parametrize(
    ("n", "m", "printed"), [(10, 10, 0.618), (1, 4, 0.3904), (4, 1, 0.8284), (1, 1e12, 1e-6)]
)
def test_best_weight_of_the_mean(n, m, printed):
    w = fresh_real.mean_best_weight_exact(n_real=n, n_synthetic=m)
    assert w == pytest.approx(printed, rel=2e-4)
    assert w**2 == pytest.approx(n / m * (1 - w), rel=1e-12)
    best = fresh_real.mean_mse_limit(**parts(n, m, w))
    assert best == pytest.approx(w / n, rel=1e-9)
    assert all(best < fresh_real.mean_mse_limit(**parts(n, m, w * c)) for c in (0.99, 1.01))


def test_pooling_is_worse_than_the_golden_ratio():
    pooled = fresh_real.mean_mse_limit(sigma=3.0, n_real=20, n_synthetic=20, real_weight=0.5)
    assert pooled == pytest.approx(9 / 20 * 2 / 3, rel=1e-13)
    best = fresh_real.mean_mse_limit(sigma=3.0, n_real=20, n_synthetic=20, real_weight=GOLDEN)
    assert best == pytest.approx(9 / 20 * GOLDEN, rel=1e-13)
    one_dim = fresh_real.shift_gain_exact(dim=1, n_real=7, n_synthetic=12)
    assert one_dim == pytest.approx(12 * 14 / (19 * 21), rel=1e-13)  # second moment of a Beta


@pytest.mark.parametrize(("n", "m", "printed"), [(10, 10, 0.6407), (50, 50, 0.6223), (10**6, 10**6, 0.618)])
def test_best_weight_of_the_variance(n, m, printed):
    w = fresh_real.variance_best_weight_exact(n_real=n, n_synthetic=m)
    assert w == pytest.approx(printed, abs=6e-5)
    best = fresh_real.variance_mse_limit(**parts(n, m, w))
    assert all(best < fresh_real.variance_mse_limit(**parts(n, m, w * c)) for c in (0.99, 1.01))


def test_best_weight_of_labels_is_golden_in_every_dimension():
    for dim in (1, 7, 17):
        arguments = dict(dim=dim, sigma=1.0, n_per_round=20)
        best = fresh_real.labels_mse_limit(**arguments, real_weight=GOLDEN)
        assert best == pytest.approx(GOLDEN * dim / (19 - dim), rel=1e-13)
        others = [fresh_real.labels_mse_limit(**arguments, real_weight=GOLDEN * c) for c in (0.99, 1.01)]
        assert best < min(others)


@pytest.mark.parametrize(
    ("ratio", "printed"), [(0.01, 0.6185), (0.1, 0.6229), (0.3, 0.6339), (0.5, 0.6472), (0.8, 0.6738)]
)
def test_best_weight_of_rows_rises_with_the_dimension(ratio, printed):
    n = 10_000

    def error(w):
        return fresh_real.weighted_mse_asymptotic(dim=round(ratio * n), **parts(n, n, w))

    found = minimize_scalar(error, bounds=(0.5, 0.9), method="bounded", options={"xatol": 1e-7})
    assert found.x == pytest.approx(printed, abs=6e-5)


def test_weighted_rows_match_pooled_rows_in_the_limit():
    """Weights n/N are plain pooling, whose exact error is known; off by O(1/n)."""
    n, m, d = 40_000, 20_000, 12_000
    weighted = fresh_real.weighted_mse_asymptotic(dim=d, **parts(n, m, n / (n + m)))
    pooled = fresh_real.pooled_mse_limit(dim=d, sigma=1.0, n_real=n, n_synthetic=m)
    assert weighted == pytest.approx(pooled, rel=2e-4)
    # few dimensions: the mixed mean's fixed point, once per dimension
    few = fresh_real.weighted_mse_asymptotic(dim=3, **parts(n, m, 0.3))
    assert few == pytest.approx(3 * fresh_real.mean_mse_limit(**parts(n, m, 0.3)), rel=1e-3)
    alone = fresh_real.weighted_mse_asymptotic(dim=d, **parts(n, m, 1.0))
    assert alone == pytest.approx(d / (n - d), rel=1e-12)
    crowded = [fresh_real.weighted_mse_asymptotic(dim=45_000, **parts(n, m, w)) for w in (0.6, 0.6 + 1e-9)]
    assert crowded[0] == pytest.approx(crowded[1], rel=1e-6)


def test_no_fixed_point():
    assert fresh_real.pooled_mse_limit(dim=10, sigma=1.0, n_real=2, n_synthetic=10) == np.inf
    assert fresh_real.weighted_mse_asymptotic(dim=105, **parts(10, 100, 0.5)) == np.inf
    with pytest.raises(ValueError, match="real_weight must be > 1 - sqrt"):
        fresh_real.variance_mse_limit(**parts(5, 2, 0.3))


@pytest.mark.parametrize("name", ["mean", "variance", "fixed_real_mean", "labels", "pooled"])
def test_paths_tend_to_their_limits(name):
    arguments = {
        "labels": dict(dim=3, sigma=2.0, n_per_round=20, real_weight=0.2),
        "pooled": dict(dim=3, sigma=2.0, n_real=20, n_synthetic=15),
    }.get(name, dict(sigma=2.0, n_real=20, n_synthetic=15, real_weight=0.2))
    path = getattr(fresh_real, f"{name}_mse_exact")(**arguments, rounds=400)
    limit = getattr(fresh_real, f"{name}_mse_limit")(**arguments)
    assert path[-1] == pytest.approx(limit, rel=1e-12)
    assert path.shape == (401,)


@pytest.mark.parametrize(
    ("dim", "printed"), [(10, 0.6185), (100, 0.6229), (300, 0.6339), (500, 0.6472), (800, 0.6738)]
)
def test_best_weight_of_rows_printed(dim, printed):
    got = fresh_real.weighted_best_weight_asymptotic(dim=dim, n_real=1000, n_synthetic=1000)
    assert got == pytest.approx(printed, abs=5e-5)  # WORKFLOWS.md (E6), four digits


def test_best_weight_of_rows_tends_to_that_of_a_mean():
    got = fresh_real.weighted_best_weight_asymptotic(dim=1, n_real=2e6, n_synthetic=1e6)
    assert got == pytest.approx(fresh_real.mean_best_weight_exact(n_real=2, n_synthetic=1), abs=2e-6)


def test_real_data_alone():
    got = fresh_real.mean_mse_exact(**parts(8, 3, 1.0), rounds=3)
    np.testing.assert_allclose(got, np.full(4, 1 / 8), rtol=1e-14)
    got = fresh_real.pooled_mse_exact(dim=3, sigma=1.0, n_real=20, n_synthetic=0, rounds=3)
    np.testing.assert_allclose(got, np.full(4, 3 / 16), rtol=1e-14)


def test_moments_match_simulation():
    """Mean and variance of a Gaussian on drawn points; false-alarm rate 1e-6, sees 12 % of each."""
    rng, chains, n, m, w, rounds = np.random.default_rng(51), 40_000, 12, 20, 0.45, 3
    fixed = rng.standard_normal((chains, n))
    found = {"mean": [], "variance": [], "fixed_real_mean": []}
    for source in ("fresh", "fixed"):
        mean, variance = fixed.mean(axis=1), fixed.var(axis=1, ddof=1)
        for k in range(rounds + 1):
            if k > 0:
                real = rng.standard_normal((chains, n)) if source == "fresh" else fixed
                fake = mean[:, None] + np.sqrt(variance)[:, None] * rng.standard_normal((chains, m))
                mean = w * real.mean(axis=1) + (1 - w) * fake.mean(axis=1)
                variance = w * real.var(axis=1, ddof=1) + (1 - w) * fake.var(axis=1, ddof=1)
            if source == "fresh":
                found["variance"].append((variance - 1) ** 2)
            found["mean" if source == "fresh" else "fixed_real_mean"].append(mean**2)
    for name, samples in found.items():
        mse = getattr(fresh_real, f"{name}_mse_exact")(**parts(n, m, w), rounds=rounds)
        assert_mean(np.array(samples).T, mse, 0.12 * mse)


def _least_squares(x, y):
    across = np.swapaxes(x, 1, 2)
    return np.linalg.solve(across @ x, across @ y[..., None])[..., 0]


def _labels(rng, x, coefficients):
    return (x @ coefficients[..., None])[..., 0] + rng.standard_normal(x.shape[:2])


@pytest.mark.parametrize("workflow", ["labels", "pooled", "weighted"])
def test_regression_matches_simulation(workflow):
    """False-alarm rate 1e-6; sees 12 % of each round's error (16 % of the settled one when weighted)."""
    rng, chains, dim, n, m, w, rounds = np.random.default_rng(52), 30_000, 2, 12, 16, 0.45, 3
    if workflow == "weighted":
        chains, dim, n, m, rounds = 400, 45, 120, 160, 5
    truth, fit, squared = np.zeros((chains, dim)), np.zeros((chains, dim)), []
    for k in range(rounds + 1):
        real, fake = rng.standard_normal((chains, n, dim)), rng.standard_normal((chains, m, dim))
        y = _labels(rng, real, truth)
        if k == 0:
            fit = _least_squares(real, y)
        elif workflow == "labels":
            fit = _least_squares(real, w * y + (1 - w) * _labels(rng, real, fit))
        else:
            weight = np.ones(n + m)
            if workflow == "weighted":
                weight = np.repeat([w / n, (1 - w) / m], [n, m])
            root = np.sqrt(weight)
            x = np.concatenate([real, fake], axis=1) * root[:, None]
            fit = _least_squares(x, np.concatenate([y, _labels(rng, fake, fit)], axis=1) * root)
        squared.append(np.sum(fit**2, axis=1))
    if workflow == "weighted":
        mse = fresh_real.weighted_mse_asymptotic(dim=dim, **parts(n, m, w))
        assert_mean(squared[-1][:, None], mse, 0.16 * mse)  # 1/n corrections are about 1 %
        return
    if workflow == "labels":
        mse = fresh_real.labels_mse_exact(dim=dim, sigma=1.0, n_per_round=n, real_weight=w, rounds=rounds)
    else:
        mse = fresh_real.pooled_mse_exact(dim=dim, sigma=1.0, n_real=n, n_synthetic=m, rounds=rounds)
    assert_mean(np.array(squared).T, mse, 0.12 * mse)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("mean_mse_exact", {"real_weight": 0}, "real_weight must be > 0 and finite, got 0"),
        ("mean_mse_exact", {"real_weight": 1.2}, "real_weight must be in \\(0, 1\\], got 1.2"),
        ("mean_mse_exact", {"n_real": -1}, "n_real must be > 0 and finite, got -1"),
        ("mean_mse_exact", {"rounds": 1.5}, "rounds must be an integer >= 0, got 1.5"),
        ("variance_mse_exact", {"n_synthetic": 1}, "n_synthetic must be an integer >= 2, got 1"),
        ("fixed_real_mean_mse_exact", {"sigma": np.nan}, "sigma must be > 0 and finite, got nan"),
    ],
)
def test_values_out_of_range_are_named(function, changes, message):
    with pytest.raises(ValueError, match=message):
        getattr(fresh_real, function)(**{**parts(10, 10, 0.5), "rounds": 2, **changes})


def test_too_few_rows_are_named():
    with pytest.raises(ValueError, match="n_per_round must be > dim \\+ 1 = 4, got 4"):
        fresh_real.labels_mse_limit(dim=3, sigma=1.0, n_per_round=4, real_weight=0.5)
    with pytest.raises(ValueError, match="n_real must be > dim \\+ 1 = 4, got 4"):
        fresh_real.pooled_mse_exact(dim=3, sigma=1.0, n_real=4, n_synthetic=9, rounds=1)
    with pytest.raises(ValueError, match="n_real \\+ n_synthetic must be > dim \\+ 1 = 4, got 4"):
        fresh_real.shift_gain_exact(dim=3, n_real=2, n_synthetic=2)
    with pytest.raises(ValueError, match="n_real \\+ n_synthetic must be > dim = 30, got 20"):
        fresh_real.weighted_mse_asymptotic(dim=30, **parts(10, 10, 0.5))
    with pytest.raises(ValueError, match="n_real must be > dim = 15 for real_weight = 1, got 10"):
        fresh_real.weighted_mse_asymptotic(dim=15, **parts(10, 10, 1.0))
