"""Gathers requests for a few milliseconds and publishes them as one record per partition."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline.known_series import KnownSeries
from schemas.samples import REMAPPED, encode_samples, tick
from schemas.topics import Topic
from topology.clock import now_ms
from topology.edge.intake import Intake
from topology.edge.records import records_of
from topology.producer import ACK_TIMEOUT_S
from topology.runtime import Context

_FLUSHES_IN_FLIGHT = 2
_FLUSH_AT_SAMPLES = 100_000
_TICK_S = 5.0
# So long without the acknowledgement of something sent, and requests are refused at once instead of
# waiting.
_STALLED_S = 5.0


class Unavailable(Exception):
    """The broker does not acknowledge; the client should come back."""


@dataclass(slots=True, eq=False)
class _Waiting:
    intake: Intake
    done: asyncio.Future[None]


class Publisher:
    """Publishes intakes; `publish` returns when the broker has acknowledged all of one."""

    def __init__(self, context: Context, producer: AIOKafkaProducer, known: KnownSeries) -> None:
        self._context = context
        self._settings = context.settings
        self._producer = producer
        self._known = known
        # Of topic samples, as all edges, workers and stores have been told; see _follow_partitions.
        self._n_partitions = 0
        self._has_partitions = asyncio.Event()
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(_FLUSHES_IN_FLIGHT)
        self._flushes: set[asyncio.Task[None]] = set()
        # When each record was sent that is not acknowledged yet, the oldest first.
        self._unacknowledged: dict[object, float] = {}

    async def publish(self, intake: Intake) -> None:
        """Publish one request's samples and new series. Raises Unavailable."""
        self.check()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(intake, loop.create_future())
        self._waiting.append(waiting)
        self._wake.set()
        try:
            await asyncio.wait_for(asyncio.shield(waiting.done), ACK_TIMEOUT_S)
        except TimeoutError:
            # What is not yet handed over is taken back; of the rest the outcome is unknown.
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise Unavailable(
                f"the broker did not acknowledge within {ACK_TIMEOUT_S:.0f} s"
            ) from None

    def check(self) -> None:
        """Raise Unavailable while the broker does not acknowledge."""
        if self.stalled_s() > _STALLED_S:
            raise Unavailable(f"the broker has not acknowledged for {self.stalled_s():.0f} s")

    def stalled_s(self) -> float:
        """Return for how long the oldest record waits for its acknowledgement; ticks count too."""
        oldest_s = next(iter(self._unacknowledged.values()), None)
        return 0.0 if oldest_s is None else asyncio.get_running_loop().time() - oldest_s

    async def run(self) -> None:
        """Flush what is waiting, until cancelled."""
        await self._has_partitions.wait()
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._settings.flush_ms / 1000)
            await self._slots.acquire()
            batch = self._take_batch()
            flush = asyncio.create_task(self._flush(batch))
            self._flushes.add(flush)
            flush.add_done_callback(self._end_flush)

    async def drain(self) -> None:
        """Wait until all that was handed in is answered."""
        while self._waiting or self._flushes:
            await asyncio.sleep(0.01)

    async def run_ticks(self) -> None:
        """Tell every partition the time, every few seconds, and the health what came of it."""
        while True:
            try:
                await self._follow_partitions()
                await self._tick(self._n_partitions)
                self._context.health.set("broker", None)
            except (TimeoutError, KafkaError) as error:
                address = self._settings.kafka_bootstrap
                self._context.health.set("broker", f"{address} does not acknowledge: {error!r}")
            self._check_producer()
            await asyncio.sleep(_TICK_S)

    async def _follow_partitions(self) -> None:
        """Take up partitions that topic samples has been given.

        Series move then. Before the first sample goes another way, a tick with the new number
        stands in every partition, and nothing of the old way is under way any more: so the
        window stage knows that its series may have samples elsewhere.
        """
        client = self._producer.client
        topic = self._settings.topic(Topic.SAMPLES)
        await client.add_topic(topic)
        await asyncio.wait_for(client.force_metadata_update(), _STALLED_S)
        n_partitions = len(client.cluster.partitions_for_topic(topic) or ())
        if n_partitions <= self._n_partitions:
            return
        async with asyncio.timeout(_STALLED_S), AsyncExitStack() as stack:
            for _ in range(_FLUSHES_IN_FLIGHT):
                await stack.enter_async_context(self._slots)
            await self._tick(n_partitions, REMAPPED if self._n_partitions else 0)
            self._context.log.info("partitions", before=self._n_partitions, now=n_partitions)
            self._n_partitions = n_partitions
            self._context.metrics.partitions.set(n_partitions)
            self._has_partitions.set()

    async def _tick(self, n_partitions: int, flags: int = 0) -> None:
        """Tell every partition the time and the number of partitions. Raises TimeoutError."""
        topic = self._settings.topic(Topic.SAMPLES)
        record = encode_samples([tick(now_ms(), n_partitions, flags)])
        sends = [self._send(topic, record, partition) for partition in range(n_partitions)]
        await asyncio.wait_for(asyncio.gather(*sends), _STALLED_S)

    def _take_batch(self) -> list[_Waiting]:
        n_samples, n_requests = 0, 0
        for waiting in self._waiting:
            n_samples += len(waiting.intake.series_ids)
            n_requests += 1
            if n_samples >= _FLUSH_AT_SAMPLES:
                break
        batch, self._waiting = self._waiting[:n_requests], self._waiting[n_requests:]
        if not self._waiting:
            self._wake.clear()
        return batch

    async def _flush(self, batch: list[_Waiting]) -> None:
        error: Exception | None = None
        started_s = asyncio.get_running_loop().time()
        try:
            await self._send_all([waiting.intake for waiting in batch])
            ended_s = asyncio.get_running_loop().time()
            self._context.metrics.kafka_produce.observe(ended_s - started_s)
        except KafkaError as refused:
            error = Unavailable(f"the broker refused: {refused!r}")
        finally:
            self._slots.release()
        for waiting in batch:
            if waiting.done.done():
                continue
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)

    def _end_flush(self, flush: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        if not flush.cancelled() and (bug := flush.exception()) is not None:
            self._context.fail(f"flush: {bug!r}")

    async def _send_all(self, intakes: list[Intake]) -> None:
        received_ms = now_ms()
        records = records_of(intakes, received_ms, self._n_partitions)
        await asyncio.gather(
            *(
                self._send(self._settings.topic(topic), record, partition)
                for topic, partition, record in records
            )
        )
        for intake in intakes:
            for keys in intake.new_keys:
                self._known.add(keys, received_ms)

    async def _send(self, topic: str, record: bytes, partition: int) -> None:
        ticket = object()
        self._unacknowledged[ticket] = asyncio.get_running_loop().time()
        try:
            await (await self._producer.send(topic, record, partition=partition))
        finally:
            del self._unacknowledged[ticket]

    def _check_producer(self) -> None:
        # aiokafka's sender task ends for good on an error that it does not expect (its issue
        # 1017); only a new producer helps, so the role leaves and is started again.
        sender = self._producer._sender.sender_task  # noqa: SLF001 - not public
        if sender is not None and sender.done():
            self._context.fail("the producer's sender task has ended")
