"""Kernel density estimates without a verifier: printed values, identities, quadrature, simulation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from tests.helpers import assert_mean
from theory.workflows import discrete, kde, kde_error

LAST_DIGIT = 6e-5  # relative: WORKFLOWS.md prints five digits
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")


def shrinking(count):
    return 0.8 / np.sqrt(
        np.arange(1, count + 1)
    )  # named 1/sqrt(j) there; 0.8 follows from the second moments


def scott(n, count, dim=1):
    return (n * np.arange(1.0, count + 1)) ** (-1 / (dim + 4))


# WORKFLOWS.md section 3, theory columns; its k counts fits from 1. n, bandwidths, k, per workflow
VARIANCE = [
    (10, 0.5, 1, (1.15, 1.15, 1.15)),
    (5, 0.5, 1, (1.05, 1.05, 1.05)),
    (30, 0.5, 1, (1.2167, 1.2167, 1.2167)),
    (30, shrinking(12), 12, (2.1824, 1.5766, 1.5206)),
    (8, shrinking(12), 12, (0.94485, 1.4108, 1.2274)),
]
MEAN_ERROR = [
    (10, 0.5, 1, (0.1, 0.1, 0.1)),
    (5, 1.0, 2, (0.56, 0.29, 0.42444)),
    (30, scott(30, 5), 5, (0.223, 0.052768, 0.089823)),
    (8, shrinking(12), 12, (2.0412, 0.22922, 0.41261)),
]
SECOND_MOMENT = [
    (0.5, 1, (1.25, 1.25)),
    (1.0, 2, (3.0, 2.5)),
    (scott(30, 5), 5, (1.8984, 1.3986)),
    (shrinking(12), 12, (2.9861, 1.64)),
]
MISE = [  # n, d, h, k
    (20, 1, 0.4, 1, (0.023287, 0.023287, 0.023287)),
    (20, 2, 0.5, 2, (0.023608, 0.014913, 0.021287)),
    (10, 1, 0.8, 4, (0.09359, 0.039554, 0.051963)),
    (30, 3, 0.6, 6, (0.016875, 0.006376, 0.0090881)),
]
NLL = [  # h, k, replace, accumulate
    (0.4, 1, 1.4242, 1.4242),
    (0.7, 3, 1.5735, 1.5002),
    (1.0, 3, 1.7371, 1.607),
    (1.5, 5, 2.2125, 1.8776),
    (1.0, 10, 2.1633, 1.7118),
    (1.0, 100, 3.2314, 1.8856),
    (1.0, 1000, 4.3738, 2.0221),
]
DENSITY = [(1, 0.0, 0.47725), (3, 0.0, 0.43241), (3, 2.0, 0.033771), (8, 2.0, 0.052833)]  # k, x, value


def moments(workflow, n, bandwidths, rounds, sigma=1.0):
    function = getattr(kde, f"{workflow}_moments_exact")
    return function(sigma=sigma, n_per_round=n, bandwidths=bandwidths, rounds=rounds)


@pytest.mark.parametrize(("n", "bandwidths", "k", "values"), VARIANCE)
def test_variance_printed(n, bandwidths, k, values):
    got = [moments(workflow, n, bandwidths, k - 1).variance[-1] for workflow in WORKFLOWS]
    np.testing.assert_allclose(got, values, rtol=LAST_DIGIT)


@pytest.mark.parametrize(("n", "bandwidths", "k", "values"), MEAN_ERROR)
def test_mean_error_printed(n, bandwidths, k, values):
    got = [moments(workflow, n, bandwidths, k - 1).mean_error[-1] for workflow in WORKFLOWS]
    np.testing.assert_allclose(got, values, rtol=LAST_DIGIT)


@pytest.mark.parametrize(("bandwidths", "k", "values"), SECOND_MOMENT)
def test_second_moment_printed(bandwidths, k, values):
    arguments = dict(sigma=1.0, bandwidths=bandwidths, rounds=k - 1)
    assert kde.replace_second_moment_exact(**arguments)[-1] == pytest.approx(values[0], rel=LAST_DIGIT)
    assert kde.accumulate_second_moment_exact(**arguments)[-1] == pytest.approx(values[1], rel=LAST_DIGIT)


@pytest.mark.parametrize(("n", "dim", "h", "k", "values"), MISE)
def test_mise_printed(n, dim, h, k, values):
    arguments = dict(dim=dim, sigma=1.0, n_per_round=n, bandwidths=h, rounds=k - 1)
    got = [getattr(kde_error, f"{workflow}_mise_exact")(**arguments)[-1] for workflow in WORKFLOWS]
    np.testing.assert_allclose(got, values, rtol=LAST_DIGIT)


@pytest.mark.parametrize(("h", "k", "replace", "accumulate"), NLL)
def test_nll_printed(h, k, replace, accumulate):
    got = kde_error.replace_nll_limit(dim=1, sigma=1.0, bandwidths=h, rounds=k - 1)
    assert got[-1] == pytest.approx(replace, rel=LAST_DIGIT)
    got = kde_error.accumulate_nll_limit(dim=1, sigma=1.0, bandwidth=h, rounds=k - 1)
    assert got[-1] == pytest.approx(accumulate, rel=LAST_DIGIT)


@pytest.mark.parametrize(("k", "x", "value"), DENSITY)
def test_mean_density_printed(k, x, value):
    """Truth uniform on [-1, 1], h = 0.5: the mixture over kernel counts."""
    weights = kde.kernel_count_exact(rounds=k - 1)[-1]
    width = 0.5 * np.sqrt(np.arange(1, k + 1))
    density = (norm.cdf((x + 1) / width) - norm.cdf((x - 1) / width)) / 2
    assert weights @ density == pytest.approx(value, rel=LAST_DIGIT)


@pytest.mark.parametrize(("dim", "printed"), [(1, 2.320), (2, 2.790), (5, 4.2325)])
def test_scott_inflation(dim, printed):
    limit = kde.accumulate_scott_inflation_limit(dim=dim, n_per_round=1)
    assert limit == pytest.approx(printed, abs=6e-4)
    exponent = 2 / (dim + 4)
    count = 10**6
    j = np.arange(1.0, count)
    # The rest is the integral of j^-(1+e) - j^-(2+e) and half its first term.
    rest = count**-exponent / exponent + (0.5 - 1 / (1 + exponent)) * count ** -(1 + exponent)
    partial = np.sum(j**-exponent / (j + 1)) + rest
    assert limit == pytest.approx(partial, rel=1e-11)
    scaled = kde.accumulate_scott_inflation_limit(dim=dim, n_per_round=50)
    assert scaled == pytest.approx(limit * 50**-exponent, rel=1e-14)


def test_scott_inflation_is_the_limit_of_the_second_moment():
    n, rounds = 20, 400_000
    path = kde.accumulate_second_moment_exact(sigma=1.0, bandwidths=scott(n, rounds + 1), rounds=rounds)
    limit = kde.accumulate_scott_inflation_limit(dim=1, n_per_round=n)
    left = n**-0.4 * 2.5 * rounds**-0.4  # of the sum beyond K; the last kernel adds the other term
    assert path[-1] - 1 + left - scott(n, rounds + 1)[-1] ** 2 == pytest.approx(limit, rel=1e-6)


def test_kernel_counts_are_stirling_numbers():
    table = kde.kernel_count_exact(rounds=4)
    stirling = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [2, 3, 1, 0, 0], [6, 11, 6, 1, 0], [24, 50, 35, 10, 1]]
    np.testing.assert_allclose(table, np.array(stirling) / [[1], [2], [6], [24], [120]], rtol=1e-14)
    np.testing.assert_allclose(kde.kernel_count_exact(rounds=2000).sum(axis=1), 1, rtol=1e-12)


def test_transforms():
    h, rounds, frequency = np.array([0.5, 0.2, 0.9, 0.4]), 3, np.array([[0.0, 1e-4, 0.3], [1.0, 3.0, 40.0]])
    for workflow, second in (
        ("replace", kde.replace_second_moment_exact),
        ("accumulate", kde.accumulate_second_moment_exact),
    ):
        transform = getattr(kde, f"{workflow}_mean_transform_exact")
        factor = transform(frequency=frequency, bandwidths=h, rounds=rounds)
        assert factor.shape == (4, 2, 3)
        inflation = second(sigma=1.0, bandwidths=h, rounds=rounds) - 1
        np.testing.assert_allclose((1 - factor[:, 0, 1]) / 1e-8, inflation / 2, rtol=1e-6)
    constant = kde.accumulate_mean_transform_exact(frequency=frequency, bandwidths=0.5, rounds=6)
    g = np.exp(-((0.5 * frequency) ** 2) / 2)
    mixture = np.tensordot(kde.kernel_count_exact(rounds=6), g ** np.arange(1, 8)[:, None, None], axes=1)
    np.testing.assert_allclose(constant, mixture, rtol=1e-12)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_variance_and_mean_error_add_up(workflow):
    h = np.abs(np.sin(np.arange(1, 41)))
    got = moments(workflow, 6, h, 39, sigma=1.5)
    second = getattr(kde, f"{workflow.removesuffix('_subsample')}_second_moment_exact")
    total = second(sigma=1.5, bandwidths=h, rounds=39)
    np.testing.assert_allclose(got.variance + got.mean_error, total, rtol=1e-12)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_without_kernels_it_is_resampling(workflow):
    variance = moments(workflow, 7, 0.0, 30).variance
    function = getattr(discrete, f"{workflow}_heterozygosity_exact")
    same = function(probabilities=[0.5, 0.5], n_real=7, n_per_round=7, rounds=30)
    np.testing.assert_allclose(variance, same / 0.5, rtol=1e-12)


def test_replace_variance_limit():
    n, h = 9, 0.6
    got = moments("replace", n, h, 500)
    assert got.variance[-1] == pytest.approx(
        kde.replace_variance_limit(n_per_round=n, bandwidth=h), rel=1e-12
    )
    k = np.arange(501)
    closed = n * h**2 + (1 - 1 / n) ** k * ((1 - 1 / n) - (n - 1) * h**2)
    np.testing.assert_allclose(got.variance, closed, rtol=1e-12)


def test_first_mise_in_closed_form():
    """One dimension: [1/(n h) + (1-1/n)/sqrt(s^2+h^2) - 2 sqrt(2)/sqrt(2 s^2+h^2) + 1/s] / (2 sqrt(pi))."""
    for n, s, h in ((20, 1.0, 0.4), (1000, 3.0, 0.02), (3, 0.1, 2.0)):
        closed = (
            1 / (n * h) + (1 - 1 / n) / np.hypot(s, h) - 2 * np.sqrt(2) / np.sqrt(2 * s**2 + h**2) + 1 / s
        )
        got = kde_error.replace_mise_exact(dim=1, sigma=s, n_per_round=n, bandwidths=h, rounds=0)
        assert got[0] == pytest.approx(closed / (2 * np.sqrt(np.pi)), rel=1e-12)


def test_mise_in_many_dimensions():
    """Round 0 in d dimensions, from the Gaussian integrals; units 1/data units^d."""
    n, s, h, dim = 50, 1.3, 0.7, 40
    norm_of = (4 * np.pi) ** (-dim / 2)  # of a Gaussian of unit variance
    closed = norm_of * (
        h**-dim / n
        + (1 - 1 / n) * (s**2 + h**2) ** (-dim / 2)
        - 2 * (s**2 + h**2 / 2) ** (-dim / 2)
        + s**-dim
    )
    got = kde_error.accumulate_mise_exact(dim=dim, sigma=s, n_per_round=n, bandwidths=h, rounds=0)
    assert got[0] == pytest.approx(closed, rel=1e-11)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_mise_of_a_mixture(dim):
    """Round 0 from the Gaussian integrals, S(v) the mean of N(c - c'; 0, v I); and one center is one normal law."""
    n, s, h = 30, 0.8, 0.5
    points = np.random.default_rng(dim).normal(size=(4, dim)) * 3
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=-1)

    def shared(v):
        return np.mean(np.exp(-squares / (2 * v))) * (2 * np.pi * v) ** (-dim / 2)

    closed = (4 * np.pi * h**2) ** (-dim / 2) / n + (1 - 1 / n) * shared(2 * s**2 + 2 * h**2)
    closed += shared(2 * s**2) - 2 * shared(2 * s**2 + h**2)
    arguments = dict(dim=dim, sigma=s, n_per_round=n, bandwidths=h)
    got = kde_error.accumulate_mise_exact(**arguments, points=points, rounds=0)
    assert got[0] == pytest.approx(closed, rel=1e-11)
    for workflow in WORKFLOWS:
        exact = getattr(kde_error, f"{workflow}_mise_exact")
        one = exact(**arguments, rounds=3, points=[[5.0] * dim])
        np.testing.assert_allclose(one, exact(**arguments, rounds=3), rtol=1e-12)


