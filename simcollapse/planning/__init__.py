"""From a described pipeline: does retraining help, when to stop, and how good can it get.

from simcollapse.planning import plan, print_plan

made = plan(dim=4, noise=1.0, n_real=50, n_per_round=200, radius=1.0, bias=0.4)
print(made.regime, made.best_round, made.mse_best)
print_plan(made)
"""

from simcollapse.planning.description import describe
from simcollapse.planning.draw import draw
from simcollapse.planning.pipeline import Pipeline
from simcollapse.planning.planner import REGIMES, Plan, plan
from simcollapse.planning.report import as_dict, print_plan

__all__ = ["REGIMES", "Pipeline", "Plan", "as_dict", "describe", "draw", "plan", "print_plan"]
