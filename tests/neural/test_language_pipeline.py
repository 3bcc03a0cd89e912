import dataclasses
import errno
import json
import os
import shutil
import sys
from collections import namedtuple

import jax
import numpy as np
import pytest

from simcollapse.auditing import audit_file
from simcollapse.cli import main
from simcollapse.neural.language import checkpoints as published
from simcollapse.neural.language import made, models, pipeline, room, tokens
from simcollapse.neural.language.checkpoints import Checkpoint
from simcollapse.neural.language.pipeline import fitting, materials, records, running, seeds, settings
from simcollapse.neural.language.verifiers import Perplexity
from simcollapse.neural.settings import neural_settings

CONFIG = """
model = "embedded"
n_real = 20
n_per_round = 12
rounds = 2
held_out = 12
answered = 6

[generate]
most = 44
batch = 16

[verifier]
command = [{python!r}, "-S", {program!r}]
share = 0.5
timeout_s = 20

[fit]
max_steps = 2
batch = 8
"""
KEY = jax.random.key(1)
GOOD = "import sys, json\nfor line in sys.stdin: print(len(json.loads(line)['completion']))\n"
COUNTED = "import sys\nopen({path!r}, 'a').write('asked\\n')\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(materials, "EMBEDDED_WIDTH", 16)
    monkeypatch.setattr(materials, "EMBEDDED_LAYERS", 1)
    monkeypatch.setattr(materials, "EMBEDDED_STEPS", 2)


@pytest.fixture
def files(tmp_path):
    program = tmp_path / "verify.py"
    config = tmp_path / "loop.toml"
    config.write_text(CONFIG.format(python=sys.executable, program=str(program)))
    return config, program, tmp_path / "out"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_failing_program_loses_nothing_and_the_same_command_goes_on(files, capsys, tmp_path):
    config, program, out = files
    arguments = ["lm-loop", str(config), "--out", str(out)]
    program.write_text("import sys\nsys.stderr.write('no such model\\n')\nsys.exit(7)\n")
    assert main(arguments) == 3
    told = capsys.readouterr().err
    assert "error: verifier program" in told and "exit code 7" in told and "no such model" in told
    assert f"is kept in {out}: the same command goes on from there" in told
    answers = (out / "answers" / "round-1-answers.npz").read_bytes()
    assert [line["round"] for line in lines(out / "metrics.jsonl")] == [0]

    asked = tmp_path / "asked"
    program.write_text(COUNTED.format(path=str(asked)) + GOOD)
    assert main(arguments) == 0
    assert "round 2, held-out loss" in capsys.readouterr().err
    assert asked.read_text() == "asked\n" * 2
    decisions = lines(out / "decisions.jsonl")
    assert [one["round"] for one in decisions] == [1] * 12 + [2] * 12
    first = [one for one in decisions if one["round"] == 1]
    with np.load(out / "answers" / "round-2-answers.npz") as kept:
        assert len(kept["tokens"]) == 12 and answers
    assert all(one["score"] == len(one["completion"]) for one in decisions)
    assert sum(one["kept"] for one in first) == 6
    assert [line["round"] for line in lines(out / "metrics.jsonl")] == [0, 1, 2]
    assert {line["round"] for line in lines(out / "samples.jsonl")} == {0, 1, 2}
    counts = json.loads((out / "texts.json").read_text())
    assert {name: part["used"] for name, part in counts.items()} == {
        "real": 20,
        "held_out": 12,
        "prompts": 20,
    }
    loaded = published.load(out / "model")
    assert loaded.config == made.decoder(16, 1)

    # Once more: nothing is asked or changed, and more rounds may be added.
    before = (out / "metrics.jsonl").read_bytes()
    assert main(arguments) == 0
    assert asked.read_text() == "asked\n" * 2 and (out / "metrics.jsonl").read_bytes() == before
    config.write_text(config.read_text().replace("rounds = 2", "rounds = 3"))
    assert main(arguments) == 0
    assert asked.read_text() == "asked\n" * 3

    report = audit_file(out / "decisions.jsonl", round="round")
    assert report.p == pytest.approx(np.mean([not one["correct"] for one in lines(out / "decisions.jsonl")]))

    config.write_text(config.read_text().replace("share = 0.5", "share = 0.25"))
    capsys.readouterr()
    assert main(arguments) == 3
    assert "holds a run with other settings (verifier)" in capsys.readouterr().err


