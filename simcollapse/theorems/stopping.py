"""What becomes of a chain in the long run, and when to stop; linearised, `replace`, orthogonal design."""

import functools
from typing import Any

import numpy as np

import theory
from simcollapse import engine
from simcollapse.tasks import linear_regression
from simcollapse.theorems.evidence import RATE, at_most, below, equal_means, within
from simcollapse.theorems.simulations import (
    BLOCK,
    DIM,
    ROUNDS,
    TRUTH,
    as_float64,
    noted,
    orthogonal_chains,
)
from simcollapse.theorems.theorem import Theorem
from simcollapse.verifiers import knowledge_ball
from simcollapse.workflows import replace

kc = theory.knowledge_center

# Rows per direction: deviations stay near 0.2 sigma or below, where the linear form holds.
N_REAL, GENERATED = 100, 1000
CHAINS = 1024


def _errors(bias2, radius, *, generated=GENERATED, chains=CHAINS):
    """Squared errors (C, K + 1) of simulated chains with squared bias `bias2`, and the theory's arguments."""
    arguments: dict[str, Any] = dict(
        dim=DIM,
        sigma=1.0,
        n_real=N_REAL,
        n_per_round=generated * float(theory.truncated_normal.moments(0.0, radius, 1.0)[2]),
        bound=radius,
        verifier_bias=np.sqrt(bias2),
    )
    bias = float(np.sqrt(bias2))
    simulated = orthogonal_chains(
        bias=bias,
        radius=radius,
        n_real=N_REAL,
        n_per_round=generated,
        chains=chains,
        seed=int(1000 * radius + 100 * bias),
    )
    return simulated.squared_error, arguments


def _limit(planted):
    for radius, rows in ((0.5, 200), (0.75, 200), (1.0, 200), (1.0, 1000)):
        chains = orthogonal_chains(
            bias=1.0, radius=radius, n_real=50, n_per_round=rows, chains=1024, seed=int(100 * radius) + rows
        )
        error = chains.deviation[:, -1] - chains.start
        rate = kc.contraction_rate(radius, 1.0)
        expected = kc.limit_mse(dim=DIM, sigma=1.0, bound=radius, verifier_bias=1.0, n_real=50)
        expected = (1 - rate) ** 2 if planted else expected
        left = 2 * rate**ROUNDS  # of (1 - rho^k)^2, after the rounds simulated
        label = f"bound {radius:g}, {rows} generated"
        # errors of two chains are independent: their product has the squared mean error, without the variance
        yield equal_means(f"without noise, {label}", (error[::2] * error[1::2]).sum(axis=1), expected, left)
        kept = rows * float(theory.truncated_normal.moments(0.0, radius, 1.0)[2])
        floor = kc.stationary_variance(dim=DIM, sigma=1.0, bound=radius, n_per_round=kept)
        more = floor * 1.5 / kept / (1 - rate)  # the kept count is random: E[1/K] > 1/(n Z)
        yield equal_means(f"with noise, {label}", chains.squared_error[:, -1], expected + floor, left + more)


LIMIT = Theorem(
    name="bias-is-the-limit",
    statement="The mean squared error tends to the squared bias of the verifier as rounds and rows grow, whatever "
    "its radius: selectivity sets the speed only.",
    source="derived here; theory.knowledge_center.limit_mse",
    assumptions="Orthogonal design, replace, known noise; n -> inf removes the stationary variance S.",
    strategy="simulate() at four radii and counts: product of the errors of two independent chains after 8 rounds "
    f"(no variance in it) against the squared bias, and squared error against bias^2 + S; z-scores; {RATE}.",
    planted="a limit that depends on the radius, (1 - rho)^2 bias^2",
    check=_limit,
)


