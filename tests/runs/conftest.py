"""One tiny experiment, compiled once in this process and kept on disk for the processes that tests start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import simcollapse as sc
from simcollapse import runs
from simcollapse.runs import config as configs

ROOT = Path(__file__).parents[2]

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as of a job in the background, and so of what tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY = """
n_real = 30
n_per_round = 30
rounds = 3
chains = 42
seed = 5
engine = "law"
block_size = 16

[task]
name = "linear_regression"
truth = [1.0, -1.0]

[over]
task.noise = [0.5, 1.0]
workflow = ["replace", "accumulate"]
"""


@pytest.fixture
def tiny(tmp_path):
    """The file of the tiny experiment: two programs, 168 chains."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The tiny experiment as a finished run."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.toml").write_text(TINY)
    return runs.run(folder / "tiny.toml", folder / "run", progress=False)


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """The same by `sweep`, without a directory."""
    path = tmp_path_factory.mktemp("swept") / "tiny.toml"
    path.write_text(TINY)
    return sc.sweep(**configs.arguments(configs.read(path)), progress=False)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Of processes that tests start: one of them compiles, the others find what it made."""
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        "JAX_PLATFORMS": "cpu",
    }


@pytest.fixture
def start(environment):
    """Starts `simcollapse` with some arguments; what still runs after the test is killed."""
    started = []

    def start(*words, program=("-m", "simcollapse"), **variables):
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            env=environment | variables,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def call(start):
    """Runs `simcollapse` to its end: exit code, standard output, standard error."""

    def call(*words, timeout=100, **options):
        process = start(*words, **options)
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    return call
