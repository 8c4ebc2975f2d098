"""Two edges and two workers: every process is known, and all follow new partitions.

What they do under load, test_faults has.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import api
from ops.faults.running import Up
from ops.ports import free_base_port
from ops.supervise.child import role_command
from tests.waiting import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path, free_base_port(3), "--workers", "2", "--edges", "2")
    yield running
    running.close()


def test_processes_that_were_killed_follow_a_growth(up: Up) -> None:
    """Whoever led the group does not know that after a kill: new partitions get readers still."""
    names = ["worker", "worker-1", "store"]
    killed = {name: up.pid(name) for name in names}
    for pid in killed.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(up.pid(n) not in {None, killed[n]} for n in names), 30, "new processes")
    wait_until(up.is_ready, 60, "all ready")

    grow = role_command("partitions", "--data-dir", str(up.data_dir), "--grow", "6")
    done = subprocess.run(grow, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(up.is_ready, 30, "all ready again")
    workers = "\n".join(metrics(up, name) for name in ("worker", "worker-1"))
    unread = re.findall(r"(?m)^observai_unread_partitions{.*} (.*)", workers)
    read = re.findall(r"(?m)^observai_partitions (.*)", workers)
    n_groups = 4  # of two workers with two stages
    assert (unread, sum(map(float, read))) == (["0.0"] * n_groups, 6)


def metrics(up: Up, name: str) -> str:
    return api.request("GET", f"{up.url(name)}/metrics").body.decode()


def test_every_process_is_named_and_stops(up: Up) -> None:
    """Ready line, run.json, command lines and doctor know all of them."""
    names = ["edge", "edge-1", "store", "worker", "worker-1", "notifier"]
    assert list(up.run["urls"]) == names
    assert all(f"{name}={up.url(name)}" in up.ready_line.split() for name in names)
    lines = [" ".join(child.cmdline()) for child in up.children()]
    for ending in ("edge --slot 0", "edge --slot 1", "worker --slot 0", "worker --slot 1"):
        assert sum(line.endswith(f"observai {ending}") for line in lines) == 1, lines
    assert all((up.data_dir / "logs" / f"{name}.jsonl").exists() for name in names)
    doctor = subprocess.run(
        role_command("doctor", "--data-dir", str(up.data_dir)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"ready at {up.url(name)}" in doctor.stdout for name in names)

    children = up.children()
    up.process.terminate()
    assert up.process.wait(15) == 0
    assert not any(child.is_running() for child in children)
