"""A Gaussian fit behind an interval verifier: other ways to the same moments, identities, limits, bad input."""

import numpy as np
import pytest
from scipy import stats

from theory.workflows import truncated_gaussian as theory

CASES = [(0.0, 1.0, 1.0, 0.7), (2.0, 0.5, 1.0, 3.0), (-1.0, 2.0, 3.0, 0.1), (0.0, 1.0, 0.0, 1.0)]


@pytest.mark.parametrize(("mean", "sigma", "center", "radius"), CASES)
def test_replace_is_a_truncated_normal_each_round(mean, sigma, center, radius):
    """SciPy's truncated normal, whose moments are computed another way."""
    ours = theory.replace_population_limit(mean=mean, sigma=sigma, center=center, radius=radius, rounds=12)
    assert np.isnan(ours.acceptance[0])
    for k in range(1, 13):
        mu, s = ours.mean[k - 1], np.sqrt(ours.variance[k - 1])
        low, high = (center - radius - mu) / s, (center + radius - mu) / s
        kept = stats.truncnorm(low, high, loc=mu, scale=s)
        np.testing.assert_allclose(ours.mean[k], kept.mean(), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(ours.variance[k], kept.var(), rtol=1e-7)
        np.testing.assert_allclose(ours.acceptance[k], stats.norm.cdf(high) - stats.norm.cdf(low), rtol=1e-9)


@pytest.mark.parametrize(("mean", "sigma", "center", "radius"), CASES)
@pytest.mark.parametrize("real_share", [0.2, 1.0])
def test_accumulate_has_the_moments_of_the_whole_pool(mean, sigma, center, radius, real_share):
    """First and second moments about a fixed point, summed over every round's rows from the start."""
    ours = theory.accumulate_population_limit(
        mean=mean, sigma=sigma, center=center, radius=radius, rounds=8, real_share=real_share
    )
    weights, firsts, seconds = [real_share], [mean], [sigma**2 + mean**2]
    for k in range(1, 9):
        mu, s = ours.mean[k - 1], np.sqrt(ours.variance[k - 1])
        low, high = (center - radius - mu) / s, (center + radius - mu) / s
        kept = stats.truncnorm(low, high, loc=mu, scale=s)
        weights.append(stats.norm.cdf(high) - stats.norm.cdf(low))
        firsts.append(kept.mean())
        seconds.append(kept.var() + kept.mean() ** 2)
        first = np.average(firsts, weights=weights)
        np.testing.assert_allclose(ours.mean[k], first, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            ours.variance[k], np.average(seconds, weights=weights) - first**2, rtol=1e-6
        )


def test_no_interval_changes_nothing_and_few_rows_beside_many_real_ones_little():
    arguments = {"mean": 1.0, "sigma": 2.0, "center": 0.0, "rounds": 5}
    for run in (theory.replace_population_limit, theory.accumulate_population_limit):
        free = run(**arguments, radius=np.inf)
        np.testing.assert_allclose(free.mean, 1.0, rtol=1e-14)
        np.testing.assert_allclose(free.variance, 4.0, rtol=1e-12)
        np.testing.assert_array_equal(free.acceptance[1:], 1.0)
    real = theory.accumulate_population_limit(**arguments, radius=1.0, real_share=1e9)
    np.testing.assert_allclose(real.mean, 1.0, atol=1e-8)
    alone = theory.accumulate_population_limit(**arguments | {"rounds": 1}, radius=1.0, real_share=1e-9)
    forgotten = theory.replace_population_limit(**arguments | {"rounds": 1}, radius=1.0)
    np.testing.assert_allclose(alone.mean[1], forgotten.mean[1], rtol=1e-7)


def test_moving_and_scaling_the_data_moves_and_scales_the_model():
    for run in (theory.replace_population_limit, theory.accumulate_population_limit):
        plain = run(mean=0.0, sigma=1.0, center=0.8, radius=0.6, rounds=6)
        moved = run(mean=-3.0, sigma=2.0, center=-3 + 1.6, radius=1.2, rounds=6)
        np.testing.assert_allclose(moved.mean, 2 * plain.mean - 3, rtol=1e-12)
        np.testing.assert_allclose(moved.variance, 4 * plain.variance, rtol=1e-12)
        np.testing.assert_allclose(moved.acceptance[1:], plain.acceptance[1:], rtol=1e-12)


@pytest.mark.parametrize(("center", "radius"), [(1.0, 1.0), (2.0, 0.5), (3.0, 2.0), (0.3, 0.2)])
def test_the_mean_nears_the_center_and_the_variance_falls_in_every_round(center, radius):
    path = theory.replace_population_limit(mean=0.0, sigma=1.0, center=center, radius=radius, rounds=500)
    off = center - path.mean
    assert (np.diff(off) < 0).all() and (off > 0).all()
    assert (np.diff(path.variance) < 0).all()
    resting = theory.replace_mean_limit(mean=0.0, sigma=1.0, center=center, radius=radius)
    assert path.mean[-1] < resting <= center


@pytest.mark.parametrize(("center", "radius"), [(1.0, 1.0), (1.0, 3.0), (2.0, 0.5), (3.0, 2.0)])
def test_where_the_mean_ends(center, radius):
    """Twenty times as many rounds one by one give the same end; the nearer edge's invariant gives it by hand."""
    ours = theory.replace_mean_limit(mean=0.0, sigma=1.0, center=center, radius=radius)
    path = theory.replace_population_limit(mean=0.0, sigma=1.0, center=center, radius=radius, rounds=6000)
    later = {"mean": path.mean[-1], "sigma": np.sqrt(path.variance[-1])}
    np.testing.assert_allclose(
        theory.replace_mean_limit(**later, center=center, radius=radius), ours, atol=1e-6 * radius
    )
    u, w = center - path.mean[-1], path.variance[-1]
    if (
        2 * radius * u / w > 14
    ):  # the density at the farther edge, as a share of that at the nearer one: e^-14
        by_hand = radius - np.sqrt(2 * w + (radius - u) ** 2)
        np.testing.assert_allclose(center - ours, by_hand, atol=1e-6 * radius)
    else:
        assert (center, radius) in ((1.0, 1.0), (2.0, 0.5))
    assert center - ours > 0.03 * radius  # not at the center
    mirrored = theory.replace_mean_limit(mean=0.0, sigma=1.0, center=-center, radius=radius)
    np.testing.assert_allclose(mirrored, -ours, rtol=1e-12)


def test_narrow_intervals_put_the_mean_at_their_center():
    """After one round u = u_0 radius^2 / (3 sigma^2), to first order; and it rests there."""
    for radius in (0.02, 0.05):
        path = theory.replace_population_limit(mean=0.0, sigma=1.0, center=1.0, radius=radius, rounds=1)
        np.testing.assert_allclose(1 - path.mean[1], radius**2 / 3, rtol=radius)
    assert abs(theory.replace_mean_limit(mean=0.0, sigma=1.0, center=1.0, radius=0.05) - 1) < 1e-6
    assert theory.replace_mean_limit(mean=1.0, sigma=1.0, center=1.0, radius=2.0) == 1.0


def test_the_variance_falls_logarithmically():
    rounds = 6000
    path = theory.replace_population_limit(mean=0.0, sigma=2.0, center=0.0, radius=2.0, rounds=rounds)
    for k, near in ((500, 0.02), (rounds, 0.003)):
        np.testing.assert_allclose(
            theory.replace_rounds_to_variance_asymptotic(path.variance[k], 2.0), k, rtol=near
        )
    many = theory.replace_rounds_to_variance_asymptotic(4 / np.array([50.0, 100.0]), 2.0)
    leading = np.sqrt(2 * np.pi) * np.exp([25.0, 50.0]) * np.array([50.0, 100.0]) ** -1.5
    np.testing.assert_allclose(many, leading, rtol=0.08)
    assert theory.replace_rounds_to_variance_asymptotic(1e-4, 1.0) == np.inf


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sigma": 0.0}, "sigma must be > 0"),
        ({"radius": -1.0}, "radius must be > 0"),
        ({"center": np.nan}, "center must be finite"),
        ({"mean": np.inf}, "mean must be finite"),
        ({"rounds": 1.5}, "rounds must be an integer >= 0"),
        ({"real_share": 0.0}, "real_share must be > 0"),
    ],
)
def test_bad_input(changed, words):
    arguments = {"mean": 0.0, "sigma": 1.0, "center": 0.0, "radius": 1.0, "rounds": 2} | changed
    run = theory.accumulate_population_limit if "real_share" in changed else theory.replace_population_limit
    with pytest.raises(ValueError, match=words):
        run(**arguments)
    with pytest.raises(ValueError, match="radius must be > 0 and finite"):
        theory.replace_mean_limit(mean=0.0, sigma=1.0, center=0.0, radius=np.inf)
