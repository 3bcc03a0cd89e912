"""Verifiers of generative tasks: what they accept against closed forms, and where they lead a chain."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import simcollapse as sc
from simcollapse import blocks, keys
from simcollapse.verifiers.discriminator import features
from tests.helpers import assert_mean, assert_proportion
from theory.workflows import truncated_gaussian, truncated_kde

COVARIANCE = np.array([[2.0, 0.5], [0.5, 1.0]])
TASK = sc.gaussian([1.0, -1.0], covariance=COVARIANCE)
LINE = sc.gaussian([1.0], covariance=4.0)
WORD: Any = "a"  # of a kind that a type checker refuses
ONE: Any = 1


def accepted(verifier, task, chains, seed=0):
    """Which of 100 real rows each of the chains' verifiers accepts, (C, 100)."""

    def one(key):
        judge = verifier.init(jax.random.fold_in(key, 0), task)
        data = task.real(jax.random.fold_in(key, 1), jnp.int32(0), None)
        return verifier.accept(jax.random.fold_in(key, 2), judge, data, task.truth_model())

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(keys.root(seed), chains)))


def prepared(verifier, task, model, chains, seed=0):
    """A round's judge for each of the chains, all of whose models are `model`."""

    def one(key):
        return verifier.prepare(key, verifier.init(key, task), task, model)

    return jax.jit(jax.vmap(one))(jax.random.split(keys.root(seed), chains))


def direction_in_units_of_spread(direction):
    """Squared Mahalanobis length of a step of length 1."""
    step = np.asarray(direction) / np.linalg.norm(direction)
    return step @ np.linalg.solve(COVARIANCE, step)


@pytest.mark.parametrize(
    ("verifier", "expected"),
    [
        (sc.likelihood(radius=1.3), stats.chi2.cdf(1.3**2, 2)),
        (sc.likelihood(radius=1.3, scale=2.0), stats.chi2.cdf(2.6**2, 2)),
        (sc.likelihood(keep=0.2), 0.2),
        (sc.likelihood(keep=0.95), 0.95),
        (
            sc.likelihood(radius=1.3, bias=2.0),
            stats.ncx2.cdf(1.3**2, 2, 4 * direction_in_units_of_spread([1, 1])),
        ),
        (
            sc.likelihood(radius=1.3, bias=0.7, direction=[3.0, -4.0], scale=0.5),
            stats.ncx2.cdf(0.65**2, 2, 0.49 * direction_in_units_of_spread([3, -4])),
        ),
        (
            sc.likelihood(radius=1.3, center=[1.6, -1.8]),
            stats.ncx2.cdf(1.3**2, 2, direction_in_units_of_spread([3, -4])),
        ),
        (sc.region([0.0, -np.inf], np.inf), stats.norm.cdf(1 / np.sqrt(2))),
        (sc.region(high=[np.inf, -0.5]), stats.norm.cdf(0.5)),
        (sc.region(normal=[2.0, -1.0], offset=4.0), stats.norm.cdf(-1 / np.sqrt(7))),
    ],
)  # fmt: skip
def test_acceptance_of_real_rows(verifier, expected):
    """Chi-square, noncentral chi-square and normal probabilities; 50,000 independent rows."""
    mask = accepted(verifier, TASK, 500)
    assert_proportion(mask.sum(), mask.size, expected, resolution=0.025)


def test_a_box_is_a_product_and_its_ball_a_noncentral_chi_square():
    task = sc.gaussian([1.0, -1.0, 0.0])
    box = accepted(sc.region([-0.5, -2.0, -1.0], [1.5, 0.0, np.inf]), task, 500)
    cdf = stats.norm.cdf
    expected = (cdf(0.5) - cdf(-1.5)) * (cdf(1) - cdf(-1)) * cdf(1)
    assert_proportion(box.sum(), box.size, expected, resolution=0.025)
    ball = accepted(sc.region(center=[0.0, 0.0, 0.0], radius=1.5), task, 500)
    assert_proportion(ball.sum(), ball.size, stats.ncx2.cdf(1.5**2, 3, 2.0), resolution=0.025)
    both = accepted(
        sc.region([-0.5, -2.0, -1.0], [1.5, 0.0, np.inf], center=[0.0] * 3, radius=1.5), task, 500
    )
    np.testing.assert_array_equal(both, box & ball)


