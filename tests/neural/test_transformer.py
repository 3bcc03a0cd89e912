import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simcollapse import keys
from simcollapse.neural.eigen import matrices, models, numbers, task
from simcollapse.neural.training import training
from simcollapse.neural.transformer import attention, likelihood, products, search

PROBLEM = matrices.problem(2, numbers.encoding("B1999", 1, lowest=0, highest=1))
SIZES = models.sizes(PROBLEM, width=16, heads=2, encoder_layers=1, decoder_layers=1)


def family(sizes=SIZES, steps=150, rate=1e-2, **options):
    how = training(steps, check_every=50, batch=32, held_out=0.0)
    return task.translators(sizes, how, task.optimizer(rate, steps=steps, **options))


def shaken(params, seed=0):
    """Parameters as if trained: none is zero any more."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(x + 0.3 * random.normal(size=x.shape), np.float32), params)


@pytest.fixture(scope="module")
def params():
    return shaken(family().init(keys.root(0)))


@pytest.fixture(scope="module")
def forward(params):
    """Logits of every token, all at once."""
    whole = jax.jit(lambda params, source, target: family().module(params)(source, target))
    return lambda source, target: np.asarray(whole(params, source, target))


@pytest.fixture(scope="module")
def rows():
    return PROBLEM.rows(keys.root(5), 32)


@pytest.fixture(scope="module")
def tokens(rows):
    return tuple(jnp.asarray(rows[name], jnp.int32) for name in ("source", "target"))


def test_attention_is_the_formula():
    """Four query heads on two key heads: every two share one."""
    random = np.random.default_rng(0)
    q, k, v = (random.normal(size=(2, 3, h, 5)).astype(np.float32) for h in (4, 2, 2))
    mask = np.tril(np.ones((3, 3), bool))
    got = attention.attend(
        jnp.asarray(q),
        attention.Cache(*(jnp.swapaxes(jnp.asarray(x), 1, 2) for x in (k, v))),
        jnp.asarray(mask),
    )
    for b, t, h in np.ndindex(2, 3, 4):
        score = np.exp(k[b, : t + 1, h // 2] @ q[b, t, h] / math.sqrt(5))
        np.testing.assert_allclose(got[b, t, h], score @ v[b, : t + 1, h // 2] / score.sum(), rtol=1e-5)


def plain_attention(query, memory, mask, scale, cap):
    """The formula, left to JAX for its gradient."""
    key, value = (jnp.repeat(x, query.shape[2] // x.shape[1], axis=1).astype(jnp.float32) for x in memory)
    scores = scale * jnp.einsum("bthc,bhsc->bhts", query.astype(jnp.float32), key)
    scores = scores if cap is None else cap * jnp.tanh(scores / cap)
    if mask is not None:
        scores = jnp.where(jnp.broadcast_to(mask, (len(query), *mask.shape[-2:]))[:, None], scores, -1e30)
    return jnp.einsum("bhts,bhsc->bthc", jax.nn.softmax(scores), value)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("masked", ["no", "causal", "by text"])
def test_attention_has_the_gradients_of_the_formula(masked, cap, dtype):
    """Six query heads on three key heads; the second text's first query sees nothing."""
    random = np.random.default_rng(1)
    query, slope = (jnp.asarray(random.normal(size=(2, 5, 6, 4)), dtype) for _ in range(2))
    memory = attention.Cache(*(jnp.asarray(random.normal(size=(2, 3, 7, 4)), dtype) for _ in range(2)))
    mask = {
        "no": None,
        "causal": jnp.tril(jnp.ones((5, 7), bool), 1),
        "by text": jnp.asarray(random.random((2, 5, 7)) < 0.6).at[1, 0].set(False),
    }[masked]

    def gradients(attend):
        total = lambda q, m: jnp.sum(attend(q, m).astype(jnp.float32) * slope.astype(jnp.float32))  # noqa: E731
        value, found = jax.value_and_grad(total, argnums=(0, 1))(query, memory)
        return value, *jax.tree.leaves(found)

    got = gradients(lambda q, m: attention.attend(q, m, mask, scale=0.7, cap=cap))
    expected = gradients(lambda q, m: plain_attention(q, m, mask, 0.7, cap))
    single = dtype == jnp.float32
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        one, other = (np.asarray(x, np.float32) for x in (one, other))
        # Rounding: of single precision; of half precision, 2^-8, in a few products.
        np.testing.assert_allclose(one, other, rtol=1e-5 if single else 0, atol=2e-5 if single else 0.06)


def test_future_tokens_change_nothing(forward, tokens):
    source, target = tokens
    before = forward(source, target)
    for place in range(target.shape[1]):
        other = target.at[:, place].set((target[:, place] + 1) % SIZES.vocabulary)
        after = forward(source, other)
        np.testing.assert_array_equal(after[:, : place + 1], before[:, : place + 1])
        if place + 1 < target.shape[1]:
            assert np.abs(after[:, place + 1 :] - before[:, place + 1 :]).max(axis=(0, 2)).min() > 1e-3


