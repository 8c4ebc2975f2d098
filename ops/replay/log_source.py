"""A partitioned topic as one log: the records of all partitions in the order they arrived."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from ops.replay.plan import ReplayError
from ops.replay.source import Record
from schemas.topics import Topic
from topology.settings import Settings

# Of all partitions together, about; each gets room for the largest record.
_BUFFER_BYTES = 64 << 20
_LEAST_BYTES, _MOST_BYTES = 1 << 20, 8 << 20
_READ_MS, _PATIENCE_READS = 1_000, 30


@dataclass(slots=True)
class _Partition:
    """What is read of a partition: [begin, end). at, given: where fetching and giving have come."""

    place: TopicPartition
    first: int
    begin: int
    end: int
    at: int
    given: int
    fetched: deque[ConsumerRecord] = field(default_factory=deque)
    n_bytes: int = 0

    def take_in(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            if self.at <= record.offset < self.end:
                self.fetched.append(record)
                self.n_bytes += len(record.value or b"")
            self.at = record.offset + 1

    def pop(self) -> ConsumerRecord:
        record = self.fetched.popleft()
        self.given = record.offset + 1
        self.n_bytes -= len(record.value or b"")
        return record


class LogSource:
    """Reads a topic from a time of arrival, or from given offsets, to its present end.

    Partitions are merged by the time of arrival and their number, not as fetches happen to be
    answered: the same log gives the same order each time.
    """

    def __init__(self, settings: Settings, topic: Topic) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: dict[int, _Partition] = {}

    async def open(self, begin_ms: int, begins: Mapping[int, int]) -> None:
        """Find where to begin and to end. begins: offsets to go on at, which win over the time.

        Raises ReplayError without broker or topic.
        """
        name = self._settings.topic(self._topic)
        self._consumer = consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            # What is gone from the log must not be passed over unseen.
            auto_offset_reset="none",
            max_partition_fetch_bytes=_LEAST_BYTES,
        )
        try:
            await consumer.start()
            # A consumer without subscription knows no topic yet.
            await consumer._client.force_metadata_update()  # noqa: SLF001 - there is no public way
            numbers = sorted(consumer.partitions_for_topic(name) or ())
            if not numbers:
                raise ReplayError(f"no topic {name} on {self._settings.kafka_bootstrap}")
            places = [TopicPartition(name, number) for number in numbers]
            consumer.assign(places)
            await self._find(consumer, places, begin_ms, begins)
        except KafkaError as error:
            raise ReplayError(
                f"no answer from Kafka at {self._settings.kafka_bootstrap} ({error!r}); on a "
                "machine without it, set OBSERVAI_KAFKA, or take --source store"
            ) from None

    async def close(self) -> None:
        """Let go of the broker."""
        if self._consumer is not None:
            await self._consumer.stop()

    def is_blind(self, partition: int) -> bool:
        """Whether anything stands, or stood, in the partition before what is read."""
        return self._partitions[partition].begin > 0

    def n_open(self) -> int:
        """Return how many partitions are read side by side: all."""
        return len(self._partitions)

    def is_cut(self) -> bool:
        """Whether the log begins only after what was asked for."""
        return any(one.begin == one.first > 0 for one in self._partitions.values())

    def progress(self) -> float:
        """Return how much of the offsets is read."""
        spans = [(one.given - one.begin, one.end - one.begin) for one in self._partitions.values()]
        return sum(done for done, _ in spans) / max(1, sum(whole for _, whole in spans))

    async def extend(self) -> None:
        """Move the ends to where the log ends now."""
        assert self._consumer is not None
        places = [one.place for one in self._partitions.values()]
        ends = await self._consumer.end_offsets(places)
        for one in self._partitions.values():
            one.end = ends[one.place]

    async def records(self) -> AsyncIterator[Record]:
        """Yield what is left up to the ends. Raises ReplayError where the log is lost meanwhile."""
        heads: list[tuple[int, int]] = []
        waiting = [n for n, one in self._partitions.items() if one.at < one.end]
        while waiting or heads:
            for number in waiting:
                one = self._partitions[number]
                await self._fetch(one)
                if one.fetched:
                    heapq.heappush(heads, (one.fetched[0].timestamp, number))
            waiting = []
            if heads:
                _, number = heapq.heappop(heads)
                one = self._partitions[number]
                record = one.pop()
                yield Record(number, record.offset, record.timestamp, record.value or b"")
                if one.fetched:
                    heapq.heappush(heads, (one.fetched[0].timestamp, number))
                elif one.at < one.end:
                    waiting = [number]

    async def _find(
        self,
        consumer: AIOKafkaConsumer,
        places: list[TopicPartition],
        begin_ms: int,
        begins: Mapping[int, int],
    ) -> None:
        firsts = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        since = await consumer.offsets_for_times(dict.fromkeys(places, begin_ms))
        for place in places:
            found = since[place].offset if since[place] is not None else ends[place]
            begin = begins.get(place.partition, found)
            if begin < firsts[place]:
                raise ReplayError(
                    f"{place.topic} partition {place.partition} begins at {firsts[place]} now, "
                    f"the replay stopped at {begin}: begin again with --overwrite"
                )
            consumer.seek(place, begin)
            self._partitions[place.partition] = _Partition(
                place, firsts[place], begin, ends[place], begin, begin
            )

    async def _fetch(self, wanted: _Partition) -> None:
        """Fetch until there is a record of this partition, or its end is reached."""
        consumer = self._consumer
        assert consumer is not None
        n_empty = 0
        while not wanted.fetched and wanted.at < wanted.end:
            self._choose(consumer)
            try:
                found = await consumer.getmany(timeout_ms=_READ_MS)
            except OffsetOutOfRangeError as error:
                raise ReplayError(f"the log was cut while it was read: {error}") from None
            for place, records in found.items():
                self._partitions[place.partition].take_in(records)
            n_empty = 0 if found else n_empty + 1
            if n_empty > _PATIENCE_READS:
                seconds = _PATIENCE_READS * _READ_MS // 1000
                raise ReplayError(f"Kafka gave nothing of {wanted.place} within {seconds} s")

    def _choose(self, consumer: AIOKafkaConsumer) -> None:
        """Let only those partitions be fetched that are not read to the end and have room.

        All others are paused: records that were fetched and are not taken would hold up the rest.
        """
        room = min(max(_BUFFER_BYTES // len(self._partitions), _LEAST_BYTES), _MOST_BYTES)
        for one in self._partitions.values():
            if one.at < one.end and one.n_bytes < room:
                consumer.resume(one.place)
            else:
                consumer.pause(one.place)
