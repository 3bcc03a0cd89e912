"""Images, and the variational autoencoder that models them, as a task of the neural loop."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from simcollapse import keys
from simcollapse.checks import check_choice, check_whole
from simcollapse.data.images import Images, ImageSet, check_images
from simcollapse.neural import pools
from simcollapse.neural.batches import over_rows
from simcollapse.neural.training import Trainer, Training
from simcollapse.neural.vae.metrics import NEIGHBOURS
from simcollapse.neural.vae.models import Sizes, Vae, importance_bound, terms
from simcollapse.neural.vae.referee import Referee, rows_of

Tree = Any
OUTPUTS = ("mean", "sample")
SHOWN = 8  # images of each class in a sample grid

DESCRIPTIONS = {
    "elbo": "evidence lower bound of held-out real images, nats an image",
    "reconstruction": "its reconstruction term",
    "kl": "its KL term, positive",
    "log_likelihood_bound": "importance-weighted bound on the log-likelihood of held-out real images, nats an image",
    "fid": "Fréchet distance of generated to real images in the features of the classifier trained here "
    "(not Inception features)",
    "precision": "share of generated images within a real image's ball of neighbours",
    "recall": "share of real images within a generated image's ball",
    "density": "balls of real images around a generated one, over the number of neighbours",
    "coverage": "share of real images whose ball holds a generated image",
    "class_entropy": "entropy of the classes that the classifier sees, nats",
    "sample_accuracy": "share of generated images that the classifier takes for their label",
    "kept_fid": "as fid, of the accepted images",
    "kept_class_entropy": "as class_entropy, of the accepted images",
    "kept_mean_image_distance": "root mean square difference of mean accepted and mean real image, of full ink",
    "fit_steps": "optimiser steps of the fit",
    "fit_loss": "mean training loss of the last steps, nats an image",
    "fit_held_out_loss": "best loss on the held-out rows of the pool, nats an image",
    "fit_rows": "rows that the fit saw",
}


class Vaes:
    """Autoencoders of one size, compiled once: fits them, generates, measures."""

    def __init__(self, sizes: Sizes, output: str):
        check_choice("output", output, OUTPUTS)
        self.sizes, self._output = sizes, output
        self._graph = nnx.split(self._new(keys.root(0)))[0]
        self._trainers: dict[float, Trainer] = {}  # by learning rate
        self._generate = jax.jit(self._images)
        self._terms = jax.jit(self._parts)
        self._bound = jax.jit(self._importance, static_argnames="draws")

    def _new(self, key):
        return Vae(self.sizes, rngs=nnx.Rngs(params=key))

    def fit(self, key: jax.Array, rows: Tree, settings: Training) -> tuple[Tree, dict[str, float]]:
        """Parameters trained on `rows` from the start, and how it went."""
        return self.fit_many([key], [rows], settings)[0]

    def fit_many(
        self, keys: Sequence[jax.Array], rows: Sequence[Tree], settings: Training
    ) -> list[tuple[Tree, dict[str, float]]]:
        """As `fit`, several at once."""
        trainer = self._trainers.get(settings.learning_rate)
        if trainer is None:
            trainer = self._trainers[settings.learning_rate] = Trainer(self._loss, settings)
        split = [jax.random.split(key) for key in keys]
        first = [self.init(key_init) for key_init, _ in split]
        return trainer.with_settings(settings).fit_many([key for _, key in split], first, rows)

    def init(self, key: jax.Array) -> Tree:
        """Parameters before training."""
        return nnx.to_pure_dict(nnx.split(self._new(key))[1])

    def module(self, params: Tree) -> Vae:
        """The NNX module with these parameters."""
        return nnx.merge(self._graph, params)

    def _rows(self, rows):
        return rows["image"].astype(jnp.float32) / 255, jax.nn.one_hot(rows["label"], self.sizes.classes)

    def _loss(self, params, key, rows):
        reconstruction, kl = terms(self.module(params), key, *self._rows(rows))
        return kl - reconstruction

    def _parts(self, params, key, rows):
        return terms(self.module(params), key, *self._rows(rows))

    def _importance(self, params, key, rows, draws):
        return importance_bound(self.module(params), key, *self._rows(rows), draws)

    def _images(self, params, key, label):
        key_latent, key_pixels = jax.random.split(key)
        z = jax.random.normal(key_latent, (len(label), self.sizes.latent), jnp.float32)
        chance = jax.nn.sigmoid(self.module(params).decode(z, jax.nn.one_hot(label, self.sizes.classes)))
        if self._output == "sample":
            chance = jax.random.bernoulli(key_pixels, chance).astype(jnp.float32)
        return jnp.round(255 * chance).astype(jnp.uint8)

    def generate(self, key: jax.Array, params: Tree, labels: np.ndarray) -> Tree:
        """One image of each label, as rows; 8 bits a pixel, as an image file holds."""
        rows = {"label": np.asarray(labels, dtype=np.int32)}
        images = over_rows(
            lambda batch, c: self._generate(params, jax.random.fold_in(key, c), batch["label"]), rows
        )
        return {"image": images, "label": rows["label"]}

    def terms(self, key: jax.Array, params: Tree, rows: Tree) -> tuple[np.ndarray, np.ndarray]:
        """Reconstruction and KL of rows, each (N,)."""
        return over_rows(lambda batch, c: self._terms(params, jax.random.fold_in(key, c), batch), rows)

    def bound(self, key: jax.Array, params: Tree, rows: Tree, draws: int) -> np.ndarray:
        """Importance-weighted bound of rows, (N,)."""
        return over_rows(
            lambda batch, c: self._bound(params, jax.random.fold_in(key, c), batch, draws=draws), rows, 100
        )


@functools.lru_cache(maxsize=8)
def vaes(sizes: Sizes, output: str = "mean") -> Vaes:
    """The autoencoders of these sizes, compiled once in a process."""
    return Vaes(sizes, output)


@dataclasses.dataclass(frozen=True)
class Measures:
    """On how many rows a model is measured."""

    held_out: int  # real images for the ELBO
    bound_rows: int  # real images for the importance-weighted bound
    bound_draws: int  # of z for each of them
    samples: int  # generated images


@dataclasses.dataclass(frozen=True)
class ImageTask:
    """Real images of a chain, and the autoencoder family that models them. Build it with `image_task(...)`."""

    family: Vaes
    training: Training
    referee: Referee
    images: Images  # the chain's real images
    held_out: Images  # real images that nothing is trained on
    measures: Measures
    confidence: float  # least probability of its label's class that makes a generated image correct

    descriptions = DESCRIPTIONS

    @property
    def classes(self) -> int:
        """Classes of the model; 0: not conditional."""
        return self.family.sizes.classes

    def real(self, key: jax.Array) -> Tree:
        """The chain's real rows."""
        return rows_of(self.images)

    def fit(self, key: jax.Array, rows: Tree, previous: Tree) -> tuple[Tree, dict[str, float]]:
        """A model trained on `rows` from the start, whatever the previous one."""
        return self.family.fit(key, rows, self.training)

    def fit_many(
        self, keys: Sequence[jax.Array], rows: Sequence[Tree], previous: Sequence[Tree]
    ) -> list[tuple[Tree, dict[str, float]]]:
        """As `fit`, several at once."""
        return self.family.fit_many(keys, rows, self.training)

    def generate(self, key: jax.Array, model: Tree, count: int) -> Tree:
        """`count` images; their labels take turns, so that classes are as frequent as can be."""
        return self.family.generate(key, model, np.arange(count) % max(self.classes, 1))

    def correct(self, rows: Tree) -> np.ndarray:
        """Which the classifier takes for their label with at least `confidence` (for any class, if unconditional)."""
        return self.referee.correct(rows["image"], self._labels(rows), self.confidence)

    def groups(self, rows: Tree) -> np.ndarray:
        """The class of each row."""
        return rows["label"]

    def measure(self, key: jax.Array, model: Tree) -> dict[str, float]:
        """On held-out real images, and of fresh generated ones."""
        key_elbo, key_bound, key_samples = jax.random.split(key, 3)
        real = rows_of(self.held_out)
        reconstruction, kl = self.family.terms(
            key_elbo, model, pools.take(real, np.arange(self.measures.held_out))
        )
        few = pools.take(real, np.arange(self.measures.bound_rows))
        bound = self.family.bound(key_bound, model, few, self.measures.bound_draws)
        made = self.generate(key_samples, model, self.measures.samples)
        return {
            "elbo": float(np.mean(reconstruction - kl)),
            "reconstruction": float(np.mean(reconstruction)),
            "kl": float(np.mean(kl)),
            "log_likelihood_bound": float(np.mean(bound)),
        } | self.referee.compare(made["image"], self._labels(made))

    def describe_kept(self, rows: Tree) -> dict[str, float]:
        """How far accepted rows are from real ones."""
        return self.referee.compare_kept(
            rows["image"][: self.measures.samples]
        )  # classes take turns among rows

    def show(self, key: jax.Array, model: Tree) -> dict[str, np.ndarray]:
        """A grid of samples, (classes, SHOWN, H, W), from the same latents in every round and every chain."""
        labels = np.repeat(np.arange(max(self.classes, 1)), SHOWN)
        made = self.family.generate(keys.root(0), model, labels)["image"]
        return {"shown": made.reshape(-1, SHOWN, *made.shape[1:])}

    def _labels(self, rows):
        return rows["label"] if self.classes else None


