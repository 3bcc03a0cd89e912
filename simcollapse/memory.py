"""Memory that this process took, and what becomes of it when it is freed."""

import ctypes
import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Most memory that this program had in use so far.

    On Linux as the kernel counts it for the program: what `getrusage` says may be of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(s for s in status.read_text(encoding="utf-8").splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others KiB


# Of `mallopt` in the C library of Linux (malloc.h).
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8


def keep_freed() -> None:
    """Keep freed memory for the next time, where the C library can be told to (Linux); else do nothing.

    Without it an array beyond 32 MB goes back to the system when it is freed. XLA on CPU takes all intermediate arrays
    of a program as one such array at every call, and the system gives it page by page, each cleared first: a third of
    the time of a training step. Best called before the first array: the pool of a further thread is too small to keep
    that much, so threads that start later share the first one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(ARENA_MAX, 1)
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)