def test_the_source_changes_everything(forward, tokens):
    source, target = tokens
    before = forward(source, target)
    for place in range(source.shape[1]):
        other = source.at[:, place].set((source[:, place] + 1) % SIZES.vocabulary)
        assert np.abs(forward(other, target) - before).max(axis=(0, 2)).min() > 1e-4


@pytest.mark.parametrize("grows", [False, True])
def test_cache_equals_no_cache(params, forward, tokens, grows):
    """Two answers a matrix side by side: their tokens do not mix. With room for all tokens, or growing with them."""
    source, target = tokens
    both, length = jnp.stack([target, (target + 3) % SIZES.vocabulary], axis=1), target.shape[1]

    @jax.jit
    def one_by_one(params):
        module = family().module(params)
        memory, caches = module.encode(source), module.empty(2 * len(source), 0 if grows else length)
        before = jnp.pad(both[..., :-1], ((0, 0), (0, 0), (1, 0)), constant_values=numbers.START)

        def body(caches, at):
            logits, caches = module.step(memory, caches, before[..., at], at)
            return caches, logits

        if not grows:
            return jax.lax.scan(body, caches, jnp.arange(length))[1]
        told = []
        for at in range(length):
            caches, logits = body(caches, at)
            told.append(logits)
        assert caches[0].key.shape[2] == length
        return jnp.stack(told)

    got = one_by_one(params)
    for i in range(2):
        wanted = forward(source, both[:, i])
        rounding = 2e-5 * np.abs(wanted).max()
        np.testing.assert_allclose(got[:, :, i].swapaxes(0, 1), wanted, atol=rounding)


def test_loss_at_the_start_is_that_of_a_uniform_guess(rows):
    params = family().init(keys.root(3))
    loss = -family().score(params, rows) / PROBLEM.target_length
    np.testing.assert_allclose(loss, math.log(PROBLEM.encoding.vocabulary), rtol=1e-6)


def plain_beam(forward, source, width, length):
    """A beam without a cache, one matrix, one sequence at a time, in double precision after the network."""
    beam = [((), 0.0)]
    for at in range(length):
        longer = []
        for history, score in beam:
            target = np.zeros((len(source), length), np.int32)
            target[:, :at] = history
            logits = forward(source, target)[0, at].astype(float)
            told = logits - np.logaddexp.reduce(logits)
            longer += [((*history, v), score + told[v]) for v in range(len(told))]
        beam = sorted(longer, key=lambda x: -x[1])[:width]
    return beam


@pytest.mark.parametrize("width", [1, 5, SIZES.vocabulary])
def test_beams_of_a_model_are_the_plain_ones(params, forward, rows, width):
    """Up to as many as the vocabulary has."""
    kind = "beam" if width > 1 else "greedy"
    answers, score = family().decode(keys.root(0), params, rows["source"][:3], task.decoding(kind, width))
    for n in range(3):
        source = jnp.asarray(np.repeat(rows["source"][n : n + 1], 32, axis=0), jnp.int32)
        wanted = plain_beam(forward, source, width, PROBLEM.target_length)
        assert [tuple(x) for x in answers[n].tolist()] == [h for h, _ in wanted]
        np.testing.assert_allclose(score[n], [s for _, s in wanted], rtol=1e-4)


def test_a_beam_over_a_large_vocabulary_is_the_plain_one():
    """One whose best continuations are found by blocks, the last of which is filled up."""
    problem = matrices.problem(2, numbers.encoding("P1000", 3))
    sizes = models.sizes(problem, width=16, heads=2, encoder_layers=1, decoder_layers=1)
    assert sizes.vocabulary >= search.BY_BLOCKS and sizes.vocabulary % search.BLOCK
    one = family(sizes)
    params = shaken(one.init(keys.root(0)))
    source = problem.draw(keys.root(1), 2)
    whole = jax.jit(lambda source, target: one.module(params)(source, target))
    for kind, width in (("greedy", 1), ("beam", 3)):
        answers, score = one.decode(keys.root(0), params, source, task.decoding(kind, width))
        for n in range(2):
            asked = jnp.asarray(source[n : n + 1], jnp.int32)
            wanted = plain_beam(lambda s, t: np.asarray(whole(s, t)), asked, width, problem.target_length)
            assert [tuple(x) for x in answers[n].tolist()] == [h for h, _ in wanted]
            np.testing.assert_allclose(score[n], [s for _, s in wanted], rtol=1e-4)


def test_a_cache_is_not_written_beyond_its_end():
    nothing = attention.empty_cache(1, 3, 1, 2)
    new = attention.empty_cache(1, 1, 1, 2)
    assert attention.write(nothing, new, 2).key.shape[2] == 3
    assert attention.write(nothing, new, 3).key.shape[2] == 4
    for at in (-1, 4):
        with pytest.raises(ValueError, match=f"at must leave room for 1 in 3 places, got {at}"):
            attention.write(nothing, new, at)


