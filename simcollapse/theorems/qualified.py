"""Published statements that hold with a qualifier: what it is, in closed form, and that it is needed."""

from typing import Any

import numpy as np

from simcollapse import engine
from simcollapse.tasks import discrete, gaussian, kde, linear_regression
from simcollapse.theorems.evidence import RATE, at_most, equal_means, within
from simcollapse.theorems.simulations import BLOCK, arrays, unjudged
from simcollapse.theorems.theorem import Theorem
from simcollapse.verifiers import likelihood
from simcollapse.workflows import accumulate, accumulate_subsample, contaminated, fresh_real, replace
from theory import workflows as closed


def _distance(planted):
    n, rounds = 20, 12
    for divisor in ("mle", "unbiased"):
        task = gaussian(1, estimator=divisor, wasserstein=True)
        found = unjudged(task, replace(), n=n, rounds=rounds, seed=71, engine="law")
        formula = {"mle": "unbiased", "unbiased": "mle"}[divisor] if planted else divisor
        exact = closed.gaussian_replace.wasserstein_exact(
            sigma=1.0, n_real=n, n_per_round=n, rounds=rounds, covariance=formula
        )
        yield equal_means(f"{divisor}, {n} rows", found.wasserstein, exact)
    far = unjudged(gaussian(1, wasserstein=True), replace(), n=5, rounds=60, seed=72, engine="law")
    yield at_most("mle, 5 rows, round 60: below 2 tr Sigma_0", far.wasserstein[:, -1], 2.0)
    path: Any = {"sigma": 1.0, "n_real": 5, "n_per_round": 5, "rounds": 2000}
    grown = closed.gaussian_replace.wasserstein_exact(**path, covariance="unbiased")
    yield within("unbiased: as k/n", abs(grown[-1] - grown[1000] - 1000 / 5), 1e-6)


DISTANCE = Theorem(
    name="replaced-gaussian-distance",
    statement="Under replace the expected squared Wasserstein distance to the truth diverges, as k/n, for the unbiased "
    "covariance; for the maximum-likelihood one it is bounded by 2 tr Sigma_0.",
    source="divergence: [Shumailov24], [Kazdan24]; the qualifier derived here; "
    "theory.workflows.gaussian_replace.wasserstein_exact",
    assumptions="Gaussian data; exact in one dimension, the bound in any.",
    strategy="simulate() in law, d = 1: distance of every round by z-score with both divisors, and the bound in round "
    f"60; {RATE}.",
    planted="the divisors are exchanged",
    check=_distance,
)


def _growing_budget(planted):
    n, rounds = 6, 12
    task = gaussian(2, estimator="unbiased")
    found = unjudged(task, accumulate_subsample(), n=n, rounds=rounds, seed=73)
    divisor = "mle" if planted else "unbiased"
    common: Any = {"n_per_round": n, "rounds": rounds, "covariance": divisor}
    yield equal_means("trace", found.trace, closed.gaussian_subsample.covariance_ratio_exact(**common))
    error = 2 * closed.gaussian_subsample.mean_error_ratio_exact(**common)
    yield equal_means("error of the mean", found.squared_error, error)
    long = closed.gaussian_subsample.covariance_ratio_exact(
        n_per_round=n, rounds=10**5, covariance="unbiased"
    )
    exponent = np.log(long[-1] / long[10**4]) / np.log(100_001 / 10_001)
    yield within("exponent 1/n between rounds 10^4 and 10^5", abs(exponent * n - 1), 1e-3)
    flat = closed.gaussian_subsample.covariance_ratio_exact(n_per_round=n, rounds=10**5)
    limit = closed.gaussian_subsample.covariance_ratio_limit(n_per_round=n)
    yield within("mle: a plateau", abs(flat[-1] / limit - 1), 1e-4)


GROWING_BUDGET = Theorem(
    name="subsample-growth-unbiased",
    statement="A fixed budget drawn from all rows plateaus for the maximum-likelihood covariance, and for the unbiased "
    "one its trace and the error of the mean grow without bound, as k^(1/n).",
    source="plateau: [Kazdan24]; height and qualifier derived here; theory.workflows.gaussian_subsample",
    assumptions="Any data with a covariance; as many rows drawn as generated.",
    strategy="simulate() of 12 rounds of 6 rows, d = 2, unbiased: trace and error of the mean by z-score; the closed "
    f"forms at 10^5 rounds; {RATE}.",
    planted="the formulas of the maximum-likelihood divisor",
    check=_growing_budget,
)


