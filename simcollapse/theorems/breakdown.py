"""Selection by a verifier: the breakdown point, and what kept labels teach under the four readings R1 to R4.

The averaging learner's coefficients are the mean of x y' over the kept rows, so with a fixed number of kept rows
their expectation is the kept moment exactly, at any size: no limit has to be waited for.
"""

from typing import Any

import numpy as np

import theory
from simcollapse import engine
from simcollapse.tasks import fitted, flips, fresh_linear_labels, gaussian_mixture, half_space, linear_labels
from simcollapse.theorems.evidence import RATE, equal_means, same_distribution
from simcollapse.theorems.simulations import BLOCK, arrays
from simcollapse.theorems.theorem import Theorem
from simcollapse.verifiers import bernoulli, fresh_linear, linear
from simcollapse.workflows import replace

bd = theory.breakdown

DIM = 4
AXIS = np.eye(DIM)[0]


def one_round(task, verifier, *, rows, chains, seed, fixed="kept", rounds=1, n_real=50, **options) -> Any:
    """Chains of a round (or more) of selection, the models recorded; `rows` are kept ones unless `fixed` says not."""
    return arrays(
        engine.simulate(
            task,
            verifier,
            replace(),
            n_real=n_real,
            n_per_round=rows,
            rounds=rounds,
            chains=chains,
            seed=seed,
            fixed=fixed,
            record_model=True,
            block_size=BLOCK,
            progress=False,
            **options,
        )
    )


def _averaging(planted):
    for separation, rows, p, phi, psi in (
        (1.0, 40, 0.3, 0.8, 0.4),
        (1.55, 20, 0.6, 0.9, 0.3),
        (0.7, 30, 0.8, 0.7, 0.5),
    ):
        task = gaussian_mixture(separation * AXIS, generator=flips(p), learner="averaging")
        result = one_round(task, bernoulli(phi, psi), rows=rows, chains=4096, seed=21)
        precision = bd.precision(p, psi, phi) if planted else bd.precision(p, phi, psi)
        expected = bd.averaging_accuracy_exact(rows, DIM, float(precision), separation)
        yield equal_means(f"s {separation:g}, n {rows}, p {p:g}", result.accuracy[:, 1], expected)


AVERAGING = Theorem(
    name="averaging-accuracy",
    statement="Averaging n kept labels in d dimensions has the class accuracy sum_K Bin(K; n, rho) E Phi(s W / "
    "sqrt(W^2 + chi2_{d-1}/n)), W = s(2K/n - 1) + Z/sqrt n: it depends on verifier and generator through rho alone.",
    source="derived here; theory.breakdown.averaging_accuracy_exact",
    assumptions="R1: isotropic two-class mixture, labels flipped and kept independently of x.",
    strategy="simulate() with 20 to 40 kept rows in 4 dimensions, accuracy of round 1 by z-score; "
    + RATE
    + ".",
    planted="phi and psi exchanged in the formula",
    check=_averaging,
)


def _fair_coin(planted):
    phi, psi = 0.8, 0.4
    p = float(bd.breakdown_point(phi, psi)) - (0.08 if planted else 0)
    for learner, penalty in (("averaging", 0.0), ("ridge", 0.1), ("logistic", 0.1)):
        task = gaussian_mixture(1.2 * AXIS, generator=flips(p), learner=learner, penalty=penalty)
        result = one_round(task, bernoulli(phi, psi), rows=60, chains=2048, seed=22)
        yield equal_means(learner, result.accuracy[:, 1], 0.5)


FAIR_COIN = Theorem(
    name="breakdown-point",
    statement="At p = p* = 1/(1 + psi/phi) the kept labels are fair coins: every learner that treats both labels "
    "alike has expected accuracy 1/2, whatever the number of rows. Below p* it is above, beyond p* below.",
    source="[Feng24], Theorem 4.2 (arXiv 2406.07515v2), at finite size derived here; theory.breakdown.breakdown_point",
    assumptions="R1, class-independent rates.",
    strategy="simulate() at p*, 60 kept rows: accuracy of averaging, ridge and logistic regression by z-score; "
    + RATE
    + ".",
    planted="p lies 0.08 below p*",
    check=_fair_coin,
)


