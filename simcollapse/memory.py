"""Memory that this process took."""

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
