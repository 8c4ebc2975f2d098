"""Reads what still stands in topics samples and dead-letters, and who has done how much of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord

from ops.partitions import connect
from schemas.dead_letters import decode_dead_letter
from schemas.topics import Topic
from topology.producer import make_producer
from topology.settings import Settings
from topology.topics import count_partitions

_READ_MS = 1_000
_STALL_S, _POLL_S = 20.0, 0.3


class LogError(Exception):
    """Kafka cannot be read; the text says why and what to do."""


Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Part:
    """Records [start, end) of a partition of topic samples."""

    place: TopicPartition
    start: int
    end: int


class SampleLog:
    """A reader without a group: it commits nothing and disturbs nobody."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer
        self._admin: AIOKafkaAdminClient
        self._counts: dict[Topic, int] = {}

    async def __aenter__(self) -> "SampleLog":
        """Connect. Raises PartitionsError when no broker answers."""
        self._admin = await connect(self._settings)
        self._counts = await count_partitions(self._admin, self._settings)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 << 20,
        )
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the broker."""
        await self._consumer.stop()
        await self._admin.close()

    async def ends(self, *topics: Topic) -> dict[TopicPartition, int]:
        """Return the offset after the last record of each partition of the topics."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(
            [
                TopicPartition(self._settings.topic(topic), number)
                for topic in topics
                for number in range(self._counts.get(topic, 0))
            ]
        )
        return ends

    async def committed(self, reader: str) -> dict[TopicPartition, int]:
        """Return what a reader's group has committed."""
        group = f"{self._settings.topic_prefix}{reader}"
        found = await self._admin.list_consumer_group_offsets(group)
        return {place: at.offset for place, at in found.items()}

    async def done(self, reader: str, ends: Offsets) -> dict[TopicPartition, int]:
        """Return up to where a reader has done each partition, these ends at most."""
        committed = await self.committed(reader)
        return {place: min(end, committed.get(place, 0)) for place, end in ends.items()}

    async def reaches_back(self, parts: Sequence[Part]) -> bool:
        """Whether no record before these parts has expired unread."""
        firsts = await self._consumer.beginning_offsets([part.place for part in parts])
        return all(
            first == 0 or first < part.start
            for part, first in zip(parts, firsts.values(), strict=True)
        )

    async def wait_done(
        self,
        readers: tuple[str, ...],
        ends: Offsets,
        deadline_s: float,
        say: Callable[[str], None],
    ) -> str | None:
        """Wait until all readers have done the records before these ends; say what is left.

        Return None, or at the deadline what is not done.
        """
        until_s = asyncio.get_running_loop().time() + deadline_s
        while True:
            behind: dict[str, int] = {}
            for reader in readers:
                done = await self.committed(reader)
                n_left = sum(max(0, end - done.get(place, 0)) for place, end in ends.items())
                behind |= {reader: n_left} if n_left else {}
            if not behind:
                return None
            text = ", ".join(f"{name} has {n:,} records to do" for name, n in behind.items())
            if asyncio.get_running_loop().time() > until_s:
                return text
            say(f"waiting: {text}")
            await asyncio.sleep(_POLL_S)

    async def parts(self, from_ms: int, ends: Offsets) -> list[Part]:
        """Return what was logged from a time on, up to these offsets, of each partition."""
        found = await self._consumer.offsets_for_times(dict.fromkeys(ends, from_ms))
        starts = {
            place: end if (at := found[place]) is None else int(at.offset)
            for place, end in ends.items()
        }
        return [Part(place, min(starts[place], end), end) for place, end in ends.items()]

    async def read(self, part: Part) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield the records of a part, some at a time. Raises LogError when they do not come."""
        self._consumer.assign([part.place])
        self._consumer.seek(part.place, part.start)
        at, since_s = part.start, asyncio.get_running_loop().time()
        while at < part.end:
            found = await self._consumer.getmany(part.place, timeout_ms=_READ_MS)
            if records := found.get(part.place, []):
                yield [record for record in records if record.offset < part.end]
            before, at = at, await self._consumer.position(part.place)
            now_s = asyncio.get_running_loop().time()
            since_s = now_s if at > before else since_s
            if now_s - since_s > _STALL_S:
                raise LogError(
                    f"{part.place.topic} partition {part.place.partition}: no record from offset "
                    f"{at} to {part.end} within {_STALL_S:.0f} s. Have they expired meanwhile? "
                    "Try again with a later --from"
                )

    async def append(self, topic: Topic, records: Iterable[tuple[int, bytes]]) -> None:
        """Append records, each to its partition; returns when the broker has them."""
        producer = make_producer(self._settings)
        await producer.start()
        try:
            for partition, record in records:
                await producer.send_and_wait(
                    self._settings.topic(topic), record, partition=partition
                )
        finally:
            await producer.stop()

    async def lettered(self) -> dict[int, set[int]]:
        """Return by partition the offsets of samples records that the archive dead-lettered."""
        found: dict[int, set[int]] = {}
        for place, end in (await self.ends(Topic.DEAD_LETTERS)).items():
            first = (await self._consumer.beginning_offsets([place]))[place]
            async for records in self.read(Part(place, first, end)):
                for record in records:
                    letter = decode_dead_letter(record.value or b"")
                    if (letter.stage, letter.topic) == ("archive", Topic.SAMPLES):
                        found.setdefault(letter.partition, set()).add(letter.offset)
        return found