def _mirror(planted):
    p, phi, psi = 0.35, 0.9, 0.5
    other = (1 - p, psi, phi) if not planted else (1 - p, phi, psi)
    accuracies = []
    for seed, (error, right, wrong) in enumerate(((p, phi, psi), other)):
        task = gaussian_mixture(1.2 * AXIS, generator=flips(error), penalty=0.1)
        result = one_round(task, bernoulli(right, wrong), rows=60, chains=4096, seed=23 + seed)
        accuracies.append(result.accuracy[:, 1])
    yield same_distribution("ridge", accuracies[0], 1 - accuracies[1])


MIRROR = Theorem(
    name="flipping-all-labels",
    statement="Exchanging right and wrong (p to 1 - p, phi and psi exchanged) turns the accuracy into one minus it, in "
    "distribution: accuracy(rho) and 1 - accuracy(1 - rho) have one law.",
    source="derived here: flipping every label maps one process to the other",
    assumptions="R1; a learner that treats both labels alike.",
    strategy="simulate() of both processes, different seeds, two-sample Kolmogorov–Smirnov test; "
    + RATE
    + ".",
    planted="phi and psi stay where they are",
    check=_mirror,
)

ANGLES = ((0.9, 0.4, "orthogonal"), (1.2, 0.5, "same"), (1.0, 0.7, "opposite"), (2.2, 0.6, "orthogonal"))


def _rates(planted):
    for theta_gen, theta_ver, alignment in ANGLES:
        task = half_space(DIM, generator=linear_labels(angle=theta_gen), learner="averaging")
        result = one_round(
            task,
            linear(angle=theta_ver, alignment=alignment),
            rows=400,
            chains=512,
            seed=25,
            fixed="generated",
        )
        between = bd.angle_between_rules(theta_gen, theta_ver, alignment if not planted else 0.5)
        shares = bd.linear_verifier_shares(theta_gen, theta_ver, between)
        right = result.num_kept_correct[:, 1] / 400
        wrong = (result.num_kept[:, 1] - result.num_kept_correct[:, 1]) / 400
        label = f"angles {theta_gen:g} and {theta_ver:g}, {alignment}"
        yield equal_means(f"kept and right, kept and wrong, {label}", np.stack([right, wrong], 1), shares[:2])


RATES = Theorem(
    name="linear-verifier-rates",
    statement="A linear rule that checks another, on isotropic features: P(kept, right) = 1 - (t_g + t_v + t)/(2 pi), "
    "P(kept, wrong) = (t_g + t_v - t)/(2 pi), with the angles of generator, verifier and between them.",
    source="derived here (orthants of three normals); theory.breakdown.linear_verifier_shares",
    assumptions="R3: x ~ N(0, I), fixed linear rules through the origin, a row is kept where the two agree.",
    strategy="simulate(), shares of 400 rows, deviations on the same side, opposite and orthogonal; z-scores; "
    + RATE
    + ".",
    planted="the alignment of the deviations is taken for 1/2",
    check=_rates,
)


def _agreement(planted):
    for (theta_gen, theta_ver, alignment), rows in zip(ANGLES, (400,) * 4, strict=True):
        task = half_space(DIM, generator=linear_labels(angle=theta_gen), learner="averaging")
        verifier = linear(angle=theta_ver, alignment=alignment)
        result = one_round(task, verifier, rows=rows, chains=512, seed=26, fixed="generated")
        surplus = (2 * result.num_kept_correct[:, 1] - result.num_kept[:, 1]) / rows
        expected = bd.agreement_margin(theta_gen / np.pi, theta_ver / np.pi * (0.9 if planted else 1))
        yield equal_means(f"angles {theta_gen:g} and {theta_ver:g}, {alignment}", surplus, expected)


AGREEMENT = Theorem(
    name="agreement-decides",
    statement="A verifier that keeps what it labels alike keeps 1 - p - q more right rows than wrong ones, per row "
    "generated, however its errors depend on the generator's: p < p* if and only if p + q < 1.",
    source="derived here; theory.breakdown.agreement_margin",
    assumptions="Any joint law of true label, generated label and verifier's label.",
    strategy="simulate() with linear rules of four dependences: right minus wrong kept rows by z-score; "
    + RATE
    + ".",
    planted="the verifier's error rate is taken for 10 % less",
    check=_agreement,
)


