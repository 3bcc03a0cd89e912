"""What becomes of real rows: conserved, few, deleted, reused, fresh; and one number per workflow to first order."""

from typing import Any

import numpy as np

from simcollapse.tasks import discrete, gaussian, linear_regression
from simcollapse.theorems.evidence import RATE, at_most, below, equal_means, within
from simcollapse.theorems.simulations import unjudged
from simcollapse.theorems.theorem import Theorem
from simcollapse.workflows import (
    accumulate,
    accumulate_subsample,
    delete_real,
    fresh_real,
    replace,
    sliding_window,
)
from theory import workflows as closed

MEAN = linear_regression(1, design="orthogonal")


def _conserved(planted):
    task = gaussian(3, estimator="unbiased" if planted else "mle")
    for make in (replace, accumulate, accumulate_subsample):
        found = unjudged(task, make(), n=12, rounds=6, seed=81, engine="auto")
        yield equal_means(make.__name__, 3 * found.trace + found.squared_error, 3.0)


CONSERVED = Theorem(
    name="second-moment-conserved",
    statement="Whatever data are kept, the expected covariance of a maximum-likelihood Gaussian and the "
    "expected squared "
    "error of its mean add up to the real covariance: what one loses the other gains.",
    source="derived here; theory.workflows.gaussian",
    assumptions="Any data with a covariance; divisor n, not n - 1.",
    strategy="simulate() of 6 rounds, d = 3, n = 12, under the three workflows: trace plus squared error by z-score; "
    + RATE
    + ".",
    planted="divisor n - 1",
    check=_conserved,
)


def _typical(planted):
    dim, n, start, rounds = 3, 10, 40, 80
    found = unjudged(gaussian(dim), replace(), n=n, rounds=rounds, seed=82, engine="law")
    slope = (found.log_trace[:, rounds] - found.log_trace[:, start]) / (rounds - start)
    rate = closed.gaussian_replace.lyapunov_exponents_exact(dim=dim, n_per_round=n)[0]
    mean = np.log1p(-1 / n)
    # directions turn while the axes separate: a few per cent of the rate after 40 rounds
    yield equal_means("rate of log trace", slope, mean if planted else rate, 0.04 * abs(rate))
    yield below("faster than the mean trace", slope, mean)


TYPICAL = Theorem(
    name="typical-collapse",
    statement="Under replace almost every chain loses its trace faster than the mean trace, at the rate "
    "psi((n - 1)/2) + log(2/n) of the largest axis in place of log(1 - 1/n): rare chains carry the mean.",
    source="Newman 1986, applied here; theory.workflows.gaussian_replace.lyapunov_exponents_exact",
    assumptions="Gaussian data, n > d, many rounds.",
    strategy="simulate() in law, d = 3, n = 10: slope of log trace over rounds 40 to 80 by z-score, beyond 4 % "
    "that the "
    f"turning of axes may make; {RATE}.",
    planted="the rate of the mean",
    check=_typical,
)


def _typical_kept(planted):
    n_real, n, rounds = 8, 12, 8
    for divisor in ("mle", "unbiased"):
        found = unjudged(
            gaussian(1, estimator=divisor),
            accumulate(),
            n=n,
            n_real=n_real,
            rounds=rounds,
            seed=83,
            engine="law",
        )
        sizes: Any = {"n_real": n_real, "n_per_round": n, "rounds": rounds, "covariance": divisor}
        exact = closed.gaussian_accumulate.mean_log_variance_exact(**sizes)
        if planted:
            exact = closed.gaussian_replace.mean_log_det_exact(dim=1, **sizes)
        yield equal_means(divisor, found.log_det, exact)
    long = closed.gaussian_accumulate.mean_log_variance_exact(n_real=8, n_per_round=12, rounds=4000)
    # a round takes 2/(n k^2) off, half of it the mean's and half the spread's: all later ones less than 2/(n k)
    yield within("it settles", long[2000] - long[4000], 2 / (12 * 2000))


TYPICAL_KEPT = Theorem(
    name="typical-variance-kept",
    statement="Under accumulate the variance of a fitted Gaussian tends to a positive random limit: the sum of "
    "E log F_k over rounds converges, so typical chains do not collapse either.",
    source="derived here; theory.workflows.gaussian_accumulate.mean_log_variance_exact",
    assumptions="Gaussian data, d = 1, any numbers of rows.",
    strategy="simulate() in law, both divisors, 8 rounds: log variance of every round by z-score; the closed form at "
    f"4,000 rounds; {RATE}.",
    planted="the logs of replace",
    check=_typical_kept,
)


