"""`simcollapse run --check` from end to end: it passes what is right and fails a planted error, by its exit code.

The check gives correct code a chance of at most check.FALSE_ALARM = 1e-6 to fail, over all z-scores of a run together.
"""

import json

import pytest

import theory
from simcollapse.cli import main
from simcollapse.runs import check

CONFIG = """
n_real = 30
n_per_round = 30
rounds = 2
chains = 10000
record = "summary"

[task]
name = "linear_regression"
truth = [1.0, -1.0]

[over]
task.noise = [0.5, 1.0]
"""
# The command line, with one function replaced by another made of it.
PLANTED = """
import importlib, sys
from dataclasses import replace
from simcollapse.cli import main
module = importlib.import_module("{module}")
right = module.{path}
module.{path} = {wrong}
sys.exit(main())
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def verdict_of(folder):
    """The check in a run's summary; every disagreement that it counts is one that it shows."""
    found = json.loads((folder / "summary.json").read_text())["check"]
    assert found["false_alarm"] == check.FALSE_ALARM == 1e-6
    assert found["num_disagreeing"] == sum(not row["agrees"] for row in found["rows"])
    return found


def test_a_right_run_passes_and_a_wrong_closed_form_fails_it(config, tmp_path, capsys, monkeypatch):
    words = ["run", str(config), "--out", str(tmp_path / "run"), "--check"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "against theory: agrees (correct results disagree with a chance of at most 1e-06" in said
    found = verdict_of(tmp_path / "run")
    assert (found["verdict"], found["num_compared"], found["unknown"]) == (check.AGREES, 12, {})
    assert all(row["sees"] < 0.15 for row in found["rows"])  # relative

    forms = theory.workflows.linear_regression
    right = forms.replace_mse_exact
    monkeypatch.setattr(forms, "replace_mse_exact", lambda **given: right(**given) * [1, 1, 1.2])
    assert main(words) == 1
    assert "against theory: DISAGREES" in capsys.readouterr().out
    found = verdict_of(tmp_path / "run")
    assert (found["verdict"], found["num_disagreeing"]) == (check.DISAGREES, 4)
    for row in found["rows"][:4]:
        assert row["round"] == 2
        assert row["z"] < -10 and abs(row["z"]) > row["limit"]

    monkeypatch.undo()
    assert main(words) == 0
    assert verdict_of(tmp_path / "run")["verdict"] == check.AGREES


@pytest.mark.parametrize(
    ("engine", "place", "wrong"),
    [
        pytest.param(
            "law",
            "simcollapse.laws.linear_regression_unverified:fit_alone",
            "lambda key, task, model, count, present: right(key, task, model, count - count // 8, present)",
            id="too few rows in a fit",
        ),
        pytest.param(
            "sample",
            "simcollapse.tasks.linear_regression:LinearRegression.generate",
            "lambda *args: (lambda rows: replace(rows, noise=1.2 * rows.noise))(right(*args))",
            id="rows too noisy",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_wrong_step_fails_the_run(config, tmp_path, call, engine, place, wrong):
    words = ["run", config, "--out", tmp_path / "run", "--check", "--set", f"engine={engine}"]
    module, _, path = place.partition(":")
    planted = PLANTED.format(module=module, path=path, wrong=wrong)
    code, said, err = call(*words, program=("-c", planted))
    assert (code, err) == (1, "")
    assert "against theory: DISAGREES" in said
    found = verdict_of(tmp_path / "run")
    assert {row["cell"] for row in found["rows"] if not row["agrees"]} == {0, 1}
    assert found["rows"][0]["z"] > 10  # too large an error, and far beyond chance