def _moments(planted):
    """E[x y' | kept] of every reading, in the frame of truth and verifier."""
    rows, chains = 60, 2048
    for theta_gen, theta_ver in ((0.9, 0.4), (1.9, 0.6)):
        between = float(bd.angle_between_rules(theta_gen, theta_ver, "orthogonal"))
        task = half_space(DIM, generator=linear_labels(angle=theta_gen), learner="averaging")
        result = one_round(task, linear(angle=theta_ver), rows=rows, chains=chains, seed=27)
        along = result.model_coef[:, 1] @ AXIS
        turn = float(bd.bisector_angle(theta_gen, theta_ver, between)) if not planted else theta_gen
        expected = float(bd.bisector_moment(between)) * np.cos(turn)
        yield equal_means(f"R3, angles {theta_gen:g} and {theta_ver:g}", along, expected)
    theta_gen, theta_ver = 1.2, 0.5
    task = half_space(DIM, generator=fresh_linear_labels(theta_gen), learner="averaging")
    result = one_round(task, fresh_linear(theta_ver), rows=rows, chains=chains, seed=28)
    expected = np.asarray(bd.fresh_rules_moment(theta_gen, theta_ver)) * AXIS
    yield equal_means("R4, all directions", result.model_coef[:, 1], expected)
    mean, verifier = 1.3 * AXIS, np.array([np.cos(0.5), np.sin(0.5), 0, 0])
    for p in (0.3, 0.7):
        task = gaussian_mixture(mean, generator=flips(p), learner="averaging")
        result = one_round(task, linear(verifier), rows=rows, chains=chains, seed=29)
        moments = bd.flipped_class_moments(p, mean, verifier)
        yield equal_means(f"R2, mixture, p {p:g}", result.model_coef[:, 1], moments.first / moments.keep)


MOMENTS = Theorem(
    name="kept-moments",
    statement="What kept labels teach on average, E[x y'|kept]: fixed linear rules point along the bisector of "
    "generator and verifier (R3), fresh ones along the truth (R4), flipped labels between truth and verifier (R2).",
    source="derived here; theory.breakdown.bisector_moment, fresh_rules_moment, flipped_class_moments",
    assumptions="Isotropic features; a row is kept where the verifier's label agrees.",
    strategy="simulate() with the averaging learner, whose coefficients are this mean: z-scores; "
    + RATE
    + ".",
    planted="under R3 the direction is the generator's",
    check=_moments,
)


def _proportion(planted):
    dim, rows, separation, p, phi, psi = 60, 300, 1.2, 0.3, 0.8, 0.4
    mean = separation * np.eye(dim)[0]
    quality = float(bd.signed_quality(p, phi, psi))
    for ridge in (0.1, 1.0):
        task = gaussian_mixture(mean, generator=flips(p), penalty=ridge)
        result = one_round(task, bernoulli(phi, psi), rows=rows, chains=512, seed=30, n_real=rows)
        eta = dim / rows if not planted else 2 * dim / rows
        expected = float(bd.mixture_ridge_accuracy(separation, quality, ridge, eta))
        # the formula is the limit of large d; at 60 dimensions and 300 rows it is off by up to 1/n times a few
        yield equal_means(f"ridge {ridge:g}", result.accuracy[:, 1], expected, 1.0 / rows)


PROPORTION = Theorem(
    name="ridge-in-proportion",
    statement="With d/n = eta fixed, ridge has class accuracy Phi(sign(c) s/sqrt(1 + Gamma(s, c, lambda, eta))): the "
    "transition at p* is smooth, and only its slope depends on d/n.",
    source="derived here, announced in [Firdoussi24]; theory.breakdown.mixture_ridge_accuracy",
    assumptions="R1, isotropic two-class mixture; leading order in 1/d.",
    strategy="simulate() at d = 60, n = 300: accuracy by z-score, 1/n allowed for finite size; " + RATE + ".",
    planted="twice the dimensions per row",
    check=_proportion,
)


def _own_direction(planted):
    theta_ver, rounds, rows = 0.6, 4, 20_000
    task = half_space(3, generator=fitted(), penalty=0.0)
    result = one_round(
        task,
        linear(angle=theta_ver),
        rows=rows,
        chains=64,
        seed=31,
        rounds=rounds,
        n_real=rows,
        fixed="generated",
    )
    halvings = np.arange(1, rounds + 1)
    expected = result.verifier_angle[:, :1] * (0.5 if not planted else 0.6) ** halvings
    # least squares on n rows in d dimensions points sqrt(d/n) off, up to a factor below 2
    yield equal_means(
        "angle to the verifier, rounds 1 to 4",
        result.verifier_angle[:, 1:] - expected,
        0.0,
        2 * np.sqrt(3 / rows),
    )


