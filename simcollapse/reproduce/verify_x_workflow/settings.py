"""What `cells` runs: four tasks, and for each of them no verifier and three that differ in bias alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import simcollapse as sc
from simcollapse.reproduce import precision

VERIFIERS = ("none", "unbiased", "biased", "strongly biased")
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample", "fresh_real")
NAMES = {
    "replace": "replace",
    "accumulate": "accumulate",
    "accumulate_subsample": "accumulate-subsample",
    "fresh_real": "replace with fresh real data",
}
REAL_SHARE = 0.2  # of a round's rows under fresh_real
BANDWIDTH = 0.3  # of the kernel density, in standard deviations of the truth
NO_THRESHOLD = -1e9  # a margin that every row has


@dataclasses.dataclass(frozen=True)
class Setting:
    """A task with its verifiers."""

    title: str
    measured: str  # what the error is
    dim: int
    n_real: int
    n_per_round: int  # generated, before the verifier
    biases: tuple[float, ...]  # of `VERIFIERS`, unit of the model; the first plays no role
    radius: float  # of the accepted set, in standard deviations; inf where there is none
    task: Callable[[], Any]
    verifier: Callable[[float, float], Any]  # of bias and radius, inf for none
    error: Callable[[xr.Dataset], xr.DataArray]
    squares: Callable[
        [xr.Dataset, float], tuple[xr.DataArray, xr.DataArray]
    ]  # from the truth, from the center


def _regression_squares(found: xr.Dataset, bias: float) -> tuple[xr.DataArray, xr.DataArray]:
    coef = found["model_coef"]
    center = bias / np.sqrt(coef.sizes["dim"])
    return (coef**2).sum("dim"), ((coef - center) ** 2).sum("dim")


def _gaussian_squares(found: xr.Dataset, bias: float) -> tuple[xr.DataArray, xr.DataArray]:
    mean = found["model_mean"]
    mean = mean.isel({d: 0 for d in mean.dims if d not in ("verifier", "chain", "round")})
    return mean**2, (mean - bias) ** 2


def _density_squares(found: xr.Dataset, bias: float) -> tuple[xr.DataArray, xr.DataArray]:
    square = found["squared_error"]  # of the mean; on its own line, from which side is not recorded
    distance: xr.DataArray = xr.ufuncs.sqrt(square) - bias
    return square, distance**2


SETTINGS = {
    "regression": Setting(
        title="regression",
        measured="squared error",
        dim=2,
        n_real=10,
        n_per_round=40,
        biases=(0.0, 0.0, 0.4, 1.0),
        radius=1.5,
        task=lambda: sc.linear_regression(np.zeros(2), design="orthogonal"),
        verifier=lambda bias, radius: sc.knowledge_ball(bias=bias, radius=radius),
        error=lambda found: found["squared_error"],
        squares=_regression_squares,
    ),
    "gaussian": Setting(
        title="Gaussian, d = 1",
        measured="squared $W_2$ distance",
        dim=1,
        n_real=25,
        n_per_round=100,
        biases=(0.0, 0.0, 0.3, 1.5),
        radius=2.5,
        task=lambda: sc.gaussian(1),
        verifier=lambda bias, radius: sc.likelihood(bias=bias, radius=radius),
        error=lambda found: found["squared_error"] + (np.exp(found["log_trace"] / 2) - 1) ** 2,
        squares=_gaussian_squares,
    ),
    "mixture": Setting(
        title="Gaussian mixture",
        measured="squared angle",
        dim=5,
        n_real=50,
        n_per_round=100,
        biases=(0.0, 0.0, 0.3, 0.8),
        radius=np.inf,
        task=lambda: sc.gaussian_mixture(np.eye(5)[0], generator=sc.fitted(), labels="bayes"),
        verifier=lambda bias, radius: sc.linear(angle=bias, threshold=0.0 if radius < np.inf else NO_THRESHOLD),
        error=lambda found: found["angle"] ** 2,
        squares=lambda found, bias: (found["angle"] ** 2, found["verifier_angle"] ** 2),
    ),
    "density": Setting(
        title="kernel density, d = 1",
        measured="squared $W_2$ distance\nof mean and variance",
        dim=1,
        n_real=25,
        n_per_round=100,
        biases=(0.0, 0.0, 0.3, 1.5),
        radius=2.5,
        task=lambda: sc.kde(1, bandwidth=BANDWIDTH, test=10),
        verifier=lambda bias, radius: sc.likelihood(bias=bias, radius=radius),
        error=lambda found: found["squared_error"] + (np.sqrt(found["trace"]) - 1) ** 2,
        squares=_density_squares,
    ),
}  # fmt: skip


def workflow(name: str) -> Any:
    """The workflow of a name of `WORKFLOWS`."""
    if name == "fresh_real":
        return sc.fresh_real(REAL_SHARE)
    return {"replace": sc.replace, "accumulate": sc.accumulate, "accumulate_subsample": sc.accumulate_subsample}[
        name
    ]()  # fmt: skip


@precision.single
def simulate(task: str, name: str, *, rounds: int, chains: int, seed: int, block_size: int) -> xr.Dataset:
    """By (verifier, chain, round): error, and share, how far along the way from the truth (0) to the center (1).

    share is (1 + (u - v)/bias^2)/2 with squared distances u from the truth and v from the center: for a model
    that is a vector, its projection on the way. NaN where the center is the truth.
    """
    one = SETTINGS[task]
    radii = (np.inf, *(min(one.radius, 1e9),) * (len(VERIFIERS) - 1))
    verifiers = [one.verifier(bias, radius) for bias, radius in zip(one.biases, radii, strict=True)]
    found = sc.sweep(
        one.task(),
        verifiers[0],
        workflow(name),
        over={"verifier": verifiers},  # they differ in numbers only, so they share a program
        n_real=one.n_real,
        n_per_round=one.n_per_round,
        rounds=rounds,
        chains=chains,
        seed=seed,
        audit=False,
        record_model=task in ("regression", "gaussian"),
        block_size=block_size,
        progress=False,
    ).assign_coords(verifier=list(VERIFIERS))
    shares = []
    for i, bias in enumerate(one.biases):
        away, near = one.squares(found.isel(verifier=i), bias)
        shares.append((1 + (away - near) / bias**2) / 2 if bias > 0 else away * np.nan)
    share = xr.concat(shares, found["verifier"]).transpose("verifier", "chain", "round")
    return xr.Dataset({"error": one.error(found).astype(float), "share": share.astype(float)}, attrs={})
