"""Claims and pictures of the language runs, on numbers made up; and a small run of everything."""

import dataclasses
import json
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pytest
import tokenizers
import xarray as xr

from simcollapse import reproduce, workflows
from simcollapse.neural import checkpoints as kept
from simcollapse.neural import loop, pools
from simcollapse.neural.language import base, config, made, models, texts, verifiers
from simcollapse.neural.language import checkpoints as published
from simcollapse.neural.language.checkpoints import Checkpoint
from simcollapse.neural.language.rows import prompts_of
from simcollapse.neural.language.tokens import Tokens
from simcollapse.reproduce import report, style
from simcollapse.reproduce.language import (
    common,
    keeping,
    pretrain,
    preview,
    runs,
    settings,
    sft,
    sources,
    summaries,
    value,
    xsum,
    xsum_checkpoint,
)
from simcollapse.reproduce.language.settings import Arm, Fit

MODULES = {module.NAME: module for module in (summaries, xsum, sft, value, pretrain)}
NAMES = ("loss", "accuracy", "distinct_2", "self_bleu", "length", "p", "p_star", "rouge1")


def made_up(module, values, chains=4, noise=0.002):
    """A dataset of a picture: `values(arm, round, name)` plus noise."""
    quick = dataclasses.replace(module.SCALES["quick"], chains=chains)
    random = np.random.default_rng(0)
    data = {}
    for name in NAMES:
        array = np.full((len(quick.arms), chains, quick.rounds + 1), np.nan)
        for i, arm in enumerate(quick.arms):
            for k in range(arm.rounds + 1):
                array[i, :, k] = values(arm, k, name) + noise * random.normal(size=chains)
        data[name] = ("arm", "chain", "round"), array
    made = xr.Dataset(
        data,
        coords={
            "arm": [arm.name for arm in quick.arms],
            "round": np.arange(quick.rounds + 1),
            **{
                f"arm_{f.name}": ("arm", [getattr(arm, f.name) for arm in quick.arms])
                for f in dataclasses.fields(Arm)
                if f.name != "name"
            },
        },
    )
    made.attrs.update(
        config=json.dumps(dataclasses.asdict(quick)), heading="made up", floor=0.28, title="made up", note=""
    )
    return made


def as_published(module):
    """Numbers that agree with every claim of a picture."""

    def of_summaries(arm, k, name):
        reach = {"oracle": 0.9, "self": 0.8, "weak": 0.7, "random": 0.4, "none": 0.45}[arm.verifier]
        reach = 0.7 if arm.mixed else reach
        if name == "p_star":
            return reach
        return 0.6 if k == 0 else reach + 0.001 * arm.share

    def of_xsum(arm, k, name):
        change = {xsum.VERIFIED: min(k, 1) * 0.1}.get(arm.name, -0.08 * k)
        return 0.5 - change / 2 if name == "loss" else 0.5 + change

    def of_keeping(arm, k, name):
        rise = {"replace": 0.1, "accumulate": 0.002, "accumulate_subsample": 0.05}[arm.workflow] * k
        return 0.4 + rise if name == "loss" else 0.9 - rise

    def of_value(arm, k, name):
        x = np.log10(arm.real + 1) - 2
        bad = 0.05 * np.log10(1 + arm.synthetic) * x
        return 1 / np.sqrt(arm.real) + bad + 0.28

    return {"feng-summaries": of_summaries, "yi-xsum": of_xsum, "kazdan-value-lm": of_value}.get(
        module.NAME, of_keeping
    )


@pytest.mark.parametrize("name", MODULES)
def test_all_agree_where_the_paper_is_right_and_the_picture_is_drawn(name, tmp_path):
    module = MODULES[name]
    data = made_up(module, as_published(module))
    rows = module.compare(data)
    assert [row.statement for row in rows if not row.agrees] == []
    report.save_data(data, tmp_path / "data.nc")
    with mpl.rc_context(style.SETTINGS):
        files = report.save_figure(module.draw(report.load_data(tmp_path / "data.nc")), tmp_path / name)
    assert all(file.stat().st_size > 10_000 for file in files)


