"""Tasks: what is modelled. One file each; `KNOWN` lists them."""

from simcollapse.tasks.linear_regression import LinearRegression, linear_regression

KNOWN = {"linear_regression": linear_regression}

__all__ = ["KNOWN", "LinearRegression", "linear_regression"]
