"""A verifier together with `accumulate`: keeping all data slows the drift to the center, and does not stop it."""

import numpy as np

import theory
from simcollapse.theorems.evidence import RATE, below, equal_means
from simcollapse.theorems.simulations import (
    DIM,
    ROUNDS,
    SUBSET_ROWS,
    UNEVEN,
    orthogonal_chains,
    subsampled_mean,
)
from simcollapse.theorems.theorem import Theorem

kc = theory.knowledge_center

N_REAL, KEPT = 100, 100
SETTINGS = [(0.2, 1.0), (0.4, 1.5), (0.6, 2.5)]  # (bias, radius), deviations small enough for the linear form
LINEAR = 0.02  # accuracy of the linear form there, relative

LONG_ROUNDS = 64
LONG_GENERATED = 200


def _chains(bias, radius):
    return orthogonal_chains(
        bias=bias,
        radius=radius,
        n_real=N_REAL,
        n_per_round=KEPT,
        chains=512,
        seed=int(100 * radius),
        direction=UNEVEN,
        rejected="resample",
        workflow="accumulate",
    )


def _recursion(planted):
    pool = N_REAL + KEPT * np.arange(ROUNDS + 1)
    share = KEPT / pool[:-1] if planted else KEPT / pool[1:]  # of the new rows in the pool
    for bias, radius in SETTINGS:
        chains = _chains(bias, radius)
        before, after = chains.deviation[:, :-1], chains.deviation[:, 1:]
        mean, variance, _ = theory.truncated_normal.moments(before, radius, 1.0)
        w = share[:, None]
        surprise = (after - (1 - w) * before - w * mean) / (w * np.sqrt(variance / KEPT))
        label = f"bias {bias:g}, bound {radius:g}"
        yield equal_means(f"one round, mean, {label}", surprise, 0.0)
        yield equal_means(f"one round, variance, {label}", (surprise**2).mean(axis=(1, 2)), 1.0)
        mse = kc.accumulate_trajectory(
            dim=DIM,
            sigma=1.0,
            n_real=N_REAL,
            n_per_round=KEPT,
            bound=radius,
            verifier_bias=bias,
            rounds=ROUNDS,
        )
        yield equal_means(f"squared error, {label}", chains.squared_error, mse, LINEAR * mse)


RECURSION = Theorem(
    name="accumulate-recursion",
    statement="Under accumulate only the share w = n/N_k of new rows is pulled: the next fit is (1 - w) delta + w "
    "m(delta) on average, and the squared error follows the linear recursion in a_k and V_k.",
    source="derived here; theory.knowledge_center.accumulate_trajectory",
    assumptions="Orthogonal design, known noise, n rows kept per direction; the recursion for small deviations.",
    strategy="simulate(): every round against its conditional mean and variance, and squared error per round with "
    f"2 % for the linear form, as z-scores; {RATE}.",
    planted="the share of new rows taken of the pool before they entered it",
    check=_recursion,
)


def _power_law(planted):
    for radius in (1.0, 1.5):
        kept = round(LONG_GENERATED * float(theory.truncated_normal.moments(0.0, radius, 1.0)[2]))
        chains = orthogonal_chains(
            bias=0.6,
            radius=radius,
            n_real=kept,  # as many as a round keeps: nu = 1
            n_per_round=LONG_GENERATED,
            chains=1024,
            seed=int(100 * radius),
            workflow="accumulate",
            rounds=LONG_ROUNDS,
        )
        left = (chains.deviation / chains.start).mean(axis=2)  # 1 at the start
        rate = kc.contraction_rate(radius, 1.0)
        k = np.arange(LONG_ROUNDS + 1)
        path = rate**k if planted else kc.accumulate_deviation(k, rate=rate)
        yield equal_means(f"every round, bound {radius:g}", left, path, LINEAR * path)
        late = np.array([16, 32, 64])
        law = kc.accumulate_power_law(late, rate=rate if not planted else rate**2)
        yield equal_means(
            f"power law at rounds 16, 32, 64, bound {radius:g}", left[:, late], law, (LINEAR + 1 / late) * law
        )


POWER_LAW = Theorem(
    name="accumulate-power-law",
    statement="Keeping all data does not stop the drift to the verifier's center: it slows it from rho^k to the "
    "power law a_k ~ a_0 k^-(1-rho) Gamma(nu+1)/Gamma(nu+rho).",
    source="derived here; theory.knowledge_center.accumulate_deviation, accumulate_power_law",
    assumptions="Orthogonal design, known noise, small deviations, n_real = nu n; k -> inf for the power law.",
    strategy="simulate(), 64 rounds: mean deviation over its start as z-scores with 2 % for the linear form, and "
    f"at rounds 16, 32, 64 against the power law with another 1/k; {RATE}.",
    planted="exponential decay rho^k; exponent 1 - rho^2",
    check=_power_law,
)


def _subsample(planted):
    bias, radius, rows = 0.2, 1.5, SUBSET_ROWS
    if planted:
        rows, deviation = KEPT, _chains(2 * bias, radius).deviation[..., 0]  # a direction with the same bias
    else:
        deviation = subsampled_mean(bias=bias, radius=radius, chains=4096).deviation[..., 0]
    rate = kc.contraction_rate(radius, 1.0)
    path = -bias * kc.accumulate_deviation(np.arange(ROUNDS + 1), rate=rate)
    label = f"a mean, bias {bias:g}, bound {radius:g}, {rows} kept"
    yield equal_means(f"mean path, {label}", deviation, path, LINEAR * np.abs(path))
    whole = kc.accumulate_trajectory(
        dim=1, sigma=1.0, n_real=rows, n_per_round=rows, bound=radius, verifier_bias=0.0, rounds=ROUNDS
    )
    spread = (deviation - path) ** 2
    yield below(f"more variance than on all rows from round 1 on, {label}", -spread[:, 1:], -1.02 * whole[1:])


SUBSAMPLE = Theorem(
    name="accumulate-subsample-path",
    statement="Training on a random subset of the accumulated rows has the same mean path as training on all of "
    "them, and more variance.",
    source="derived here; theory.knowledge_center.accumulate_deviation",
    assumptions="Orthogonal design, known noise, small deviations.",
    strategy="simulate() of a mean (d = 1): mean deviation per round as z-scores with 2 % for the linear form, and "
    "squared distance from the path above the variance of accumulate, established one-sided; " + RATE + ".",
    planted="the subset is the whole pool",
    check=_subsample,
)
