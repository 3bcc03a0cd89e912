import dataclasses

import numpy as np
import pytest
from scipy import stats

import simcollapse as sc
from simcollapse import keys
from simcollapse.neural import loop
from simcollapse.neural.eigen import matrices, models, numbers, task, verifiers
from simcollapse.neural.selection import Everything, threshold, top_share
from simcollapse.neural.training import training

PROBLEM = matrices.problem(2, numbers.encoding("B1999", 1, lowest=0, highest=1), tolerance=0.3)
SIZES = models.sizes(PROBLEM, width=16, heads=2, encoder_layers=1, decoder_layers=1)
FAMILY = task.translators(
    SIZES,
    training(60, check_every=30, patience=9, batch=64, held_out=0.1),
    task.optimizer(1e-2, steps=60, warmup=5),
)


def made(kind="greedy", width=1, n_real=400):
    return task.eigen_task(FAMILY, PROBLEM, n_real=n_real, decoding=task.decoding(kind, width), held_out=300)


@pytest.fixture(scope="module")
def started():
    return loop.start(keys.root(0), made())


def answers(count=20_000, wrong=0.5, seed=0):
    """Rows of which about a share `wrong` has the largest eigenvalue off by one in its first digit."""
    rows = PROBLEM.rows(keys.root(seed), count)
    target = rows["target"].copy()
    bad = np.random.default_rng(seed).random(count) < wrong
    target[bad, 0] += np.where(target[bad, 0] > 10, -3, 3).astype(target.dtype)
    return rows | {"target": target}


class TestVerifiers:
    def test_the_noisy_oracle_has_the_stated_rates(self):
        rows = answers()
        correct = PROBLEM.correct(rows)
        assert 5_000 < correct.sum() < 15_000
        for p_star in (0.5, 0.6, 0.8, 1.0):
            kept = verifiers.noisy_oracle(PROBLEM, p_star).score(keys.root(1), rows, None) >= 0.5
            assert kept[correct].all()  # phi = 1
            psi, wrong = 1 / p_star - 1, ~correct
            level = stats.binomtest(int(kept[wrong].sum()), int(wrong.sum()), psi).pvalue
            assert level > 1e-6
            other = stats.binomtest(int(kept[wrong].sum()), int(wrong.sum()), min(psi + 0.05, 1.0)).pvalue
            assert other < 1e-6 or psi == 1  # a rate 0.05 off would have been seen

    def test_the_oracle_scores_by_distance(self):
        rows = answers(100)
        score = verifiers.Oracle(PROBLEM).score(keys.root(0), rows, None)
        np.testing.assert_array_equal(score >= -PROBLEM.tolerance, PROBLEM.correct(rows))

    def test_the_trace_check_needs_no_truth_and_decides_two_by_two(self):
        """True eigenvalues satisfy it; two numbers that satisfy it are eigenvalues."""
        fine = dataclasses.replace(PROBLEM, encoding=numbers.encoding("P10", 7), tolerance=1e-4)
        rows = fine.rows(keys.root(0), 500)
        score = verifiers.TraceCheck(fine).score(keys.root(0), rows, None)
        assert score.min() > -1e-5
        values = fine.values(rows["target"])
        moved = fine.encoding.encode(values * 1.02).reshape(len(values), -1)
        assert verifiers.TraceCheck(fine).score(keys.root(0), rows | {"target": moved}, None).max() < -0.02

    def test_the_trace_check_does_not_decide_three_by_three(self):
        """Turned about the trace within the sphere of the same norm, numbers pass that are no eigenvalues."""
        three = matrices.problem(3, numbers.encoding("P10", 7), tolerance=0.01)
        rows = three.rows(keys.root(0), 50)
        values = three.values(rows["target"])
        mean = values.mean(axis=1, keepdims=True)
        axis = np.ones(3) / np.sqrt(3)
        turned = mean + np.cos(0.3) * (values - mean) + np.sin(0.3) * np.cross(axis, values - mean)
        wrong = rows | {"target": three.encoding.encode(turned).reshape(50, -1)}
        assert verifiers.TraceCheck(three).score(keys.root(0), wrong, None).min() > -1e-4
        assert not three.correct(wrong).any()

    def test_answers_that_are_no_numbers_are_last(self):
        rows = answers(50)
        broken = rows | {"target": np.zeros_like(rows["target"])}
        for verifier in (verifiers.Oracle(PROBLEM), verifiers.TraceCheck(PROBLEM)):
            assert np.isneginf(verifier.score(keys.root(0), broken, None)).all()
        assert not PROBLEM.correct(broken).any()

    @pytest.mark.slow
    def test_a_model_selects_its_own_answers_by_perplexity(self, started):
        model = started[0].model
        rows = made("beam", 5).generate(keys.root(7), model, 500)
        score = verifiers.Likelihood(FAMILY).score(keys.root(0), rows, model)
        np.testing.assert_allclose(score * PROBLEM.target_length, FAMILY.score(model, rows))
        # A beam's answers come sorted, so the best of each five is the first.
        kept = top_share(0.2).keep(score, made("beam", 5).groups(rows))
        assert np.mean(kept.reshape(-1, 5)[:, 0]) > 0.99 and kept.sum() == 100
        other = verifiers.Likelihood(FAMILY, FAMILY.init(keys.root(1))).score(keys.root(0), rows, model)
        np.testing.assert_allclose(other, -np.log(SIZES.vocabulary), rtol=1e-5)

    @pytest.mark.slow
    def test_a_model_agrees_with_itself(self, started):
        model = started[0].model
        rows = made().generate(keys.root(7), model, 200)
        told = ~np.isnan(PROBLEM.values(rows["target"])).any(axis=1)
        score = verifiers.Agreement(PROBLEM, FAMILY, model).score(keys.root(0), rows, None)
        assert told.any() and (score[told] == 0).all() and np.isneginf(score[~told]).all()
        beams = made("beam", 4).generate(keys.root(7), model, 800)
        score = verifiers.Agreement(PROBLEM, FAMILY, model).score(keys.root(0), beams, None)
        assert (score.reshape(-1, 4)[:, 1:] < 0).any()


