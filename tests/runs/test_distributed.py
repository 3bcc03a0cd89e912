"""Several processes share a run: the same bits, whoever dies; told which process it was and how to go on."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from simcollapse import runs
from simcollapse.cli import main
from simcollapse.runs import launch
from simcollapse.runs.store import MARKS
from tests.runs.helpers import assert_same_results

LONG = "chains=20000"  # long enough to be killed, short enough to be finished
HEARTBEAT_S = 10
# Once a heartbeat is missed JAX ends a process; a busy machine takes its time.
SLACK_S = 20


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def host(start, config, out, address, index, count=2, *words):
    """What one host of several would start."""
    cluster = ["--distributed", "--coordinator", address, "--process-count", count, "--process-index", index]
    return start("run", config, "--out", out, *cluster, "--heartbeat", HEARTBEAT_S, *words)


def wait_for_parts(out, processes, parts=1, timeout=90):
    until = time.monotonic() + timeout
    while not (out / MARKS).is_dir() or len(list((out / MARKS).glob("*.json"))) < parts:
        assert time.monotonic() < until, "no part was written"
        assert all(p.poll() is None for p in processes), [p.communicate() for p in processes]
        time.sleep(0.02)


def workers(supervisor):
    """Process ids of a supervisor's workers, by index where it has several."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    found = {}
    for child in map(int, children):
        words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        if "--process-index" in words:
            found[int(words[words.index("--process-index") + 1])] = child
    return found


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.slow
def test_two_processes_and_one_store_the_same_bits(tiny, tmp_path, call, whole):
    code, out, err = call("run", tiny, "--out", tmp_path / "run", "--processes", 2)
    assert (code, err) == (0, "")
    assert out.count("Means of round 3") == 1
    run = runs.open_run(tmp_path / "run")
    assert_same_results(run.load(), whole.load())
    log = (run.folder / "log.txt").read_text()
    assert "of shard 0/2" in log and "of shard 1/2" in log


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("record", ["chains", "summary"])
def test_four_processes_and_one_store_the_same_bits(tiny, tmp_path, call, record):
    words = ("--set", "chains=800", f"record='{record}'")
    assert call("run", tiny, "--out", tmp_path / "four", "--processes", 4, *words, timeout=200)[0] == 0
    assert call("run", tiny, "--out", tmp_path / "one", *words)[0] == 0
    four, one = runs.open_run(tmp_path / "four"), runs.open_run(tmp_path / "one")
    assert_same_results(four.load(), one.load())


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_process_is_named_and_another_number_of_processes_goes_on(
    tiny, tmp_path, start, call, victim
):
    out, words = tmp_path / "run", ("--set", LONG)
    supervisor = start("run", tiny, "--out", out, "--processes", 3, "--heartbeat", HEARTBEAT_S, *words)
    wait_for_parts(out, [supervisor])
    pids = workers(supervisor)
    assert set(pids) == {0, 1, 2}
    os.kill(pids[victim], signal.SIGKILL)
    killed = time.monotonic()
    _, said = supervisor.communicate(timeout=100)
    assert time.monotonic() - killed < 2 * launch.GRACE_S + SLACK_S
    assert all(gone(pid) for pid in pids.values())
    assert supervisor.returncode == 128 + signal.SIGKILL
    assert f"process {victim} of 3 was killed by signal 9 (SIGKILL)" in said
    assert f"What was finished stays in {out}; the same command goes on" in said
    done = len(runs.open_run(out).done())
    assert 0 < done < runs.open_run(out).layout.num_parts
    assert call("run", tiny, "--out", out, "--processes", 2, *words, timeout=200)[0] == 0
    assert call("run", tiny, "--out", tmp_path / "one", *words, timeout=200)[0] == 0
    assert_same_results(runs.open_run(out).load(), runs.open_run(tmp_path / "one").load())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", [0, 1])
