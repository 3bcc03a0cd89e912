"""One round of selection and retraining chains on Gaussian classes, row by row, against `theory.breakdown`.

The readings R1 to R4 of a generator and its verifier are those of `simcollapse.tasks.generators`.
"""

import numpy as np
import pytest

import simcollapse as sc
from tests.helpers import assert_mean, assert_proportion
from theory import breakdown

ROWS, CHAINS = (
    20_000,
    160,
)  # of one round: coefficients are off their limit by about 1/ROWS, far below the errors
DIM = 3
MU = 1.3 * np.array([1.0, 2.0, 2.0]) / 3  # the Bayes accuracy of the mixture is 0.903
BAYES = MU / np.linalg.norm(MU)
ORIGIN = np.zeros(DIM)
ACROSS = np.array([[2.0, -1.0, 0.0], [2.0, 4.0, -5.0]]) / np.array(
    [[5**0.5], [45**0.5]]
)  # with BAYES orthonormal
COVARIANCE = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, -0.4], [0.0, -0.4, 0.7]])


def turned(angle, deviation):
    """A unit vector at `angle` to BAYES."""
    return np.cos(angle) * BAYES + np.sin(angle) * ACROSS[deviation]


GENERATOR, VERIFIER = turned(0.9, 0), turned(0.4, 1)


def one_round(task, verifier, *, chains=CHAINS, rows=ROWS, rounds=1, seed=0, **options):
    return sc.simulate(
        task,
        verifier,
        options.pop("workflow", sc.replace()),
        n_real=rows,
        n_per_round=rows,
        rounds=rounds,
        chains=chains,
        seed=seed,
        record_model=True,
        **options,
    )


def quality(p, phi, psi):
    return float(breakdown.signed_quality(p, phi, psi))


def limit(moments):
    return breakdown.ridge_coefficients_limit(moments)


TABLE = breakdown.kept_table(0.7, (0.2, 0.5), [[0.9, 0.3], [0.6, 0.7]])
BY_CLASS = dict(generator=sc.flips([0.2, 0.5]), shares=[0.7, 0.3])
KEEP = sc.bernoulli(keep=[[0.9, 0.3], [0.6, 0.7]])

# id: task, verifier, and the coefficients least squares (or averaging) reaches with unlimited rows
LIMITS = {
    "R1, one cloud": (
        sc.half_space(BAYES, generator=sc.flips(0.3)),
        sc.bernoulli(0.8, 0.4),
        breakdown.bayes_label_coefficient(quality(0.3, 0.8, 0.4)) * BAYES,
    ),
    "R1, beyond the breakdown point": (
        sc.gaussian_mixture(MU, covariance=COVARIANCE, generator=sc.flips(0.8)),
        sc.bernoulli(0.9, 0.4),
        breakdown.least_squares_coefficients(breakdown.precision(0.8, 0.9, 0.4), MU, COVARIANCE),
    ),
    "R1, rates by class": (
        sc.gaussian_mixture(MU, **BY_CLASS),
        KEEP,
        breakdown.least_squares_coefficients(breakdown.table_precision(TABLE), MU),
    ),
    "R1, rates by class, intercept": (
        sc.gaussian_mixture([MU + 0.5, 0.5 - MU], covariance=COVARIANCE, intercept=True, **BY_CLASS),
        KEEP,
        breakdown.intercept_coefficients(TABLE, 2 * MU, COVARIANCE),
    ),
    "R2, one cloud": (
        sc.half_space(BAYES, generator=sc.flips(0.2)),
        sc.linear(VERIFIER),
        limit(breakdown.flipped_bayes_moments(0.2, ORIGIN, BAYES, VERIFIER)),
    ),
    "R2, flipped classes": (
        sc.gaussian_mixture(MU, generator=sc.flips(0.3)),
        sc.linear(VERIFIER),
        limit(breakdown.flipped_class_moments(0.3, MU, VERIFIER)),
    ),
    "R2, flipped Bayes labels": (
        sc.gaussian_mixture(MU, generator=sc.flips(0.3), labels="bayes"),
        sc.linear(VERIFIER),
        limit(breakdown.flipped_bayes_moments(0.3, MU, BAYES, VERIFIER)),
    ),
    "R3, two clouds": (
        sc.gaussian_mixture(MU, generator=sc.linear_labels(direction=GENERATOR)),
        sc.linear(VERIFIER),
        limit(breakdown.linear_generator_moments(MU, GENERATOR, VERIFIER)),
    ),
    "R3, only confident labels": (
        sc.gaussian_mixture(MU, generator=sc.linear_labels(direction=GENERATOR)),
        sc.linear(VERIFIER, threshold=0.7),
        limit(breakdown.linear_generator_moments(MU, GENERATOR, VERIFIER, threshold=0.7)),
    ),
    "linear labels, oracle": (
        sc.gaussian_mixture(MU, generator=sc.linear_labels(direction=GENERATOR)),
        sc.oracle(),
        limit(breakdown.oracle_moments(MU, GENERATOR)),
    ),
    "R4, averaging": (
        sc.half_space(BAYES, generator=sc.fresh_linear_labels(0.9), learner="averaging"),
        sc.fresh_linear(0.4),
        breakdown.fresh_rules_moment(0.9, 0.4) * BAYES,
    ),
}


