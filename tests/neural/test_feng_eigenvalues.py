import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from simcollapse import reproduce
from simcollapse.reproduce import report
from simcollapse.reproduce.feng_eigenvalues import picture, runs, settings
from simcollapse.reproduce.feng_eigenvalues.settings import ArmSettings

TINY = dataclasses.replace(
    settings.SCALES["quick"],
    problem=settings.ProblemSettings(
        size=2, encoding="B1999", digits=1, lowest=0, highest=1, tolerance=0.5, norm="l1"
    ),
    model=settings.ModelSettings(width=16, heads=2, encoder_layers=1, decoder_layers=1),
    fit=settings.Fit(max_steps=100, warmup=5, learning_rate=1e-2, batch=32, check_every=25),
    n_real=500,
    arms=settings._arms((100, 200), (0.5, 1.0), (0.5, 1.0), (100, 2))[:-3],
    chains=2,
    held_out=100,
    beam=5,
    beam_matrices=50,
    audited=200,
)


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory):
    config = dataclasses.replace(TINY, folder=str(tmp_path_factory.mktemp("rounds")))
    return config, picture.compute(config)


@pytest.mark.slow
def test_the_picture_is_drawn_from_saved_data(tiny_data, tmp_path):
    report.save_data(tiny_data[1], tmp_path / "data.nc")
    loaded = report.load_data(tmp_path / "data.nc")
    files = report.save_figure(picture.draw(loaded), tmp_path / picture.NAME)
    assert all(file.stat().st_size > 10_000 for file in files)
    assert len(picture.compare(loaded)) == 10


@pytest.mark.slow
def test_a_second_run_takes_every_round_from_disk_and_may_have_more_chains(tiny_data, capsys):
    config, data = tiny_data
    xr.testing.assert_identical(picture.compute(config), data)
    assert "chain" not in capsys.readouterr().err
    more = dataclasses.replace(config, chains=3, arms=(*config.arms, ArmSettings(0.7, 100)))
    wide = picture.compute(more)
    told = capsys.readouterr().err
    assert (
        "chain 2, real examples" in told and "chain 0, p* = 0.7" in told and "chain 0, p* = 0.5" not in told
    )
    kept = wide.isel(chain=slice(2), arm=slice(len(config.arms)))
    np.testing.assert_array_equal(kept["accuracy"], data["accuracy"])


@pytest.mark.slow
def test_another_setting_is_refused_in_the_same_folder(tiny_data):
    with pytest.raises(ValueError, match="holds a run with other settings"):
        picture.compute(dataclasses.replace(tiny_data[0], n_real=301))


@pytest.mark.slow
def test_arms_share_round_0_and_keep_about_what_they_should(tiny_data):
    config, data = tiny_data
    for name in ("accuracy", "loss", "fit_loss"):
        first = data[name].sel(round=0)
        np.testing.assert_array_equal(first, np.broadcast_to(first.isel(arm=0), first.shape))
    for arm in config.arms:
        one = data.sel(arm=arm.name, round=1)
        accuracy = data["accuracy"].sel(arm=arm.name, round=0)
        for c in range(config.chains):
            count = runs.generated(arm, float(accuracy[c]))
            assert int(one["num_generated"][c]) == count
            # held-out accuracy is of 100 matrices, so what is kept is off by a few binomial errors
            assert abs(int(one["num_kept"][c]) / arm.amount - 1) < 0.6
        np.testing.assert_allclose(one["p_star"], arm.p_star)
        assert np.isfinite(data["accuracy"].sel(arm=arm.name)).sum() == config.chains * (arm.rounds + 1)
    assert (data["num_kept"].sel(arm="0.5-200", round=1) == 200).all()


@pytest.mark.slow
def test_verifiers_without_truth_and_table_1(tiny_data):
    data = tiny_data[1]
    assert (data["verifier_phi"] >= 0).all() and (data["verifier_phi"] <= 1).all()
    trace = data.sel(verifier="trace")
    assert (trace["verifier_phi"] > trace["verifier_psi"]).all()
    assert (data["beam_oracle"] >= data["beam_likelihood"]).all()


@pytest.mark.slow
def test_the_budget_is_stated_and_not_exceeded(tiny_data):
    config, data = tiny_data
    assert config.fits == 2 * (2 + 2 + 3 * 2) and config.budget == 20 * 100
    assert float(data["fit_steps"].max()) <= 100


def test_what_must_be_generated():
    assert runs.generated(ArmSettings(1.0, 1_000), 0.25) == 4_000
    assert runs.generated(ArmSettings(0.5, 1_000), 0.25) == 1_000
    assert runs.generated(ArmSettings(1.0, 1_000), 0.0) == 100_000


