"""Settings of the neural tests: JAX as it comes (single precision, standard promotion). Warnings are errors."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("NPROC", "2")  # XLA's thread pool, and with it the last bits
os.environ.setdefault("MPLBACKEND", "Agg")
pytest.register_assert_rewrite("tests.helpers")

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
if SHARED_DATA.is_dir():
    os.environ.setdefault("SIMCOLLAPSE_DATA", str(SHARED_DATA))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """No test reads or writes the user's cache; tests of one process share a fresh one."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
