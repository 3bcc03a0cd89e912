"""Low-rank adapters: a matrix W stays, and alpha / rank times a product of two thin ones is added to it.

Every matrix of the attention and of the feed-forward layers has one; keys and values, one matrix here, share one. The
second thin matrix starts at zero, so that a fit starts from the model as it was.
Source: Hu et al., LoRA (arXiv 2106.09685), section 4.1.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

Tree = Any
PLACES = {"attention": ("query", "key_value", "out"), "mlp": ("inside", "factor", "outside")}


@dataclasses.dataclass(frozen=True)
class Adapters:
    """Their size."""

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What their product is multiplied by."""
        return self.alpha / self.rank


class Adapted(nnx.Module):
    """A matrix and its adapter; the product of the thin ones is never formed."""

    def __init__(self, base: nnx.Linear, adapters: Adapters):
        self.base, self.scale, self.dtype = base, adapters.scale, base.dtype
        rows, columns = base.kernel.shape
        self.down = nnx.Param(jnp.zeros((rows, adapters.rank)))
        self.up = nnx.Param(jnp.zeros((adapters.rank, columns)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """As the matrix alone."""
        x, down, up = (value.astype(self.dtype) for value in (x, self.down[...], self.up[...]))
        return self.base(x) + self.scale * ((x @ down) @ up)


def adapted(layer: Any, adapters: Adapters | None) -> Any:
    """The layer itself, its matrices replaced by adapted ones."""
    if adapters is None:
        return layer
    for part, names in PLACES.items():
        holder = getattr(layer, part)
        for name in names:
            setattr(holder, name, Adapted(getattr(holder, name), adapters))
    return layer


def start(key: jax.Array, folded: Tree, adapters: Adapters) -> Tree:
    """Adapters of folded parameters, before training: the first matrix is drawn, with variance 1 / rows."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())

    def of(kernel):
        layers, rows, columns = kernel.shape
        down = random.normal(0, rows**-0.5, (layers, rows, adapters.rank)).astype(np.float32)
        return {"down": down, "up": np.zeros((layers, adapters.rank, columns), np.float32)}

    return {
        kind: {
            part: {name: of(layers[part][name]["kernel"]) for name in names} for part, names in PLACES.items()
        }
        for kind, layers in folded["layers"].items()
    }


def joined(folded: Tree, made: Tree) -> Tree:
    """Folded parameters with their adapters, as the adapted layers take them."""
    layers = {}
    for kind, own in folded["layers"].items():
        new = {
            part: {name: {"base": own[part][name]} | made[kind][part][name] for name in names}
            for part, names in PLACES.items()
        }
        layers[kind] = {
            name: new.get(name, {}) | {n: x for n, x in tree.items() if n not in new.get(name, {})}
            for name, tree in own.items()
        }
    return folded | {"layers": layers}


def merge(folded: Tree, made: Tree, adapters: Adapters) -> Tree:
    """Folded parameters with the adapters' products added: the same model, without adapters."""
    layers = {}
    for kind, own in folded["layers"].items():
        new = {
            part: {name: {"kernel": _sum(own[part][name]["kernel"], made[kind][part][name], adapters.scale)}
                   for name in names}
            for part, names in PLACES.items()
        }  # fmt: skip
        layers[kind] = own | new
    return folded | {"layers": layers}


def _sum(kernel, thin, scale):
    return kernel + scale * jnp.matmul(thin["down"], thin["up"], precision="highest")


def parameters(shapes: Tree, rank: int) -> int:
    """Numbers that adapters of parameters of these shapes hold."""
    kernels = (
        layer[part][name]["kernel"]
        for layer in shapes["layers"].values()
        for part, names in PLACES.items()
        for name in names
    )
    return sum(rank * sum(kernel.shape) for kernel in kernels)
