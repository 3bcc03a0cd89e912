"""Gaussian classes with labels from a generator: the classification of the breakdown point.

Features are Gaussian given the class, x | k ~ N(mean_k, covariance), and always drawn from the truth; a generator
(see `generators`) labels the synthetic ones, and a linear classifier (see `learners`) is fitted to what a verifier
keeps. Source of the setting: [Feng24], section 4 (arXiv 2406.07515v2).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import buffers, chain, keys, randoms
from simcollapse.checks import (
    as_float,
    as_numbers,
    check_fields,
    check_rounds,
    check_shape,
    check_value,
    check_whole,
    choice,
    numbers,
    option,
    parameter,
)
from simcollapse.tasks import class_metrics, learners
from simcollapse.tasks.designs import CHUNK, MOST_SAMPLES
from simcollapse.tasks.features import ClassRows, Covariance, check_covariance
from simcollapse.tasks.generators import flips
from simcollapse.tasks.rules import Rule, angle_between, decide, scores, sign, vertices

TEST_POINTS = 4096  # on which rules for more than two classes are measured; a power of 2
_FAR = 40.0  # standard deviations: a rule that always decides alike


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianMixture:
    """The task. Build it with `gaussian_mixture(...)` or `half_space(...)`; its models are `rules.Rule`s."""

    means: jax.Array | None = parameter("finite", doc="(K, D), or (D,) for two classes at plus and minus it")
    shares: jax.Array = parameter("share", doc="(K,), probability of each class")
    direction: jax.Array | None = parameter(
        "finite", doc="(D,), without classes: true label sign(x.direction)"
    )
    penalty: jax.Array = parameter("penalty", doc="(), of the coefficients; unit of x squared for ridge")
    generator: Any = choice("where labels come from")
    covariance: Covariance
    points: jax.Array | None  # (2 (K - 1), T), test points for more than two classes
    learner: str = option("word", "how a rule is fitted", learners.KNOWN)
    loss: str = option("word", "the penalty is added to this, over the rows", ("mean", "sum"))
    labels: str = option(
        "word", "what a correct label is: the class, or the Bayes rule's", ("class", "bayes")
    )
    intercept: bool = option("flag", "fit an intercept")

    kind = "classification"
    chunk_rows = CHUNK
    additive = True
    most_samples = MOST_SAMPLES
    rows_per_sample = 1
    prescribed = False
    model_dims = {"coef": ("dim", "code"), "intercept": ("code",)}  # noqa: RUF012 (read only)
    descriptions = {  # noqa: RUF012 (read only)
        "accuracy": "P(decision is the true label) on a fresh row",
        "bayes_agreement": "P(decision is the Bayes rule's) on a fresh row",
        "excess_risk": "accuracy of the Bayes rule minus accuracy",
        "angle": "from the Bayes rule's coefficients to the fitted ones, radians",
    }

    @property
    def dim(self) -> int:
        features = self.direction if self.means is None else self.means
        assert features is not None
        return features.shape[-1]

    @property
    def classes(self) -> int:
        """K."""
        return 2 if self.means is None or self.means.ndim == 1 else self.means.shape[0]

    @property
    def coef_shape(self) -> tuple[int, ...]:
        """Shape of a rule's coefficients: (D,), or (D, K - 1) for more than two classes."""
        return (self.dim,) if self.classes == 2 else (self.dim, self.classes - 1)

    @property
    def needs_rows(self) -> bool:
        return self.learner == "logistic"

    @property
    def class_means(self) -> jax.Array:
        """(K, D); zeros, (1, D), where there are no classes."""
        if self.means is None:
            return jnp.zeros((1, self.dim))
        return self.means if self.means.ndim == 2 else jnp.stack([self.means, -self.means])

    def bayes_rule(self) -> Rule:
        """The rule with the fewest errors: coef = sum_k covariance^-1 mean_k s_k', or the given direction."""
        if self.direction is not None:
            return Rule(self.direction, jnp.zeros(()))
        means = self.class_means
        slopes = self.covariance.solve(means.T)  # (D, K)
        offsets = jnp.log(self.shares) - jnp.sum(means.T * slopes, axis=0) / 2
        code = jnp.asarray(vertices(self.classes), means.dtype)
        coef, intercept = slopes @ code.T, code @ offsets
        return Rule(coef[:, 0], intercept[0]) if self.classes == 2 else Rule(coef, intercept)

    def spread(self, coef: jax.Array) -> jax.Array:
        """Standard deviation of x.coef within a class."""
        return jnp.linalg.norm(self.covariance.whiten(coef))

    def truth_model(self) -> Rule:
        return self.bayes_rule()

    def real(self, key, chunk, present) -> ClassRows:
        """One chunk of rows with their true labels."""
        noise, toss = self._noise(keys.for_purpose(key, keys.REAL, chunk, present), present)
        code, truth = self._features(noise, toss[0])
        return ClassRows(code, truth, truth)

    def generate(self, key, model, chunk, present) -> ClassRows:
        """One chunk of rows with the generator's labels."""
        noise, toss = self._noise(keys.for_purpose(key, keys.GENERATE, chunk, present), present)
        code, truth = self._features(noise, toss[0])
        return ClassRows(code, truth, self.generator.label(toss[1], self, model, code, truth))

    def _noise(self, key, present):
        """Standard normals (D, N), and two uniform tosses for each row, (2, N)."""
        key_noise, key_toss = jax.random.split(key)
        noise = randoms.normal(key_noise, (self.dim, CHUNK), present)
        return noise, randoms.uniform(key_toss, (2, CHUNK), present)

    def _features(self, noise, toss):
        """Features as columns (D, N) and true labels (N,) from the normals and a toss for the class."""
        code = self.covariance.color(noise)
        if self.means is None:
            return code, decide(scores(self.bayes_rule(), code), 2)
        below = jnp.cumsum(self.shares)[:-1]
        number = jnp.sum(toss[None] >= below[:, None], axis=0, dtype=jnp.int32)
        if self.means.ndim == 1:
            code = code + self.means[:, None] * sign(number, code.dtype)[None]
        else:
            code = code + self.means.T[:, number]
        if self.labels == "bayes":
            number = decide(scores(self.bayes_rule(), code), self.classes)
        return code, number

    def redraw(self, key, model, data: ClassRows, kept) -> ClassRows:
        """`data` with a new label of the generator at the same features wherever `kept` is false."""
        toss = randoms.uniform(key, data.truth.shape)
        fresh = self.generator.label(toss, self, model, data.code, data.truth)
        return dataclasses.replace(data, label=jnp.where(kept, data.label, fresh))

    def draw_bytes(self, data: ClassRows) -> int:
        """The features and a few numbers for each row."""
        return (self.dim + 3) * data.code.shape[1] * np.dtype(data.code.dtype).itemsize

    def number(self, chunk):
        return chunk * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32)

    def correct(self, data: ClassRows, bound) -> jax.Array:
        """Whether the label is the true one."""
        return data.label == data.truth

    def rows(self, data: ClassRows) -> learners.Kept:
        return learners.Kept(data.code.T, data.label)

    def empty(self, model) -> learners.Sums:
        return learners.empty_sums(self.dim, self.classes, self.intercept, self.learner != "averaging")

    def open(self, pool: learners.Sums, model) -> learners.Sums:
        """`pool` itself: rows of all models are alike."""
        return pool

    def add(self, pool: learners.Sums, batch: chain.Batch) -> learners.Sums:
        """`pool` with the batch's rows."""
        data: ClassRows = batch.data
        return learners.add_to_sums(pool, data.code, data.label, batch.weight, self.classes, self.intercept)

    def sums(self, rows: learners.Kept, weight) -> learners.Sums:
        """Sums of rows out of a buffer."""
        nothing = self.empty(self.truth_model())
        return learners.add_to_sums(nothing, rows.x.T, rows.label, weight, self.classes, self.intercept)

    def fit(self, key, pool: learners.Sums | buffers.Seen, previous: Rule) -> tuple[Rule, jax.Array]:
        """The fitted rule and why the fit failed (0: it did not); a failed fit returns `previous`."""
        count = jnp.sum(pool.weight) if isinstance(pool, buffers.Seen) else pool.count
        penalty = self.penalty / jnp.maximum(count, 1.0) if self.loss == "sum" else self.penalty
        if isinstance(pool, buffers.Seen):
            rule, reason = learners.logistic(pool.rows, pool.weight, penalty, self.classes, self.intercept)
        elif self.learner == "averaging":
            rule, reason = learners.averaging(pool)
        else:
            rule, reason = learners.least_squares(pool, penalty, self.intercept)
        good = reason == chain.ALIVE
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), rule, previous), reason

    def measure(self, key, model: Rule) -> dict[str, jax.Array]:
        """The metrics of `descriptions`: exact for two classes, on fixed Sobol points for more."""
        bayes = self.bayes_rule()
        right, agree, best = (self._exact if self.classes == 2 else self._on_points)(model, bayes)
        return {
            "accuracy": right,
            "bayes_agreement": agree,
            "excess_risk": best - right,
            "angle": angle_between(model, bayes),
        }

    def _exact(self, model, bayes):
        """Accuracy, agreement with the Bayes rule, and accuracy of the Bayes rule."""
        first, second = self.covariance.whiten(model.coef), self.covariance.whiten(bayes.coef)
        length, reference = jnp.linalg.norm(first), jnp.linalg.norm(second)
        none = length == 0
        first, second = first / jnp.where(none, 1.0, length), second / reference
        cosine = jnp.vdot(first, second)
        means = self.class_means
        middle = means @ model.coef + model.intercept
        projected = class_metrics.Projected(
            rule=jnp.where(none, _FAR * jnp.sign(middle), middle / jnp.where(none, 1.0, length)),
            bayes=(means @ bayes.coef + bayes.intercept) / reference,
            cosine=cosine,
            sine=jnp.where(none, 1.0, jnp.linalg.norm(first - cosine * second)),
        )
        shares = self.shares if self.means is not None else jnp.ones(1)
        agree = jnp.dot(shares, class_metrics.agreement(projected))
        if self.means is None or self.labels == "bayes":
            return agree, agree, jnp.ones(())
        right = class_metrics.share_right(projected.rule, shares)
        return right, agree, class_metrics.share_right(projected.bayes, shares)

    def _on_points(self, model, bayes):
        """As `_exact`, on the test points."""
        coef = jnp.concatenate([bayes.coef, model.coef], axis=1)
        means = self.class_means @ coef + jnp.concatenate([bayes.intercept, model.intercept])[None]
        white = self.covariance.whiten(coef)
        ideal, decided = class_metrics.on_test_points(self.points, means, white.T @ white, self.classes)
        truth = ideal if self.labels == "bayes" else jnp.arange(self.classes, dtype=jnp.int32)[:, None]

        def share(hits):
            return jnp.dot(self.shares, jnp.mean(hits.astype(self.shares.dtype), axis=1))

        return share(decided == truth), share(decided == ideal), share(ideal == truth)

    def check(self) -> None:
        """Raise ValueError where fields contradict each other; a sweep may have set them one by one."""
        if self.means is not None:
            _check_means(np.asarray(self.means, dtype=float))
        check_shape("task.shares", self.shares, (self.classes,))
        if not np.isclose(np.sum(self.shares), 1, atol=1e-6):
            raise ValueError(f"task.shares must sum to 1, got {self.shares}")
        penalty = np.asarray(self.penalty, dtype=float)
        if self.learner == "logistic" and not (np.isfinite(penalty) and penalty > 0):
            raise ValueError(
                f"task.penalty must be positive and finite for learner='logistic', got {penalty}"
            )
        if self.intercept and (self.learner == "averaging" or np.isinf(penalty)):
            raise ValueError(
                "task.intercept must be False for averaging: with an infinite penalty on the coefficients "
                f"the intercept alone would decide; got penalty={penalty}, learner={self.learner!r}"
            )
        self.generator.check(self)

    def check_sizes(self, n_real: int, n_per_round: np.ndarray, alone: bool, rows: int | None = None) -> None:
        """Raise ValueError where a round could not be drawn, or not fitted whatever the draw; see `engine`."""
        unpenalised = self.learner == "ridge" and not np.all(np.asarray(self.penalty) > 0)
        least = self.dim + self.intercept if unpenalised else 1 + self.intercept
        check_rounds(self, n_real, n_per_round, alone, rows, int(least), f"fit {self.dim} coefficients")


