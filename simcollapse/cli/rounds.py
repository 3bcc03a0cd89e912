"""`simcollapse simulate`: chains of a described pipeline, and their means round by round."""

from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

import simcollapse as sc
from simcollapse import results
from simcollapse.planning import describe
from simcollapse.planning.simulated import experiment

_MOST_ROWS = 41
_AUDIT = (
    "phi, psi: chance that a correct, an incorrect sample is accepted; p: share of incorrect samples; p*: "
    "breakdown point phi/(phi + psi)."
)


def simulate(description: dict[str, Any], *, chains: int, seed: int, **options: Any) -> xr.Dataset:
    """Every chain of the pipeline that `description` describes."""
    pipeline = describe(**description)
    if pipeline.unlimited:
        raise ValueError("n_per_round must be finite in a simulation, got inf")
    task, verifier, workflow = experiment(pipeline)
    result = sc.simulate(
        task,
        verifier,
        workflow,
        n_real=pipeline.n_real,
        n_per_round=pipeline.n_per_round,
        rounds=pipeline.rounds,
        chains=chains,
        seed=seed,
        rejected=pipeline.rejected,
        **options,
    )
    result.attrs["data"] = "" if pipeline.population is None else pipeline.population.source
    return result


def print_rounds(result: xr.Dataset, console: Console | None = None) -> None:
    """Print the mean error with its standard error, the audit and the frozen chains of every round."""
    console = Console() if console is None else console
    on_table = bool(result.attrs["data"])
    error = np.asarray(result["excess_risk" if on_table else "squared_error"], dtype=float)
    chains = len(error)
    mean = error.mean(axis=0)
    spread = error.std(axis=0, ddof=1) / np.sqrt(chains) if chains > 1 else np.full_like(mean, np.nan)
    counts = {name: np.asarray(result[name]) for name in result if str(name).startswith("num_")}
    # A count of -1 says unknown, for all chains alike.
    audit = results.rates(
        {str(name): np.where(n.min(axis=0) < 0, -1, n.sum(axis=0)) for name, n in counts.items()}
    )
    frozen = (~np.asarray(result["alive"])).sum(axis=0)

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in (
        "round",
        "excess risk" if on_table else "MSE",
        "± se",
        "accepted",
        "phi",
        "psi",
        "p",
        "p*",
        "frozen",
    ):
        table.add_column(name, justify="right")
    shown = np.unique(np.rint(np.linspace(0, len(mean) - 1, min(len(mean), _MOST_ROWS))).astype(int))
    for k in shown:
        rates = [_rate(float(audit[name][k])) for name in ("acceptance_rate", "phi", "psi", "p", "p_star")]
        table.add_row(str(k), f"{mean[k]:.5g}", _rate(float(spread[k]), 2, "g"), *rates, str(frozen[k]))
    what = result.attrs["data"] or "described regression"
    console.print(
        f"{what}: {chains} chains, engine {result.attrs['engine']}, {result.attrs['workflow']}", style="dim"
    )
    console.print(table)
    if len(shown) < len(mean):
        console.print(f"{len(shown)} of {len(mean)} rounds shown; --out writes all")
    error_words = "excess risk: mean of |X (fit - truth)|²/N" if on_table else "MSE: mean of |fit - truth|²"
    console.print(f"{error_words} over chains. {_AUDIT}", style="dim")


def _rate(value: float, digits: int = 3, kind: str = "f") -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}{kind}}"