def _universal(planted):
    n, rounds, outcomes = 2000, 8, 5
    tasks = {
        "a mean": (MEAN, "squared_error", 1 / n),
        "a Gaussian's distance": (gaussian(2, wasserstein=True), "wasserstein", 3.5 / n),
        "shares": (discrete(outcomes=outcomes), "squared_error", (1 - 1 / outcomes) / n),
    }
    for make in (replace, accumulate):
        name = make.__name__
        other = {"replace": "accumulate", "accumulate": "replace"}[name]
        law = closed.first_order.error_factor_asymptotic(workflow=other if planted else name, rounds=rounds)
        for label, (task, metric, one_fit) in tasks.items():
            found = unjudged(task, make(), n=n, rounds=rounds, seed=84, engine="law")
            # the next order is k/n: 0.5 % of the error
            yield equal_means(f"{label}, {name}", getattr(found, metric), one_fit * law, 0.02 * one_fit * law)


UNIVERSAL = Theorem(
    name="one-number-per-workflow",
    statement="To first order in 1/n the error of every regular parametric task in round k is a_k times that of "
    "one fit: "
    "k + 1 under replace, sum 1/i^2 under accumulate.",
    source="derived here; for least squares [Dohmatob24], [Gerstgrasser24]; "
    "theory.workflows.first_order.error_factor_asymptotic",
    assumptions="n -> inf at fixed k, efficient fits, no verifier.",
    strategy="simulate() in law of a mean, a Gaussian's squared Wasserstein distance and shares of outcomes, "
    "2,000 rows: "
    f"error of every round by z-score, beyond 2 % for the next order; {RATE}.",
    planted="the factors of the two workflows are exchanged",
    check=_universal,
)


def _few_real(planted):
    n, rounds = 100, 20
    for real in (2, 10, 100):
        found = unjudged(MEAN, accumulate(), n=n, n_real=real, rounds=rounds, seed=85, engine="law")
        batches = closed.linear.rounds_of(n if planted else real, n, rounds)
        exact = closed.linear.mean_mse_exact(
            sigma=1.0, batches=batches, weights=closed.linear.accumulated(batches)
        )
        yield equal_means(f"{real} real rows", found.squared_error, exact * (n / real if planted else 1))
        yield at_most(f"{real} real rows, below pi^2/6", found.squared_error[:, -1] * real, np.pi**2 / 6)


FEW_REAL = Theorem(
    name="no-threshold-of-real-rows",
    statement="Accumulating multiplies the first fit's error by 1 + sum r/(r + i)^2 with r the real rows over a "
    "round's: "
    "below pi^2/6 for every r <= 1, smooth, and the nearer to 1 the fewer real rows there are.",
    source="derived here; theory.workflows.linear.mean_mse_exact",
    assumptions="A mean with known variance; other regular tasks to first order.",
    strategy="simulate() in law with 2, 10 and 100 real rows and 100 a round: squared error of every round by z-score; "
    + RATE
    + ".",
    planted="the factor of as many real rows as generated ones",
    check=_few_real,
)


def _deleted(planted):
    n, rounds = 20, 24
    for at in (1, 6):
        found = unjudged(MEAN, delete_real(at), n=n, rounds=rounds, seed=86)
        sizes: Any = {"n_real": n, "n_per_round": n, "rounds": rounds}
        exact = closed.linear.deleted_mse_exact(sigma=1.0, at=at + 1 if planted else at, **sizes)
        yield equal_means(f"deleted at round {at}", found.squared_error, exact)
        far = closed.linear.deleted_mse_exact(sigma=1.0, at=at, **sizes | {"rounds": 800})
        yield within("it settles", far[800] / far[400] - 1, 0.01)
    found = unjudged(MEAN, sliding_window(3), n=n, rounds=rounds, seed=87)
    batches = closed.linear.rounds_of(n, n, rounds)
    table = closed.linear.windowed(batches, rounds=4 if planted else 3)
    exact = closed.linear.mean_mse_exact(sigma=1.0, batches=batches, weights=table)
    yield equal_means("a window of 3 rounds", found.squared_error, exact)
    batches = closed.linear.rounds_of(n, n, 200)
    long = closed.linear.mean_mse_exact(
        sigma=1.0, batches=batches, weights=closed.linear.windowed(batches, rounds=3)
    )
    yield within(
        "a window grows by the same", abs((long[200] - long[100]) / (long[100] - long[50]) - 2), 0.01
    )


