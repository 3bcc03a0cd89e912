"""Devices and cores decide who runs a block and change no bit of what a run stores."""

import os
import subprocess
import sys

import pytest

from simcollapse import runs
from tests.runs.conftest import ROOT
from tests.runs.helpers import assert_same_results

LARGE = """
n_real = 1000
n_per_round = 1000
rounds = 2
chains = 37
block_size = 16
seed = 3

[task]
name = "linear_regression"
truth = 100

[verifier]
name = "knowledge_ball"
bias = 0.1
radius = 0.3
slack = 0.5
"""


def _run(environment, config, out, devices, *, threads="2", core=None):
    variables = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "NPROC": threads}
    words = [sys.executable, "-m", "simcollapse", "run", config, "--out", out]
    words = words if core is None else ["taskset", "-c", str(core), *words]
    subprocess.run(words, env=environment | variables, cwd=ROOT, check=True, timeout=280, capture_output=True)
    return runs.open_run(out)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", ["small", "large"])
def test_one_and_eight_devices_store_the_same_bits(environment, tiny, tmp_path, size):
    if size == "large":
        tiny.write_text(LARGE)
    one = _run(environment, tiny, tmp_path / "one", 1)
    eight = _run(environment, tiny, tmp_path / "eight", 8)
    assert "on 8 device(s)" in (eight.folder / "log.txt").read_text()
    assert eight.layout.places[0] % eight.layout.part_size  # padded
    assert_same_results(one.load(), eight.load())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_core_is_enough(environment, tiny, tmp_path):
    tiny.write_text(LARGE)
    core = min(os.sched_getaffinity(0))
    assert _run(environment, tiny, tmp_path / "run", 2, threads="1", core=core).finished
