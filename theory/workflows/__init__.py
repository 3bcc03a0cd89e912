"""Data workflows: what keeping or replacing data does to each task, without a verifier (but `truncated_gaussian`)."""

from theory.workflows import (
    chi_squared,
    contaminated,
    discrete,
    first_order,
    fresh_real,
    gaussian,
    gaussian_accumulate,
    gaussian_replace,
    gaussian_subsample,
    kde,
    kde_error,
    linear,
    linear_regression,
    linear_regression_minimum_norm,
    linear_regression_subsample,
    truncated_gaussian,
)

__all__ = [
    "chi_squared",
    "contaminated",
    "discrete",
    "first_order",
    "fresh_real",
    "gaussian",
    "gaussian_accumulate",
    "gaussian_replace",
    "gaussian_subsample",
    "kde",
    "kde_error",
    "linear",
    "linear_regression",
    "linear_regression_minimum_norm",
    "linear_regression_subsample",
    "truncated_gaussian",
]
