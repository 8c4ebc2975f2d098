"""One round of the archive: insert a batch, recompute what became ready, commit."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError

from topology.runtime import Context
from topology.store.batch import Batch
from topology.store.progress import Progress
from topology.store.writer import Writer

_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 10.0


class Rounds:
    """Writes batches one after the other in a thread of its own.

    In this order: 1. insert all rows; 2. recompute the windows whose samples are now stored;
    3. commit.
    """

    def __init__(
        self, context: Context, writer: Writer, progress: Progress, consumer: AIOKafkaConsumer
    ) -> None:
        self._context = context
        self._writer = writer
        self._progress = progress
        self._consumer = consumer
        self._thread = ThreadPoolExecutor(1, "archive")

    async def write(self, batch: Batch) -> None:
        """Write a batch; a store that is away is tried again for ever."""
        await self._until_done(partial(self._writer.insert, batch))
        self._progress.stored(batch)
        if ready := self._progress.ready_marks():
            blocks = [mark.block for _, mark in ready]
            await self._until_done(partial(self._writer.recompute, blocks))
            self._progress.recomputed(ready)
        await self._commit()

    def close(self) -> None:
        """Wait for the thread's running insert, if any."""
        self._thread.shutdown(wait=True)

    async def _until_done(self, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                await loop.run_in_executor(self._thread, work)
            except (ClickHouseError, OSError) as error:
                self._context.health.set("store", f"write failed: {error}")
                self._context.log.warning("write failed", error=str(error), retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LAST_RETRY_S)
            else:
                self._context.health.set("store", None)
                return

    async def _commit(self) -> None:
        offsets = self._progress.committable()
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            # The partitions have a new owner, who writes the same rows again.
            self._context.log.info("commit refused", error=str(error))
        except KafkaError as error:
            # Stays committable: the next round tries again.
            self._context.log.warning("commit failed", error=str(error))
        else:
            self._progress.committed(offsets)