def test_several_seeds_have_a_folder_each_and_are_audited_together(files, capsys):
    config, program, out = files
    program.write_text(GOOD)
    text = config.read_text().replace("rounds = 2", "rounds = 1")
    config.write_text("seeds = [3, 0]\n" + text)
    assert main(["lm-loop", str(config), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "seed 3: round 1, held-out loss" in told.err and "decisions.jsonl --group seed" in told.out
    for name in ("decisions.jsonl", "metrics.jsonl", "samples.jsonl"):
        apart = [{"seed": s} | one for s in (3, 0) for one in lines(out / f"seed-{s}" / name)]
        assert lines(out / name) == apart
    decisions = lines(out / "decisions.jsonl")
    assert [one["seed"] for one in decisions] == [3] * 12 + [0] * 12
    assert len({one["completion"] for one in decisions}) > 12  # other draws
    report = audit_file(out / "decisions.jsonl", group="seed")
    assert len(report.groups) == 2
    assert report.p == pytest.approx(np.mean([not one["correct"] for one in decisions]))
    audit_file(out / "seed-3" / "decisions.jsonl", round="round")

    # A seed's folder is that of a run with the seed alone.
    before = (out / "seed-0" / "metrics.jsonl").read_bytes()
    config.write_text("seed = 0\n" + text)
    assert main(["lm-loop", str(config), "--out", str(out / "seed-0")]) == 0
    assert (out / "seed-0" / "metrics.jsonl").read_bytes() == before
    capsys.readouterr()
    assert main(["lm-loop", str(config), "--out", str(out)]) == 3
    assert "holds a run of several seeds" in capsys.readouterr().err
    config.write_text("seeds = 1\n" + text)
    assert main(["lm-loop", str(config), "--out", str(out / "seed-0")]) == 3
    assert "holds a run of one seed" in capsys.readouterr().err


def test_what_other_seeds_left_stays_when_one_fails(files, monkeypatch):
    """And is gathered with what there is of the one that failed."""
    config, _, out = files
    config.write_text("seeds = 2\n" + config.read_text())

    def run(settings, out, watch, several):
        out.mkdir(parents=True)
        records.replace_round(out / "metrics.jsonl", 0, [{"round": 0, "loss": float(settings.seed)}])
        if settings.seed == 1:
            raise pipeline.ProgramFailed("no scores")
        return []

    monkeypatch.setattr(seeds, "run", run)
    with pytest.raises(pipeline.ProgramFailed):
        pipeline.run_seeds(pipeline.read(config), out)
    assert [(one["seed"], one["loss"]) for one in lines(out / "metrics.jsonl")] == [(0, 0.0), (1, 1.0)]


def test_a_fit_that_a_program_does_not_judge_is_not_lost(files, monkeypatch, tmp_path):
    """What is correct is asked when a round is measured, after its fit."""
    config, _, out = files
    judge, asked = tmp_path / "judge.py", tmp_path / "asked"
    text = config.read_text().replace("rounds = 2", "rounds = 1")
    start = text.index("[verifier]")
    text = (
        text[:start]
        + f'[correct]\ncommand = [{sys.executable!r}, "-S", {str(judge)!r}]\n'
        + text[text.index("[fit]") :]
    )
    config.write_text(text)
    with neural_settings():
        materials.materials(pipeline.read(config))  # the base model, which is fitted once
    fits = []
    fit = fitting.Tuner.fit
    monkeypatch.setattr(fitting.Tuner, "fit", lambda *given, **more: fits.append(0) or fit(*given, **more))
    once = (
        COUNTED.format(path=str(asked))
        + f"if len(open({str(asked)!r}).readlines()) == 3: print('no')\nelse:\n "
    )
    for answers, so_far in (("raise SystemExit(1)", 1), (once + GOOD.splitlines()[1] + "\n", 2)):
        judge.write_text("import sys, json\n" + answers)
        with pytest.raises(pipeline.ProgramFailed, match="correct program"):
            pipeline.run(pipeline.read(config), out)
        assert len(fits) == so_far and (out / "answers" / "fit").is_dir()
    asked.unlink()
    judge.write_text(GOOD)
    records = pipeline.run(pipeline.read(config), out)
    assert len(fits) == 2 and not (out / "answers" / "fit").exists()
    whole = pipeline.run(pipeline.read(config), tmp_path / "whole")
    assert [one["loss"] for one in records] == [one["loss"] for one in whole]


@pytest.mark.slow
def test_an_interrupted_fit_is_gone_on_with(files, monkeypatch, tmp_path):
    config, program, out = files
    program.write_text(GOOD)
    text = config.read_text().replace("rounds = 2", "rounds = 1").replace("max_steps = 2", "max_steps = 5")
    config.write_text(text)
    whole = pipeline.run(pipeline.read(config), tmp_path / "whole")
    config.write_text(text + "save_every = 2\n")
    asked = pipeline.read(config)
    save, steps = fitting.Tuner._step_slope, []

    def slope(self, free, still, feed, step):
        steps.append(step)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return save(self, free, still, feed, step)

    monkeypatch.setattr(fitting.Tuner, "_step_slope", slope)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, out)
    assert [path.name for path in (out / "fit").iterdir()] == ["round-2"]
    # How often states are saved may be changed.
    again = pipeline.run(dataclasses.replace(asked, fit=asked.fit | {"save_every": 3}), out)
    assert steps == [0, 1, 2, 3, 2, 3, 4, *range(5)] and not (out / "fit").exists()
    for name in ("loss", "fit_loss", "num_correct"):
        assert [r[name] for r in again] == [r[name] for r in whole], name
    with neural_settings():
        read = materials.materials(asked)
    more = {}
    for rank in (None, 2):
        with_rank = {name: value for name, value in asked.fit.items() if name != "save_every"} | {
            "rank": rank
        }
        disk = [
            pipeline.needs(dataclasses.replace(asked, fit=fit), read).disk_bytes
            for fit in (with_rank, with_rank | {"save_every": 2})
        ]
        more[rank] = disk[1] - disk[0]
    assert more[None] == 9 * 4 * 6_704 and more[2] == 9 * 4 * 512


def test_more_devices_than_there_are(files):
    config, _, out = files
    asked = pipeline.read(config)
    number = 8 * len(jax.devices())
    asked = dataclasses.replace(
        asked, fit={"devices": number, "batch": number}, verifier=settings.Verifier(rule="none")
    )
    with pytest.raises(ValueError, match=rf"fit.devices must be at most \d+, .* got {number}"):
        pipeline.run(asked, out)
    assert not (out / "rounds").exists()


@pytest.mark.slow
def test_interrupted_and_whole_runs_agree(files, tmp_path):
    config, program, out = files
    program.write_text(GOOD)
    asked = pipeline.read(config)
    whole = pipeline.run(asked, tmp_path / "whole")
    program.write_text("raise SystemExit(1)")
    with pytest.raises(pipeline.ProgramFailed):
        pipeline.run(asked, out)
    program.write_text(GOOD)
    again = pipeline.run(asked, out)
    for name in ("loss", "num_correct", "num_kept", "fit_loss"):
        assert [r[name] for r in whole[1:]] == [r[name] for r in again[1:]], name
    assert (out / "decisions.jsonl").read_bytes() == (tmp_path / "whole" / "decisions.jsonl").read_bytes()


def test_a_dry_run_says_what_it_takes(files, capsys):
    config, _, out = files
    assert main(["lm-loop", str(config), "--out", str(out), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "6,704 parameters" in told and "24 answers" in told and "on disk" in told
    assert not out.exists()


@pytest.mark.parametrize("workflow", settings.WORKFLOWS)
@pytest.mark.parametrize("n_real, n_per_round", [(6, 12), (20, 12)])
def test_a_dry_run_counts_the_rows_of_the_largest_fit(files, monkeypatch, workflow, n_real, n_per_round):
    """As the loop fits; one in six is kept, in two rounds."""
    config, program, out = files
    program.write_text(GOOD)
    asked = dataclasses.replace(
        pipeline.read(config), workflow=workflow, n_real=n_real, n_per_round=n_per_round
    )
    asked = dataclasses.replace(asked, verifier=dataclasses.replace(asked.verifier, share=1 / 6))
    with neural_settings():
        read = materials.materials(asked)
    rows = []
    monkeypatch.setattr(
        fitting.Tuner,
        "fit",
        lambda self, key, params, given, **more: rows.append(len(given["begin"])) or (params, {}),
    )
    pipeline.run(asked, out)
    need = pipeline.needs(asked, read)
    assert len(rows) == 3 and need.fit_rows == max(rows)
    assert need.fit_tokens == max(rows) * read.rows["tokens"].shape[1]


def test_too_little_disk_is_said_before_the_run(files, monkeypatch):
    config, _, out = files
    free(monkeypatch, 1)
    with pytest.raises(OSError, match=r"checkpoints in .* take up to .* GB, 1e-09 GB are free"):
        pipeline.run(pipeline.read(config), out)
    assert not (out / "rounds").exists()


def free(monkeypatch, number):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(2**40, 2**40 - int(number), int(number)))


def test_what_a_folder_holds_counts_as_room(tmp_path, monkeypatch):
    """Else a run that had just enough could not be gone on with."""
    most, there = 10 * room.SPARE, 4 * room.SPARE
    free(monkeypatch, most + room.SPARE)
    room.check_room(tmp_path / "out", most)
    (tmp_path / "out" / "rounds").mkdir(parents=True)
    (tmp_path / "out" / "rounds" / "one").write_bytes(bytes(there))
    free(monkeypatch, most + room.SPARE - there)
    room.check_room(tmp_path / "out", most)
    with pytest.raises(OSError, match=r"up to 0.0126 GB, 0.00419 GB of them are there, 0.00734 GB are free"):
        room.check_room(tmp_path / "out", most + room.SPARE)


def test_there_must_be_room_for_all_seeds(files, monkeypatch):
    config, program, out = files
    program.write_text(GOOD)
    with neural_settings():
        one = pipeline.read(config)
        need = pipeline.needs(one, materials.materials(one)).disk_bytes
    free(monkeypatch, 2.5 * need + room.SPARE)
    with pytest.raises(OSError, match=r"checkpoints in .*out take up to"):
        pipeline.run_seeds(dataclasses.replace(one, seeds=(0, 1, 2)), out)
    assert not list(out.rglob("rounds"))
    seen = []
    monkeypatch.setattr(running, "check_room", lambda folder, needed: seen.append((folder, needed)))
    monkeypatch.setattr(running.loop, "start", lambda *given: 1 / 0)  # after the check
    for run, several in ((pipeline.run_seeds, (0, 1, 2)), (pipeline.run, ())):
        with pytest.raises(ZeroDivisionError):
            run(dataclasses.replace(one, seeds=several), out / str(len(several)))
    assert seen == [(out / "3", 3 * need), (out / "0", need)]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError(f"Failed: {os.strerror(errno.ENOSPC)}")],
    ids=["of Python", "of what writes checkpoints"],
)
def test_a_disk_that_fills_is_said(files, monkeypatch, error):
    config, _, out = files

    def start(*given):
        raise error

    monkeypatch.setattr(running.loop, "start", start)
    for run, change in ((pipeline.run, {}), (pipeline.run_seeds, {"seeds": (0,)})):
        with pytest.raises(
            OSError, match=r"the disk is full: .* free in .*/out.* kept there: .*same command"
        ):
            run(dataclasses.replace(pipeline.read(config), **change), out / str(len(change)))
    monkeypatch.setattr(running.loop, "start", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.run(pipeline.read(config), out / "2")

    def fail(*given):
        raise pipeline.ProgramFailed(f"verifier program 'x' said: {error}")

    monkeypatch.setattr(running.loop, "start", fail)  # its disk may be another
    for run, change in ((pipeline.run, {}), (pipeline.run_seeds, {"seeds": (0,)})):
        with pytest.raises(pipeline.ProgramFailed, match="verifier program 'x' said"):
            run(dataclasses.replace(pipeline.read(config), **change), out / str(3 + len(change)))


class TestOwnCheckpoint:
    """A folder as Hugging Face lays it out, and a file of pairs."""

    @pytest.fixture
    def given(self, tmp_path):
        import tokenizers

        words = ["[UNK]", "</s>", "Q", ":", "A", *[f"w{i}" for i in range(40)]]
        maker = tokenizers.Tokenizer(
            tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]")
        )
        maker.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        from simcollapse.neural.language.config import config

        small = config(vocabulary=48, width=16, layers=1, heads=2, hidden=16, context=24, stops=(1,))
        params = jax.tree.map(np.asarray, models.init(small, jax.random.key(0)))
        published.save(tmp_path / "mine", Checkpoint(small, params, tokens.Tokens(maker)))
        rows = [{"q": f"w{i} w{i + 1}", "a": f"w{i + 2} w{i}"} for i in range(30)]
        rows.append({"q": " ".join(["w1"] * 40), "a": "w1"})  # too long
        rows.append({"q": "w1", "a": ""})  # without a completion
        (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return settings.from_table(
            {
                "model": str(tmp_path / "mine"), "data": str(tmp_path / "pairs.jsonl"), "prompt": "Q: {q} A:",
                "completion": " {a}", "n_per_round": 10, "rounds": 1, "held_out": 6, "answered": 4,
                "generate": {"most": 6}, "verifier": {"rule": "oracle", "share": 0.5},
                "correct": {"quantile": 0.5}, "fit": {"epochs": 1},
            }
        )  # fmt: skip

    def test_it_runs(self, given, tmp_path):
        told = []
        records = pipeline.run(given, tmp_path / "out", told.append)
        assert told[0].count("1 too long") == 1  # learned from or held out, by chance of the seed
        counts = json.loads((tmp_path / "out" / "texts.json").read_text())
        parts = [counts[name] for name in ("real", "held_out", "prompts")]
        assert all(part["source"] == "pairs.jsonl" and part["cut"] == 0 for part in parts)
        assert [part["given"] for part in parts] == [26, 6, 26]
        for part, words in zip(parts, ("real texts", "held out", "prompts"), strict=True):
            assert part["used"] == part["given"] - part["dropped_too_long"] - part["dropped_empty"]
            assert f"{part['used']} {words}" in " ".join(told[:2])
        for name in ("dropped_too_long", "dropped_empty"):  # each once, learned from or held out
            assert parts[0][name] + parts[1][name] == 1
        with np.load(tmp_path / "out" / "level" / "round-0-level.npz") as level:
            right = records[0]["text_rouge1"] >= level["least"]
        assert records[0]["accuracy"] == np.mean(right & (records[0]["text_rouge1"] > 0))
        assert records[1]["num_kept"] == 5 and records[1]["num_used"] == 5
        decisions = lines(tmp_path / "out" / "decisions.jsonl")
        assert all(one["prompt"].startswith("Q : w") for one in decisions)
        again = pipeline.run(given, tmp_path / "out")
        assert again[1]["loss"] == records[1]["loss"] and again[0]["accuracy"] == records[0]["accuracy"]
        loaded = published.load(tmp_path / "out" / "model")
        assert loaded.tokens is not None and loaded.config.vocabulary == 48
        # Other texts or parameters under the same names are another run.
        pairs = tmp_path / "pairs.jsonl"
        text = pairs.read_text()
        pairs.write_text(text.replace("w3 w4", "w3 w5"))
        with pytest.raises(ValueError, match=r"other settings \(data, prompts: what they hold\)"):
            pipeline.run(given, tmp_path / "out")
        pairs.write_text(text)
        small = loaded._replace(params=models.init(loaded.config, KEY))
        published.save(tmp_path / "mine", small)
        with pytest.raises(ValueError, match=r"other settings \(model: its parameters\)"):
            pipeline.run(given, tmp_path / "out")

    @pytest.mark.parametrize("own", [False, True])
    def test_another_checkpoint_judges(self, given, tmp_path, own):
        """With the same tokenizer, or with one that has the same words in another order."""
        mine = published.load(tmp_path / "mine")
        params = models.init(mine.config, KEY)
        judge = mine._replace(params=params)
        if own:
            maker = json.loads((tmp_path / "mine" / "tokenizer.json").read_text())
            number = maker["model"]["vocab"]
            maker["model"]["vocab"] = {word: 47 - i for word, i in number.items()}
            words = {"embedding": np.asarray(params["words"]["embedding"])[::-1]}
            config = dataclasses.replace(mine.config, stops=(46,))
            judge = Checkpoint(config, params | {"words": words}, None)
        published.save(tmp_path / "judge", judge)
        if own:
            (tmp_path / "judge" / "tokenizer.json").write_text(json.dumps(maker))
        rule = settings.Verifier(rule="weak", model=str(tmp_path / "judge"), share=0.5)
        asked, out, told = dataclasses.replace(given, verifier=rule), tmp_path / "out", []
        pipeline.run(asked, out, told.append)
        assert ("a tokenizer of its own" if own else "the same tokenizer") in told[2]
        with np.load(out / "answers" / "round-1-answers.npz") as kept:
            rows = dict(kept)
        decisions = lines(out / "decisions.jsonl")
        wanted = Perplexity(mine.config, params).score(KEY, rows, None)
        seen = [
            i for i, one in enumerate(decisions) if one["completion"] and "[UNK]" not in one["completion"]
        ]
        assert len(seen) >= 5
        for i in seen:
            if not own or set(rows["tokens"][i].tolist()) <= set(range(45)):  # 45 to 47 are no words
                assert decisions[i]["score"] == pytest.approx(wanted[i], rel=1e-4)
        scores = [one["score"] if one["score"] is not None else -np.inf for one in decisions]
        assert min(s for s, one in zip(scores, decisions, strict=True) if one["kept"]) >= max(
            s for s, one in zip(scores, decisions, strict=True) if not one["kept"]
        )
        # Another judge under the same name is another run.
        published.save(tmp_path / "judge", judge._replace(params=mine.params, tokens=mine.tokens))
        with pytest.raises(ValueError, match=r"other settings \(verifier\.model: its parameters\)"):
            pipeline.run(asked, out)

    def test_a_checkpoint_that_cannot_judge_is_said_before_the_first_fit(self, given, tmp_path):
        def run(path):
            rule = settings.Verifier(rule="weak", model=str(path), share=0.5)
            pipeline.run(dataclasses.replace(given, verifier=rule), tmp_path / "out")

        with pytest.raises(FileNotFoundError, match=r"verifier\.model: no folder at .*nowhere"):
            run(tmp_path / "nowhere")
        mine = published.load(tmp_path / "mine")
        published.save(tmp_path / "mute", mine._replace(tokens=None))
        with pytest.raises(ValueError, match=r"verifier\.model must have a tokenizer\.json .*mute has none"):
            run(tmp_path / "mute")
        published.save(tmp_path / "short", mine._replace(config=dataclasses.replace(mine.config, context=11)))
        with pytest.raises(
            ValueError,
            match=r"verifier\.model must have a context of at least 12 tokens.*short has one of 11",
        ):
            run(tmp_path / "short")
        (tmp_path / "short" / "config.json").write_text("{")
        with pytest.raises(ValueError, match=r"verifier\.model: .*config\.json must be JSON"):
            run(tmp_path / "short")
        assert not (tmp_path / "out" / "rounds").exists()

    def test_rows_are_as_wide_as_the_texts_and_long_ones_are_counted(self, given, tmp_path):
        def read(**change):
            return materials.materials(dataclasses.replace(given, **change))

        pairs = (tmp_path / "pairs.jsonl").read_text().splitlines()
        got = read()
        assert got.rows["tokens"].shape[1] == 12  # Q : w w A :, and an answer of 6
        assert got.checkpoint.config.length == 12 and got.checkpoint.config.context == 24
        assert read(width=20).checkpoint.config.length == 20
        # 20 words of prompt leave no room for an answer of 6 tokens in 24
        long = [json.dumps({"q": " ".join([f"w{i}"] * 15), "a": "w2"}) for i in range(30)]
        (tmp_path / "pairs.jsonl").write_text("\n".join([*pairs[:10], *long]))
        for too_long in ("drop", "truncate"):
            got = read(held_out=20, too_long=too_long)
            lost = int(got.told[0].split("held out (")[1].split(" ")[0])
            held = got.counts["held_out"]
            assert (held["cut"], held["dropped_too_long"]) == ((0, lost) if too_long == "drop" else (lost, 0))
            assert len(got.held_out["begin"]) == (20 - lost if too_long == "drop" else 20)
            assert lost > 0 and (got.held_out["begin"] <= 24 - given.generate.most).all()

    def test_a_prompt_that_has_no_token_is_said_before_the_first_fit(self, given, tmp_path):
        (tmp_path / "asked.jsonl").write_text('{"q": "w1", "a": "w2"}\n{"q": "", "a": "w2"}\n')
        asked = dataclasses.replace(given, prompts=str(tmp_path / "asked.jsonl"), prompt="{q}")
        with pytest.raises(
            ValueError, match=r"prompts must not be empty for .*mine, whose config\.json names no token"
        ):
            materials.materials(asked)
        (tmp_path / "asked.jsonl").write_text('{"q": "  ", "a": "w2"}\n')
        with pytest.raises(ValueError, match="prompts must have one token or more each"):
            pipeline.run(asked, tmp_path / "out")
        config = json.loads((tmp_path / "mine" / "config.json").read_text()) | {"bos_token_id": 4}
        (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
        (tmp_path / "asked.jsonl").write_text('{"q": "", "a": "w2"}\n')
        assert materials.materials(asked).prompts == [[4]]

    def test_a_tokenizer_that_knows_little_of_the_texts_is_said(self, given, tmp_path):
        file = tmp_path / "mine" / "tokenizer.json"
        made = json.loads(file.read_text())

        def read(kept, prompt):
            model = made["model"] | {"vocab": {word: i for i, word in enumerate(kept)}}
            file.write_text(json.dumps(made | {"model": model}))
            return materials.materials(dataclasses.replace(given, prompt=prompt))

        words = list(made["model"]["vocab"])
        with pytest.warns(UserWarning, match="knows 10 tokens of the model's vocabulary of 48: is it"):
            with pytest.raises(ValueError, match=r"tokenizer of .*mine knows, in 25 of them it knows none"):
                read([*words[:2], *words[-8:]], "{q}")
        with pytest.warns(UserWarning, match=r"tokenizer of .*mine does not know \d\d% of what it reads"):
            read(words[:-20], "Q: {q} A:")

    def test_what_does_not_fit_is_said(self, given, tmp_path):
        cases = (
            (
                {"generate": settings.Generate(most=24)},
                "generate.most must be less than the model's context of 24",
            ),
            ({"prompt": "{nothing}"}, "must have the column 'nothing'"),
            ({"width": 25}, "width must be at most the model's context of 24 tokens, got 25"),
            ({"width": 6}, "width must be more than generate.most, 6, got 6"),
            ({"held_out": 32}, "held_out must be less than the 32 texts of pairs.jsonl, got 32"),
            (
                {"n_real": 27},
                "n_real must be at most 26, the texts of pairs.jsonl that are not held out, got 27",
            ),
            ({"data": str(tmp_path / "none.jsonl")}, "none.jsonl"),
        )
        for change, words in cases:
            with pytest.raises((ValueError, FileNotFoundError), match=words):
                pipeline.run(dataclasses.replace(given, **change), tmp_path / "out2")

    def test_prompts_of_their_own_file_bring_references_where_they_have_them(self, given, tmp_path):
        def asked(rows, rule="oracle", by="command"):
            (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            return materials.materials(
                dataclasses.replace(
                    given,
                    prompts=str(tmp_path / "asked.jsonl"),
                    verifier=settings.Verifier(rule=rule, share=0.5),
                    correct=settings.Correct(by=by, command=("x",)),
                )
            ).references

        assert asked([{"q": "w1", "a": "w2"}]) == [" w2"] == asked([{"q": "w1", "a": "w2"}], "random")
        assert asked([{"q": "w1"}], "random") == [""]
        for rule, by in (("oracle", "command"), ("random", "rouge1")):
            with pytest.raises(ValueError, match=r"row 1 of asked\.jsonl must have the column 'a'"):
                asked([{"q": "w1"}], rule, by)
            with pytest.raises(ValueError, match=r"asked\.jsonl must have references, which ROUGE-1 needs"):
                asked([{"q": "w1", "a": ""}] * 2, rule, by)

    def test_a_published_set_in_its_own_template_or_in_another(self, given, tmp_path, monkeypatch):
        (tmp_path / "xsum").mkdir()
        rows = [{"document": f"w{i}", "summary": f"w{i + 1}"} for i in range(20)]
        (tmp_path / "xsum" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
        own = dataclasses.replace(given, data="xsum", prompt="Q: {document} A:", completion=" {summary}")
        plain = dataclasses.replace(own, prompt="{prompt}", completion="{completion}")
        read = [materials.materials(own)]
        with pytest.warns(UserWarning, match="does not know"):
            read.append(materials.materials(plain))
        told = [m.reader.decode(m.prompts)[0] for m in read]
        assert (
            told[0].startswith("Q : w") and "Q" not in told[1]
        )  # words that the tokenizer has not are left out


def test_a_program_that_is_not_there_is_said_before_the_first_fit(files):
    config, _, out = files
    config.write_text(config.read_text().replace(sys.executable, "no-such-program"))
    with pytest.raises(pipeline.ProgramFailed, match="there is no program 'no-such-program'"):
        pipeline.run(pipeline.read(config), out)
    assert not (out / "rounds").exists()


def test_texts_may_hold_any_end_of_a_line(tmp_path):
    """Such as U+2028, which JSON need not escape."""
    file = tmp_path / "decisions.jsonl"
    texts = ["a\u2028b", "c\x85d", "e\rf", "g\u2029\x1ch"]
    for k, text in enumerate(texts):
        records.replace_round(file, k, [{"round": k, "completion": text, "correct": True, "kept": True}])
    read = [json.loads(line)["completion"] for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
    assert read == texts
    records.replace_round(file, 2, [{"round": 2, "completion": "new", "correct": False, "kept": False}])
    assert audit_file(file, round="round").p == pytest.approx(1 / 3)


def test_a_run_that_keeps_nothing_says_so(files):
    config, program, out = files
    program.write_text(GOOD)
    config.write_text(config.read_text().replace("share = 0.5", "threshold = 1000"))
    told = []
    records = pipeline.run(pipeline.read(config), out, told.append)
    assert not records[1]["alive"] and "nothing was kept: the model stays as it was" in told[-2]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"modl": "x"}, r"config has an unknown key 'modl'.*model"),
        ({"verifier": {"comand": "x"}}, r"verifier has an unknown key 'comand'.*'command'"),
        ({"generate": 3}, "generate must be a table, got 3"),
        ({"rounds": 0}, "rounds must"),
        ({"seeds": 0}, "seeds must be a whole number >= 1, got 0"),
        ({"seeds": []}, r"seeds must be a number >= 1, or a list of different seeds, got \[\]"),
        ({"seeds": [1, 1]}, r"list of different seeds, got \[1, 1\]"),
        ({"seeds": ["a"]}, "seeds must be a whole number, got 'a'"),
        ({"seeds": 2, "seed": 1}, "seed and seeds must not both be given, got 1 and 2"),
        ({"verifier": {"command": []}}, "verifier.command must be a program and its arguments"),
        ({"verifier": {"command": "x"}}, "must have a share or a threshold"),
        ({"verifier": {"command": "x", "share": 0.5, "threshold": 1.0}}, "and not both"),
        ({"verifier": {"rule": "pattern", "command": "x", "share": 0.1}}, "do not go together"),
        ({"verifier": {"rule": "orcale", "share": 0.1}}, "oracle"),
        (
            {"verifier": {"rule": "weak", "share": 0.5}},
            "verifier.model must be a checkpoint with rule 'weak'",
        ),
        (
            {"verifier": {"rule": "self", "model": "x", "share": 0.5}},
            "verifier.model must .* left out with any other, got 'x' and rule 'self'",
        ),
        ({"verifier": {"model": 3, "share": 0.5}}, "verifier.model must be text, got 3"),
        ({"verifier": {"rule": "oracle", "share": 1.5}}, "verifier.share"),
        ({"correct": {"by": "command"}}, "needs a command"),
        ({"continuing": "yes"}, "continuing must be true or false, got 'yes'"),
        ({"generate": {"most": "x"}}, "generate.most must be a whole number, got 'x'"),
        ({"generate": {"top_p": 0}}, r"generate.top_p must be in \(0, 1\]"),
        ({"verifier": {"rule": "random", "threshold": "x"}}, "verifier.threshold must be a number"),
        (
            {"verifier": {"rule": "pattern", "share": 0.1, "pattern": "("}},
            "verifier.pattern must be a regular",
        ),
        (
            {"verifier": {"rule": "length", "share": 0.1, "least_words": 3, "most_words": 2}},
            "verifier.most_words",
        ),
        ({"correct": {"least": 2.0}}, r"correct.least must be in \[0, 1\], got 2.0"),
        ({"fit": {"epoch": 1}}, "fit has an unknown key 'epoch'.*'epochs'"),
        ({"fit": {"batch": 0}}, "tuning.batch must be a whole number >= 1"),
        ({"fit": {"devices": 0}}, "fit.devices must be a whole number >= 1, got 0"),
        ({"fit": {"devices": 3, "batch": 8}}, "fit.batch must be a multiple of fit.devices, 3, .* got 8"),
        ({"prompts": "x.jsonl"}, "prompts must not be given with model = 'embedded'"),
        ({"data": "x.jsonl"}, "not with model = 'embedded'"),
        ({"model": "mine"}, "data must be given with a checkpoint"),
        ({"workflow": "replce"}, "replace"),
        (
            {"verifier": {"rule": "random", "share": 0.1}},
            "verifier.share must keep an answer or more of n_per_round = 4, got 0.1",
        ),
    ],
)
def test_bad_settings(change, words):
    good = {"model": "embedded", "n_per_round": 4, "rounds": 1}
    with pytest.raises((ValueError, TypeError), match=words):
        settings.from_table(good | change)


def test_paths_are_relative_to_the_file_and_commands_may_be_words(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("{}")
    (tmp_path / "c.toml").write_text(
        'model = "owner/model"\ndata = "pairs.jsonl"\nn_per_round = 1\nrounds = 1\n'
        "[verifier]\ncommand = \"python 'my verifier.py'\"\nthreshold = 0.5\n"
    )
    read = settings.read(tmp_path / "c.toml")
    assert read.data == str(tmp_path / "pairs.jsonl") and read.model == "owner/model"
    assert read.verifier.command == ("python", "my verifier.py") and read.verifier.rule == "command"
    assert running.truth(settings.Correct(by="rouge1", least=0.3)).least == 0.3
    with pytest.raises(FileNotFoundError):
        settings.read(tmp_path / "none.toml")
    (tmp_path / "judge").mkdir()
    (tmp_path / "c.toml").write_text(
        'model = "owner/model"\ndata = "pairs.jsonl"\nn_per_round = 4\nrounds = 1\n'
        '[verifier]\nmodel = "judge"\nshare = 0.5\n'
    )
    weak = settings.read(tmp_path / "c.toml").verifier
    assert weak.rule == "weak" and weak.model == str(tmp_path / "judge")
    (tmp_path / "c.toml").write_text("model = ")
    with pytest.raises(ValueError, match="is not a TOML file"):
        settings.read(tmp_path / "c.toml")