@pytest.mark.slow
def test_generated_rows_are_new_matrices_each_with_its_answers(started):
    model = started[0].model
    rows = made("beam", 5).generate(keys.root(2), model, 60)
    assert len(rows["source"]) == 60 and len(np.unique(rows["source"], axis=0)) == 12
    groups = made("beam", 5).groups(rows)
    for n in range(12):
        assert len(np.unique(rows["source"][groups == n], axis=0)) == 1
        assert len(np.unique(rows["target"][groups == n], axis=0)) == 5
    greedy = made().generate(keys.root(2), model, 12)
    np.testing.assert_array_equal(greedy["source"], rows["source"][::5])
    np.testing.assert_array_equal(made("beam", 5).group_sizes(60), np.full(12, 5))
    np.testing.assert_array_equal(made().group_sizes(60), [60])


@pytest.mark.slow
def test_measures(started):
    """Of a perfect answer, of none, and of one wrong token."""
    rows = PROBLEM.rows(keys.root(4), 100)
    best = made().compare(rows, rows["target"])
    assert best["token_accuracy"] == best["number_accuracy"] == best["digit_accuracy"] == 1
    assert best["malformed"] == 0
    # With one digit even the right tokens are up to a third off, and more for a number that rounds to 0.
    assert best["accuracy_each_0.05"] < best["accuracy"] < 1
    assert best["accuracy"] == PROBLEM.correct(rows).mean() > 0.8
    none = made().compare(rows, np.zeros_like(rows["target"]))
    assert (
        none["malformed"] == 1 and none["accuracy"] == none["accuracy_l1_0.05"] == none["token_accuracy"] == 0
    )
    assert none["digit_accuracy"] == 0
    one = rows["target"].copy()
    one[:, 1] = numbers.START
    part = made().compare(rows, one)
    assert (part["token_accuracy"], part["number_accuracy"], part["malformed"]) == (0.75, 0.5, 1.0)
    told = {
        name
        for name in started[1]
        if not name.startswith(("num_", "fit_")) and name not in ("alive", "reason")
    }
    assert told <= set(task.DESCRIPTIONS)