FAST = ("R1, rates by class, intercept", "R2, flipped classes", "R3, two clouds", "R4, averaging")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in LIMITS]
)
def test_coefficients_reach_the_limit(name):
    task, verifier, expected = LIMITS[name]
    result = one_round(task, verifier)
    assert_mean(result.model_coef.isel(round=1).values, expected, resolution=0.01)
    assert result.alive.all()


ANGLES = {"verifier.alignment": [1.0, -1.0, 0.0, 0.3]}


@pytest.mark.slow
def test_r3_by_angles():
    """Accuracy and audit of a generator and a verifier at given angles, however their deviations lie."""
    g, v = np.radians(50), np.radians(20)
    task = sc.half_space([2.0, -1.0, 0.5, 1.0], generator=sc.linear_labels(angle=g))
    result = sc.sweep(
        task,
        sc.linear(angle=v),
        sc.replace(),
        over=ANGLES,
        n_real=50,
        n_per_round=ROWS,
        rounds=1,
        chains=80,
        seed=1,
    ).isel(round=1)
    for xi in ANGLES["verifier.alignment"]:
        here = result.sel({"verifier.alignment": xi})
        t = float(breakdown.angle_between_rules(g, v, xi))
        right, wrong = breakdown.linear_verifier_shares(g, v, t)
        # rows of a fixed generator and verifier are independent of each other
        counts = [here.num_kept_correct.sum(), (here.num_kept - here.num_kept_correct).sum()]
        total = int(here.num_generated.sum())
        assert_proportion(
            np.array([int(count) for count in counts] + [int(here.num_correct.sum())]),
            total,
            np.clip([right, wrong, 1 - g / np.pi], 0, 1),
            resolution=0.007,
        )
        expected = breakdown.bisector_accuracy_limit(g, v, t)
        assert_mean(here.accuracy.values, expected, resolution=0.01)


def test_angles_and_alignments_are_as_asked():
    """Rules turned from a Bayes rule of any length, in few or many dimensions and with more classes."""
    import jax

    angle = sc.linear_labels(angle=0.7)
    for task in (
        sc.half_space([3.0, -4.0, 1.0], generator=angle),
        sc.gaussian_mixture([[1.0, 0.0], [-1.0, 2.0], [0.0, -1.0]], generator=angle),
        sc.half_space(50, generator=sc.linear_labels(direction=np.arange(50) - 7.0)),
    ):
        truth = np.ravel(task.bayes_rule().coef)
        generator = np.ravel(task.generator.rule(task).coef)

        def across(w, truth=truth):
            return w - (w @ truth) / (truth @ truth) * truth

        def cosine(a, b):
            return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

        if task.generator is angle:
            assert cosine(generator, truth) == pytest.approx(np.cos(0.7), abs=1e-12)
        for xi in (1.0, -1.0, 0.0, -0.6):
            judge = sc.linear(angle=2.5, alignment=xi).init(jax.random.key(0), task)
            w = np.ravel(judge.coef)
            assert cosine(w, truth) == pytest.approx(np.cos(2.5), abs=1e-12)
            assert cosine(across(w), across(generator)) == pytest.approx(xi, abs=1e-12)
        random = [sc.linear(angle=2.5, alignment="random").init(jax.random.key(i), task) for i in (1, 2)]
        for judge in random:
            assert cosine(np.ravel(judge.coef), truth) == pytest.approx(np.cos(2.5), abs=1e-12)
        assert not np.allclose(random[0].coef, random[1].coef)


