"""One round on the orthogonal design: the truncated mean, and its slope at the center, the contraction rate."""

import numpy as np
from scipy.special import roots_hermitenorm

import theory
from simcollapse.theorems.evidence import RATE, at_most, equal_means, within
from simcollapse.theorems.simulations import UNEVEN, orthogonal_chains
from simcollapse.theorems.theorem import Theorem

kc = theory.knowledge_center

# (bias, radius, n_real, kept rows per direction): near the center, far from it, barely truncated
ROUND_SETTINGS = [(0.0, 0.5, 25, 100), (1.0, 1.0, 25, 100), (3.0, 2.0, 50, 100)]


def kept_chains(bias, radius, n_real, n_per_round, *, simulated_radius=None):
    """Chains with a fixed kept count; the same for every check that asks for them."""
    return orthogonal_chains(
        bias=bias,
        radius=radius if simulated_radius is None else simulated_radius,
        n_real=n_real,
        n_per_round=n_per_round,
        chains=512,
        seed=round(100 * radius + 10 * bias),
        direction=UNEVEN,
        rejected="resample",
    )


def _one_round(planted):
    for bias, radius, n_real, kept in ROUND_SETTINGS:
        chains = kept_chains(bias, radius, n_real, kept, simulated_radius=1.05 * radius if planted else None)
        before, after = chains.deviation[:, :-1], chains.deviation[:, 1:]
        mean, variance, _ = theory.truncated_normal.moments(before, radius, 1.0)
        surprise = (after - mean) / np.sqrt(variance / kept)  # mean 0 and square 1 given the past
        label = f"bias {bias:g}, bound {radius:g}, {kept} kept"
        yield equal_means(f"mean, {label}", surprise, 0.0)
        yield equal_means(f"variance, {label}", (surprise**2).mean(axis=(1, 2)), 1.0)


ONE_ROUND = Theorem(
    name="one-round-law",
    statement="Given the last fit, the next one is in each direction the mean of n truncated normals: it deviates "
    "from the center by m(delta) on average, with variance v(delta)/n.",
    source="derived here; theory.truncated_normal.moments",
    assumptions="Orthogonal design, replace, known noise, n rows kept per direction.",
    strategy="simulate(): every round of every chain against the moments at its own last fit, standardised; "
    f"mean per round and direction and mean square, as z-scores; {RATE}.",
    planted="the simulated verifier's radius is 5 % larger than the one in the formula",
    check=_one_round,
)


def _rate(planted):
    z = np.array([1e-3, 0.03, 0.5, 1.0, 2.0, 4.0])
    rho = _wrong_rate(z) if planted else kc.contraction_rate(z, 1.0)
    step = 1e-4 * np.minimum(z, 1)
    slope = (np.asarray(theory.truncated_normal.moments(step, z, 1.0)[0])) / step
    # m(h)/h - m'(0) = m'''(0) h^2 / 6, and |m'''(0)| <= m'(0) min(z, 1)^2: 1e-8 relative
    yield within("slope of the truncated mean at 0", np.abs(slope / rho - 1), 1e-7)

    for radius in (0.5, 1.0, 2.0):
        n_real = 100
        chains = orthogonal_chains(
            bias=0.0, radius=radius, n_real=n_real, n_per_round=100, chains=2048, seed=round(10 * radius)
        )
        # Stein: E[delta_0 m(delta_0)] = E[delta_0^2] E[m'(delta_0)] for a normal delta_0
        slopes = chains.deviation[:, 0] * chains.deviation[:, 1] * n_real
        nodes, weights = roots_hermitenorm(16)
        here = theory.truncated_normal.slope(nodes / np.sqrt(n_real), radius, 1.0)
        rate = _wrong_rate(radius) if planted else weights @ here / weights.sum()
        yield equal_means(f"simulated slope, bound {radius:g}", slopes.mean(axis=1), rate)

    for bias, radius in ((1.0, 1.0), (3.0, 1.0), (4.0, 2.0)):
        chains = orthogonal_chains(
            bias=bias, radius=radius, n_real=100, n_per_round=100, chains=512, seed=round(bias)
        )
        rho = kc.contraction_rate(radius, 1.0)
        size = chains.deviation * np.sign(chains.start)
        label = f"one round contracts by rho or more, bias {bias:g}, bound {radius:g}"
        yield at_most(label, size[:, 1] - rho * size[:, 0])


def _wrong_rate(z):
    return theory.truncated_normal.moments(0.0, z, 1.0)[2]


RATE_THEOREM = Theorem(
    name="contraction-rate",
    statement="A round maps the deviation delta from the center to m(delta) with |m(delta)| <= rho |delta|, and "
    "the slope at the center is rho = v(0)/sigma^2 = 1 - 2 z phi(z)/(2 Phi(z) - 1), z = b/sigma.",
    source="[Yi26], Theorem 4.1 (arXiv v3), whose contraction constant is rho; the slope is derived here; "
    "theory.knowledge_center.contraction_rate",
    assumptions="Orthogonal design, known noise, n -> inf for the map itself.",
    strategy="Difference quotient of the truncated mean; and simulate(): the regression of round 1 on round 0, "
    f"whose mean is E m'(delta_0) by Stein's identity, and the sign of delta_1 - rho delta_0; z-scores; {RATE}.",
    planted="rho taken to be the acceptance rate",
    check=_rate,
)


def _decay(planted):
    n_real, generated = 50, 2000
    for radius in (1.0, 1.5, 2.0):
        chains = orthogonal_chains(
            bias=0.0,
            radius=radius,
            n_real=n_real,
            n_per_round=generated,
            chains=512,
            seed=round(100 * radius),
        )
        rho = kc.contraction_rate(radius, 1.0)
        factor = rho if planted else rho**2
        kept = generated * theory.truncated_normal.moments(0.0, radius, 1.0)[2]
        before, after = chains.squared_error[:, 0], chains.squared_error[:, 1]
        fresh = 4 * rho / kept  # the noise of a finite round, which n -> inf would not have
        # curvature of m: at these bounds E m(delta)^2 is below rho^2 E delta^2 by less than 1/n_real of it
        allowance = rho**2 * 4 / n_real**2
        yield equal_means(f"round 1, bound {radius:g}", after - fresh - factor * before, 0.0, allowance)


DECAY = Theorem(
    name="geometric-decay",
    statement="With an unbiased verifier and many rows a round multiplies the squared error by rho^2.",
    source="derived here; theory.knowledge_center.mse_trajectory with verifier_bias = 0, n_per_round = inf",
    assumptions="Orthogonal design, replace, known noise, no bias, small deviations, n -> inf.",
    strategy="simulate(): squared error of round 1 minus rho^2 times that of round 0, chain by chain, minus the "
    f"noise d rho sigma^2/n of a finite round; z-score with 2 % for the curvature of the map; {RATE}.",
    planted="rho instead of rho^2",
    check=_decay,
)
