"""Rounds of the archive: a batch applied in a thread, refused rows sent away, a commit."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError

from topology.budget import StoreBudget
from topology.dead_letters import DeadLetters
from topology.runtime import Context
from topology.store.applier import Applier
from topology.store.batch import Batch
from topology.store.gate import Gate
from topology.store.progress import Progress
from topology.store.refused import is_out_of_memory

_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 10.0


class Rounds:
    """Applies batches one after the other, each step in a thread of its own until it succeeds."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that a round touches
        self,
        context: Context,
        applier: Applier,
        progress: Progress,
        consumer: AIOKafkaConsumer,
        dead_letters: DeadLetters,
        gate: Gate,
    ) -> None:
        self._context = context
        self._gate = gate
        self._applier = applier
        self._progress = progress
        self._consumer = consumer
        self._dead_letters = dead_letters
        self._thread = ThreadPoolExecutor(1, "archive")

    async def write(self, batch: Batch) -> None:
        """Apply a batch and commit; a store that is away is tried again for ever."""
        for step in self._applier.steps(batch):
            await self._until_done(step)
            for place, payload, reason in self._applier.take_refused():
                await self._dead_letters.send(place, payload, reason, kind="refused")
        await self._commit()

    def close(self) -> None:
        """Wait for the thread's running insert, if any."""
        self._thread.shutdown(wait=True)

    async def _until_done(self, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_RETRY_S
        while True:
            await self._gate.wait()
            try:
                await loop.run_in_executor(self._thread, work)
            except (ClickHouseError, OSError) as error:
                reason = self._in_words(error)
                self._context.health.set("store", f"write failed: {reason}")
                self._context.log.warning("write failed", error=reason, retry_in_s=wait_s)
                await self._leave_if_broken()
                await loop.run_in_executor(self._thread, self._applier.recover)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LAST_RETRY_S)
            else:
                await self._leave_if_broken()
                self._context.health.set("store", None)
                return

    def _in_words(self, error: Exception) -> str:
        if not is_out_of_memory(error):
            return str(error)
        n_bytes = self._context.settings.memory_bytes
        return (
            f"memory_bytes={n_bytes} is too little, of which the engine gets "
            f"{StoreBudget.of(n_bytes).engine_bytes}: raise it; nothing is lost meanwhile, Kafka "
            f"holds what is not written ({error})"
        )

    async def _leave_if_broken(self) -> None:
        # Reads folders, which can take a while on a busy disk.
        await asyncio.to_thread(self._gate.leave_if_broken, self._context)

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
