"""The lock on a data directory."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.supervise import data_lock
from ops.supervise.data_lock import DataDirInUseError, Holder


def test_a_second_holder_is_refused_at_once_and_told_who(tmp_path: Path) -> None:
    """The refusal names the process and its URL, and does not wait."""
    lock = data_lock.acquire(tmp_path, "http://127.0.0.1:8080")
    began_s = time.monotonic()

    with pytest.raises(DataDirInUseError, match=rf"{os.getpid()}.*http://127.0.0.1:8080"):
        data_lock.acquire(tmp_path, "http://127.0.0.1:9090")

    assert time.monotonic() - began_s < 1
    lock.release()
    data_lock.acquire(tmp_path, "http://127.0.0.1:9090").release()


def test_children_of_a_killed_holder_get_time_to_leave(tmp_path: Path) -> None:
    """The holder is dead, its child ends soon: the next start waits for it and succeeds."""
    child = _orphan_holding(tmp_path, seconds=0.7)

    lock = data_lock.acquire(tmp_path, "http://127.0.0.1:8080", leave_s=10)

    assert child.poll() is not None or child.wait(1) == 0
    lock.release()


def test_a_child_that_stays_is_reported(tmp_path: Path) -> None:
    """When the time is up the error names the lock file to look at."""
    child = _orphan_holding(tmp_path, seconds=30)

    with pytest.raises(DataDirInUseError, match=r"earlier run.*up\.lock"):
        data_lock.acquire(tmp_path, "http://127.0.0.1:8080", leave_s=0.3)

    child.kill()
    child.wait()


def test_a_process_that_was_given_the_holders_id_is_not_the_holder() -> None:
    """This process was born after the time in the file, so it cannot have written it."""
    assert Holder(os.getpid(), "url", time.time()).is_alive()
    assert not Holder(os.getpid(), "url", started_s=1_000.0).is_alive()


def _orphan_holding(data_dir: Path, seconds: float) -> "subprocess.Popen[bytes]":
    """Hold the lock in a child only, as after kill -9 of a supervisor."""
    lock = data_lock.acquire(data_dir, "url")
    child = subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep({seconds})"], pass_fds=(lock.descriptor,)
    )
    lock.release()
    return child
