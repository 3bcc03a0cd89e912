"""What a learner makes of verified labels: class-dependent rates, fixed and fresh rules, the width of the transition.

Limits for unlimited rows are compared with many rows, and how far these may be off is stated as an allowance.
"""

import numpy as np

import theory
from simcollapse.tasks import flips, fresh_linear_labels, gaussian_mixture, half_space, linear_labels
from simcollapse.theorems.breakdown import AXIS, DIM, one_round
from simcollapse.theorems.evidence import RATE, below, equal_means, within
from simcollapse.theorems.theorem import Theorem
from simcollapse.verifiers import bernoulli, confidence, fresh_linear, linear

bd = theory.breakdown

SHARE, PHI, PSI = 0.7, (0.9, 0.7), (0.3, 0.6)  # of class +1; rates by class
MANY = 20_000  # rows of a round
ANGLE_NOISE = (
    2 * np.sqrt(DIM / MANY) / np.pi
)  # of an accuracy: least squares points sqrt(d/n) off, times a factor


def _by_class(p, intercept):
    """Coefficients along the mean of ridge without penalty, and its table of kept rows."""
    task = gaussian_mixture(AXIS, generator=flips(p), shares=[SHARE, 1 - SHARE], intercept=intercept)
    result = one_round(task, bernoulli(PHI, PSI), rows=4000, chains=512, seed=41, fixed="generated")
    table = bd.kept_table(SHARE, p, [[PHI[0], PSI[0]], [PSI[1], PHI[1]]])
    return result.model_coef[:, 1, 0], table


def _class_points(planted):
    average, geometric, _ = bd.class_breakdown_points(SHARE, *((PHI, PSI) if not planted else (PSI, PHI)))
    for name, p, intercept in (
        ("without intercept", float(average), False),
        ("with intercept", float(geometric), True),
    ):
        along, _ = _by_class(p, intercept)
        yield equal_means(f"{name}, p {p:.3f}", along, 0.0)
    for p in (0.3, 0.8):
        along, table = _by_class(p, True)
        # least squares of bounded labels is biased by a few 1/n
        yield equal_means(f"slope, p {p:g}", along, bd.intercept_coefficients(table, 2 * AXIS)[0], 10 / 4000)


CLASS_POINTS = Theorem(
    name="class-dependent-rates",
    statement="With verifier rates that depend on the class, least squares without an intercept turns over where half "
    "of the kept labels are right (arithmetic mean of the rates), with an intercept at odds ratio one "
    "(geometric mean).",
    source="derived here; theory.breakdown.class_breakdown_points, intercept_coefficients",
    assumptions="R1, two Gaussian classes, one error rate p in both.",
    strategy="simulate() with class shares 0.7 and 0.3 at both points: slope along the mean by z-score, zero "
    "there; and its value elsewhere, 10/n allowed; " + RATE + ".",
    planted="phi and psi exchanged in the breakdown points",
    check=_class_points,
)


def _fixed_rules(planted):
    for theta_gen, theta_ver, alignment in (
        (0.9, 0.4, "orthogonal"),
        (1.2, 0.5, "same"),
        (1.9, 0.6, "orthogonal"),
    ):
        task = half_space(DIM, generator=linear_labels(angle=theta_gen))
        verifier = linear(angle=theta_ver, alignment=alignment)
        result = one_round(task, verifier, rows=MANY, chains=64, seed=42, fixed="generated")
        between = bd.angle_between_rules(theta_gen, theta_ver, alignment)
        expected = float(bd.bisector_accuracy_limit(theta_gen, theta_ver, between))
        if planted:
            expected = 1 - (theta_gen + theta_ver) / 2 / np.pi
        label = f"R3, angles {theta_gen:g} and {theta_ver:g}, {alignment}"
        yield equal_means(label, result.accuracy[:, 1], expected, ANGLE_NOISE / 4)
    for p, theta_ver, learner in (
        (0.3, 0.5, "least_squares"),
        (0.7, 0.5, "least_squares"),
        (0.7, 0.5, "averaging"),
    ):
        task = half_space(DIM, generator=flips(p), learner="ridge" if learner == "least_squares" else learner)
        result = one_round(task, linear(angle=theta_ver), rows=MANY, chains=64, seed=43, fixed="generated")
        expected = float(bd.flipped_label_accuracy_limit(p, theta_ver, learner))
        yield equal_means(f"R2, {learner}, p {p:g}", result.accuracy[:, 1], expected, ANGLE_NOISE / 4)


