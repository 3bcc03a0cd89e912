"""Rules, learners and metrics of a classification, each against an independent computation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import simcollapse as sc
from simcollapse.tasks import class_metrics, learners, rules
from theory import breakdown

MEANS = {2: np.array([[1.0, 0.3], [-0.5, 1.0]]), 3: np.array([[2.0, 0.0], [-1.0, 1.5], [-1.0, -1.5]])}
MEANS[5] = np.random.default_rng(3).normal(size=(5, 2)) * 1.5
COVARIANCE = np.array([[1.0, 0.4], [0.4, 0.8]])


def rows(classes, n=300, dim=2):
    random = np.random.default_rng(classes)
    label = random.integers(classes, size=n)
    x = random.normal(size=(n, dim)) + np.eye(max(classes, dim))[label][:, :dim]
    return x, label


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_vertices_are_a_regular_simplex(classes):
    code = rules.vertices(classes)
    expected = (classes * np.eye(classes) - 1) / (classes - 1)
    np.testing.assert_allclose(code.T @ code, expected, atol=1e-14)
    assert code[0, 0] == 1


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("intercept", [False, True])
def test_least_squares_decides_like_one_hot_least_squares(classes, intercept):
    x, label = rows(classes)
    sums = learners.empty_sums(2, classes, intercept, gram=True)
    sums = learners.add_to_sums(
        sums, jnp.asarray(x.T), jnp.asarray(label, jnp.int32), jnp.ones(300), classes, intercept
    )
    rule, reason = learners.least_squares(sums, jnp.asarray(0.0), intercept)
    assert reason == 0
    table = np.column_stack([x, np.ones(300)]) if intercept else x
    one_hot = np.linalg.lstsq(table, np.eye(classes)[label], rcond=None)[0]
    decided = rules.decide(rules.scores(rule, jnp.asarray(x.T)), classes)
    np.testing.assert_array_equal(decided, np.argmax(table @ one_hot, axis=1))


@pytest.mark.parametrize("penalty", [0.0, 0.3, 1e6, np.inf])
def test_ridge_is_ridge_up_to_averaging(penalty):
    x, label = rows(2)
    y = 1.0 - 2 * label
    sums = learners.add_to_sums(
        learners.empty_sums(2, 2, False, gram=True),
        jnp.asarray(x.T),
        jnp.asarray(label, jnp.int32),
        jnp.ones(300),
        2,
        False,
    )
    rule, _ = learners.least_squares(sums, jnp.asarray(penalty), False)
    if np.isinf(penalty):
        expected = x.T @ y / 300
        np.testing.assert_allclose(learners.averaging(sums)[0].coef, expected, rtol=1e-12)
    else:
        expected = np.linalg.solve(x.T @ x / 300 + penalty * np.eye(2), x.T @ y / 300)
    np.testing.assert_allclose(rule.coef, expected, rtol=1e-10)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("penalty", [1e-4, 1.0])
def test_logistic_minimises_its_objective(classes, intercept, penalty):
    x, label = rows(classes, n=80)
    code = rules.vertices(classes) * (classes - 1) / classes
    table = np.column_stack([x, np.ones(80)]) if intercept else x
    shape = (table.shape[1], classes - 1)

    def objective(flat):
        coef = flat.reshape(shape)
        logits = table @ coef @ code
        loss = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(80), label]
        return loss.mean() + penalty / 2 * np.sum(coef[:2] ** 2)

    expected = optimize.minimize(objective, np.zeros(np.prod(shape)), method="BFGS", options={"gtol": 1e-9})
    kept = learners.Kept(
        jnp.concatenate([jnp.asarray(x), jnp.full((20, 2), 7.0)]),
        jnp.asarray(np.append(label, [0] * 20), jnp.int32),
    )
    weight = (jnp.arange(100) < 80).astype(float)  # the last 20 places are empty
    rule, reason = learners.logistic(kept, weight, penalty, classes, intercept)
    assert reason == 0
    found = np.concatenate(
        [np.ravel(rule.coef), np.ravel(rule.intercept)] if intercept else [np.ravel(rule.coef)]
    )
    assert objective(found) <= expected.fun + 1e-12
    np.testing.assert_allclose(
        found, expected.x, rtol=1e-3, atol=1e-5
    )  # BFGS stops at a gradient of 1e-6 or so
    if classes == 2 and not intercept:
        margin = (1 - 2 * label) * (x @ np.asarray(rule.coef))
        gradient = -(
            x.T @ ((1 - 2 * label) / (1 + np.exp(np.minimum(margin, 700.0))))
        ) / 80 + penalty * np.asarray(rule.coef)
        np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_logistic_on_separable_rows_and_tiny_penalties():
    """Newton's method is damped where the full step overshoots; it converges in single precision too."""
    x = np.concatenate([np.full((5, 1), 10.0), np.full((5, 1), -0.1)])
    label = jnp.asarray([0] * 5 + [1] * 5, jnp.int32)
    for x64, penalty in ((True, 1e-9), (False, 1e-5)):
        with jax.enable_x64(x64):
            kept = learners.Kept(jnp.asarray(x, float), label)
            rule, reason = learners.logistic(kept, jnp.ones(10), jnp.asarray(penalty), 2, False)
            assert reason == 0
            w = float(rule.coef[0])
            slope = -np.mean(
                np.array([10.0] * 5 + [0.1] * 5)
                / (1 + np.exp(np.minimum(np.array([10.0] * 5 + [0.1] * 5) * w, 700.0)))
            )
            assert slope + penalty * w == pytest.approx(0, abs=1e-3 * penalty * w)


