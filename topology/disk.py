"""Free space of the disk that holds the data: who writes to it stops before it is full."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from topology.runtime import Context
from topology.settings import Settings

CHECK_S = 1.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk under a folder, and how many bytes of it must stay free."""

    folder: Path
    least_free_bytes: int

    def shortage(self) -> str | None:
        """Return what is missing and what to do, or None where enough is free."""
        free = free_bytes(self.folder)
        if free >= self.least_free_bytes:
            return None
        return (
            f"disk of {self.folder} is nearly full: {free} bytes free, at least "
            f"{self.least_free_bytes} needed (min_free_bytes); delete files or give it more room, "
            "it goes on by itself"
        )


def free_bytes(folder: Path) -> int:
    """Return what an unprivileged process may still write under a folder that may not exist yet."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def disk_of_store(settings: Settings) -> Disk | None:
    """Return the disk that the store's inserts fill, None where a server has its own."""
    scheme, _, path = settings.store_url.partition("://")
    return Disk(Path(path), settings.min_free_bytes) if scheme == "chdb" else None


def disk_of_broker(settings: Settings) -> Disk | None:
    """Return the disk that accepted samples fill, None where the broker has its own.

    Half of what the store leaves free: the store stops first, and what is left is for what Kafka
    writes by itself. A broker that finds its disk full ends.
    """
    if settings.kafka is not None:
        return None
    return Disk(settings.data_dir.absolute(), settings.min_free_bytes // 2)


async def watch_disk(context: Context, disk: Disk) -> None:
    """Keep the health's part "disk" true until cancelled."""
    was_short = False
    while True:
        shortage = disk.shortage()
        context.health.set("disk", shortage)
        if shortage is not None and not was_short:
            context.log.error("disk nearly full", reason=shortage)
        elif was_short and shortage is None:
            context.log.info("disk has room again", folder=str(disk.folder))
        was_short = shortage is not None
        await asyncio.sleep(CHECK_S)
