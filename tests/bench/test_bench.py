"""A whole benchmark at its smallest, and what is made of it."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simcollapse import bench
from simcollapse.bench import limit, measure, programs, sweeps, tables, timing
from simcollapse.bench import report as report_module
from simcollapse.bench.cases import Case
from simcollapse.bench.mixtures import MixtureCase
from simcollapse.bench.scale import Scale

TINY = Scale(
    name="tiny",
    dims=(1, 100),
    ns=(100,),
    designs=("fixed",),
    law_dims=(1,),
    law_ns=(100,),
    law_designs=("gaussian",),
    mixtures=(MixtureCase(2, 40),),
    run_s=0.002,
    engine_run_s=0.002,
    repeats=10,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The JSON printed, and the file written, by one tiny benchmark."""
    out = tmp_path_factory.mktemp("bench") / "tiny.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "QUICK", TINY)
        patch.setattr(Scale, "many_chains", 128)
        printed = []
        patch.setattr("builtins.print", lambda text: printed.append(text))
        assert bench.main_run(json=True, quick=True, out=out) == 0
    return printed[0], out.read_text()


@pytest.fixture(scope="module")
def report(run):
    return json.loads(run[0])


@pytest.mark.slow
def test_what_is_printed_is_what_is_written(run):
    printed, written = run
    assert written == printed + "\n"


@pytest.mark.slow
def test_the_setting_says_where_and_with_what(report):
    setting = report["setting"]
    assert setting["device"] == "cpu"
    assert setting["dtype"] == "float64"  # the tests' own setting
    assert setting["key_implementation"]
    assert setting["cpu_threads"] >= 1
    assert set(setting["versions"]) == {"simcollapse", "jax", "jaxlib", "numpy", "python"}
    assert report["complete"] is True
    assert report["schema"] == 1


def test_a_section_is_measured_alone():
    nothing = dataclasses.replace(TINY, cells=(), growths=(), figures=())
    for only in ("generative", "figures"):
        made = report_module.collect(nothing, only=only)
        assert made["complete"] and not made["sample"] and not made["mixture"]
    with pytest.raises(ValueError, match="only must be one of"):
        bench.main_run(only="figure")


@pytest.mark.slow
def test_no_date_and_no_path_are_written(run):
    assert not re.search(r"20\d\d-\d\d|/home|/root|/tmp|/work", run[0])


@pytest.mark.slow
def test_each_case_has_rates_ratios_and_costs(report):
    (sample,), (law,) = report["sample"], report["law"]
    assert set(sample["rates"]) == {"engine", "loop", "loop_gram", "loop_solve", "vectorised", "limit"}
    assert set(law["rates"]) == {"engine", "loop", "loop_gram", "loop_solve", "vectorised"}
    for row in (sample, law):
        assert set(row["speedup"]) == set(row["rates"]) - {"engine"}
        assert all(rate["rate"] > 0 and rate["repeats"] == 10 for rate in row["rates"].values())
        assert (
            row["compile"]["compile_s"] > 0.05
        )  # a program that was compiled before would show next to nothing
        assert row["compile"]["block_bytes"] > 0
        assert row["seconds_to_error"]["engine"] > 0
    assert 0.3 < sample["acceptance_rate"] < 0.7
    assert (sample["engine"], law["engine"]) == ("sample", "law")


@pytest.mark.slow
def test_classification_is_measured_in_both_engines(report):
    sample, law = report["mixture"]
    assert (sample["engine"], law["engine"]) == ("sample", "law")
    assert set(sample["rates"]) == {"engine", "loop", "vectorised", "limit"}
    assert set(law["rates"]) == {"engine", "loop", "vectorised"}
    for row in (sample, law):
        assert row["acceptance_rate"] == pytest.approx(0.7 * 0.9 + 0.3 * 0.4, abs=0.05)
        assert 0 < row["mean_excess_risk"] < 0.2


@pytest.mark.slow
def test_impossible_sizes_are_left_out_with_the_reason(report):
    assert [item["case"] for item in report["skipped"]] == ["fixed, d=100, n=100"]


@pytest.mark.slow
def test_peak_memory_is_there(report):
    assert report["memory"]["peak_process_bytes"] > 2**20


