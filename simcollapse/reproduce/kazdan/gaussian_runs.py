"""The runs under both Gaussian pictures: mean and covariance refitted to their own samples, the whole grid."""

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import xarray as xr

import simcollapse as sc
from simcollapse.reproduce.kazdan import cells
from simcollapse.reproduce.kazdan.cells import WORKFLOWS, Cell
from theory.workflows import first_order, gaussian_accumulate, gaussian_replace, gaussian_subsample


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the runs."""

    chains: int = 100
    dims: tuple[int, ...] = cells.DIMS
    sizes: tuple[int, ...] = cells.SIZES
    rounds: int = 100
    shown: int = 10  # dimensions in the picture over rounds
    seed: int = 0


SCALES = {
    "quick": Config(chains=1_000, dims=(3,), sizes=(10, 100), rounds=30, shown=3),
    "small": Config(chains=400, dims=(1, 10), sizes=(10, 32, 100)),
    "paper": Config(),
}


@functools.lru_cache(maxsize=1)  # two pictures are drawn from the same runs
def runs(config: Config) -> xr.Dataset:
    """Simulation and theory by (workflow, dim, n, round); do not change it in place.

    mean_error |mean - truth|^2/d and trace are shares of the real data's tr Sigma_0; log_det is relative to the start;
    nll is the excess negative log-likelihood of real data, nats a row. Theory: mean_error_theory, trace_theory (means),
    log_det_theory (mean log under replace, log of the mean under accumulate), nll_theory (mean, exact),
    nll_first_order (mean, for many rows).
    """
    coords = {"workflow": WORKFLOWS, "dim": config.dims, "n": config.sizes}
    groups = [
        [_cell(config, i, j, k) for k in range(len(config.sizes))]
        for j in reversed(range(len(config.dims)))  # the longest first
        for i in range(len(WORKFLOWS))
    ]
    data = cells.collect(coords, groups, config.rounds)
    theory = {name: np.full(data["trace"].shape, np.nan) for name in THEORY}
    for place in np.ndindex(*data["trace"].shape[:-1]):
        workflow, dim, n = WORKFLOWS[place[0]], config.dims[place[1]], config.sizes[place[2]]
        for name, path in predicted(workflow, dim, n, config.rounds).items():
            theory[name][place] = path
    for name, array in theory.items():
        data[name] = data["trace"].dims, array
    data.attrs["config"] = json.dumps(dataclasses.asdict(config))
    return data


THEORY = ("mean_error_theory", "trace_theory", "log_det_theory", "nll_theory", "nll_first_order")


def _cell(config: Config, i: int, j: int, k: int) -> Cell:
    def values():
        dim = config.dims[j]
        found = cells.simulate(
            sc.gaussian(dim),
            WORKFLOWS[i],
            config.sizes[k],
            rounds=config.rounds,
            chains=config.chains,
            seed=(config.seed, i, j, k),
        )
        log_nll = excess(found["log_mahalanobis"].to_numpy(), found["log_det"].to_numpy(), dim)
        with np.errstate(over="ignore"):
            return {
                "mean_error": found["squared_error"] / dim,
                "trace": found["trace"],
                "log_trace": found["log_trace"],
                "log_det": found["log_det"],
                "nll": np.exp(log_nll),
                "log_nll": log_nll,
            }

    return Cell((i, j, k), values, cells.needs_double(config.dims[j], config.sizes[k]))


def excess(log_mahalanobis: np.ndarray, log_det: np.ndarray, dim: int) -> np.ndarray:
    """Log of the excess negative log-likelihood (exp(m) - d + log det)/2, which itself may be beyond every float."""
    m = np.asarray(log_mahalanobis, dtype=float)
    share = (dim - np.asarray(log_det, dtype=float)) * np.exp(-m)  # of exp(m) that the other terms take away
    return m + np.log1p(-np.minimum(share, 1 - 1e-12)) - np.log(2)


def predicted(workflow: str, dim: int, n: int, rounds: int) -> dict[str, np.ndarray]:
    """The closed forms that there are, by the names of `THEORY`."""
    sizes: dict[str, Any] = {"n_real": n, "n_per_round": n, "rounds": rounds}
    exact = {
        "replace": gaussian_replace,
        "accumulate": gaussian_accumulate,
        "accumulate_subsample": gaussian_subsample,
    }[workflow]
    if workflow == "accumulate_subsample":
        del sizes["n_real"]
    out = {
        "mean_error_theory": exact.mean_error_ratio_exact(**sizes),
        "trace_theory": exact.covariance_ratio_exact(**sizes),
    }
    if n <= dim:
        return out
    if workflow == "replace":
        out["log_det_theory"] = gaussian_replace.mean_log_det_exact(dim=dim, **sizes)
    elif workflow == "accumulate":
        out["log_det_theory"] = gaussian_accumulate.log_mean_det_exact(dim=dim, **sizes)
    if n > dim + 2 and workflow == "replace":
        out["nll_theory"] = gaussian_replace.kl_exact(dim=dim, **sizes)
    out["nll_first_order"] = first_order.kl_asymptotic(
        parameters=dim * (dim + 3) // 2, n_per_round=n, rounds=rounds, workflow=workflow
    )
    return out
