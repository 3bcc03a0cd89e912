import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from scipy import stats

from simcollapse import reproduce
from simcollapse.neural import checkpoints
from simcollapse.reproduce import report
from simcollapse.reproduce.yi_vae import curves, runs, samples, settings
from simcollapse.reproduce.yi_vae.settings import FULL, SAME, STRONG, WEAK, ArmSettings, Fit

TINY = dataclasses.replace(
    settings.PRESETS["digits"]["quick"],
    arms=settings._arms(n_real=50, more=100, generated=200, increment=100, strong=100, weak=50),
    rounds=2,
    chains=2,
    fit=Fit(max_steps=20, check_every=10),
    discriminator=Fit(max_steps=20, check_every=10),
    classifier=Fit(max_steps=50),
    reference=Fit(max_steps=20, check_every=10),
    held_out=50,
    bound_rows=20,
    bound_draws=4,
    samples=100,
)


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory):
    config = dataclasses.replace(TINY, folder=str(tmp_path_factory.mktemp("rounds")))
    return config, curves.compute(config), samples.compute(config)


def test_both_pictures_are_drawn_from_saved_data(tiny_data, tmp_path):
    for picture, data in zip((curves, samples), tiny_data[1:], strict=True):
        report.save_data(data, tmp_path / "data.nc")
        loaded = report.load_data(tmp_path / "data.nc")
        files = report.save_figure(picture.draw(loaded), tmp_path / picture.NAME)
        assert all(file.stat().st_size > 10_000 for file in files)
        picture.compare(loaded)
    gif, *frames = samples.animate(loaded, tmp_path / "samples")
    with Image.open(gif) as moving:
        assert moving.n_frames == TINY.rounds + 1  # pyright: ignore[reportAttributeAccessIssue]
    assert [frame.name for frame in frames] == ["round-00.png", "round-01.png", "round-02.png"]
    assert len({frame.read_bytes() for frame in frames}) == 3  # each round looks different


def test_a_second_run_takes_every_round_from_disk(tiny_data, capsys):
    config, data, _ = tiny_data
    runs.runs.cache_clear()
    again = curves.compute(config)
    assert "fit" not in capsys.readouterr().err.replace("fits", "")
    xr.testing.assert_identical(again, data)
    more = curves.compute(dataclasses.replace(config, chains=3))
    told = capsys.readouterr().err
    assert "chain 2, strong, round 1" in told and "chain 0" not in told
    xr.testing.assert_equal(more.isel(chain=slice(2)).drop_vars("chain"), data.drop_vars("chain"))


def test_another_setting_is_refused_in_the_same_folder(tiny_data):
    with pytest.raises(ValueError, match="holds a run with other settings"):
        curves.compute(dataclasses.replace(tiny_data[0], seed=1))


def test_arms_share_round_0_and_keep_what_they_should(tiny_data):
    data = tiny_data[1]
    for arm in (WEAK, SAME, FULL):
        np.testing.assert_array_equal(data["fid"].sel(arm=arm, round=0), data["fid"].sel(arm=STRONG, round=0))
    assert list(data["num_kept"].sel(arm=STRONG, chain=0)) == [0, 20, 30]
    assert list(data["num_kept"].sel(arm=SAME, chain=0)) == [0, 20, 30]
    assert list(data["num_kept"].sel(arm=FULL, chain=0)) == [0, 200, 300]
    assert list(data["num_generated"].sel(arm=STRONG, chain=0)) == [0, 200, 300]


def test_the_budget_is_stated_and_not_exceeded(tiny_data):
    config, data, _ = tiny_data
    assert config.fits == 1 + 2 * (2 + 4 * 2 + 1) and config.verifiers == 6
    assert config.budget == 22 * 20 + 20 + 6 * 20
    assert float(data["fit_steps"].max()) <= config.fit.max_steps


@pytest.mark.slow
def test_every_knob_of_an_arm(tmp_path):
    knobs = {
        "class": {"verifier_rows": 60, "conditional": True, "workflow": "accumulate"},
        "opponent": {"verifier_rows": 60, "opponent_rows": 80, "workflow": "accumulate_subsample"},
        "all": {"verifier_rows": 60, "least": -1e9},
        "none": {"verifier_rows": 60, "least": 1e9},
    }
    arms = tuple(ArmSettings(name, 50, 100, 50, **options) for name, options in knobs.items())
    config = dataclasses.replace(TINY, arms=arms, chains=1, folder=str(tmp_path))
    data = runs.runs(config).isel(chain=0)
    kept = {str(arm): data["num_kept"].sel(arm=arm).to_numpy().tolist() for arm in data["arm"].to_numpy()}
    assert kept == {"class": [0, 10, 20], "opponent": [0, 10, 20], "all": [0, 100, 150], "none": [0, 0, 0]}
    seen = {str(arm): data["fit_rows"].sel(arm=arm).to_numpy().tolist() for arm in data["arm"].to_numpy()}
    assert seen["class"] == [50, 60, 80] and seen["opponent"] == [
        50,
        60,
        80,
    ]  # a subsample of as many as generated
    assert data["alive"].sel(arm="none").to_numpy().tolist() == [1, 0, 0]
    assert (data["fid"].sel(arm="class", round=1) != data["fid"].sel(arm="opponent", round=1)).all()
    assert config.fits == 1 + 1 + 1 + 4 * 2


