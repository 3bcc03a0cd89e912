"""The config of docs/scaling.md is complete and runs."""

import dataclasses
import re

from simcollapse import runs
from simcollapse.cli import main
from simcollapse.runs import config as configs
from tests.runs.conftest import ROOT

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_the_config_names_every_field_and_runs(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    for field in dataclasses.fields(configs.Config):
        assert re.search(rf"^(# )?{field.name} = |^\[{field.name}\]", text, flags=re.MULTILINE), field.name
    words = ["--set", "chains=16", "rounds=2", "workflow=replace", "over={verifier.radius=[1.0]}"]
    assert main(["run", str(path), "--out", str(tmp_path / "run"), *words]) == 0
    assert runs.open_run(tmp_path / "run").load().sizes["verifier.radius"] == 1
    assert configs.arguments(configs.read(path, ["block_size=256"]))["block_size"] == 256


def test_options_of_the_page_exist(tmp_path, capsys):
    usage = {"run": set(), "runs": set()}
    for line in re.findall(r"simcollapse (runs?) ([^\n`]*)", PAGE):
        usage[line[0]] |= set(re.findall(r"--[a-z-]+", line[1].partition("#")[0]))
    options = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(_run_class())}
    assert usage["run"] <= options, usage["run"] - options
    assert {"--shard", "--distributed", "--dry-run", "--check", "--print-config"} <= usage["run"]


def _run_class():
    from simcollapse.cli.run import Run

    return Run
