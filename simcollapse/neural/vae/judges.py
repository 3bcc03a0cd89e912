"""Networks that judge images: discriminators, which verify, and a classifier, which measures."""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from simcollapse.neural.convolution import STRIDE, Down

WIDTHS = (512, 256, 128, 64)  # of the discriminator; Source: [Yi26], section 5.2 (v3)
FEATURES = 64  # of the classifier's last layer but one: the space of the Fréchet distance


class Discriminator(nnx.Module):
    """Log odds that an image is real, from its pixels above one half, and its class if `classes` > 0."""

    def __init__(self, side: int, classes: int = 0, *, rngs: nnx.Rngs):
        self.classes = classes
        widths = (side**2 + classes, *WIDTHS)
        pairs = itertools.pairwise(widths)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])
        self.last = nnx.Linear(widths[-1], 1, rngs=rngs)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """(B,), from x (B, H, W) in [0, 1] and the one-hot class y (B, classes or more)."""
        h = (x > 0.5).astype(x.dtype).reshape(len(x), -1)
        if self.classes:
            h = jnp.concatenate([h, y], axis=-1)
        for layer in self.layers:
            h = nnx.relu(layer(h))
        return self.last(h)[:, 0]


class Classifier(nnx.Module):
    """Log odds of the classes, and the features before them."""

    def __init__(self, side: int, classes: int, *, rngs: nnx.Rngs):
        small = side // STRIDE**2
        self.down1 = Down(1, 32, rngs=rngs)
        self.down2 = Down(32, 64, rngs=rngs)
        self.hidden = nnx.Linear(small * small * 64, FEATURES, rngs=rngs)
        self.last = nnx.Linear(FEATURES, classes, rngs=rngs)

    def features(self, x: jax.Array) -> jax.Array:
        """(B, FEATURES), from x (B, H, W) in [0, 1]."""
        h = nnx.relu(self.down2(nnx.relu(self.down1(x[..., None]))))
        return nnx.relu(self.hidden(h.reshape(len(x), -1)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, classes)."""
        return self.last(self.features(x))
