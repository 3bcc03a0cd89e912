"""Coverage of the intervals by enumeration of every table, held to the published numbers."""

import itertools

import numpy as np
import pytest

from simcollapse.auditing import coverage as enumeration
from simcollapse.auditing.coverage import ERROR_RATES, METHODS, PHIS, PSIS, all_tables, coverage, table_chance
from theory.breakdown import decision, intervals

# size -> (mean, least) over the grid of `coverage`; what the README and the docstring of `audit` say
SCORE = {
    10: (0.9688, 0.9222),
    20: (0.9591, 0.8828),
    30: (0.9562, 0.8876),
    50: (0.9537, 0.8952),
    100: (0.9528, 0.9063),
    200: (0.9515, 0.9065),
}
EXACT = {
    10: (0.9990, 0.9922),
    20: (0.9985, 0.9925),
    30: (0.9982, 0.9926),
    50: (0.9977, 0.9916),
    100: (0.9968, 0.9890),
    200: (0.9957, 0.9870),
}
FAST = (10, 20, 30)


def check(size):
    for method, published in (("score", SCORE), ("exact", EXACT)):
        found = coverage(size, method=method)
        assert (found.mean, found.least) == pytest.approx(published[size], abs=5.1e-5)
        assert found.mean >= 0.95
        assert found.least >= (0.95 if method == "exact" else 0.88)


@pytest.mark.parametrize("size", FAST)
def test_published_coverage(size):
    check(size)


@pytest.mark.slow
@pytest.mark.parametrize("size", [size for size in SCORE if size not in FAST])
def test_published_coverage_of_large_audits(size):
    check(size)


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 20, 50])
def test_exact_intervals_cover_everywhere_on_a_dense_grid(size):
    """And the score interval never falls below 0.87 there."""
    grid = {
        "error_rates": (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        "phis": (0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0),
        "psis": (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0),
    }
    assert coverage(size, method="exact", **grid).least >= 0.95
    score = coverage(size, method="score", **grid)
    assert score.mean >= 0.95 and score.least >= 0.87


def test_the_page_of_the_theory_has_the_same_coverage():
    """BREAKDOWN.md D3, three decimals: (M, p, phi, psi) -> Wald, Katz, Koopman, Miettinen-Nurminen."""
    cells = {
        (100, 0.1, 0.9, 0.3): (0.885, 0.937, 0.954, 0.956),
    }
    for (size, p, phi, psi), published in cells.items():
        found = [
            coverage(size, method=method, error_rates=(p,), phis=(phi,), psis=(psi,)).mean
            for method in ("wald", "katz", "koopman", "score")
        ]
        assert found == pytest.approx(published, abs=5.1e-4)


def test_the_enumeration_is_complete():
    table = all_tables(12)
    assert len(table[0]) == 13 * 14 * 15 // 6
    assert table_chance(table, 12, 0.3, 0.8, 0.4).sum() == pytest.approx(1, abs=1e-12)
    x_c, n_c, x_w, n_w = table
    chance = table_chance(table, 12, 0.3, 0.8, 0.4)
    assert np.sum(chance * x_c) == pytest.approx(12 * 0.7 * 0.8)
    assert np.sum(chance * x_w) == pytest.approx(12 * 0.3 * 0.4)
    assert np.all(n_c + n_w == 12)


@pytest.mark.parametrize("size", [10, 25])
def test_verdicts_are_wrong_with_at_most_two_and_a_half_percent_each(size):
    """Over the grid, by enumeration: never more than 0.025 wrong verdicts, and a 0.06 test would be seen."""
    x_c, _, x_w, _ = table = all_tables(size)
    more, less = decision.sign_test(x_c, x_c + x_w)
    worst = planted = 0.0
    for p, phi, psi in itertools.product(ERROR_RATES, PHIS, PSIS):
        chance = table_chance(table, size, p, phi, psi)
        wrong = less if (1 - p) * phi > p * psi else more
        worst = max(worst, np.sum(chance * (wrong <= 0.025)))
        planted = max(planted, np.sum(chance * (wrong <= 0.06)))
    assert worst <= 0.025 < planted


@pytest.mark.parametrize(("size", "least"), [(10, 0.9034), (20, 0.9030), (30, 0.8603)])
def test_the_margins_intervals_cover_as_published(size, least):
    """MOVER from score intervals on average, Bonferroni from exact ones everywhere."""
    x_c, n_c, x_w, n_w = table = all_tables(size)
    ends, p_ends = intervals.p_star_interval_score(*table), intervals.wilson(n_w, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        p_star = 1 / (1 + (x_w / n_w) / (x_c / n_c))
        mover = intervals.difference_interval(p_star, ends, n_w / size, p_ends)
    mover = np.where(np.isnan(p_star), (ends[0] - p_ends[1], ends[1] - p_ends[0]), mover)
    ends = intervals.p_star_interval_exact(*table, level=0.975)
    p_ends = intervals.clopper_pearson(n_w, size, level=0.975)
    exact = ends[0] - p_ends[1], ends[1] - p_ends[0]
    found = []
    for p, phi, psi in itertools.product(ERROR_RATES, PHIS, PSIS):
        chance = table_chance(table, size, p, phi, psi)
        truth = phi / (phi + psi) - p
        found.append([np.sum(chance * ((low <= truth) & (truth <= high))) for low, high in (mover, exact)])
    assert np.mean(found, axis=0)[0] >= 0.95
    assert np.min(found, axis=0)[0] == pytest.approx(least, abs=5.1e-5)
    assert np.min(found, axis=0)[1] >= 0.95


def test_main_prints_every_method(capsys, monkeypatch):
    monkeypatch.setattr(enumeration, "SIZES", (5,))
    enumeration.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["method", *METHODS]
