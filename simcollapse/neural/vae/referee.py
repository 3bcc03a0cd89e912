"""The classifier that measures: its features carry the Fréchet distance, its confidence says what is correct.

Trained on real images of the training part, all of them, so it is independent of generators and discriminators but for
the data. Its accuracy on the test part is reported with every result.
"""

import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from simcollapse import keys
from simcollapse.data.images import Images, ImageSet, check_images
from simcollapse.neural import checkpoints
from simcollapse.neural.batches import over_rows
from simcollapse.neural.convolution import check_side
from simcollapse.neural.training import Trainer, Training
from simcollapse.neural.vae import metrics
from simcollapse.neural.vae.judges import Classifier

SEED = 1  # of the classifier alone: the same for every experiment on a data set
MOST = 2_000  # rows of the neighbour metrics: their cost is quadratic


class Referee:
    """A trained classifier and what it says of images. Make it with `referee(...)`."""

    def __init__(self, images: ImageSet, params: Any):
        self._graph = _graph(images)
        self._params = params
        self.classes = images.classes
        self._judge = jax.jit(self._outputs)
        self._test = images.test
        logits, features = self.judge(images.test.images)
        self.accuracy = float((logits.argmax(axis=-1) == images.test.labels).mean())
        self._real = features
        self._moments = metrics.moments(features)
        self._mean_image = images.test.images.mean(axis=0) / 255

    def _outputs(self, params, images):
        model = nnx.merge(self._graph, params)
        features = model.features(images.astype(jnp.float32) / 255)
        return model.last(features), features

    def judge(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log odds (N, classes) and features (N, F) of images (N, H, W), uint8."""
        return over_rows(lambda batch, c: self._judge(self._params, batch["image"]), {"image": images})

    def correct(self, images: np.ndarray, labels: np.ndarray | None, confidence: float) -> np.ndarray:
        """Which images are of their label's class with at least this probability, (N,); of any class for None."""
        logits = self.judge(images)[0]
        chance = np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))
        mine = chance.max(axis=-1) if labels is None else chance[np.arange(len(labels)), labels]
        return mine >= confidence

    def compare(self, images: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
        """Generated images against the real test images."""
        logits, features = self.judge(images)
        found = logits.argmax(axis=-1)
        out = {
            "fid": metrics.frechet_distance(self._moments, metrics.moments(features)),
            "class_entropy": metrics.entropy(found, self.classes),
        }
        if labels is not None:
            out["sample_accuracy"] = float((found == labels).mean())
        return out | metrics.neighbour_metrics(self._real[:MOST], features[:MOST])

    def compare_kept(self, images: np.ndarray) -> dict[str, float]:
        """Accepted images against the real test images: the verifier's bias."""
        logits, features = self.judge(images)
        found = logits.argmax(axis=-1)
        shift = images.mean(axis=0) / 255 - self._mean_image
        out = {
            "kept_class_entropy": metrics.entropy(found, self.classes),
            "kept_mean_image_distance": float(np.sqrt(np.mean(shift**2))),
        }
        if (
            len(images) > features.shape[1]
        ):  # fewer rows have a singular covariance, and no distance to speak of
            out["kept_fid"] = metrics.frechet_distance(self._moments, metrics.moments(features))
        return out


def referee(images: ImageSet, settings: Training, cache: Path | None = None) -> Referee:
    """The classifier of an image set, trained, or as it was kept below the folder `cache`.

    Raises:
        ValueError: images that are not square, whose side two strides of 2 do not divide, or labels out of range.
        TypeError: images that are not 8 bits a pixel.
    """
    for part in ("train", "test"):
        check_images(f"{part} images", getattr(images, part), _side(images), images.classes)
    check_side(_side(images), "pad or crop the images")
    identity = f"classifier of {images.name}, {settings!r}, jax {jax.__version__}"
    kept = None
    if cache is not None:  # one folder for each identity
        kept = cache / f"classifier-{images.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    saved = None if kept is None else checkpoints.latest(kept, identity)
    if saved is not None:
        return Referee(images, saved.state)
    key = keys.root(SEED)
    key_init, key_fit = jax.random.split(key)
    graph = _graph(images)
    params = nnx.to_pure_dict(
        nnx.split(Classifier(_side(images), images.classes, rngs=nnx.Rngs(params=key_init)))[1]
    )

    def loss(params, key, rows):
        x = _shifted(key, rows["image"].astype(jnp.float32) / 255)
        log_chance = jax.nn.log_softmax(nnx.merge(graph, params)(x))
        return -jnp.take_along_axis(log_chance, rows["label"][:, None], axis=-1)[:, 0]

    params, report = Trainer(loss, settings).fit(key_fit, params, rows_of(images.train))
    if kept is not None:
        checkpoints.save(kept, 0, params, [dict(report)], identity)
    return Referee(images, jax.tree.map(np.asarray, params))


def rows_of(images: Images) -> dict[str, np.ndarray]:
    """Images as rows of the loop."""
    return {"image": images.images, "label": images.labels}


def _graph(images: ImageSet):
    return nnx.split(Classifier(_side(images), images.classes, rngs=nnx.Rngs(params=keys.root(SEED))))[0]


def _side(images: ImageSet) -> int:
    return images.train.images.shape[-1]


def _shifted(key: jax.Array, x: jax.Array) -> jax.Array:
    """Each image moved by up to one pixel each way: the classifier learns to look past that."""
    side = x.shape[1]
    moves = jax.random.randint(key, (len(x), 2), 0, 3)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1)))
    return jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1]), (side, side)))(
        padded, moves
    )
