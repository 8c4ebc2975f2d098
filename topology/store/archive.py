"""Archives topics into the store, and has the work on windows done that their records ask for."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from aiokafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.breaker import Breaker
from topology.clock import now_ms
from topology.dead_letters import UNDECODABLE, DeadLetters, Place
from topology.gaps import report_gap
from topology.readers import watch_readers
from topology.runtime import Context
from topology.skips import SKIPPED, Skips, way_out
from topology.store.applier import Applier
from topology.store.batch import FLUSH_S, Batch
from topology.store.evidence import ArchiveEvidence
from topology.store.gate import Gate
from topology.store.lag import report_lag
from topology.store.pauses import Pauses
from topology.store.progress import Progress
from topology.store.rounds import Rounds
from topology.store.writer import Writer
from topology.topics import METADATA_AGE_MS

TOPICS = (Topic.SAMPLES, Topic.SERIES, Topic.ROLLUPS, Topic.RECOMPUTE, Topic.SCORES)

# What the lag of a topic is reported as: a long backfill is no lag of live windows.
_STAGES = {Topic.ROLLUPS: "rollup", Topic.RECOMPUTE: "backfill"}

_POLL_S = 0.5
_PAUSE_S = 0.05
# Some 40,000 rows each at most: a read overfills a batch by little.
_RECORDS_PER_READ = 16
_REVOKE_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 5.0


class Archive:
    """Reads, gathers and writes: one batch is written in a thread while the next is gathered.

    Offsets are committed after the insert, and every insert is an upsert, so a crash at any
    point leads to repeats that change nothing.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        context: Context,
        writer: Writer,
        dead_letters: DeadLetters,
        clock_s: Callable[[], float] = time.monotonic,
        gate: Gate | None = None,
        skips: Skips | None = None,
    ) -> None:
        settings = context.settings
        self._context = context
        self._dead_letters = dead_letters
        self._skips = skips or Skips()
        self._clock_s = clock_s
        self._topic_of = {settings.topic(topic): topic for topic in TOPICS}
        self._progress = Progress(settings.topic(Topic.SAMPLES))
        self._applier = Applier(writer, self._progress, clock_s)
        self._batch = Batch(clock_s())
        self._written: Batch | None = None
        self._writing: asyncio.Task[None] | None = None
        # An epoch lasts from one rebalance to the next; what was read in another one is void.
        self._epoch = 0
        self._begun_epoch = -1
        self._is_assigned = False
        # When the newest record that was read of a partition had come to Kafka; kept over epochs.
        self._newest_ms: dict[TopicPartition, int] = {}
        self._group = f"{settings.topic_prefix}archive"
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=self._group,
            # A store that was killed takes its partitions up again at once.
            group_instance_id=f"archive-{settings.slot}",
            # Partition p of all topics must meet in one process.
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 << 20,
            fetch_max_bytes=32 << 20,
            max_poll_interval_ms=86_400_000,
            session_timeout_ms=10_000,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        gate = gate or Gate(None)
        self._rounds = Rounds(
            context, self._applier, self._progress, self._consumer, dead_letters, gate
        )
        lanes = {settings.topic(topic) for topic in (Topic.ROLLUPS, Topic.RECOMPUTE)}
        self._breakers: dict[TopicPartition, Breaker] = {}
        self._pauses = Pauses(context, self._consumer, self._progress, lanes)
        self.evidence = ArchiveEvidence(settings, self._consumer, self._progress)

    async def run(self) -> None:
        """Archive until the role stops, then write and commit what is gathered."""
        self._context.health.set("archive", "waiting for partitions")
        await self._join()
        await self._start_consumer()
        readers = watch_readers(self._context, self._group, self._topic_of, self._join)
        watcher = asyncio.create_task(readers)
        try:
            while not self._context.stopping.is_set():
                if await self._begin_partitions():
                    self._start_write_if_due()
                    await self._read_or_wait()
                    self._go_on()
                    self._pauses.hold_back()
                    report_lag(self._context.metrics, self._ages())
            await self._drain()
        finally:
            watcher.cancel()
            if self._writing is not None:
                self._writing.cancel()
            await self._consumer.stop()
            self._rounds.close()

    async def release(self) -> None:
        """Let go of all partitions: end the running write, drop what is only gathered."""
        self._is_assigned = False
        self._epoch += 1
        if (writing := self._writing) is not None:
            await asyncio.wait({writing}, timeout=_REVOKE_DEADLINE_S)
            writing.cancel()
        self._writing = self._written = None
        self._batch = Batch(self._clock_s())
        self._progress.clear()
        self._applier.clear()
        self._pauses.clear()
        self._breakers.clear()

    def assigned(self) -> None:
        """Take up the partitions of a new assignment."""
        self._is_assigned = True

    async def _join(self) -> None:
        """Join the group, or join it again."""
        self._consumer.subscribe(list(self._topic_of), listener=_Listener(self))

    async def _start_consumer(self) -> None:
        while not self._context.stopping.is_set():
            try:
                await self._consumer.start()
            except KafkaError as error:
                bootstrap = self._context.settings.kafka_bootstrap
                self._context.health.set("kafka", f"cannot reach {bootstrap}: {error}")
                await asyncio.sleep(1)
            else:
                self._context.health.set("kafka", None)
                return

    async def _begin_partitions(self) -> bool:
        """Begin the partitions of a new assignment where they are committed; False if not yet.

        The position is set here and not left to the client: records that it had fetched before
        the rebalance may have gone to a read that was void.
        """
        epoch = self._epoch
        if not self._is_assigned:
            await asyncio.sleep(_PAUSE_S)
        elif self._begun_epoch != epoch:
            new: list[TopicPartition] = []
            places = list(self._consumer.assignment())
            firsts = await self._consumer.beginning_offsets(places)
            for place in places:
                committed = await self._consumer.committed(place)
                if epoch != self._epoch:
                    return False
                topic, n_lost = self._topic_of[place.topic], firsts[place] - (committed or 0)
                report_gap(self._context, topic, place.partition, n_lost)
                if committed is None:
                    new.append(place)
                else:
                    self._consumer.seek(place, committed)
                self._progress.begin(place, committed)
            if new:
                # All in one request: each waits for the fetch that runs on its connection.
                await self._consumer.seek_to_beginning(*new)
                if epoch != self._epoch:
                    return False
            self._begun_epoch = epoch
            n_partitions = sum(self._topic_of[one.topic] == Topic.SAMPLES for one in places)
            self._context.metrics.partitions.set(n_partitions)
            self._context.health.set("archive", None)
        return self._is_assigned and self._begun_epoch == self._epoch

    def _go_on(self) -> None:
        """Read on where an operator has allowed to pass over what could not be read."""

        def may_pass(place: TopicPartition, offset: int) -> bool:
            return self._skips.covers(self._topic_of[place.topic], place.partition, offset)

        for place in self._pauses.go_on(may_pass):
            self._breakers.pop(place, None)

    def _start_write_if_due(self) -> None:
        if self._writing is not None:
            if not self._writing.done():
                return
            self._writing.result()  # Raises what is no failure of the store: a bug.
            self._writing = self._written = None
        now_s = self._clock_s()
        has_work = self._applier.has_work()
        # Without rows it can go on at once; rows are gathered first, so that inserts stay large.
        is_left_over = has_work and not self._batch.n_rows
        if now_s - self._batch.began_s >= FLUSH_S:
            is_left_over = has_work or bool(self._progress.committable())
        if self._batch.is_due(now_s) or is_left_over:
            self._written, self._batch = self._batch, Batch(now_s)
            self._writing = asyncio.create_task(self._rounds.write(self._written))

    async def _read_or_wait(self) -> None:
        if self._batch.is_full() and self._writing is not None:
            # No polling: memory stays bounded however long the store is away.
            await asyncio.wait({self._writing}, timeout=_POLL_S)
            return
        epoch = self._epoch
        try:
            records = await self._consumer.getmany(
                timeout_ms=self._wait_ms(), max_records=_RECORDS_PER_READ
            )
        except KafkaError as error:
            self._context.log.warning("read failed", error=str(error))
            await asyncio.sleep(_POLL_S)
            return
        for place, batch in records.items():
            if epoch == self._epoch:
                await self._take(place, batch)

    def _wait_ms(self) -> int:
        if self._writing is not None or self._applier.has_work():
            return 20
        if not self._batch.n_rows:
            return int(_POLL_S * 1000)
        due_in_s = self._batch.due_at_s() - self._clock_s()
        return max(0, int(min(due_in_s, _POLL_S) * 1000))

    async def _take(self, place: TopicPartition, records: Iterable[ConsumerRecord]) -> None:
        epoch = self._epoch
        topic = self._topic_of[place.topic]
        breaker = self._breakers.setdefault(place, Breaker())
        for record in records:
            self._newest_ms[place] = record.timestamp
            try:
                self._batch.add(topic, place, record.offset, record.value or b"")
                breaker.good()
            except (InvalidRecord, UnknownVersion) as error:
                where = Place(topic, record.partition, record.offset)
                is_skipped = self._skips.covers(*where)
                if not is_skipped and (why := _why_stop(breaker, error)) is not None:
                    self._pauses.stop(place, record.offset, why + way_out(topic, place.partition))
                    return
                kind = SKIPPED if is_skipped else UNDECODABLE
                await self._dead_letters.send(where, record.value or b"", str(error), kind)
                if epoch != self._epoch:
                    return
                self._batch.pass_over(place, record.offset)

    async def _drain(self) -> None:
        """Write what is gathered, unless the store takes too long: then it is read again."""
        if not self._is_assigned:
            return
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_STOP_DEADLINE_S)
            if not self._writing.done():
                return
        self._writing = asyncio.create_task(self._rounds.write(self._batch))
        await asyncio.wait({self._writing}, timeout=_STOP_DEADLINE_S)

    def _ages(self) -> Iterator[tuple[str, int, int | None]]:
        """Yield stage, partition, and receive time of the oldest record not done, if any."""
        batches = [batch for batch in (self._written, self._batch) if batch is not None]
        for place in self._consumer.assignment():
            stage = _STAGES.get(self._topic_of[place.topic], "archive")
            read_next = self._progress.done_next(place)
            for batch in batches:
                yield stage, place.partition, batch.oldest_receive_ms.get(place)
                read_next = max(read_next, batch.next_offsets.get(place, 0))
            yield stage, place.partition, self._progress.oldest_task_receive_ms(place)
            if read_next and (self._consumer.highwater(place) or 0) > read_next:
                # Records wait unread: they are newer than the last that was read, or than now.
                yield stage, place.partition, self._newest_ms.setdefault(place, now_ms())


def _why_stop(breaker: Breaker, error: Exception) -> str | None:
    """Return why the partition must not pass over a record that cannot be read, if so."""
    if isinstance(error, UnknownVersion):
        return str(error)
    why = breaker.trips()
    return None if why is None else f"{why} ({error})"


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped
    """Lets go of everything at a rebalance: kept partitions, too, begin again at their offsets."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let go while the partitions' offsets can still be committed."""
        del revoked
        await self._archive.release()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take up the new assignment before reading goes on."""
        del assigned
        self._archive.assigned()
