"""The command line: what it prints, what it writes, how it says no. Mostly in process; a start costs seconds."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from simcollapse import bench, reproduce, theorems
from simcollapse.cli import TRACEBACK, main
from simcollapse.cli.commands import COMMANDS
from simcollapse.reproduce import claims
from simcollapse.reproduce.estimates import Estimate

PLAN = ["plan", "--dim", "4", "--noise", "1", "--n-real", "50", "--n-per-round", "200"]
BALL = ["--radius", "1.5", "--bias", "0.3"]
TINY = [
    "--dim",
    "2",
    "--noise",
    "1",
    "--n-real",
    "30",
    "--n-per-round",
    "30",
    "--rounds",
    "2",
    "--chains",
    "20",
]


def refused(capsys, argv, code=3):
    """The one line on stderr of a call that ends with `code` and prints nothing else."""
    assert main(argv) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("simcollapse: error: ") and printed.err.count("\n") == 1
    return printed.err


@pytest.fixture
def csv(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 2))
    frame = pd.DataFrame(
        {"age": x[:, 0], "dose": x[:, 1], "score": 3 + x.sum(axis=1) + random.normal(size=60)}
    )
    frame.to_csv(tmp_path / "study.csv", index=False)
    return str(tmp_path / "study.csv")


def test_help_names_every_command_and_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "simcollapse", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stderr == ""


def test_the_thread_pool_and_precision_are_set_before_jax_starts():
    clean = {k: v for k, v in os.environ.items() if k not in ("NPROC", "JAX_ENABLE_X64")}
    command = [sys.executable, "-m", "simcollapse", "info", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=clean)
    found = json.loads(done.stdout)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert (found["cpu_threads"], found["dtype"]) == (cores, "float64")


def test_a_thread_pool_size_that_the_user_set_is_kept(capsys, monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cpu_threads"] == 3


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("simcollapse ")


def test_usage_errors_end_with_two(capsys):
    assert "Did you mean 'plan'?" in refused(capsys, ["plann"], code=2)
    for argv in ([], ["plan", "--dimm", "3"], ["plan", "--dim", "three"], ["reproduce"]):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 2
    assert "--dim" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["plan", "--dim", "4"], "noise and n_real and n_per_round must be given when there is no table"),
        ([*PLAN, "--radius", "-1", "--bias", "0"], "radius must be positive"),
        ([*PLAN, "--radius", "nan", "--bias", "0"], "radius must be positive"),
        ([*PLAN, "--radius", "1"], "exactly one of bias and trained_on"),
        ([*PLAN, *BALL, "--workflow", "acumulate"], "Did you mean 'accumulate'?"),
        ([*PLAN, *BALL, "--n-increment", "10", "--n-ratio", "2"], "n_increment goes with one number"),
        ([*PLAN, *BALL, "--png", "curve.gif"], "the ending of png must be one of ['.png'], got '.gif'"),
        ([*PLAN, *BALL, "--png", "no-such-folder/curve.png"], "no folder no-such-folder"),
        ([*PLAN, *BALL, "--target", "score"], "target goes with data"),
        (["plan", "--data", "diabetis", "--slack", "60", "--bias", "5"], "Did you mean 'diabetes'?"),
        (["plan", "--data", "no-such.csv", "--target", "y", "--slack", "6", "--bias", "5"], "no-such.csv"),
        (["plan", "--data", "diabetes", "--target", "y"], "target belongs to a file"),
        (["simulate", *TINY, "--n-per-round", "inf"], "n_per_round must be finite in a simulation"),
        (["simulate", *TINY, *BALL, "--engine", "law"], "engine='law' needs a known law"),
        (["simulate", *TINY, "--out", "rounds.txt"], "the ending of out must be one of ['.nc', '.csv']"),
        (["reproduce", "yi-regime"], "Did you mean 'yi-regimes'?"),
        (["reproduce", "yi-regimes", "--scale", "huge"], "scale must be one of"),
    ],
)
def test_bad_input_is_one_line_and_ends_with_three(capsys, argv, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, argv)


def test_a_traceback_can_be_asked_for(capsys, monkeypatch):
    monkeypatch.setenv(TRACEBACK, "1")
    assert main([*PLAN, "--radius", "-1", "--bias", "0"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_plan_prints_and_draws(capsys, tmp_path):
    png = tmp_path / "plan.png"
    assert main([*PLAN, *BALL, "--png", str(png)]) == 0
    printed = capsys.readouterr()
    assert "best: round 1" in printed.out and "exact chain by quadrature" in printed.out
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 20_000
    assert printed.err == ""


def test_plan_json_is_only_json(capsys):
    assert (
        main([*PLAN, "--radius", "1.5", "--bias", "0.1", "0.2", "-0.1", "0", "--rounds", "4", "--json"]) == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert made["pipeline"]["bias"] == [0.1, 0.2, -0.1, 0.0]
    assert len(made["curve"]["mse"]) == 5
    assert main([*PLAN[:-1], "100", "200", "300", "--rounds", "3", *BALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pipeline"]["n_per_round"] == [100, 200, 300]
    assert main([*PLAN, "--n-increment", "20", "--rounds", "3", *BALL, "--json"]) == 0
    growth = json.loads(capsys.readouterr().out)["pipeline"]["n_per_round"]
    assert growth == {"start": 200, "increment": 20.0, "ratio": 1.0}


def test_plan_reads_tables(capsys, csv):
    verifier = ["--slack", "1.5", "--trained-on", "40", "--chains", "0", "--json"]
    assert main(["plan", "--data", csv, "--target", "score", *verifier]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["pipeline"]["dim"] == 3 and made["pipeline"]["n_real"] == 60
    assert main(["plan", "--data", csv, "--target", "score", "--columns", "dose", *verifier]) == 0
    assert json.loads(capsys.readouterr().out)["pipeline"]["dim"] == 2
    assert main(["plan", "--data", "diabetes", "--standardise", *verifier[2:], "--slack", "60"]) == 0
    assert json.loads(capsys.readouterr().out)["pipeline"]["data"].startswith("diabetes")


def test_simulate_prints_every_round_and_writes_every_chain(capsys, tmp_path):
    for ending in ("nc", "csv"):
        out = tmp_path / f"chains.{ending}"
        assert main(["simulate", *TINY, "--out", str(out)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split() == ["round", "MSE", "±", "se", "accepted", "phi", "psi", "p", "p*", "frozen"]
        assert [line.split()[0] for line in lines[2:5]] == ["0", "1", "2"]
        assert lines[-1] == f"written to {out}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chains.csv", "chains.nc"]
    with xr.open_dataset(tmp_path / "chains.nc", engine="scipy") as stored:
        assert dict(stored.sizes) == {"chain": 20, "round": 3}
        assert stored.attrs["seed"] == 0 and stored.attrs["engine"] == "law"
        mean = float(stored.squared_error.isel(round=1).mean())
    assert len(pd.read_csv(tmp_path / "chains.csv")) == 60
    assert f"{mean:.5g}" in lines[3]


def test_simulate_counts_frozen_chains_and_says_why(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # the test configuration makes warnings errors
        assert main(["simulate", *TINY, "--radius", "1e-6", "--bias", "9"]) == 0
    printed = capsys.readouterr()
    assert "simcollapse: warning: 20 of 20 chains froze" in printed.err
    last = printed.out.splitlines()[4].split()
    assert last[0] == "2" and last[-1] == "20"


def test_reproduce_prints_what_is_not_confirmed_and_ends_with_one(capsys, monkeypatch, tmp_path):
    asked, rise = {}, claims.above("it rises", "", "height", Estimate(2.0, 0.1), 1.0)
    fall = claims.below("it falls", "", "height", Estimate(2.0, 0.1), 1.0)
    hardly = claims.below("it hardly falls", "", "height", Estimate(1.1, 0.1), 1.0)
    found = [rise, fall, hardly]

    def run(name, **options):
        asked.update(options, name=name)
        return found

    monkeypatch.setattr(reproduce, "run", run)
    assert main(["reproduce", "all", "--scale", "small", "--out", str(tmp_path), "--seed", "7"]) == 1
    printed = capsys.readouterr().out
    assert "2 of 3 claims are not confirmed" in printed and "it rises" not in printed
    assert "- NO: it falls" in printed and "- unclear: it hardly falls" in printed
    found = [rise]
    assert main(["reproduce", "all"]) == 0 and capsys.readouterr().out == ""
    main(["reproduce", "all", "--scale", "small", "--out", str(tmp_path), "--seed", "7"])
    assert (asked["name"], asked["scale"], asked["out"], asked["seed"]) == ("all", "small", tmp_path, 7)


def test_theorems_and_bench_pass_their_options_and_their_exit_code(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(theorems, "main_run", lambda names, **o: asked.append((names, o)) or 1)
    monkeypatch.setattr(bench, "main_run", lambda **o: asked.append(o) or 0)
    assert main(["theorems", "moments", "rate", "--self-test"]) == 1
    assert main(["bench", "--quick", "--out", str(tmp_path / "bench.json")]) == 0
    assert asked[0] == (["moments", "rate"], {"self_test": True, "json": False})
    assert asked[1] == {"json": False, "quick": True, "only": None, "out": tmp_path / "bench.json"}


def test_an_interrupt_is_one_word(capsys, monkeypatch):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "main_run", interrupted)
    assert main(["bench"]) == 130
    assert capsys.readouterr().err == "simcollapse: interrupted\n"


def test_info_says_versions_devices_and_data(capsys, monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rows.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["found"] == {"mine": ["rows.csv"]} and "diabetes" in found["data"]["bundled"]
    assert found["versions"]["jax"] and found["devices"][0]["platform"] == found["backend"]
    assert main(["info"]) == 0
    assert "rows.csv" in capsys.readouterr().out