FIXED_RULES = Theorem(
    name="fixed-rules-give-slopes",
    statement="With unlimited rows a fixed linear verifier leaves a slope: fixed generators (R3) give the bisector's "
    "accuracy, 1/2 where p + q = 1; flipped labels (R2) an accuracy between the truth's and the verifier's.",
    source="derived here; theory.breakdown.bisector_accuracy_limit, flipped_label_accuracy_limit",
    assumptions="x ~ N(0, I); a row is kept where the verifier's label agrees; least squares or averaging.",
    strategy="simulate() with 20,000 rows in 4 dimensions: accuracy by z-score, sqrt(d/n)/2 pi allowed; "
    + RATE
    + ".",
    planted="under R3 the angle to the bisector is taken for the mean of the two angles",
    check=_fixed_rules,
)


def _step(planted):
    for share in (0.8, 1.2):  # p + q
        theta_gen, theta_ver = 0.6 * share * np.pi, 0.4 * share * np.pi
        task = half_space(DIM, generator=fresh_linear_labels(theta_gen))
        result = one_round(task, fresh_linear(theta_ver), rows=MANY, chains=64, seed=44, fixed="generated")
        expected = float(bd.fresh_rules_accuracy_limit(theta_gen, theta_ver))
        if planted:
            expected = 1 - theta_gen / np.pi
        signal = abs(np.cos(theta_gen) + np.cos(theta_ver)) / np.sqrt(
            2 * np.pi
        )  # of E[x y' kept] along the truth
        yield equal_means(f"p + q = {share:g}", result.accuracy[:, 1], expected, ANGLE_NOISE / signal)


STEP = Theorem(
    name="fresh-rules-give-a-step",
    statement="Where every row has a generator and a verifier of its own (R4), the accuracy for unlimited rows is "
    "1 for p + q < 1 and 0 beyond: a step at p*, though errors depend on the features.",
    source="derived here; theory.breakdown.fresh_rules_accuracy_limit",
    assumptions="x ~ N(0, I); errors depend on x through x.w* alone; any convex loss.",
    strategy="simulate() with 20,000 rows either side of p + q = 1: accuracy by z-score, 2 sqrt(d/n)/(pi signal) "
    "allowed for finite rows; " + RATE + ".",
    planted="the accuracy is taken for the generator's, 1 - p",
    check=_step,
)


def _window(planted):
    dim, rows, separation, phi, psi = 200, 40_000, 1.55, 0.8, 0.4
    p_star = float(bd.breakdown_point(phi, psi))
    width = float(bd.transition_window_asymptotic(phi, psi, separation, dim, rows)) * (2 if planted else 1)
    for u in (-1.0, 0.5, 1.0):
        task = gaussian_mixture(
            separation * np.eye(dim)[0], generator=flips(p_star - u * width), learner="averaging"
        )
        result = one_round(
            task, bernoulli(phi, psi), rows=rows, chains=1024, seed=45, fixed="generated", engine="law"
        )
        expected = float(bd.class_accuracy_limit(np.sign(u), separation * abs(u) / np.sqrt(1 + u**2)))
        yield equal_means(f"{u:g} windows below p*", result.accuracy[:, 1], expected, 2 / dim)


WINDOW = Theorem(
    name="transition-window",
    statement="Finite data smear the step over a window w = sqrt(kappa* d/N)/[s (phi + psi)]: u windows below p* the "
    "accuracy of averaging is Phi(s u/sqrt(1 + u^2)), whatever phi, psi, d and N.",
    source="derived here; theory.breakdown.transition_window_asymptotic",
    assumptions="R1, isotropic two-class mixture, d and N/d large.",
    strategy="simulate() in law, d = 200, N = 40,000: accuracy by z-score, 2/d allowed; " + RATE + ".",
    planted="the window is taken for twice as wide",
    check=_window,
)