def test_scores_of_answers_are_those_that_decoding_gives(params, rows):
    for how in (task.decoding("beam", 5), task.decoding("temperature", 5, temperature=1.5)):
        answers, score = family().decode(keys.root(1), params, rows["source"], how)
        repeated = {"source": np.repeat(rows["source"], 5, axis=0), "target": answers.reshape(-1, 4)}
        np.testing.assert_allclose(family().score(params, repeated), score.ravel(), rtol=1e-4, atol=1e-4)
        assert len(np.unique(answers[0], axis=0)) == 5 or how.kind == "temperature"


@pytest.mark.slow
def test_a_model_learns_one_batch_by_heart(rows):
    params, report = family().trainer.fit(keys.root(1), family().init(keys.root(2)), rows)
    assert report["loss"] < 0.05
    answers, _ = family().decode(keys.root(0), params, rows["source"], task.decoding())
    assert np.mean((answers[:, 0] == rows["target"]).all(axis=1)) > 0.95


def test_accumulated_gradients_make_the_step_of_their_mean():
    """Two batches move the parameters once, by the clipped mean gradient, as one batch of both would."""
    halves = {"x": jnp.array([3.0, -1.0])}, {"x": jnp.array([1.0, 5.0])}
    start = {"x": jnp.zeros(2)}
    two = task.transformation(task.optimizer(1e-2, steps=4, accumulation=2))
    one = task.transformation(task.optimizer(1e-2, steps=2))
    state, wanted = two.init(start), one.init(start)
    for _ in range(2):
        first, state = two.update(halves[0], state, start)
        np.testing.assert_array_equal(first["x"], 0)
        second, state = two.update(halves[1], state, start)
        whole, wanted = one.update(jax.tree.map(lambda a, b: (a + b) / 2, *halves), wanted, start)
        np.testing.assert_allclose(second["x"], whole["x"], rtol=1e-6)
    moments = [jax.tree.leaves(x) for x in (state.inner_opt_state, wanted)]
    for got, right in zip(*moments, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-6)


@pytest.mark.slow
def test_half_precision_keeps_single_precision_parameters_and_is_near(params, rows):
    one, other = family(), family(dataclasses.replace(SIZES, precision="bfloat16"))
    assert {x.dtype for x in jax.tree.leaves(other.init(keys.root(0)))} == {np.dtype("float32")}
    got, wanted = (f.score(params, rows) / PROBLEM.target_length for f in (other, one))
    assert 0 < np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()


def test_the_rate_rises_and_falls():
    import optax

    how = task.optimizer(1e-2, steps=100, warmup=10)
    moves = task.transformation(how)
    params = {"x": jnp.zeros(1)}
    state, sizes = moves.init(params), []
    for _ in range(100):
        change, state = moves.update({"x": jnp.ones(1)}, state, params)
        params = optax.apply_updates(params, change)
        sizes.append(float(jnp.abs(change["x"][0])))
    # Adam moves by the rate where gradients are alike.
    np.testing.assert_allclose(sizes[5], 5e-3, rtol=1e-3)
    np.testing.assert_allclose(max(sizes), 1e-2, rtol=1e-3)
    np.testing.assert_allclose(sizes[-1], 1e-4, rtol=0.2)


def test_bad_sizes():
    with pytest.raises(ValueError, match="heads must divide width, got 3 and 16"):
        models.sizes(PROBLEM, width=16, heads=3)
    with pytest.raises(ValueError, match="precision must be one of"):
        models.sizes(PROBLEM, width=16, heads=2, precision="float16")
    with pytest.raises(ValueError, match="warmup must be <= 9"):
        task.optimizer(1e-3, steps=10, warmup=10)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (products.FEW, 2)])
def test_products_have_the_gradients_of_the_plain_one(lead):
    random = np.random.default_rng(7)
    x, kernel, weight = (
        random.normal(size=size).astype(np.float32) for size in ((*lead, 5), (5, 4), (*lead, 4))
    )

    def gradients(multiply, kernel):
        return jax.grad(lambda x, kernel: jnp.sum(weight * jnp.tanh(multiply(x, kernel))), argnums=(0, 1))(
            x, kernel
        )

    wanted = gradients(jnp.matmul, kernel)
    for own, plain in zip(gradients(products.product, kernel), wanted, strict=True):
        np.testing.assert_allclose(own, plain, rtol=1e-5, atol=1e-6)
    by_x, by_table = gradients(products.product_by_rows, kernel.T)
    for own, plain in zip((by_x, by_table.T), wanted, strict=True):
        np.testing.assert_allclose(own, plain, rtol=1e-5, atol=1e-6)


def test_log_probabilities_have_the_gradient_of_the_plain_ones():
    random = np.random.default_rng(8)
    logits = (5 * random.normal(size=(2, 3, 7))).astype(np.float32)
    tokens, weight = random.integers(0, 7, (2, 3)), random.normal(size=(2, 3)).astype(np.float32)

    def plain(logits, tokens):
        return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)[..., 0]

    def told(of):
        return jax.value_and_grad(lambda logits: jnp.sum(weight * jnp.tanh(of(logits, tokens))))(logits)

    for own, other in zip(told(likelihood.log_probability), told(plain), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