@pytest.mark.slow
def test_block_sizes_are_compared_with_the_chosen_one(monkeypatch):
    monkeypatch.setattr(Scale, "many_chains", 128)
    swept = dataclasses.replace(TINY, block_sizes=((Case("fixed", 1, 100), (8,)),))
    rows = sweeps.block_sizes(swept)
    assert [(row["block_size"], row["chosen"]) for row in rows] == [(8, False), (16, True)]
    assert all(row["rate"] > 0 and row["compile_s"] > 0.05 for row in rows)
    assert tables.block_sizes({"block_sizes": rows}).rows[1][1] == "16 (chosen)"


@pytest.mark.slow
def test_markdown_has_every_table_and_even_rows(report):
    text = tables.to_markdown(report)
    for table in tables.tables(report):
        assert f"**{table.title}**" in text
        assert all(len(row) == len(table.columns) for row in table.rows)
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(tables.tables(report)) >= 4
    for block in blocks:
        assert len({line.count(" | ") for line in block.splitlines()}) == 1
    assert "| fixed, d=1, n=100 |" in text


@pytest.mark.slow
def test_the_terminal_shows_the_same_tables(report, capsys):
    import rich.console

    console = rich.console.Console(width=200)
    for table in tables.tables(report):
        console.print(tables.to_rich(table))
    shown = capsys.readouterr().out
    assert "Every row drawn" in shown
    assert "fixed, d=1, n=100" in shown


@pytest.mark.slow
def test_the_script_renders_a_results_file(run, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(run[1])
    script = Path(__file__).parents[2] / "benchmarks" / "table.py"
    done = subprocess.run([sys.executable, script, file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == tables.to_markdown(json.loads(run[1]))


def test_compiling_again_during_the_timed_runs_is_an_error():
    class Jitted:
        size = 0

        def _cache_size(self):
            self.size += 1
            return self.size

    compiled = {0: programs.Program(Jitted(), 0.0, 0.0, 0)}
    row = {"case": "c", "chains_for_error": 1.0, "rounds": 1}
    with pytest.raises(RuntimeError, match="compiled 1 programs again during the timed runs of c"):
        measure.timed(row, {"engine": timing.Action(lambda: None, 1)}, compiled, TINY)


def test_the_block_size_is_found_without_running():
    case = Case("gaussian", 1, 20)
    size = programs.block_size(lambda: case.simulate(1000, block_size=48))
    assert size == 48
    with pytest.raises(RuntimeError, match="without asking"):
        programs.block_size(lambda: None)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("case", [Case("gaussian", 2, 20), Case("fixed", 2, 20), MixtureCase(2, 20)])
def test_the_limit_counts_chain_rounds(case, at_once):
    action = limit.action(case, batch=3, at_once=at_once, calls=4)
    action.run()
    action.run()
    assert action.work == 12


def test_the_limit_of_a_fixed_design_makes_the_products_of_its_rows():
    case = Case("fixed", 2, 20)
    rows, pairs = limit._fixed(case)
    np.testing.assert_allclose(rows, case.rows)
    np.testing.assert_allclose(pairs[:, 1], case.rows[:, 0] * case.rows[:, 1])


@pytest.mark.slow
def test_virtual_devices_do_the_same_work_to_the_bit():
    one, two = sweeps.devices(dataclasses.replace(TINY, device_counts=(1, 2)))
    assert "error" not in one and "error" not in two
    assert (one["devices"], two["devices"]) == (1, 2)
    assert two["virtual"] and two["same_bits"] and two["speedup"] > 0


def test_a_process_that_fails_is_reported(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="one line\nthe reason\n")
    monkeypatch.setattr(sweeps.subprocess, "run", lambda *args, **options: failed)
    (row,) = sweeps.devices(dataclasses.replace(TINY, device_counts=(2,)))
    assert row == {"devices": 2, "virtual": True, "error": "the reason"}
    table = tables.devices({"devices": [row]})
    assert table.rows == [["2 virtual", "failed: the reason", "", ""]]


def test_devices_are_compared_with_one(monkeypatch):
    def measured(command, **options):
        count = int(re.search(r"device_count=(\d+)", options["env"]["XLA_FLAGS"])[1])
        row = {"devices": count, "platform": "cpu", "rate": 100.0 * count, "digest": "same"}
        return subprocess.CompletedProcess(command, 0, stdout=f"a warning\n{json.dumps(row)}\n", stderr="")

    monkeypatch.setattr(sweeps.subprocess, "run", measured)
    one, two = sweeps.devices(dataclasses.replace(TINY, device_counts=(1, 2)))
    assert (one["speedup"], two["speedup"], two["same_bits"]) == (1, 2, True)
    assert tables.devices({"devices": [one, two]}).rows[1] == ["2 virtual", "200", "2×", "yes"]