def test_a_reference_fitted_to_few_rows_accepts_like_hotelling():
    """A fresh row's distance to it is T^2: D (m^2 - 1)/(m (m - D)) times F(D, m - D)."""
    m, dim = 8, 2
    mask = accepted(sc.likelihood(radius=1.5, trained_on=m), TASK, 4000)
    scale = dim * (m**2 - 1) / (m * (m - dim))
    assert_mean(mask.mean(axis=1), stats.f.cdf(1.5**2 / scale, dim, m - dim), resolution=0.03)


@pytest.mark.slow
def test_density_estimates_have_the_same_verifiers():
    """Normal data with a spread of 2: the same law as a Gaussian's; and a set that is not normal at all."""
    task = sc.kde(2, noise=2.0, bandwidth=0.5, test=20)
    mask = accepted(sc.likelihood(keep=0.7), task, 500)
    assert_proportion(mask.sum(), mask.size, 0.7, resolution=0.025)
    mask = accepted(sc.likelihood(radius=1.3, bias=1.0), task, 500)
    assert_proportion(mask.sum(), mask.size, stats.ncx2.cdf(1.3**2, 2, 0.25), resolution=0.025)
    mask = accepted(sc.region(high=[1.0, np.inf]), task, 500)
    assert_proportion(mask.sum(), mask.size, stats.norm.cdf(0.5), resolution=0.025)
    circles = sc.kde("circles", bandwidth=0.1, test=20)
    model = circles.truth_model()
    astray = model._replace(points=model.points + jnp.array([[0.0, 1.0]]))  # 1.6 standard deviations up
    rule = prepared(sc.discriminator(100), circles, astray, 20)
    places = features(circles.standard_step(jnp.array([0.0, 1.0]))[:, None] * jnp.array([[-1.0, 1.0]]))
    below, above = np.asarray(places @ rule.coef.T + rule.intercept[None])
    assert (below > 1).all() and (above < 0).all()


def test_outcomes_of_a_reference_fitted_to_few_draws():
    """Outcome i is accepted if (count_i + 1)/(m + M) reaches the threshold; count_i is binomial."""
    p = np.array([0.5, 0.25, 0.15, 0.1])
    m, threshold = 20, 0.3  # without the one the least count would be 6, with it 7
    verifier, task = sc.likelihood(threshold=threshold, trained_on=m), sc.discrete(p)
    masks = np.asarray(jax.vmap(lambda key: verifier.init(key, task))(jax.random.split(keys.root(1), 4000)))
    least = np.ceil(threshold * (m + 4) - 1)
    assert_proportion(masks.sum(axis=0), 4000, stats.binom.sf(least - 1, m, p), resolution=0.1)


@pytest.mark.slow
def test_correct_rows_are_those_of_the_unbiased_reference():
    """phi = 1 and psi = 0 for the unbiased reference with the task's own limit; a biased one errs both ways."""
    sizes = {"n_real": 400, "n_per_round": 400, "rounds": 2, "chains": 4, "seed": 0}
    discrete = sc.discrete([0.5, 0.3, 0.15, 0.05])
    for task, exact, biased in (
        (TASK, sc.likelihood(keep=0.95, bias=0.0), sc.likelihood(keep=0.95, bias=1.0)),
        (discrete, sc.likelihood(threshold=0.15),
         sc.likelihood(threshold=0.2, probabilities=[0.1, 0.4, 0.1, 0.4])),
    ):  # fmt: skip
        good, bad = (
            sc.simulate(task, v, "replace", **sizes).isel(round=slice(1, None)) for v in (exact, biased)
        )
        assert (good.phi == 1).all()
        assert ((good.psi == 0) | good.psi.isnull()).all()
        np.testing.assert_allclose(good.acceptance_rate, 1 - good.p)
        assert (bad.phi.isel(round=0) < 1).all()
        assert bad.psi.isel(round=0).mean() > 0.1


@pytest.mark.parametrize("workflow", ["replace", pytest.param("accumulate", marks=pytest.mark.slow)])
def test_a_biased_reference_in_one_dimension_leads_where_theory_says(workflow):
    """Mean, variance and acceptance of each round, for so many rows that 1/n does not show; two biases, one program."""
    before = blocks.compiled_block.cache_info().misses
    biases = [1.5, 4.0]
    result = sc.sweep(
        LINE, sc.likelihood(radius=0.8, bias=1.0), workflow, over={"verifier.bias": biases},
        n_real=20_000, n_per_round=20_000, rounds=4, chains=110, seed=3, record_model=True,
    )  # fmt: skip
    assert blocks.compiled_block.cache_info().misses == before + 1
    run = getattr(truncated_gaussian, f"{workflow}_population_limit")
    for bias in biases:
        expected = run(mean=1.0, sigma=2.0, center=1 + bias, radius=1.6, rounds=4)
        cell = result.sel({"verifier.bias": bias})
        mean = 1 + 2 * cell.model_mean.values[..., 0]
        assert_mean(mean, expected.mean, resolution=0.03)
        assert_mean(cell.log_trace, np.log(expected.variance / 4), resolution=0.04)
        assert_mean(
            cell.acceptance_rate.isel(round=slice(1, None)), expected.acceptance[1:], resolution=0.012
        )