@pytest.mark.parametrize(("dim", "n"), [pytest.param(1, 8, marks=pytest.mark.slow), (20, 100)])
def test_averaging_at_finite_size_is_exact(dim, n):
    """E[accuracy] of averaging n kept rows in d dimensions, R1: below, at and beyond the breakdown point."""
    phi, psi, s = 0.8, 0.4, 1.2
    rates = [0.3, phi / (phi + psi), 0.9]
    result = sc.sweep(
        sc.gaussian_mixture(np.full(dim, s / np.sqrt(dim)), generator=sc.flips(0.0), learner="averaging"),
        sc.bernoulli(phi, psi),
        "replace",
        over={"task.generator.p": rates},
        n_real=n,
        n_per_round=n,
        rounds=1,
        chains=6000,
        seed=3,
        fixed="kept",
    ).isel(round=1)
    assert (result.num_used == n).all()
    for i, p in enumerate(rates):
        expected = breakdown.averaging_accuracy_exact(n, dim, float(breakdown.precision(p, phi, psi)), s)
        assert_mean(result.accuracy.values[i], expected, resolution=0.05)
    assert expected < 0.5 < breakdown.averaging_accuracy_exact(n, dim, 0.8, s)


@pytest.mark.slow
def test_ridge_on_few_rows_per_dimension():
    """Accuracy at d/n = 0.1 against the limit in proportion, which is off by O(1/n)."""
    dim, s, p, phi, psi = 60, 1.5, 0.3, 0.9, 0.4
    over = {"task.penalty": [0.0, 0.3, np.inf], "task.generator.p": [0.3, 0.8]}
    task = sc.gaussian_mixture(s * np.eye(dim)[0], generator=sc.flips(p))
    result = sc.sweep(
        task,
        sc.bernoulli(phi, psi),
        sc.replace(),
        over=over,
        n_real=600,
        n_per_round=600,
        rounds=1,
        chains=300,
        seed=4,
        fixed="kept",
    ).accuracy.isel(round=1)
    for penalty in over["task.penalty"]:
        for rate in over["task.generator.p"]:
            expected = breakdown.mixture_ridge_accuracy(s, quality(rate, phi, psi), penalty, dim / 600)
            here = result.sel({"task.penalty": penalty, "task.generator.p": rate}).values
            assert abs(here.mean() - expected) < 0.004 + 5 * here.std() / np.sqrt(300)


WORKFLOWS = {
    "replace": sc.replace(),
    "accumulate": sc.accumulate(),
    "accumulate_subsample": sc.accumulate_subsample(),
}


@pytest.mark.parametrize(
    "workflow",
    ["replace", *(pytest.param(name, marks=pytest.mark.slow) for name in WORKFLOWS if name != "replace")],
)
def test_a_retrained_chain_goes_to_the_verifiers_direction(workflow):
    """Under a linear verifier the model turns to the bisector of itself and the verifier: angles halve."""
    rows = 4000
    task = sc.half_space(3, generator=sc.fitted())
    result = one_round(
        task, sc.linear(angle=0.8), rows=rows, chains=120, rounds=5, workflow=WORKFLOWS[workflow], seed=5
    )
    angles = result.verifier_angle.values
    if workflow == "replace":
        for k in (0, 1, 2, 3):
            assert_mean(angles[:, k], 0.8 / 2**k, resolution=0.03)
        assert np.all(angles[:, -1] < 0.12)
    assert np.all(np.diff(angles.mean(axis=0)) < 0)
    assert np.all(angles[:, -1] < 0.6)
    # kept labels are the verifier's own in every round, so what is not the verifier's fades
    later = result.isel(round=slice(1, None))
    assert np.all(np.diff(later.p.mean("chain")) > 0)  # towards the verifier's own error rate
    assert float(later.p.max()) < 0.8 / np.pi + 0.02


@pytest.mark.slow
def test_self_selection_teaches_nothing():
    """Rows whose labels the model itself is surest of keep its direction, but for their noise."""
    task = sc.half_space(3, generator=sc.fitted())
    result = one_round(task, sc.confidence(0.3), rows=2000, chains=200, rounds=2, seed=6)
    later = result.isel(round=slice(1, None))
    np.testing.assert_array_equal(later.num_kept, 600)
    change = (later.accuracy.isel(round=-1) - result.accuracy.isel(round=0)).values.mean()
    assert -0.01 < change < 0  # the noise of 600 rows, never a gain
    unit = result.model_coef.values / np.linalg.norm(result.model_coef.values, axis=-1, keepdims=True)
    assert_mean(unit[:, 2, 1:] - unit[:, 0, 1:], 0, resolution=0.03)  # no drift across the truth


def test_confidence_ranks_the_whole_round():
    """The share with the largest margins of a linear verifier: the moments beyond a threshold."""
    share, p = 0.2, 0.3
    task = sc.gaussian_mixture(MU, generator=sc.flips(p))
    result = one_round(task, sc.confidence(share, by=sc.linear(VERIFIER)), chains=80, seed=7)
    assert (result.num_kept.isel(round=1) == share * ROWS).all()

    def keep(c):
        return breakdown.flipped_class_moments(p, MU, VERIFIER, threshold=c).keep

    c = breakdown.ranked_threshold(keep, share)
    expected = limit(breakdown.flipped_class_moments(p, MU, VERIFIER, threshold=c))
    assert_mean(result.model_coef.isel(round=1).values, expected, resolution=0.03)


