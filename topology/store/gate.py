"""What each write to the store waits for: room on its disk, and merges that keep up."""

import asyncio
import os
import threading

from topology.disk import CHECK_S, Disk
from topology.runtime import Context
from topology.store.broken_parts import PartsOnDisk

_WATCH_S = 5.0


class Gate:
    """Kafka holds the data while a write waits here, and the next batch gathers up to its bound.

    disk: that of the store, None where a server looks after it. pause_s: how long a write waits
    for merges, as the watcher of parts says: fewer and larger inserts make fewer parts.
    """

    def __init__(self, disk: Disk | None) -> None:
        self.disk = disk
        self.pause_s = 0.0
        self._looking = threading.Lock()
        self._parts = None if disk is None else PartsOnDisk(disk.folder)

    async def wait(self) -> None:
        """Return when a write may begin."""
        while self.disk is not None and self.disk.shortage() is not None:
            await asyncio.sleep(CHECK_S)
        await asyncio.sleep(self.pause_s)

    def leave_if_broken(self, context: Context) -> None:
        """End the process where bytes of a part are missing, before it commits or deletes."""
        with self._looking:
            broken = [] if self._parts is None else self._parts.broken()
        if broken:
            context.log.error("broken parts: the disk was full; starting again", parts=broken)
            os._exit(1)


async def watch_broken_parts(context: Context, gate: Gate) -> None:
    """Leave at once when a merge has left a broken part, until cancelled."""
    while True:
        await asyncio.to_thread(gate.leave_if_broken, context)
        await asyncio.sleep(_WATCH_S)
