"""What the figures were measured on: machine, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from ops.bench import victoria
from ops.bench.processes import MB

_PACKAGES = (
    "observai-hub", "numpy", "numba", "aiokafka", "faust-streaming", "chdb", "clickhouse-connect",
    "pyarrow", "msgspec", "cramjam", "uvicorn",
)  # fmt: skip


def describe_machine() -> dict[str, object]:
    """Return processor, cores that may be used, memory and kernel."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": psutil.virtual_memory().total // MB,
        "kernel": platform.release(),
        "load_before": psutil.getloadavg()[0],
    }


def describe_versions() -> dict[str, str | None]:
    """Return versions of Python, of what does the work, and of the peer if it is there."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **packages, "victoria-metrics": victoria.version()}


def commit(folder: Path) -> str:
    """Return the short commit of a work tree, with "-changed" where files differ from it."""
    short = _git(folder, "rev-parse", "--short", "HEAD")
    if not short:
        return "nocommit"
    return short + ("-changed" if _git(folder, "status", "--porcelain") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - whichever git there is
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
