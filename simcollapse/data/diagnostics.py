"""Is the noise of a regression table the same everywhere? The closed forms assume that it is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.05  # of the statement; the p-value is there for other tastes


class Homoscedasticity(NamedTuple):
    """Result of a Breusch-Pagan test."""

    statistic: float  # chi-squared with `freedom` degrees under constant noise
    freedom: int
    p_value: float
    constant: bool  # p_value >= LEVEL: no sign that the noise varies
    statement: str


def homoscedasticity(X: ArrayLike, y: ArrayLike) -> Homoscedasticity:
    """Koenker's studentised Breusch-Pagan test: does the variance of y given X depend linearly on X?

    With e the least-squares residuals of y on (1, X), the statistic is N R² of the regression of e² on (1, X):
    chi-squared with D degrees of freedom for constant noise and large N, whether or not that noise is normal.
    Blind to a variance that varies with X but not along it.

    Args:
        X: covariates without intercept, shape (N, D), N >= D + 3. y: responses, shape (N,).

    Raises:
        ValueError: other shapes, too few rows, X of deficient rank (with intercept), or a perfect fit.

    Source: Koenker, A note on studentizing a test for heteroscedasticity, J. Econometrics 17 (1981).
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(f"X and y must have shapes (N, D) and (N,), got {X.shape} and {y.shape}")
    rows, dim = X.shape
    if rows < dim + 3:
        raise ValueError(f"X must have at least D + 3 = {dim + 3} rows, got {rows}")
    design = np.column_stack([np.ones(rows), X])
    if np.linalg.matrix_rank(design) < dim + 1:
        raise ValueError(f"X must have full column rank {dim} beside an intercept")
    square = _residual(design, y) ** 2
    total = np.sum((square - square.mean()) ** 2)
    if not square.max() > 1e-20 * np.sum((y - y.mean()) ** 2):
        raise ValueError("y must not be an exact linear function of X: there is no noise to test")
    statistic = float(rows * (1 - np.sum(_residual(design, square) ** 2) / total)) if total > 0 else 0.0
    p_value = float(stats.chi2.sf(statistic, dim))
    constant = p_value >= LEVEL
    found = "no sign that the noise varies with X" if constant else "the noise varies with X"
    statement = f"Breusch-Pagan (studentised) = {statistic:.1f} on {dim} degrees of freedom, p = {p_value:.2g}: {found}"
    return Homoscedasticity(statistic, dim, p_value, constant, statement)


def _residual(design: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
