"""kill -9 of each part in turn under load: nothing that was acknowledged is lost or doubled."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.ports import free_base_port
from tests.running_up import Up
from tests.scenarios.load import Load, check_exact
from tests.waiting import wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    monkeypatch.setenv("OBSERVAI_CHECKPOINT_S", "2")
    running = Up(tmp_path, free_base_port())
    yield running
    running.close()


def child(up: Up, role: str) -> psutil.Process | None:
    """Return the process of a role, or of the broker."""
    word = "kafka.Kafka" if role == "kafka" else role
    for process in up.children():
        try:
            if word in process.cmdline():
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def kill_and_wait(up: Up, load: Load, role: str) -> None:
    """Kill a part, wait until all are ready again and the load has moved on."""
    victim = child(up, role)
    assert victim is not None
    victim.kill()

    def is_back() -> bool:
        now = child(up, role)
        return now is not None and now.pid != victim.pid and up.is_ready()

    wait_until(is_back, 60, f"{role} back after kill -9")
    load.wait_for_steps(20)


def test_nothing_acknowledged_is_lost_or_doubled(up: Up) -> None:
    load = Load([f"{up.url('edge')}/api/v1/write"], up.key())
    load.start()
    load.wait_for_steps(30)
    for role in ("worker", "store", "kafka", "worker", "edge"):
        kill_and_wait(up, load, role)
    load.finish()

    check_exact(up.service(), load)
