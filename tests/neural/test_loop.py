import jax
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import chain, keys
from simcollapse.neural import checkpoints, loop, pools
from simcollapse.neural.selection import Everything, threshold, top_share
from simcollapse.runs.directory import Busy
from tests.neural.toy import Near, Toy

SCHEDULE = [40, 60, 80]


def arm(workflow="replace", verifier=None, selection=None, task=None):
    workflow = getattr(sc, workflow)() if isinstance(workflow, str) else workflow
    return loop.Arm(task or Toy(), verifier, selection or Everything(), workflow)


def rows_seen(task):
    return [len(rows["x"]) for rows in task.seen]


@pytest.mark.parametrize(
    ("workflow", "wanted"),
    [
        (sc.replace(), [10, 40, 60, 80]),
        (sc.accumulate(), [10, 50, 110, 190]),
        (sc.accumulate_subsample(), [10, 40, 60, 80]),
        (sc.accumulate_subsample(25), [10, 25, 25, 25]),
        (sc.accumulate_subsample(25, strategy="stratified"), [10, 25, 25, 25]),
        (sc.sliding_window(2), [10, 50, 100, 140]),
        (sc.delete_real(2), [10, 50, 100, 180]),
    ],
)
def test_a_fit_sees_what_the_workflow_says(workflow, wanted):
    task = Toy()
    loop.run_chain(keys.root(0), arm(workflow, task=task), SCHEDULE)
    assert rows_seen(task) == wanted


def test_a_subsample_is_of_different_rows_of_the_whole_pool():
    task = Toy()
    loop.run_chain(keys.root(2), arm(sc.accumulate_subsample(), task=task), SCHEDULE)
    everything = Toy()
    loop.run_chain(keys.root(2), arm("accumulate", task=everything), SCHEDULE[:1])
    drawn, pool = task.seen[1]["x"], everything.seen[1]["x"]
    assert len(set(drawn)) == len(drawn) and set(drawn) <= set(pool)
    assert np.isin(drawn, pool[:10]).sum() not in (0, 10)  # of real rows some, not all: this key's draw


@pytest.mark.parametrize(
    "workflow", [sc.fresh_real(share=0.5), sc.accumulate_subsample(strategy="verifier", rejected_weight=0.5)]
)
def test_workflows_that_the_host_loop_cannot_run_are_refused(workflow):
    with pytest.raises(ValueError, match=r"neural stages cannot: use replace, accumulate"):
        loop.run_chain(keys.root(0), arm(workflow), SCHEDULE)


def test_counts_and_audit():
    task = Toy()
    records = loop.run_chain(
        keys.root(1), arm(verifier=Near(), selection=top_share(0.25), task=task), SCHEDULE
    )
    table = loop.table(records)
    np.testing.assert_array_equal(table["num_generated"], [0, *SCHEDULE])
    np.testing.assert_array_equal(table["num_kept"], [0, 10, 16, 20])
    np.testing.assert_array_equal(table["num_used"], [10, 10, 16, 20])
    assert rows_seen(task) == [10, 10, 16, 20]
    k = 1
    model = loop.start(keys.root(1), Toy())[0].model
    key = keys.for_purpose(chain.keys_of_round(keys.root(1), k), keys.GENERATE)
    generated = task.generate(key, model, 40)
    correct = task.correct(generated)
    kept = np.isin(generated["x"], task.seen[1]["x"])
    assert table["phi"][k] == (kept & correct).sum() / correct.sum()
    assert table["psi"][k] == (kept & ~correct).sum() / (~correct).sum()
    assert table["p"][k] == 1 - correct.mean()
    assert np.isnan(table["phi"][0])


def test_the_same_key_gives_the_same_numbers_and_another_key_others():
    runs = [loop.run_chain(keys.root(seed), arm("accumulate"), SCHEDULE) for seed in (2, 2, 3)]
    assert [r["error"] for r in runs[0]] == [r["error"] for r in runs[1]]
    assert [r["error"] for r in runs[0]] != [r["error"] for r in runs[2]]


def test_a_longer_chain_begins_like_a_shorter_one():
    short, long = (loop.run_chain(keys.root(2), arm("accumulate"), SCHEDULE[:n]) for n in (2, 3))
    assert [r["error"] for r in long[:3]] == [r["error"] for r in short]


def test_a_round_that_keeps_nothing_freezes_the_chain_with_its_reason():
    records = loop.run_chain(keys.root(0), arm(verifier=Near(), selection=threshold(1.0)), SCHEDULE)
    assert [r["alive"] for r in records] == [True, False, False, False]
    assert {chain.REASONS[r["reason"]] for r in records[1:]} == {chain.REASONS[chain.NOTHING_KEPT]}
    assert len({r["error"] for r in records}) == 1
    assert records[1]["num_generated"] == 40 and records[2]["num_generated"] == 0


def test_a_chain_that_accumulates_goes_on_when_a_round_keeps_nothing():
    task = Toy()
    records = loop.run_chain(keys.root(0), arm("accumulate", Near(), threshold(1.0), task), SCHEDULE)
    assert all(r["alive"] for r in records)
    assert rows_seen(task) == [10, 10, 10, 10]