@pytest.mark.slow
@pytest.mark.parametrize("workflow", ["replace", "accumulate", "accumulate_subsample", "fresh_real"])
def test_a_kernel_density_behind_a_biased_reference_goes_where_theory_says(workflow):
    """Mean, variance and acceptance of each round, for so many rows that 1/n does not show."""
    sizes = {"n_real": 2_500, "n_per_round": 10_000, "rounds": 5}
    chosen, extra = workflow, {"real_share": 0.25} if workflow.startswith("accumulate") else {}
    if workflow == "fresh_real":
        chosen, extra = sc.fresh_real(0.2), {"real_share": 0.2}
    task = sc.kde(1, bandwidth=0.3, test=10)
    result = sc.simulate(
        task, sc.likelihood(radius=2.5, bias=1.5), chosen, **sizes, chains=100, seed=4, record_model=True
    )
    run = getattr(truncated_kde, f"{workflow.removesuffix('_subsample')}_population_limit")
    expected = run(mean=0.0, sigma=1.0, center=1.5, radius=2.5, bandwidth=0.3, rounds=5, **extra)
    assert_mean(result.model_mean.values[..., 0], expected.mean, resolution=0.03)
    assert_mean(result.trace, expected.variance, resolution=0.04)
    generated = result.acceptance_rate.isel(round=slice(1, None))
    assert_mean(generated, expected.acceptance[1:], resolution=0.012)


@pytest.mark.slow
def test_the_model_goes_to_the_knowledge_center_of_a_narrow_verifier():
    """The mean leaves the truth for the reference's, sqrt(5) away; what is left is the spread of the kept rows."""
    center = np.array([2.0, 1.0])
    result = sc.simulate(
        TASK, sc.likelihood(radius=0.3, center=center), "replace",
        n_real=2000, n_per_round=20_000, rounds=3, chains=40, seed=0, record_model=True,
    )  # fmt: skip
    mean = [1.0, -1.0] + result.model_mean.values @ np.linalg.cholesky(COVARIANCE).T
    off_center = np.linalg.norm(mean - center, axis=-1)
    off_truth = np.linalg.norm(mean - [1.0, -1.0], axis=-1)
    assert (off_center[:, 0] > 2.0).all() and (off_truth[:, 0] < 0.2).all()
    assert (off_center[:, -1] < 0.1).all() and (off_truth[:, -1] > 2.1).all()