def test_held_out_nll_is_that_of_one_normal_law_and_of_the_mixture_itself():
    test = norm.ppf((np.arange(200_000) + 0.5) / 200_000)[:, None] * 1.4  # even in probability: a quadrature
    for k, (name, width) in enumerate((("replace", "bandwidths"), ("accumulate", "bandwidth"))):
        common = dict(sigma=1.4, rounds=4, **{width: 0.8})
        got = getattr(kde_error, f"{name}_held_out_nll_limit")(test=test, points=[[0.0]], **common)
        expected = getattr(kde_error, f"{name}_nll_limit")(dim=1, **common)
        np.testing.assert_allclose(got, expected, rtol=2e-5, err_msg=str(k))  # of 200,000 steps, tails cut
    points, row, h = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[0.5, 0.5]]), 0.6
    density = {v: np.mean([np.prod(norm.pdf(row[0], c, v**0.5)) for c in points]) for v in (1.36, 1.72)}
    got = kde_error.accumulate_held_out_nll_limit(test=row, points=points, sigma=1.0, bandwidth=h, rounds=1)
    # after one round half of the points carry the noise of one kernel more
    expected = [-np.log(density[1.36]), -np.log((density[1.36] + density[1.72]) / 2)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("dim", [1, 3])
def test_nll_matches_adaptive_quadrature(dim):
    h, sigma, rounds = 0.8, 1.4, 6
    weights, v = kde.kernel_count_exact(rounds=rounds)[-1], sigma**2 + h**2 * np.arange(1, rounds + 2)

    def integrand(r):
        density = weights @ ((2 * np.pi * v) ** (-dim / 2) * np.exp(-(r**2) / (2 * v)))
        sphere = {1: 2, 3: 4 * np.pi * r**2}[dim]
        return (
            -sphere
            * np.exp(-(r**2) / (2 * sigma**2))
            * (2 * np.pi * sigma**2) ** (-dim / 2)
            * np.log(density)
        )

    arguments = dict(dim=dim, sigma=sigma, bandwidth=h, rounds=rounds)
    got = kde_error.accumulate_nll_limit(**arguments)
    assert got[-1] == pytest.approx(quad(integrand, 0, 12 * sigma, epsabs=1e-12)[0], rel=1e-11)
    bound = kde_error.accumulate_nll_bound(**arguments)
    assert bound[0] == pytest.approx(got[0], rel=1e-13)  # one component
    assert np.all(bound[1:] > got[1:])
    entropy = dim / 2 * np.log(2 * np.pi * np.e * sigma**2)
    assert np.all(got > entropy)


@pytest.mark.parametrize("centers", [[0.0], [-1.5, 1.5]])
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_unequal_bandwidths_match_simulation(workflow, centers):
    """Moments and integrated squared error from drawn points, d = 1; false-alarm rate 1e-6 per call."""
    rng, chains, n, h = np.random.default_rng(71), 20_000, 5, [0.5, 0.9, 0.3, 0.7]
    centers = np.array(centers)
    pool = fitted = rng.standard_normal((chains, n)) + rng.choice(centers, size=(chains, n))
    variance, mean, error = [], [], []
    for k, width in enumerate(h):
        if k > 0:
            chosen = rng.integers(fitted.shape[1], size=(chains, n))
            new = np.take_along_axis(fitted, chosen, axis=1) + h[k - 1] * rng.standard_normal((chains, n))
            pool = new if workflow == "replace" else np.hstack([pool, new])
        fitted = rng.permuted(pool, axis=1)[:, :n] if workflow == "accumulate_subsample" else pool
        mean.append(fitted.mean(axis=1) ** 2)
        variance.append(fitted.var(axis=1) + width**2)
        gaps = fitted[:, :, None] - fitted[:, None, :]
        own = norm.pdf(gaps, scale=np.sqrt(2) * width).mean(axis=(1, 2))
        cross = np.mean([norm.pdf(fitted, c, np.hypot(1, width)).mean(axis=1) for c in centers], axis=0)
        error.append(own - 2 * cross + norm.pdf(centers[:, None] - centers, scale=np.sqrt(2)).mean())
    exact = moments(workflow, n, h, 3, sigma=np.hypot(1, np.std(centers)))
    assert_mean(np.array(variance).T, exact.variance, 0.1 * exact.variance)
    assert_mean(np.array(mean).T, exact.mean_error, 0.15 * exact.mean_error)
    mise = getattr(kde_error, f"{workflow}_mise_exact")(
        dim=1, sigma=1.0, n_per_round=n, bandwidths=h, rounds=3, points=centers[:, None]
    )
    assert_mean(np.array(error).T, mise, 0.1 * mise)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        (kde.replace_moments_exact, {"bandwidths": -0.1}, "bandwidths must be >= 0 and finite, got -0.1"),
        (
            kde.accumulate_moments_exact,
            {"bandwidths": [1, 2]},
            "bandwidths must be one number or one for each of 4",
        ),
        (kde.accumulate_moments_exact, {"sigma": 0}, "sigma must be > 0 and finite, got 0"),
        (kde.replace_moments_exact, {"n_per_round": 0}, "n_per_round must be an integer >= 1, got 0"),
        (
            kde.accumulate_subsample_moments_exact,
            {"n_per_round": 1},
            "n_per_round must be an integer >= 2, got 1",
        ),
        (
            kde_error.replace_mise_exact,
            {"bandwidths": 0, "dim": 1},
            "bandwidths must be > 0 and finite, got 0",
        ),
        (
            kde_error.replace_mise_exact,
            {"dim": 2, "points": [[1.0]]},
            r"points must be \(M, 2\), got an array",
        ),
        (kde_error.replace_mise_exact, {"dim": 0}, "dim must be an integer >= 1, got 0"),
        (
            kde_error.accumulate_subsample_mise_exact,
            {"dim": 1, "n_per_round": 1},
            "n_per_round must be an integer >= 2",
        ),
    ],
)
def test_values_out_of_range_are_named(function, changes, message):
    arguments = dict(sigma=1.0, n_per_round=5, bandwidths=0.5, rounds=3)
    with pytest.raises(ValueError, match=message):
        function(**{**arguments, **changes})