OWN_DIRECTION = Theorem(
    name="knowledge-center-of-classification",
    statement="Retrained on its own labels that a linear verifier agrees with, a linear classifier halves its angle to "
    "the verifier in every round: the verifier's own direction is the limit, whatever the truth.",
    source="derived here: each round is reading R3, whose limit is the bisector; theory.breakdown.bisector_angle",
    assumptions="x ~ N(0, I), least squares (any L2-regularised convex loss), replace, n -> inf.",
    strategy="simulate() of 4 rounds with 20,000 rows: angle to the verifier against its halvings, 2 sqrt(d/n) "
    "allowed for finite rows; z-scores; " + RATE + ".",
    planted="the angle shrinks to 0.6 of itself",
    check=_own_direction,
)


def _not_gaussian(planted):
    """Uniform and Laplace features about plus and minus the mean, in NumPy: the simulator draws Gaussian ones."""
    rng = np.random.default_rng(32)
    mean, phi, psi = np.array([0.8, 0.0, 0.0]), 0.9, 0.45
    p_star = float(bd.breakdown_point(phi, psi))
    for name, draw in (
        ("uniform", lambda size: rng.uniform(-2, 2, size)),
        ("Laplace", lambda size: rng.laplace(size=size)),
    ):
        for p in (p_star - 0.15, p_star, p_star + 0.15):
            chains, rows = 400, 400
            truth = rng.choice([-1.0, 1.0], (chains, rows))
            x = truth[..., None] * mean + draw((chains, rows, 3))
            wrong = rng.random((chains, rows)) < p
            label = np.where(wrong, -truth, truth)
            keep = rng.random((chains, rows)) < np.where(wrong, psi, phi)
            along = np.einsum("cn,cn,cn->c", keep, label, x @ mean) / keep.sum(axis=1)
            assumed = p + (0.1 if planted else 0)
            quality = float(bd.signed_quality(assumed, phi, psi))
            yield equal_means(f"{name}, p {p:.2f}", along, quality * mean @ mean)


NOT_GAUSSIAN = Theorem(
    name="breakdown-beyond-gaussians",
    statement="The sign of what kept labels teach changes at p* for any features that are symmetric about plus and "
    "minus a mean: E[x y'|kept] = (2 rho - 1) mean, and 2 rho - 1 = (phi + psi)(p* - p)/kappa.",
    source="[Feng24], Theorem 4.2 (arXiv 2406.07515v2); theory.breakdown.signed_quality",
    assumptions="R1; E[x|y] = y mean.",
    strategy="NumPy draws of uniform and Laplace features, p below, at and above p*; z-scores; " + RATE + ".",
    planted="p is taken for 0.1 more",
    check=_not_gaussian,
)


def _engines(planted):
    mean, p, phi, psi = 1.2 * AXIS, 0.3, 0.8, 0.4
    for penalty in (0.1, np.inf):
        task = gaussian_mixture(mean, generator=flips(p), penalty=penalty)
        found = {}
        for which, rows in (("law", 45 if planted else 60), ("sample", 60)):
            found[which] = arrays(
                engine.simulate(
                    task,
                    bernoulli(phi, psi),
                    replace(),
                    n_real=50,
                    n_per_round=rows,
                    rounds=1,
                    chains=4096,
                    seed={"law": 33, "sample": 34}[which],
                    engine=which,
                    block_size=BLOCK,
                    progress=False,
                )
            )
        for name in ("accuracy", "num_kept_correct"):
            yield same_distribution(
                f"{name}, penalty {penalty:g}",
                *(getattr(found[which], name)[:, 1] for which in ("law", "sample")),
            )


ENGINES = Theorem(
    name="mixture-engines-agree",
    statement="Drawing the counts of (class, label, kept) and the class sums and scatter from their law is the same "
    "random process as drawing the rows.",
    source="classical (multinomial counts, Cochran, Bartlett 1933); simcollapse.laws",
    assumptions="R1: selection independent of the features, Gaussian classes, additive learners.",
    strategy="simulate() with engine='law' and engine='sample', different seeds: accuracy and counts by the two-sample "
    f"Kolmogorov–Smirnov test; {RATE}.",
    planted="the law draws 45 rows where the other engine draws 60",
    check=_engines,
)
