import numpy as np
import pytest

from simcollapse.neural.vae import metrics


def test_frechet_distance_in_closed_form():
    """Diagonal Gaussians: |m1 - m2|^2 + sum (s1 - s2)^2."""
    first = metrics.Moments(np.array([0.0, 1.0]), np.diag([4.0, 9.0]))
    second = metrics.Moments(np.array([3.0, 1.0]), np.diag([1.0, 1.0]))
    assert metrics.frechet_distance(first, second) == pytest.approx(9 + 1 + 4, rel=1e-12)
    assert metrics.frechet_distance(first, first) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_does_not_depend_on_the_axes():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 4)), random.normal(size=(60, 4)) @ random.normal(size=(4, 4)) + 1
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0]
    plain = metrics.frechet_distance(metrics.moments(x), metrics.moments(y))
    turned = metrics.frechet_distance(metrics.moments(x @ turn), metrics.moments(y @ turn))
    assert turned == pytest.approx(plain, rel=1e-10)
    assert metrics.frechet_distance(metrics.moments(y), metrics.moments(x)) == pytest.approx(plain, rel=1e-10)


def test_neighbour_metrics_tell_collapse_from_quality():
    random = np.random.default_rng(1)
    real, same = random.normal(size=(400, 3)), random.normal(size=(400, 3))
    collapsed, far = 0.1 * random.normal(size=(400, 3)), random.normal(size=(400, 3)) + 20
    alike = metrics.neighbour_metrics(real, same)
    assert all(0.8 < alike[name] <= 1.2 for name in alike)
    one_mode = metrics.neighbour_metrics(real, collapsed)
    assert one_mode["precision"] == 1 and one_mode["recall"] < 0.05 and one_mode["coverage"] < 0.3
    assert all(value == 0 for value in metrics.neighbour_metrics(real, far).values())


def test_neighbour_metrics_of_three_points():
    """On a line, first neighbours: real balls (0: 1), (1: 1), (5: 4); made balls (0.5: 9.5), (10: 9.5)."""
    got = metrics.neighbour_metrics(np.array([[0.0], [1.0], [5.0]]), np.array([[0.5], [10.0]]), neighbours=1)
    assert got == {"precision": 0.5, "recall": 1.0, "density": 1.0, "coverage": 2 / 3}


def test_entropy():
    assert metrics.entropy(np.arange(10), 10) == pytest.approx(np.log(10))
    assert metrics.entropy(np.zeros(5, dtype=int), 10) == 0