@pytest.mark.parametrize("name", MODULES)
def test_turned_around_they_are_denied_and_noise_makes_them_unclear(name):
    module = MODULES[name]
    told = as_published(module)
    turned = module.compare(made_up(module, lambda arm, k, n: (n == "p_star") + 1 - told(arm, k, n)))
    differences = [row for row in turned if "above 0" in row.wanted or row.wanted.startswith("below")]
    denied = [row for row in differences if row.verdict == "NO"]
    assert len(denied) >= len(differences) - 2  # best shares and distinct-2 need not turn with the loss
    noisy = module.compare(made_up(module, told, noise=30.0))
    assert any(row.unclear for row in noisy) and not all(row.agrees for row in noisy)


def of_one_seed(values, noise=0.01):
    """A run of `yi-xsum-checkpoint`: texts differ much, in every model alike, and models a little in each text."""
    quick = dataclasses.replace(xsum_checkpoint.SCALES["quick"], data="xsum", checkpoint="c")
    random = np.random.default_rng(1)
    shape = len(quick.arms), 1, quick.rounds + 1
    names = [arm.name for arm in quick.arms]
    data = {name: (("arm", "chain", "round"), np.full(shape, 0.5)) for name in NAMES}
    for name in ("loss", "rouge1"):
        array = np.zeros((*shape, quick.held_out)) + random.normal(size=quick.held_out)
        for i, arm in enumerate(quick.arms):
            for k in range(quick.rounds + 1):
                array[i, 0, k] += values(arm, k, name) + noise * random.normal(size=quick.held_out)
        array[:, :, 0] = array[0, :, 0]  # round 0 is the same model
        data[f"text_{name}"] = ("arm", "chain", "round", f"text_{name}_place"), array
        data[name] = ("arm", "chain", "round"), array.mean(axis=-1)
    made = xr.Dataset(data, coords={"arm": names, "round": np.arange(quick.rounds + 1)})
    made.attrs.update(config=json.dumps(dataclasses.asdict(quick)), heading="made up", floor=np.nan)
    return made


def test_one_seed_is_judged_by_differences_of_held_out_texts():
    told = as_published(xsum)

    def verdicts(values, **options):
        return {row.verdict for row in xsum_checkpoint.compare(of_one_seed(values, **options))}

    assert verdicts(told) == {"yes"}
    assert "yes" not in {
        row.verdict
        for row in xsum_checkpoint.compare(of_one_seed(lambda arm, k, name: 1 - told(arm, k, name)))
        if row.wanted == "above 0"
    }
    assert "unclear" in verdicts(told, noise=1.0)
    data = of_one_seed(told)
    with mpl.rc_context(style.SETTINGS):
        bands = [len(axis.collections) for axis in xsum_checkpoint.draw(data).axes]
    assert bands[:2] == [3, 3] and bands[2] == 0  # ROUGE-1 and loss; distinct-2 is one number a model
    assert common.at(data, "loss", xsum.FULL, 1).shape == (xsum_checkpoint.SCALES["quick"].held_out,)
    note = common.note(dataclasses.replace(xsum_checkpoint.SCALES["quick"], data="xsum"))
    assert "One seed" in note and "0.1 % each" in note


def test_best_share_and_slope():
    """Least loss at 1,350, 450, 150 and 0 generated texts beside 50, 150, 450 and 1,350 real ones."""
    best = {50: 1_350, 150: 450, 450: 150, 1_350: 0}
    data = made_up(value, lambda arm, k, n: float(best[arm.real] != arm.synthetic), noise=0.0)
    real, share = value.best_share(data)
    np.testing.assert_array_equal(real, [50, 150, 450, 1_350])
    np.testing.assert_allclose(share, np.tile([1_350 / 1_400, 450 / 600, 150 / 600, 0], (4, 1)))
    x = np.log10(real)
    np.testing.assert_allclose(value.slope(real, share), np.polyfit(x, share[0], 1)[0])


