"""Runs that are killed, interrupted, or run out of disk go on and end with the same bits."""

import errno
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from simcollapse import runs
from simcollapse.cli import main
from simcollapse.runs import chunks, directory, layout, runner, store
from simcollapse.runs.store import ARRAYS, MARKS
from tests.runs.helpers import assert_same_files

# `simcollapse`, which kills itself when it is about to rename its n-th file, half of which is written (0: never), and
# cuts a run into at least so many parts.
KILLED = """
import os, signal, sys
from simcollapse import cli
from simcollapse.runs import layout
left, rename = int(sys.argv[1]), os.replace
layout.LEAST_PARTS = int(sys.argv[2])

def replace(source, target):
    global left
    left -= 1
    if left == 0:
        os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)

os.replace = replace
sys.exit(cli.main(sys.argv[3:]))
"""
# A block each, so that there is something left to kill.
MORE, PARTS = ["chains=800"], 200


def test_killed_within_writes_and_resumed(tiny, tmp_path, call, whole):
    out, files = tmp_path / "out", 13
    code, _, _ = call(4 * files + 5, layout.LEAST_PARTS, "run", tiny, "--out", out, program=("-c", KILLED))
    assert code == -signal.SIGKILL
    assert not (out / "summary.txt").exists()
    assert list((out / ARRAYS).rglob("*.partial"))
    done = len(runs.open_run(out).done())
    assert 0 < done < whole.layout.num_parts
    run = runs.run(tiny, out, progress=False)  # another process, the same setting
    assert_same_files(run, whole)
    log = (out / "log.txt").read_text()
    assert f"{done} of 12 parts were done" in log and "1 half-written files removed" in log


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_twenty_random_moments(tiny, tmp_path, start, call):
    """Half of the times within a write, half at a random time, from the first import on."""
    random_ = random.Random(20)
    words, program = (PARTS, "run", tiny, "--set", *MORE, "--out"), ("-c", KILLED)
    assert call(0, *words, tmp_path / "compiles", program=program)[0] == 0
    begun = time.monotonic()
    assert call(0, *words, tmp_path / "whole", program=program)[0] == 0
    usual_s = time.monotonic() - begun
    assert runs.open_run(tmp_path / "whole").layout.num_parts == PARTS
    out, progress = tmp_path / "out", []
    while len(progress) < 20:
        if len(progress) % 2:
            process = start(random_.randint(1, 30 * 13), *words, out, program=program)  # 13 files of a part
        else:
            process = start(0, *words, out, program=program)
            time.sleep(random_.uniform(0, usual_s))
            process.kill()
        process.wait(timeout=100)
        done = runs.open_run(out).done() if (out / "run.json").exists() else []
        if process.returncode == -signal.SIGKILL:
            progress.append(len(done))
        else:  # it was faster: leave something for the next
            assert process.returncode == 0
            for number in random_.sample(done, len(done) // 2):
                (out / MARKS / f"{number:06d}.json").unlink()
    assert len(set(progress)) > 5
    assert call(0, *words, out, program=program)[0] == 0
    assert_same_files(runs.open_run(out), runs.open_run(tmp_path / "whole"))
    assert (out / "summary.json").read_text() == (tmp_path / "whole" / "summary.json").read_text()


@pytest.mark.parametrize("stop", [0, 4, 11, 12, 30])
def test_a_failure_at_any_array_leaves_no_mark_and_is_made_good(tiny, tmp_path, whole, monkeypatch, stop):
    """Twelve arrays and a mark of each part: the failing file is named, what was finished stays."""
    out, files = tmp_path / "out", []
    real = chunks.write_atomically

    def write(path, data, **options):
        files.append(path)
        if len(files) > stop:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "write_atomically", write)
        with pytest.raises(OSError, match="No space left on device; what was finished stays") as failed:
            runs.run(tiny, out, progress=False)
    assert failed.value.filename == str(files[-1])
    assert "the same command goes on" in str(failed.value)
    assert len(runs.open_run(out).done()) == stop // 13
    assert_same_files(runs.run(tiny, out, progress=False), whole)


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small disk: {made.stderr.decode()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(tiny, disk, whole, monkeypatch, capsys):
    monkeypatch.setattr(runner.forecast, "check_disk", lambda *_: None)  # or it would refuse to begin
    ballast = disk / "ballast"
    out = disk / "out"
    with open(ballast, "wb") as file:
        file.write(bytes(600 * 2**10))
    words = ["run", str(tiny), "--out", str(out)]
    assert main(words) == 3
    said = capsys.readouterr().err
    assert "No space left on device; what was finished stays, and the same command goes on" in said
    assert said.startswith(f"simcollapse: error: {out}") and said.count("\n") == 1
    ballast.unlink()
    assert 0 < len(runs.open_run(out).done()) < whole.layout.num_parts
    assert main(words) == 0
    assert_same_files(runs.open_run(out), whole)


def test_a_run_that_cannot_fit_on_the_disk_is_not_begun(tiny, disk, capsys):
    assert main(["run", str(tiny), "--out", str(disk / "out")]) == 3
    said = capsys.readouterr().err
    assert "the results would take" in said and "record='summary'" in said
    assert not (disk / "out" / "run.json").exists()


def test_a_read_only_directory_is_named_and_can_still_be_read(tiny, disk, whole, capsys, monkeypatch):
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    shutil.copytree(whole.folder, disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for out in ("run", "new"):
        assert main(["run", str(tiny), "--out", str(disk / out)]) == 3
        said = capsys.readouterr().err
        assert "Read-only file system" in said and str(disk / out) in said
    assert main(["runs", "show", str(disk / "run")]) == 0
    assert runs.open_run(disk / "run").load().sizes["chain"] == 42


def test_two_processes_on_one_directory(tiny, tmp_path, whole, capsys):
    out = shutil.copytree(whole.folder, tmp_path / "out")
    with directory.locked(out):
        for words in ([], ["--shard", "0/2"]):
            assert main(["run", str(tiny), "--out", str(out), *words]) == 3
            said = capsys.readouterr().err
            assert f"is being written by process {os.getpid()}" in said and "name another --out" in said
    with directory.locked(out, (0, 2)):
        with directory.locked(out, (1, 2)):  # beside
            pass
        assert main(["run", str(tiny), "--out", str(out), "--shard", "0/2"]) == 3
        assert "is being written by process" in capsys.readouterr().err
        assert main(["run", str(tiny), "--out", str(out)]) == 3
        assert "is being written by other processes, each a shard of it" in capsys.readouterr().err
    assert main(["run", str(tiny), "--out", str(out)]) == 0


def test_who_is_named_as_busy_is_not_one_that_was_killed(tmp_path):
    (tmp_path / directory.LOCK).write_text("process 1 on elsewhere\n")
    with directory.locked(tmp_path, (0, 2)), pytest.raises(runs.Busy, match="other processes"):
        with directory.locked(tmp_path):
            pass


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)], ids=lambda n: n.name
)
def test_a_signal_stops_after_the_block_in_hand(tiny, tmp_path, start, call, number):
    out = tmp_path / "out"
    words = ("run", tiny, "--out", out, "--set", "chains=40000")
    process = start(*words)
    until = time.monotonic() + 90
    while not list((out / MARKS).glob("*.json")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    sent = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - sent < 20  # blocks here take milliseconds; the machine may be busy
    assert said == "simcollapse: interrupted\n"
    run = runs.open_run(out)
    done = len(run.done())
    assert 0 < done < run.layout.num_parts
    assert f"interrupted after {done} parts" in (out / "log.txt").read_text()


def test_interrupted_in_this_process_and_resumed(tiny, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"
    real = store.Store.write

    def write(self, number, columns):
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        real(self, number, columns)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "write", write)
        with pytest.raises(KeyboardInterrupt):
            runs.run(tiny, out, progress=False)
    assert signal.getsignal(signal.SIGTERM) is before
    assert runs.open_run(out).done() == [0, 1, 2]
    assert "interrupted after 3 parts" in (out / "log.txt").read_text()
    assert_same_files(runs.run(tiny, out, progress=False), whole)


def test_a_result_that_is_not_finite_stops_the_run(tiny, tmp_path, monkeypatch, capsys):
    real = runner.results.flatten

    def flatten(info):
        record = real(info)
        if hasattr(record["squared_error"], "copy"):  # not shapes
            record["squared_error"] = record["squared_error"].copy()
            record["squared_error"][5, 2] = float("nan")
        return record

    with monkeypatch.context() as patch:
        patch.setattr(runner.results, "flatten", flatten)
        assert main(["run", str(tiny), "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    words = "squared_error is nan in cell {'task.noise': 0.5, 'workflow': 'replace'}, chain 5, round 2"
    assert words in said
    assert words in (tmp_path / "out" / "log.txt").read_text()
    assert runs.open_run(tmp_path / "out").done() == []
    assert not (tmp_path / "out" / "summary.txt").exists()
