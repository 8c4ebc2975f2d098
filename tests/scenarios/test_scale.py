"""Two edges and two workers under load: partitions move between workers, nothing is lost."""

import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.faults.inflict import ExtraWorker
from ops.faults.running import Up
from ops.ports import free_base_port
from ops.supervise.child import role_command
from tests.scenarios.load import check_exact, kill_and_wait, started_client
from tests.waiting import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

SESSION_S = 15


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    environment = {"OBSERVAI_CHECKPOINT_S": "2"}
    options = ("--workers", "2", "--edges", "2")
    running = Up(tmp_path, free_base_port(3), *options, environment=environment)
    yield running
    running.close()


@pytest.fixture
def third(up: Up) -> Iterator[ExtraWorker]:
    worker = ExtraWorker(up)
    yield worker
    worker.end(signal.SIGKILL)


def n_partitions(url: str) -> int:
    """Return how many partitions a worker says to have."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(one.split()[1]) for one in lines if one.startswith("observai_partitions")))


def test_a_rebalance_loses_and_doubles_nothing(up: Up, third: ExtraWorker) -> None:
    """A worker is killed, one joins, and one goes for good; an edge is killed, too."""
    workers = [up.url("worker"), up.url("worker-1")]
    third.wait_ready()
    client = started_client(up, odd=0.2)
    client.wait_for_requests(20)
    wait_until(lambda: sum(map(n_partitions, workers)) < 4, 30, "the third has partitions")

    for name in ("worker-1", "edge-1"):
        kill_and_wait(up, client, name)
    third.process.kill()
    wait_until(lambda: list(map(n_partitions, workers)) == [2, 2], 3 * SESSION_S, "two a worker")
    client.wait_for_requests(20)
    client.finish()

    check_exact(up, client)


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
