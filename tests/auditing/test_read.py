"""Files of decisions: every format read in pieces gives the same report; each bad file is named."""

import contextlib
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from simcollapse.auditing import audit, audit_file
from simcollapse.auditing import read as reading
from simcollapse.auditing.example import example_decisions, write_example

ROWS = 3000


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    correct = random.random(ROWS) < 0.7
    kept = random.random(ROWS) < np.where(correct, 0.8, 0.3)
    return pd.DataFrame(
        {
            "correct": correct.astype(int),
            "verifier said": np.where(kept, "yes", "no"),
            "lang": random.choice(["de", "en", "ja"], ROWS),
            "step": random.integers(1, 4, ROWS),
            "prompt": np.arange(ROWS) // 3,
            "weight": random.integers(1, 4, ROWS) / 2,
            "score": random.random(ROWS) + kept,
        }
    )


def write(frame, path):
    if ".csv" in path.name:
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


NAMES = {"kept": "verifier said", "group": "lang", "round": "step", "cluster": "prompt", "weight": "weight"}


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz", "d.jsonl", "d.ndjson.gz", "d.parquet", "D.CSV"])
def test_a_file_is_audited_like_its_rows(tmp_path, monkeypatch, frame, name):
    path = tmp_path / name
    write(frame, tmp_path / name.lower()).rename(path)
    monkeypatch.setattr(reading, "_BLOCK", 4096)  # many pieces
    monkeypatch.setattr(reading, "_ROWS", 100)
    rows = audit(frame["correct"], **{role: frame[column] for role, column in NAMES.items()})
    report = audit_file(path, **NAMES)
    assert report.source == name
    for ours, theirs in zip(
        (report, *report.groups, *report.rounds), (rows, *rows.groups, *rows.rounds), strict=True
    ):
        a, b = ours.estimates, theirs.estimates
        assert (a.rows, a.kept_correct, a.kept_wrong, a.verdict) == (
            b.rows,
            b.kept_correct,
            b.kept_wrong,
            b.verdict,
        )
        assert (a.p, a.phi, a.psi) == pytest.approx((b.p, b.phi, b.psi), rel=1e-12)
        assert a.intervals["p_star"] == pytest.approx(b.intervals["p_star"], rel=1e-9)


def test_scores_and_labels_come_from_files_too(tmp_path, frame):
    path = write(frame, tmp_path / "d.parquet")
    report, rows = audit_file(path, score="score"), audit(frame["correct"], score=frame["score"])
    assert (report.threshold, report.verdict) == (rows.threshold, rows.verdict)
    labels = audit_file(path, true_label="lang", generated_label="lang", kept="verifier said")
    assert labels.estimates.wrong == 0 and labels.classes.labels == ("de", "en", "ja")


def test_values_of_json_may_change_their_type_between_blocks(tmp_path, monkeypatch):
    lines = [{"correct": 1, "kept": True}] * 300 + [{"correct": "yes", "kept": 0.0, "note": [1]}] * 300
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    monkeypatch.setattr(reading, "_BLOCK", 31)
    report = audit_file(path)
    assert (report.estimates.correct, report.estimates.kept) == (600, 300)


