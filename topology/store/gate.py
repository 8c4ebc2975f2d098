"""What each write to the store waits for: room on its disk, and merges that keep up."""

import asyncio
import os
from typing import NoReturn

from topology.disk import CHECK_S, Disk
from topology.runtime import Context
from topology.store.empty_parts import empty_parts

_WATCH_S = 5.0


class Gate:
    """Kafka holds the data while a write waits here, and the next batch gathers up to its bound.

    disk: that of the store, None where a server looks after it. pause_s: how long a write waits
    for merges, as the watcher of parts says: fewer and larger inserts make fewer parts.
    """

    def __init__(self, disk: Disk | None) -> None:
        self.disk = disk
        self.pause_s = 0.0

    async def wait(self) -> None:
        """Return when a write may begin."""
        while self.disk is not None and self.disk.shortage() is not None:
            await asyncio.sleep(CHECK_S)
        await asyncio.sleep(self.pause_s)

    def empty_parts(self, since_s: float = 0.0) -> list[str]:
        """Return parts without content among those changed since a time, by the Unix epoch."""
        return [] if self.disk is None else empty_parts(self.disk.folder, since_s)


async def watch_empty_parts(context: Context, gate: Gate) -> None:
    """Leave at once when a merge has left a part without content, until cancelled."""
    while True:
        if found := await asyncio.to_thread(gate.empty_parts):
            leave_at_once(context, found)
        await asyncio.sleep(_WATCH_S)


def leave_at_once(context: Context, found: list[str]) -> NoReturn:
    """End the process before it commits an offset or deletes a part: see empty_parts."""
    context.log.error("parts without content: the disk was full; starting again", parts=found)
    os._exit(1)
