"""Checkpoints of the window stage on the compacted topic `checkpoints`."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.checkpoints import (
    Checkpoint,
    Chunk,
    decode_chunk,
    encode_checkpoint,
    newest_checkpoint,
)
from schemas.errors import InvalidRecord
from schemas.topics import Topic
from topology.settings import Settings


class Loaded(NamedTuple):
    """The newest whole checkpoint with its sequence, if any, and what was broken, if anything."""

    newest: tuple[int, Checkpoint] | None
    broken: str | None


class CheckpointStore:
    """Saves and loads checkpoints; partition p's stand on partition p of the topic."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._topic = settings.topic(Topic.CHECKPOINTS)

    async def save(self, partition: int, sequence: int, checkpoint: Checkpoint) -> int:
        """Write a checkpoint and return its size in bytes once the broker has all of it."""
        records = encode_checkpoint(partition, sequence, checkpoint)
        acknowledged = [
            await self._producer.send(self._topic, value, key=key, partition=partition)
            for key, value in records
        ]
        await asyncio.gather(*acknowledged)
        return sum(len(value) for _, value in records)

    async def load(self, partitions: Iterable[int]) -> dict[int, Loaded]:
        """Return what stands in the topic of each partition.

        Raises UnknownVersion: state of another version is never taken for none.
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
    try:
        return Loaded(newest_checkpoint(chunks), broken)
    except InvalidRecord as error:
        return Loaded(None, str(error))
