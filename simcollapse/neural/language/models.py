"""The decoder: a text's tokens in, what follows each of them out.

Source: the published models Llama (arXiv 2302.13971, 2407.21783) and Gemma 2 (arXiv 2408.00118).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from simcollapse.neural.language.config import Config
from simcollapse.neural.transformer.attention import (
    Attention,
    Cache,
    Mlp,
    RmsNorm,
    empty_cache,
    soft_cap,
    write,
)
from simcollapse.neural.transformer.products import dot_general, product_by_rows
from simcollapse.neural.transformer.rotary import Turn, turn_to

Tree = Any
SPREAD = 0.02  # standard deviation of an embedding before training


class Layer(nnx.Module):
    """Attention on earlier tokens, then a gated feed-forward layer; Gemma 2 also normalises what each gives."""

    def __init__(self, config: Config, window: int | None, *, rngs: nnx.Rngs):
        self.window, gemma = window, config.family == "gemma2"
        dtype = jnp.dtype(config.precision)

        def norm():
            return RmsNorm(config.width, epsilon=config.epsilon, offset=float(gemma), dtype=dtype)

        self.norm1, self.norm2 = norm(), norm()
        self.after1, self.after2 = (norm(), norm()) if gemma else (None, None)
        self.attention = Attention(
            config.width,
            config.heads,
            kv_heads=config.kv_heads,
            head=config.head,
            bias=False,
            scale=config.scale,
            cap=config.attention_cap,
            dtype=dtype,
            rngs=rngs,
        )
        activation = nnx.gelu if gemma else nnx.silu
        self.mlp = Mlp(
            config.width, config.hidden, activation=activation, gated=True, bias=False, dtype=dtype, rngs=rngs
        )

    def __call__(
        self, x: jax.Array, cache: Cache | None, at: jax.Array | int, seen: jax.Array, turn: Turn
    ) -> tuple[jax.Array, Cache]:
        """(B, T, width), and the keys and values; `seen` (B, T, S) is how far back each token looks, < 0: not."""
        h = self.norm1(x)
        memory = self.attention.memory(h, turn)
        if cache is not None:
            memory = write(cache, memory, jnp.asarray(at))
        mask = seen >= 0 if self.window is None else (seen >= 0) & (seen < self.window)
        h = self.attention(h, memory, mask, turn)
        x = x + (h if self.after1 is None else self.after1(h))
        h = self.mlp(self.norm2(x))
        return x + (h if self.after2 is None else self.after2(h)), memory


class Decoder(nnx.Module):
    """Embedding, layers, norm and head."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        self.config = config
        dtype = jnp.dtype(config.precision)
        spread = nnx.initializers.normal(SPREAD)
        self.words = nnx.Embed(config.vocabulary, config.width, dtype=dtype, embedding_init=spread, rngs=rngs)
        self.layers = nnx.List([Layer(config, window, rngs=rngs) for window in config.windows])
        gemma = config.family == "gemma2"
        self.norm = RmsNorm(config.width, epsilon=config.epsilon, offset=float(gemma), dtype=dtype)
        head: dict[str, Any] = {"use_bias": False, "dtype": dtype, "kernel_init": spread, "rngs": rngs}
        head["dot_general"] = dot_general
        self.head = None if config.tied else nnx.Linear(config.width, config.vocabulary, **head)

    def states(
        self,
        tokens: jax.Array,
        begin: jax.Array | None = None,
        caches: list[Cache] | None = None,
        at: jax.Array | int = 0,
    ) -> tuple[jax.Array, list[Cache]]:
        """What the head reads, (B, T, width), and each layer's keys and values.

        Args:
            tokens: (B, T).
            begin: (B,), the place of each text's first token; what is before it is padding. None: all 0.
            caches: of S places each, with what stands before; None: nothing does.
            at: place of the first of `tokens`.
        """
        places = at + jnp.arange(tokens.shape[1])
        there = jnp.arange(tokens.shape[1] if caches is None else caches[0].key.shape[2])
        begin = jnp.zeros(len(tokens), jnp.int32) if begin is None else begin
        back = places[:, None] - there[None, :]
        seen = jnp.where(there >= begin[:, None, None], back, -1)
        own = jnp.maximum(places - begin[:, None], 0)
        turn = turn_to(own, self.config.frequencies, self.config.rope.magnitude)
        x, after = self.embed(tokens), []
        for i, layer in enumerate(self.layers):
            x, cache = layer(x, None if caches is None else caches[i], at, seen, turn)
            after.append(cache)
        return self.norm(x), after

    def embed(self, tokens: jax.Array) -> jax.Array:
        """What the first layer reads, (B, T, width)."""
        x = self.words(tokens)
        return x * jnp.asarray(self.config.width**0.5, x.dtype) if self.config.family == "gemma2" else x

    def logits(self, states: jax.Array) -> jax.Array:
        """(…, V), single precision, of states (…, width)."""
        if self.head is None:
            out = product_by_rows(states, self.words.embedding[...].astype(states.dtype))
        else:
            out = self.head(states)
        return soft_cap(out.astype(jnp.float32), self.config.logit_cap)

    def __call__(self, tokens: jax.Array, begin: jax.Array | None = None) -> jax.Array:
        """Logits (B, T, V) of what follows each of `tokens` (B, T); see `states`."""
        return self.logits(self.states(tokens, begin)[0])

    def empty(self, batch: int, places: int) -> list[Cache]:
        """Caches of texts not begun."""
        c = self.config
        return [empty_cache(batch, places, c.kv_heads, c.head, jnp.dtype(c.precision)) for _ in self.layers]


@functools.lru_cache(maxsize=16)
def _graph(config: Config) -> Any:
    return nnx.split(nnx.eval_shape(lambda: Decoder(config, rngs=nnx.Rngs(params=0))))[0]


def init(config: Config, key: jax.Array) -> Tree:
    """Parameters before training, a dict of dicts of arrays."""
    return nnx.to_pure_dict(nnx.split(Decoder(config, rngs=nnx.Rngs(params=key)))[1])


def shapes(config: Config) -> Tree:
    """As `init`, shapes and dtypes only."""
    return nnx.to_pure_dict(nnx.split(nnx.eval_shape(lambda: Decoder(config, rngs=nnx.Rngs(params=0))))[1])


def module(config: Config, params: Tree) -> Decoder:
    """The NNX module with these parameters."""
    return nnx.merge(_graph(config), params)
