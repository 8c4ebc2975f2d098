"""The supervisor, over stand-ins for roles."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.supervise import data_lock, supervisor
from ops.supervise.child import Spec, role_environment
from ops.supervise.supervisor import StartError, Supervisor
from tests.ops.supervise.stand_in import spec
from tests.waiting import wait_until
from topology.settings import Settings, load_settings

FOREVER = "import time; time.sleep(600)"
STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture
async def supervised(tmp_path: Path) -> AsyncIterator[Supervisor]:
    """A supervisor whose children are gone after the test."""
    lock = data_lock.acquire(tmp_path, "url")
    made = Supervisor(lock.descriptor)
    yield made
    made.kill_all()
    await made.stop([list(made.pids())], stage_s=1)
    lock.release()


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A supervisor process with two stubborn children; its ids and its handle."""
    process = subprocess.Popen(
        [sys.executable, STAND_IN, tmp_path], stdout=subprocess.PIPE, cwd=STAND_IN.parents[3]
    )
    assert process.stdout
    yield json.loads(process.stdout.readline()) | {"process": process}
    process.kill()
    process.wait()
    process.stdout.close()


async def test_a_dead_child_is_replaced(supervised: Supervisor) -> None:
    """After kill -9 another process runs under the same name."""
    await supervised.start(spec("worker", FOREVER))
    first = supervised.pids()["worker"]

    os.kill(first, signal.SIGKILL)

    async with asyncio.timeout(5):
        while supervised.pids()["worker"] == first:
            await asyncio.sleep(0.02)
    assert psutil.pid_exists(supervised.pids()["worker"])
    assert not supervised.failed.is_set()


async def test_restarts_wait_longer_each_time(
    supervised: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pause is about twice the one before."""
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 0.1)
    starts = tmp_path / "starts"
    program = f"import time; open({str(starts)!r}, 'a').write(f'{{time.time()}}\\n')"

    await supervised.start(spec("worker", program))
    async with asyncio.timeout(20):
        await supervised.failed.wait()

    times_s = [float(line) for line in starts.read_text().splitlines()]
    pauses_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert len(times_s) == 5
    for pause_s, at_least_s in zip(pauses_s, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert pause_s >= at_least_s


async def test_the_fifth_death_within_a_minute_gives_up_with_the_last_lines(
    supervised: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the child, its exit code, and what it said last."""
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 0.01)
    await supervised.start(spec("store", "print('the disk is on fire'); raise SystemExit(3)"))

    async with asyncio.timeout(20):
        await supervised.failed.wait()

    assert supervised.reason.startswith("store died 5 times within 60 s, last with exit code 3")
    assert "the disk is on fire" in supervised.reason


async def test_once_all_were_ready_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One role that dies for ever is no reason to end Kafka and the others."""
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(supervisor, "MAX_BACKOFF_S", 0.02)
    restarts: list[int] = []
    lock = data_lock.acquire(tmp_path, "url")
    made = Supervisor(lock.descriptor, on_restart=lambda: restarts.append(made.pids()["edge"]))
    made.keep_on()

    await made.start(spec("edge", "raise SystemExit(3)"))
    async with asyncio.timeout(30):
        while len(restarts) < supervisor.MAX_DEATHS + 3:
            await asyncio.sleep(0.02)

    assert not made.failed.is_set()
    assert len(set(restarts)) == len(restarts)
    await made.stop([["edge"]], stage_s=1)
    lock.release()


async def test_deaths_on_a_full_disk_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that cannot live is started again until the disk has room; then deaths count anew."""
    monkeypatch.setattr(supervisor, "EXCUSED_BACKOFF_S", 0.01)
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 0.01)
    starts = tmp_path / "starts"
    program = f"open({str(starts)!r}, 'a').write('x')"

    def excuse() -> str | None:
        return "disk full" if starts.stat().st_size <= 8 else None

    lock = data_lock.acquire(tmp_path, "url")
    made = Supervisor(lock.descriptor, excuse)
    await made.start(spec("kafka", program))
    async with asyncio.timeout(30):
        await made.failed.wait()

    assert starts.read_text() == "x" * (8 + supervisor.MAX_DEATHS)
    await made.stop([["kafka"]], stage_s=1)
    lock.release()


