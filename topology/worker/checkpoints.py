"""Checkpoints of a stage on the compacted topic `checkpoints`."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.chunks import Chunk, Format, chunks_of, decode_chunk, newest_checkpoint, pack
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.settings import Settings

# A checkpoint is written whole each time: a larger state is written less often, a restart then
# replays a little more.
MAX_BYTES_PER_S = 4 << 20


def interval_s(least_s: float, checkpoint_bytes: float) -> float:
    """Return how long to wait between two checkpoints of so many bytes."""
    return max(least_s, checkpoint_bytes / MAX_BYTES_PER_S)


class Checkpoint(Protocol):
    """State of a partition after all records before an offset: one thing."""

    @property
    def next_offset(self) -> int:
        """First offset that is not in it."""


Content = TypeVar("Content", bound=Checkpoint)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Content]):
    """The newest whole checkpoint with its sequence, if any, and what was wrong, if anything."""

    newest: tuple[int, Content] | None
    broken: str | None
    is_beside: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether there was a checkpoint and none can be read."""
        return self.broken is not None and self.newest is None


class CheckpointStore(Generic[Content]):
    """Saves and loads checkpoints; partition p's stand on partition p of the topic.

    beside: checkpoints that somebody else has made while the stage ran. One of these is loaded in
    place of its own, and is no more once the stage has written one after it.
    """

    def __init__(
        self,
        settings: Settings,
        producer: AIOKafkaProducer,
        form: Format[Content],
        beside: Format[Content] | None = None,
    ) -> None:
        self._form = form
        self._beside = beside
        self._keys_beside: dict[int, list[bytes]] = {}
        self._settings = settings
        self._producer = producer
        self._topic = settings.topic(Topic.CHECKPOINTS)

    async def save(self, partition: int, sequence: int, checkpoint: Content) -> int:
        """Write a checkpoint and return its size in bytes once the broker has all of it."""
        # A large state takes a while to pack, and the engine goes on meanwhile.
        packed = await asyncio.to_thread(pack, checkpoint)
        # One chunk at a time: send() waits while the one before has not left.
        acknowledged = [
            await self._producer.send(self._topic, value, key=key, partition=partition)
            for key, value in chunks_of(self._form, partition, sequence, packed)
        ]
        await asyncio.gather(*acknowledged)
        await self._remove(partition, self._keys_beside.pop(partition, []))
        return len(packed)

    async def load(self, partitions: Iterable[int]) -> dict[int, Loaded[Content]]:
        """Return what stands in the topic of each partition.

        State of a version that this build does not know is lost to it, never taken for none.
        """
        loaded = {}
        for partition, (own, beside) in (await self._read(partitions)).items():
            self._keys_beside[partition] = sorted(beside.keys)
            loaded[partition] = _chosen(own.loaded(), beside.loaded())
        return loaded

    async def drop(self, partition: int) -> int:
        """Give a partition's state up; return the number of records that are no more."""
        own, beside = (await self._read([partition]))[partition]
        keys = sorted(own.keys | beside.keys)
        await self._remove(partition, keys)
        return len(keys)

    async def _remove(self, partition: int, keys: Iterable[bytes]) -> None:
        for key in keys:
            await self._producer.send_and_wait(self._topic, None, key=key, partition=partition)

    async def _read(self, partitions: Iterable[int]) -> dict[int, "_Both[Content]"]:
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        if not wanted:
            return {}
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            fetch_max_bytes=8 << 20,
            max_partition_fetch_bytes=4 << 20,
        )
        await consumer.start()
        try:
            consumer.assign(wanted)
            await consumer.seek_to_beginning(*wanted)
            ends = await consumer.end_offsets(wanted)
            return {tp.partition: await self._read_one(consumer, tp, ends[tp]) for tp in wanted}
        finally:
            await consumer.stop()

    async def _read_one(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, end: int
    ) -> "_Both[Content]":
        """Read a partition; a broken record leaves its checkpoint without a chunk."""
        both = _Records(self._form), _Records(self._beside or self._form)
        prefixes = [(self._form.key_prefix(tp.partition), both[0])]
        if self._beside is not None:
            prefixes.append((self._beside.key_prefix(tp.partition), both[1]))
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=500)
            for record in batches.get(tp, []):
                key = record.key or b""
                for prefix, records in prefixes:
                    if key.startswith(prefix):
                        records.add(key, record.value, record.offset)
        return both


class _Records(Generic[Content]):
    """A partition's records of one stage on topic checkpoints, those of one key together."""

    def __init__(self, form: Format[Content]) -> None:
        self._form = form
        self._chunks: dict[bytes, list[Chunk]] = {}
        self._broken: dict[bytes, str] = {}
        self._unknown: dict[bytes, str] = {}

    @property
    def keys(self) -> set[bytes]:
        """Keys under which there is something."""
        return {*self._chunks, *self._broken, *self._unknown}

    def add(self, key: bytes, value: bytes | None, offset: int) -> None:
        """Take a record; one without a value takes back what stood under its key."""
        if value is None:
            for records in (self._chunks, self._broken, self._unknown):
                records.pop(key, None)
            return
        try:
            self._chunks.setdefault(key, []).append(decode_chunk(self._form, value))
        except InvalidRecord as error:
            self._broken[key] = f"offset {offset}: {error}"
        except UnknownVersion as error:
            self._unknown[key] = f"offset {offset}: {error}"

    def loaded(self) -> Loaded[Content]:
        """Return the newest checkpoint that is whole: one of an unknown version may be newer."""
        for unknown in self._unknown.values():
            return Loaded(None, unknown)
        broken = next(reversed(self._broken.values()), None)
        try:
            return Loaded(newest_checkpoint(self._form, chain(*self._chunks.values())), broken)
        except InvalidRecord as error:
            return Loaded(None, str(error))


# The stage's own, and those beside.
_Both = tuple[_Records[Content], _Records[Content]]


def _chosen(own: Loaded[Content], beside: Loaded[Content]) -> Loaded[Content]:
    """Return what is beside, if anything, with the sequence after which the stage goes on."""
    if beside.newest is None:
        return own
    sequence = own.newest[0] if own.newest else 0
    return Loaded((sequence, beside.newest[1]), None, is_beside=True)