def gaussian_mixture(
    means,
    *,
    generator: Any = None,
    covariance=None,
    shares=None,
    learner: str = "ridge",
    penalty=0.0,
    loss: str = "mean",
    intercept: bool = False,
    labels: str = "class",
    test_points: int = TEST_POINTS,
) -> GaussianMixture:
    """The task x | class k ~ N(mean_k, covariance), with labels from `generator`.

    Args:
        means: (D,), not zero, for two classes at plus and minus it (the paper's mixture: class 0 is +1, class 1
            is -1); (K, D) for K classes, not all at one place. Unit of x.
        generator: `flips(p)`, `linear_labels(...)`, `fresh_linear_labels(...)` or `fitted()`; None for flips(0).
        covariance: (D, D) positive definite, (D,) variances, or one variance; None for the identity.
        shares: (K,), probabilities of the classes, in (0, 1], summing to 1; None for balanced classes.
        learner: "ridge" (least squares on the labels' codes), "averaging" or "logistic"; see `tasks.learners`.
        penalty: of |coef|^2, >= 0; inf with ridge is averaging, logistic needs a positive one.
        loss: "mean": the penalty is added to the mean loss of the rows; "sum": to its sum, so that it fades with
            the number of rows.
        intercept: fit one, without penalty; else rules go through the origin, as in the paper.
        labels: what counts as the true label: the "class", or the decision of the "bayes" rule.
        test_points: for K > 2, points on which a rule's accuracy is measured, a power of 2 >= 64. They are scrambled
            Sobol points with a fixed seed, the same for every model, so accuracies err alike by about 1 / points.

    Raises:
        ValueError: a value outside its range, a wrong shape, an unknown word.
        TypeError: something that is not a generator.
    """
    means = numbers("means", means)
    if means.ndim not in (1, 2) or means.size == 0:
        raise ValueError(f"means must have shape (D,) or (K, D), got {means.shape}")
    check_value("means", means, "finite")
    classes, dim = (2 if means.ndim == 1 else len(means)), means.shape[-1]
    points = None
    if classes > 2:
        points = as_float(class_metrics.sobol_points(classes, _power_of_two(test_points)))
    task = GaussianMixture(
        means=as_float(means),
        shares=as_numbers("shares", np.full(classes, 1 / classes) if shares is None else shares),
        direction=None,
        penalty=as_numbers("penalty", penalty),
        generator=flips(0.0) if generator is None else generator,
        covariance=check_covariance(covariance, dim),
        points=points,
        learner=learner,
        loss=loss,
        labels=labels,
        intercept=intercept,
    )
    return _checked(task)


