"""A kernel density behind an interval verifier: other ways to the same densities, identities, limits, bad input."""

import numpy as np
import pytest
from scipy import stats

from theory.workflows import truncated_kde as theory

CASES = [(0.0, 1.0, 1.5, 2.5, 0.3), (2.0, 0.5, 1.0, 1.0, 0.2), (-1.0, 2.0, 0.0, 3.0, 1.0)]
RUNS = {
    "replace": (theory.replace_population_limit, {}),
    "accumulate": (theory.accumulate_population_limit, {"real_share": 0.25}),
    "fresh_real": (theory.fresh_real_population_limit, {"real_share": 0.2}),
}


def arguments(case):
    return dict(zip(("mean", "sigma", "center", "radius", "bandwidth"), case, strict=True))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("case", CASES)
def test_rounds_are_those_of_a_histogram(case, name):
    """The same recursion on a fine grid of the whole line: kernels by a sum over cells, the interval by a mask."""
    run, extra = RUNS[name]
    ours = run(**arguments(case), **extra, rounds=6)
    mean, sigma, center, radius, bandwidth = case
    cells = np.arange(center - radius - 12 * bandwidth, center + radius + 12 * bandwidth, 2.5e-3 * radius)
    cells = cells + (center - radius) - cells[np.searchsorted(cells, center - radius)] + 1.25e-3 * radius
    width = cells[1] - cells[0]
    inside = np.abs(cells - center) <= radius
    kernel = stats.norm.pdf(cells[:, None] - cells[None], scale=bandwidth)
    real, pool = 1.0, extra.get("real_share", 0.0)
    rows = np.zeros(len(cells))  # mass of generated rows in a fit
    from_real = stats.norm.pdf(cells, mean, np.hypot(sigma, bandwidth)) * width
    for k in range(7):
        if k:
            made = np.where(inside, real * from_real + width * kernel @ rows, 0.0)
            kept = made.sum()
            np.testing.assert_allclose(ours.acceptance[k], kept, rtol=1e-5)
            if name == "accumulate":
                weights = (pool, kept)
                pool += kept
            else:
                weights = (0.0, 1.0)
            if name == "fresh_real":
                real, rows, weights = 1.0, 0 * rows, (0.2, 0.8 * kept)
            share = weights[1] / sum(weights)
            real, rows = (1 - share) * real, (1 - share) * rows + share * made / kept
        first = real * mean + rows @ cells
        second = real * (mean**2 + sigma**2) + rows @ cells**2
        np.testing.assert_allclose(ours.mean[k], first, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(ours.variance[k], second - first**2 + bandwidth**2, rtol=2e-5)


def test_golden_values():
    """The setting of verify-x-workflow: mean and variance of round 100; twice the nodes give the same digits."""
    golden = {
        "replace": (1.487754300421, 1.424074183271),
        "accumulate": (0.516247792175, 0.881938500757),
        "fresh_real": (0.411766315796, 1.000443997516),
    }
    for name, (run, extra) in RUNS.items():
        found = run(**arguments(CASES[0]), **extra, rounds=100)
        np.testing.assert_allclose((found.mean[-1], found.variance[-1]), golden[name], rtol=1e-10)


def test_a_wide_interval_keeps_everything():
    """Without a verifier the variance grows by the bandwidth's square in every fit."""
    wide = theory.replace_population_limit(
        mean=1.0, sigma=2.0, center=0.0, radius=60.0, bandwidth=0.5, rounds=8
    )
    np.testing.assert_allclose(wide.mean, 1.0, rtol=1e-10)
    np.testing.assert_allclose(wide.variance, 4 + 0.25 * np.arange(1, 10), rtol=1e-10)
    np.testing.assert_allclose(wide.acceptance[1:], 1.0, rtol=1e-12)


def test_replace_arrives_at_the_center_at_the_rate_of_the_second_eigenvalue():
    long = theory.replace_population_limit(**arguments(CASES[0]), rounds=800)
    end = theory.replace_limit(center=1.5, radius=2.5, bandwidth=0.3)
    np.testing.assert_allclose((long.mean[-1], long.variance[-1], long.acceptance[-1]), end[:3], rtol=1e-10)
    left = 1.5 - long.mean
    np.testing.assert_allclose(left[201] / left[200], end.decay, rtol=1e-4)


def test_a_narrow_kernel_has_the_eigenvalues_of_diffusion():
    """Killed at the ends of an interval of 2 radius: lambda_j = exp(-(j pi h)^2 / (8 radius^2)), j = 1, 2, …

    The ends are felt 0.58 h further out (Chernoff's constant of a discrete walk), which is left out here: 2 % at
    h = 0.02.
    """
    radius, h = 1.0, 0.02
    end = theory.replace_limit(center=0.0, radius=radius, bandwidth=h)
    np.testing.assert_allclose(1 - end.decay, 3 * np.pi**2 * h**2 / (8 * radius**2), rtol=0.03)
    np.testing.assert_allclose(1 - end.acceptance, np.pi**2 * h**2 / (8 * radius**2), rtol=0.03)
    np.testing.assert_allclose(end.variance, radius**2 * (1 - 8 / np.pi**2), rtol=0.03)


def test_accumulate_drifts_with_a_power_of_the_round():
    """What is left of the way falls as k^-(1 - rho), but for the real rows' part, which falls as 1/k."""
    rounds = 20_000
    found = theory.accumulate_population_limit(
        mean=0.3, sigma=0.7, center=0.0, radius=1.0, bandwidth=0.3, rounds=rounds
    )
    slow = 1 - theory.replace_limit(center=0.0, radius=1.0, bandwidth=0.3).decay
    exponent = np.log(found.mean[rounds // 10] / found.mean[rounds]) / np.log(10)
    np.testing.assert_allclose(exponent, slow, rtol=0.01)
    assert 0.2 < slow < 0.3


def test_all_real_is_a_fit_of_the_truth_in_every_round():
    found = theory.fresh_real_population_limit(**arguments(CASES[1]), rounds=4, real_share=1.0)
    np.testing.assert_allclose(found.mean, 2.0)
    np.testing.assert_allclose(found.variance, 0.25 + 0.04)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"bandwidth": 1e-4}, "bandwidth must be at least"),
        ({"radius": np.inf}, "radius"),
        ({"radius": -1.0}, "radius"),
        ({"sigma": 0.0}, "sigma"),
        ({"center": np.nan}, "center"),
        ({"center": 1e3}, "radius must be so large"),
        ({"rounds": -1}, "rounds"),
        ({"real_share": 1.5}, "real_share"),
    ],
)
def test_bad_input(changed, words):
    good = arguments(CASES[0]) | {"rounds": 2, "real_share": 0.2}
    with pytest.raises(ValueError, match=words):
        theory.fresh_real_population_limit(**good | changed)