def _rows_needed(planted):
    dim, separation, p, phi, psi = 100, 1.55, 0.3, 0.8, 0.4
    quality = float(bd.signed_quality(p, phi, psi))
    best = float(bd.class_accuracy_limit(1.0, separation))
    for excess in (0.02, 0.005):
        rows = int(np.ceil(bd.averaging_sample_size_limit(excess, separation, quality, dim)))
        task = gaussian_mixture(separation * np.eye(dim)[0], generator=flips(p), learner="averaging")
        result = one_round(
            task, bernoulli(phi, psi), rows=rows // (2 if planted else 1), chains=1024, seed=46
        )
        # the length of the noise varies by 1/sqrt(2 d), which the excess sees to second order
        yield equal_means(
            f"excess {excess:g}, {rows} rows", best - result.accuracy[:, 1], excess, 3 * excess / dim
        )


ROWS_NEEDED = Theorem(
    name="rows-needed",
    statement="For an excess error eps averaging needs n = d/[s^2 c^2 (s^2/a^2 - 1)] kept rows, a = Phi^-1(Phi(s) "
    "- eps): in generated rows the cost grows as (p* - p)^-2 towards the breakdown point.",
    source="derived here; theory.breakdown.averaging_sample_size_limit",
    assumptions="R1, isotropic two-class mixture, d large.",
    strategy="simulate() with that many kept rows in 100 dimensions: excess error by z-score, 3 eps/d allowed; "
    + RATE
    + ".",
    planted="half as many rows",
    check=_rows_needed,
)


def _pays(planted):
    dim, generated, separation = 50, 500, 1.2
    for p, phi, psi in ((0.3, 0.9, 0.3), (0.1, 0.3, 0.2), (0.4, 0.1, 0.9)):
        accuracies = []
        for verifier in (bernoulli(phi, psi), bernoulli(1.0, 1.0)):
            task = gaussian_mixture(separation * np.eye(dim)[0], generator=flips(p), learner="averaging")
            result = one_round(
                task, verifier, rows=generated, chains=1024, seed=47, fixed="generated", engine="law"
            )
            accuracies.append(result.accuracy[:, 1])
        gain = accuracies[0].mean() - accuracies[1].mean()
        error = np.hypot(*(a.std(ddof=1) for a in accuracies)) / np.sqrt(1024)
        pays = bool(bd.verification_pays(p, phi, psi)) != planted
        # the sign of the gain, clear of chance: at most -5 standard errors the wrong way round
        yield within(f"p {p:g}, phi {phi:g}, psi {psi:g}", (-gain if pays else gain) / error, -5.0)


PAYS = Theorem(
    name="verification-pays",
    statement="Averaging the kept rows beats averaging all generated ones exactly where kappa c^2 rises and c > 0: a "
    "verifier that loses too many good rows hurts, and so does one that leads beyond its breakdown point.",
    source="derived here (the published condition leaves out the second case); theory.breakdown.verification_pays",
    assumptions="R1, isotropic two-class mixture, equal generated rows.",
    strategy="simulate() in law with and without three verifiers, 1024 chains: the sign of the gain, clear of 0 "
    "by five standard errors.",
    planted="the answer is turned round",
    check=_pays,
)


def _surest(planted):
    """The generator's own confidence: it keeps what lies far from its own rule, and adds nothing to its direction."""
    theta = 0.8
    rule = np.array([np.cos(theta), np.sin(theta), 0, 0])
    task = half_space(DIM, generator=linear_labels(direction=rule), learner="averaging")
    for share in (0.2, 0.6):
        result = one_round(task, confidence(share), rows=400, chains=512, seed=48, fixed="generated")
        across = result.model_coef[:, 1] @ (
            np.array([-np.sin(theta), np.cos(theta), 0, 0]) if not planted else AXIS
        )
        yield equal_means(f"keeps the surest {share:g}", across, 0.0)


SUREST = Theorem(
    name="self-selection-teaches-nothing-new",
    statement="Keeping the rows that the generator itself is surest of leaves its direction as it is: what is kept "
    "points along its own rule, for any share.",
    source="derived here: the kept set is symmetric about the generator's direction",
    assumptions="x ~ N(0, I), a linear generator, confidence |x.w_g|.",
    strategy="simulate() with the averaging learner: the kept moment across the generator's rule by z-score, zero; "
    + RATE
    + ".",
    planted="the moment along the truth is taken for zero",
    check=_surest,
)