def test_every_scale_is_sound():
    for module in MODULES.values():
        assert tuple(module.SCALES) == reproduce.SCALE_NAMES
        for scale in module.SCALES.values():
            assert scale.chains >= 3 and len({arm.name for arm in scale.arms}) == len(scale.arms)
            assert scale.n_real <= scale.n_prompts
            assert all(arm.verifier in settings.VERIFIERS for arm in scale.arms)
            assert (scale.fit.epochs is None) != (scale.fit.max_steps is None)
    quick = summaries.SCALES["quick"]
    assert summaries.SHARES == (0.125, 0.25, 0.5)
    assert {a.real for a in quick.arms} >= {200, 400, 800} and quick.fits == 4 * (2 + 12 + 1 + 3)
    assert {arm.generated for arm in xsum.SCALES["quick"].arms} == {1_600, 200}
    assert {arm.workflow for arm in sft.SCALES["quick"].arms} == set(keeping.WORDS)


def test_scales_of_a_checkpoint_on_a_cpu():
    assert tuple(xsum_checkpoint.SCALES) == reproduce.SCALE_NAMES
    for scale in xsum_checkpoint.SCALES.values():
        assert scale.n_real <= scale.n_prompts and scale.answered <= scale.held_out
        kept = {arm.name: round(arm.share * arm.generated) for arm in scale.arms}
        assert kept[xsum.VERIFIED] == kept[xsum.SAME] < kept[xsum.FULL]
    for given in ({}, {"model": "x/y"}, {"data": "xsum"}):
        with pytest.raises(ValueError, match="give --model CHECKPOINT"):
            xsum_checkpoint.configure(
                xsum_checkpoint.SCALES["quick"], **({"data": None, "folder": ""} | given)
            )


def test_a_checkpoint_needs_texts_and_texts_a_checkpoint(tmp_path):
    for given in ({"model": "x/y"}, {"data": "xsum"}):
        with pytest.raises(ValueError, match="model and data must be given together"):
            reproduce.run("yi-xsum", out=tmp_path / "out", **given)
    with pytest.raises(ValueError, match="'feng-eigenvalues' starts from no checkpoint"):
        reproduce.run("feng-eigenvalues", model="x/y", out=tmp_path / "out")
    both = xsum.configure(xsum.SCALES["quick"], data="xsum", folder="f", model="x/y")
    assert (both.checkpoint, both.data, both.folder) == ("x/y", "xsum", "f")


@pytest.mark.parametrize("name", MODULES)
def test_a_checkpoint_is_tuned_as_published_at_every_scale(name):
    """The embedded decoder's rate of 1e-2 takes a checkpoint of 135 million parameters from 2.97 to 11.09 nats."""
    module = MODULES[name]
    published = module.SCALES["paper"].fit
    for scale in module.SCALES.values():
        tuned = module.configure(scale, data="xsum", folder="f", model="x/y").fit
        assert tuned == dataclasses.replace(
            published, batch=4, accumulation=8
        )  # the same updates in less memory
        assert tuned.learning_rate <= (5e-4 if scale.whole else 5e-5)
        assert module.configure(scale, data=None, folder="f").fit == scale.fit
    assert module.SCALES["quick"].fit.learning_rate == 1e-2
    assert "learning rate 0.01 (cosine, warm-up 10 %)" in common.fit_words(module.SCALES["quick"].fit)
    assert common.fit_words(published).startswith(
        "a fit: 1 pass of batches of 32, all weights, learning rate"
    )


def test_adapters_of_a_checkpoint_keep_their_fit():
    quick = xsum_checkpoint.SCALES["quick"]
    assert xsum_checkpoint.configure(quick, data="xsum", folder="f", model="x/y").fit == quick.fit
    assert "6 steps of batches of 8, adapters of rank 16" in common.fit_words(quick.fit)


