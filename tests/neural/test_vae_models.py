import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from simcollapse import keys
from simcollapse.neural.vae import models
from simcollapse.neural.vae.judges import Classifier, Discriminator
from tests.helpers import assert_mean


def count(make):
    """Parameters of what `make()` returns, from shapes alone."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(nnx.split(nnx.eval_shape(make))[1]))


def dense(inputs, outputs):
    return inputs * outputs + outputs


def kernel(channels, features):
    return 4 * 4 * channels * features + features


def make(sizes, seed=0):
    return models.Vae(sizes, rngs=nnx.Rngs(params=keys.root(seed)))


@pytest.mark.parametrize("side", [8, 28])
@pytest.mark.parametrize("classes", [0, 10])
def test_parameters_of_the_published_shapes(side, classes):
    flat = (side // 4) ** 2 * 64
    conv = kernel(1, 32) + kernel(32, 64) + 2 * dense(flat + classes, 20)
    conv += dense(20 + classes, flat) + kernel(64, 32) + kernel(32, 1)
    assert count(lambda: make(models.sizes(side, classes))) == conv
    mlp = dense(side**2, 400) + 2 * dense(400 + classes, 20) + dense(20 + classes, 400) + dense(400, side**2)
    assert count(lambda: make(models.sizes(side, classes, "mlp"))) == mlp


def test_parameters_of_the_judges():
    def rngs():
        return nnx.Rngs(params=keys.root(0))

    widths = dense(512, 256) + dense(256, 128) + dense(128, 64) + dense(64, 1)
    assert count(lambda: Discriminator(28, rngs=rngs())) == dense(784, 512) + widths
    assert count(lambda: Discriminator(28, 10, rngs=rngs())) == dense(794, 512) + widths
    classifier = kernel(1, 32) + kernel(32, 64) + dense(7 * 7 * 64, 64) + dense(64, 10)
    assert count(lambda: Classifier(28, 10, rngs=rngs())) == classifier


def test_a_discriminator_sees_binarised_images():
    judge = Discriminator(4, rngs=nnx.Rngs(params=keys.root(0)))
    x = jax.random.uniform(keys.root(1), (5, 4, 4))
    np.testing.assert_array_equal(judge(x, None), judge((x > 0.5).astype(float), None))


@pytest.mark.parametrize(("architecture", "classes"), [("conv", 3), ("mlp", 0)])
def test_shapes_and_finite_gradients(architecture, classes):
    model = make(models.sizes(8, classes, architecture, latent=2, channels=(2, 3), hidden=5))
    x = jax.random.uniform(keys.root(1), (6, 8, 8))
    y = jax.nn.one_hot(jnp.arange(6) % 3, classes)

    graph, params = nnx.split(model)

    def loss(params):
        reconstruction, kl = models.terms(nnx.merge(graph, params), keys.root(2), x, y)
        assert reconstruction.shape == kl.shape == (6,)
        return jnp.mean(kl - reconstruction)

    value, slope = jax.jit(jax.value_and_grad(loss))(params)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() and np.any(g != 0) for g in jax.tree.leaves(slope))
    assert model.decode(jnp.zeros((6, 2)), y).shape == (6, 8, 8)


DRAWS = 20_000


@pytest.fixture(scope="module")
def case():
    """A latent of one dimension: log p(x | y) by a fine sum over z, in double precision on the host."""
    graph, params = nnx.split(make(models.sizes(2, 2, "mlp", latent=1, hidden=4), seed=5))
    model = nnx.merge(graph, jax.tree.map(lambda v: 1.45 * v, params))  # farther from the prior than at first
    x = jnp.array([[[0.0, 1.0], [0.3, 0.9]]])
    y = jax.nn.one_hot(jnp.array([1]), 2)
    z = jnp.linspace(-9.0, 9.0, 6_001)[:, None]
    logits = model.decode(z, jnp.repeat(y, len(z), axis=0))
    likelihood = np.asarray(models.log_likelihood(logits, x), dtype=float)
    at = np.asarray(z[:, 0], dtype=float)
    prior = -0.5 * (at**2 + np.log(2 * np.pi))
    evidence = np.logaddexp.reduce(likelihood + prior) + np.log(at[1] - at[0])
    mean, log_variance = (float(v[0, 0]) for v in model.encode(x, y))
    q = -0.5 * ((at - mean) ** 2 / np.exp(log_variance) + log_variance + np.log(2 * np.pi))
    density = np.exp(q) * (at[1] - at[0])
    expected = float(density @ likelihood), float(density @ (q - prior))
    many = [jnp.repeat(v, DRAWS, axis=0) for v in (x, y)]
    return model, x, y, many, evidence, expected


def test_the_elbo_has_its_expectation(case):
    model, _, _, many, evidence, (reconstruction, kl) = case
    got = models.terms(model, keys.root(5), *many)
    assert_mean(np.asarray(got[0], dtype=float), reconstruction, 0.05)
    np.testing.assert_allclose(got[1], kl, rtol=1e-4)  # single precision against a sum in double
    assert kl > 0.05  # the case is not trivial
    assert reconstruction - kl < evidence


def test_the_importance_bound_tends_to_the_evidence(case):
    model, x, y, _, evidence, _ = case
    x, y = (jnp.repeat(v, 400, axis=0) for v in (x, y))
    bound = models.importance_bound(model, keys.root(6), x, y, 2_000)
    # The bias of the log of a mean is var / (2 draws), far below the resolution.
    assert_mean(np.asarray(bound, dtype=float), evidence, 0.02)


def test_one_draw_is_the_elbo(case):
    model, _, _, many, _, (reconstruction, kl) = case
    bound = models.importance_bound(model, keys.root(7), *many, 1)
    assert_mean(np.asarray(bound, dtype=float), reconstruction - kl, 0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((6,), "side must be a multiple of 4, which two strides of 2 need, got 6"),
        ((8, 10, "con"), r"architecture must be one of .* Did you mean 'conv'"),
        ((0,), "side must be a whole number >= 1"),
        ((8, -1), "classes must be a whole number >= 0"),
    ],
)
def test_sizes_that_cannot_be(arguments, words):
    with pytest.raises(ValueError, match=words):
        models.sizes(*arguments)
    assert models.sizes(6, 10, "mlp").side == 6