@pytest.mark.parametrize("soft", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_discriminator_accepts_half_where_there_is_nothing_to_tell(soft):
    """Real and synthetic rows are exchangeable, so the mean share is 1/2 exactly, however few rows it has."""
    verifier = sc.discriminator(15, soft=soft)
    judges = prepared(verifier, TASK, TASK.truth_model(), 8000)

    def one(key, judge):
        data = TASK.real(jax.random.fold_in(key, 0), jnp.int32(7), None)
        return jnp.mean(verifier.accept(jax.random.fold_in(key, 1), judge, data, None).astype(float))

    share = jax.jit(jax.vmap(one))(jax.random.split(keys.root(9), 8000), judges)
    assert_mean(share, 0.5, resolution=0.04)
    if not soft:  # its rule scatters like 1/sqrt(trained_on): it has seen as many rows as it says
        more = prepared(sc.discriminator(60, soft=soft), TASK, TASK.truth_model(), 400)
        assert (np.std(judges.coef, axis=0) > 1.6 * np.std(more.coef, axis=0)).all()


def test_with_many_rows_it_knows_the_odds():
    """The estimated probability of being real tends to p/(p + q), here of two normal laws, one of them correlated."""
    task = sc.gaussian(2)
    shift, lower = np.array([0.4, -0.2]), np.array([[0.8, 0.0], [0.4, 0.7]])
    model = task.refitted(task.truth_model(), jnp.asarray(shift), jnp.asarray(lower))
    rule = prepared(sc.discriminator(20_000, penalty=1e-6), task, model, 2)
    x = np.stack(np.meshgrid(np.linspace(-1.2, 1.2, 5), np.linspace(-1.2, 1.2, 5))).reshape(2, -1)
    truth = stats.norm.pdf(x).prod(axis=0)
    made = stats.norm.pdf(np.linalg.solve(lower, x - shift[:, None])).prod(axis=0) / (0.8 * 0.7)
    real = jax.nn.sigmoid(features(jnp.asarray(x)) @ rule.coef.T + rule.intercept[None])
    # the largest error of 40 such judges was 0.024; a factor of 1.3 on the odds would be 0.065
    np.testing.assert_allclose(
        real, np.broadcast_to((truth / (truth + made))[:, None], real.shape), atol=0.04
    )


@pytest.mark.slow
def test_many_rows_and_a_threshold_below_one_half_accept_nearly_everything():
    verifier = sc.discriminator(5000, threshold=0.4)
    judges = prepared(verifier, TASK, TASK.truth_model(), 20)

    def share(key, judge):
        data = TASK.real(key, jnp.int32(7), None)
        return jnp.mean(verifier.accept(key, judge, data, None).astype(float))

    assert jax.vmap(share)(jax.random.split(keys.root(9), 20), judges).mean() > 0.98


@pytest.mark.parametrize(
    "verifier",
    [
        sc.discriminator(300, soft=True),
        pytest.param(sc.discriminator(300, threshold=0.4), marks=pytest.mark.slow),
    ],
)
def test_a_discriminator_mends_a_model_that_began_badly(verifier):
    """Round 0 fits eight rows, whose error stays for ever without a verifier; with one it goes to a tenth."""
    sizes = {"n_real": 8, "n_per_round": 2000, "rounds": 6, "chains": 100, "seed": 0}
    result = sc.simulate(TASK, verifier, "replace", **sizes)
    error = result.squared_error.mean("chain").values
    np.testing.assert_allclose(error[0], 3 / 8, rtol=0.5)  # trace / n, which a round without a verifier keeps
    assert error[-1] < 0.1 * error[0]
    # the spread comes nearer to the truth's, chain by chain, though a hard verdict ends at exp(-0.235) of it: a paired
    # z-score, of false alarms below 0.2 %, which is near 0 without a verifier
    off = np.abs(result.log_trace.values)
    gained = off[:, 0] - off[:, -1]
    assert gained.mean() > 3 * gained.std(ddof=1) / np.sqrt(len(gained))


def test_a_discriminator_of_anything_is_finite():
    """A model that is a point, or far away, or so far that its squares overflow; and a single row of each."""
    truth = TASK.truth_model()
    extremes = [(0.0, 1e-300), (1e8, 1.0), (1e8, 1e8), (-3.0, 0.0), (1e160, 1.0)]
    models = [TASK.refitted(truth, shift * jnp.ones(2), lower * jnp.eye(2)) for shift, lower in extremes]
    models = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    for m in (30, 1):
        verifier = sc.discriminator(m)
        split = jax.random.split(keys.root(0), len(extremes))
        rules = jax.jit(jax.vmap(lambda key, model, v=verifier: v.prepare(key, (), TASK, model)))(
            split, models
        )
        assert all(np.isfinite(np.asarray(leaf)).all() for leaf in rules)


def test_the_rows_of_its_training_count_as_memory():
    sizes = {"n_real": 50, "n_per_round": 50, "rounds": 1, "chains": 1, "seed": 0}
    with pytest.raises(MemoryError, match="one chain needs"):
        sc.simulate(TASK, sc.discriminator(100_000), "replace", **sizes, memory_bytes=20_000_000)


def test_single_precision():
    with jax.enable_x64(False):
        task = sc.gaussian(2)
        for keep in (0.5, 0.95, 1.0):
            mask = accepted(sc.likelihood(keep=keep), task, 500)
            assert abs(mask.mean() - keep) < 0.02
        assert accepted(sc.likelihood(keep=1.0), task, 5).all()
        rule = prepared(sc.discriminator(200), task, task.truth_model(), 3)
        assert rule.coef.dtype == np.float32
        assert np.isfinite(np.asarray(rule.coef)).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sc.likelihood(), ValueError, "exactly one of radius and keep .* got none"),
        (lambda: sc.likelihood(radius=1, keep=0.5), ValueError, r"exactly one .* got \['radius', 'keep'\]"),
        (lambda: sc.likelihood(radius=-1), ValueError, "verifier.radius must be positive"),
        (lambda: sc.likelihood(keep=0), ValueError, r"verifier.keep must be in \(0, 1\], got 0.0"),
        (
            lambda: sc.likelihood(radius=1, bias=-1),
            ValueError,
            "verifier.bias must be >= 0 and finite, got -1",
        ),
        (lambda: sc.likelihood(radius=1, bias=[1, 2]), ValueError, r"bias must have shape \(\), got \(2,\)"),
        (lambda: sc.likelihood(radius=1, direction=[1, 0]), ValueError, "direction goes with bias"),
        (
            lambda: sc.likelihood(radius=1, bias=1, direction=[0, 0]),
            ValueError,
            "verifier.direction must not be zero",
        ),
        (
            lambda: sc.likelihood(radius=1, bias=1, center=[0]),
            ValueError,
            r"at most one of .* got \['center', 'bias'\]",
        ),
        (lambda: sc.likelihood(radius=1, scale=0), ValueError, "verifier.scale must be positive"),
        (lambda: sc.likelihood(radius="a"), TypeError, "radius must be a number"),
        (lambda: sc.likelihood(threshold=0.1, bias=1), ValueError, "bias does not go with threshold"),
        (lambda: sc.likelihood(radius=1, probabilities=[1.0]), ValueError, "probabilities does not go with"),
        (
            lambda: sc.likelihood(threshold=0.1, probabilities=[0.5, 0.4]),
            ValueError,
            "verifier.probabilities must sum to 1, got 0.9",
        ),
        (
            lambda: sc.likelihood(threshold=1.5),
            ValueError,
            r"verifier.threshold must be in \[0, 1\], got 1.5",
        ),
        (lambda: sc.discriminator(0), ValueError, "trained_on must be a whole number >= 1, got 0"),
        (lambda: sc.discriminator(WORD), TypeError, "trained_on must be a whole number, got 'a'"),
        (lambda: sc.discriminator(9, threshold=2), ValueError, r"verifier.threshold must be in \[0, 1\]"),
        (lambda: sc.discriminator(9, penalty=0), ValueError, "verifier.penalty must be positive"),
        (lambda: sc.discriminator(9, soft=ONE), TypeError, "verifier.soft must be True or False, got 1"),
        (lambda: sc.region(), ValueError, "give low or high, .* got none"),
        (lambda: sc.region(np.nan), ValueError, r"verifier.low must be a number \(inf allowed\), got nan"),
        (lambda: sc.region(1, 1), ValueError, "verifier.low must be < verifier.high, got low=1.0"),
        (lambda: sc.region([0, 0], [1, 1, 1]), ValueError, "low and high must have one shape"),
        (lambda: sc.region(center=[0]), ValueError, "center and radius go together, got center alone"),
        (lambda: sc.region(radius=1), ValueError, "center and radius go together, got radius alone"),
        (lambda: sc.region(center=0, radius=1), ValueError, r"center must have shape \(any,\), got \(\)"),
        (lambda: sc.region(normal=[0.0], offset=1), ValueError, "verifier.normal must not be zero"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("task", "verifier", "words"),
    [
        (LINE, sc.likelihood(threshold=0.1), "Likelihood judges rows of a discrete task, got the density"),
        (sc.discrete([0.5, 0.5]), sc.likelihood(keep=0.9), "judges rows of a density task, got the discrete"),
        (sc.discrete([0.5, 0.5]), sc.discriminator(9), "judges rows of a density task, got the discrete"),
        (TASK, sc.likelihood(radius=1, center=[1.0]), r"verifier.center must have shape \(2,\), got \(1,\)"),
        (
            TASK,
            sc.likelihood(radius=1, trained_on=2),
            "verifier.trained_on must be >= 3 for this task, got 2",
        ),
        (TASK, sc.likelihood(radius=1, trained_on=2**31), "verifier.trained_on must be <= "),
        (TASK, sc.discriminator(2**31), "verifier.trained_on must be <= "),
        (
            sc.discrete([0.5, 0.5]),
            sc.likelihood(threshold=0.1, probabilities=[0.5, 0.25, 0.25]),
            r"verifier.probabilities must have shape \(2,\), got \(3,\)",
        ),
        (
            sc.discrete([0.5, 0.5]),
            sc.likelihood(threshold=0.6),
            "verifier.threshold must be <= 0.5, .* got 0.6",
        ),
        (TASK, sc.region([0.0, 0.0, 0.0]), r"verifier.low must have shape \(2,\), got \(3,\)"),
        (TASK, sc.region(center=[0.0], radius=1), r"verifier.center must have shape \(2,\), got \(1,\)"),
    ],
)
def test_bad_match(task, verifier, words):
    with pytest.raises(ValueError, match=words):
        sc.simulate(task, verifier, "replace", n_real=50, n_per_round=50, rounds=1, chains=1, seed=0)
