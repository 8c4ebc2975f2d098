"""A disk that can be full for a while: a tmpfs, or else writes that the kernel refuses."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil

from ops.faults.running import Up
from topology.disk import free_bytes


class Disk(Protocol):
    """Something that holds the data directory, or stands in for it."""

    how: str
    folder: Path

    def fill(self, up: Up) -> None:
        """Let writes fail from now on."""

    def free(self, up: Up) -> None:
        """Let writes succeed again."""


class Tmpfs:
    """A small file system of the data directory's own, filled by a ballast file."""

    how = "a tmpfs holds the data directory, and a file fills it"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, up: Up) -> None:
        """Take every byte that is left."""
        del up
        self.take_all_but(0)

    def take_all_but(self, n_bytes: int) -> None:
        """Let the file grow until no more than n_bytes are left."""
        with self._ballast.open("ab") as ballast:
            while (more := free_bytes(self.folder) - n_bytes) > 0:
                # Others write at the same time.
                with suppress(OSError):
                    os.posix_fallocate(ballast.fileno(), self._ballast.stat().st_size, more)

    def free(self, up: Up) -> None:
        """Remove the file."""
        del up
        self._ballast.unlink(missing_ok=True)


class WriteLimit:
    """The store's writes to files are refused by a limit of the kernel (EFBIG)."""

    how = "the kernel refuses the store's writes (RLIMIT_FSIZE)"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, up: Up) -> None:
        """Refuse writes of the store's present process."""
        self._limit(up, 0)

    def free(self, up: Up) -> None:
        """Take the limit off; a process that has been started meanwhile has none."""
        self._limit(up, psutil.RLIM_INFINITY)

    @staticmethod
    def _limit(up: Up, n_bytes: int) -> None:
        pid = up.pid("store")
        if pid is not None:
            psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (n_bytes, psutil.RLIM_INFINITY))


@contextmanager
def disk(folder: Path, n_mb: int) -> Iterator[Disk]:
    """Mount a tmpfs on a folder until the block ends, where that is allowed."""
    folder.mkdir(parents=True)
    options = f"size={n_mb}m"
    mount = ["mount", "-t", "tmpfs", "-o", options, "observai-faults", str(folder)]
    try:
        is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own arguments
    except OSError:
        is_mounted = False
    if not is_mounted:
        yield WriteLimit(folder)
        return
    try:
        yield Tmpfs(folder)
    finally:
        # Lazily: whoever looks at its logs does not keep it.
        subprocess.run(["umount", "--lazy", str(folder)], check=False)  # noqa: S603, S607 - whichever umount there is
