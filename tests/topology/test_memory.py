"""What a process frees is the machine's again."""

import subprocess
import sys

import pytest

# Large arrays, each with a small one behind it that stays; prints what is kept of 160 MB.
PROGRAM = """
import numpy as np, psutil
{before}
process = psutil.Process()
del (first := [np.ones(1 << 20)])[0]
began = process.memory_info().rss
large, small = [], []
for _ in range(20):
    large.append(np.ones(1 << 20))
    small.append(np.ones(1 << 14))
large.clear()
print(process.memory_info().rss - began)
"""
CALL = "from topology.memory import give_back_large_arrays; give_back_large_arrays()"


def kept_bytes(before: str) -> int:
    program = PROGRAM.format(before=before)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_arrays_are_given_back_though_small_ones_lie_between() -> None:
    assert kept_bytes(CALL) < 20 << 20
    assert kept_bytes("") > 100 << 20, "or the call is needed no more"
