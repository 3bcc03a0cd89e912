import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

import simcollapse as sc
from simcollapse import keys
from simcollapse.data.images import Images, ImageSet, load_images
from simcollapse.neural import loop, selection
from simcollapse.neural.training import training
from simcollapse.neural.vae import models, referee, task, verifier

MEASURES = task.Measures(held_out=200, bound_rows=50, bound_draws=8, samples=300)
FIT = training(400, learning_rate=3e-3, held_out=0.0)
LEVEL = 1e-3  # chance that a comparison below fails although there is nothing in it


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


@pytest.fixture(scope="module")
def judge(digits):
    return referee.referee(digits, training(400, learning_rate=3e-3, check_every=100))


@pytest.fixture(scope="module")
def family():
    return task.vaes(models.sizes(8, 10, "mlp", hidden=64))


@pytest.fixture(scope="module")
def case(digits, judge, family):
    order = task.deal(keys.root(0), digits)
    mine = task.image_task(family, FIT, judge, task.pick(digits.train, order[:200]), digits.test, MEASURES)
    return mine, *loop.start(keys.root(0), mine)


def test_a_deal_has_every_class_as_often(digits):
    order = task.deal(keys.root(0), digits)
    assert len(set(order)) == len(digits.train.labels)
    for n in (10, 50, 1_000):
        assert set(np.bincount(digits.train.labels[order[:n]])) == {n // 10}
    assert (order != task.deal(keys.root(1), digits)).any()


def test_one_fit_improves_the_elbo_of_held_out_images(case, family):
    """Paired over images, one-sided t at level LEVEL against the untrained model."""
    mine, state, _ = case
    rows = referee.rows_of(Images(mine.held_out.images[:200], mine.held_out.labels[:200]))

    def elbo(params):
        reconstruction, kl = family.terms(keys.root(9), params, rows)
        return reconstruction - kl

    gain = elbo(state.model) - elbo(family.init(keys.root(8)))
    assert stats.ttest_1samp(gain, 0, alternative="greater").pvalue < LEVEL


def test_what_is_generated_shows_its_label(case):
    mine, state, record = case
    rows = mine.generate(keys.root(3), state.model, 1_005)
    np.testing.assert_array_equal(rows["label"], np.arange(1_005) % 10)
    assert rows["image"].shape == (1_005, 8, 8) and rows["image"].dtype == np.uint8
    logits = mine.referee.judge(rows["image"])[0]
    agreeing = logits.argmax(axis=-1) == rows["label"]
    shifted = logits.argmax(axis=-1) == (rows["label"] + 1) % 10
    # Chance is 1 in 10: far fewer would agree if labels were lost, as with shifted ones.
    assert stats.binomtest(int(agreeing.sum()), 1_005, 0.1, alternative="greater").pvalue < LEVEL
    assert agreeing.mean() > 0.6 > 0.2 > shifted.mean()
    assert 0.6 < record["sample_accuracy"] <= 1


def test_the_record_of_a_round(case):
    _, _, record = case
    assert record["elbo"] == pytest.approx(record["reconstruction"] - record["kl"], rel=1e-5)
    assert record["log_likelihood_bound"] > record["elbo"] - 1  # other rows, so not exactly above
    assert record["kl"] > 0 and record["fid"] > 0
    assert record["shown"].shape == (10, task.SHOWN, 8, 8)
    undescribed = set(record) - set(task.DESCRIPTIONS) - {"shown", "alive", "reason"}
    assert {name for name in undescribed if not name.startswith("num_")} == set()


def test_the_audit_asks_for_the_label_with_confidence(case, digits):
    mine, _, _ = case
    real = referee.rows_of(digits.test)
    right = mine.correct(real)
    wrong = mine.correct(real | {"label": (real["label"] + 1) % 10})
    assert right.mean() > 0.8 and wrong.mean() < 0.05
    strict = mine.referee.correct(real["image"], real["label"], 0.999)
    assert np.all(right | ~strict) and strict.sum() < right.sum()


def test_a_discriminator_tells_real_from_generated_and_top_share_prefers_what_it_takes_for_real(case, digits):
    mine, state, _ = case
    order = task.deal(keys.root(0), digits)[200:]
    real = referee.rows_of(task.pick(digits.train, order[:500]))
    made = mine.family.generate(keys.root(1), state.model, real["label"])
    family = verifier.discriminators(8, 10, training(200, check_every=50))
    params, report = family.train(keys.root(2), real, made)
    judge = verifier.DiscriminatorVerifier(family, params)
    fresh = referee.rows_of(task.pick(digits.train, order[500:900]))
    scores = [
        judge.score(keys.root(4), rows, None)
        for rows in (fresh, mine.generate(keys.root(5), state.model, 400))
    ]
    assert stats.mannwhitneyu(*scores, alternative="greater").pvalue < LEVEL
    assert report["held_out_loss"] < np.log(2)


@pytest.mark.slow
def test_an_unconditional_convolutional_chain_accumulates(digits, judge):
    family = task.vaes(models.sizes(8, 0, channels=(2, 3), latent=2), "sample")
    some = Images(digits.train.images[:50], digits.train.labels[:50])
    short = training(10, learning_rate=3e-3, held_out=0.0)
    mine = task.image_task(family, short, judge, some, digits.test, MEASURES)
    arm = loop.Arm(mine, None, selection.Everything(), sc.accumulate())
    records = loop.run_chain(keys.root(0), arm, [30, 40])
    assert [r["fit_rows"] for r in records] == [50, 80, 120]
    assert "sample_accuracy" not in records[0]
    assert records[0]["shown"].shape == (1, task.SHOWN, 8, 8)
    assert set(np.unique(records[-1]["shown"])) <= {0, 255}  # Bernoulli draws


def test_the_same_key_gives_the_same_bits(case):
    mine, state, record = case
    again, other = loop.start(keys.root(0), mine), loop.start(keys.root(1), mine)
    for one, two in zip(jax.tree.leaves(state.model), jax.tree.leaves(again[0].model), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again[1]["fid"] == record["fid"] != other[1]["fid"]


@pytest.mark.slow
def test_a_classifier_is_kept_and_found_again(digits, tmp_path):
    settings = training(20)
    first = referee.referee(digits, settings, tmp_path)
    assert referee.referee(digits, settings, tmp_path).accuracy == first.accuracy
    assert len(list(tmp_path.iterdir())) == 1
    referee.referee(digits, training(21), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.full(100, 10)}, r"labels of images must lie in 0\.\.9, got 10"),
        ({"labels": np.full(100, -1)}, r"labels of images must lie in 0\.\.9, got -1"),
        ({"images": np.zeros((100, 28, 28), np.uint8)}, "images must be 8 x 8 pixels, one or more, got"),
    ],
)
def test_images_that_do_not_fit_are_refused(digits, judge, family, change, words):
    some = Images(digits.train.images[:100], digits.train.labels[:100])._replace(**change)
    with pytest.raises(ValueError, match=words):
        task.image_task(family, FIT, judge, some, digits.test, MEASURES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"held_out": 501}, "measures.held_out must be <= 500, got 501"),
        ({"bound_draws": 0}, "measures.bound_draws must be a whole number >= 1, got 0"),
        ({"samples": 5}, "measures.samples must be a whole number >= 6, got 5"),
    ],
)
def test_measures_that_cannot_be_are_refused(digits, judge, family, change, words):
    measures = dataclasses.replace(MEASURES, **change)
    with pytest.raises(ValueError, match=words):
        task.image_task(family, FIT, judge, digits.train, digits.test, measures)


def test_classes_that_the_referee_does_not_know_are_refused(digits, judge):
    family = task.vaes(models.sizes(8, 12, "mlp"))
    with pytest.raises(ValueError, match=r"classes must be 10, as of the referee, or 0, got 12"):
        task.image_task(family, FIT, judge, digits.train, digits.test, MEASURES)


@pytest.mark.parametrize(
    ("shape", "label", "words"),
    [
        ((9, 6, 6), 0, "side must be a multiple of 4, which two strides of 2 need, got 6"),
        ((9, 12, 8), 0, r"train images must be 8 x 8 pixels, one or more, got shape \(9, 12, 8\)"),
        ((9, 8, 8), 10, r"labels of train images must lie in 0\.\.9, got 10"),
        ((9, 8, 8), -1, r"labels of train images must lie in 0\.\.9, got -1"),
    ],
)
def test_a_classifier_of_images_that_cannot_be_is_refused(shape, label, words):
    part = Images(np.zeros(shape, np.uint8), np.full(shape[0], label))
    with pytest.raises(ValueError, match=words):
        referee.referee(ImageSet("made", part, part, 10, "made"), training(1))
