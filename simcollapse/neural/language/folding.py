"""A decoder whose layers of one kind are arrays with a leading axis, run one after the other by a scan.

A training step of many layers compiles as fast as one of a few. Parameters are folded before a fit and unfolded after
it, see `models.init` for the form that everything else uses.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from simcollapse.neural.language import lora, sharding
from simcollapse.neural.language.config import Config
from simcollapse.neural.language.models import Decoder, Layer
from simcollapse.neural.transformer.attention import KEPT
from simcollapse.neural.transformer.rotary import turn_to

Tree = Any


def period(config: Config) -> int:
    """After how many layers their kinds repeat: 1 for Llama, 2 for Gemma 2."""
    windows = config.windows
    fits = (n for n in range(1, len(windows)) if len(windows) % n == 0)
    return next((n for n in fits if windows == windows[:n] * (len(windows) // n)), len(windows))


def fold(config: Config, params: Tree) -> Tree:
    """The same parameters, on the host, layers of one kind stacked."""
    every = period(config)
    out = jax.tree.map(np.asarray, {name: tree for name, tree in params.items() if name != "layers"})
    kinds = ([params["layers"][i] for i in range(kind, config.layers, every)] for kind in range(every))
    out["layers"] = {kind: jax.tree.map(lambda *x: np.stack(x), *layers) for kind, layers in enumerate(kinds)}
    return out


def unfold(config: Config, folded: Tree) -> Tree:
    """The inverse of `fold`, wherever the arrays are."""
    every = period(config)
    out = {name: tree for name, tree in folded.items() if name != "layers"}
    out["layers"] = {}
    for kind, stacked in folded["layers"].items():
        leaves, form = jax.tree.flatten(stacked)
        for n, layer in enumerate(zip(*map(jnp.unstack, leaves), strict=True)):
            out["layers"][n * every + kind] = jax.tree.unflatten(form, layer)
    return out


class Folded:
    """How a decoder with folded parameters computes.

    Args:
        config: the model.
        remat: what a layer computes is computed again for gradients, not kept.
        adapters: how the layers are adapted; None: not.
        mesh: devices that share the rows; None: one.
    """

    def __init__(
        self,
        config: Config,
        *,
        remat: bool = False,
        adapters: lora.Adapters | None = None,
        mesh: jax.sharding.Mesh | None = None,
    ):
        self.config, self.adapters, self._remat, self._mesh = config, adapters, remat, mesh
        shell = dataclasses.replace(config, layers=0, windows=())
        self._shell = _graph(lambda: Decoder(shell, rngs=nnx.Rngs(params=0)))
        self._layers = [
            _graph(
                lambda window=window: lora.adapted(Layer(config, window, rngs=nnx.Rngs(params=0)), adapters)
            )
            for window in config.windows[: period(config)]
        ]

    def shell(self, folded: Tree) -> Decoder:
        """Embedding, last norm and head."""
        return nnx.merge(
            self._shell, {name: tree for name, tree in folded.items() if name != "layers"} | {"layers": {}}
        )

    def states(
        self,
        folded: Tree,
        tokens: jax.Array,
        document: jax.Array | None = None,
        place: jax.Array | None = None,
    ) -> jax.Array:
        """What the head reads, (B, T, width).

        Args:
            folded: parameters; see `lora.joined` for those with adapters.
            tokens: (B, T), each row a text, padded on the right.
            document: (B, T), which text of its row a token belongs to; it sees no other. None: one a row.
            place: (B, T), of a token in its own text. None: in its row.
        """
        there = jnp.arange(tokens.shape[1])
        back = there[:, None] - there[None, :]
        seen = jnp.broadcast_to(back, (1, *back.shape))
        if document is not None:
            seen = jnp.where(document[:, :, None] == document[:, None, :], seen, -1)
        own = there[None] if place is None else place
        turn = turn_to(own, self.config.frequencies, self.config.rope.magnitude)

        def of_layers(x, stacked):
            x = sharding.keep_rows(self._mesh, x)
            for kind, graph in enumerate(self._layers):
                x = nnx.merge(graph, stacked[kind])(x, None, 0, seen, turn)[0]
            return x, None

        # A scan copies all that a layer keeps for gradients, which takes longer than to compute half of it again.
        policy = None if self._remat else jax.checkpoint_policies.save_only_these_names(KEPT)
        body = jax.checkpoint(of_layers, policy=policy, prevent_cse=False)
        shell = self.shell(folded)
        x, _ = jax.lax.scan(body, shell.embed(tokens), folded["layers"])
        return sharding.keep_rows(self._mesh, shell.norm(x))


def _graph(make: Any) -> Any:
    return nnx.split(nnx.eval_shape(make))[0]
