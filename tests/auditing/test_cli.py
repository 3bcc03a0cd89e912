"""The command `simcollapse audit`: exit codes, what it prints, writes and refuses."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from rich.console import Console

from simcollapse.auditing import audit, printing
from simcollapse.auditing.chart import plane, top_of
from simcollapse.auditing.draw import draw
from simcollapse.auditing.printing import print_report
from simcollapse.cli import main

ROWS = {"safe": (40, 50, 5, 50), "collapse": (5, 50, 40, 50), "undecided": (12, 20, 8, 20)}
CODES = {"safe": 0, "collapse": 1, "undecided": 2}


def write(path, table):
    x_c, n_c, x_w, n_w = table
    lines = ["1,yes"] * x_c + ["1,no"] * (n_c - x_c) + ["0,yes"] * x_w + ["0,no"] * (n_w - x_w)
    path.write_text("\n".join(["correct,kept", *lines]) + "\n")
    return str(path)


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "simcollapse", "audit", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize("verdict", ROWS)
def test_the_exit_code_is_the_verdict(tmp_path, verdict):
    done = command(write(tmp_path / "d.csv", ROWS[verdict]), "--json")
    assert (done.returncode, done.stderr) == (CODES[verdict], "")
    found = json.loads(done.stdout)
    assert (found["verdict"], found["exit_code"]) == (verdict, CODES[verdict])


def test_bad_input_and_bad_usage_end_with_three(tmp_path, capsys):
    path = write(tmp_path / "d.csv", ROWS["safe"])
    done = command(path, "--kept", "keep")
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        done.stderr.startswith("simcollapse: error: d.csv has no column 'keep'")
        and done.stderr.count("\n") == 1
    )
    for arguments in (["--corect", "x"], [path, "--level", "high"]):
        with pytest.raises(SystemExit) as stopped:
            main(["audit", *arguments])
        assert stopped.value.code == 3  # 2 would say undecided
    with pytest.raises(SystemExit) as stopped:
        main(["audit", "--help"])
    assert stopped.value.code == 0
    capsys.readouterr()
    for arguments, words in (
        ([], "FILE must be given"),
        ([path, "--png", "d.gif"], "the ending of png must be one of ['.png']"),
        ([path, "--example", str(tmp_path / "e.csv")], "example goes without FILE"),
        ([path, "--threshold", "1"], "threshold goes with score"),
        ([path + "x"], "no data file at"),
    ):
        assert main(["audit", *arguments]) == 3
        assert words in capsys.readouterr().err


def test_a_bug_is_no_verdict(tmp_path, capsys, monkeypatch):
    def broken(*_):
        raise KeyError("oops")

    monkeypatch.setattr(printing, "print_report", broken)
    assert main(["audit", write(tmp_path / "d.csv", ROWS["safe"])]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe")
@pytest.mark.parametrize(
    "verdict", ["safe", "undecided"]
)  # a broken pipe's own exit code is that of collapse
def test_the_verdict_survives_a_closed_pipe(tmp_path, verdict):
    path = write(tmp_path / "d.csv", ROWS[verdict])
    program = (
        "import os, sys; from simcollapse.cli import main; r, w = os.pipe(); os.dup2(w, 1); os.close(r);"
    )
    program += f"os.close(w); sys.exit(main(['audit', {path!r}]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == ({"safe": 0, "undecided": 2}[verdict], "")


def printed(report, width=80, **options):
    console = Console(width=width, record=True, file=open(os.devnull, "w", **options))
    with console.file:
        print_report(report, console)
        return console.export_text()


def test_everything_is_printed_and_fits_a_narrow_terminal(tmp_path, capsys):
    assert main(["audit", "--example", str(tmp_path / "d.csv")]) == 0
    assert "1707 labelled decisions" in capsys.readouterr().out
    every = [
        str(tmp_path / "d.csv"),
        "--round",
        "round",
        "--group",
        "true",
        "--score",
        "score",
        "--threshold",
        "0.3",
    ]
    assert main(["audit", *every, "--png", str(tmp_path / "d.png")]) == 0
    out = capsys.readouterr().out
    for words in (
        "p* = phi/(phi+psi)",
        "margin p* - p",
        "95 % interval",
        "more labels to decide",
        "by round",
        "by group",
    ):
        assert words in out
    for words in (
        "by threshold",
        "the threshold that keeps most while safe",
        "p > p*",
        "exact sign test",
        "score interval",
    ):
        assert words in out
    assert "…" not in out
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    labels = ["--true-label", "true", "--generated-label", "generated"]
    assert main(["audit", str(tmp_path / "d.csv"), *labels]) in (1, 2)
    assert "strongest rival" in capsys.readouterr().out


def test_json_has_every_part_and_only_finite_numbers(tmp_path, capsys):
    main(["audit", "--example", str(tmp_path / "d.csv")])
    capsys.readouterr()
    main(
        [
            "audit",
            str(tmp_path / "d.csv"),
            "--round",
            "round",
            "--score",
            "score",
            "--threshold",
            "0.3",
            "--json",
        ]
    )
    found = json.loads(capsys.readouterr().out)
    assert [look["name"] for look in found["rounds"]] == ["1", "2", "3"]
    assert len(found["curve"]["threshold"]) == len(found["curve"]["verdict"]) == 20
    assert {"p", "phi", "psi", "p_star", "margin", "precision", "keep_rate"} == set(found["intervals"])
    main(
        ["audit", str(tmp_path / "d.csv"), "--true-label", "true", "--generated-label", "generated", "--json"]
    )
    assert len(json.loads(capsys.readouterr().out)["classes"]["rows"]) == 10


@pytest.mark.parametrize(
    "table", [*ROWS.values(), (9, 10, 0, 5), (9, 10, 0, 0), (0, 0, 9, 10), (0, 5, 9, 10)]
)
def test_every_kind_of_report_is_drawn_in_both_ways(tmp_path, table):
    x_c, n_c, x_w, n_w = table
    correct = np.repeat([1, 1, 0, 0], [x_c, n_c - x_c, x_w, n_w - x_w])
    kept = np.repeat([1, 0, 1, 0], [x_c, n_c - x_c, x_w, n_w - x_w])
    report = audit(correct, kept, group=np.arange(len(correct)) % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(report).savefig(tmp_path / "d.png")
    assert report.verdict.upper() in printed(report, encoding="utf-8")
    assert plane(report.estimates, plain=True).plain.isascii()
    assert printed(report, encoding="ascii").isascii()


def test_the_picture_puts_the_point_where_it_is():
    report = audit(*([1] * 50 + [0] * 50, [1] * 40 + [0] * 10 + [1] * 10 + [0] * 40))
    assert top_of(report.estimates) == 0.5
    lines = plane(report.estimates, plain=True).plain.splitlines()
    row = next(i for i, line in enumerate(lines) if "O" in line)
    assert row - 1 == 14 // 2 - 1 or row - 1 == 14 // 2  # psi/phi = 0.25 of 0.5: the middle of 14 rows
    assert lines[row].index("O") - 10 == 30  # p = 0.5 of 60 columns
    # shaded beyond (1-p)/p: at psi/phi = 0.5 from p = 2/3 on
    assert lines[1].index(".", 12) - 10 == 40