def _bandwidths(planted):
    n, rounds = 20, 12
    t = np.arange(1.0, rounds + 2)
    for exponent in (0.0, 0.5):
        found = unjudged(
            kde(1, bandwidth=0.6, exponent=exponent, test=20), accumulate(), n=n, rounds=rounds, seed=74
        )
        width = 0.6 * t ** -(0.5 - exponent if planted else exponent)
        exact = closed.kde.accumulate_second_moment_exact(sigma=1.0, bandwidths=width, rounds=rounds)
        yield equal_means(f"h = 0.6 t^-{exponent:g}", found.trace + found.squared_error, exact)
    t = np.arange(1.0, 10**6 + 1)
    moment = closed.kde.accumulate_second_moment_exact
    constant = moment(sigma=1.0, bandwidths=1.0, rounds=len(t) - 1)
    yield within("constant h: log k", abs(constant[-1] - constant[999] - np.log(1000)), 1e-2)
    slow = moment(sigma=1.0, bandwidths=t**-0.25, rounds=len(t) - 1)
    rest = 2 * t[999] ** -0.5  # the sum of j^-3/2 beyond 1000, and a little of the last kernel
    yield within("h = t^-1/4: bounded", slow[-1] - slow[999], rest)


BANDWIDTHS = Theorem(
    name="accumulating-kernels",
    statement="Accumulating keeps a kernel density estimate bounded if and only if the sum of h_k^2/k is finite: any "
    "power h_k = k^-a, a > 0, will do, a constant bandwidth spreads as h^2 log k.",
    source="boundedness: [Kazdan24]; the condition derived here; theory.workflows.kde.accumulate_second_moment_exact",
    assumptions="Gaussian kernel, any data with a variance; second moment of the model about the real mean.",
    strategy="simulate() of 12 rounds with a constant bandwidth and with h = t^-1/2: second moment of every round by "
    f"z-score; the closed form at 10^6 rounds; {RATE}.",
    planted="the two schedules are exchanged",
    check=_bandwidths,
)


def _wrong_rows(planted):
    dim, noise, shift = 4, 0.1, 2.0
    coef = [shift, 0.0, 0.0, 0.0]
    for share, rows in ((0.01, 300), (0.01, 3000), (0.2, 300)):
        found = unjudged(
            linear_regression(dim, noise=noise),
            contaminated(share, coef=coef),
            n=rows,
            rounds=1,
            seed=75,
            engine="law",
        )
        wrong = round(share * rows)
        sizes: Any = {
            "dim": dim,
            "sigma": noise,
            "shift": shift,
            "n_real": rows - wrong,
            "n_synthetic": wrong,
        }
        exact = closed.contaminated.least_squares_mse_exact(**sizes)
        simple = noise**2 * dim / rows + (share * shift) ** 2
        yield equal_means(
            f"share {share:g}, {rows} rows", found.squared_error[:, 1], simple if planted else exact
        )
        if share == 0.01:
            yield within(f"the simple formula is 10 % too low at {rows} rows", simple / exact, 0.9)


WRONG_ROWS = Theorem(
    name="strong-collapse-floor",
    statement="A share p of wrong rows leaves the floor p^2 c^2 however many rows there are; sigma^2 d/n + p^2 "
    "c^2 also "
    "needs d/n << p or p c^2 << sigma^2, else it is too low by p (1 - p) c^2 d/n.",
    source="floor and formula: [Dohmatob24b]; exact form and qualifier derived here; "
    "theory.workflows.contaminated.least_squares_mse_exact",
    assumptions="Least squares, isotropic Gaussian rows, coefficients of the wrong rows shifted by c.",
    strategy="simulate() in law, d = 4, low noise, 1 % and 20 % of wrong rows: squared error by z-score against the "
    f"exact form; {RATE}.",
    planted="the simple formula in place of the exact one",
    check=_wrong_rows,
)