def test_models_may_go_on_from_round_to_round_and_long_texts_be_cut(tmp_path):
    """Options that are handed on, named in the heading, and refused where they would change nothing."""
    quick = xsum.SCALES["quick"]
    given = {"data": None, "folder": "f"}
    gone_on = xsum.configure(quick, **given, continuing=True)
    assert gone_on.continuing and not xsum.configure(quick, **given).continuing
    assert common.started(gone_on) == "the last round's model"
    assert common.started(quick) == "the base model"
    assert common.started(pretrain.SCALES["quick"]) == "fresh parameters"
    both = given | {"data": "xsum", "model": "x/y"}
    for module, scale in ((xsum, "quick"), (xsum_checkpoint, "quick"), (sft, "paper")):
        for too_long in settings.TOO_LONG:
            made = module.configure(module.SCALES[scale], **both, too_long=too_long, continuing=True)
            assert (made.too_long, made.continuing) == (too_long, True)
        assert module.configure(module.SCALES[scale], **both).too_long == module.SCALES[scale].too_long
    with pytest.raises(ValueError, match="too_long must be one of"):
        reproduce.run("yi-xsum", out=tmp_path, data="xsum", model="x/y", too_long="cut")
    with pytest.raises(ValueError, match="too_long is of texts that are read"):
        reproduce.run("yi-xsum", out=tmp_path, too_long="drop")
    with pytest.raises(ValueError, match="continuing must not be given where no model has another round"):
        reproduce.run("kazdan-value-lm", out=tmp_path, continuing=True)
    for option in ({"continuing": True}, {"too_long": "drop"}):
        with pytest.raises(
            ValueError, match=f"{next(iter(option))} is given, but 'yi-regimes' starts from no"
        ):
            reproduce.run("yi-regimes", out=tmp_path, **option)
    asked = [runs._identity(one, None) for one in (quick, gone_on)]
    assert asked[0] != asked[1] and "continuing" not in asked[0]


TINY = dataclasses.replace(
    summaries.SCALES["quick"],
    arms=(
        Arm("oracle-25", 16, "oracle", 0.25),
        Arm("weak-25", 16, "weak", 0.25),
        Arm("two", 16, "self", 0.5, "accumulate", 2),
        Arm("mixed", real=4, synthetic=6),
    ),
    n_real=8,
    n_prompts=16,
    chains=2,
    fit=Fit(max_steps=2, batch=8),
    width=16,
    layers=1,
    base_steps=2,
    held_out=20,
    answered=10,
    batch=20,
)


@pytest.fixture
def wired(monkeypatch):
    """A run of `TINY` whose models and rounds are not made, and what its arms were started with."""
    decoder, held = made.decoder(16, 1), made.rows(made.sentences(jax.random.key(9), 20))
    base = models.init(decoder, jax.random.key(0))
    of = sources.Source(decoder, base, made.READER, None, held, made.MOST, 0.2, "made")
    monkeypatch.setattr(runs, "source", lambda config, **how: (of, config))
    asked = []

    def start(key, task):
        asked.append(task)
        return loop.State({"of": len(asked)}, pools.pool_of(task.rows, 0), np.asarray(True), 0), {"loss": 1.0}

    arms = []
    monkeypatch.setattr(loop, "start", start)
    monkeypatch.setattr(
        loop, "run_chain", lambda key, arm, counts, **how: arms.append((arm, counts, how)) or [{}]
    )
    several = (*TINY.arms[:3], Arm("unverified", 4), Arm("any", 16, "random", 0.5))
    run = runs.Run(dataclasses.replace(TINY, arms=several, continuing=True))
    run.chain(0)
    return run, asked, arms


