"""What each write to the store waits for: room on its disk, and merges that keep up."""

import asyncio

from topology.disk import CHECK_S, Disk


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