class TestClaims:
    """On numbers made up, claims say what the numbers say."""

    def make(self, noise=0.002, turned=False):
        arms = settings._arms((100, 1_000), (0.5, 0.6, 0.7, 1.0), (0.5, 1.0), (100, 1))
        random = np.random.default_rng(0)
        level = {0.5: 0.16, 0.6: 0.19, 0.7: 0.21, 1.0: 0.4}
        accuracy = np.full((len(arms), 5, 2), 0.2)
        for i, arm in enumerate(arms):
            accuracy[i, :, 1] = level[arm.p_star] - 0.05 * (arm.amount == 100)
        accuracy[:, :, 1] += noise * random.normal(size=(len(arms), 5))
        if turned:
            accuracy[:, :, 1] = 0.4 - accuracy[:, :, 1]
        beams = {"greedy": 0.202, "likelihood": 0.192, "oracle": 0.604 if not turned else 0.1}
        return xr.Dataset(
            {
                "accuracy": (("arm", "chain", "round"), accuracy),
                **{f"beam_{n}": ("chain", v + noise * random.normal(size=5)) for n, v in beams.items()},
            },
            coords={
                "arm": [arm.name for arm in arms],
                "round": [0, 1],
                **{
                    f"arm_{f}": ("arm", [getattr(a, f) for a in arms])
                    for f in ("p_star", "amount", "workflow", "rounds")
                },
            },
        )

    def test_all_agree_where_the_paper_is_right(self):
        rows = picture.compare(self.make())
        assert len(rows) == 10 and all(row.agrees for row in rows)
        (at,) = [row for row in rows if "0.65" in row.statement]
        np.testing.assert_allclose(at.value, 0.65, atol=0.02)

    def test_they_can_be_drawn_before_everything_is_run(self, tmp_path):
        data = self.make()
        data.attrs.update(heading="made up", config='{"problem": {"tolerance": 0.01}}')
        files = report.save_figure(picture.draw(data), tmp_path / picture.NAME)
        assert all(file.stat().st_size > 10_000 for file in files)

    def test_a_generator_that_is_never_right_is_no_error(self):
        data = self.make()
        data["accuracy"] = 0 * data["accuracy"]
        with np.errstate(invalid="ignore"):  # its accuracy cannot double
            assert not any(row.agrees for row in picture.compare(data)[:7])

    def test_turned_around_the_orderings_are_denied(self):
        verdicts = [row.verdict for row in picture.compare(self.make(turned=True))]
        assert verdicts[:6] == ["NO"] * 6 and verdicts[8] == "NO"

    def test_noise_makes_them_unclear(self):
        rows = picture.compare(self.make(noise=2.0))
        assert not any(row.agrees for row in rows[:4])
        assert any(row.unclear for row in rows)


def test_crossings():
    at = np.array([0.5, 0.6, 0.8])
    assert picture.crossing(at, np.array([0.1, 0.2, 0.4]), 0.15) == pytest.approx(0.55)
    assert picture.crossing(at, np.array([0.1, 0.2, 0.4]), 0.05) == 0.5  # above all along
    assert picture.crossing(at, np.array([0.1, 0.2, 0.4]), 0.5) == 0.8  # below all along
    assert picture.crossing(at, np.array([0.3, 0.2, 0.4]), 0.25) == pytest.approx(0.65)  # the last one
    assert picture._apart(at, np.array([0.55, 0.8, 0.5, 0.8])) == "2 of 4 seeds"


def test_every_scale_can_be_built():
    """The problem, the sizes and the beam fit each other; nothing is compiled."""
    assert tuple(settings.SCALES) == reproduce.SCALE_NAMES
    for config in settings.SCALES.values():
        assert len({arm.name for arm in config.arms}) == len(config.arms)
        assert config.beam == 50 and config.chains >= 3
        p = config.problem
        assert {arm.p_star for arm in config.arms} >= {0.5, 1.0}
        assert p.tolerance > 0 and config.model.width % config.model.heads == 0
    paper = settings.SCALES["paper"]
    assert (paper.problem.size, paper.n_real, paper.model.width, paper.model.heads) == (5, 200_000, 512, 8)
    assert max(arm.amount for arm in paper.arms) == 10_000_000


def test_bad_input_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="feng-eigenvalues reads no real data"):
        reproduce.run("feng-eigenvalues", data="x.csv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"width must be <= 22, the vocabulary"):
        runs.build(dataclasses.replace(TINY, beam=23))
    wrong = dataclasses.replace(TINY.problem, digits=4)
    with pytest.raises(ValueError, match=r"digits must lie in 1\.\.3 for B1999"):
        runs.build(dataclasses.replace(TINY, problem=wrong))
    with pytest.raises(ValueError, match="tolerance must be positive"):
        runs.build(dataclasses.replace(TINY, problem=dataclasses.replace(TINY.problem, tolerance=0.0)))


KILLED = """
import dataclasses, sys
from tests.neural.test_feng_eigenvalues import TINY
from simcollapse.reproduce.feng_eigenvalues import picture
data = picture.compute(dataclasses.replace(TINY, folder=sys.argv[1], chains=1))
data.to_netcdf(sys.argv[2], engine="scipy")
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_and_started_again_it_gives_the_same_bits(tmp_path):
    """SIGKILL at the appearance of each second round's folder, then to the end; against a run never stopped.

    There are eleven at last. A round may be complete before it is seen, and one that is not is made again.
    """
    environment = os.environ | {"PYTHONPATH": os.getcwd()}

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
        while process.poll() is None and len(list(folder.glob("*/*/round-*"))) < before + 2:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0 and kills >= 3
    whole, killed = (report.load_data(tmp_path / f"{name}.nc") for name in ("whole", "killed"))
    xr.testing.assert_identical(killed, whole)
