"""Settings of every test but those of tests/neural, which run in a process of their own (`make test`).

Using a key twice is an error here. Where two arms share one on purpose, pass `jax.random.clone(key)` to
the second; a test that runs something twice to compare the bits makes the key twice.
"""

import os
from pathlib import Path

import jax
import pytest
from hypothesis import settings

collect_ignore = ["neural"]
pytest.register_assert_rewrite("tests.helpers")

# XLA sizes its thread pool by NPROC when the first array is made, after this. The size picks the code, hence
# the last bits of every result: fixed, a machine with more cores computes the same ones.
os.environ.setdefault("NPROC", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
if SHARED_DATA.is_dir():
    os.environ.setdefault("SIMCOLLAPSE_DATA", str(SHARED_DATA))

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# The same examples on every run, and no limit on one example's time: the first one compiles.
settings.register_profile("simcollapse", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("simcollapse")
