"""Labelled images: scikit-learn's digits, bundled, and MNIST from files whose checksums are known."""

import gzip
import hashlib
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from simcollapse.checks import check_choice
from simcollapse.data.finding import VARIABLE, find_file

DIGITS_TEST = 500  # of the 1,797 bundled digits; the split is ours, by a fixed shuffle
DIGITS_SHUFFLE = 8

# SHA-256 of the four published files, as gzip.
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


class Images(NamedTuple):
    """Grey images with labels."""

    images: np.ndarray  # (N, H, W), uint8; 255 is full ink
    labels: np.ndarray  # (N,), int32 in 0..classes - 1


class ImageSet(NamedTuple):
    """A data set, split into what may be trained on and what only measures."""

    name: str
    train: Images
    test: Images
    classes: int
    source: str  # where it came from


def load_images(name: str) -> ImageSet:
    """The image set `name`, one of `IMAGE_SETS`.

    "digits": scikit-learn's 1,797 digits of 8 x 8 pixels, bundled; 1,297 to train, 500 to test.
    "mnist": 60,000 and 10,000 digits of 28 x 28 pixels, from four files below `mnist/` (see `find_file`).

    Raises:
        ValueError: an unknown name, or a file that is not the published one.
        FileNotFoundError: a file of MNIST is missing. Nothing is put in its place.
    """
    check_choice("data", name, IMAGE_SETS)
    return IMAGE_SETS[name]()


def binarised(images: ImageSet) -> ImageSet:
    """The same set in black and white: ink above one half. What a Bernoulli likelihood is a likelihood of."""

    def sharp(part: Images) -> Images:
        return Images(np.where(part.images > 127, 255, 0).astype(np.uint8), part.labels)

    name, source = f"{images.name}-binarised", f"{images.source}, binarised"
    return images._replace(name=name, train=sharp(images.train), test=sharp(images.test), source=source)


def check_images(name: str, images: Images, side: int, classes: int) -> None:
    """Raise unless `images` are at least one grey image of `side` x `side` pixels and 8 bits, each with a label.

    Args:
        name: leads the messages.
        images: what is checked.
        side: pixels.
        classes: labels must lie in 0..classes - 1; 0: labels are not looked at.

    Raises:
        ValueError: another size, no image, labels out of range or of another number than the images.
        TypeError: pixels that are not uint8, labels that are not whole numbers.
    """
    pixels, labels = np.asarray(images.images), np.asarray(images.labels)
    if pixels.ndim != 3 or pixels.shape[1:] != (side, side) or not len(pixels):
        raise ValueError(f"{name} must be {side} x {side} pixels, one or more, got shape {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise TypeError(f"{name} must hold 8 bits a pixel (uint8, 255 is full ink), got {pixels.dtype}")
    if labels.shape != (len(pixels),):
        raise ValueError(f"labels of {name} must have shape ({len(pixels)},), got {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels of {name} must be whole numbers, got {labels.dtype}")
    if classes and not np.all((labels >= 0) & (labels < classes)):
        bad = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"labels of {name} must lie in 0..{classes - 1}, got {bad}")


def _digits() -> ImageSet:
    bunch: Any = load_digits()
    images = np.rint(bunch["images"] * (255 / 16)).astype(np.uint8)  # 17 levels
    labels = np.asarray(bunch["target"], dtype=np.int32)
    order = np.random.default_rng(DIGITS_SHUFFLE).permutation(len(labels))
    test, train = order[:DIGITS_TEST], order[DIGITS_TEST:]
    return ImageSet(
        "digits",
        Images(images[train], labels[train]),
        Images(images[test], labels[test]),
        10,
        f"scikit-learn's bundled digits, {len(train)} to train and {len(test)} to test",
    )


def _mnist() -> ImageSet:
    arrays = {name: _idx(name) for name in MNIST_FILES}
    train, test = (
        Images(
            arrays[f"{part}-images-idx3-ubyte.gz"],
            arrays[f"{part}-labels-idx1-ubyte.gz"].astype(np.int32),
        )
        for part in ("train", "t10k")
    )
    return ImageSet("mnist", train, test, 10, "MNIST, the four published files (SHA-256 checked)")


def _idx(name: str) -> np.ndarray:
    """The array in one IDX file of bytes, after its checksum was compared."""
    how = (
        f"MNIST is read from the four published files {', '.join(MNIST_FILES)} (LeCun, Cortes and Burges; the files "
        f"that torchvision and Keras download). Put them into a folder mnist below the folder that ${VARIABLE} names."
    )
    try:
        file = find_file(f"mnist/{name}")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. {how}") from None
    packed = file.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != MNIST_FILES[name]:
        raise ValueError(
            f"{file} is not the published file: SHA-256 must be {MNIST_FILES[name]}, got {found}. {how}"
        )
    content = gzip.decompress(packed)
    dims = content[3]
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dims).reshape(shape)


IMAGE_SETS = {"digits": _digits, "mnist": _mnist}