def test_arms_get_their_verifier_share_workflow_and_texts(wired):
    _, asked, arms = wired
    kinds = [type(arm.verifier) for arm, _, _ in arms]
    oracle, perplexity = verifiers.Parser, verifiers.Perplexity
    assert kinds == [oracle, perplexity, perplexity, type(None), verifiers.Random]
    assert [arm.verifier.params for arm, _, _ in arms[1:3]] == [
        {"of": 2},
        None,
    ]  # another model; the writer itself
    assert [getattr(arm.selection, "share", None) for arm, _, _ in arms] == [0.25, 0.25, 0.5, None, 0.5]
    assert [arm.workflow for arm, _, _ in arms] == [
        workflows.KNOWN[name]() for name in ("replace", "replace", "accumulate", "replace", "replace")
    ]
    assert [counts for _, counts, _ in arms] == [[16], [16], [16, 16], [4], [16]]
    assert all(how["started"][0].model == {"of": 1} for _, _, how in arms)  # all from the same generator
    assert all(arm.task.continuing for arm, _, _ in arms)
    mine, theirs = (task.rows["tokens"] for task in asked)
    assert len(mine) == len(theirs) == TINY.n_real and not np.array_equal(mine, theirs)


def test_models_are_measured_on_texts_that_none_was_tuned_on(wired):
    run, (mine, other), _ = wired
    held = run.source.held_out
    assert mine.measures.rows is held and other.measures.rows is held
    both = [
        {p + a for p, a in zip(made.READER.prompts(rows), made.READER.answers(rows), strict=True)}
        for rows in (held, mine.rows)
    ]
    assert len(both[0] & both[1]) < TINY.n_real // 2  # the language is small, and a sentence may come twice
    places = mine.rows["source"]
    assert [mine.references[i] for i in places] == made.READER.answers(mine.rows)
    assert [mine.prompts[i] for i in places] == prompts_of(mine.rows)


def test_a_preview_counts_the_work():
    work = preview.counts(TINY)
    assert work.fits == TINY.fits == 2 * 7 and work.steps == 14 * 2
    assert work.answers == 2 * (16 + 16 + 32 + 6 + 7 * (10 + 8))
    assert work.scored == 2 * (16 + 32 + 7 * 20)  # by another model, by itself, and held-out texts
    once = preview.counts(dataclasses.replace(TINY, data="xsum", fit=Fit(epochs=1, batch=8)))
    assert once.steps == 2 * (1 + 1 + 1 + 1 + 2 + 3 + 2)  # of 8, 8, 4, 4, 16, 24 and 10 rows
    assert once.answers == work.answers + 2 * 16  # for the level of the truth
    assert work.read == 2 * (
        20 + 20 + 32 + 16 + 7 * 10
    )  # generated and kept, and answers to held-out prompts
    assert preview.seconds(work, preview.Times(1.0, 0.5, 0.25, 0.125, 0.0625)) == pytest.approx(
        14 + 28 / 2 + work.answers / 4 + work.scored / 8 + work.read / 16
    )
    with pytest.raises(
        ValueError, match="a dry run is there for feng-summaries, yi-xsum, yi-xsum-checkpoint"
    ):
        reproduce.preview("yi-regimes")


@pytest.mark.slow
def test_a_preview_says_what_a_run_takes(tmp_path):
    told = preview.preview(dataclasses.replace(TINY, folder=str(tmp_path / "rounds"))).splitlines()
    assert told[0].startswith("the made language; ") and told[1].startswith("14 fits, 28 steps; 392 answers")
    assert told[-3].startswith("about ") and told[-3].endswith("minutes, apart from compiling and saving")
    assert "GB of memory" in told[-2] and "GB on disk" in told[-1]
    assert not (tmp_path / "rounds").exists()


