"""The next token, given logits: the most probable, or a draw from the most probable few."""

import dataclasses

import jax
import jax.numpy as jnp

from simcollapse.checks import check_value, check_whole


@dataclasses.dataclass(frozen=True)
class Choosing:
    """How tokens are chosen. Build it with `choosing(...)`."""

    temperature: float  # 0: the most probable one
    top_k: int | None
    top_p: float


def choosing(temperature: float = 0.0, *, top_k: int | None = None, top_p: float = 1.0) -> Choosing:
    """Greedy at temperature 0; else a draw from softmax(logits / temperature), restricted in this order.

    Args:
        temperature: >= 0.
        top_k: to the k most probable tokens, of equal ones those of lower number; None: to all.
        top_p: to the fewest most probable of these whose probability together is at least p, in (0, 1].

    Raises:
        ValueError: a value outside its range.
    """
    check_value("temperature", temperature, "nonnegative")
    check_value("top_p", top_p, "share")
    return Choosing(
        float(temperature), None if top_k is None else check_whole("top_k", top_k, 1), float(top_p)
    )


def restricted(
    logits: jax.Array, temperature: jax.Array, top_p: jax.Array, top_k: int
) -> tuple[jax.Array, jax.Array]:
    """The `top_k` most probable tokens, (B, k), and their logits at the temperature, -inf beyond `top_p`."""
    best, token = jax.lax.top_k(logits / temperature, top_k)
    share = jax.nn.softmax(best, axis=-1)
    before = jnp.cumsum(share, axis=-1) - share
    inside = (before < top_p) | (jnp.arange(top_k) == 0)
    return token, jnp.where(inside, best, -jnp.inf)


def choose(
    keys: jax.Array, logits: jax.Array, temperature: jax.Array, top_p: jax.Array, kind: str, top_k: int | None
) -> jax.Array:
    """Tokens (B,) for logits (B, V), each row with its own key of `keys` (B,).

    kind "greedy": the most probable; "plain": from all; "restricted": see `restricted`, which sorts.
    """
    if kind == "greedy":
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    draw = jax.vmap(jax.random.categorical)
    if kind == "plain":
        return draw(keys, logits / temperature).astype(jnp.int32)
    vocabulary = logits.shape[-1]
    token, best = restricted(logits, temperature, top_p, min(top_k or vocabulary, vocabulary))
    return jnp.take_along_axis(token, draw(keys, best)[:, None], axis=-1)[:, 0].astype(jnp.int32)


def kind_of(how: Choosing) -> str:
    """Which of the three `choose` needs."""
    if how.temperature == 0:
        return "greedy"
    return "plain" if how.top_k is None and how.top_p == 1 else "restricted"
