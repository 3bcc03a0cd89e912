"""The exact closed forms of one cell of a grid: which of its metrics have one, and the expected value in every round.

A form also says how skewed the metric is, or in which range it lies: what a limit for its mean needs. One file for each
task; `KNOWN` lists them, and a task of one's own may be added to it.
"""

from typing import Any

import numpy as np

from simcollapse import tasks
from simcollapse.runs.forms import discrete, gaussian, gaussian_mixture, linear_regression
from simcollapse.runs.forms.form import Cell, Family, Form, Unknown, nothing_known

KNOWN: dict[type, Family] = {
    tasks.LinearRegression: linear_regression.FAMILY,
    tasks.Gaussian: gaussian.FAMILY,
    tasks.Discrete: discrete.FAMILY,
    tasks.GaussianMixture: gaussian_mixture.FAMILY,
}
MOST_COSTLY = 64  # cells whose closed form takes a tenth of a second to a second

__all__ = [
    "KNOWN",
    "MOST_COSTLY",
    "Cell",
    "Family",
    "Form",
    "Unknown",
    "cell_of",
    "forms_of",
    "is_costly",
    "nothing_known",
]


def cell_of(choices: dict[str, Any], counts: np.ndarray, chains: int) -> Cell:
    """The cell of these choices (see `grid.Cell`; workflow and verifier ready made), samples by round, and chains."""
    names = ("task", "verifier", "workflow", "n_real", "fixed", "rejected")
    return Cell(**{name: choices[name] for name in names}, counts=np.asarray(counts), chains=chains)


def is_costly(cell: Cell) -> bool:
    """Whether the forms take quadratures."""
    family = KNOWN.get(type(cell.task))
    return family is not None and family.is_costly(cell)


def forms_of(cell: Cell, recorded: set[str]) -> tuple[list[Form], list[str]]:
    """The forms of the metrics of `cell` that are `recorded`, and why others have none."""
    family = KNOWN.get(type(cell.task))
    if family is None:
        return [], [nothing_known(cell)]
    forms, reasons = [], []
    try:
        forms.extend(_everywhere(form) for form in family.forms(cell) if form.metric in recorded)
    except Unknown as reason:
        reasons.append(str(reason))
    except ValueError as problem:  # an argument outside the form's range, as too few rows for a mean
        reasons.append(f"outside the closed form's range: {problem}")
    except ArithmeticError as problem:
        reasons.append(str(problem))
    if not forms and not reasons:
        reasons.append(nothing_known(cell))
    return forms, reasons


def _everywhere(form: Form) -> Form:
    expected = np.asarray(form.expected, dtype=np.float64)
    return form._replace(expected=expected, skewness=np.broadcast_to(form.skewness, expected.shape))