def image_task(
    family: Vaes,
    training: Training,
    referee: Referee,
    images: Images,
    held_out: Images,
    measures: Measures,
    confidence: float = 0.9,
) -> ImageTask:
    """The task of images, checked.

    Raises:
        ValueError: labels out of range, images of another size, another number of classes than the referee's, or too
            few rows to measure on.
        TypeError: images that are not 8 bits a pixel.
    """
    side, classes = family.sizes.side, family.sizes.classes
    if classes not in (0, referee.classes):
        raise ValueError(f"classes must be {referee.classes}, as of the referee, or 0, got {classes}")
    for name, some in (("images", images), ("held_out", held_out)):
        check_images(name, some, side, classes)
    for name in ("held_out", "bound_rows"):
        check_whole(f"measures.{name}", getattr(measures, name), 1, len(held_out.labels))
    check_whole("measures.bound_draws", measures.bound_draws, 1)
    check_whole("measures.samples", measures.samples, NEIGHBOURS + 1)  # each has so many neighbours
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence must be in [0, 1], got {confidence}")
    return ImageTask(family, training, referee, images, held_out, measures, float(confidence))


def deal(key: jax.Array, images: ImageSet) -> np.ndarray:
    """Places of all training images in random order; any beginning has every class as often, as far as rows last."""
    labels = images.train.labels
    order = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel()).permutation(len(labels))
    mine = labels[order]
    by_class = np.argsort(mine, kind="stable")
    sizes = np.bincount(mine, minlength=images.classes)
    turn = np.empty(len(mine), dtype=int)
    turn[by_class] = np.arange(len(mine)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[np.lexsort((mine, turn))]


def pick(images: Images, places: np.ndarray) -> Images:
    """The images at `places`."""
    return Images(images.images[places], images.labels[places])