def _anisotropic(planted):
    dim, rows, p, phi, psi = 60, 300, 0.2, 0.9, 0.4
    covariance = np.repeat([0.3, 2.0], dim // 2)
    mean = np.sqrt(np.tile([0.05, 0.02], dim // 2))
    quality = float(bd.signed_quality(p, phi, psi))
    for ridge in (0.2, 2.0):
        task = gaussian_mixture(mean, covariance=covariance, generator=flips(p), penalty=ridge)
        result = one_round(task, bernoulli(phi, psi), rows=rows, chains=512, seed=49, n_real=rows)
        assumed = np.ones(dim) * covariance.mean() if planted else covariance
        expected = bd.anisotropic_ridge(quality, mean, assumed, ridge, rows).accuracy
        # the formula is the limit of large d, off by a few 1/n here
        yield equal_means(f"ridge {ridge:g}", result.accuracy[:, 1], expected, 1.0 / rows)


ANISOTROPIC = Theorem(
    name="ridge-on-uneven-features",
    statement="With any covariance ridge on n kept rows has class accuracy Phi(m/sqrt(nu)), m and nu from the "
    "companion transform of its spectrum: p* stays where it is, and the Bayes accuracy is reached only "
    "as the penalty fades.",
    source="derived here, announced in [Firdoussi24]; theory.breakdown.anisotropic_ridge",
    assumptions="R1, Gaussian classes of one covariance; leading order in 1/d.",
    strategy="simulate() at d = 60, n = 300, variances 0.3 and 2: accuracy by z-score, 1/n allowed for finite size; "
    + RATE
    + ".",
    planted="the variances are taken for their mean",
    check=_anisotropic,
)


def _logistic(planted):
    dim, rows, p, separation = 40, 800, 0.3, 1.55
    task = gaussian_mixture(
        separation * np.eye(dim)[0], generator=flips(p), learner="logistic", penalty=1.0, loss="sum"
    )
    for theta_ver in (np.pi / 12, np.pi / 6):
        result = one_round(task, linear(angle=theta_ver), rows=rows, chains=128, seed=55)
        assumed = 2 * dim if planted else dim
        expected = bd.logistic_selection_error(rows, assumed, p, separation, theta_ver)
        # the formula is the limit of large d, off by a few 1/n here
        yield equal_means(f"angle {theta_ver:.2f}", 1 - result.accuracy[:, 1], expected, 2.0 / rows)


LOGISTIC = Theorem(
    name="logistic-in-proportion",
    statement="With n/d fixed, the error of ridge-logistic regression on rows that a linear verifier kept solves a "
    "system of few equations: stationarity in the plane of truth and verifier, and the length of the noise across it.",
    source="derived here (convex Gaussian min-max); theory.breakdown.logistic_selection_error",
    assumptions="R2: labels flipped independently, one fixed linear verifier; Gaussian classes, leading order in 1/d.",
    strategy="simulate() at d = 40, n = 800 kept rows, two verifiers: error by z-score, 2/n allowed for finite size; "
    + RATE
    + ".",
    planted="twice the dimensions per row",
    check=_logistic,
)


def _best_size(planted):
    dim, p, separation, theta_ver = 20, 0.3, 1.55, np.pi / 12
    best = round(bd.best_selection_size(dim, p, separation, theta_ver).num_selected)
    verifier = linear(angle=theta_ver)
    task = gaussian_mixture(
        separation * np.eye(dim)[0], generator=flips(p), learner="logistic", penalty=1.0, loss="sum"
    )
    errors = {}
    for rows in (best // 8, best, 8 * best):
        result = one_round(task, verifier, rows=rows, chains=96, seed=50)
        errors[rows] = 1 - result.accuracy[:, 1]
    for rows in (best // 8, 8 * best):
        gain = errors[best] - errors[rows]
        yield below(f"{best} rows against {rows}", -gain if planted else gain)


BEST_SIZE = Theorem(
    name="a-weak-verifier-has-a-best-data-size",
    statement="Logistic regression with a fixed total penalty on rows that a fixed linear verifier kept is best at a "
    "finite number of rows: with fewer it is noisy, with more it drifts to the verifier's own rule, as n^(-1/3).",
    source="[Feng24], Fig. 3, for the fact; derived here for the size; theory.breakdown.best_selection_size",
    assumptions="R2: labels flipped independently, one fixed linear verifier; Gaussian classes.",
    strategy="simulate() in 20 dimensions at the best size and at an eighth and eight times of it: the error there is "
    "larger, established; " + RATE + ".",
    planted="the two sides are exchanged",
    check=_best_size,
)