def _best(planted):
    yield within(
        "best whole round <= start, equal iff no first gain, 2000 settings", _best_violations(planted), 0
    )
    for bias2, radius in ((0.031, 2.0), (0.02, 1.5), (0.006, 1.0)):
        errors, arguments = _errors(bias2, radius)
        best = round(kc.best_round(**arguments) / 2) if planted else int(kc.best_integer_round(**arguments))
        label = f"bias {np.sqrt(bias2):.3g}, bound {radius:g}, round {best}"
        yield at_most(f"no round is better, {label}", errors[:, best, None] - np.delete(errors, best, axis=1))
        yield below(f"better than the start, {label}", errors[:, best] - errors[:, 0])
    errors, arguments = _errors(0.2, 1.5)
    none = kc.best_integer_round(**arguments)
    yield within("no first gain: best round is 0, bias 0.447, bound 1.5", none, 0)
    yield below("no round is better, bias 0.447, bound 1.5", errors[:, :1] - errors[:, 1:])


def _best_violations(planted):
    """How many random settings break: best <= start, with equality exactly when the first round gains nothing."""
    generator = np.random.default_rng(3)
    broken = 0
    for _ in range(2000):
        bound, bias, rows = np.exp(generator.uniform(np.log([0.1, 1e-3, 5]), np.log([4, 3, 1e5])))
        arguments: dict[str, Any] = dict(
            dim=3, sigma=1.0, n_real=50.0, bound=bound, verifier_bias=bias, n_per_round=rows
        )
        start, best = 3 / 50, kc.best_mse(**arguments, integer=True)
        gains = kc.first_round_improves(**arguments)
        if planted:
            gains = kc.best_round(**arguments) > 0
        broken += not (best <= start * (1 + 1e-12) and (best < start * (1 - 1e-12)) == gains)
    return broken


BEST = Theorem(
    name="best-stopping-round",
    statement="Stopped at the best whole round k*, the chain is never worse than the fit on real data, and exactly "
    "as good iff its first round gains nothing; no other round does better.",
    source="derived here; theory.knowledge_center.best_integer_round, first_round_improves (compare [Yi26], "
    "Theorem 3.1, arXiv v3)",
    assumptions="Orthogonal design, replace, known noise, small deviations.",
    strategy="The formulas in 2000 random settings; simulate(): the round they name against every other round and "
    f"against the start, chain by chain, one-sided z-scores; {RATE}.",
    planted="half the best round; and a gain claimed wherever the vertex lies beyond round 0",
    check=_best,
)


# What each regime promises: the first round named has the smaller error.
PROMISES = {
    "improves": (("round 1 < start", 1, 0), ("last < start", ROUNDS, 0), ("last < round 1", ROUNDS, 1)),
    "plateaus": (("round 1 < start", 1, 0), ("last < start", ROUNDS, 0), ("round 2 < last", 2, ROUNDS)),
    "reverses": (("round 1 < start", 1, 0), ("start < last", 0, ROUNDS)),
    "degrades": (("start < round 1", 0, 1), ("start < last", 0, ROUNDS)),
}


def _regimes(planted):
    for bias2, expected in ((0.0, "improves"), (0.02, "plateaus"), (0.07, "reverses"), (0.25, "degrades")):
        errors, arguments = _errors(bias2, 1.5)
        if planted:
            errors, _ = _errors(bias2 / 4, 1.5)
        regime = kc.regime(**arguments)
        label = f"{expected}, bias {np.sqrt(bias2):.3g}"
        yield within(f"{label}: the formula names it", regime != expected, 0)
        for words, less, more in PROMISES[regime]:
            yield below(f"{label}: {words}", errors[:, less] - errors[:, more])


REGIMES = Theorem(
    name="regimes",
    statement="Retraining with a verifier has four fates, told apart by its squared bias against V0 - S: it "
    "improves (no bias), gains and plateaus, gains and then reverses to below its start, or degrades from round 1 on.",
    source="derived here; theory.knowledge_center.regime",
    assumptions="Orthogonal design, replace, known noise, small deviations.",
    strategy="simulate() in each of the four: the predicted signs of change between rounds 0, 1, 2 and 8, chain by "
    "chain; each must be established by a one-sided z-score; 1e-6 is here the chance of passing a false one.",
    planted="the simulated verifier has half the bias that the formula is told",
    check=_regimes,
)