def retrained(rounds, chains, seed):
    """Half of what is generated kept, of every class what a discriminator that sees the class prefers; or any half.

    (Of the best tenth, as published, the images of later rounds become too much alike: see the claims of the figure.)
    """
    quick = settings.PRESETS["digits"]["quick"]
    half = ArmSettings(STRONG, 100, 1_000, 0, verifier_rows=800, share=0.5, conditional=True)
    arms = half, ArmSettings(SAME, 100, 500, 0)
    short = dataclasses.replace(quick.reference, max_steps=50)
    config = dataclasses.replace(quick, arms=arms, rounds=rounds, chains=chains, seed=seed, reference=short)
    data = runs.runs(config)
    assert set(data["num_kept"].sel(round=slice(1, None)).to_numpy().ravel()) == {500}
    return data


def assert_positive(gain, name):
    """Over seeds, one-sided t at level 1 %."""
    found = stats.ttest_1samp(gain, 0, alternative="greater")
    assert found.pvalue < 0.01, f"{name}: t = {found.statistic:.2f}, {gain.to_numpy()}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_verified_round_beats_as_many_images_unselected():
    """Power: six other seeds gave distances 7 less with a spread of 2, two of them an ELBO 1 nat higher in both.

    (Over round 0 the ELBO gains 0.7 nats with a spread of 0.9: some forty seeds would see that.)
    """
    data = retrained(rounds=1, chains=8, seed=25)
    verified, other = data.sel(arm=STRONG), data.sel(arm=SAME)
    for name, better in (("kept_fid", -1), ("fid", -1), ("elbo", 1)):
        assert_positive(better * (verified[name] - other[name]).sel(round=1), name)
    assert float((verified["phi"] - verified["psi"]).sel(round=1).min()) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_unverified_rounds_end_worse_than_five_verified():
    """In how many samples are taken for their label: 0.25 fewer with a spread of 0.16, so that t is near 4.5.

    (Fréchet distances differ by 10 with a spread of 13: some twenty-five seeds would see that.)
    """
    data = retrained(rounds=5, chains=8, seed=26)["sample_accuracy"].sel(round=5)
    assert_positive(data.sel(arm=STRONG) - data.sel(arm=SAME), "sample_accuracy")


class TestClaims:
    """On curves made up, claims say what the curves say."""

    def make(self, noise=0.01):
        arms = [arm.name for arm in TINY.arms]
        random = np.random.default_rng(0)
        fid = np.array(  # strong, weak, same, full, more by rounds 0..4
            [
                [50, 40, 38, 37, 37],
                [50, 45, 44, 43, 43],
                [50, 55, 58, 60, 61],
                [50, 52, 54, 55, 56],
                [30, 28, 0, 0, 0],
            ],
            dtype=float,
        )
        fid = fid[:, None] + noise * random.normal(size=(5, 5, 5))
        fid[4, :, 2:] = np.nan
        rates = {"p": fid / 100, "phi": 0.2 + 0 * fid, "psi": 0.1 + 1e-4 * fid}
        dims = ("arm", "chain", "round")
        variables = {name: (dims, v) for name, v in {"fid": fid, "elbo": -fid, **rates}.items()}
        return xr.Dataset(variables, coords={"arm": arms, "chain": np.arange(5), "round": np.arange(5)})

    def test_all_agree_where_the_paper_is_right(self):
        rows = curves.compare(self.make())
        assert len(rows) == 18 and all(row.agrees for row in rows)

    def test_none_of_the_comparisons_agrees_when_signs_are_turned(self):
        data = self.make()
        data["fid"], data["elbo"] = -data["fid"], -data["elbo"]
        rows = [row for row in curves.compare(data) if row.picture == "" and "plateau" not in row.statement]
        verdicts = [row.verdict for row in rows if "Fréchet" in row.measured or "ELBO" in row.measured]
        assert len(verdicts) == 12 and set(verdicts) == {"NO"}

    def test_noise_makes_them_unclear(self):
        rows = curves.compare(self.make(noise=100.0))
        assert not any(row.agrees for row in rows[:16])
        assert any(row.unclear for row in rows)


