import gzip

import numpy as np
import pytest

from simcollapse.data import images


def test_digits_are_split_once_and_for_all():
    digits = images.load_images("digits")
    assert digits.train.images.shape == (1297, 8, 8) and digits.test.images.shape == (500, 8, 8)
    assert digits.train.images.dtype == np.uint8 and digits.train.images.max() == 255
    both = np.concatenate([digits.train.images, digits.test.images])
    assert len(np.unique(both, axis=0)) == 1797  # so no image is in both parts
    assert set(digits.test.labels) == set(range(10))


def test_binarised_images_are_black_and_white():
    digits = images.load_images("digits")
    sharp = images.binarised(digits)
    np.testing.assert_array_equal(np.unique(sharp.train.images), [0, 255])
    np.testing.assert_array_equal(sharp.test.images == 255, digits.test.images > 127)
    assert sharp.source.endswith("binarised")


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(ValueError, match=r"data must be one of .* Did you mean 'mnist'"):
        images.load_images("mnits")


def test_mnist_is_the_published_one():
    try:
        mnist = images.load_images("mnist")
    except FileNotFoundError:
        pytest.skip("MNIST is not on this machine")
    assert mnist.train.images.shape == (60_000, 28, 28) and mnist.test.images.shape == (10_000, 28, 28)
    np.testing.assert_array_equal(mnist.train.labels[:5], [5, 0, 4, 1, 9])
    np.testing.assert_array_equal(np.bincount(mnist.test.labels)[:2], [980, 1135])


def test_missing_files_say_which_and_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"train-images-idx3-ubyte.gz.*Put them into a folder mnist below"
    ):
        images.load_images("mnist")


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in images.MNIST_FILES:
        (folder / name).write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x07"))
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"train-images-idx3-ubyte.gz is not the published file: SHA-256 must be 440fc"
    ):
        images.load_images("mnist")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"images": np.zeros((3, 8, 12), np.uint8)},
            ValueError,
            r"made must be 8 x 8 pixels.*got shape \(3, 8, 12\)",
        ),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, ValueError, r"one or more, got shape \(0, 8, 8\)"),
        ({"images": np.zeros((3, 8, 8))}, TypeError, "made must hold 8 bits a pixel .* got float64"),
        ({"labels": np.arange(2)}, ValueError, r"labels of made must have shape \(3,\), got \(2,\)"),
        ({"labels": np.zeros(3)}, TypeError, "labels of made must be whole numbers, got float64"),
        ({"labels": np.array([0, 4, 5])}, ValueError, r"labels of made must lie in 0\.\.4, got 5"),
        ({"labels": np.array([0, -1, 4])}, ValueError, r"labels of made must lie in 0\.\.4, got -1"),
    ],
)
def test_images_that_do_not_fit_are_refused(change, error, words):
    good = images.Images(np.zeros((3, 8, 8), np.uint8), np.array([0, 4, 1]))
    images.check_images("made", good, 8, 5)
    with pytest.raises(error, match=words):
        images.check_images("made", good._replace(**change), 8, 5)