def _reversal(planted):
    for bias2, radius in ((0.0523, 1.0), (0.0517, 1.5), (0.0768, 2.0)):
        errors, arguments = _errors(bias2, radius, generated=500, chains=4096)
        last_safe = kc.reversal_round(**arguments) / (2 if planted else 1)
        label = f"bias {np.sqrt(bias2):.3g}, bound {radius:g}, k_rev {last_safe:.2f}"
        before, after = int(np.floor(last_safe)), int(np.ceil(last_safe))
        yield below(f"{label}: round {before} is safe", errors[:, before] - errors[:, 0])
        yield below(f"{label}: round {after} is not", errors[:, 0] - errors[:, after])


REVERSAL = Theorem(
    name="reversal-round",
    statement="A chain that gains first stays no worse than its start until round 2 artanh((V0 - S)/Delta^2)/(-ln "
    "rho), and is worse from then on.",
    source="derived here; theory.knowledge_center.reversal_round",
    assumptions="Orthogonal design, replace, known noise, small deviations, Delta^2 > V0 - S > 0.",
    strategy="simulate(): the whole rounds on either side of the boundary against the start, chain by chain; each "
    "sign must be established by a one-sided z-score; 1e-6 is here the chance of passing a false one.",
    planted="half the reversal round",
    check=_reversal,
)


@functools.lru_cache(maxsize=8)
def _trained_verifier(n_verifier, radius, generated):
    """Squared errors (C, 2) of chains whose verifier is the fit on `n_verifier` real rows of its own."""
    dataset = engine.simulate(
        linear_regression(TRUTH, design="orthogonal"),
        knowledge_ball(trained_on=n_verifier, radius=radius),
        replace(),
        n_real=N_REAL,
        n_per_round=generated,
        rounds=1,
        chains=CHAINS,
        seed=n_verifier,
        block_size=BLOCK,
        progress=False,
    )
    return as_float64(noted(dataset).squared_error)


def _worth(planted):
    for n_verifier in (100, 300):
        radius = _radius_of_rate(N_REAL / (N_REAL + n_verifier))  # makes round 1 the best one
        kept = GENERATED * theory.truncated_normal.moments(0.0, radius, 1.0)[2]
        fresh = DIM * kc.contraction_rate(radius, 1.0) / kept  # that unlimited rows would not have
        pooled = kc.verifier_worth(N_REAL, n_verifier, DIM, 1.0)
        errors = _trained_verifier(n_verifier // 2 if planted else n_verifier, radius, GENERATED)
        label = f"{N_REAL} rows to fit, {n_verifier} to verify"
        # at its best round the error is flat in rho, so curvature of the map enters at second order
        yield equal_means(f"best-stopped, {label}", errors[:, 1] - fresh, pooled, 0.01 * pooled)
        real = orthogonal_chains(
            bias=0.0, radius=1.0, n_real=N_REAL + n_verifier, n_per_round=100, chains=CHAINS, seed=0
        )
        yield equal_means(f"one fit on all rows, {label}", real.squared_error[:, 0], pooled)
        for other in (0.5 * radius, 1.5 * radius):
            errors = _trained_verifier(n_verifier, other, GENERATED)
            yield at_most(f"no better at bound {other:.2f}, {label}", pooled - errors[:, 1])


def _radius_of_rate(rate):
    """Bound at which the contraction rate is `rate`, sigma = 1, by bisection."""
    low, high = 1e-3, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kc.contraction_rate(middle, 1.0) < rate else (low, middle)
    return low


WORTH = Theorem(
    name="verifier-is-worth-its-data",
    statement="A verifier whose center is the fit on m rows of its own brings the best-stopped error down to that "
    "of one fit on all n + m rows: verification is worth at most pooling the verifier's data.",
    source="derived here; theory.knowledge_center.verifier_worth",
    assumptions="Orthogonal design, replace, known noise, small deviations, unlimited synthetic rows.",
    strategy="simulate() with a verifier trained anew in every chain, radius set so that round 1 is the best; "
    "squared error minus the noise of finite rows against the pooled fit (z-score, 1 % for curvature), a simulated "
    f"pooled fit, and other radii one-sided; {RATE}.",
    planted="the simulated verifier is trained on half as many rows",
    check=_worth,
)