@pytest.mark.slow
def test_a_better_verifier_keeps_more_that_is_right_and_the_audit_says_so(started):
    records = {}
    for p_star in (0.5, 1.0):
        arm = loop.Arm(made(), verifiers.noisy_oracle(PROBLEM, p_star), threshold(0.5), sc.replace())
        table = loop.table(loop.run_chain(keys.root(0), arm, [600, 600], started=started))
        records[p_star] = table
        np.testing.assert_allclose(table["p_star"][1:], p_star)
        assert (table["phi"][1:] == 1).all() and table["num_used"][1] == table["num_kept"][1]
    assert (records[1.0]["num_kept_correct"][1:] == records[1.0]["num_kept"][1:]).all()


@pytest.mark.parametrize("workflow", ["replace", "accumulate", "accumulate_subsample"])
@pytest.mark.slow
def test_every_workflow_with_the_best_of_a_beam(started, workflow):
    arm = loop.Arm(made("beam", 5), verifiers.Oracle(PROBLEM), top_share(0.2), getattr(sc, workflow)())
    table = loop.table(loop.run_chain(keys.root(0), arm, [250, 250], started=started))
    assert list(table["num_kept"]) == [0, 50, 50] and table["alive"].all()
    used = {"replace": [400, 50, 50], "accumulate": [400, 450, 500], "accumulate_subsample": [400, 250, 250]}
    assert list(table["fit_rows"]) == used[workflow]
    assert (table["phi"][1:] > table["psi"][1:]).all()
    assert np.isfinite(table["kept_spread"][1:]).all()


def test_a_share_of_single_answers():
    arm = loop.Arm(made(), verifiers.Likelihood(FAMILY), top_share(0.1), sc.replace())
    loop.check(arm, [100])
    with pytest.raises(ValueError, match="at least one row"):
        loop.check(arm, [4])
    with pytest.raises(ValueError, match="at least one row"):
        loop.check(loop.Arm(made("beam", 5), None, top_share(0.05), sc.replace()), [100])
    loop.check(loop.Arm(made("beam", 5), None, Everything(), sc.replace()), [100])
    with pytest.raises(ValueError, match="must be a multiple of 5, the answers of each matrix, got 101"):
        loop.check(loop.Arm(made("beam", 5), None, Everything(), sc.replace()), [101])


def test_bad_input():
    with pytest.raises(ValueError, match=r"decoding.width must be <= 22, the vocabulary.* got 23"):
        made("beam", 23)
    with pytest.raises(ValueError, match=r"width must be <= 22, the vocabulary.* got 23"):
        FAMILY.decode(keys.root(0), None, PROBLEM.draw(keys.root(1), 2), task.decoding("beam", 23))
    with pytest.raises(ValueError, match=r"width must be <= 10, the vocabulary"):
        task.decoding("beam", 11, vocabulary=10)
    with pytest.raises(ValueError, match="width must be 1 for greedy"):
        task.decoding("greedy", 2)
    with pytest.raises(ValueError, match="temperature must be positive"):
        task.decoding("temperature", 2, temperature=0.0)
    with pytest.raises(ValueError, match=r"p_star must be in \[0.5, 1\].* got 0.4"):
        verifiers.noisy_oracle(PROBLEM, 0.4)
    other = matrices.problem(3, PROBLEM.encoding, tolerance=0.3)
    with pytest.raises(ValueError, match="family must be made for this problem"):
        task.eigen_task(FAMILY, other, n_real=10)
