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
}

WORKFLOWS = {
    "replace": sc.replace(),
    "accumulate": sc.accumulate(),
    "accumulate_subsample": sc.accumulate_subsample(),
}
