"""An archive on a real broker and the real engine, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.samples import encode_samples
from schemas.topics import Topic
from tests.topology.store.rows import read, sample_block
from tests.waiting import wait_until_async
from topology.clock import now_ms
from topology.dead_letters import DeadLetters
from topology.metrics import Metrics
from topology.runtime import Context, Health
from topology.settings import Settings
from topology.skips import Skips
from topology.store.archive import Archive
from topology.store.client import Engine
from topology.store.writer import Writer


@dataclass
class Bench:
    """A deployment's topics with a producer, the engine, and one tenant."""

    settings: Settings
    engine: Engine
    producer: AIOKafkaProducer
    tenant: str
    skips: Skips = field(default_factory=Skips)

    async def publish(self, topic: Topic, payload: bytes, partition: int = 0) -> int:
        """Publish a record; return its offset."""
        name = self.settings.topic(topic)
        metadata = await self.producer.send_and_wait(name, payload, partition=partition)
        return int(metadata.offset)

    async def publish_samples(self, rows: list[tuple[int, int, float]], partition: int = 0) -> int:
        """Publish one record of samples; return its offset."""
        return await self.publish(
            Topic.SAMPLES, encode_samples([sample_block(self.tenant, rows)]), partition
        )

    def count(self, relation: str = "samples") -> int:
        """Rows of a relation."""
        return int(read(self.engine, self.tenant, f"SELECT count() FROM {relation}")[0][0])

    async def wait_rows(self, n_rows: int, relation: str = "samples") -> None:
        """Return when the relation has that many rows."""

        async def enough() -> bool:
            return await asyncio.to_thread(self.count, relation) >= n_rows

        await wait_until_async(enough, 20, f"{n_rows} rows in {relation}")

    @asynccontextmanager
    async def archiving(
        self, writer: Writer | None = None, settings: Settings | None = None
    ) -> AsyncIterator[Context]:
        """Run an archive meanwhile."""
        settings = settings or self.settings
        log = structlog.get_logger("test")
        context = Context("store", settings, Metrics(), Health(), log, asyncio.Event())
        letters = DeadLetters("archive", context, self.producer)
        writer = writer or Writer(self.engine, context.metrics, now_ms)
        task = asyncio.create_task(Archive(context, writer, letters, skips=self.skips).run())
        try:
            yield context
        finally:
            context.stopping.set()
            await asyncio.wait_for(task, 20)

    async def committed(self, topic: Topic, partition: int = 0) -> int | None:
        """Committed offset of the archive's group."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap,
            group_id=f"{self.settings.topic_prefix}archive",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            place = TopicPartition(self.settings.topic(topic), partition)
            consumer.assign([place])
            offset = await consumer.committed(place)
            return None if offset is None else int(offset)
        finally:
            await consumer.stop()
