"""One row for each task, verifier and workflow; test_contract.py checks them all alike."""

import numpy as np

import simcollapse as sc

ROWS = np.random.default_rng(0).normal(size=(20, 2))

TASKS = {
    "gaussian": sc.linear_regression([1.0, -1.0], noise=0.5),
    "gaussian, covariance": sc.linear_regression([1.0, -1.0], covariance=[[2.0, 0.5], [0.5, 1.0]]),
    "orthogonal": sc.linear_regression([1.0, -1.0], design="orthogonal"),
    "fixed": sc.linear_regression([1.0, -1.0], design="fixed", rows=ROWS),
    "estimated noise": sc.linear_regression([1.0, -1.0], estimate_noise=True),
    "table": sc.LinearRegression.from_data(ROWS[:, :1], ROWS @ [1.0, 2.0]),
}


TASKS |= {
    "mixture": sc.gaussian_mixture([1.5, 0.0], generator=sc.flips(0.3), penalty=0.1),
    "mixture, covariance": sc.gaussian_mixture(
        [[1.0, 0.0], [-1.0, 1.0]],
        covariance=[[1.0, 0.3], [0.3, 2.0]],
        shares=[0.3, 0.7],
        generator=sc.flips([0.1, 0.3]),
        intercept=True,
    ),
    "three classes": sc.gaussian_mixture(
        [[2.0, 0.0], [-1.0, 1.5], [-1.0, -1.5]], generator=sc.flips(0.2), learner="logistic", penalty=0.1
    ),
    "half space": sc.half_space(2, generator=sc.linear_labels(angle=0.4), learner="averaging"),
    "retrained": sc.gaussian_mixture([1.0, 1.0], generator=sc.fitted(), learner="logistic", penalty=0.1),
    "gaussian fit": sc.gaussian([1.0, -1.0], covariance=[[2.0, 0.5], [0.5, 1.0]], wasserstein=True),
    "discrete": sc.discrete(outcomes=30, zipf=0.5),
    "kde": sc.kde("moons", bandwidth="scott", test=50),
    "fresh rules": sc.half_space([1.0, 2.0], generator=sc.fresh_linear_labels(0.4)),
}


def near_the_model(key, batch, model):
    """A user's verifier."""
    return abs(batch.y - batch.x @ model.coef) < 1.0


def near_zero_on_host(random, batch, model):
    """A user's verifier that JAX cannot trace."""
    return np.abs(np.asarray(batch.y, dtype=np.float64)) < 3.0


VERIFIERS = {
    "none": sc.none(),
    "ball": sc.knowledge_ball([1.0, 0.0], radius=1.0, slack=1.0),
    "biased ball": sc.knowledge_ball(bias=0.1, radius=0.5, slack=0.5),
    "trained ball": sc.knowledge_ball(trained_on=30, radius=0.5, slack=0.5),
    "function": sc.from_function(near_the_model),
    "host function": sc.from_function(near_zero_on_host),
    "bernoulli": sc.bernoulli(0.9, 0.4),
    "oracle": sc.oracle(),
    "noisy oracle": sc.oracle(0.1),
    "random": sc.random(0.7),
    "linear": sc.linear(angle=0.3, alignment="same"),
    "trained linear": sc.linear(trained_on=30),
    "scattered linear": sc.linear(angle=0.3, alignment="random"),
    "fresh linear": sc.fresh_linear(0.3),
    "confidence": sc.confidence(0.6, by=sc.linear(angle=0.3, alignment="opposite")),
    "likelihood": sc.likelihood(radius=2.0, bias=0.5, scale=1.2),
    "trained likelihood": sc.likelihood(keep=0.9, trained_on=20),
    "likely outcomes": sc.likelihood(threshold=0.03, trained_on=50),
    "discriminator": sc.discriminator(60, threshold=0.3),
    "soft discriminator": sc.discriminator(60, soft=True),
    "region": sc.region([-1.0, -2.0], 3.0, center=[0.0, 0.0], radius=2.5),
}

KINDS = {  # of task: its plainest task and verifier, a metric that differs in every chain, an axis of its model
    "regression": ("gaussian", "biased ball", "squared_error", ("dim", 2)),
    "classification": ("mixture", "linear", "angle", ("dim", 2)),
    "discrete": ("discrete", "random", "squared_error", ("outcome", 30)),
    "density": ("gaussian fit", "random", "squared_error", ("dim", 2)),
}

WORKFLOWS = {
    "replace": sc.replace(),
    "accumulate": sc.accumulate(),
    "accumulate_subsample": sc.accumulate_subsample(),
    "age": sc.accumulate_subsample(30, strategy="age", decay=0.5),
    "stratified": sc.accumulate_subsample(30, strategy="stratified"),
    "verifier weights": sc.accumulate_subsample(30, strategy="verifier", rejected_weight=0.2),
    "window": sc.sliding_window(2, keep_real=True),
    "delete real": sc.delete_real(2, share=0.5),
    "fresh real": sc.fresh_real(0.5, weight=0.6),
    "contaminated": sc.contaminated(0.2, coef=[2.0, 0.0]),
}