async def test_a_child_that_never_gets_ready_is_named(supervised: Supervisor) -> None:
    """The error of a start says who is late and the last reason given."""

    async def not_ready() -> str | None:
        return "kafka: cannot reach 127.0.0.1:1"

    late = Spec("edge", [sys.executable, "-c", FOREVER], dict(os.environ), not_ready)
    await supervised.start(late)

    with pytest.raises(StartError, match=r"edge: kafka: cannot reach 127\.0\.0\.1:1"):
        await supervised.wait_ready([late], deadline_s=0.2)


async def test_a_start_on_a_full_disk_waits_for_room(tmp_path: Path) -> None:
    """The deadline does not count while the disk is full; it does afterwards."""
    asked: list[str | None] = []

    def excuse() -> str | None:
        asked.append("disk full" if len(asked) < 3 else None)
        return asked[-1]

    async def not_ready() -> str | None:
        return "no room" if len(asked) < 3 else None

    lock = data_lock.acquire(tmp_path, "url")
    made = Supervisor(lock.descriptor, excuse)
    late = Spec("kafka", [sys.executable, "-c", FOREVER], dict(os.environ), not_ready)
    await made.start(late)

    async with asyncio.timeout(30):
        await made.wait_ready([late], deadline_s=0.1)

    assert asked == ["disk full"] * 3
    await made.stop([["kafka"]], stage_s=1)
    lock.release()


async def test_stop_goes_in_order(supervised: Supervisor, tmp_path: Path) -> None:
    """Each child notes its end; the edge is gone before the store is asked to go."""
    ends = tmp_path / "ends"
    ready = tmp_path / "ready"
    ready.mkdir()
    for name in ("store", "edge"):
        program = (
            "import signal, sys, time, pathlib\n"
            f"def end(*_): time.sleep(0.2); open({str(ends)!r}, 'a').write('{name} '); sys.exit()\n"
            f"signal.signal(signal.SIGTERM, end); pathlib.Path({str(ready / name)!r}).touch()\n"
            "time.sleep(600)"
        )
        await supervised.start(spec(name, program))
    wait_until(lambda: len(list(ready.iterdir())) == 2, 10, "both children run")

    await supervised.stop([["edge"], ["store"]], stage_s=3)

    assert ends.read_text() == "edge store "


def test_stop_kills_what_ignores_it(stand_in: dict[str, Any]) -> None:
    """SIGTERM to the supervisor ends children that ignore SIGTERM, at the deadline."""
    began_s = time.monotonic()

    stand_in["process"].terminate()

    assert stand_in["process"].wait(5) == 0
    assert time.monotonic() - began_s < 5
    assert not any(map(psutil.pid_exists, stand_in["children"].values()))


def test_kill_9_of_the_supervisor_leaves_no_orphan(
    stand_in: dict[str, Any], tmp_path: Path
) -> None:
    """The kernel takes the children along, and the data directory is free again."""
    stand_in["process"].kill()

    wait_until(
        lambda: not any(map(_runs, stand_in["children"].values())), 5, "the children are gone"
    )
    data_lock.acquire(tmp_path, "url", leave_s=5).release()


def test_a_childs_environment_is_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child reads exactly the supervisor's settings, whatever the shell's own variables say."""
    settings = load_settings(port=12_345, data_dir=Path("/somewhere"), kafka="h:1")
    environment = role_environment(settings)
    for name in [name for name in os.environ if name.startswith("OBSERVAI_")]:
        monkeypatch.delenv(name)

    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert load_settings() == settings
    assert environment["OBSERVAI_PARENT_PID"] == str(os.getpid())
    assert set(Settings.model_fields) >= {
        name.removeprefix("OBSERVAI_").lower()
        for name in environment
        if name.startswith("OBSERVAI_") and name != "OBSERVAI_PARENT_PID"
    }


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
