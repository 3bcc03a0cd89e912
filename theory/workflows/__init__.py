"""Data workflows without a verifier: what keeping or replacing data does to each task."""

from theory.workflows import linear_regression

__all__ = ["linear_regression"]