def _weights(planted):
    n, rounds = 40, 10
    golden = (np.sqrt(5) - 1) / 2
    for weight in (0.3, golden, 0.9):
        workflow = fresh_real(0.5, weight=weight)
        found = unjudged(
            linear_regression(1, design="orthogonal"), workflow, n=n, rounds=rounds, seed=76, n_real=n // 2
        )
        used = 1 - weight if planted else weight
        exact = closed.fresh_real.mean_mse_exact(
            sigma=1.0, n_real=n // 2, n_synthetic=n // 2, real_weight=used, rounds=rounds
        )
        yield equal_means(f"a mean, weight {weight:.3g}", found.squared_error, exact)
    best = closed.fresh_real
    yield within("a mean: golden", abs(best.mean_best_weight_exact(n_real=9, n_synthetic=9) - golden), 1e-12)
    labels = [
        best.labels_mse_limit(dim=30, sigma=1.0, n_per_round=60, real_weight=golden + off)
        for off in (-1e-3, 0, 1e-3)
    ]
    yield within("mixed labels: golden for any d/n", labels[1] - min(labels), 0.0)
    few = best.variance_best_weight_exact(n_real=10, n_synthetic=10)
    yield within("a variance from 10 rows: 0.6407", abs(few - 0.6407), 5e-5)
    rows, dim = 60, 24
    crowded = best.weighted_best_weight_asymptotic(dim=dim, n_real=rows, n_synthetic=rows)
    yield within("weighted rows, d/n = 0.4: above golden by 0.02", golden + 0.02 - crowded, 0.0)
    found = unjudged(
        linear_regression(dim), fresh_real(0.5, weight=crowded), n=2 * rows, rounds=8, chains=1024, seed=77
    )
    limit = best.weighted_mse_asymptotic(
        dim=dim, sigma=1.0, n_real=rows, n_synthetic=rows, real_weight=1 - crowded if planted else crowded
    )
    yield equal_means("weighted rows at that weight", found.squared_error[:, -1], limit, 0.05 * limit)


WEIGHTS = Theorem(
    name="golden-weight",
    statement="The best weight of as many fresh real rows as generated ones is the reciprocal golden ratio 0.618 for "
    "a mean and for mixed labels; a fitted variance needs more by order 1/n, weighted rows more by order d/n.",
    source="a mean: [He25]; labels: [Garg25]; the qualifiers derived here; theory.workflows.fresh_real",
    assumptions="The error after many rounds; weighted rows: rows and coefficients in proportion.",
    strategy="simulate() of a mean at three weights: squared error of every round by z-score; of least squares with "
    f"d/n = 0.4 at its own best weight, within 5 % of the limit; the closed forms' least values; {RATE}.",
    planted="the weights of real and generated rows are exchanged",
    check=_weights,
)


def _fixation(planted):
    formula = closed.discrete.replace_fixation_time_asymptotic
    for shares, n, rounds in (((0.5, 0.5), 8, 160), ((0.4, 0.3, 0.2, 0.1), 12, 260)):
        found = unjudged(discrete(shares), replace(), n=n, rounds=rounds, seed=78, chains=8192, engine="law")
        times = (found.survivors > 1.5).sum(axis=1)  # rounds in which several outcomes were left
        exact = closed.discrete.replace_fixation_time_exact(probabilities=shares, n_real=n, n_per_round=n)
        diffusion = formula(probabilities=shares, n_per_round=n)
        yield equal_means(f"{len(shares)} outcomes, {n} draws", times, diffusion if planted else exact)
        yield within("diffusion is above by 1 or more", 1 - (diffusion - exact), 0.0)


FIXATION = Theorem(
    name="time-to-a-single-outcome",
    statement="The expected round in which one outcome is left under replace is a sum over ancestors, exact for any n; "
    "the diffusion formula -2n sum (1 - p) log(1 - p) is above it by about (1/3) log n + 3/2.",
    source="diffusion: Kimura and Ohta 1969; the exact form derived here; "
    "theory.workflows.discrete.replace_fixation_time_exact",
    assumptions="Shares fitted by counting; as many draws in each round.",
    strategy=f"simulate() in law of two and of four outcomes until all chains are fixed: mean time by z-score; {RATE}.",
    planted="the diffusion formula in place of the exact one",
    check=_fixation,
)


