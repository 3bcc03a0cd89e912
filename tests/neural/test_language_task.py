import dataclasses

import jax
import numpy as np
import pytest

from simcollapse import keys, workflows
from simcollapse.neural import loop
from simcollapse.neural.language import generation, made, metrics, models, scoring, task, truths, verifiers
from simcollapse.neural.language.rows import completions_of, prompts_of
from simcollapse.neural.language.training import Tuner
from simcollapse.neural.language.tuning import tuning
from simcollapse.neural.selection import Everything, top_share

CONFIG = made.decoder(16, 1)
TUNER = Tuner(CONFIG, tuning(max_steps=3, batch=8, learning_rate=1e-2))
SENTENCES = made.sentences(jax.random.key(5), 40)
HELD = made.rows(SENTENCES[30:])
SAMPLING = task.sampling(made.MOST, batch=16)


def make(**options):
    given = {
        "rows": made.rows(SENTENCES[:10]),
        "prompts": [made.prompt_tokens(one.prompt) for one in SENTENCES[:30]],
        "references": [one.answer for one in SENTENCES[:30]],
        "measures": task.Measures(HELD, 6, SAMPLING, 3),
        "sampling": SAMPLING,
        "base": models.init(CONFIG, jax.random.key(1)),
    } | options
    return task.text_task(TUNER, made.READER, truths.Parsed(), **given)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


class Told:
    """A task that remembers what it was told of a round."""

    def __init__(self, of):
        self._of, self.heard = of, []

    def __getattr__(self, name):
        return getattr(self._of, name)

    def judged(self, k, rows, scores, correct, kept):
        self.heard.append((k, rows, scores, correct, kept))


@pytest.fixture(scope="module")
def records():
    mine = Told(make())
    arm = loop.Arm(mine, verifiers.Perplexity(CONFIG, batch=16), top_share(0.25), workflows.accumulate())
    return mine, loop.run_chain(keys.root(0), arm, [20, 20])


def test_the_loop_runs_and_counts(records):
    mine, told = records
    assert [r["num_generated"] for r in told] == [0, 20, 20] and [r["num_kept"] for r in told[1:]] == [5, 5]
    assert [r["fit_rows"] for r in told] == [10, 15, 20]
    for name in ("loss", "perplexity", "accuracy", "rouge1", "rougeL", "length", "empty", "cut"):
        assert all(np.isfinite(r[name]) for r in told), name
    assert told[0]["perplexity"] == pytest.approx(np.exp(told[0]["loss"]))
    assert {"generated_empty", "generated_distinct_2", "kept_length", "kept_self_bleu"} <= set(told[1])
    assert [one[0] for one in mine.heard] == [1, 2]
    for k, rows, scores, correct, kept in mine.heard:
        assert kept.sum() == 5 and scores[kept].min() >= scores[~kept].max()
        assert correct.sum() == told[k]["num_correct"]
        np.testing.assert_array_equal(correct, mine.correct(rows))
    numbers = {n for r in told for n in r if not n.startswith(("num_", "alive", "reason", "shown"))}
    assert numbers <= set(task.DESCRIPTIONS)


def test_shown_answers_are_read_back(records):
    mine, told = records
    shown = task.read_shown(mine._of, told[1]["shown"])
    assert [prompt for prompt, _ in shown] == [one.prompt for one in SENTENCES[30:33]]
    assert all(isinstance(answer, str) for _, answer in shown)


def test_a_model_is_measured_on_held_out_texts():
    mine = make(measures=task.Measures(HELD, 6, SAMPLING, 3, by_text=True))
    got = mine.measure(keys.root(0), mine.base)
    held, trained = (
        scoring.score(CONFIG, mine.base, prompts_of(rows), completions_of(rows), batch=16)
        for rows in (HELD, mine.rows)
    )
    loss, other = (-one.log_probability.sum() / one.count.sum() for one in (held, trained))
    assert got["loss"] == pytest.approx(loss, rel=1e-6) and abs(loss - other) > 1e-4 * loss
    np.testing.assert_allclose(got["text_loss"], -held.log_probability / held.count, rtol=1e-6)
    prompts = prompts_of(HELD)[:6]
    told = generation.generate(
        CONFIG, mine.base, prompts, made.MOST, SAMPLING.how, key=keys.root(0), batch=16
    )
    answers = made.READER.texts(told.tokens)
    wanted = [one.answer for one in SENTENCES[30:36]]
    np.testing.assert_array_equal(got["text_rouge1"], metrics.rouge_1(wanted, answers))


def test_a_round_asks_every_prompt_before_it_asks_one_again(records):
    mine, rows = make(), None
    rows = mine.generate(keys.root(3), make().base, 45)
    counts = np.bincount(rows["source"], minlength=30)
    assert counts.min() == 1 and counts.max() == 2
    assert made.READER.prompts(rows) == [SENTENCES[i].prompt for i in rows["source"]]
    assert rows["tokens"].shape == (45, made.WIDTH)


def test_fits_start_from_the_base_model_or_go_on():
    """With a fit of no change, what comes back is where it started."""

    class Still:
        config = CONFIG

        def fit(self, key, params, rows):
            assert set(rows) == {"tokens", "begin", "length"}
            return params, {}

    previous = {"of": np.ones(3)}
    anew = dataclasses.replace(make(), fitter=Still())
    assert equal(anew.fit(keys.root(0), anew.rows, previous)[0], anew.base)
    going = dataclasses.replace(anew, continuing=True)
    assert going.fit(keys.root(0), going.rows, previous)[0] is previous
    assert equal(going.fit(keys.root(0), going.rows, None)[0], going.base)
    fresh = dataclasses.replace(anew, base=None)
    first, second = (fresh.fit(keys.root(i), fresh.rows, previous)[0] for i in range(2))
    assert not equal(first, second) and not equal(first, anew.base)


def test_a_chain_goes_on_from_disk_with_the_same_bits(tmp_path):
    arm = loop.Arm(make(), None, Everything(), workflows.replace())
    whole = loop.run_chain(keys.root(0), arm, [10, 10], folder=tmp_path / "a")
    loop.run_chain(keys.root(0), arm, [10], folder=tmp_path / "b")
    again = loop.run_chain(keys.root(0), arm, [10, 10], folder=tmp_path / "b")
    for name in ("loss", "accuracy", "fit_loss"):
        assert [r[name] for r in whole] == [r[name] for r in again], name


def test_bad_input():
    with pytest.raises(ValueError, match="references must be as many as prompts"):
        make(references=[])
    with pytest.raises(ValueError, match=r"as wide as the longest prompt and an answer \(\d+ \+ 60 tokens\)"):
        make(sampling=task.sampling(60))
    with pytest.raises(ValueError, match=r"source must be places among 30 prompts"):
        make(rows=made.rows(SENTENCES[:2], np.array([0, 30])))
    with pytest.raises(ValueError, match="at most the 10 held-out rows"):
        make(measures=task.Measures(HELD, 11, SAMPLING))
