"""Runs listed, shown, drawn and taken out, read back by other programs."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import image

from simcollapse import runs
from simcollapse.cli import main
from simcollapse.reproduce import style
from simcollapse.runs import picture


@pytest.fixture(scope="module")
def summary_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary")
    table = {"task": {"name": "linear_regression", "truth": [1.0, -1.0]}, "over": {"task.noise": [0.5, 1.0]}}
    table |= {"n_real": 30, "n_per_round": 30, "rounds": 3, "chains": 40, "engine": "law", "block_size": 16}
    return runs.run(table | {"record": "summary"}, folder / "run", progress=False)


def test_list_names_every_run_and_its_state(whole, tmp_path, capsys):
    for name in ("good", "begun", "torn"):
        shutil.copytree(whole.folder, tmp_path / name)
    (tmp_path / "begun" / "done" / "000003.json").unlink()
    (tmp_path / "torn" / "run.json").write_text("{")
    (tmp_path / "other").mkdir()
    assert main(["runs", "list", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    by_name = {line.split()[0]: line for line in lines}
    assert by_name["good"].split()[-1] == "all"
    assert "replace, accumulate" in by_name["good"]  # swept, so both
    assert by_name["begun"].rstrip().endswith("11 of 12 parts")
    assert by_name["torn"].rstrip().endswith("cannot be read")
    assert "run.json is damaged" in lines[-1]
    assert main(["runs", "list", str(tmp_path / "other")]) == 0
    assert "no runs in" in capsys.readouterr().out
    assert main(["runs", "list", str(tmp_path / "absent")]) == 3


def test_show_tells_what_it_is(whole, capsys):
    assert main(["runs", "show", str(whole.folder)]) == 0
    said = capsys.readouterr().out
    for words in (
        "task: linear_regression(truth=[1.0, -1.0]",
        "4 cells × 42 chains × 3 rounds, seed 5",
        "done: all",
    ):
        assert words in said
    assert "over workflow: replace, accumulate" in said and "workflow: replace()" not in said
    assert (whole.folder / "summary.txt").read_text() in said
    assert main(["runs", "show", str(whole.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["finished"] and told["done"] == 12 and told["config"]["chains"] == 42
    assert main(["runs", "show", str(whole.folder.parent)]) == 3
    assert "is not a run directory" in capsys.readouterr().err


def test_export_of_chains_is_read_back_by_pandas_and_xarray(whole, swept, tmp_path, capsys):
    for ending in ("parquet", "csv", "nc"):
        assert main(["runs", "export", str(whole.folder), str(tmp_path / f"out.{ending}")]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.nc", "out.parquet"]
    data = xr.open_dataset(tmp_path / "out.nc")
    np.testing.assert_array_equal(data["squared_error"], swept["squared_error"])
    for table, exact in (  # pandas' reader of CSV rounds
        (pd.read_parquet(tmp_path / "out.parquet"), True),
        (pd.read_csv(tmp_path / "out.csv"), False),
    ):
        assert len(table) == 4 * 42 * 4
        assert list(table)[:5] == [
            "task.noise",
            "workflow",
            "chain",
            "round",
            next(iter(whole.meta["shapes"])),
        ]
        found = table.set_index(["task.noise", "workflow", "chain", "round"]).sort_index()
        wanted = swept.to_dataframe().sort_index()
        for name in ("squared_error", "p_star", "num_kept"):
            rtol = 0 if exact else 1e-15
            np.testing.assert_allclose(found[name], wanted.loc[found.index, name], rtol=rtol, atol=0)


def test_export_of_a_summary(summary_run, tmp_path):
    for ending in ("parquet", "csv", "nc"):
        assert main(["runs", "export", str(summary_run.folder), str(tmp_path / f"out.{ending}")]) == 0
    result = summary_run.load()
    table = pd.read_parquet(tmp_path / "out.parquet").set_index(["task.noise", "statistic", "round"])
    mean = table.loc[(1.0, "mean", 3), "squared_error"]
    assert mean == result["squared_error"].sel({"task.noise": 1.0, "statistic": "mean", "round": 3})
    np.testing.assert_array_equal(
        xr.open_dataset(tmp_path / "out.nc")["squared_error"], result["squared_error"]
    )


def test_models_are_exported_column_by_column_and_not_drawn(tmp_path, capsys):
    table = {"task": {"name": "linear_regression", "truth": [1.0, -1.0]}, "n_real": 30, "n_per_round": 30}
    table |= {"rounds": 3, "chains": 20, "engine": "law", "record_model": True, "block_size": 16}
    run = runs.run(table, tmp_path / "run", progress=False)
    assert main(["runs", "export", str(run.folder), str(tmp_path / "out.parquet")]) == 0
    found = pd.read_parquet(tmp_path / "out.parquet")
    model = run.load()["model_coef"].values.reshape(-1, 2)
    np.testing.assert_array_equal(found[["model_coef_0", "model_coef_1"]], model)
    assert main(["runs", "plot", str(run.folder), "--metric", "model_coef"]) == 3
    assert "metric must be one of ['excess_risk', " in capsys.readouterr().err
    assert main(["runs", "plot", str(run.folder), "--metric", "phi"]) == 3
    assert "phi has no value in any round of" in capsys.readouterr().err


def test_export_of_an_unfinished_run_is_refused(whole, tmp_path, capsys):
    out = shutil.copytree(whole.folder, tmp_path / "run")
    (out / "done" / "000003.json").unlink()
    for ending in ("parquet", "nc", "csv"):
        assert main(["runs", "export", str(out), str(tmp_path / f"out.{ending}")]) == 3
        assert "is not finished: 11 of 12 parts are done" in capsys.readouterr().err
    assert main(["runs", "export", str(whole.folder), str(tmp_path / "out.xls")]) == 3
    assert "the ending of" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kind", ["chains", "summary"])
def test_a_picture_is_drawn(whole, summary_run, tmp_path, capsys, kind):
    run = whole if kind == "chains" else summary_run
    png = tmp_path / "out.png"
    assert main(["runs", "plot", str(run.folder), "--png", str(png)]) == 0
    pixels = image.imread(png)
    assert min(pixels.shape[:2]) > 400
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 50
    assert main(["runs", "plot", str(run.folder), "--metric", "squared_eror"]) == 3
    assert "Did you mean 'squared_error'?" in capsys.readouterr().err


def test_a_picture_tells_its_lines_apart_beside_a_legend(whole):
    figure = picture.plot(whole, "squared_error")
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["workflow = replace", "workflow = accumulate", "task.noise = 0.5", "task.noise = 1"]
    looks = {(bars[0].get_color(), bars[0].get_marker(), bars[0].get_linestyle()) for bars in axes.containers}
    assert len(looks) == 4
    assert {colour for colour, *_ in looks} == {style.WORKFLOW_COLORS[w] for w in ("replace", "accumulate")}
    box = legend.get_window_extent()
    assert not box.overlaps(axes.get_tightbbox())
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert (
        axes.get_ylabel() == "squared_error" and "unit of the coefficients squared" in figure.get_suptitle()
    )
    for metric, words in (("acceptance_rate", "accepted / generated"), ("num_kept", "accepted proposals")):
        assert picture.plot(whole, metric).get_suptitle().startswith(words)


def test_print_config_is_a_config(tiny, tmp_path, capsys):
    assert main(["run", str(tiny), "--print-config", "--set", "chains=7", "task.noise=2.0"]) == 0
    printed = capsys.readouterr().out
    assert "chains = 7" in printed and "noise = 2.0" in printed and "max_tries = 1000" in printed
    (tmp_path / "printed.toml").write_text(printed)
    assert main(["run", str(tmp_path / "printed.toml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


def test_usage_that_makes_no_sense_is_refused(tiny, capsys):
    for words, said in (
        (["--shard", "4/4"], "shard index must be <= 3"),
        (["--shard", "4/4", "--dry-run"], "shard index must be <= 3"),
        (["--shard", "a/b"], "shard must look like 0/4"),
        (["--memory", "-1"], "--memory must be a positive number of GiB, got -1.0"),
        (["--memory", "nan"], "--memory must be a positive number of GiB, got nan"),
        (["--processes", "2", "--shard", "0/2"], "--processes goes neither"),
        (["--distributed", "--shard", "0/2"], "does not go with --shard"),
        (["--coordinator", "localhost:1"], "give all three, or none"),
        (
            ["--distributed", "--coordinator", "h", "--process-count", "2", "--process-index", "0"],
            "host:port",
        ),
        (
            ["--distributed", "--coordinator", "h:1", "--process-count", "2", "--process-index", "2"],
            "0 … 1 of 2",
        ),
        (["--coordinator", "h:1", "--process-count", "2", "--process-index", "0"], "go with --distributed"),
        (["--processes", "0"], "processes must be >= 1"),
        (["--heartbeat", "0", "--processes", "2"], "heartbeat must be >= 1"),
    ):
        assert main(["run", str(tiny), *words]) == 3, words
        assert said in capsys.readouterr().err
    assert main(["run", str(tiny.parent / "absent.toml")]) == 3
    assert "absent.toml: No such file" in capsys.readouterr().err