BINARY = "must be 0/1, true/false or yes/no"
POSITIVE = "must be a positive finite number"
CSV = "correct,kept,group,w\n1,1,a,1\n0,no,b,1\n"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "d.csv is empty"),
        ("correct,kept\n", {}, "d.csv has no rows"),
        (
            CSV,
            {"kept": "keep"},
            "d.csv has no column 'keep'; it has ['correct', 'kept', 'group', 'w']. Did you mean 'kept'?",
        ),
        (
            CSV,
            {"group": "language"},
            "d.csv has no column 'language'; it has ['correct', 'kept', 'group', 'w']",
        ),
        ("correct;kept\n1;1\n", {}, "it has ['correct;kept']"),
        ("correct,kept,kept\n1,1,1\n", {}, "d.csv has 2 columns named 'kept'"),
        (
            CSV + "2,1,a,1\n",
            {},
            f"column 'correct' of d.csv {BINARY}, got '2' in row 3",
        ),
        (
            CSV + "1,perhaps,a,1\n3,1,a,1\n",
            {},
            f"column 'kept' of d.csv {BINARY}, got 'perhaps' in row 3",
        ),
        (
            CSV + "1,,a,1\n",
            {},
            f"column 'kept' of d.csv has no value in row 3; it {BINARY}",
        ),
        (CSV + "NaN,1,a,1\n", {}, "column 'correct' of d.csv has no value in row 3"),
        (CSV + "1,1,,1\n", {"group": "group"}, "column 'group' of d.csv has no value in row 3"),
        (
            CSV + "1,1,a,-2\n",
            {"weight": "w"},
            f"column 'w' of d.csv {POSITIVE}, got '-2' in row 3",
        ),
        (
            CSV + "1,1,a,heavy\n",
            {"weight": "w"},
            f"column 'w' of d.csv {POSITIVE}, got 'heavy' in row 3",
        ),
        (CSV + "1,1\n", {}, "d.csv cannot be read: CSV parse error: Row #4: Expected 4 columns, got 2"),
        ("correct,kept\n1,0\n0,0\n", {}, "kept must be yes in at least one row, got none"),
    ],
)
def test_bad_csv_is_named(tmp_path, text, options, words):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)):
        audit_file(path, **options)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "d.jsonl",
            b'{"correct": 1, "kept": 1}\n{"correct": 1}\n',
            "column 'kept' of d.jsonl has no value in row 2",
        ),
        ("d.jsonl", b'{"correct": 1}\n', "d.jsonl has no column 'kept'; it has ['correct']"),
        ("d.jsonl", b'{"correct": [1], "kept": 1}\n', "column 'correct' of d.jsonl must hold plain values"),
        ("d.jsonl", b'{"correct": 1, "kept": NaN}\n', "column 'kept' of d.jsonl has no value in row 1"),
        ("d.jsonl", b'{"correct": 1, "kept": yes}\n', "row 1 of d.jsonl must be a JSON object, one a line"),
        (
            "d.jsonl",
            b'{"correct": 1, "kept": 1}\n[1, 1]\n',
            "row 2 of d.jsonl must be a JSON object, got [1, 1]",
        ),
        ("d.jsonl", b'{"correct": 1, "kept": 1}\n{"correct": "maybe", "kept": 1}\n', "got 'maybe' in row 2"),
        ("d.jsonl", b'{"correct": true, "kept": 1}\n{"correct": NaN, "kept": 1}\n', "no value in row 2"),
        ("d.csv", b"correct;kept\n1;1\n", "seems to be separated by ';', and must be by commas"),
        ("d.jsonl", b"\n\n", "d.jsonl has no rows"),
        ("d.parquet", b"PAR1 but not really", "d.parquet cannot be read"),
        ("d.csv", b"correct,kept\n1,\xff\n", "d.csv cannot be read"),
        ("d.csv.gz", b"correct,kept\n1,1\n", "d.csv.gz cannot be read"),
        ("d.xlsx", b"1", "a file of decisions must end in .csv or .jsonl or .ndjson or .parquet, got d.xlsx"),
        ("d.parquet.gz", b"1", "a file of decisions must end in"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(words)):
        audit_file(tmp_path / name)


def test_missing_values_of_parquet_are_named(tmp_path):
    path = write(pd.DataFrame({"correct": [1.0, np.nan], "kept": [True, None]}), tmp_path / "d.parquet")
    with pytest.raises(ValueError, match=re.escape("column 'correct' of d.parquet has no value in row 2")):
        audit_file(path)


def test_a_file_is_found_below_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text(CSV)
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    assert audit_file("d.csv").estimates.rows == 2
    with pytest.raises(FileNotFoundError, match=r"no data file at e\.csv"):
        audit_file("e.csv")


def test_later_pieces_count_their_rows_on(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 64)
    path = tmp_path / "d.csv"
    path.write_text("correct,kept\n" + "1,1\n" * 1000 + "1,7\n" + "1,1\n" * 100)
    with pytest.raises(ValueError, match="got '7' in row 1001"):
        audit_file(path)


def test_json_values_of_many_types_are_read_in_one_block(tmp_path):
    lines = [
        '{"correct": true, "kept": 1}',
        '{"correct": 1, "kept": "yes"}',
        '{"correct": "no", "kept": false}',
        "",
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(20 * lines))
    found = audit_file(tmp_path / "d.jsonl").estimates
    assert (found.rows, found.correct, found.kept) == (60, 40, 40)


def test_the_row_of_a_late_bad_value_is_counted_from_the_top(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 100)
    good = '{"correct": true, "kept": true}\n'
    (tmp_path / "d.jsonl").write_text(1000 * good + '{"correct": "maybe", "kept": true}\n')
    with pytest.raises(ValueError, match="got 'maybe' in row 1001"):
        audit_file(tmp_path / "d.jsonl")
    (tmp_path / "d.jsonl").write_text(1000 * good + "{broken\n")
    with pytest.raises(ValueError, match=r"row 1001 of d\.jsonl must be a JSON object"):
        audit_file(tmp_path / "d.jsonl")


# --- size ---

PROGRAM = """
import sys
from simcollapse import memory
from simcollapse.auditing import audit_file
report = audit_file(sys.argv[1], **dict(pair.split("=") for pair in sys.argv[2:]))
print(report.estimates.rows, report.estimates.kept, memory.peak_bytes() / 1e9, "jax" in sys.modules)
"""