def test_a_preview_trains_nothing_and_counts_the_base_model(tmp_path, monkeypatch, capsys):
    """A base model of the paper's scale takes hours; a second is a step here, so its steps are seen in the minutes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = preview.Times(0.0, 1.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr(preview, "_timed", lambda run: second)
    asked = dataclasses.replace(TINY, base_steps=572)
    told = preview.preview(asked)
    assert (
        "the base model is trained first: 572 steps" in told and "about 10 minutes" in told
    )  # and 28 of fits
    assert capsys.readouterr().err.count("training") == 0 and not (tmp_path / "simcollapse").exists()
    assert "base model" not in preview.preview(dataclasses.replace(asked, whole=True))


def test_a_base_model_says_that_it_is_trained_and_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    decoder = made.decoder(16, 1)
    assert not base.is_kept(decoder, 2)
    first = base.base_model(decoder, 2)
    assert "training the base model: 2 steps" in capsys.readouterr().err and base.is_kept(decoder, 2)
    jax.tree.map(np.testing.assert_array_equal, base.base_model(decoder, 2), first)
    assert not capsys.readouterr().err and not base.is_kept(decoder, 3)


@pytest.mark.slow
def test_a_second_run_takes_everything_from_disk_and_may_have_more(tmp_path, capsys):
    asked = dataclasses.replace(TINY, folder=str(tmp_path / "rounds"))
    data = runs.runs(asked)
    samples = (tmp_path / "rounds" / "samples.jsonl").read_text().splitlines()
    assert {json.loads(line)["arm"] for line in samples} == {arm.name for arm in asked.arms}
    assert not any("shown" in name for name in data)
    for name in ("accuracy", "loss"):
        first = data[name].sel(round=0)
        np.testing.assert_array_equal(first, np.broadcast_to(first.isel(arm=0), first.shape))
    np.testing.assert_array_equal(data["num_kept"].sel(arm="oracle-25", round=1), 4)
    np.testing.assert_array_equal(data["fit_rows"].sel(arm="two", round=2), 8 + 8 + 8)
    np.testing.assert_array_equal(data["fit_rows"].sel(arm="mixed", round=1), 10)
    same = data["num_correct"].sel(round=1)  # arms share the answers of round 1
    np.testing.assert_array_equal(same.sel(arm="oracle-25"), same.sel(arm="weak-25"))
    capsys.readouterr()
    xr.testing.assert_identical(runs.runs(asked), data)
    assert "chain" not in capsys.readouterr().err
    wide = runs.runs(dataclasses.replace(asked, chains=3, arms=(*asked.arms, Arm("more", 16))))
    kept = wide.isel(chain=slice(2), arm=slice(len(asked.arms)))
    np.testing.assert_array_equal(kept["loss"], data["loss"])
    with pytest.raises(ValueError, match="holds a run with other settings"):
        runs.runs(dataclasses.replace(asked, temperature=0.5))


def on_words(tmp_path, number, **changes):
    """`TINY` for a small checkpoint of words in place of bytes, on a file of `number` pairs."""
    words = ["[UNK]", "</s>", *[f"w{i}" for i in range(40)]]
    maker = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    maker.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    small = config.config(
        vocabulary=48, width=16, layers=1, heads=2, hidden=16, context=24, start=1, stops=(1,)
    )
    params = jax.tree.map(np.asarray, models.init(small, jax.random.key(0)))
    published.save(tmp_path / "mine", Checkpoint(small, params, Tokens(maker)))
    whole = changes.get("whole", False)
    rows = [
        {"prompt": "" if whole else f"w{i % 30} w{i % 7}", "completion": f"w{i % 30} w{i % 11}"}
        for i in range(number)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return settings.configure(
        dataclasses.replace(TINY, tokens=16, answer=4, quantile=0.5, **changes),
        data=str(tmp_path / "pairs.jsonl"),
        model=str(tmp_path / "mine"),
        folder=str(tmp_path / "rounds"),
    )


def test_a_file_of_too_few_texts_is_shared_out_and_it_is_said(tmp_path, monkeypatch, capsys):
    """24 texts to tune on and 20 held-out ones of 30: 16 and 14 fit, so that half of all numbers is left."""
    asked = on_words(tmp_path, 30)
    of, less = sources.source(asked)
    assert (less.n_real, less.n_prompts, less.held_out, less.answered) == (4, 8, 10, 5)
    assert pools.count(of.rows) == 16 and pools.count(of.held_out) == 10
    assert less.fewer == of.told[-1] and f"{less.fewer}\n" in capsys.readouterr().err
    assert len(of.deal(jax.random.key(0), less).prompts) == 8
    made = xr.Dataset(attrs={"config": json.dumps(dataclasses.asdict(less)), "source": "s", "parameters": 1})
    monkeypatch.setattr(common, "runs", lambda config: made)
    attrs = xsum.compute(asked).attrs
    assert attrs["heading"].startswith("4 real texts") and less.fewer in attrs["note"]
    with pytest.raises(ValueError, match="give a file with more"):
        sources.source(on_words(tmp_path, 10))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_a_checkpoint_on_own_texts(whole, tmp_path, capsys):
    """The oracle is ROUGE-1, and correct is what is above the generator's median."""
    cut = "drop" if whole else "truncate"
    asked = on_words(tmp_path, 150, whole=whole, too_long=cut)
    data = runs.runs(asked)
    assert np.isfinite(data["loss"].sel(arm="oracle-25", round=1)).all()
    assert data["text_rouge1"].sel(arm="two").shape == (2, 3, TINY.answered)
    mean = data["text_rouge1"].mean("text_rouge1_place")
    np.testing.assert_allclose(mean, data["rouge1"], rtol=1e-6)  # NaN where an arm has no such round
    np.testing.assert_array_equal(data["num_kept"].sel(arm="oracle-25", round=1), 4)
    told = capsys.readouterr()
    assert f"texts; 0 too long{'' if whole else ' and cut'}, 0 empty" in told.err
    xr.testing.assert_identical(runs.runs(asked), data)
    assert data.attrs["texts"].count("texts; 0 too long") == 2
    rouge1 = data["text_rouge1"].sel(round=0).isel(arm=0)
    correct = (rouge1 >= _levels(asked)) & (
        rouge1 > 0
    )  # the level is known after the model of round 0 was measured
    np.testing.assert_array_equal(
        data["accuracy"].sel(round=0).isel(arm=0), correct.mean("text_rouge1_place")
    )
    told = preview.preview(dataclasses.replace(asked, held_out=200, batch=80))
    assert "about" in told and "75 held-out texts fit where 200 are asked for" in told
    pairs = (tmp_path / "pairs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "pairs.jsonl").write_text("".join(pairs[::-1]))
    with pytest.raises(ValueError, match="holds a run with other settings"):
        runs.runs(asked)


def _levels(asked):
    """ROUGE-1 that counts as correct in each chain."""
    identity = runs.Run(asked)._identity
    saved = [kept.latest(Path(asked.folder) / f"chain-{c}" / "level", identity) for c in range(asked.chains)]
    return xr.DataArray([float(one.state["least"]) for one in saved], dims="chain")


def reduced(config, there, held=10_000):
    return settings.reduced(config, there, held, "xsum, train.jsonl.gz", "get it")


def test_fewer_texts_reduce_all_numbers_alike_and_it_is_said():
    """Counts are in the ratios of the scale to the last text, so that arms are compared at the same numbers."""
    small = reduced(xsum.SCALES["small"], 1_119)
    assert (small.n_real, small.n_prompts, small.held_out, small.answered) == (139, 1_112, 278, 278)
    assert [arm.generated for arm in small.arms] == [1_112, 139, 1_112] and small.chains == 3
    words = "1,119 texts that fit where the scale asks for 4,000 a chain: all numbers of texts are 27.8 %"
    assert words in small.fewer and small.fewer in common.note(dataclasses.replace(small, data="xsum"))
    arms = reduced(summaries.SCALES["quick"], 1_119).arms
    kept = {round(arm.share * arm.generated) for arm in arms if arm.share < 1}
    assert kept == {93, 186, 372} == {arm.real for arm in arms if arm.real}


@pytest.mark.parametrize("name", MODULES)
def test_reduced_numbers_are_whole_and_in_the_ratios_of_the_scale(name):
    for scale in MODULES[name].SCALES.values():
        for there in (scale.texts, scale.texts - 1, scale.texts // 3, scale.texts // 9):
            made = reduced(scale, there)
            assert 0.8 * there < made.texts <= there
            assert made.n_real * scale.n_prompts == made.n_prompts * scale.n_real
            for mine, full in zip(made.arms, scale.arms, strict=True):
                for kind in ("generated", "real", "synthetic"):
                    assert getattr(mine, kind) * scale.n_real == getattr(full, kind) * made.n_real
            assert made.answered <= made.held_out and (made == scale) == (there == scale.texts)


def test_fewer_held_out_texts_all_measure_and_it_is_said():
    made = reduced(value.SCALES["quick"], 2_700, held=300)
    assert (made.held_out, made.answered, made.texts) == (300, 300, 2_700)
    assert made.fewer == "300 held-out texts fit where 1,000 are asked for"
    assert "fewer" not in json.loads(runs._identity(made, None))


def test_far_too_few_texts_are_an_error_that_names_ways_out():
    with pytest.raises(
        ValueError, match=r"must have 2,400 .* it has 1,119: .* --scale, --too-long trunc.* get it"
    ):
        reduced(xsum.SCALES["paper"], 1_119)
    cut = dataclasses.replace(xsum.SCALES["paper"], too_long="truncate")
    with pytest.raises(ValueError, match="it has 1,990: choose a smaller --scale, or get it"):
        reduced(cut, 1_990)
    few = dataclasses.replace(xsum.SCALES["quick"], n_real=1, arms=xsum.arms(8, 1), n_prompts=8)
    with pytest.raises(ValueError, match="must have 8 texts that fit or more"):
        reduced(few, 7)
    assert "EdinburghNLP/xsum on a connected machine" in texts.by_hand("xsum", "train")


def test_settings_are_read_as_they_were_written():
    for module in MODULES.values():
        for scale in module.SCALES.values():
            assert settings.of_json(json.dumps(dataclasses.asdict(scale))) == scale


def test_a_checkpoint_with_a_short_context_is_refused(tmp_path):
    small = config.config(vocabulary=48, width=16, layers=1, heads=2, hidden=16, context=24)
    maker = tokenizers.Tokenizer(tokenizers.models.WordLevel({f"w{i}": i for i in range(48)}, "w0"))
    params = jax.tree.map(np.asarray, models.init(small, jax.random.key(0)))
    published.save(tmp_path / "mine", Checkpoint(small, params, Tokens(maker)))
    asked = dataclasses.replace(TINY, data="xsum", checkpoint=str(tmp_path / "mine"), tokens=25)
    with pytest.raises(ValueError, match=r"mine must have a context of at least 25 tokens, .* it has 24"):
        sources.source(asked)


@pytest.mark.slow
def test_continuing_changes_all_fits_but_the_first(tmp_path):
    asked = dataclasses.replace(TINY, arms=(Arm("replace", 8, rounds=2),), chains=1)
    anew = runs.runs(asked)
    on = runs.runs(dataclasses.replace(asked, continuing=True, folder=str(tmp_path / "on")))
    np.testing.assert_array_equal(on["loss"].sel(round=0), anew["loss"].sel(round=0))
    assert (on["loss"].sel(round=[1, 2]) != anew["loss"].sel(round=[1, 2])).all()
    with pytest.raises(ValueError, match="holds a run with other settings"):
        runs.runs(dataclasses.replace(asked, folder=str(tmp_path / "on")))


@pytest.mark.slow
def test_pretraining_runs_from_fresh_parameters():
    data = runs.runs(
        dataclasses.replace(TINY, whole=True, arms=(Arm("replace", 8),), chains=1, n_prompts=8, folder="")
    )
    assert np.isfinite(data["loss"]).all() and data.attrs["floor"] > 0
