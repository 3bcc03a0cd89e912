"""Variational autoencoders: conditional on a class or not, convolutional or fully connected.

Published sizes: two convolutions of 4 x 4 kernels and stride 2 with 32 and 64 channels, latent dimension 20, the class
as one-hot beside the encoder's output and the decoder's input, Bernoulli likelihood of grey values in [0, 1].
Source: [Yi26], section 5.2 (v3). The hidden width of the fully connected one is that of the common reference
implementations of the model.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx

from simcollapse.checks import check_choice, check_whole
from simcollapse.neural.convolution import STRIDE, Down, Up, check_side

ARCHITECTURES = ("conv", "mlp")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a model is made of. Build it with `sizes(...)`."""

    side: int  # of a square image, pixels
    classes: int  # 0: not conditional
    architecture: str
    latent: int
    channels: tuple[int, int]  # of the convolutions
    hidden: int  # units of the fully connected variant


def sizes(
    side: int,
    classes: int = 10,
    architecture: str = "conv",
    *,
    latent: int = 20,
    channels: tuple[int, int] = (32, 64),
    hidden: int = 400,
) -> Sizes:
    """The published sizes for images of `side` x `side` pixels.

    Raises:
        ValueError: an unknown architecture, or a side that two strides of 2 do not divide.
    """
    check_choice("architecture", architecture, ARCHITECTURES)
    made = Sizes(
        side=check_whole("side", side, 1),
        classes=check_whole("classes", classes, 0),
        architecture=architecture,
        latent=check_whole("latent", latent, 1),
        channels=(check_whole("channels", channels[0], 1), check_whole("channels", channels[1], 1)),
        hidden=check_whole("hidden", hidden, 1),
    )
    if architecture == "conv":
        check_side(side, "pad or crop the images, or use architecture='mlp'")
    return made


class Vae(nnx.Module):
    """Encoder q(z | x, y) and decoder p(x | z, y)."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        self.sizes = sizes
        first, second = sizes.channels
        pixels, latent, classes = sizes.side**2, sizes.latent, sizes.classes
        if sizes.architecture == "conv":
            small = sizes.side // STRIDE**2
            width = small * small * second
            self.down1 = Down(1, first, rngs=rngs)
            self.down2 = Down(first, second, rngs=rngs)
            self.up1 = Up(second, first, rngs=rngs)
            self.up2 = Up(first, 1, rngs=rngs)
            self.open = nnx.Linear(latent + classes, width, rngs=rngs)
        else:
            width = sizes.hidden
            self.inside = nnx.Linear(pixels, width, rngs=rngs)
            self.open = nnx.Linear(latent + classes, width, rngs=rngs)
            self.outside = nnx.Linear(width, pixels, rngs=rngs)
        self.mean = nnx.Linear(width + classes, latent, rngs=rngs)
        self.log_variance = nnx.Linear(width + classes, latent, rngs=rngs)

    def encode(self, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of z, (B, L), given x (B, H, W) in [0, 1] and the one-hot class y (B, classes)."""
        if self.sizes.architecture == "conv":
            h = nnx.relu(self.down2(nnx.relu(self.down1(x[..., None]))))
            h = h.reshape(len(x), -1)
        else:
            h = nnx.relu(self.inside(x.reshape(len(x), -1)))
        h = jnp.concatenate([h, y], axis=-1)
        return self.mean(h), self.log_variance(h)

    def decode(self, z: jax.Array, y: jax.Array) -> jax.Array:
        """Logits of the pixels, (B, H, W)."""
        side = self.sizes.side
        h = nnx.relu(self.open(jnp.concatenate([z, y], axis=-1)))
        if self.sizes.architecture == "conv":
            small = side // STRIDE**2
            h = nnx.relu(self.up1(h.reshape(len(z), small, small, -1)))
            return self.up2(h)[..., 0]
        return self.outside(h).reshape(len(z), side, side)


def terms(model: Vae, key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Reconstruction log-likelihood (one draw of z) and KL(q(z | x, y) | N(0, I)), each (B,), in nats.

    ELBO = reconstruction - KL, summed over pixels and latents. The Bernoulli likelihood takes grey values as
    x log p + (1 - x) log(1 - p).
    """
    mean, log_variance = model.encode(x, y)
    z = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape, mean.dtype)
    kl = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1)
    return log_likelihood(model.decode(z, y), x), kl


def log_likelihood(logits: jax.Array, x: jax.Array) -> jax.Array:
    """log p(x | z, y), nats, summed over the last two axes."""
    return jnp.sum(x * logits - jax.nn.softplus(logits), axis=(-2, -1))


def importance_bound(model: Vae, key: jax.Array, x: jax.Array, y: jax.Array, draws: int) -> jax.Array:
    """Importance-weighted bound on log p(x | y), (B,), in nats: log of the mean of `draws` weights.

    log 1/S sum_s p(x | z_s, y) p(z_s) / q(z_s | x, y); the ELBO for one draw, log p(x | y) for many.
    Source: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, arXiv 1509.00519.
    """
    mean, log_variance = model.encode(x, y)

    def log_weight(key):
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        z = mean + jnp.exp(log_variance / 2) * noise
        prior_over_q = 0.5 * jnp.sum(noise**2 + log_variance - z**2, axis=-1)
        return log_likelihood(model.decode(z, y), x) + prior_over_q

    weights = jax.lax.map(log_weight, jax.random.split(key, draws))
    return jax.nn.logsumexp(weights, axis=0) - math.log(draws)
