"""CPU seconds and memory of named processes, from /proc."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KIB = 1024
MB = 1_000_000
_SAMPLE_EVERY_S = 1.0


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return user and system time of each process since its start."""
    return {name: _cpu_of(pid) for name, pid in pids.items()}


def _cpu_of(pid: int) -> float:
    # The name, in brackets, may hold spaces; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def pss_bytes(pids: Mapping[str, int]) -> dict[str, int]:
    """Return the proportional set size of each process: shared pages count in parts."""
    return {name: _field(f"/proc/{pid}/smaps_rollup", "Pss:") for name, pid in pids.items()}


def peak_rss_bytes(pids: Mapping[str, int]) -> dict[str, int]:
    """Return the largest resident set that each process has had."""
    return {name: _field(f"/proc/{pid}/status", "VmHWM:") for name, pid in pids.items()}


def _field(file: str, name: str) -> int:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * _KIB
    raise ValueError(f"{file} has no {name}")


def wait_quiet(
    pids: Mapping[str, int], least_s: float, share: float = 0.2, deadline_s: float = 90.0
) -> float:
    """Wait until the processes together use less than a share of one core; return seconds.

    least_s: not before so long; windows close after 15 s of silence. Returns at the deadline
    in any case.
    """
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < deadline_s:
        window_s = min(2.0, max(least_s, 0.2))
        before_s = sum(cpu_seconds(pids).values())
        time.sleep(window_s)
        used_s = sum(cpu_seconds(pids).values()) - before_s
        if passed_s + window_s >= least_s and used_s < share * window_s:
            break
    return time.monotonic() - began_s


class PeakMemory:
    """Watches the proportional set sizes from a thread; `peak` is that of all together."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak: dict[str, int] = {}
        self.peak_of_all = 0

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_EVERY_S):
            try:
                now = pss_bytes(self._pids)
            except (FileNotFoundError, ProcessLookupError):
                return
            self.peak = {name: max(size, self.peak.get(name, 0)) for name, size in now.items()}
            self.peak_of_all = max(self.peak_of_all, sum(now.values()))