def test_verifiers_that_are_the_same_agree():
    """An oracle is a Bernoulli verifier, so is random selection, and rates by class or by label include the rest."""
    import jax.numpy as jnp

    from simcollapse.tasks.features import ClassRows

    truth, label = jnp.asarray([0, 0, 1, 1], jnp.int32), jnp.asarray([0, 1, 0, 1], jnp.int32)
    data = ClassRows(jnp.zeros((2, 4)), truth, label)

    def chances(verifier):
        drawn = verifier.chance((), data, None, truth == label)
        np.testing.assert_array_equal(np.asarray(verifier.keep_table(2))[truth, label], drawn)
        return drawn

    np.testing.assert_allclose(chances(sc.oracle(0.2)), [0.8, 0.2, 0.2, 0.8])
    np.testing.assert_allclose(chances(sc.bernoulli(0.8, 0.2)), [0.8, 0.2, 0.2, 0.8])
    np.testing.assert_allclose(chances(sc.bernoulli([0.8, 0.7], [0.2, 0.1])), [0.8, 0.2, 0.1, 0.7])
    np.testing.assert_allclose(chances(sc.bernoulli(keep=[[0.8, 0.2], [0.1, 0.7]])), [0.8, 0.2, 0.1, 0.7])
    np.testing.assert_allclose(chances(sc.random(0.6)), 0.6)


@pytest.mark.slow
def test_a_trained_verifier_errs_like_a_fit_on_its_rows():
    """Its rule is least squares on m real rows: the same law as the model of round 0 fitted to m rows."""
    import jax

    task = sc.gaussian_mixture(MU)
    verifier = sc.linear(trained_on=25)
    judges = jax.vmap(lambda key: verifier.init(key, task))(jax.random.split(jax.random.key(8), 3000))
    models = sc.simulate(task, sc.none(), "replace", n_real=25, n_per_round=25, rounds=0, chains=3000, seed=9)
    cosine = np.asarray(judges.coef) @ BAYES
    assert_mean(np.arccos(np.clip(cosine, -1, 1)), models.angle.values.mean(), resolution=0.05)


@pytest.mark.parametrize(
    ("rejected", "kinds"),
    [("drop", ["in_jax"]), pytest.param("resample", ["in_jax", "on_host"], marks=pytest.mark.slow)],
)
def test_users_functions_judge_labels(rejected, kinds):
    """A verifier as a plain function, in JAX and on the host, against the linear one."""
    import jax.numpy as jnp

    def in_jax(key, batch, model):
        return (batch.x @ jnp.asarray(VERIFIER) < 0) == (batch.label == 1)

    def on_host(random, batch, model):
        assert isinstance(batch.label, np.ndarray)
        assert set(batch.truth) <= {0, 1}
        return (batch.x @ VERIFIER < 0) == (batch.label == 1)

    functions = {"in_jax": in_jax, "on_host": on_host}
    task = sc.gaussian_mixture(MU, generator=sc.flips(0.3))
    results = [
        one_round(task, verifier, rows=150, chains=4, rejected=rejected)
        for verifier in (sc.linear(VERIFIER), *(functions[kind] for kind in kinds))
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].num_kept, other.num_kept)
        np.testing.assert_allclose(results[0].accuracy, other.accuracy, rtol=1e-12)
    if rejected == "resample":
        assert (results[0].num_used.isel(round=1) == 150).all()


@pytest.mark.slow
def test_sweeps_reach_generator_and_verifier():
    """p, phi, psi and whole generators in a grid; values of numeric fields share one program."""
    task = sc.gaussian_mixture(MU, generator=sc.flips(0.3))
    over = {"task.generator.p": [0.1, 0.6], "verifier.psi": [0.2, 0.9]}
    result = sc.sweep(
        task,
        sc.bernoulli(0.9, 0.4),
        "replace",
        over=over,
        n_real=50,
        n_per_round=4000,
        rounds=1,
        chains=4,
        seed=0,
    ).isel(round=1)
    np.testing.assert_allclose(result.p.mean("chain"), [[0.1, 0.1], [0.6, 0.6]], atol=0.03)
    np.testing.assert_allclose(result.psi.mean("chain"), [[0.2, 0.9], [0.2, 0.9]], atol=0.06)
    assert result.accuracy.attrs["long_name"]
