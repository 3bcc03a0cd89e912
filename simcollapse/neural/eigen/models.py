"""The transformer that reads a matrix and writes its eigenvalues."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from simcollapse.checks import check_choice, check_whole
from simcollapse.neural.eigen.matrices import Problem
from simcollapse.neural.eigen.numbers import START
from simcollapse.neural.transformer.attention import Attention, Cache, Mlp, causal, empty_cache, write
from simcollapse.neural.transformer.products import dot_general

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a model is made of. Build it with `sizes(...)`."""

    vocabulary: int
    source_length: int
    target_length: int
    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    hidden: int  # of a feed-forward layer
    precision: str  # of activations; parameters are float32


def sizes(
    problem: Problem,
    *,
    width: int = 512,
    heads: int = 8,
    encoder_layers: int = 4,
    decoder_layers: int = 4,
    hidden: int | None = None,
    precision: str = "float32",
) -> Sizes:
    """Sizes of a model for `problem`; width and heads as published, feed-forward layers four times as wide.

    Raises:
        ValueError: heads that do not divide the width, or an unknown precision.
    """
    width, heads = check_whole("width", width, 1), check_whole("heads", heads, 1)
    if width % heads:
        raise ValueError(f"heads must divide width, got {heads} and {width}")
    check_choice("precision", precision, PRECISIONS)
    return Sizes(
        vocabulary=problem.encoding.vocabulary,
        source_length=problem.source_length,
        target_length=problem.target_length,
        width=width,
        heads=heads,
        encoder_layers=check_whole("encoder_layers", encoder_layers, 1),
        decoder_layers=check_whole("decoder_layers", decoder_layers, 1),
        hidden=check_whole("hidden", 4 * width if hidden is None else hidden, 1),
        precision=precision,
    )


class EncoderLayer(nnx.Module):
    """Attention of a sequence on itself, then a feed-forward layer; each normalised before and added."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        dtype = PRECISIONS[sizes.precision]
        self.norm1 = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        self.norm2 = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        self.attention = Attention(sizes.width, sizes.heads, dtype=dtype, rngs=rngs)
        self.mlp = Mlp(sizes.width, sizes.hidden, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, S, width)."""
        h = self.norm1(x)
        x = x + self.attention(h, self.attention.memory(h))
        return x + self.mlp(self.norm2(x))


class DecoderLayer(nnx.Module):
    """Attention on earlier tokens, on the source, then a feed-forward layer."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        dtype = PRECISIONS[sizes.precision]
        self.norm1 = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        self.norm2 = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        self.norm3 = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        self.attention = Attention(sizes.width, sizes.heads, dtype=dtype, rngs=rngs)
        self.cross = Attention(sizes.width, sizes.heads, dtype=dtype, rngs=rngs)
        self.mlp = Mlp(sizes.width, sizes.hidden, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, source: Cache, mask: jax.Array) -> jax.Array:
        """(B, T, width), all places at once."""
        h = self.norm1(x)
        x = x + self.attention(h, self.attention.memory(h), mask)
        x = x + self.cross(self.norm2(x), source)
        return x + self.mlp(self.norm3(x))

    def step(self, x: jax.Array, source: Cache, cache: Cache, at: jax.Array | int) -> tuple[jax.Array, Cache]:
        """(B, W, width) for the tokens at place `at` of W sequences a source; the cache has B W sequences."""
        batch, width = x.shape[:2]
        h = self.norm1(x).reshape(batch * width, 1, -1)
        cache = write(cache, self.attention.memory(h), at)
        seen = (jnp.arange(cache.key.shape[2]) <= at)[None]
        x = x + self.attention(h, cache, seen).reshape(x.shape)
        x = x + self.cross(
            self.norm2(x), source
        )  # the W sequences query one source, and see none of each other
        return x + self.mlp(self.norm3(x)), cache


class Translator(nnx.Module):
    """Encoder and decoder with learned places."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        self.sizes = sizes
        dtype = PRECISIONS[sizes.precision]
        embedding: dict[str, Any] = {
            "features": sizes.width,
            "dtype": dtype,
            "embedding_init": nnx.initializers.normal(sizes.width**-0.5),
            "rngs": rngs,
        }
        self.words = nnx.Embed(sizes.vocabulary, **embedding)
        self.source_places = nnx.Embed(sizes.source_length, **embedding)
        self.target_places = nnx.Embed(sizes.target_length, **embedding)
        self.encoder = nnx.List([EncoderLayer(sizes, rngs=rngs) for _ in range(sizes.encoder_layers)])
        self.decoder = nnx.List([DecoderLayer(sizes, rngs=rngs) for _ in range(sizes.decoder_layers)])
        self.encoder_norm = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        self.decoder_norm = nnx.LayerNorm(sizes.width, dtype=dtype, rngs=rngs)
        # All tokens are as likely before training.
        zeros = nnx.initializers.zeros_init()
        head: dict[str, Any] = {
            "dtype": dtype,
            "kernel_init": zeros,
            "dot_general": dot_general,
            "rngs": rngs,
        }
        self.head = nnx.Linear(sizes.width, sizes.vocabulary, **head)

    def encode(self, source: jax.Array) -> list[Cache]:
        """What each decoder layer looks up of source (B, S): keys and values, computed once."""
        x = self.words(source) + self.source_places(jnp.arange(source.shape[1]))
        for layer in self.encoder:
            x = layer(x)
        x = self.encoder_norm(x)
        return [layer.cross.memory(x) for layer in self.decoder]

    def __call__(self, source: jax.Array, target: jax.Array) -> jax.Array:
        """Logits (B, T, V) of each token of target (B, T), given the source and the tokens before it."""
        memory = self.encode(source)
        before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=START)
        x = self.words(before) + self.target_places(jnp.arange(target.shape[1]))
        mask = causal(target.shape[1])
        for layer, seen in zip(self.decoder, memory, strict=True):
            x = layer(x, seen, mask)
        return self.head(self.decoder_norm(x)).astype(jnp.float32)

    def fill_vocabulary(self, multiple: int) -> None:
        """Add impossible tokens up to a multiple, so that blocks of logits need not be filled up at every token."""
        more = -self.sizes.vocabulary % multiple
        kernel, bias = self.head.kernel, self.head.bias
        assert bias is not None
        self.head.kernel = nnx.Param(jnp.pad(kernel[...], ((0, 0), (0, more))))
        self.head.bias = nnx.Param(jnp.pad(bias[...], (0, more), constant_values=-jnp.inf))

    def empty(self, sequences: int, places: int) -> list[Cache]:
        """Caches of sequences not begun, with room for `places` tokens."""
        s = self.sizes
        head = s.width // s.heads
        dtype = PRECISIONS[s.precision]
        return [empty_cache(sequences, places, s.heads, head, dtype) for _ in self.decoder]

    def step(
        self, memory: list[Cache], caches: list[Cache], tokens: jax.Array, at: jax.Array | int
    ) -> tuple[jax.Array, list[Cache]]:
        """Logits (B, W, V) of what follows `tokens` (B, W), which stand before place `at`, and the caches."""
        x = self.words(tokens) + self.target_places(jnp.asarray(at))
        after = []
        for layer, seen, cache in zip(self.decoder, memory, caches, strict=True):
            x, cache = layer.step(x, seen, cache, at)
            after.append(cache)
        return self.head(self.decoder_norm(x)).astype(jnp.float32), after