def _crowded(planted):
    dim, count, rounds = 40, 100, 6
    rows = np.random.default_rng(79).standard_normal((count, dim))
    task = linear_regression(dim, design="fixed", rows=rows)
    found = unjudged(task, accumulate_subsample(), n=count, rounds=rounds, seed=79, chains=512)
    law = closed.linear_regression_subsample.subsample_growth_asymptotic(
        ratio=dim / count, rounds=rounds, design="reused"
    )
    first_order = closed.first_order.error_factor_asymptotic(workflow="accumulate_subsample", rounds=rounds)
    one_fit = np.trace(np.linalg.inv(rows.T @ rows))
    expected = one_fit * (first_order if planted else law)
    yield equal_means("d/n = 0.4", found.squared_error, expected, 0.1 * expected)
    yield within("a third above the first order", first_order[-1] * 4 / 3 - law[-1], 0.0)


CROWDED = Theorem(
    name="subsample-crowded-design",
    statement="The plateau 3 H - 2 of a fixed budget is a limit of few coefficients per row: for d in proportion to n "
    "it is higher, and from d/n = 0.45 on a reused design (1/2 on fresh ones) there is none.",
    source="plateau: [Kazdan24]; the law in proportion derived here; theory.workflows.linear_regression_subsample",
    assumptions="Least squares on Gaussian rows, known noise; d, n -> inf in proportion.",
    strategy="simulate() of 6 rounds on one design, d = 40, n = 100: squared error of every round by z-score, beyond "
    f"10 % that d and n finite and the one design may make; {RATE}.",
    planted="the first order in place of the law in proportion",
    check=_crowded,
)


def _arriving(planted):
    n, rounds, width = 2_000, 6, 0.5
    place = {"mean": 0.0, "sigma": 1.0, "center": 1.0, "radius": 1.5, "bandwidth": width}
    wrong = place | {"bandwidth": width / 4} if planted else place
    for name, workflow in (("replace", replace()), ("accumulate", accumulate())):
        chains = engine.simulate(
            kde(1, bandwidth=width, test=2),
            likelihood(bias=1.0, radius=1.5),
            workflow,
            n_real=n,
            n_per_round=n,
            rounds=rounds,
            chains=BLOCK,
            seed=80,
            block_size=BLOCK,
            progress=False,
        )
        found = arrays(chains)
        path = getattr(closed.truncated_kde, f"{name}_population_limit")(**wrong, rounds=rounds)
        way = np.sqrt(found.squared_error[:, 1:])  # on the center's side of the truth in every chain
        yield equal_means(f"{name}, mean", way, path.mean[1:], 2 / n)
        yield equal_means(f"{name}, variance", found.trace[:, 1:], path.variance[1:], 5 / n)
    end = closed.truncated_kde.replace_limit(center=1.0, radius=1.5, bandwidth=width)
    far = closed.truncated_kde.replace_population_limit(**place, rounds=200)
    yield within("replace ends at the center", abs(far.mean[-1] - 1.0), 1e-9)
    yield within("… with a variance that lasts", abs(far.variance[-1] - end.variance), 1e-9)


ARRIVING = Theorem(
    name="a-kernel-density-arrives-at-the-center",
    statement="A density estimate behind a verifier that keeps the rows of an interval arrives at its center under "
    "replace and keeps a width, where a Gaussian fit stops on its way and narrows for ever; under accumulate what is "
    "left of the way falls as k^-(1 - lambda_2/lambda_1) only.",
    source="arrival at the center: [Yi26], Theorem 4.1, for regression; for densities derived here; "
    "theory.workflows.truncated_kde",
    assumptions="One dimension, Gaussian kernel of fixed bandwidth, many rows.",
    strategy="simulate() of 6 rounds of 2,000 rows: mean and variance by z-score, beyond the few n-ths that n finite "
    f"makes; the limit by its eigenvector; {RATE}.",
    planted="a quarter of the bandwidth",
    check=_arriving,
)
