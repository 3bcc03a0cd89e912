import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource
from simcollapse.memory import keep_freed
{call}
faults = []
for _ in range(3):
    block = b"x" * 2**26
    del block
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[2] - faults[1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="told to the GNU C library only")
def test_freed_memory_is_taken_again_without_asking_the_system():
    def pages(call):
        code = MEASURE.format(call=call)
        return int(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        )

    assert pages("keep_freed()") < 100
    assert pages("") > 10 * 100  # else the first proves nothing; 64 MB are up to 16,000 pages
