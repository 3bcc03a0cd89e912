"""What a run would take: numbers, and what is refused."""

import json
import time

import pytest

from simcollapse import runs
from simcollapse.cli import main
from simcollapse.runs import config as configs
from simcollapse.runs import forecast, runner


@pytest.fixture
def experiment(tiny):
    return runner.prepare(configs.read(tiny))[0]


def test_numbers_are_those_of_the_run(experiment, tmp_path, whole):
    made = forecast.forecast(experiment, tmp_path / "out", calibrate=False)
    assert (made["cells"], made["chains"], made["chain_rounds"]) == (4, 168, 504)
    assert (made["blocks"], made["parts"]) == (12, whole.layout.num_parts)
    assert [p["workflow"] for p in made["programs"]] == ["Replace", "Accumulate"]
    assert {p["engine"] for p in made["programs"]} == {"law"}
    size = sum(f.stat().st_size for f in (whole.folder / "store.zarr").rglob("*") if f.is_file())
    assert size / 2 < made["output_bytes"] < 10 * size  # counts are compressed; small chunks hardly
    assert not (tmp_path / "out").exists()


def test_dry_run_prints_and_writes_nothing(tiny, tmp_path, capsys):
    assert main(["run", str(tiny), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    for words in (
        "4 cells, 168 chains, 504 chain-rounds; 12 blocks in 12 parts",
        "memory of a device",
        "time here",
    ):
        assert words in said
    assert not (tmp_path / "out").exists()


def test_summary_output_is_smaller_for_many_chains(tiny, tmp_path):
    sizes = {}
    for record in ("chains", "summary"):
        experiment = runner.prepare(
            configs.read(tiny, ["chains=100000", f"record='{record}'", "block_size=4096"])
        )[0]
        sizes[record] = forecast.forecast(experiment, tmp_path, calibrate=False)["output_bytes"]
    assert sizes["summary"] < sizes["chains"] / 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "chains=2000000000"], "record='summary'"),
        (
            ["--set", "n_per_round=200000000", "engine=sample", "over.workflow=['accumulate_subsample']"],
            "use fewer rows or rounds, a workflow without a row buffer",
        ),
        (
            ["--set", "n_per_round=1500000000", "engine=sample", "over.workflow=['accumulate_subsample']"],
            "places for 4,500,000,030 rows, there can be 2,147,483,647; use fewer rows or rounds",
        ),
        (
            ["--set", f"over.n_real={list(range(30, 1030))}", f"over.task.noise={list(range(1, 3001))}"],
            "fewer grid values",
        ),
        (["--memory", "0.000001"], "a larger memory_bytes (simcollapse run: --memory)"),
    ],
    ids=["disk", "rows", "places", "cells", "memory"],
)
def test_what_cannot_fit_is_refused_and_says_what_would(tiny, tmp_path, capsys, words, said):
    assert main(["run", str(tiny), "--out", str(tmp_path / "out"), "--dry-run", *words]) == 3
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_time_is_foreseen_within_a_factor_of_three(tiny, tmp_path):
    words = ["chains=20000", "n_per_round=200", "rounds=10", "engine=sample", "block_size=256"]
    config = configs.read(tiny, words)
    experiment, _ = runner.prepare(config)
    made = forecast.forecast(experiment, tmp_path)
    begun = time.monotonic()
    run = runs.run(config, tmp_path / "run", progress=False)
    taken = time.monotonic() - begun
    assert json.loads((run.folder / "run.json").read_text())["plan"]["chains"] == 20000
    assert 1 / 3 < made["run_s"] / taken < 3, (made["run_s"], taken)
