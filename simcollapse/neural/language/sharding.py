"""A fit on several devices: the rows of a batch are split over all of them, large arrays of parameters over some.

Each device computes its rows with whole layers, of which it fetches what it does not hold, one after the other.
Source: Rajbhandari et al., ZeRO (arXiv 1910.02054), stage 3.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from simcollapse.checks import check_whole

Tree = Any
AXES = ("data", "parameters")
LEAST = 4096  # numbers of an array that is split; a smaller one is not worth fetching


def mesh(parameters: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """The devices, all of this process unless given.

    Args:
        parameters: over how many of them parameters and the optimizer's moments are split; 1: each holds all.
        devices: which.

    Raises:
        ValueError: as many do not divide the devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    parameters = check_whole("parameters", parameters, 1, len(devices))
    if len(devices) % parameters:
        raise ValueError(f"parameters must divide the number of devices, {len(devices)}; got {parameters}")
    return Mesh(np.array(devices).reshape(-1, parameters), AXES)


def place_rows(mesh: Mesh | None, batch: Tree) -> Tree:
    """A batch on its devices."""
    return batch if mesh is None else jax.device_put(batch, NamedSharding(mesh, PartitionSpec(AXES)))


def place_params(mesh: Mesh | None, tree: Tree) -> Tree:
    """A copy of arrays on their devices."""
    if mesh is None:
        return jax.tree.map(lambda x: jax.numpy.array(x), tree)
    return jax.tree.map(lambda x: jax.device_put(np.asarray(x), _split(mesh, x)), tree)


def keep_rows(mesh: Mesh | None, x: jax.Array) -> jax.Array:
    """x itself, (B, …), told to be split as a batch is."""
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(AXES)))


def keep_params(mesh: Mesh | None, tree: Tree) -> Tree:
    """Arrays themselves, told to be split as parameters are."""
    if mesh is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, _split(mesh, x)), tree)


def _split(mesh: Mesh, x: Any) -> NamedSharding:
    """Along the larger of the last two axes that can be divided; the first axis of three is that of layers."""
    number, axes = mesh.shape["parameters"], range(max(0, x.ndim - 2), x.ndim)
    able = [axis for axis in axes if x.shape[axis] % number == 0]
    if x.size < LEAST or not able:
        return NamedSharding(mesh, PartitionSpec())
    longest = max(able, key=lambda axis: x.shape[axis])
    return NamedSharding(
        mesh, PartitionSpec(*(AXES[1] if axis == longest else None for axis in range(x.ndim)))
    )