def test_every_preset_is_consistent():
    for name, scales in settings.PRESETS.items():
        assert tuple(scales) == reproduce.SCALE_NAMES
        for scale, config in scales.items():
            assert config.data == name
            given = dataclasses.replace(settings.SCALES[scale], seed=7)
            made = settings.configure(given, data=name, folder="f")
            assert made == dataclasses.replace(config, seed=7, folder="f")
    published = settings.PRESETS["mnist"]["paper"]
    last = [arm.generated + arm.increment * (published.rounds - 1) for arm in published.arms]
    assert published.rounds == 40 and last[0] == 30_000 + 39 * 24_900  # about a million


def test_bad_input_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz"):
        reproduce.run("yi-vae", data="mnist", out=tmp_path / "out")
    with pytest.raises(ValueError, match=r"data must be one of .* Did you mean 'mnist'"):
        reproduce.run("yi-vae", data="mnits", out=tmp_path / "out")
    with pytest.raises(ValueError, match="target goes with data"):
        reproduce.run("yi-vae", target="y", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"share": 0.01}, r"share must leave at least one row of every class: 0.01 of 10 rows is none"),
        ({"share": 1.5}, r"share must be in \(0, 1\], got 1.5"),
        ({"verifier_rows": 1_300}, "verifier_rows of strong must be <= 1247, got 1300"),
        ({"verifier_rows": 1_200, "opponent_rows": 48}, "opponent_rows of strong must be <= 47, got 48"),
        ({"n_real": 0}, "n_real of strong must be a whole number >= 1, got 0"),
        ({"workflow": "acumulate"}, r"workflow of strong must be one of .* Did you mean 'accumulate'"),
        ({"generated": 0}, "start must be a whole number >= 1, got 0"),
    ],
)
def test_an_arm_that_cannot_run_is_refused_before_anything_is_trained(change, words, monkeypatch):
    monkeypatch.setattr(runs.referee, "referee", lambda *_: pytest.fail("a classifier was trained"))
    arm = dataclasses.replace(ArmSettings(STRONG, 50, 100, 50, verifier_rows=60), **change)
    with pytest.raises(ValueError, match=words):
        runs.runs(dataclasses.replace(TINY, arms=(arm,)))


def test_training_that_fails_is_named_and_the_rounds_before_it_are_kept(tmp_path, monkeypatch):
    """The third fit of a chain's first arm is planted to fail: round 2, after the model of real images and round 1."""
    whole, fits = runs.task.Vaes.fit_many, []

    def fit_many(self, keys, rows, settings):
        fits.append(len(keys))
        if len(fits) == 4:  # the first is of all real images
            settings = dataclasses.replace(settings, learning_rate=1e30)
        return whole(self, keys, rows, settings)

    monkeypatch.setattr(runs.task.Vaes, "fit_many", fit_many)
    config = dataclasses.replace(TINY, arms=TINY.arms[2:3], chains=1, seed=3, folder=str(tmp_path))
    with pytest.raises(
        FloatingPointError, match=r"chain 0, same: round 2: loss is \S+ in step \d+ of the fit"
    ):
        runs.runs(config)
    saved = checkpoints.latest(tmp_path / "chain-0" / SAME, runs._identity(config))
    assert saved is not None and saved.round == 1
    monkeypatch.undo()
    again = runs.runs(config)  # goes on from there
    assert np.isfinite(again["fid"].to_numpy()).all()


@pytest.mark.slow
def test_the_simulator_and_its_figures_do_not_import_the_extra():
    code = "import sys, simcollapse.reproduce; print([m for m in ('flax', 'optax', 'orbax') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_without_the_extra_the_error_names_it(monkeypatch):
    import importlib
    import importlib.util

    import simcollapse.neural

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "flax" else find(name))
    with pytest.raises(ImportError, match=r"needs flax: install the extra `neural`.*simcollapse\[neural\]"):
        importlib.reload(simcollapse.neural)


KILLED = """
import sys
from tests.neural.test_yi_vae import TINY
import dataclasses
from simcollapse.reproduce.yi_vae import curves
data = curves.compute(dataclasses.replace(TINY, folder=sys.argv[1], chains=1))
data.to_netcdf(sys.argv[2], engine="scipy")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_anywhere_and_started_again_it_gives_the_same_bits(tmp_path):
    """SIGKILL at the appearance of each third round's folder, then to the end; against a run never stopped."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": os.getcwd()}

    def start(folder, out):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), str(out)], env=environment, stderr=subprocess.DEVNULL
        )

    assert start(tmp_path / "whole", tmp_path / "whole.nc").wait() == 0
    kills = 0
    while True:
        folder = tmp_path / "killed"
        before = len(list(folder.glob("*/*/round-*")))
        process = start(folder, tmp_path / "killed.nc")
        while process.poll() is None and len(list(folder.glob("*/*/round-*"))) < before + 3:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0 and kills >= 3
    whole, killed = (report.load_data(tmp_path / f"{name}.nc") for name in ("whole", "killed"))
    xr.testing.assert_identical(killed, whole)
