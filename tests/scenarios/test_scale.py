"""Two edges and two workers under load: partitions move between workers, nothing is lost."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops import api
from ops.ports import free_base_port
from tests.running_up import OBSERVAI, Up
from tests.scenarios.load import Load, check_exact
from tests.waiting import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

SESSION_S = 15


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    monkeypatch.setenv("OBSERVAI_CHECKPOINT_S", "2")
    running = Up(tmp_path, free_base_port(3), "--workers", "2", "--edges", "2")
    yield running
    running.close()


@pytest.fixture
def third(up: Up) -> Iterator[subprocess.Popen[bytes]]:
    """A worker started by role with settings alone, as on another machine."""
    port = int(up.url("edge").rpartition(":")[2]) + 43
    environment = os.environ | {
        "OBSERVAI_KAFKA": up.run["kafka"],
        "OBSERVAI_SLOT": "elsewhere",
        "OBSERVAI_LISTEN_PORT": str(port),
        "OBSERVAI_DATA_DIR": str(up.data_dir.with_name("elsewhere")),
    }
    process = subprocess.Popen([OBSERVAI, "worker"], env=environment)
    wait_until(lambda: api.not_ready(f"http://127.0.0.1:{port}") is None, 60, "third worker")
    yield process
    process.kill()
    process.wait()


def n_partitions(url: str) -> int:
    """Return how many partitions a worker says to have."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(one.split()[1]) for one in lines if one.startswith("observai_partitions")))


def kill_and_wait(up: Up, name: str) -> None:
    process = psutil.Process(up.pid(name))
    process.kill()

    def is_back() -> bool:
        again = up.pid(name)
        return again not in {None, process.pid} and api.not_ready(up.url(name)) is None

    wait_until(is_back, 60, f"{name} back after kill -9")


def test_a_rebalance_loses_and_doubles_nothing(
    up: Up, third: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """A worker is killed, one joins, and one goes for good; an edge is killed, too."""
    workers = [up.url("worker"), up.url("worker-1")]
    load = Load([f"{up.url(edge)}/api/v1/write" for edge in ("edge", "edge-1")], up.key(), 10)
    load.start()
    load.wait_for_steps(20)
    wait_until(lambda: sum(map(n_partitions, workers)) < 4, 30, "the third has partitions")

    for name in ("worker-1", "edge-1"):
        kill_and_wait(up, name)
        load.wait_for_steps(20)
    third.send_signal(signal.SIGKILL)
    wait_until(lambda: list(map(n_partitions, workers)) == [2, 2], 3 * SESSION_S, "two a worker")
    load.wait_for_steps(20)
    load.finish()

    check_exact(up.service(), load)


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
        [OBSERVAI, "doctor", "--data-dir", up.data_dir], capture_output=True, text=True, check=True
    )
    assert all(f"ready at {up.url(name)}" in doctor.stdout for name in names)

    children = up.children()
    up.process.terminate()
    assert up.process.wait(15) == 0
    assert not any(child.is_running() for child in children)