def write_long(path, rows):
    """A CSV of so many rows that repeat, with 3/4 of them kept."""
    block = "".join(
        f"{i % 3 > 0:d},{i % 4 > 0:d},{i % 5 + 1},{(i * 7919) % 10007 / 10007:.6f}\n" for i in range(60_000)
    )
    with path.open("w") as file:
        file.write("correct,kept,round,score\n")
        for _ in range(rows // 60_000):
            file.write(block)
    return rows // 60_000 * 60_000


def peak_of(path, *options):
    command = [sys.executable, "-c", PROGRAM, str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    rows, kept, gigabytes, jax = done.stdout.split()
    assert jax == "False"
    return int(rows), int(kept), float(gigabytes)


def test_a_million_rows_are_streamed(tmp_path):
    rows = write_long(tmp_path / "d.csv", 960_000)
    seen, kept, gigabytes = peak_of(tmp_path / "d.csv", "round=round")
    assert (seen, kept) == (rows, rows * 3 // 4)
    assert gigabytes < 1  # what is promised for any number of rows; ten million are a slow test


def write_clustered(path, rows):
    """As JSON lines or Parquet, with five rows to a cluster: two million clusters in ten million rows."""
    number = np.arange(60_000)
    types = dict.fromkeys(["correct", "kept", "round"], pa.int8()) | {"prompt": pa.string()}
    with pa.OSFile(str(path), "wb") as file, contextlib.ExitStack() as stack:
        if path.suffix == ".parquet":
            writer = stack.enter_context(parquet.ParquetWriter(file, pa.schema(types)))
        for first in range(0, rows // 60_000 * 60_000, 60_000):
            table = pd.DataFrame(
                {
                    "correct": (number % 3 > 0).astype("i1"),
                    "kept": (number % 4 > 0).astype("i1"),
                    "round": (number % 5 + 1).astype("i1"),
                    "prompt": [f"p{one}" for one in (first + number) // 5],
                }
            )
            if path.suffix == ".parquet":
                writer.write_table(pa.Table.from_pandas(table, pa.schema(types), preserve_index=False))
            else:
                file.write(table.to_json(orient="records", lines=True).encode())
    return rows // 60_000 * 60_000


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".csv", ("round=round",)),
        (".csv", ("score=score",)),
        (".jsonl", ("round=round",)),
        (".parquet", ("round=round",)),
        (".jsonl", ("cluster=prompt",)),
        (".parquet", ("cluster=prompt",)),
    ],
)
def test_ten_million_rows_take_less_than_a_gigabyte(tmp_path, ending, options):
    path = tmp_path / f"d{ending}"
    rows = (write_long if ending == ".csv" else write_clustered)(path, 10_020_000)
    seen, kept, gigabytes = peak_of(path, *options)
    assert seen == rows >= 10**7
    assert kept == rows * 3 // 4 or options == ("score=score",)  # which chooses a threshold
    assert gigabytes < 1


# --- the real example ---


def test_the_real_example_is_a_real_verifier(tmp_path):
    table = example_decisions()
    assert list(table) == ["round", "image", "true", "generated", "verifier", "score", "correct", "kept"]
    assert not table["image"].duplicated().any() and len(table) == 1797 - 90
    np.testing.assert_array_equal(table["correct"], table["true"] == table["generated"])
    np.testing.assert_array_equal(table["kept"], table["verifier"] == table["generated"])
    rows = write_example(tmp_path / "d.csv")
    report = audit_file(tmp_path / "d.csv", round="round")
    assert report.estimates.rows == rows == len(table)
    # The generator is wrong more often than not and the verifier saves it. Wide bounds: the forests of other
    # versions of scikit-learn may differ a little.
    assert report.verdict == "safe" and report.p > 0.4 and report.p_star > 0.9
    by_class = audit_file(tmp_path / "d.csv", true_label="true", generated_label="generated")
    assert by_class.verdict != "safe"  # some digit is never learnt
    scored = audit_file(tmp_path / "d.csv", score="score")
    assert scored.verdict == "safe" and scored.estimates.kept >= report.estimates.kept


def test_a_poisoned_verifier_makes_it_collapse():
    table = example_decisions(poisoned=60)
    assert audit(table["correct"], table["kept"]).verdict == "collapse"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_generator": 5}, "n_generator must be a whole number >= 20"),
        ({"n_generator": 900, "n_verifier": 200}, "n_generator \\+ n_verifier must be <= 1000"),
        ({"poisoned": 61}, "poisoned <= n_verifier"),
    ],
)
def test_impossible_examples_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        example_decisions(**options)