def half_space(
    direction,
    *,
    generator: Any = None,
    covariance=None,
    learner: str = "ridge",
    penalty=0.0,
    loss: str = "mean",
    intercept: bool = False,
) -> GaussianMixture:
    """The task x ~ N(0, covariance) with true labels sign(x.direction): one cloud cut in two.

    Args:
        direction: (D,), not zero; a whole number D stands for the first of D axes. Its length does not matter.
        generator, covariance, learner, penalty, loss, intercept: as in `gaussian_mixture`.

    Raises:
        ValueError: a value outside its range, a wrong shape, an unknown word.
        TypeError: something that is not a generator.
    """
    if numbers("direction", direction).ndim == 0:
        direction = np.eye(check_whole("direction", direction, 1))[0]
    direction = numbers("direction", direction)
    check_shape("direction", direction, (None,))
    check_value("direction", direction, "finite")
    if not np.linalg.norm(direction) > 0:
        raise ValueError(f"direction must not be zero, got {direction}")
    task = GaussianMixture(
        means=None,
        shares=as_float([0.5, 0.5]),
        direction=as_float(direction / np.linalg.norm(direction)),
        penalty=as_numbers("penalty", penalty),
        generator=flips(0.0) if generator is None else generator,
        covariance=check_covariance(covariance, len(direction)),
        points=None,
        learner=learner,
        loss=loss,
        labels="bayes",
        intercept=intercept,
    )
    return _checked(task)


def _checked(task: GaussianMixture) -> GaussianMixture:
    if not (hasattr(task.generator, "label") and hasattr(task.generator, "check")):
        raise TypeError(f"generator must be a generator such as flips(0.3), got {task.generator!r}")
    check_shape("penalty", task.penalty, ())
    check_fields(task, "task").check()
    return task


def _check_means(means):
    length = np.linalg.norm(as_float(means))  # in the precision that the simulation has
    if means.ndim == 1 and not length > 0:
        raise ValueError(
            f"task.means must not be zero: its classes would be one, got {means}. For x ~ N(0, covariance) "
            "with true labels sign(x.direction) use half_space(direction)"
        )
    if means.ndim == 2 and len(means) < 2:
        raise ValueError(f"task.means must have at least 2 classes, got {len(means)}")
    if means.ndim == 2 and np.all(means == means[0]):
        raise ValueError(f"task.means must not all be at one place, got {means[0]} for every class")


def _power_of_two(count) -> int:
    count = check_whole("test_points", count, 64)
    if count & (count - 1):
        raise ValueError(f"test_points must be a power of 2, got {count}")
    return count