def test_a_share_that_leaves_a_class_empty_is_refused_before_anything_is_fitted():
    task = Toy()
    with pytest.raises(ValueError, match=r"at least one row of every class"):
        loop.run_chain(keys.root(0), arm(verifier=Near(), selection=top_share(0.01), task=task), SCHEDULE)
    assert task.seen == []


class TestResuming:
    arm = staticmethod(lambda task=None: arm("accumulate", Near(), top_share(0.5), task))

    def test_a_resumed_chain_equals_one_that_was_never_stopped(self, tmp_path):
        whole = loop.run_chain(keys.root(4), self.arm(), SCHEDULE)
        loop.run_chain(keys.root(4), self.arm(), SCHEDULE[:2], folder=tmp_path, identity="a")
        task, rounds = Toy(), []
        resumed = loop.run_chain(
            keys.root(4),
            self.arm(task),
            SCHEDULE,
            folder=tmp_path,
            identity="a",
            watch=lambda k, record: rounds.append(k),
        )
        assert rounds == [3] and len(task.seen) == 1
        for got, wanted in zip(resumed, whole, strict=True):
            assert got.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_array_equal(got[name], value, strict=isinstance(value, np.ndarray))

    def test_another_identity_is_refused(self, tmp_path):
        loop.run_chain(keys.root(4), self.arm(), SCHEDULE[:1], folder=tmp_path, identity="a")
        with pytest.raises(ValueError, match=r"holds a run with other settings.*There: 'a'; now: 'b'"):
            loop.run_chain(keys.root(4), self.arm(), SCHEDULE, folder=tmp_path, identity="b")

    def test_a_loss_that_is_not_finite_names_round_and_step_and_keeps_the_rounds_before(self, tmp_path):
        task = Toy(fail_at=55)
        with pytest.raises(FloatingPointError, match=r"round 2: loss is nan in step 7 of the fit"):
            loop.run_chain(keys.root(4), self.arm(task), SCHEDULE, folder=tmp_path)
        saved = checkpoints.latest(tmp_path)
        assert saved is not None and saved.round == 1 and len(saved.records) == 2

    def test_what_a_kill_left_unfinished_is_not_taken_for_a_round(self, tmp_path):
        state = {"model": {"mean": np.float32(1.0)}, "alive": np.asarray(True)}
        checkpoints.save(tmp_path, 3, state, [{"error": float("nan"), "shown": np.eye(2, dtype=np.uint8)}])
        unfinished = tmp_path / "round-4.orbax-checkpoint-tmp"
        unfinished.mkdir()
        (unfinished / "half").write_text("")
        saved = checkpoints.latest(tmp_path)
        assert saved is not None and saved.round == 3
        assert np.isnan(saved.records[0]["error"])
        np.testing.assert_array_equal(saved.records[0]["shown"], np.eye(2, dtype=np.uint8), strict=True)
        assert not unfinished.exists()
        assert checkpoints.latest(tmp_path / "nowhere") is None

    def test_the_last_two_rounds_are_kept(self, tmp_path):
        for k in range(4):
            checkpoints.save(tmp_path, k, {"x": np.arange(k + 1)}, [{}] * (k + 1))
        assert sorted(p.name for p in tmp_path.iterdir()) == ["round-2", "round-3"]


def test_chains_together_equal_chains_one_by_one(tmp_path):
    """One of three was saved two rounds further when the run was stopped, one freezes."""

    class Many(Toy):
        def fit_many(self, keys, rows, previous):
            return [self.fit(*one) for one in zip(keys, rows, previous, strict=True)]

    arms = [arm("accumulate", task=Many()), arm("accumulate", task=Many())]
    arms.append(arm(verifier=Near(), selection=threshold(1.0), task=Many()))
    chains = [loop.Chain(keys.root(c), one, None, tmp_path / str(c)) for c, one in enumerate(arms)]
    loop.run_chains(chains[1:2], SCHEDULE[:2])
    rounds = []
    together = loop.run_chains(chains, SCHEDULE, watch=lambda c, k, record: rounds.append((c, k)))
    assert rounds == [(0, 0), (2, 0), (0, 1), (2, 1), (0, 2), (2, 2), (0, 3), (1, 3), (2, 3)]
    for c, records in enumerate(together):
        alone = loop.run_chain(keys.root(c), arms[c], SCHEDULE)
        assert [r["error"] for r in records] == [r["error"] for r in alone]
        assert [r["alive"] for r in records] == [r["alive"] for r in alone]


def test_pools_keep_the_round_that_made_a_row():
    pool = pools.join(pools.pool_of({"x": np.zeros(2)}, 0), pools.pool_of({"x": np.ones(3)}, 1))
    np.testing.assert_array_equal(pool.born, [0, 0, 1, 1, 1])
    assert pools.count(pools.take(pool.rows, pool.born == 1)) == 3
    assert jax.tree.leaves(pool.rows)[0].shape == (5,)


def test_a_folder_is_held_by_one_run(tmp_path):
    """A second run is refused and names the first; the folder is free again when that ends."""
    with checkpoints.alone(tmp_path / "run"):
        with (
            pytest.raises(Busy, match=r"run is being written by process \d+"),
            checkpoints.alone(tmp_path / "run"),
        ):
            pass
    with checkpoints.alone(tmp_path / "run"), checkpoints.alone(None):
        pass
