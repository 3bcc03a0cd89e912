"""simcollapse: will a model collapse when it is retrained on its own data, and is the verifier good enough?

import simcollapse as sc

task = sc.linear_regression(truth=[1.0, -1.0], noise=1.0, design="orthogonal")
verifier = sc.knowledge_ball(bias=0.1, radius=1.0)
result = sc.simulate(task, verifier, sc.replace(), n_real=50, n_per_round=200, rounds=20, chains=1000, seed=0)
print(result.squared_error.mean("chain"))
"""

from simcollapse.engine import simulate, sweep
from simcollapse.results import frozen
from simcollapse.schedules import geometric_growth, linear_growth
from simcollapse.tasks import LinearRegression, linear_regression
from simcollapse.verifiers import from_function, knowledge_ball, none
from simcollapse.workflows import accumulate, accumulate_subsample, replace

__all__ = [
    "LinearRegression",
    "accumulate",
    "accumulate_subsample",
    "from_function",
    "frozen",
    "geometric_growth",
    "knowledge_ball",
    "linear_growth",
    "linear_regression",
    "none",
    "replace",
    "simulate",
    "sweep",
]