def test_on_another_host_a_lost_process_is_noticed(tiny, tmp_path, start, call, victim):
    out, words = tmp_path / "run", ("--set", LONG)
    address = free_address()
    hosts = [host(start, tiny, out, address, i, 2, *words) for i in (0, 1)]
    wait_for_parts(out, hosts, parts=2)
    os.kill(workers(hosts[victim])[victim], signal.SIGKILL)
    killed = time.monotonic()
    _, said = hosts[1 - victim].communicate(timeout=100)
    taken = time.monotonic() - killed
    assert taken < (SLACK_S if victim == 0 else HEARTBEAT_S + SLACK_S), taken
    lost = "the coordinator, process 0," if victim == 0 else "process 1"
    assert f"was ended by JAX, because {lost} was lost" in said
    assert "the same command goes on" in said
    _, said = hosts[victim].communicate(timeout=100)
    assert "was killed by signal 9" in said
    hosts = [host(start, tiny, out, free_address(), 0, 1, *words)]  # one host is enough
    assert hosts[0].communicate(timeout=200)[1] == ""
    assert runs.open_run(out).finished


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_workers_end_with_their_supervisor(tiny, tmp_path, start, number):
    out = tmp_path / "run"
    supervisor = start("run", tiny, "--out", out, "--processes", 2, "--set", LONG)
    wait_for_parts(out, [supervisor])
    pids = workers(supervisor)
    assert len(pids) == 2
    supervisor.send_signal(number)
    supervisor.wait(timeout=60)
    assert supervisor.returncode == (-number if number == signal.SIGKILL else 130)
    until = time.monotonic() + SLACK_S
    while not all(gone(pid) for pid in pids.values()) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(gone(pid) for pid in pids.values())
    run = runs.open_run(out)
    assert 0 < len(run.done()) < run.layout.num_parts
    run.store().verify()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_shards_without_a_coordinator_are_merged_by_the_store(tiny, tmp_path, start, whole):
    out = tmp_path / "run"
    shards = [start("run", tiny, "--out", out, "--shard", f"{i}/3") for i in range(3)]
    for shard in shards:
        said, err = shard.communicate(timeout=200)
        assert (shard.returncode, err) == (0, "")
        assert "parts are done in" in said or "Means of round 3" in said
    run = runs.open_run(out)
    assert run.finished and (out / "summary.txt").exists()
    assert_same_results(run.load(), whole.load())


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_failing_worker_says_why(tiny, tmp_path, call):
    out = tmp_path / "run"
    code, _, said = call("run", tiny, "--out", out, "--processes", 2, "--set", "task.noise=-1.0", "chains=7")
    assert code == 3
    assert "ended with code 3:" in said and "noise must be" in said, said


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_where_jax_finds_no_cluster_the_options_are_named(tiny, tmp_path, call):
    code, _, said = call("run", tiny, "--out", tmp_path / "run", "--distributed")
    assert code == 3
    assert "JAX finds no cluster" in said and "describe it with --coordinator" in said, said


def test_a_coordinator_that_cannot_be_reached_is_named(monkeypatch):
    address = free_address()
    monkeypatch.setattr(launch, "CONNECT_S", 0.3)
    cluster = launch.Cluster(address, 2, 1)
    with pytest.raises(ConnectionError, match=f"no coordinator answers at {address} after .*--coordinator"):
        launch.check_reachable(cluster)


@pytest.mark.parametrize(("host", "why"), [("127.0.0.1", "in use"), ("192.0.2.1", "assign|not available")])
def test_an_address_that_cannot_be_opened_is_named(host, why):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{host}:{server.getsockname()[1]}"
        cluster = launch.Cluster(address, 2, 0)
        with pytest.raises(
            ConnectionError, match=f"cannot open the coordinator's address {address} .*--coordinator"
        ):
            launch.check_reachable(cluster)
        with pytest.raises(ConnectionError, match=why):
            launch.check_reachable(cluster)


@pytest.mark.parametrize("address", ["here", "here:", ":80", "here:port", "here:0", "here:70000"])
def test_an_address_that_is_none_is_refused(tiny, capsys, address):
    words = ["--distributed", "--coordinator", address, "--process-count", "2", "--process-index", "1"]
    assert main(["run", str(tiny), *words]) == 3
    assert "coordinator must look like host:port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (-6, "UNAVAILABLE: Task 3 heartbeat timeout. This", "was ended by JAX, because process 3 was lost"),
        (-6, "are unhealthy (stopped sending heartbeats):\n2\nThe", "because process 2 was lost"),
        (
            -6,
            "absl::Status: UNAVAILABLE: Failed to send RPC to coordination service.",
            "coordinator, process 0, was",
        ),
        (134, "nothing of use", "because another process or the coordinator was lost"),
        (-15, "", r"was killed by signal 15 \(SIGTERM\)"),
        (3, "noise\nsimcollapse: error: disk is full\n", "ended with code 3: disk is full"),
        (1, "", "ended with code 1: it said nothing"),
    ],
)
def test_words_for_how_a_worker_ended(tmp_path, code, log, words):
    (tmp_path / "log.txt").write_text(log)
    assert re.search(words, launch.words(1, 4, code, tmp_path / "log.txt", tmp_path))
