"""One round of selection, simulated: a generator labels rows, a verifier keeps some, a rule is fitted to those.

The four readings of "generator and verifier" (R1 to R4, see `theory.breakdown.readings`) as simulations, and what
the pictures record of one: the accuracy with its standard error, and the audit of the verifier.
"""

from typing import Any

import numpy as np
import xarray as xr

import simcollapse as sc
from simcollapse.reproduce.estimates import Estimate

WORDS = {
    "R1": "independent label flips, independent verdicts",
    "R2": "independent label flips, a fixed linear verifier",
    "R3": "a fixed linear generator and a fixed linear verifier",
    "R4": "a fresh linear generator and verifier for every row",
}
CACHE_BYTES = 2**20  # features of one draw of a block of chains: they should stay in a core's cache


def half_space(
    reading: str, dim: int, error_rates: np.ndarray, mistakes: np.ndarray
) -> tuple[Any, Any, dict[str, list]]:
    """Task, verifier and grid (p, q) of a reading where x ~ N(0, I) and the truth is a half-space.

    Generators have error rate p, verifiers q: angles pi p and pi q to the truth where they are linear, their
    deviations orthogonal.
    """
    angles, turns = (np.pi * error_rates).tolist(), (np.pi * mistakes).tolist()
    if reading in ("R1", "R2"):
        task, path, values = sc.half_space(dim, generator=sc.flips(0.5)), "task.generator.p", error_rates
    elif reading == "R3":
        task, path, values = (
            sc.half_space(dim, generator=sc.linear_labels(angle=1.0)),
            "task.generator.angle",
            angles,
        )
    else:
        task = sc.half_space(dim, generator=sc.fresh_linear_labels(1.0))
        path, values = "task.generator.angle", angles
    if reading == "R1":
        verifiers: list[Any] = [sc.bernoulli(1 - q, q) for q in mistakes]
    else:
        verifiers = [sc.fresh_linear(t) if reading == "R4" else sc.linear(angle=t) for t in turns]
    # Grids of the same paths share compiled programs, whatever their values: keep to these two.
    return task, verifiers[0], {path: list(values), "verifier": verifiers}


def one_round(
    task: Any,
    verifier: Any,
    over: dict[str, Any],
    names: tuple[str, ...],
    *,
    rows: int,
    chains: int,
    seed: int,
    n_real: int | None = None,
    block_size: int | None = None,
    **options: Any,
) -> xr.Dataset:
    """Summary of one round of `rows` rows, fitted to the kept ones alone, by the grid's axes under `names`.

    Blocks have the same size for equal dimensions, so that pictures and numbers of rows share compiled programs;
    block_size is another. In the summary: `accuracy` and `accuracy_error`, mean over chains and its standard error,
    NaN where a chain could not be fitted; `kept`, rows a chain; `p`, `phi`, `psi` and `p_star` from the counts
    of all chains.
    """
    result = sc.sweep(
        task,
        verifier,
        sc.replace(),
        over=over,
        n_real=2 * task.dim if n_real is None else n_real,
        n_per_round=rows,
        rounds=1,
        chains=chains,
        seed=seed,
        block_size=block_size or _block_size(task.dim),
        **options,
    )
    now = result.isel(round=1).rename(dict(zip(over, names, strict=True))).drop_vars([*names, "round"])
    return summary(now)


def _block_size(dim: int) -> int:
    """Chains of a block: a power of 2, at least 8; a draw has 100 rows of float64."""
    return max(8, 2 ** int(np.log2(CACHE_BYTES / (800 * dim))))


def summary(now: xr.Dataset) -> xr.Dataset:
    """What `one_round` returns, from one round of a result."""
    good = now["alive"].all("chain")
    accuracy = now["accuracy"].astype(float)
    total = {
        name: now[name].astype(float).sum("chain")
        for name in ("num_generated", "num_correct", "num_kept", "num_kept_correct")
    }
    wrong = total["num_generated"] - total["num_correct"]
    kept_wrong = total["num_kept"] - total["num_kept_correct"]
    phi = total["num_kept_correct"] / total["num_correct"].where(total["num_correct"] > 0)
    psi = kept_wrong / wrong.where(wrong > 0)
    return xr.Dataset(
        {
            "accuracy": accuracy.mean("chain").where(good),
            "accuracy_error": (accuracy.std("chain", ddof=1) / np.sqrt(now.sizes["chain"])).where(good),
            "kept": total["num_kept"] / now.sizes["chain"],
            "p": wrong / total["num_generated"],
            "phi": phi,
            "psi": psi,
            "p_star": phi / (phi + psi),
        },
        attrs={"chains": now.sizes["chain"]},
    )


def crossing(x: np.ndarray, y: np.ndarray, error: np.ndarray, level: float = 0.5) -> Estimate:
    """Where y, measured at rising x, first falls through `level`: between two points by a straight line.

    NaN where it does not.
    """
    above = y >= level
    falls = np.flatnonzero(above[:-1] & ~above[1:])
    if falls.size == 0:
        return Estimate(float("nan"), float("nan"))
    i = int(falls[0])
    step, fall = x[i + 1] - x[i], y[i] - y[i + 1]
    slopes = step * np.array([level - y[i + 1], y[i] - level]) / fall**2
    value = x[i] + step * (y[i] - level) / fall
    return Estimate(float(value), float(np.hypot(*(slopes * error[i : i + 2]))))
