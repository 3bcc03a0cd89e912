"""Verifier-guided linear regression: a verifier that knows a ball around the knowledge center.

Setting: y = x.truth + sigma noise in d dimensions; (x, y) is accepted iff |y - x.center| <= b(x) = radius
|x| + slack; the verifier's bias is center - truth; round 0 is the least-squares fit on n_real rows, and
each later round generates y from the last fit, keeps what is accepted and refits. Source: [Yi26], Eq. 1
(arXiv v3).

    orthogonal        linearised `replace` trajectories and the published bound, orthogonal design
    stopping          best round, reversal, regimes of the linearised chain
    exact_chain       the same chain exactly, by quadrature
    kept_count        how many generated rows are kept
    fixed_design      any given design, linearised and to first order in 1/n
    gaussian_design   population map and trajectories for fresh Gaussian rows
    accumulate        a verifier together with `accumulate`
"""

from theory.knowledge_center.accumulate import (
    accumulate_deviation,
    accumulate_power_law,
    accumulate_trajectory,
)
from theory.knowledge_center.exact_chain import ChainLaw, chain_law_exact, mse_trajectory_exact
from theory.knowledge_center.fixed_design import (
    fixed_design_step_exact,
    fixed_design_trajectory,
    fixed_design_trajectory_delta,
)
from theory.knowledge_center.gaussian_design import (
    gaussian_trajectory,
    gaussian_trajectory_delta,
    population_acceptance,
    population_derivative,
    population_map,
    population_path,
    population_rate,
)
from theory.knowledge_center.kept_count import empty_chance, inverse_kept_count
from theory.knowledge_center.orthogonal import (
    contraction_loss,
    contraction_rate,
    limit_mse,
    mse_bound,
    mse_trajectory,
    stationary_variance,
)
from theory.knowledge_center.stopping import (
    best_integer_round,
    best_mse,
    best_round,
    first_round_improves,
    regime,
    reversal_round,
    verifier_worth,
)

__all__ = [
    "ChainLaw",
    "accumulate_deviation",
    "accumulate_power_law",
    "accumulate_trajectory",
    "best_integer_round",
    "best_mse",
    "best_round",
    "chain_law_exact",
    "contraction_loss",
    "contraction_rate",
    "empty_chance",
    "first_round_improves",
    "fixed_design_step_exact",
    "fixed_design_trajectory",
    "fixed_design_trajectory_delta",
    "gaussian_trajectory",
    "gaussian_trajectory_delta",
    "inverse_kept_count",
    "limit_mse",
    "mse_bound",
    "mse_trajectory",
    "mse_trajectory_exact",
    "population_acceptance",
    "population_derivative",
    "population_map",
    "population_path",
    "population_rate",
    "regime",
    "reversal_round",
    "stationary_variance",
    "verifier_worth",
]
