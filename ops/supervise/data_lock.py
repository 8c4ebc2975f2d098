"""The lock on a data directory: one `observai up` at a time, its children included."""

import datetime
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

LEAVE_S = 10.0
_POLL_S = 0.1
_CLOCK_SLACK_S = 2.0


class DataDirInUseError(Exception):
    """Another process holds the data directory; the text says who, and what to do."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The supervisor that holds a lock, as it stands in the lock file."""

    pid: int
    url: str
    started_s: float

    def is_alive(self) -> bool:
        """Whether this very process runs, not another one that was given its id."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.create_time() <= self.started_s + _CLOCK_SLACK_S
        except psutil.NoSuchProcess:
            return False


class DataLock:
    """A held lock. Children inherit `descriptor`, so it is free when the last of them is gone."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self.descriptor = descriptor

    def release(self) -> None:
        """Give up this process's hold."""
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def acquire(data_dir: Path, url: str, leave_s: float = LEAVE_S) -> DataLock:
    """Take the lock, or raise DataDirInUseError.

    Refused at once while its holder lives; of a killed one the children get leave_s to go.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline_s = time.monotonic() + leave_s
    try:
        while not _try_lock(descriptor):
            holder = read_holder(data_dir)
            if holder and holder.is_alive():
                raise DataDirInUseError(_in_use(data_dir, holder))
            if time.monotonic() > deadline_s:
                raise DataDirInUseError(
                    f"data directory {data_dir} is still used by processes of an earlier run "
                    f"after {leave_s:.0f} s; `fuser {path}` names them"
                )
            time.sleep(_POLL_S)
    except DataDirInUseError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(Holder(os.getpid(), url, time.time()))).encode(), 0)
    return DataLock(path, descriptor)


def read_holder(data_dir: Path) -> Holder | None:
    """Return who wrote the lock file last; None when it is missing or empty."""
    try:
        return Holder(**json.loads((data_dir / "up.lock").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(data_dir: Path, holder: Holder) -> str:
    since = datetime.datetime.fromtimestamp(holder.started_s, datetime.UTC)
    return (
        f"data directory {data_dir} is in use by `observai up` with process id {holder.pid}, "
        f"{holder.url}, since {since:%Y-%m-%d %H:%M:%S} UTC. Stop it (kill {holder.pid}), "
        "or choose another --data-dir and --port"
    )
