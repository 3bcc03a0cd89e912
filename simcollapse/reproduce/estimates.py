"""Means over chains with their covariance between rounds, so that any comparison of rounds has an error."""

from typing import NamedTuple

import numpy as np
import xarray as xr


class Estimate(NamedTuple):
    """A number measured over chains."""

    value: float
    error: float  # one standard error


def over_chains(samples: xr.DataArray, name: str) -> xr.Dataset:
    """`name` (…, round), the mean over chains, and `name`_covariance (…, round, other_round) of that mean."""
    samples = samples.astype(float)
    mean = samples.mean("chain")
    rest = (samples - mean).transpose(..., "chain", "round")
    number = samples.sizes["chain"]
    values = rest.to_numpy()
    covariance = np.swapaxes(values, -1, -2) @ values / (number - 1) / number
    dims = [*(d for d in rest.dims if d not in ("chain", "round")), "round", "other_round"]
    return xr.Dataset({name: mean, f"{name}_covariance": (dims, covariance)}, attrs={"chains": number})


def standard_error(data: xr.Dataset, name: str) -> xr.DataArray:
    """Standard error of the mean `name`, of its shape."""
    covariance = data[f"{name}_covariance"].transpose(..., "round", "other_round")
    variance = np.diagonal(covariance.to_numpy(), axis1=-2, axis2=-1)
    return data[name].transpose(..., "round").copy(data=np.sqrt(variance))


def ratio(data: xr.Dataset, name: str, round: int, to: int) -> Estimate:
    """Mean of one round over that of another, for a Dataset without other dimensions; first order in the errors."""
    mean = data[name].to_numpy()
    covariance = data[f"{name}_covariance"].transpose("round", "other_round").to_numpy()
    slope = np.zeros(len(mean))
    slope[round] += 1 / mean[round]
    slope[to] -= 1 / mean[to]
    value = mean[round] / mean[to]
    return Estimate(float(value), float(value * np.sqrt(max(slope @ covariance @ slope, 0.0))))
