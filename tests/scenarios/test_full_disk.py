"""A disk that fills up under load: what was acknowledged is stored once when it has room again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from ops import api
from ops.ports import free_base_port
from tests.running_up import Up
from tests.scenarios.load import Load, check_exact, rows
from tests.scenarios.test_crash import child
from tests.waiting import wait_until
from topology.disk import free_bytes

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(280)]

MIB = 1 << 20
DISK_BYTES, MIN_FREE_BYTES = 640 * MIB, 128 * MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def running_up(folder: Path) -> Iterator[Up]:
    running = Up(folder, free_base_port())
    yield running
    children = running.children()
    running.close()
    _, left = psutil.wait_procs(children, 20)
    assert not left, "they would keep the disk from being unmounted"


def fill(disk: Path, leaving: int) -> None:
    """Take all but so many bytes of the disk away."""
    ballast = disk / "ballast"
    with ballast.open("ab") as file:
        while (more := free_bytes(disk) - leaving) > 0:
            # Others write at the same time.
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), ballast.stat().st_size, more)


def said(up: Up, role: str) -> str:
    return api.not_ready(up.url(role)) or ""


@pytest.fixture
def up(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    """All on the small disk."""
    monkeypatch.setenv("OBSERVAI_CHECKPOINT_S", "2")
    monkeypatch.setenv("OBSERVAI_MIN_FREE_BYTES", str(MIN_FREE_BYTES))
    with running_up(disk) as up:
        yield up


@pytest.fixture
def up_with_small_store(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Up]:
    """Only the store on the small disk, and nothing kept free."""
    monkeypatch.setenv("OBSERVAI_STORE", f"chdb://{disk / 'chdb'}")
    monkeypatch.setenv("OBSERVAI_MIN_FREE_BYTES", "0")
    with running_up(tmp_path) as up:
        yield up


def start_load(up: Up) -> Load:
    load = Load([f"{up.url('edge')}/api/v1/write"], up.key())
    load.start()
    load.wait_for_steps(30)
    return load


def test_a_full_disk_loses_nothing(up: Up, disk: Path) -> None:
    """First the store pauses, then the edge refuses, then the broker dies; then there is room."""
    load = start_load(up)

    fill(disk, MIN_FREE_BYTES - 24 * MIB)
    wait_until(lambda: "disk of" in said(up, "store"), 20, "the store says that it pauses")
    load.wait_for_steps(30)
    assert said(up, "edge") == ""
    assert rows(up.service(), "select count() > 0 from samples") == [[1]]

    fill(disk, MIN_FREE_BYTES // 2 - 24 * MIB)
    n_retries = load.n_retries
    wait_until(lambda: "disk of" in said(up, "edge"), 20, "the edge says that it refuses")

    broker = child(up, "kafka")
    assert broker is not None
    fill(disk, 0)
    wait_until(lambda: not broker.is_running(), 60, "a full disk ends the broker")
    wait_until(lambda: child(up, "kafka"), 20, "the broker is started again")
    wait_until(lambda: not child(up, "kafka"), 40, "and ends again")
    assert up.process.poll() is None
    (disk / "ballast").unlink()

    wait_until(up.is_ready, 60, "all go on by themselves")
    load.wait_for_steps(20)
    load.finish()
    assert load.n_retries >= n_retries
    check_exact(up.service(), load)


def test_an_insert_that_finds_the_disk_full_is_tried_again(
    up_with_small_store: Up, disk: Path
) -> None:
    """The engine's own "no space left" is no fault of the rows: Kafka keeps them meanwhile."""
    up = up_with_small_store
    load = start_load(up)

    fill(disk, 0)
    wait_until(lambda: "write failed" in said(up, "store"), 30, "the store says what failed")
    load.wait_for_steps(60)
    assert said(up, "edge") == ""
    (disk / "ballast").unlink()

    wait_until(up.is_ready, 30, "the store goes on by itself")
    load.wait_for_steps(20)
    load.finish()
    check_exact(up.service(), load)
