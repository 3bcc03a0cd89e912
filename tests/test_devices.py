"""Devices decide who runs a block and change no bit: 1 against 8 virtual devices, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys
import numpy as np, jax
import simcollapse as sc
dim, n, block, chains, rounds = map(int, sys.argv[2:7])
task = sc.linear_regression(dim)
ball = sc.knowledge_ball(bias=0.1, radius=0.3, slack=0.5)
result = sc.sweep(task, ball, sc.replace(), over={"verifier.radius": [0.3, 0.4]}, n_real=n, n_per_round=n,
                  rounds=rounds, chains=chains, seed=7, block_size=block)
assert result.attrs["num_devices"] == len(jax.devices())
np.save(sys.argv[1], result.squared_error.values)
"""


def _run(path, devices, *sizes, threads="2"):
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
        "NPROC": threads,
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(path), *map(str, sizes)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=240)
    return np.load(path)


# (d, n, block, chains, rounds): uneven chains leave the last block padded; (16, 1000, 100) is where other work broke
@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    "sizes",
    [(2, 100, 8, 21, 5), pytest.param((100, 1000, 16, 20, 2), marks=pytest.mark.slow)],
    ids=["small", "large"],
)
def test_one_and_eight_devices_give_the_same_bits(tmp_path, sizes):
    one = _run(tmp_path / "one.npy", 1, *sizes)
    eight = _run(tmp_path / "eight.npy", 8, *sizes)
    assert one.shape == (2, sizes[3], sizes[4] + 1)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, eight)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_single_thread_does_not_hang(tmp_path):
    assert np.isfinite(_run(tmp_path / "one.npy", 2, 100, 1000, 16, 17, 1, threads="1")).all()
