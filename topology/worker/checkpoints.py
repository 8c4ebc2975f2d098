"""Checkpoints of the window stage on the compacted topic `checkpoints`."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.checkpoints import (
    Checkpoint,
    Chunk,
    chunks_of,
    decode_chunk,
    newest_checkpoint,
    pack,
)
from schemas.errors import InvalidRecord, UnknownVersion
from schemas.topics import Topic
from topology.settings import Settings

# A checkpoint is written whole each time: a larger state is written less often, a restart then
# replays a little more.
MAX_BYTES_PER_S = 4 << 20


class CheckpointRefused(Exception):
    """A checkpoint is of a version that this build does not know; the text names the ways out."""


def interval_s(least_s: float, checkpoint_bytes: float) -> float:
    """Return how long to wait between two checkpoints of so many bytes."""
    return max(least_s, checkpoint_bytes / MAX_BYTES_PER_S)


class Loaded(NamedTuple):
    """The newest whole checkpoint with its sequence, if any, and what was broken, if anything."""

    newest: tuple[int, Checkpoint] | None
    broken: str | None

    @property
    def is_lost(self) -> bool:
        """Whether there was a checkpoint and none is whole."""
        return self.broken is not None and self.newest is None


class CheckpointStore:
    """Saves and loads checkpoints; partition p's stand on partition p of the topic."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._topic = settings.topic(Topic.CHECKPOINTS)

    async def save(self, partition: int, sequence: int, checkpoint: Checkpoint) -> int:
        """Write a checkpoint and return its size in bytes once the broker has all of it."""
        # A large state takes a while to pack, and the engine goes on meanwhile.
        packed = await asyncio.to_thread(pack, checkpoint)
        # One chunk at a time: send() waits while the one before has not left.
        acknowledged = [
            await self._producer.send(self._topic, value, key=key, partition=partition)
            for key, value in chunks_of(partition, sequence, packed)
        ]
        await asyncio.gather(*acknowledged)
        return len(packed)

    async def load(self, partitions: Iterable[int]) -> dict[int, Loaded]:
        """Return what stands in the topic of each partition.

        Raises CheckpointRefused: state of another version is never taken for none.
        """
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
            return {tp.partition: await _read(consumer, tp, ends[tp]) for tp in wanted}
        finally:
            await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> Loaded:
    """Read a partition's checkpoints; a broken record leaves its checkpoint without a chunk."""
    chunks: list[Chunk] = []
    broken: str | None = None
    key_prefix = f"window/{tp.partition}/".encode()
    while await consumer.position(tp) < end:
        batches = await consumer.getmany(tp, timeout_ms=500)
        for record in batches.get(tp, []):
            if not (record.key or b"").startswith(key_prefix):
                continue
            try:
                chunks.append(decode_chunk(record.value or b""))
            except InvalidRecord as error:
                broken = f"offset {record.offset}: {error}"
            except UnknownVersion as error:
                raise CheckpointRefused(_refusal(tp, record.offset, error)) from None
    try:
        return Loaded(newest_checkpoint(chunks), broken)
    except InvalidRecord as error:
        return Loaded(None, str(error))


def _refusal(tp: TopicPartition, offset: int, error: UnknownVersion) -> str:
    return (
        f"topic {tp.topic} partition {tp.partition} offset {offset}: {error}. Or give the state "
        f"up: stop all workers and delete topic {tp.topic}; the next start computes the windows "
        "around that moment from the stored samples"
    )
