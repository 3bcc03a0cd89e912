"""Processes of a distributed run: started, watched, and their end put into words.

When a process of a JAX cluster dies, JAX ends the others without a Python exception once the heartbeat is missed. So
every worker has a parent that never joins the cluster, waits for its worker and says what happened. A worker whose
parent is gone ends too. This module starts no JAX itself.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

WORKER = "SIMCOLLAPSE_WORKER"  # in the environment of a worker: the pipe that its parent holds open
HEARTBEAT_S = 100  # JAX's own default
CONNECT_S = 60.0  # to reach the coordinator before a process gives up
WAIT_FOR_OTHERS_S = 365 * 24 * 3600  # that a process which has done its share waits for the others
GRACE_S = 10.0  # for the other workers to end by themselves
# What JAX writes in a process that it ends (0.10).
_LOST = re.compile(r"[Tt]ask (\d+) heartbeat timeout|stopped sending heartbeats\):\s*(?:\S*task:)?(\d+)")
_NO_COORDINATOR = ("Failed to send RPC to coordination service", "Socket closed")


class Cluster(NamedTuple):
    """How processes find each other; None where JAX finds it (SLURM, Open MPI, TPU)."""

    coordinator: str | None = None  # host:port of process 0
    count: int | None = None
    index: int | None = None
    heartbeat_s: int = HEARTBEAT_S


def check(cluster: Cluster) -> None:
    """Raise ValueError unless the cluster is described wholly or not at all, and its numbers are possible."""
    given = [cluster.coordinator is not None, cluster.count is not None, cluster.index is not None]
    if any(given) and not all(given):
        raise ValueError(
            "--coordinator, --process-count and --process-index go together: give all three, or none"
        )
    if cluster.heartbeat_s < 1:
        raise ValueError(f"heartbeat must be >= 1 second, got {cluster.heartbeat_s}")
    if cluster.count is None or cluster.index is None or cluster.coordinator is None:
        return
    if cluster.count < 1 or not 0 <= cluster.index < cluster.count:
        raise ValueError(
            f"process index must be in 0 … {cluster.count - 1} of {cluster.count} processes, got {cluster.index}"
        )
    _address(cluster.coordinator)


def _address(coordinator: str) -> tuple[str, int]:
    host, colon, port = coordinator.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError(f"coordinator must look like host:port, got {coordinator!r}")
    return host.strip("[]"), int(port)


def join(cluster: Cluster) -> tuple[int, int]:
    """Join the cluster; this process' index and the number of processes.

    Raises:
        ConnectionError: the coordinator cannot be reached, or its port not be opened.
        ValueError: the cluster is not described, and JAX finds none.
    """
    import jax

    _end_with_parent()
    if cluster.coordinator is not None:
        check_reachable(cluster)
    try:
        jax.distributed.initialize(
            coordinator_address=cluster.coordinator,
            num_processes=cluster.count,
            process_id=cluster.index,
            heartbeat_timeout_seconds=cluster.heartbeat_s,
            shutdown_timeout_seconds=WAIT_FOR_OTHERS_S,
        )
    except ValueError as error:  # JAX reads its arguments before it connects
        if cluster.coordinator is not None:
            raise
        raise ValueError(
            f"JAX finds no cluster of SLURM, Open MPI or TPU here ({error}); describe it with --coordinator, "
            "--process-count and --process-index"
        ) from None
    return jax.process_index(), jax.process_count()


def check_reachable(cluster: Cluster) -> None:
    """Raise ConnectionError unless the coordinator answers, or, of process 0, its port can be opened."""
    assert cluster.coordinator is not None
    host, port = _address(cluster.coordinator)
    if cluster.index == 0:
        try:
            with socket.create_server((host, port)):
                return
        except OSError as error:
            raise ConnectionError(
                f"process 0 cannot open the coordinator's address {cluster.coordinator} ({error.strerror or error}); "
                "it must be an address of this machine with a free port: set --coordinator"
            ) from None
    until, why = time.monotonic() + CONNECT_S, ""
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, port), timeout=2):
                return
        except OSError as error:
            why = error.strerror or str(error)
            time.sleep(0.5)
    raise ConnectionError(
        f"no coordinator answers at {cluster.coordinator} after {CONNECT_S:.0f} s ({why}); is process 0 started, and "
        "--coordinator its address?"
    )


def _end_with_parent() -> None:
    """End this worker when its parent is gone, killed even: nobody would say what becomes of the run."""

    def wait():
        os.read(int(os.environ[WORKER]), 1)  # returns when the other end is closed
        print("simcollapse: error: the process that started this one is gone", file=sys.stderr)
        end_at_once(1)

    threading.Thread(target=wait, daemon=True).start()


def leave() -> None:
    """Leave the cluster, once all processes do."""
    import jax

    jax.distributed.shutdown()


def end_at_once(code: int) -> NoReturn:
    """End a worker that failed: JAX would first wait for the others, which wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def local_clusters(processes: int, heartbeat_s: int) -> list[Cluster]:
    """Clusters of so many processes on this machine, one for each."""
    if processes < 1:
        raise ValueError(f"processes must be >= 1, got {processes}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    return [Cluster(address, processes, i, heartbeat_s) for i in range(processes)]


def supervise(commands: Sequence[Sequence[str]], logs: Sequence[Path], out: Path) -> int:
    """Run each of `commands` as a worker, wait for all, and say which failed; 0, or the first failing one's code.

    Standard error of each goes to its file in `logs`. Once one has failed the others end when they miss its heartbeat,
    and are ended after a while here.
    """
    reader, writer = os.pipe()
    workers: list[subprocess.Popen] = []
    try:
        with stopping_on_sigterm():
            workers += (_start(command, log, reader) for command, log in zip(commands, logs, strict=True))
            failed = _first_failed(workers)
            if failed is None:
                return 0
            _end_others(workers)
    except KeyboardInterrupt:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            worker.wait()
        raise
    finally:
        os.close(reader)
        os.close(writer)
    code = workers[failed].returncode
    print(words(failed, len(workers), code, logs[failed], out), file=sys.stderr)
    return code if code > 0 else 128 - code


@contextlib.contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, which job schedulers send, stop like Ctrl-C; where signals can be handled at all."""

    def interrupt(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the block in hand is waited for
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(command: Sequence[str], log: Path, alive: int) -> subprocess.Popen:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "simcollapse", *command],
            env={**os.environ, WORKER: str(alive)},
            pass_fds=[alive],
            stderr=errors,
            start_new_session=True,  # so that Ctrl-C reaches it through this process only
        )


def _first_failed(workers: Sequence[subprocess.Popen]) -> int | None:
    """Which worker failed first; None once all have ended well."""
    while True:
        codes = [worker.poll() for worker in workers]
        for i, code in enumerate(codes):
            if code:
                return i
        if all(code == 0 for code in codes):
            return None
        time.sleep(0.1)


def _end_others(workers: Sequence[subprocess.Popen]) -> None:
    """Ask the others to stop, as Ctrl-C would; end those that wait for the lost one."""
    for ask, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        left = [worker for worker in workers if worker.poll() is None]
        for worker in left:
            worker.send_signal(ask)
        until = time.monotonic() + wait_s
        while time.monotonic() < until and any(worker.poll() is None for worker in left):
            time.sleep(0.1)


def words(index: int, count: int, code: int, log: Path, out: Path) -> str:
    """How worker `index` of so many ended, and how to go on."""
    who = "the worker" if count == 1 else f"process {index} of {count}"
    if code == -signal.SIGABRT or code == 134:
        how = f"was ended by JAX, because {_lost(log)} was lost"
    elif code < 0:
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
    else:
        how = f"ended with code {code}: {_last_line(log)}"
    return (
        f"simcollapse: error: {who} {how} (details in {log}). What was finished stays in {out}; the same command goes "
        "on, also with another number of processes"
    )


def _lost(log: Path) -> str:
    """Which process JAX named as lost."""
    said = log.read_text(encoding="utf-8", errors="replace")
    found = _LOST.search(said)
    if found is not None:
        return f"process {found[1] or found[2]}"
    if any(words in said for words in _NO_COORDINATOR):
        return "the coordinator, process 0,"
    return "another process or the coordinator"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = [line for line in lines if line.startswith("simcollapse: ")]
    return (said or lines or ["it said nothing"])[-1].removeprefix("simcollapse: error: ")
