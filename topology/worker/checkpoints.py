"""Checkpoints of the window stage on the compacted topic `checkpoints`."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.checkpoints import (
    Checkpoint,
    Chunk,
    decode_chunk,
    encode_checkpoint,
    newest_checkpoint,
)
from schemas.topics import Topic
from topology.settings import Settings


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

    async def load(self, partitions: Iterable[int]) -> dict[int, tuple[int, Checkpoint]]:
        """Return sequence and content of each partition's newest whole checkpoint, if it has one.

        Raises UnknownVersion or InvalidRecord: state that cannot be read is never taken for none.
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
            chunks = await self._read_all(consumer, wanted)
        finally:
            await consumer.stop()
        newest = {partition: newest_checkpoint(chunks[partition]) for partition in chunks}
        return {partition: found for partition, found in newest.items() if found is not None}

    async def _read_all(
        self, consumer: AIOKafkaConsumer, wanted: list[TopicPartition]
    ) -> dict[int, list[Chunk]]:
        chunks: dict[int, list[Chunk]] = {tp.partition: [] for tp in wanted}
        await consumer.seek_to_beginning(*wanted)
        ends = await consumer.end_offsets(wanted)
        for tp in wanted:
            while await consumer.position(tp) < ends[tp]:
                batches = await consumer.getmany(tp, timeout_ms=500)
                for record in batches.get(tp, []):
                    if record.value is not None:
                        chunks[tp.partition].append(decode_chunk(record.value))
        return chunks