DELETED = Theorem(
    name="deleted-real-rows",
    statement="Deleting all real rows at some round does not collapse an accumulating model, its error settles, the "
    "later the lower; a sliding window does: its error grows by the same in every round.",
    source="that any deletion collapses is often held; derived here; theory.workflows.linear",
    assumptions="A mean with known variance; other regular tasks to first order.",
    strategy="simulate() of rows deleted at rounds 1 and 6, and of a window of 3 rounds: squared error of every round "
    f"by z-score; the exact forms at 200 and 800 rounds; {RATE}.",
    planted="rows deleted one round later, a window of one round more",
    check=_deleted,
)


def _reused(planted):
    n, rounds = 20, 8
    for m in (10, 40):
        found = unjudged(MEAN, sliding_window(1, keep_real=True), n=m, n_real=n, rounds=rounds, seed=88)
        sizes: Any = {
            "sigma": 1.0,
            "n_real": n,
            "n_synthetic": m,
            "real_weight": n / (n + m),
            "rounds": rounds,
        }
        exact = closed.fresh_real.fixed_real_mean_mse_exact(**sizes)
        if planted:
            exact = closed.fresh_real.mean_mse_exact(**sizes)
        yield equal_means(f"{m} generated rows a round", found.squared_error, exact)
        yield within("never below the real rows alone", 1 / n - exact.min(), 1e-12)


REUSED = Theorem(
    name="reused-real-rows",
    statement="Where the same real rows are used in every round, generated ones never help an unbiased fit: its "
    "error is "
    "that of the real rows alone and more.",
    source="derived here; theory.workflows.fresh_real.fixed_real_mean_mse_exact",
    assumptions="A mean with known variance, rows pooled.",
    strategy=f"simulate() of 20 real rows and 10 or 40 generated ones: squared error of every round by z-score; "
    f"{RATE}.",
    planted="the form of fresh real rows",
    check=_reused,
)


def _only_real(planted):
    for task, metric, one_fit in ((MEAN, "squared_error", 1 / 30), (gaussian(2), "squared_error", 2 / 30)):
        workflow = fresh_real(0.5 if planted else 1.0)
        found = unjudged(task, workflow, n=30, rounds=6, seed=89, engine="law")
        yield equal_means(type(task).__name__, getattr(found, metric), one_fit)


ONLY_REAL = Theorem(
    name="fresh-real-rows-alone",
    statement="With a share 1 of fresh real rows nothing collapses: every round is a first fit.",
    source="definition",
    assumptions="None.",
    strategy=f"simulate() in law of a mean and a Gaussian: squared error of every round by z-score; {RATE}.",
    planted="half of the rows are generated",
    check=_only_real,
)


def _worth(planted):
    real = 40
    for quality, extra in ((0.5, 20), (0.5, 160), (2.0, 160)):
        rows = real + extra
        found = unjudged(
            MEAN,
            fresh_real(real / rows),
            n=rows,
            n_real=round(quality * real),
            rounds=1,
            seed=90,
            engine="law",
        )
        share = extra / rows
        exact = 1 - share + (0 if planted else share**2 / quality)
        yield equal_means(f"g = {quality:g}, {extra} generated", found.squared_error[:, 1] * real, exact)
    shares = np.linspace(0, 1, 20_001)
    best = shares[np.argmin(1 - shares + shares**2 / 0.5)]
    yield within("best share g/2", abs(best - 0.25), 1e-4)


WORTH = Theorem(
    name="worth-of-generated-rows",
    statement="Generated rows of share s beside real ones change the error by 1 - s + s^2/g, g the real rows of their "
    "generator (others than these) over the real rows: a little always helps, s = g/2 most.",
    source="setting: [Kazdan24]; the law derived here",
    assumptions="A mean with known variance, rows pooled; other regular tasks to first order.",
    strategy=f"simulate() in law of one round at three qualities and shares: squared error by z-score; {RATE}.",
    planted="a generator without errors of its own",
    check=_worth,
)