def _many(task, n=400_000):
    """Fresh features and classes by NumPy."""
    random = np.random.default_rng(1)
    means, shares = np.asarray(task.class_means), np.asarray(task.shares)
    truth = random.choice(len(means), p=shares[: len(means)] / shares[: len(means)].sum(), size=n)
    x = random.normal(size=(n, means.shape[1])) @ np.linalg.cholesky(COVARIANCE).T + means[truth]
    return x, truth


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_metrics_count_what_they_say(classes):
    """Accuracy, agreement and excess risk of some rules against 400 000 rows drawn by NumPy."""
    shares = np.arange(1, classes + 1) / np.sum(np.arange(1, classes + 1))
    task = sc.gaussian_mixture(MEANS[classes], covariance=COVARIANCE, shares=shares)
    x, truth = _many(task)
    bayes = task.bayes_rule()
    density = -0.5 * np.einsum(
        "nkd,de,nke->nk", x[:, None] - MEANS[classes], np.linalg.inv(COVARIANCE), x[:, None] - MEANS[classes]
    )
    ideal = np.argmax(density + np.log(shares), axis=1)
    np.testing.assert_array_equal(rules.decide(rules.scores(bayes, jnp.asarray(x.T)), classes), ideal)
    error = 5 * 0.5 / np.sqrt(len(x)) + (2 / class_tests() if classes > 2 else 0)
    random = np.random.default_rng(2)
    for size in (0.0, 0.3, 2.0):
        rule = rules.Rule(
            bayes.coef + size * random.normal(size=bayes.coef.shape),
            bayes.intercept + size * random.normal(size=bayes.intercept.shape),
        )
        decided = np.asarray(rules.decide(rules.scores(rule, jnp.asarray(x.T)), classes))
        metrics = task.measure(jax.random.key(0), rule)
        assert metrics["accuracy"] == pytest.approx(np.mean(decided == truth), abs=error)
        assert metrics["bayes_agreement"] == pytest.approx(np.mean(decided == ideal), abs=error)
        assert metrics["excess_risk"] == pytest.approx(
            np.mean(ideal == truth) - np.mean(decided == truth), abs=2 * error
        )
        if size == 0:
            assert metrics["bayes_agreement"] == pytest.approx(1, abs=1e-12)
            assert metrics["angle"] == pytest.approx(0, abs=1e-7)


def class_tests():
    from simcollapse.tasks.gaussian_mixture import TEST_POINTS

    return TEST_POINTS**0.5  # of independent points; Sobol points are better


def test_metrics_of_one_cloud_are_angles():
    task = sc.half_space([3.0, 4.0])
    for angle in (1e-5, 0.3, np.pi / 2, 3.1):
        rule = rules.turned(task.bayes_rule(), jnp.asarray(angle), rules.across(jnp.asarray([3.0, 4.0]), 1))
        metrics = task.measure(jax.random.key(0), rule)
        assert metrics["angle"] == pytest.approx(angle, rel=1e-9)
        assert metrics["accuracy"] == pytest.approx(1 - angle / np.pi, abs=1e-13)


def test_a_rule_of_zeros_is_measured():
    for task in (sc.half_space(2), sc.gaussian_mixture([1.0, 0.0])):
        metrics = task.measure(jax.random.key(0), rules.Rule(jnp.zeros(2), jnp.zeros(())))
        assert metrics["accuracy"] == pytest.approx(0.5)
        assert metrics["angle"] == pytest.approx(np.pi / 2)


def test_bivariate_normal_probability():
    """Both signs together, against Owen's formula in `theory`, also for rules that are nearly the same."""
    random = np.random.default_rng(0)
    cases = []
    for _ in range(300):
        a, b = random.normal(size=2) * random.choice([0.0, 0.1, 1.0, 3.0])
        angle = random.choice([random.uniform(0, np.pi), 1e-6, 1e-3, np.pi - 1e-4, np.pi / 2, 0.0])
        b = a * np.cos(angle) if random.random() < 0.3 else b
        cases.append(([a], [b], np.cos(angle), np.sin(angle)))
    projected = class_metrics.Projected(*(jnp.asarray(column) for column in zip(*cases, strict=True)))
    found = jax.jit(jax.vmap(class_metrics.agreement))(projected)[:, 0]
    expected = [
        sum(breakdown.bivariate_normal_cdf(s * a, s * b, r) for s in (1, -1)) for [a], [b], r, _ in cases
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
